//! Logs that rotate while they are written, and what of them arrived.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// How a log is rotated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// The old ones move on by one, and a new one begins.
    Rename,
    /// It is copied, and cut.
    CopyTruncate,
    /// A new one under a new name.
    Create,
    /// It is renamed, compressed, and the original deleted.
    Gzip,
}

impl Rotation {
    /// Every kind.
    pub const ALL: [Rotation; 4] = [
        Rotation::Rename,
        Rotation::CopyTruncate,
        Rotation::Create,
        Rotation::Gzip,
    ];

    /// A copy of a file that is being written may repeat what was read of the original meanwhile.
    pub fn may_repeat(self) -> bool {
        self == Rotation::CopyTruncate
    }
}

/// Writes numbered lines into `app.log` of a directory, and rotates when it is told.
pub struct RotatingWriter {
    directory: PathBuf,
    rotation: Rotation,
    log: File,
    /// How many lines were written.
    pub lines: usize,
    rotations: usize,
}

impl RotatingWriter {
    /// So many rotated files stay.
    pub const KEPT: usize = 20;

    /// Begins with an empty log.
    ///
    /// # Errors
    /// The directory cannot be written to; so everywhere here.
    pub fn new(directory: PathBuf, rotation: Rotation) -> io::Result<Self> {
        let log = create(&directory.join("app.log"))?;
        Ok(RotatingWriter {
            directory,
            rotation,
            log,
            lines: 0,
            rotations: 0,
        })
    }

    /// Appends so many lines.
    ///
    /// # Errors
    /// See [`RotatingWriter::new`].
    pub fn write(&mut self, lines: usize) -> io::Result<()> {
        for _ in 0..lines {
            let line = format!("{}\n", text_of(self.lines));
            self.log.write_all(line.as_bytes())?;
            self.lines += 1;
        }
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn shift(&self) {
        let name = |number| self.path(&format!("app.log.{number}"));
        let _ = fs::remove_file(name(Self::KEPT));
        for number in (1..Self::KEPT).rev() {
            let _ = fs::rename(name(number), name(number + 1));
        }
    }

    /// Rotates once.
    ///
    /// # Errors
    /// See [`RotatingWriter::new`].
    pub fn rotate(&mut self) -> io::Result<()> {
        self.rotations += 1;
        let rotations = self.rotations;
        match self.rotation {
            Rotation::Rename => {
                self.shift();
                fs::rename(self.path("app.log"), self.path("app.log.1"))?;
                // What was opened before goes on being written for a moment.
                self.write(1)?;
                self.log = create(&self.path("app.log"))?;
            }
            Rotation::CopyTruncate => {
                self.shift();
                fs::copy(self.path("app.log"), self.path("app.log.1"))?;
                self.log.set_len(0)?;
            }
            Rotation::Create => {
                self.log = create(&self.path(&format!("app.log.{rotations}")))?;
                if rotations > Self::KEPT {
                    let _ =
                        fs::remove_file(self.path(&format!("app.log.{}", rotations - Self::KEPT)));
                }
            }
            Rotation::Gzip => {
                let old = self.path(&format!("app.log.{rotations}"));
                fs::rename(self.path("app.log"), &old)?;
                self.log = create(&self.path("app.log"))?;
                let packed = File::create(self.path(&format!("app.log.{rotations}.gz")))?;
                let mut gzip = flate2::write::GzEncoder::new(packed, flate2::Compression::fast());
                std::io::copy(&mut File::open(&old)?, &mut gzip)?;
                gzip.finish()?;
                if rotations > Self::KEPT {
                    fs::remove_file(self.path(&format!("app.log.{}", rotations - Self::KEPT)))?;
                }
            }
        }
        Ok(())
    }
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// The line with this number.
fn text_of(number: usize) -> String {
    format!("{number:08} {}", "x".repeat(number % 90))
}

/// How often each line came.
#[derive(Default)]
pub struct Tally(Vec<u32>);

impl Tally {
    /// Notes a line.
    ///
    /// # Errors
    /// It is none that a [`RotatingWriter`] has written: half of one, say.
    pub fn add(&mut self, line: &[u8]) -> Result<(), String> {
        let text = String::from_utf8_lossy(line);
        let number = text.get(..8).and_then(|number| number.parse().ok());
        let number: usize = number
            .filter(|number| text_of(*number) == text)
            .ok_or_else(|| text.to_string())?;
        if self.0.len() <= number {
            self.0.resize(number + 1, 0);
        }
        self.0[number] += 1;
        Ok(())
    }

    /// How many lines came.
    pub fn seen(&self) -> usize {
        self.0.iter().filter(|count| **count > 0).count()
    }

    /// The first of so many lines that did not come.
    pub fn missing(&self, lines: usize) -> Option<usize> {
        (0..lines).find(|line| self.0.get(*line).is_none_or(|count| *count == 0))
    }

    /// The first line that came more than once.
    pub fn repeated(&self) -> Option<usize> {
        self.0.iter().position(|count| *count > 1)
    }
}

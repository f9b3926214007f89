//! Which files this sink has begun and not finished: a few lines beside the agent's state, so that after a crash they
//! are found without guessing from names.
//!
//! A line is written before a file is created, so it outlives the process; [`Journal::sync`] makes it outlive the host.
//!
//! ```text
//! +⇥file system⇥name in use⇥final name
//! -⇥file system⇥name in use
//! ```
//!
//! In names, a backslash, tab or line break is written `\\`, `\t`, `\n`, `\r`. A last line without its end was torn by
//! a crash and says nothing: its file was not created. One that a full disk has torn is overwritten by the next.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, ErrorKind},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use flume_host::{lock::FileLock, replace::replace};
use parking_lot::Mutex;

/// A journal is written anew when it is larger than this and than what is unfinished.
const COMPACT_BYTES: u64 = 1 << 20;
/// It says what to rename and remove: nobody else has a say in it.
const MODE: u32 = 0o640;
/// Agents of one name on a host that have a journal of their own.
const MAX_SIBLINGS: u32 = 9;

/// The names of a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FileNames {
    /// The path while it is written.
    pub(crate) in_use: String,
    /// The path once it is complete.
    pub(crate) target: String,
}

/// Unfinished files: the file system and the name in use, with the final name.
pub(crate) type Unfinished = BTreeMap<(String, String), String>;

/// The open journal of one sink; no other process has it open.
pub(crate) struct Journal {
    path: PathBuf,
    /// Locked as long as the journal is open.
    _lock: FileLock,
    inner: Mutex<JournalState>,
}

struct JournalState {
    file: File,
    /// Of whole lines.
    bytes: u64,
    unfinished: Unfinished,
    /// Whether files were begun since the last sync.
    unsynced: bool,
    /// The last write failed, which was said.
    failing: bool,
}

impl Journal {
    /// Opens or creates; what it holds is what an earlier run has left behind.
    pub(crate) fn open(path: &Path) -> io::Result<Journal> {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        let lock = FileLock::try_acquire(&path.with_extension("lock"))?.ok_or_else(|| {
            let text = "another agent, or this sink's predecessor, has it open";
            io::Error::new(ErrorKind::ResourceBusy, text)
        })?;
        let unfinished = match fs::read(path) {
            Ok(bytes) => parse(&bytes),
            Err(error) if error.kind() == ErrorKind::NotFound => Unfinished::new(),
            Err(error) => return Err(error),
        };
        let (file, bytes) = write_anew(path, &lines(&unfinished))?;
        let inner = JournalState {
            file,
            bytes,
            unfinished,
            unsynced: false,
            failing: false,
        };
        Ok(Journal {
            path: path.into(),
            _lock: lock,
            inner: Mutex::new(inner),
        })
    }

    /// Opens the journal of a sink in this directory; where another agent of the same name has it, one beside it.
    pub(crate) fn open_free(directory: &Path, name: &str) -> io::Result<Journal> {
        let mut outcome = Journal::open(&directory.join(format!("{name}.journal")));
        for number in 2..=MAX_SIBLINGS {
            match &outcome {
                Err(error) if error.kind() == ErrorKind::ResourceBusy => {}
                _ => break,
            }
            outcome = Journal::open(&directory.join(format!("{name}.{number}.journal")));
        }
        outcome
    }

    /// Takes over what other journals of the directory know about `location`: those of sinks that are gone or have another
    /// name now. In this journal `former` is another name of the location. What is elsewhere stays: how many where.
    pub(crate) fn adopt(
        &self,
        directory: &Path,
        location: &str,
        former: &str,
    ) -> BTreeMap<String, usize> {
        let mut elsewhere = BTreeMap::new();
        for ((file_system, in_use), target) in self.unfinished() {
            if file_system == former && file_system != location {
                self.begin(
                    location,
                    &FileNames {
                        in_use: in_use.clone(),
                        target,
                    },
                );
                self.finish(&file_system, &in_use);
            } else if file_system != location {
                *elsewhere.entry(file_system).or_default() += 1;
            }
        }
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        for path in entries.map(|entry| entry.path()) {
            let is_journal = path
                .extension()
                .is_some_and(|extension| extension == "journal");
            if !is_journal || path == self.path {
                continue;
            }
            // One that is open belongs to a sink that finishes its own.
            let Ok(other) = Journal::open(&path) else {
                continue;
            };
            for ((file_system, in_use), target) in other.unfinished() {
                if file_system == location {
                    self.begin(
                        location,
                        &FileNames {
                            in_use: in_use.clone(),
                            target,
                        },
                    );
                    other.finish(&file_system, &in_use);
                } else {
                    *elsewhere.entry(file_system).or_default() += 1;
                }
            }
        }
        elsewhere
    }

    /// What was begun and not finished.
    pub(crate) fn unfinished(&self) -> Unfinished {
        self.inner.lock().unfinished.clone()
    }

    /// A file is about to be created.
    pub(crate) fn begin(&self, file_system: &str, names: &FileNames) {
        let mut inner = self.inner.lock();
        inner.unfinished.insert(
            (file_system.into(), names.in_use.clone()),
            names.target.clone(),
        );
        inner.unsynced = true;
        inner.append(&line(&["+", file_system, &names.in_use, &names.target]));
    }

    /// A file is complete, or was never created.
    pub(crate) fn finish(&self, file_system: &str, in_use: &str) {
        let mut inner = self.inner.lock();
        if inner
            .unfinished
            .remove(&(file_system.into(), in_use.into()))
            .is_some()
        {
            inner.append(&line(&["-", file_system, in_use]));
        }
    }

    /// Waits until the disk has every file that was begun. Blocks; does nothing when nothing was begun.
    pub(crate) fn sync(&self) -> io::Result<()> {
        let mut inner = self.inner.lock();
        if std::mem::take(&mut inner.unsynced) {
            inner.file.sync_data()
        } else {
            Ok(())
        }
    }

    /// Whether files were begun since the last sync.
    pub(crate) fn unsynced(&self) -> bool {
        self.inner.lock().unsynced
    }

    /// Writes the journal anew when it has grown. Blocks.
    pub(crate) fn compact(&self) -> io::Result<()> {
        let mut inner = self.inner.lock();
        let lines = lines(&inner.unfinished);
        if inner.bytes > COMPACT_BYTES.max(2 * lines.len() as u64) {
            (inner.file, inner.bytes) = write_anew(&self.path, &lines)?;
        }
        Ok(())
    }

    /// Whether [`Journal::compact`] may have something to do.
    pub(crate) fn grown(&self) -> bool {
        self.inner.lock().bytes > COMPACT_BYTES
    }
}

impl JournalState {
    /// A journal that cannot be written does not hold up deliveries: what it is for is tidiness.
    fn append(&mut self, line: &str) {
        let written = self.file.write_all_at(line.as_bytes(), self.bytes);
        if written.is_ok() {
            self.bytes += line.len() as u64;
        }
        if let (Err(error), false) = (&written, self.failing) {
            tracing::error!(
                "failed to write the journal of open files; a crash may leave files unfinished: {error}"
            );
        }
        self.failing = written.is_err();
    }
}

/// Puts a file of these lines in the place of the journal; the open file, and its bytes.
fn write_anew(path: &Path, lines: &str) -> io::Result<(File, u64)> {
    Ok((replace(path, lines.as_bytes(), MODE)?, lines.len() as u64))
}

fn lines(unfinished: &Unfinished) -> String {
    let begun = |((file_system, in_use), target): (&(String, String), &String)| {
        line(&["+", file_system, in_use, target])
    };
    unfinished.iter().map(begun).collect()
}

fn line(fields: &[&str]) -> String {
    let escape = |field: &&str| {
        field
            .replace('\\', "\\\\")
            .replace('\t', "\\t")
            .replace('\n', "\\n")
            .replace('\r', "\\r")
    };
    fields.iter().map(escape).collect::<Vec<_>>().join("\t") + "\n"
}

/// Reads what is there; lines that are none are passed over.
fn parse(bytes: &[u8]) -> Unfinished {
    let mut unfinished = Unfinished::new();
    let text = String::from_utf8_lossy(bytes);
    for line in text
        .split_inclusive('\n')
        .filter_map(|line| line.strip_suffix('\n'))
    {
        let fields: Vec<_> = line.split('\t').map(unescape).collect();
        match &fields[..] {
            [plus, file_system, in_use, target] if plus == "+" => {
                unfinished.insert((file_system.clone(), in_use.clone()), target.clone());
            }
            [minus, file_system, in_use] if minus == "-" => {
                unfinished.remove(&(file_system.clone(), in_use.clone()));
            }
            _ => tracing::warn!("a line in the journal of open files cannot be read: {line:?}"),
        }
    }
    unfinished
}

fn unescape(field: &str) -> String {
    let mut chars = field.chars();
    let mut next = || match chars.next()? {
        '\\' => match chars.next()? {
            't' => Some('\t'),
            'n' => Some('\n'),
            'r' => Some('\r'),
            other => Some(other),
        },
        other => Some(other),
    };
    std::iter::from_fn(&mut next).collect()
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, SeekFrom, Write};

    use super::*;

    fn names(in_use: &str) -> FileNames {
        FileNames {
            in_use: in_use.into(),
            target: format!("{in_use}.done"),
        }
    }

    fn in_use(unfinished: &Unfinished) -> Vec<&str> {
        unfinished
            .keys()
            .map(|(_, in_use)| in_use.as_str())
            .collect()
    }

    #[test]
    fn journals_of_sinks_that_are_gone_are_taken_over() {
        let dir = tempfile::tempdir().unwrap();
        let gone = Journal::open_free(dir.path(), "gone").unwrap();
        gone.begin("hdfs://nn as bob", &names("/a"));
        gone.begin("hdfs://other as bob", &names("/b"));
        drop(gone);
        let used = Journal::open_free(dir.path(), "used").unwrap();
        used.begin("hdfs://nn as bob", &names("/c"));
        let journal = Journal::open_free(dir.path(), "k1").unwrap();
        journal.begin("hdfs://nn", &names("/d"));
        let elsewhere = journal.adopt(dir.path(), "hdfs://nn as bob", "hdfs://nn");
        assert_eq!(in_use(&journal.unfinished()), ["/a", "/d"]);
        assert_eq!(
            elsewhere,
            BTreeMap::from([("hdfs://other as bob".into(), 1)])
        );
        // The name is taken: another agent has one beside it.
        let beside = Journal::open_free(dir.path(), "k1").unwrap();
        assert!(beside.path.ends_with("k1.2.journal"));
        drop(used);
        beside.adopt(dir.path(), "hdfs://nn as bob", "hdfs://nn");
        assert_eq!(in_use(&beside.unfinished()), ["/c"]);
    }

    #[test]
    fn what_was_begun_and_not_finished_is_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hdfs/k1.journal");
        let journal = Journal::open(&path).unwrap();
        for name in ["/a", "/b\t\\n\n\r", "/c"] {
            journal.begin("hdfs://nn", &names(name));
        }
        journal.begin("file:", &names("/a"));
        journal.finish("hdfs://nn", "/a");
        journal.finish("hdfs://nn", "/never");
        journal.sync().unwrap();
        assert!(!journal.unsynced());
        assert!(
            Journal::open(&path)
                .err()
                .unwrap()
                .to_string()
                .contains("has it open")
        );
        drop(journal);
        let journal = Journal::open(&path).unwrap();
        assert_eq!(in_use(&journal.unfinished()), ["/a", "/b\t\\n\n\r", "/c"]);
        assert_eq!(
            journal.unfinished()[&("hdfs://nn".into(), "/c".into())],
            "/c.done"
        );
    }

    #[test]
    fn it_does_not_grow_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("k1.journal");
        let journal = Journal::open(&path).unwrap();
        let long = "x".repeat(1000);
        journal.begin("file:", &names("/kept"));
        for number in 0..2000 {
            journal.begin("file:", &names(&format!("/{long}{number}")));
            journal.finish("file:", &format!("/{long}{number}"));
            if journal.grown() {
                journal.compact().unwrap();
            }
        }
        assert!(fs::metadata(&path).unwrap().len() <= COMPACT_BYTES);
        journal.begin("file:", &names("/last"));
        drop(journal);
        assert_eq!(
            in_use(&Journal::open(&path).unwrap().unfinished()),
            ["/kept", "/last"]
        );
    }

    /// A full disk takes a part of a line, and has room again for the next.
    #[test]
    fn a_line_that_was_written_in_part_does_not_spoil_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("k1.journal");
        let journal = Journal::open(&path).unwrap();
        journal.begin("file:", &names("/whole"));
        let mut writable =
            std::mem::replace(&mut journal.inner.lock().file, File::open(&path).unwrap());
        journal.begin("file:", &names("/torn-and-long"));
        writable.seek(SeekFrom::End(0)).unwrap();
        writable
            .write_all(b"+\tfile:\t/torn-and-long\t/torn-an")
            .unwrap();
        journal.inner.lock().file = writable;
        journal.begin("file:", &names("/next"));
        drop(journal);
        assert_eq!(
            in_use(&Journal::open(&path).unwrap().unfinished()),
            ["/next", "/whole"]
        );
    }

    /// A crash tears the last line; a disk may turn the rest into anything.
    #[test]
    fn every_beginning_and_anything_at_all_can_be_read() {
        let whole = line(&["+", "f", "/a", "/b"])
            + &line(&["+", "f", "/c", "/d"])
            + &line(&["-", "f", "/a"]);
        let counts: Vec<_> = (0..=whole.len())
            .map(|end| parse(&whole.as_bytes()[..end]).len())
            .collect();
        assert!(
            counts.is_sorted_by(|a, b| a <= b || *b == 1) && counts.last() == Some(&1),
            "{counts:?}"
        );
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..10_000 {
            let bytes: Vec<u8> = (0..40)
                .map(|_| b"+-\t\n\\/ab\xff\0"[random.usize(..10)])
                .collect();
            parse(&bytes);
        }
    }
}

//! Where damaged parts of the log go: a copy beside the segments, named after the place it was found at.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;

use crate::{disk::Disk, segment::Position};

/// A directory keeps no more copies; what is found then is only counted.
const MAX_COPIES: usize = 1000;

/// Why something was put aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// The last group was being written when the machine stopped: nobody was told that it is stored.
    TailDiscarded,
    /// The checksum or the seal of a body is wrong, or what is in it is not what it should be.
    CorruptBody,
    /// No header can be read where one should be.
    CorruptHeader,
}

impl Reason {
    /// As it appears in file names and in the log.
    pub fn name(self) -> &'static str {
        match self {
            Reason::TailDiscarded => "tail_discarded",
            Reason::CorruptBody => "corrupt_body",
            Reason::CorruptHeader => "corrupt_header",
        }
    }
}

/// The file that the bytes found at `position` go to.
pub fn path(directory: &Path, position: Position, reason: Reason) -> PathBuf {
    let Position { segment, offset } = position;
    directory.join(format!(
        "quarantine-{segment:08}-{offset:010}-{}",
        reason.name()
    ))
}

/// Keeps copies, and knows how many there are in each directory.
pub struct Quarantine {
    disk: Arc<dyn Disk>,
    copies: Mutex<BTreeMap<PathBuf, usize>>,
}

impl Quarantine {
    /// On this disk.
    pub fn new(disk: Arc<dyn Disk>) -> Self {
        Quarantine {
            disk,
            copies: Mutex::default(),
        }
    }

    /// Keeps a copy of `bytes`, which were found at `position`. A failure to do so changes nothing but the log.
    pub fn keep(&self, directory: &Path, position: Position, reason: Reason, bytes: &[u8]) {
        let path = path(directory, position, reason);
        match self.write(directory, &path, bytes) {
            Ok(()) => tracing::warn!(
                "{} bytes of {position} put aside as {}: {}",
                bytes.len(),
                reason.name(),
                path.display()
            ),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => tracing::warn!(
                "{position}: {}, and no copy could be kept: {error}",
                reason.name()
            ),
        }
    }

    /// Under its final name a copy is whole, and on disk before the segment may be used again.
    fn write(&self, directory: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut copies = self.copies.lock();
        let copies = match copies.get_mut(directory) {
            Some(known) => known,
            None => {
                let found = self.disk.list(directory)?;
                let count = found.iter().filter(|(path, _)| is_copy(path)).count();
                copies.entry(directory.into()).or_insert(count)
            }
        };
        if *copies >= MAX_COPIES {
            return Err(io::Error::other(format!(
                "{} has {MAX_COPIES} files in quarantine already",
                directory.display()
            )));
        }
        let file = self.disk.create(path)?;
        let written = file.write_at(bytes, 0).and_then(|()| file.sync());
        drop(file);
        if written.is_err() {
            let _ = self.disk.remove(path);
        }
        written?;
        *copies += 1;
        self.disk.sync_directory(directory)
    }
}

fn is_copy(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name.as_encoded_bytes().starts_with(b"quarantine-"))
}

//! Where damaged parts of the log go: a copy beside the segments, named after the place it was found at.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;

use crate::{disk::Disk, segment::Position};

/// A directory keeps no more copies; what is found then is only counted.
const MAX_COPIES: usize = 1000;
/// The extension of a copy that is not complete yet.
const PART: &str = "part";

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

/// Keeps copies, and knows which there are in each directory.
pub struct Quarantine {
    disk: Arc<dyn Disk>,
    copies: Mutex<BTreeMap<PathBuf, BTreeSet<PathBuf>>>,
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
            Ok(false) => {}
            Ok(true) => tracing::warn!(
                "{} bytes of {position} put aside as {}: {}",
                bytes.len(),
                reason.name(),
                path.display()
            ),
            Err(error) => tracing::warn!(
                "{position}: {}, and no copy could be kept: {error}",
                reason.name()
            ),
        }
    }

    /// Under its final name a copy is whole, and on disk before the segment may be used again. Whether it is new.
    fn write(&self, directory: &Path, path: &Path, bytes: &[u8]) -> io::Result<bool> {
        let mut copies = self.copies.lock();
        let copies = match copies.get_mut(directory) {
            Some(known) => known,
            None => {
                let found = self.find(directory)?;
                copies.entry(directory.into()).or_insert(found)
            }
        };
        if copies.contains(path) {
            return Ok(false);
        }
        if copies.len() >= MAX_COPIES {
            return Err(io::Error::other(format!(
                "{} has {MAX_COPIES} files in quarantine already",
                directory.display()
            )));
        }
        let part = path.with_extension(PART);
        let file = self.disk.create(&part)?;
        let written = file.write_at(bytes, 0).and_then(|()| file.sync());
        drop(file);
        if let Err(error) = written.and_then(|()| self.disk.rename(&part, path)) {
            let _ = self.disk.remove(&part);
            return Err(error);
        }
        copies.insert(path.into());
        self.disk.sync_directory(directory)?;
        Ok(true)
    }

    /// The copies in a directory. Those that were not completed are removed.
    fn find(&self, directory: &Path) -> io::Result<BTreeSet<PathBuf>> {
        let mut found = BTreeSet::new();
        for (path, _) in self.disk.list(directory)? {
            if !is_copy(&path) {
                continue;
            }
            if path.extension().is_some_and(|extension| extension == PART) {
                self.disk.remove(&path)?;
            } else {
                found.insert(path);
            }
        }
        Ok(found)
    }
}

fn is_copy(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name.as_encoded_bytes().starts_with(b"quarantine-"))
}

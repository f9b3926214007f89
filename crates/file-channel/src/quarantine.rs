//! Where damaged parts of the log go: a copy beside the segments, named after the place it was found at.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::{disk::Disk, segment::Position};

/// More files are not kept in a directory; what is found then is only counted.
const MOST_FILES: usize = 1000;

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

/// Keeps a copy. A failure to do so changes nothing but the log.
pub fn keep(disk: &dyn Disk, directory: &Path, position: Position, reason: Reason, bytes: &[u8]) {
    let path = path(directory, position, reason);
    let kept = (|| {
        let is_one = |(path, _): &(PathBuf, u64)| {
            path.file_name()
                .is_some_and(|name| name.as_encoded_bytes().starts_with(b"quarantine-"))
        };
        if disk
            .list(directory)?
            .iter()
            .filter(|file| is_one(file))
            .count()
            >= MOST_FILES
        {
            return Err(io::Error::other(format!(
                "there are {MOST_FILES} files in quarantine already"
            )));
        }
        disk.create(&path)?.write_at(bytes, 0)
    })();
    match kept {
        Ok(()) => tracing::warn!(
            "{} bytes of {position} put aside as {}: {}",
            bytes.len(),
            reason.name(),
            path.display()
        ),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => {
            tracing::warn!(
                "{position}: {}, and no copy could be kept: {error}",
                reason.name()
            );
        }
    }
}

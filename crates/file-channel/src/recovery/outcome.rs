//! What became of opening a store.

use std::{io, path::PathBuf};

use crate::java::JavaError;

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// The directory holds events of Java Flume.
    #[error(
        "{path} belongs to a file channel of Java Flume; an agent takes it over when it starts, and \
         `flume-ng tool channel inspect` says what is in it"
    )]
    Java {
        /// One of its files.
        path: PathBuf,
    },
    /// Segments of several channels.
    #[error(
        "{path} belongs to another channel than the rest; every channel needs directories of its own"
    )]
    Foreign {
        /// The segment that does not belong.
        path: PathBuf,
    },
    /// A segment that holds events is not there.
    #[error(
        "segment {id}, which held {events} events at the last checkpoint, is in none of the dataDirs; bring its directory back, \
         or remove channel-0.checkpoint and channel-1.checkpoint from {checkpoint_dir} to go on without it"
    )]
    Missing {
        /// Which.
        id: u64,
        /// What would be lost.
        events: u64,
        /// Where the checkpoints are.
        checkpoint_dir: PathBuf,
    },
    /// A segment that is there twice.
    #[error("{path} and {other} are copies of one segment; remove the one that is not in use")]
    Double {
        /// One.
        path: PathBuf,
        /// The other.
        other: PathBuf,
    },
    /// The directories cannot be searched for Java Flume's files.
    #[error(transparent)]
    Search(#[from] JavaError),
    /// The disk failed.
    #[error("failed to read the store")]
    Io(#[from] io::Error),
}

/// What recovery did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Recovered {
    /// Segments that were read behind the checkpoint.
    pub(crate) segments: usize,
    /// Groups found in them.
    pub(crate) groups: u64,
    /// Frames and ranges of the torn last group.
    pub(crate) discarded: usize,
    /// Frames and ranges that were damaged before it.
    pub(crate) corrupt: usize,
    /// Events that were lost with them, as far as known.
    pub(crate) lost: u64,
}

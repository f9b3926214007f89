//! The files of Java Flume's file channel, versions 1.4 to 1.11, as far as they say which events are queued
//! (`docs/format/java-file-channel.md`). Nothing here changes them.

mod checkpoint;
mod cipher;
mod contents;
mod files;
mod log;
mod record;
mod replay;
pub mod writer;

use std::{io, path::PathBuf};

#[cfg(test)]
pub(crate) use self::log::{Meta, append_record};
pub use self::{
    contents::{JavaContents, JavaLog, LogDamage},
    log::{Found, LogReader},
    record::{Action, Record},
};
pub(crate) use self::{
    files::{JavaFiles, barrier},
    replay::Replayed,
};

/// Why Java's files cannot be read; nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum JavaError {
    /// A file cannot be read.
    #[error("failed to read {path}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// A log without its other file.
    #[error(
        "{path} has no .meta file beside it that can be read and belongs to it; without it nobody knows whether the log is \
         enciphered. Bring it back, or move the log elsewhere if its events are not needed. (Flume 1.3 and earlier wrote \
         none: let Flume 1.4 to 1.11 open the directory once.)"
    )]
    Meta {
        /// The log.
        path: PathBuf,
    },
    /// A log of another format.
    #[error(
        "{path} is of version {version}; only version 3 can be read, that of Flume 1.4 to 1.11"
    )]
    Version {
        /// The log.
        path: PathBuf,
        /// Its version.
        version: i32,
    },
    /// A log that is there twice.
    #[error("{path} and {other} have the same number; remove the one that is a copy")]
    Twice {
        /// One.
        path: PathBuf,
        /// The other.
        other: PathBuf,
    },
    /// An enciphered log that cannot be deciphered.
    #[error("{path} is enciphered with key `{alias}`: {why}")]
    Key {
        /// The log.
        path: PathBuf,
        /// The alias of its key.
        alias: String,
        /// What is wrong.
        why: String,
    },
    /// A log that held events is gone.
    #[error(
        "log-{log}, which holds {events} queued events by {checkpoint}, is in none of the dataDirs; bring its directory \
         back, or move that checkpoint elsewhere to go on without these events"
    )]
    Missing {
        /// Its number.
        log: u32,
        /// How many.
        events: usize,
        /// What says so.
        checkpoint: PathBuf,
    },
}

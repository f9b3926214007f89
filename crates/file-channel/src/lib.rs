//! The durable channel: a storage engine, and the channels on it.
//!
//! `docs/format/file-channel.md` describes what is on disk. Three sentences carry the proof that nothing that was
//! acknowledged is lost: *group k + 1 is never written before the sync of group k returned Ok* ([`log`]); *a batch can
//! be taken only after its sync* ([`queue`]); *a sequence number is never used twice* ([`log`], [`recovery`]).

pub mod checkpoint;
mod chores;
pub mod disk;
pub mod encryption;
mod engine;
pub mod file;
pub mod format;
mod frame;
mod health;
mod inbox;
pub mod inspect;
pub mod java;
pub mod lock;
pub mod log;
pub mod pool;
mod progress;
#[cfg(test)]
mod promises;
pub mod quarantine;
mod queue;
pub mod ranges;
mod reader;
mod recovery;
pub mod segment;
mod spillable;
mod takeover;
mod writer;

#[cfg(test)]
mod tests;

use flume_core::{Channel, Registration, Registry};
use flume_host::clock::now_ms;

/// Every component in this crate.
pub static REGISTRY: Registry = Registry {
    channels: CHANNELS,
    ..Registry::EMPTY
};

#[rustfmt::skip]
const CHANNELS: &[Registration<dyn Channel>] = &[
    Registration::channel::<file::FileChannel>("file", "org.apache.flume.channel.file.FileChannel"),
    Registration::channel::<spillable::SpillableChannel>("spillablememory", "org.apache.flume.channel.SpillableMemoryChannel"),
];

//! Sources that read files, what they remember of them, and how the bytes of a file become events.

mod blocking;
mod deserializers;
mod directory_watch;
mod multiline;
mod open;
mod spooldir;
mod taildir;

pub use spooldir::tracker::TrackedPosition;
pub use taildir::position::FilePosition;

use flume_core::{Registration, Registry, Source};

/// Every component in this crate.
pub static REGISTRY: Registry = Registry {
    sources: SOURCES,
    deserializers: deserializers::DESERIALIZERS,
    ..Registry::EMPTY
};

/// Every source in this crate. Order is the order of the reference manual.
#[rustfmt::skip]
const SOURCES: &[Registration<dyn Source>] = &[
    Registration::source::<spooldir::SpoolDirSource>("spooldir", "org.apache.flume.source.SpoolDirectorySource"),
    Registration::source::<taildir::TaildirSource>("TAILDIR", "org.apache.flume.source.taildir.TaildirSource"),
];

//! The `hdfs` sink: events into files, in directories made from their time and headers.
//!
//! The file systems it writes to are the business of the crate `hadoop`; the trait `FileSystem` is the only door.

pub mod formats;
mod path;
mod sink;

use flume_core::{Registration, Registry, Sink};

/// Every component in this crate.
pub static REGISTRY: Registry = Registry {
    sinks: SINKS,
    includes: &[&flume_hadoop::REGISTRY],
    ..Registry::EMPTY
};

#[rustfmt::skip]
const SINKS: &[Registration<dyn Sink>] = &[
    Registration::sink::<sink::HdfsSink>("hdfs", "org.apache.flume.sink.hdfs.HDFSEventSink"),
];

//! The `hdfs` sink, and the file systems it writes to.

mod admission;
pub mod formats;
pub mod fs;
pub mod hadoop;
pub mod identity;
mod path;
pub mod probe;
pub mod rpc;
mod sink;

use flume_core::{EventSerializer, Registration, Sink};
pub use flume_gss::exit;

/// Every sink in this crate.
#[rustfmt::skip]
pub const SINKS: &[Registration<dyn Sink>] = &[
    Registration::sink::<sink::HdfsSink>("hdfs", "org.apache.flume.sink.hdfs.HDFSEventSink"),
];

/// Every serializer in this crate.
#[rustfmt::skip]
pub const SERIALIZERS: &[Registration<dyn EventSerializer>] = &[
];

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

use flume_core::{Registration, Registry, Sink, registry::UnwantedVariable};

/// Every component in this crate, and what the client of HDFS and the Kerberos library ask of the process.
pub static REGISTRY: Registry = Registry {
    sinks: SINKS,
    unwanted_variables: UNWANTED_VARIABLES,
    exit: Some(flume_gss::exit),
    ..Registry::EMPTY
};

/// The client of HDFS reads a file of delegation tokens by this variable with each connection. No sink has a use for
/// them, and a fault in the file ends a thread of the client, or the process.
const UNWANTED_VARIABLES: &[UnwantedVariable] = &[UnwantedVariable {
    name: "HADOOP_TOKEN_FILE_LOCATION",
    reason: "sinks log in by keytabs and tickets",
}];

#[rustfmt::skip]
const SINKS: &[Registration<dyn Sink>] = &[
    Registration::sink::<sink::HdfsSink>("hdfs", "org.apache.flume.sink.hdfs.HDFSEventSink"),
];

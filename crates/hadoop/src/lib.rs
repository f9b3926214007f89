//! Hadoop as a client sees it: its configuration, its RPC, and the file systems behind it.
//!
//! [`conf`] reads `core-site.xml` and `hdfs-site.xml` and says where a path leads. [`rpc`] is Hadoop's RPC without I/O and
//! the connection on it. [`probe`] asks the NameNodes one question, [`Admission`] puts identity, configuration and probe
//! in a row. [`namenode`] holds the messages of `ClientProtocol`. [`fs`] holds the trait [`fs::FileSystem`], the only door to a file system, and [`fs::connect`].
//!
//! What a component does with a file system (names, buckets, formats) does not belong here.

mod admission;
pub mod client;
pub mod conf;
pub mod fs;
pub mod namenode;
pub mod probe;
pub mod rpc;
pub mod writer;
pub mod xfer;

pub use admission::{Admission, Cluster, Destination, unmeant_local_path};
pub use flume_kerberos::{Identity, IdentityMisfit, KerberosSession, SessionTexts};

use flume_core::{Registry, registry::UnwantedVariable};

/// No components, but what a client of Hadoop asks of the process.
pub static REGISTRY: Registry = Registry {
    includes: &[&flume_kerberos::REGISTRY],
    unwanted_variables: UNWANTED_VARIABLES,
    ..Registry::EMPTY
};

/// The client of HDFS reads a file of delegation tokens by this variable with each connection. No sink has a use for
/// them, and a fault in the file ends a thread of the client, or the process.
const UNWANTED_VARIABLES: &[UnwantedVariable] = &[UnwantedVariable {
    name: "HADOOP_TOKEN_FILE_LOCATION",
    reason: "sinks log in by keytabs and tickets",
}];

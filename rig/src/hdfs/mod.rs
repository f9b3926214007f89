//! The hdfs sink: beside Flume's own, and on real clusters with Kerberos.

pub mod agent;
pub mod bench;
pub mod client;
pub mod cluster;
pub mod compare;
pub mod faults;
pub mod identity;
pub mod limits;
pub mod read_back;
pub mod show;

//! Sends events to Flume: to the sources `avro` and `thrift` of this program and of Apache Flume 1.4 to 1.11.
//!
//! ```no_run
//! use flume_client::{Event, FlumeClient, PeerSettings};
//!
//! # async fn example() -> Result<(), flume_client::ClientError> {
//! let mut client = FlumeClient::peer(PeerSettings::avro("collector.example.org", 41414));
//! client.append(&Event::from("hello")).await?;
//! client.append_batch(&[Event::from("one"), Event::from("two")]).await?;
//! # Ok(())
//! # }
//! ```
//!
//! `Ok` means that the events are in the channels of the source: on disk, with a durable channel. After an error they may
//! be there or not, or some of them: send them again. Nothing is sent twice by the client itself, except to another peer
//! after one has failed.
//!
//! | client | what it does with several peers |
//! |---|---|
//! | [`FlumeClient::peer`] | there is one |
//! | [`FlumeClient::failover`] | sends to one as long as it works, then to the next |
//! | [`FlumeClient::balancing`] | sends to each in turn, and leaves out for a while those that failed |
//! | [`FlumeClient::from_properties`] | whatever the properties of Flume's client SDK say |
//!
//! A client connects when it has something to send, and again after an error; the name of its peer is looked up each
//! time. It runs in a tokio runtime with time and I/O enabled. It needs neither an agent nor a JVM.
//!
//! What belongs here: everything that speaks to a source. What the bytes mean is in `flume_wire`, how a connection is made
//! in `flume_net`.

mod avro;
mod client;
mod config;
mod error;
mod hosts;
mod kerberos;
mod peer;
mod thrift;
pub mod transport;

pub use client::FlumeClient;
pub use config::{
    ClientConfig, CompressionConfig, CompressionOrder, CompressionSettings, ThriftProtocolName,
};
pub use error::ClientError;
pub use flume_core::{Event, Headers, Str};
pub use flume_wire::thrift::ThriftProtocol;
pub use hosts::Hosts;
pub use kerberos::{KerberosConfig, KerberosSettings, required_by_kerberos};
pub use peer::{PeerClient, PeerSettings, RpcProtocol};

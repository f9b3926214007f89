//! Sources and sinks that speak Flume's RPC protocols: Avro and Thrift, Scribe, and those of Flume 0.9.
//!
//! A source here is a listener of `flume_net`, a framing of `flume_wire`, and a [`conversation::Dialogue`] that turns each
//! message into a put and its outcome into an answer. A sink is a client of `flume_client`. What belongs here is what a
//! component adds to these: properties, counters, states.

mod conversation;
mod sinks;
mod sources;

use flume_core::Registry;

/// Every component of this crate.
pub static REGISTRY: Registry = Registry {
    sources: sources::SOURCES,
    sinks: sinks::SINKS,
    ..Registry::EMPTY
};

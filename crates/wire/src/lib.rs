//! Formats that sources, sinks and serializers share.

pub mod avro;
pub mod document;
pub mod fluent;
mod framing;
pub mod journal;
pub mod json;
pub mod legacy;
pub mod otlp;
pub mod syslog;
pub mod thrift;

pub use framing::Framing;

/// Most headers and events in one message of any protocol: each of them takes more memory than it took on the wire.
pub const MAX_MESSAGE_PARTS: usize = 1_000_000;

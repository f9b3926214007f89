//! Formats that sources, sinks and serializers share.

pub mod avro;
pub mod document;

//! Deserializers. To add one: write its file, then add its two lines here.

mod avro;
mod blob;
mod line;

use flume_core::{EventDeserializer, Registration};

/// Every deserializer in this crate. Order is the order of the reference manual.
#[rustfmt::skip]
pub(crate) const DESERIALIZERS: &[Registration<dyn EventDeserializer>] = &[
    Registration::deserializer::<line::LineDeserializer>("LINE", "org.apache.flume.serialization.LineDeserializer$Builder"),
    Registration::deserializer::<avro::AvroDeserializer>("AVRO", "org.apache.flume.serialization.AvroEventDeserializer$Builder"),
    Registration::deserializer::<blob::BlobDeserializer>("BLOB", "org.apache.flume.sink.solr.morphline.BlobDeserializer$Builder"),
];

//! Serializers. To add one: write its file, then add its two lines here.

mod avro;
mod avro_body;
mod avro_event;
mod text;

use flume_core::{EventSerializer, Registration};

/// Every serializer in this crate. Order is the order of the reference manual.
#[rustfmt::skip]
pub(crate) const SERIALIZERS: &[Registration<dyn EventSerializer>] = &[
    Registration::serializer::<text::Text>("TEXT", "org.apache.flume.serialization.BodyTextEventSerializer$Builder"),
    Registration::serializer::<text::HeaderAndText>("HEADER_AND_TEXT", "org.apache.flume.serialization.HeaderAndBodyTextEventSerializer$Builder"),
    Registration::serializer::<avro_event::AvroEvent>("avro_event", "org.apache.flume.serialization.FlumeEventAvroEventSerializer$Builder"),
    Registration::serializer::<avro_body::AvroBody>("", "org.apache.flume.sink.hdfs.AvroEventSerializer$Builder"),
];

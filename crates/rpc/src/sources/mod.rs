//! Sources. To add one: write its file, then add its two lines here.

mod avro;
mod avro_legacy;
mod kerberos;
mod scribe;
mod serve;
mod thrift;
mod thrift_legacy;

use flume_core::{Registration, Source};

/// Every source in this crate. Order is the order of the reference manual.
#[rustfmt::skip]
pub(crate) const SOURCES: &[Registration<dyn Source>] = &[
    Registration::source::<avro::AvroSource>("avro", "org.apache.flume.source.AvroSource"),
    Registration::source::<thrift::ThriftSource>("thrift", "org.apache.flume.source.ThriftSource"),
    Registration::source::<scribe::ScribeSource>("", "org.apache.flume.source.scribe.ScribeSource"),
    Registration::source::<avro_legacy::AvroLegacySource>("", "org.apache.flume.source.avroLegacy.AvroLegacySource"),
    Registration::source::<thrift_legacy::ThriftLegacySource>("", "org.apache.flume.source.thriftLegacy.ThriftLegacySource"),
];

//! Sinks. To add one: write its file, then add its two lines here.

mod avro;
mod thrift;

use flume_core::{Registration, Sink};

/// Every sink in this crate. Order is the order of the reference manual.
#[rustfmt::skip]
pub(crate) const SINKS: &[Registration<dyn Sink>] = &[
    Registration::sink::<avro::AvroSink>("avro", "org.apache.flume.sink.AvroSink"),
    Registration::sink::<thrift::ThriftSink>("thrift", "org.apache.flume.sink.ThriftSink"),
];

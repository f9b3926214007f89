//! Sinks. To add one: write its file, then add its two lines here.

mod file_roll;
mod http;
mod logger;
mod null;

use flume_core::{Registration, Sink};

/// Every sink in this crate. Order is the order of the reference manual.
#[rustfmt::skip]
pub(crate) const SINKS: &[Registration<dyn Sink>] = &[
    Registration::sink::<null::NullSink>("null", "org.apache.flume.sink.NullSink"),
    Registration::sink::<logger::LoggerSink>("logger", "org.apache.flume.sink.LoggerSink"),
    Registration::sink::<file_roll::FileRollSink>("file_roll", "org.apache.flume.sink.RollingFileSink"),
    Registration::sink::<http::HttpSink>("http", "org.apache.flume.sink.http.HttpSink"),
];

//! Sink processors. To add one: write its file, then add its two lines here.

mod default;

use flume_core::{Registration, SinkProcessor};

/// Every sink processor in this crate. Order is the order of the reference manual.
#[rustfmt::skip]
pub(crate) const PROCESSORS: &[Registration<dyn SinkProcessor>] = &[
    Registration::processor::<default::DefaultProcessor>("default", "org.apache.flume.sink.DefaultSinkProcessor"),
];

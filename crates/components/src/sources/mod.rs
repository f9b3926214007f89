//! Sources. To add one: write its file, then add its two lines here.

mod stress;

use flume_core::{Registration, Source};

/// Every source in this crate. Order is the order of the reference manual.
#[rustfmt::skip]
pub const SOURCES: &[Registration<dyn Source>] = &[
    Registration::source::<stress::StressSource>("stress", "org.apache.flume.source.StressSource"),
];

//! Sink processors. To add one: write its file, then add its two lines here.

mod default;
mod failover;
mod load_balance;

use flume_core::{Registration, SinkProcessor};

/// Every sink processor in this crate. Order is the order of the reference manual.
#[rustfmt::skip]
pub(crate) const PROCESSORS: &[Registration<dyn SinkProcessor>] = &[
    Registration::processor::<default::DefaultProcessor>("default", "org.apache.flume.sink.DefaultSinkProcessor"),
    Registration::processor::<failover::FailoverProcessor>("failover", "org.apache.flume.sink.FailoverSinkProcessor"),
    Registration::processor::<load_balance::LoadBalanceProcessor>("load_balance", "org.apache.flume.sink.LoadBalancingSinkProcessor"),
];

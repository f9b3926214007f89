//! Sink processors. To add one: write its file, then add its two lines here.

mod default;
mod failover;
mod load_balance;

use std::time::Duration;

use flume_core::{Registration, SinkProcessor};

/// Every sink processor in this crate. Order is the order of the reference manual.
#[rustfmt::skip]
pub const PROCESSORS: &[Registration<dyn SinkProcessor>] = &[
    Registration::processor::<default::DefaultProcessor>("default", "org.apache.flume.sink.DefaultSinkProcessor"),
    Registration::processor::<failover::FailoverProcessor>("failover", "org.apache.flume.sink.FailoverSinkProcessor"),
    Registration::processor::<load_balance::LoadBalanceProcessor>("load_balance", "org.apache.flume.sink.LoadBalancingSinkProcessor"),
];

/// The pause after so many failures in a row: 2 s, 4 s, 8 s and so on, at most `max`.
fn penalty(failures: u32, max: Duration) -> Duration {
    let doubled = 1000u64.saturating_mul(2u64.saturating_pow(failures));
    Duration::from_millis(doubled).min(max)
}

//! Sources. To add one: write its file, then add its two lines here.

mod exec;
mod java_lines;
mod lines;
mod netcat;
mod netcat_udp;
mod seq;
mod stress;

use flume_core::{Registration, Source};

/// Every source in this crate. Order is the order of the reference manual.
#[rustfmt::skip]
pub(crate) const SOURCES: &[Registration<dyn Source>] = &[
    Registration::source::<exec::ExecSource>("exec", "org.apache.flume.source.ExecSource"),
    Registration::source::<netcat::NetcatSource>("netcat", "org.apache.flume.source.NetcatSource"),
    Registration::source::<netcat_udp::NetcatUdpSource>("netcatudp", "org.apache.flume.source.NetcatUdpSource"),
    Registration::source::<seq::SeqSource>("seq", "org.apache.flume.source.SequenceGeneratorSource"),
    Registration::source::<stress::StressSource>("stress", "org.apache.flume.source.StressSource"),
];

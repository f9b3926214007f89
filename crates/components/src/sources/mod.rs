//! Sources. To add one: write its file, then add its two lines here.

mod exec;
mod fluent;
mod http;
mod java_lines;
mod journald;
mod lines;
mod multiport_syslog;
mod netcat;
mod netcat_udp;
mod otlp;
mod request;
mod seq;
mod stress;
mod syslog;
mod syslog_tcp;
mod syslog_udp;

use flume_core::{Registration, Source};

/// Every source in this crate. Order is the order of the reference manual.
#[rustfmt::skip]
pub(crate) const SOURCES: &[Registration<dyn Source>] = &[
    Registration::source::<exec::ExecSource>("exec", "org.apache.flume.source.ExecSource"),
    Registration::source::<fluent::FluentSource>("fluent", ""),
    Registration::source::<http::HttpSource>("http", "org.apache.flume.source.http.HTTPSource"),
    Registration::source::<journald::JournaldSource>("journald", ""),
    Registration::source::<netcat::NetcatSource>("netcat", "org.apache.flume.source.NetcatSource"),
    Registration::source::<netcat_udp::NetcatUdpSource>("netcatudp", "org.apache.flume.source.NetcatUdpSource"),
    Registration::source::<multiport_syslog::MultiportSyslogSource>("multiport_syslogtcp", "org.apache.flume.source.MultiportSyslogTCPSource"),
    Registration::source::<otlp::OtlpSource>("otlp", ""),
    Registration::source::<seq::SeqSource>("seq", "org.apache.flume.source.SequenceGeneratorSource"),
    Registration::source::<stress::StressSource>("stress", "org.apache.flume.source.StressSource"),
    Registration::source::<syslog_tcp::SyslogTcpSource>("syslogtcp", "org.apache.flume.source.SyslogTcpSource"),
    Registration::source::<syslog_udp::SyslogUdpSource>("syslogudp", "org.apache.flume.source.SyslogUDPSource"),
];

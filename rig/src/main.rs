//! Measurements and demonstrations beside the real peers: `flume-rig show`, `slice`, `bench`, `soak`.

mod agents;
mod bench;
mod bridge;
mod claims;
mod deploy;
mod file_channel;
mod flow;
mod flows;
mod guide;
mod hdfs;
mod kafka;
mod lanes;
mod netcat;
mod page;
mod report;
mod rpc;
mod sources;
mod transcripts;
mod verdicts;
mod watched;
mod zookeeper;

use std::time::Duration;

use anyhow::{Result, bail};

fn main() -> ! {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<_> = arguments.iter().map(String::as_str).collect();
    let passed = run(&words).unwrap_or_else(|error| {
        eprintln!("flume-rig: {error:#}");
        false
    });
    // As the agent ends: a thread may stand in a login.
    flume_kerberos::gss::exit(if passed { 0 } else { 1 })
}

/// Whether everything passed.
fn run(words: &[&str]) -> Result<bool> {
    let done = |()| true;
    match words {
        ["show", names @ ..] => claims::show(names),
        ["slice", names @ ..] => claims::slice(names),
        ["bench"] => bench::everything().map(done),
        ["bench", names @ ..] => bench::run_some(&bench::FULL, names).map(|_| true),
        ["try", names @ ..] => bench::run_some(&bench::SHORT, names).map(|_| true),
        ["soak", minutes] => soak(Duration::from_secs(60 * minutes.parse::<u64>()?)),
        ["cluster", words @ ..] => hdfs::cluster::run(words),
        // Processes that demonstrations start.
        ["victim", dir, round, take_sync] => file_channel::victim(dir, round, take_sync).map(done),
        ["watcher", victim] => deploy::watcher(victim).map(done),
        ["load", dir, events] => file_channel::load(dir, events).map(done),
        ["hdfs-client"] => hdfs::client::child(),
        _ => bail!(
            "usage: flume-rig show [NAME...] | slice [NAME...] | bench [FLOW...] | try FLOW... | \
             soak MINUTES | cluster MODE\nnames: {}",
            claims::all_names()
        ),
    }
}

fn soak(duration: Duration) -> Result<bool> {
    let mut report = report::Report::default();
    flows::soak(&mut report, duration)?;
    file_channel::soak(&mut report, &agents::scratch()?, duration)?;
    Ok(report.done())
}

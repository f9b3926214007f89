//! Kafka's source, sink and channel on real brokers, beside those of Java Flume 1.11.

mod bench;
pub mod brokers;
mod bytes;
mod groups;
mod migration;
mod once;
mod records;
mod security;

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use crate::{agents::install_java, report::Report};
use brokers::{BrokerSetup, Brokers, OLDER};

/// A wait that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(300);

/// What one broker shows within a minute and a half.
pub fn slice(report: &mut Report) -> Result<()> {
    install_java()?;
    let brokers = Brokers::start(1, &BrokerSetup::default())?;
    bytes::show(report, &brokers)?;
    groups::orderly(report, &brokers, 20_000)
}

/// Exactly once, under kills.
pub fn exactly_once(report: &mut Report) -> Result<()> {
    let brokers = Brokers::start(1, &BrokerSetup::default())?;
    once::show(report, &brokers, 50_000, 10)
}

/// All of it.
pub fn show(report: &mut Report) -> Result<()> {
    install_java()?;
    let brokers = Brokers::start(1, &BrokerSetup::default())?;
    bytes::show(report, &brokers)?;
    groups::orderly(report, &brokers, 200_000)?;
    groups::with_java(report, &brokers, 200_000)?;
    records::show(report, &brokers)?;
    drop(brokers);
    groups::killed_brokers(report)
}

/// The release before Kafka 4.
pub fn older(report: &mut Report) -> Result<()> {
    install_java()?;
    let setup = BrokerSetup {
        version: OLDER,
        ..BrokerSetup::default()
    };
    let brokers = Brokers::start(1, &setup)?;
    bytes::show(report, &brokers)?;
    groups::orderly(report, &brokers, 200_000)?;
    groups::with_java(report, &brokers, 200_000)?;
    once::show(report, &brokers, 20_000, 4)
}

/// Agents join a group and leave it, ours and Java's by turns, for so long.
pub fn churn(report: &mut Report, duration: Duration) -> Result<()> {
    install_java()?;
    let brokers = Brokers::start(1, &BrokerSetup::default())?;
    groups::churn(report, &brokers, duration)
}

/// Offsets that are still in ZooKeeper.
pub fn migration(report: &mut Report) -> Result<()> {
    install_java()?;
    let brokers = Brokers::start(1, &BrokerSetup::default())?;
    migration::show(report, &brokers)
}

/// Events per second beside Java Flume.
pub fn bench(report: &mut Report) -> Result<()> {
    install_java()?;
    let brokers = Brokers::start(1, &BrokerSetup::default())?;
    bench::show(report, &brokers)
}

/// What an operator sees of records and events that cannot be delivered.
pub fn odd_records(report: &mut Report) -> Result<()> {
    let brokers = Brokers::start(1, &BrokerSetup::default())?;
    records::show(report, &brokers)
}

/// Every way to log in, and a KDC that is away.
pub fn secured(report: &mut Report) -> Result<()> {
    security::show(report)
}

/// Waits until it is so.
fn until(what: &str, mut condition: impl FnMut() -> Result<bool>) -> Result<()> {
    let begun = Instant::now();
    while !condition()? {
        ensure!(begun.elapsed() < PATIENCE, "never so: {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// The numbers that a `file_roll` sink wrote into a directory, one a line, in the order of its files.
fn numbers(dir: &Path) -> Result<Vec<u64>> {
    let mut files: Vec<_> = fs::read_dir(dir)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.sort();
    let mut numbers = vec![];
    for file in files {
        let text = fs::read_to_string(&file)?;
        for line in text.lines() {
            numbers.push(
                line.parse()
                    .with_context(|| format!("{}: `{line}`", file.display()))?,
            );
        }
    }
    Ok(numbers)
}

/// The numbers in the values of a dump.
fn numbers_in(dump: &[String]) -> Result<Vec<u64>> {
    let number = |line: &String| {
        let hex = line.split(' ').nth(3).unwrap_or_default();
        let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16);
        let text: Vec<u8> = (0..hex.len())
            .step_by(2)
            .map(byte)
            .collect::<Result<_, _>>()?;
        Ok(String::from_utf8(text)?.parse()?)
    };
    dump.iter().map(number).collect()
}

/// How many of the numbers below `end` are missing, and how many come again.
fn lost_and_repeated(all: &[u64], end: u64) -> (u64, u64) {
    let mut seen = vec![0u64; end as usize];
    for number in all {
        if let Some(count) = seen.get_mut(*number as usize) {
            *count += 1;
        }
    }
    let lost = seen.iter().filter(|count| **count == 0).count() as u64;
    (lost, seen.iter().map(|count| count.saturating_sub(1)).sum())
}

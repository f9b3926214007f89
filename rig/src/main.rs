//! `flume-rig bench|show|soak|slice|formats|hdfs|file-channel|deploy`: measurements and
//! demonstrations beside the real peers.

mod agents;
mod bench;
mod cluster;
mod deploy;
mod file_channel;
mod flow;
mod guide;
mod hdfs_agent;
mod hdfs_bench;
mod hdfs_client;
mod hdfs_compare;
mod hdfs_faults;
mod hdfs_limits;
mod hdfs_show;
mod identity;
mod netcat;
mod read_back;
mod show;
mod structure;
mod transcripts;

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
    flume_hdfs::REGISTRY.exit(if passed { 0 } else { 1 })
}

/// Whether everything passed.
fn run(words: &[&str]) -> Result<bool> {
    let seconds = Duration::from_secs;
    let effort = bench::Effort {
        rounds: 3,
        warm_up: seconds(5),
        measured: seconds(6),
    };
    match words {
        ["bench"] => {
            bench::run(&effort)?;
            let (ours, java) = bench::start_up(5)?;
            println!("exec to open port: {ours:.0} ms, Java {java:.0} ms");
            file_channel::bench(&agents::scratch()?)?;
            Ok(true)
        }
        ["bench", names @ ..] => bench::run_some(&effort, names).map(|_| true),
        ["show"] => show::run(&effort),
        ["slice"] => show::slice(),
        ["formats"] => show::formats_alone(),
        ["hdfs", names @ ..] => show::hdfs_alone(names),
        ["file-channel"] => show::file_channel_alone(false),
        ["file-channel", "slice"] => show::file_channel_alone(true),
        ["deploy", parts @ ..] => show::deployment_alone(parts),
        ["file-channel", "ceiling"] => file_channel::bench(&agents::scratch()?).map(|()| true),
        ["file-channel", "kills"] => show::kills_alone(),
        ["victim", dir, round, take_sync] => {
            file_channel::victim(dir, round, take_sync).map(|()| true)
        }
        ["load", dir, events] => file_channel::load(dir, events).map(|()| true),
        ["try", names @ ..] => bench::run_some(
            &bench::Effort {
                rounds: 1,
                warm_up: seconds(3),
                measured: seconds(3),
            },
            names,
        )
        .map(|_| true),
        ["soak", minutes] => show::soak(
            minutes
                .parse::<u64>()
                .map(|minutes| seconds(60 * minutes))?,
        ),
        ["hdfs-client"] => hdfs_client::child(),
        ["secured", part] => show::secured(part),
        ["identity"] => show::identity_alone(),
        ["cluster", words @ ..] => cluster::run(words),
        _ => bail!(
            "usage: flume-rig bench [NAME...] | show | slice | formats | hdfs [NAME...] | file-channel | deploy [PART...] | soak MINUTES | identity | cluster MODE | secured PART"
        ),
    }
}

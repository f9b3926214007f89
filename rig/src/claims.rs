//! What the project claims of itself, each with the demonstration that shows it.
//!
//! To add one: write a function that fills a [`Report`], and add its row to [`CLAIMS`].

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::{
    agents::scratch, bench, bridge, deploy, file_channel, flows, guide, hdfs, kafka, lanes, page,
    report::Report, rpc, sources, transcripts, verdicts, watched, zookeeper,
};

/// A demonstration.
pub struct Claim {
    /// What one calls it by.
    pub name: &'static str,
    /// All of it, for `make show`.
    full: fn(&mut Report) -> Result<()>,
    /// The part that takes at most a few minutes and depends on no timing, for `make test`.
    slice: Option<fn(&mut Report) -> Result<()>>,
    /// Whether its slice measures or builds, and so wants the machine for itself.
    pub alone: bool,
}

/// All of them, in the order in which they run.
#[rustfmt::skip]
pub const CLAIMS: &[Claim] = &[
    claim("flows", |report| flows::show(report, seconds(5))).slice(|report| flows::show(report, seconds(1))),
    claim("verdicts", verdicts::show).slice(verdicts::show),
    claim("transcripts", |report| transcripts::show(report, true)).slice(|report| transcripts::show(report, false)),
    claim("guide", guide::show).slice(guide::show).alone(),
    claim("formats", hdfs::read_back::show).slice(hdfs::read_back::show),
    claim("hdfs-beside-java", |report| hdfs::compare::show(report, None))
        .slice(|report| hdfs::compare::show(report, Some(hdfs::compare::SLICE))),
    claim("file-channel", |report| file_channel::show(report, &scratch()?))
        .slice(|report| file_channel::slice(report, &scratch()?)),
    claim("file-channel-takeover", file_channel::takeover::show)
        .slice(file_channel::takeover::show),
    claim("file-channel-kills", |report| file_channel::killed(report, &scratch()?, 100)),
    claim("file-channel-faults", |report| file_channel::killed_while_failing(report, &scratch()?, 500)),
    claim("file-channel-edges", |report| file_channel::idle_at_edges(report, &scratch()?)),
    claim("rpc-beside-java", rpc::show).slice(rpc::slice),
    claim("rpc-kerberos", |report| rpc::with_kerberos(report, 100_000))
        .slice(|report| rpc::with_kerberos(report, 300)),
    claim("sources-beside-java", sources::show).slice(sources::slice),
    claim("taildir-torture", sources::torture::show).slice(sources::torture::slice),
    claim("groups", rpc::groups::show),
    claim("rpc-bench", |report| rpc::bench::show(report, seconds(5))),
    claim("rpc-limits", rpc::limits::show).slice(rpc::limits::show),
    claim("three-tiers", |report| rpc::tiers::show(report, seconds(600)))
        .slice(|report| rpc::tiers::show(report, seconds(10))),
    claim("deploy", |report| deploy::show(report, &[])).slice(deploy::slice),
    claim("deploy-host", |report| deploy::show(report, &["host"])),
    claim("deploy-hosts", |report| deploy::show(report, &["hosts"])),
    claim("deploy-scripts", |report| deploy::show(report, &["scripts"])),
    claim("deploy-packages", |report| deploy::show(report, &["packages"])),
    claim("deploy-systemd", |report| deploy::show(report, &["systemd"])),
    claim("zookeeper", zookeeper::show).slice(zookeeper::show),
    claim("java-classes", bridge::show).slice(bridge::slice),
    claim("java-components", sources::show_hosted),
    claim("programs", bridge::programs::show).slice(bridge::programs::show),
    claim("logins", hdfs::identity::logins).slice(hdfs::identity::logins),
    claim("hdfs-qualities", hdfs::client::matrix),
    claim("hdfs-agent", hdfs::show::all).slice(hdfs::show::slice),
    claim("hdfs-limits", hdfs::limits::all).slice(hdfs::limits::all),
    claim("hdfs-datanodes", hdfs::faults::data_nodes),
    claim("hdfs-few-datanodes", hdfs::faults::few_data_nodes),
    claim("hdfs-namenodes", hdfs::faults::name_nodes).slice(hdfs::faults::slice),
    claim("hdfs-bench", |report| hdfs::bench::run(report, true)),
    claim("kafka", kafka::show).slice(kafka::slice),
    claim("kafka-zookeeper", kafka::migration),
    claim("kafka-older", kafka::older),
    claim("kafka-churn", |report| kafka::churn(report, seconds(600))),
    claim("kafka-bench", kafka::bench),
    claim("kafka-exactly-once", kafka::exactly_once),
    claim("kafka-records", kafka::odd_records),
    claim("kafka-security", kafka::secured),
    claim("page", page::show),
    claim("watched", watched::show),
    claim("build", guide::cold_build),
    claim("bench", |report| bench::show(report, &bench::FULL)).slice(bench::slice).alone(),
];

const fn claim(name: &'static str, full: fn(&mut Report) -> Result<()>) -> Claim {
    Claim {
        name,
        full,
        slice: None,
        alone: false,
    }
}

impl Claim {
    const fn slice(self, slice: fn(&mut Report) -> Result<()>) -> Claim {
        Claim {
            slice: Some(slice),
            ..self
        }
    }

    const fn alone(self) -> Claim {
        Claim {
            alone: true,
            ..self
        }
    }
}

/// Runs the named claims, or all of them; whether all hold.
pub fn show(names: &[&str]) -> Result<bool> {
    let mut report = Report::default();
    for claim in wanted(names)? {
        demonstrate(claim, claim.full, &mut report);
    }
    Ok(report.done())
}

/// Runs the slices of the named claims, or of all that have one; whether all hold. Several run in lanes.
pub fn slice(names: &[&str]) -> Result<bool> {
    let mut claims = wanted(names)?;
    claims.retain(|claim| claim.slice.is_some());
    if claims.len() > 1 {
        return lanes::run(&claims);
    }
    let mut report = Report::default();
    for claim in claims {
        if let Some(slice) = claim.slice {
            demonstrate(claim, slice, &mut report);
        }
    }
    Ok(report.done())
}

fn demonstrate(claim: &Claim, part: fn(&mut Report) -> Result<()>, report: &mut Report) {
    let begun = Instant::now();
    if let Err(error) = part(report) {
        report.row(claim.name, format!("{error:#}"), "to run to its end", false);
    }
    println!("--- {}: {:.0} s", claim.name, begun.elapsed().as_secs_f64());
}

/// The named claims, or all of them.
fn wanted(names: &[&str]) -> Result<Vec<&'static Claim>> {
    for name in names {
        let known = CLAIMS.iter().any(|claim| claim.name == *name);
        ensure!(
            known,
            "no claim is called {name}; there are: {}",
            all_names()
        );
    }
    let wanted = |claim: &&Claim| names.is_empty() || names.contains(&claim.name);
    Ok(CLAIMS.iter().filter(wanted).collect())
}

/// The names, for a usage message.
pub fn all_names() -> String {
    let names: Vec<_> = CLAIMS.iter().map(|claim| claim.name).collect();
    names.join(" ")
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

//! Three tiers of agents with file channels, over a network that misbehaves, each process killed in turn under load.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use flume_cluster::free_port;
use flume_testkit::agent::Agent;

use super::{
    proxy::FaultyProxy,
    senders::{Senders, wait_for_all},
};
use crate::{
    agents::{program, scratch},
    report::Report,
};

const CLIENTS: u64 = 4;
/// What is sent must have come out so long after the last fault.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(120);
/// Longer than a sink waits for an answer.
const STALL: Duration = Duration::from_millis(3500);
/// Between faults.
const LONGEST_CALM_MILLIS: u64 = 2500;

const CHANNEL: &str = "\
a1.sources = r1
a1.channels = c1
a1.sinks = k1
a1.sources.r1.channels = c1
a1.sinks.k1.channel = c1
a1.channels.c1.type = file
a1.channels.c1.checkpointDir = @DIR@/channel/checkpoint
a1.channels.c1.dataDirs = @DIR@/channel/data
a1.channels.c1.minimumRequiredSpace = 0
";

/// What takes events from the tier before: a netcat source for the first, an avro source for the others.
fn source(tier: usize, port: u16) -> String {
    let kind = if tier == 0 { "netcat" } else { "avro" };
    format!(
        "a1.sources.r1.type = {kind}\na1.sources.r1.bind = 127.0.0.1\na1.sources.r1.port = {port}\n"
    )
}

/// To the next tier, with time limits shorter than a stall.
fn avro_sink(port: u16) -> String {
    format!(
        "a1.sinks.k1.type = avro\na1.sinks.k1.hostname = 127.0.0.1\na1.sinks.k1.port = {port}\n\
         a1.sinks.k1.request-timeout = 2000\na1.sinks.k1.connect-timeout = 2000\n"
    )
}

const HDFS_SINK: &str = "\
a1.sinks.k1.type = hdfs
a1.sinks.k1.hdfs.path = file://@DIR@/out
a1.sinks.k1.hdfs.fileType = DataStream
a1.sinks.k1.hdfs.rollInterval = 5
a1.sinks.k1.hdfs.rollSize = 0
a1.sinks.k1.hdfs.rollCount = 0
a1.sinks.k1.hdfs.batchSize = 500
";

/// Three agents, and the proxies between them.
struct Tiers {
    agents: Vec<Option<Agent>>,
    configurations: Vec<String>,
    proxies: Vec<FaultyProxy>,
    address: String,
}

impl Tiers {
    fn start() -> Result<Self> {
        let ports = [free_port(), free_port(), free_port()];
        let proxies = vec![FaultyProxy::start(ports[1])?, FaultyProxy::start(ports[2])?];
        let sinks = [
            avro_sink(proxies[0].port),
            avro_sink(proxies[1].port),
            HDFS_SINK.to_string(),
        ];
        let configurations: Vec<_> = sinks
            .iter()
            .enumerate()
            .map(|(tier, sink)| [CHANNEL, &source(tier, ports[tier]), sink].concat())
            .collect();
        let mut agents = vec![];
        for configuration in &configurations {
            let dir = tempfile::tempdir_in(scratch()?)?;
            fs::create_dir(dir.path().join("out"))?;
            agents.push(Some(Agent::start_in(dir, &program(), configuration, &[])?));
        }
        let mut tiers = Tiers {
            agents,
            configurations,
            proxies,
            address: format!("127.0.0.1:{}", ports[0]),
        };
        (0..3).try_for_each(|tier| tiers.wait_until_ready(tier))?;
        Ok(tiers)
    }

    fn wait_until_ready(&mut self, tier: usize) -> Result<()> {
        let agent = self.agents[tier].as_mut().context("a running agent")?;
        agent.address("r1");
        Ok(())
    }

    /// What the agents say when something is missing; their directories are left for a closer look.
    fn show_what_is_left(&mut self) -> Result<()> {
        for (tier, agent) in self.agents.iter_mut().enumerate() {
            let agent = agent.take().context("a running agent")?;
            for component in agent.status()?.components {
                let held = component.channel.map(|channel| format!("{channel:?}"));
                let reason = component.reason.unwrap_or_default();
                let held = held.unwrap_or_default();
                println!(
                    "tier {tier} {}: {} {reason} {held}",
                    component.name, component.state
                );
            }
            println!("tier {tier} is in {}", agent.kill()?.keep().display());
        }
        Ok(())
    }

    /// Kills an agent and starts it again on what it left.
    fn kill(&mut self, tier: usize) -> Result<()> {
        let agent = self.agents[tier].take().context("a running agent")?;
        let dir = agent.kill()?;
        let configuration = &self.configurations[tier];
        self.agents[tier] = Some(Agent::start_in(dir, &program(), configuration, &[])?);
        self.wait_until_ready(tier)
    }
}

/// How often what was done.
#[derive(Default)]
struct FaultCounts {
    kills: usize,
    cuts: usize,
    stalls: usize,
    half_closes: usize,
}

impl FaultCounts {
    fn sum(&self) -> usize {
        self.kills + self.cuts + self.stalls + self.half_closes
    }
}

/// Kills and faults for so long; then everything that was acknowledged has to come out.
pub fn show(report: &mut Report, duration: Duration) -> Result<()> {
    let mut tiers = Tiers::start()?;
    let senders = Senders::start(&tiers.address, CLIENTS);
    let begun = Instant::now();
    let mut random = fastrand::Rng::with_seed(15);
    let mut counts = FaultCounts::default();
    // Each tier and each fault comes about, however short the demonstration is.
    while begun.elapsed() < duration || counts.sum() < 8 {
        std::thread::sleep(Duration::from_millis(random.u64(200..LONGEST_CALM_MILLIS)));
        let proxy = &tiers.proxies[random.usize(..2)];
        match counts.sum() % 8 {
            0 | 3 | 6 => {
                tiers.kill(counts.kills % 3)?;
                counts.kills += 1;
            }
            1 | 4 => {
                proxy.cut();
                counts.cuts += 1;
            }
            2 | 5 => {
                proxy.half_close();
                counts.half_closes += 1;
            }
            _ => {
                proxy.stall(STALL);
                counts.stalls += 1;
            }
        }
    }
    let acknowledged = senders.stop();
    let out = tiers.agents[2]
        .as_ref()
        .context("a running agent")?
        .dir()
        .join("out");
    let tally = wait_for_all(&acknowledged, &[out], DRAIN_TIMEOUT)?;
    let FaultCounts {
        kills,
        cuts,
        stalls,
        half_closes,
    } = counts;
    println!(
        "three tiers for {:.0} s: {kills} kills, {cuts} cuts, {stalls} stalls, {half_closes} half-closes; {} lines came \
         out twice, because an answer was lost after the events were stored",
        begun.elapsed().as_secs_f64(),
        tally.duplicates
    );
    report.row(
        "three-tiers.acknowledged",
        tally.acknowledged,
        "> 0",
        tally.acknowledged > 0,
    );
    report.row("three-tiers.lost", tally.lost, "0", tally.lost == 0);
    report.row(
        "three-tiers.damaged",
        tally.damaged,
        "0",
        tally.damaged == 0,
    );
    if tally.lost > 0 {
        println!("the first missing lines: {:?}", tally.missing);
        tiers.show_what_is_left()?;
    }
    Ok(())
}

//! Three tiers of agents with file channels, over a network that misbehaves, each process killed in turn under load.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use flume_cluster::free_port;
use flume_testkit::agent::Agent;

use super::{
    parts,
    proxy::FaultyProxy,
    senders::{Senders, wait_for_all},
};
use crate::{
    agents::{program, scratch},
    report::Report,
};

const CLIENTS: u64 = 4;
/// What is sent comes out after the last fault, and never pauses for so long.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(120);
/// Longer than a sink waits for an answer.
const STALL: Duration = Duration::from_millis(3500);
/// Between faults.
const LONGEST_CALM_MILLIS: u64 = 2500;

const HDFS_SINK: &str = "\
type = hdfs
hdfs.path = file://@DIR@/out
hdfs.fileType = DataStream
hdfs.rollInterval = 5
hdfs.rollSize = 0
hdfs.rollCount = 0
hdfs.batchSize = 500
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
            parts::avro_sink("k1", proxies[0].port, parts::SHORT_LIMITS),
            parts::avro_sink("k1", proxies[1].port, parts::SHORT_LIMITS),
            parts::settings("a1.sinks.k1", HDFS_SINK),
        ];
        let names = parts::names(&["k1"]);
        let configurations: Vec<_> = ["netcat", "avro", "avro"]
            .into_iter()
            .zip(ports)
            .zip(sinks)
            .map(|((kind, port), sink)| {
                let source = parts::source(kind).replace("@PORT@", &port.to_string());
                [&names, parts::FILE_CHANNEL, &source, &sink].concat()
            })
            .collect();
        let mut agents = vec![];
        for configuration in &configurations {
            let dir = tempfile::tempdir_in(scratch()?)?;
            fs::create_dir(dir.path().join("out"))?;
            agents.push(Some(Agent::start_in(dir, program(), configuration, &[])?));
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
        self.agents[tier] = Some(Agent::start_in(dir, program(), configuration, &[])?);
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
    let sent = senders.stop()?;
    let out = tiers.agents[2]
        .as_ref()
        .context("a running agent")?
        .dir()
        .join("out");
    let FaultCounts {
        kills,
        cuts,
        stalls,
        half_closes,
    } = counts;
    println!(
        "three tiers for {:.0} s: {kills} kills, {cuts} cuts, {stalls} stalls, {half_closes} half-closes",
        begun.elapsed().as_secs_f64()
    );
    for (client, sent) in sent.iter().enumerate() {
        println!("client {client}: {sent:?}");
    }
    let tally = wait_for_all(&sent, &[out], DRAIN_TIMEOUT)?;
    println!(
        "{} lines came out, {} of them once more than necessary: clients sent {} lines again, and an agent repeats a \
         batch whose answer was lost",
        tally.delivered, tally.duplicates, tally.again
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

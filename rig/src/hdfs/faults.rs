//! Servers of a cluster that die, stand still or change places while an agent writes: what is lost, which must be
//! nothing, what is written twice, and how long nothing flows.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread::{self, sleep},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use flume_cluster::{Cluster, Layout};
use flume_testkit::agent::{Agent, component};

use crate::{
    hdfs::agent::{Feed, files, numbers, one_sink, start},
    report::Report,
};

/// Before and after the fault.
const CALM: Duration = Duration::from_secs(3);
/// The flow must be back within this time.
const PATIENCE: Duration = Duration::from_secs(150);
/// A NameNode stands still so long.
const PAUSED: Duration = Duration::from_secs(20);
/// Lines sent at once come at this interval.
const PAUSE: Duration = Duration::from_millis(50);

/// What happens to the cluster.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// SIGKILL of the DataNode at this position of the pipeline of the open file.
    KillDataNode(usize),
    /// SIGSTOP of it.
    PauseDataNode(usize),
    /// The active NameNode is stopped and started again.
    RestartNameNode,
    /// The standby becomes active, the other one lives.
    FailOver,
    /// The active NameNode is killed, and the standby becomes active.
    KillNameNode,
    /// SIGSTOP of the active NameNode for a while.
    PauseNameNode,
}

const OF_DATA_NODES: &[Fault] = &[
    Fault::KillDataNode(0),
    Fault::KillDataNode(1),
    Fault::KillDataNode(2),
    Fault::PauseDataNode(0),
    Fault::PauseDataNode(1),
    Fault::PauseDataNode(2),
];

const OF_NAME_NODES: &[Fault] = &[
    Fault::RestartNameNode,
    Fault::PauseNameNode,
    Fault::FailOver,
    Fault::KillNameNode,
];

/// Each fault on a cluster of five DataNodes and two NameNodes.
pub fn all(report: &mut Report) -> Result<()> {
    some(report, OF_DATA_NODES)?;
    name_nodes(report)
}

/// Those of NameNodes.
pub fn name_nodes(report: &mut Report) -> Result<()> {
    some(report, OF_NAME_NODES)
}

/// One of each kind that a client meets often.
pub fn slice(report: &mut Report) -> Result<()> {
    some(report, &[Fault::KillDataNode(1), Fault::FailOver])
}

fn some(report: &mut Report, faults: &[Fault]) -> Result<()> {
    // A dead DataNode is known to be one after some seconds instead of ten minutes.
    let layout = Layout::simple(5)
        .with_ha()
        .with("dfs.heartbeat.interval", "1")
        .with("dfs.namenode.heartbeat.recheck-interval", "2000");
    let mut cluster = Cluster::start(layout)?;
    let mut active = "nn1";
    for (number, fault) in faults.iter().enumerate() {
        one(
            report,
            &mut cluster,
            &mut active,
            *fault,
            &format!("/user/flume/fault{number}"),
        )?;
    }
    Ok(())
}

/// One fault in the middle of a flow.
fn one(
    report: &mut Report,
    cluster: &mut Cluster,
    active: &mut &'static str,
    fault: Fault,
    path: &str,
) -> Result<()> {
    let text = one_sink(cluster, "flume", path, 0)?;
    let mut agent = start(cluster, &text)?;
    let feed = Feed::start(agent.address("r1"), PAUSE);
    agent.wait_for_count("k1", "EventDrainSuccessCount", 1000);
    let file = files(cluster, path)?.pop().context("no file")?;
    let struck = AtomicBool::new(false);
    let (hit, stood) = thread::scope(|scope| {
        let watch = scope.spawn(|| longest_standstill(&agent, &struck));
        let hit = strike(cluster, active, fault, &file);
        struck.store(true, Relaxed);
        (hit, watch.join())
    });
    let hit = hit?;
    let stood = stood.map_err(|_| anyhow::anyhow!("the watch panicked"))??;
    relieve(cluster, fault, &hit)?;
    let acknowledged = feed.stop()?;
    let drained = wait_for_drain(&agent, acknowledged)?;
    let (status, log) = agent.stop()?;
    let found = numbers(cluster, path)?;
    let lost = (0..acknowledged)
        .filter(|number| !found.contains_key(number))
        .count();
    let item = format!("{fault:?}");
    report.row(
        &format!("{item}: lines lost of {acknowledged}"),
        lost,
        "0",
        lost == 0 && drained,
    );
    if lost > 0 || !drained || !status.success() {
        println!("{log}");
    }
    println!(
        "{item} ({hit}): {} lines twice, nothing flowed for {:.1} s, {} files",
        twice(&found),
        stood.as_secs_f64(),
        files(cluster, path)?.len()
    );
    Ok(())
}

fn twice(found: &BTreeMap<u64, u64>) -> u64 {
    found.values().map(|times| times - 1).sum()
}

/// Lets it happen: the server that is hit.
fn strike(
    cluster: &mut Cluster,
    active: &mut &'static str,
    fault: Fault,
    file: &str,
) -> Result<String> {
    let standby = if *active == "nn1" { "nn2" } else { "nn1" };
    let node = match fault {
        Fault::KillDataNode(at) | Fault::PauseDataNode(at) => cluster
            .pipeline(file)?
            .get(at)
            .cloned()
            .with_context(|| format!("the pipeline of {file} is short"))?,
        _ => active.to_string(),
    };
    match fault {
        Fault::KillDataNode(_) => cluster.server(&node)?.kill(),
        Fault::PauseDataNode(_) => cluster.server(&node)?.pause()?,
        Fault::PauseNameNode => {
            cluster.server(&node)?.pause()?;
            sleep(PAUSED);
            cluster.server(&node)?.resume()?;
        }
        Fault::RestartNameNode => {
            cluster.server(&node)?.kill();
            cluster.server(&node)?.up()?;
            cluster.activate(active)?;
        }
        Fault::FailOver | Fault::KillNameNode => {
            if matches!(fault, Fault::KillNameNode) {
                cluster.server(&node)?.kill();
            }
            cluster.fail_over(active, standby)?;
            *active = standby;
        }
    }
    Ok(node)
}

/// Brings back what was hit.
fn relieve(cluster: &mut Cluster, fault: Fault, node: &str) -> Result<()> {
    match fault {
        Fault::KillDataNode(_) | Fault::KillNameNode => cluster.server(node)?.up(),
        Fault::PauseDataNode(_) => cluster.server(node)?.resume(),
        Fault::RestartNameNode | Fault::PauseNameNode | Fault::FailOver => Ok(()),
    }
}

/// The longest time in which nothing was delivered, from before the fault until the flow is steady after it.
fn longest_standstill(agent: &Agent, struck: &AtomicBool) -> Result<Duration> {
    let begun = Instant::now();
    let mut last = drained(agent)?;
    let mut changed = Instant::now();
    let mut longest = Duration::ZERO;
    let mut steady = Instant::now();
    while begun.elapsed() < PATIENCE && !(struck.load(Relaxed) && steady.elapsed() > CALM) {
        sleep(Duration::from_millis(20));
        let now = drained(agent)?;
        if !struck.load(Relaxed) || (now == last && changed.elapsed() > Duration::from_secs(1)) {
            steady = Instant::now();
        }
        if now != last {
            longest = longest.max(changed.elapsed());
            (last, changed) = (now, Instant::now());
        }
    }
    Ok(longest.max(changed.elapsed()))
}

/// Whether everything was delivered in time.
fn wait_for_drain(agent: &Agent, count: u64) -> Result<bool> {
    let begun = Instant::now();
    while drained(agent)? < count {
        if begun.elapsed() > PATIENCE {
            return Ok(false);
        }
        sleep(Duration::from_millis(50));
    }
    Ok(true)
}

fn drained(agent: &Agent) -> Result<u64> {
    let status = agent.status()?;
    let metrics = &component(&status, "k1").context("no k1")?.metrics;
    Ok(metrics.get("EventDrainSuccessCount").copied().unwrap_or(0))
}

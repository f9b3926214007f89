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

/// What the agent does meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    /// Lines come all the time.
    Load,
    /// The file is open, and nothing comes until two seconds after the fault.
    Idle,
    /// The agent is stopped right after the fault, and closes the file.
    Close,
}

const MOMENTS: [Moment; 3] = [Moment::Load, Moment::Idle, Moment::Close];
/// The first, middle and last DataNode of a pipeline.
const POSITIONS: [usize; 3] = [0, 1, 2];

const OF_NAME_NODES: &[Fault] = &[
    Fault::RestartNameNode,
    Fault::PauseNameNode,
    Fault::FailOver,
    Fault::KillNameNode,
];

/// Those of DataNodes: killed and hung, at each position, at each moment.
pub fn data_nodes(report: &mut Report) -> Result<()> {
    let mut faults = vec![];
    for moment in MOMENTS {
        faults.extend(POSITIONS.map(|at| (Fault::KillDataNode(at), moment)));
        faults.extend(POSITIONS.map(|at| (Fault::PauseDataNode(at), moment)));
    }
    some(report, &faults, true)
}

/// Those of NameNodes.
pub fn name_nodes(report: &mut Report) -> Result<()> {
    let faults: Vec<_> = OF_NAME_NODES
        .iter()
        .map(|fault| (*fault, Moment::Load))
        .collect();
    some(report, &faults, true)
}

/// One of each kind that a client meets often.
pub fn slice(report: &mut Report) -> Result<()> {
    let faults = [
        (Fault::KillDataNode(1), Moment::Load),
        (Fault::FailOver, Moment::Load),
    ];
    some(report, &faults, false)
}

/// `timed`: whether the time without a flow is judged, too.
fn some(report: &mut Report, faults: &[(Fault, Moment)], timed: bool) -> Result<()> {
    // A dead DataNode is known to be one after some seconds instead of ten minutes.
    let layout = Layout::simple(5)
        .with_ha()
        .with("dfs.heartbeat.interval", "1")
        .with("dfs.namenode.heartbeat.recheck-interval", "2000");
    let mut cluster = Cluster::start(layout)?;
    let mut active = "nn1";
    for (number, (fault, moment)) in faults.iter().enumerate() {
        let path = format!("/user/flume/fault{number}");
        let trial = Trial {
            fault: *fault,
            moment: *moment,
            path,
            timed,
        };
        trial.run(report, &mut cluster, &mut active)?;
    }
    Ok(())
}

/// One fault in the middle of a flow.
struct Trial {
    fault: Fault,
    moment: Moment,
    path: String,
    timed: bool,
}

impl Trial {
    fn run(
        &self,
        report: &mut Report,
        cluster: &mut Cluster,
        active: &mut &'static str,
    ) -> Result<()> {
        let text = one_sink(cluster, "flume", &self.path, 0)?;
        let mut agent = start(cluster, &text)?;
        let mut feed = Some(Feed::start(agent.address("r1"), PAUSE));
        agent.wait_for_count("k1", "EventDrainSuccessCount", 1000);
        let mut acknowledged = 0;
        if self.moment != Moment::Load
            && let Some(feed) = feed.take()
        {
            acknowledged = feed.stop()?;
            wait_for_drain(&agent, acknowledged)?;
        }
        let file = files(cluster, &self.path)?.pop().context("no file")?;
        let struck = AtomicBool::new(false);
        let (hit, stood) = thread::scope(|scope| {
            let watch = (self.moment == Moment::Load)
                .then(|| scope.spawn(|| longest_standstill(&agent, &struck)));
            let hit = strike(cluster, active, self.fault, &file);
            struck.store(true, Relaxed);
            (hit, watch.map(|watch| watch.join()))
        });
        let hit = hit?;
        let mut stood = match stood {
            Some(stood) => stood.map_err(|_| anyhow::anyhow!("the watch panicked"))??,
            None => Duration::ZERO,
        };
        if self.moment == Moment::Idle {
            sleep(Duration::from_secs(2));
            let begun = Instant::now();
            let more = Feed::start_at(agent.address("r1"), PAUSE, acknowledged);
            wait_for_drain(&agent, acknowledged + 100)?;
            stood = begun.elapsed();
            sleep(CALM);
            acknowledged = more.stop()?;
        }
        if let Some(feed) = feed {
            relieve(cluster, self.fault, &hit)?;
            acknowledged = feed.stop()?;
        }
        let drained = wait_for_drain(&agent, acknowledged)?;
        let begun = Instant::now();
        let (status, log) = agent.stop()?;
        if self.moment == Moment::Close {
            stood = begun.elapsed();
        }
        if self.moment != Moment::Load {
            relieve(cluster, self.fault, &hit)?;
        }
        let fine = self.judge(report, cluster, acknowledged, stood)?;
        if !fine || !drained || !status.success() {
            println!("{log}");
        }
        Ok(())
    }

    fn judge(
        &self,
        report: &mut Report,
        cluster: &Cluster,
        acknowledged: u64,
        stood: Duration,
    ) -> Result<bool> {
        let found = numbers(cluster, &self.path)?;
        let lost = (0..acknowledged).filter(|number| !found.contains_key(number));
        let lost = lost.count();
        let twice = twice(&found);
        let names = files(cluster, &self.path)?;
        let unfinished = names.iter().filter(|name| name.ends_with(".tmp")).count();
        let limit = self.fault.promise();
        let shown = format!(
            "{lost} lost, {twice} twice, {} files, {:.1} s",
            names.len(),
            stood.as_secs_f64()
        );
        let of_data_node = self.fault.is_of_data_node();
        let fine = lost == 0
            && unfinished == 0
            && (!of_data_node || (twice == 0 && (names.len() == 1 || !self.timed)))
            && (!self.timed || stood <= limit);
        let item = format!("{:?}, {:?}, of {acknowledged}", self.fault, self.moment);
        // Like Flume's, a sink that sees too few replicas before the recovery has begun goes on with another file.
        let wanted = if self.timed {
            format!("0, 0, 1, {} s", limit.as_secs())
        } else {
            "0 lost, 0 twice".into()
        };
        report.row(&item, shown, &wanted, fine);
        Ok(fine)
    }
}

impl Fault {
    fn is_of_data_node(self) -> bool {
        matches!(self, Fault::KillDataNode(_) | Fault::PauseDataNode(_))
    }

    /// The longest time without a flow.
    fn promise(self) -> Duration {
        match self {
            Fault::KillDataNode(_) => Duration::from_secs(1),
            Fault::PauseDataNode(_) => Duration::from_secs(15),
            Fault::PauseNameNode => PAUSED + Duration::from_secs(2),
            Fault::RestartNameNode | Fault::FailOver | Fault::KillNameNode => PATIENCE,
        }
    }
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

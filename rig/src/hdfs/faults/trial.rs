//! One fault in the middle of a flow, and what comes of it.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread::{self, sleep},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use flume_cluster::Cluster;
use flume_testkit::agent::{Agent, component};

use super::strike::{Fault, PATIENCE, Wound};
use crate::{
    hdfs::agent::{Feed, files, numbers, one_sink, start},
    report::Report,
};

/// Before and after the fault.
const CALM: Duration = Duration::from_secs(3);
/// Lines sent at once come at this interval.
const PAUSE: Duration = Duration::from_millis(50);

/// What the agent does meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Lines come all the time.
    Load,
    /// The same, and blocks end all the time, too.
    BlockEnds,
    /// The file is open, and nothing comes until two seconds after the fault.
    Idle,
    /// The agent is stopped right after the fault, and closes the file.
    Close,
}

impl Moment {
    fn is_of_flow(self) -> bool {
        matches!(self, Moment::Load | Moment::BlockEnds)
    }
}

/// What a trial is to show.
pub struct Trial {
    fault: Fault,
    moment: Moment,
    /// Files that the flow may take; `None`: time and files are not judged.
    files: Option<usize>,
}

impl Trial {
    pub fn of(fault: Fault, moment: Moment) -> Trial {
        Trial {
            fault,
            moment,
            files: Some(1),
        }
    }

    pub fn in_files(self, count: usize) -> Trial {
        Trial {
            files: Some(count),
            ..self
        }
    }

    pub fn untimed(self) -> Trial {
        Trial {
            files: None,
            ..self
        }
    }

    pub fn run(
        &self,
        report: &mut Report,
        cluster: &mut Cluster,
        active: &mut &'static str,
        path: &str,
    ) -> Result<()> {
        // As Flume's, a sink that sees fewer replicas than this goes on with another file.
        let text = one_sink(cluster, "flume", path, 0)? + "a1.sinks.k1.hdfs.minBlockReplicas = 1\n";
        let mut agent = start(cluster, &text)?;
        let mut feed = Some(Feed::start(agent.address("r1"), PAUSE));
        agent.wait_for_count("k1", "EventDrainSuccessCount", 1000);
        let mut acknowledged = 0;
        if !self.moment.is_of_flow()
            && let Some(feed) = feed.take()
        {
            acknowledged = feed.stop()?;
            wait_for_drain(&agent, acknowledged)?;
        }
        let file = files(cluster, path)?.pop().context("no file")?;
        let struck = AtomicBool::new(false);
        let (wounds, stood) = thread::scope(|scope| {
            let watch = self
                .moment
                .is_of_flow()
                .then(|| scope.spawn(|| longest_standstill(&agent, &struck)));
            let wounds = self.fault.strike(cluster, active, &file);
            struck.store(true, Relaxed);
            (wounds, watch.map(|watch| watch.join()))
        });
        let mut wounds = wounds?;
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
            heal(cluster, &mut wounds)?;
            acknowledged = feed.stop()?;
        }
        let drained = wait_for_drain(&agent, acknowledged)?;
        let begun = Instant::now();
        let (status, log) = agent.stop()?;
        if self.moment == Moment::Close {
            stood = begun.elapsed();
        }
        heal(cluster, &mut wounds)?;
        let fine = self.judge(report, cluster, path, acknowledged, stood)?;
        if !fine || !drained || !status.success() {
            println!("{log}");
        }
        Ok(())
    }

    fn judge(
        &self,
        report: &mut Report,
        cluster: &Cluster,
        path: &str,
        acknowledged: u64,
        stood: Duration,
    ) -> Result<bool> {
        let found = numbers(cluster, path)?;
        let lost = (0..acknowledged).filter(|number| !found.contains_key(number));
        let lost = lost.count();
        let twice = twice(&found);
        let names = files(cluster, path)?;
        let unfinished = names.iter().filter(|name| name.ends_with(".tmp")).count();
        let limit = self.fault.promise();
        let shown = format!(
            "{lost} lost, {twice} twice, {} files, {:.1} s",
            names.len(),
            stood.as_secs_f64()
        );
        let of_data_node = self.fault.is_of_data_node();
        let as_promised = |files| stood <= limit && (!of_data_node || names.len() <= files);
        let fine = lost == 0
            && unfinished == 0
            && (!of_data_node || twice == 0)
            && self.files.is_none_or(as_promised);
        let item = format!("{:?}, {:?}, of {acknowledged}", self.fault, self.moment);
        let wanted = match self.files {
            Some(files) => format!("0, 0, {files}, {} s", limit.as_secs()),
            None => "0 lost, 0 twice".into(),
        };
        report.row(&item, shown, &wanted, fine);
        Ok(fine)
    }
}

fn heal(cluster: &mut Cluster, wounds: &mut Vec<Wound>) -> Result<()> {
    wounds.drain(..).try_for_each(|wound| wound.heal(cluster))
}

fn twice(found: &BTreeMap<u64, u64>) -> u64 {
    found.values().map(|times| times - 1).sum()
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

//! Agents that write to HDFS, and what Hadoop's client finds there.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use flume_cluster::Cluster;
use flume_testkit::agent::{Agent, component};

use crate::{
    agents::{configuration, program},
    flow::send_numbered,
};

/// Starts this program against a cluster.
pub fn start(cluster: &Cluster, text: &str) -> Result<Agent> {
    start_in(tempfile::tempdir()?, cluster, text)
}

/// The same in a directory that another agent left.
pub fn start_in(dir: tempfile::TempDir, cluster: &Cluster, text: &str) -> Result<Agent> {
    let conf = cluster.client_conf().display().to_string();
    let mut environment = cluster.environment();
    environment.push(("HADOOP_USER_NAME".into(), "flume".into()));
    let arguments = ["--conf", &conf, "-Dflume.root.logger=INFO,console"];
    Ok(Agent::start_with(
        dir,
        program(),
        text,
        &arguments,
        &environment,
    )?)
}

/// One sink that writes below a path as a user; a file is complete after `roll` seconds, 0: when the agent stops.
pub fn one_sink(cluster: &Cluster, user: &str, path: &str, roll: u32) -> Result<String> {
    let who = match cluster.login(user) {
        Ok((principal, keytab)) => format!(
            "a1.sinks.k1.hdfs.kerberosPrincipal = {principal}\na1.sinks.k1.hdfs.kerberosKeytab = {}\n",
            keytab.display()
        ),
        Err(_) => String::new(),
    };
    let text = configuration("hdfs_one.conf")?;
    Ok(text
        .replace("@PATH@", path)
        .replace("@ROLL@", &roll.to_string())
        .replace("@WHO@", &who))
}

/// How often each number stands in the files below a path, as Hadoop's client reads them.
pub fn numbers(cluster: &Cluster, path: &str) -> Result<BTreeMap<u64, u64>> {
    let text = cluster.admin(&["fs", "-text", &format!("{path}/*")])?;
    let mut numbers = BTreeMap::new();
    for line in text.lines() {
        // The value of a SequenceFile follows its key.
        let word = line.rsplit('\t').next().unwrap_or_default();
        *numbers
            .entry(word.parse().with_context(|| format!("`{line}`"))?)
            .or_default() += 1;
    }
    Ok(numbers)
}

/// The names of the files below a path.
pub fn files(cluster: &Cluster, path: &str) -> Result<Vec<String>> {
    let text = cluster.admin(&["fs", "-ls", "-C", path])?;
    Ok(text.lines().map(String::from).collect())
}

/// Files below a path that somebody still has open, as the NameNode says.
pub fn open_files(cluster: &Cluster, path: &str) -> Result<usize> {
    let text = cluster.admin(&["dfsadmin", "-listOpenFiles", "-path", path])?;
    Ok(text.lines().filter(|line| line.contains(path)).count())
}

/// What the status says is wrong with a sink, or one of its buckets, once it says these words, in whatever case.
pub fn wait_for_reason(agent: &Agent, sink: &str, words: &str, within: Duration) -> Option<String> {
    let deadline = Instant::now() + within;
    let words = words.to_lowercase();
    while Instant::now() < deadline {
        let status = agent
            .status()
            .ok()
            .and_then(|status| component(&status, sink).cloned());
        let said = status
            .into_iter()
            .flat_map(|sink| sink.reason.into_iter().chain(sink.facts.into_values()));
        if let Some(said) = said
            .into_iter()
            .find(|said| said.to_lowercase().contains(&words))
        {
            return Some(said);
        }
        thread::sleep(Duration::from_millis(50));
    }
    println!("{}", agent.log());
    None
}

/// A client that sends numbered lines, a hundred at a time, until it is stopped.
pub struct Feed {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    client: JoinHandle<Result<()>>,
}

impl Feed {
    /// Starts it; a hundred lines are sent, and acknowledged, every `pause`.
    pub fn start(address: String, pause: Duration) -> Feed {
        Feed::start_at(address, pause, 0)
    }

    /// The same, from this number on.
    pub fn start_at(address: String, pause: Duration, first: u64) -> Feed {
        let stop = Arc::new(AtomicBool::new(false));
        let acknowledged = Arc::new(AtomicU64::new(first));
        let client = {
            let stop = stop.clone();
            let acknowledged = acknowledged.clone();
            thread::spawn(move || {
                while !stop.load(Relaxed) {
                    let first = acknowledged.load(Relaxed);
                    let sent = send_numbered(&address, first..first + 100)?;
                    acknowledged.fetch_add(sent, Relaxed);
                    thread::sleep(pause);
                }
                Ok(())
            })
        };
        Feed {
            stop,
            acknowledged,
            client,
        }
    }

    /// Ends it: how many lines were acknowledged.
    pub fn stop(self) -> Result<u64> {
        self.stop.store(true, Relaxed);
        self.client
            .join()
            .map_err(|_| anyhow::anyhow!("the client panicked"))??;
        Ok(self.acknowledged.load(Relaxed))
    }
}

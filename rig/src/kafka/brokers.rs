//! A real Kafka on loopback: brokers of the released version, without ZooKeeper, and Java's client to look into them.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};
use flume_cluster::{Daemon, Ready, free_port};

use crate::agents::{self, scratch, target};

/// Whichever: it tells clusters apart.
const CLUSTER_ID: &str = "cmlnLWthZmthLWNsdXN0ZQ";

/// The newest release that is shown, and the last that older brokers can be upgraded through.
const NEWEST: &str = "4.3.0";
pub const OLDER: &str = "3.9.1";

/// Running brokers. All of it is below one directory, which goes with them.
pub struct Brokers {
    #[expect(dead_code, reason = "held for its drop")]
    dir: tempfile::TempDir,
    class_path: String,
    nodes: Vec<Node>,
}

struct Node {
    /// Of the listeners in the order of `listeners`, then of the controller.
    ports: Vec<u16>,
    daemon: Daemon,
}

/// How brokers are set up.
#[derive(Clone, Copy, Debug)]
pub struct BrokerSetup<'a> {
    /// Their release.
    pub version: &'a str,
    /// Listeners beside PLAINTEXT, by their security protocols, or as `NAME=PROTOCOL`.
    pub listeners: &'a [&'a str],
    /// Lines for the configuration of each broker.
    pub more: &'a str,
    /// More arguments of the program that prepares the disks.
    pub format: &'a [String],
    /// Variables and properties of the broker's Java.
    pub java: &'a [String],
}

impl Default for BrokerSetup<'_> {
    fn default() -> Self {
        BrokerSetup {
            version: NEWEST,
            listeners: &[],
            more: "",
            format: &[],
            java: &[],
        }
    }
}

/// Java's client, as a process that is asked and answers.
pub struct Records {
    child: Child,
    asked: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// Downloads the jars of a release, once; the class path.
fn install(version: &str) -> Result<String> {
    let dir = target().join(format!("kafka-{version}"));
    agents::install("kafka", &[&dir, &version])?;
    Ok(format!(
        "{0}/classes:{0}/lib/*",
        dir.canonicalize()?.display()
    ))
}

impl Brokers {
    /// So many brokers, each a controller, too; topics have as many replicas, up to three.
    pub fn start(count: usize, setup: &BrokerSetup<'_>) -> Result<Brokers> {
        let class_path = install(setup.version)?;
        let dir = tempfile::tempdir_in(scratch()?)?;
        let ports: Vec<Vec<u16>> = (0..count)
            .map(|_| {
                (0..setup.listeners.len() + 2)
                    .map(|_| free_port())
                    .collect()
            })
            .collect();
        let voters: Vec<_> = (0..count)
            .map(|node| {
                format!(
                    "{}@localhost:{}",
                    node + 1,
                    ports[node].last().unwrap_or(&0)
                )
            })
            .collect();
        let mut nodes = vec![];
        for (node, ports) in ports.into_iter().enumerate() {
            let file = dir.path().join(format!("node{}.properties", node + 1));
            fs::write(
                &file,
                properties(
                    dir.path(),
                    node + 1,
                    count,
                    &ports,
                    &voters.join(","),
                    setup,
                ),
            )?;
            let output = Command::new("java")
                .args([
                    "-cp",
                    &class_path,
                    "kafka.tools.StorageTool",
                    "format",
                    "-t",
                    CLUSTER_ID,
                    "-c",
                ])
                .arg(&file)
                .args(setup.format)
                .output()?;
            ensure!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
            let mut command: Vec<String> = ["java", "-Xmx512m", "-Xms256m", "-Drig.log=INFO"]
                .map(String::from)
                .to_vec();
            command.extend(setup.java.iter().cloned());
            command.extend([
                "-cp".into(),
                class_path.clone(),
                "kafka.Kafka".into(),
                file.display().to_string(),
            ]);
            let log = dir.path().join(format!("node{}.log", node + 1));
            let ready = Ready::Logged("Kafka Server started", 1);
            let mut daemon = Daemon::new(&format!("kafka-{}", node + 1), &log, command, ready);
            daemon.start()?;
            nodes.push(Node { ports, daemon });
        }
        for node in &mut nodes {
            node.daemon.wait_until_ready()?;
        }
        Ok(Brokers {
            dir,
            class_path,
            nodes,
        })
    }

    /// The addresses of a listener, for clients: 0 is PLAINTEXT.
    pub fn servers(&self, listener: usize) -> String {
        let addresses: Vec<_> = self
            .nodes
            .iter()
            .map(|node| format!("localhost:{}", node.ports[listener]))
            .collect();
        addresses.join(",")
    }

    /// A broker's process.
    pub fn node(&mut self, number: usize) -> &mut Daemon {
        &mut self.nodes[number].daemon
    }

    /// Java's client.
    pub fn records(&self) -> Result<Records> {
        let mut child = Command::new("java")
            .args([
                "-Xmx256m",
                "-XX:+UseSerialGC",
                "-XX:TieredStopAtLevel=1",
                "-Drig.log=ERROR",
                "-cp",
                &self.class_path,
            ])
            .args(["Records", &self.servers(0)])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let asked = child.stdin.take().context("no input")?;
        let answers = BufReader::new(child.stdout.take().context("no output")?);
        Ok(Records {
            child,
            asked,
            answers,
        })
    }
}

impl Records {
    /// Asks, and returns the lines of the answer.
    pub fn ask(&mut self, command: &str) -> Result<Vec<String>> {
        writeln!(self.asked, "{command}")?;
        self.asked.flush()?;
        let mut lines = vec![];
        loop {
            let mut line = String::new();
            ensure!(
                self.answers.read_line(&mut line)? > 0,
                "Java's client has ended"
            );
            let line = line.trim_end();
            match line.strip_prefix('!') {
                Some(error) => bail!("{command}: {error}"),
                None if line == "." => return Ok(lines),
                None => lines.push(line.to_string()),
            }
        }
    }

    /// Makes a topic.
    pub fn topic(&mut self, name: &str, partitions: usize, replicas: usize) -> Result<()> {
        self.ask(&format!("topic {name} {partitions} {replicas}"))
            .map(drop)
    }

    /// How far a group is behind, over all partitions that it has positions for.
    pub fn lag(&mut self, group: &str) -> Result<i64> {
        let mut lag = 0;
        for line in self.ask(&format!("offsets {group}"))? {
            let words: Vec<_> = line.split(' ').collect();
            lag += words[2].parse::<i64>()? - words[1].parse::<i64>()?;
        }
        Ok(lag)
    }
}

impl Drop for Records {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Nothing is removed by its age: the records of tests are as old as they say.
fn properties(
    dir: &Path,
    node: usize,
    count: usize,
    ports: &[u16],
    voters: &str,
    setup: &BrokerSetup<'_>,
) -> String {
    let replicas = count.min(3);
    let in_sync = if replicas < 2 { 1 } else { 2 };
    let specs = std::iter::once("PLAINTEXT").chain(setup.listeners.iter().copied());
    let pairs = specs.map(|spec| spec.split_once('=').unwrap_or((spec, spec)));
    let names = pairs.clone().map(|(name, _)| name);
    let listeners: Vec<_> = names
        .clone()
        .zip(ports)
        .map(|(name, port)| format!("{name}://localhost:{port}"))
        .collect();
    let listeners = listeners.join(",");
    let controller = ports.last().unwrap_or(&0);
    let map: Vec<_> = pairs
        .map(|(name, protocol)| format!("{name}:{protocol}"))
        .collect();
    let map = map.join(",");
    let data = dir.join(format!("data{node}"));
    let data = data.display();
    format!(
        "process.roles=broker,controller\n\
         node.id={node}\n\
         controller.quorum.voters={voters}\n\
         controller.listener.names=CONTROLLER\n\
         inter.broker.listener.name=PLAINTEXT\n\
         listeners={listeners},CONTROLLER://localhost:{controller}\n\
         advertised.listeners={listeners}\n\
         listener.security.protocol.map={map},CONTROLLER:PLAINTEXT\n\
         log.dirs={data}\n\
         default.replication.factor={replicas}\n\
         min.insync.replicas={in_sync}\n\
         offsets.topic.replication.factor={replicas}\n\
         offsets.topic.num.partitions=4\n\
         transaction.state.log.replication.factor={replicas}\n\
         transaction.state.log.min.isr={in_sync}\n\
         share.coordinator.state.topic.replication.factor={replicas}\n\
         share.coordinator.state.topic.min.isr=1\n\
         group.initial.rebalance.delay.ms=0\n\
         group.min.session.timeout.ms=1000\n\
         auto.create.topics.enable=false\n\
         log.retention.ms=-1\n\
         broker.session.timeout.ms=6000\n\
         num.network.threads=2\n\
         num.io.threads=2\n\
         {}\n",
        setup.more
    )
}

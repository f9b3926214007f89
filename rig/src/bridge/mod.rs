//! Java classes of a site's own in an agent: the classes of `rig/java-plugins`, with the jars of Java Flume.

mod kills;
pub mod programs;
mod serializers;
mod unruly;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use flume_cluster::need;
use flume_testkit::agent::Agent;
use tempfile::TempDir;

use crate::{
    agents::{install_java, java_dir, program, root},
    flow::send_numbered,
    report::Report,
};

/// Whatever takes longer has failed.
const WAIT_TIMEOUT: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(200);

/// netcat → Java interceptor → file channel → Java sink, and Java source → memory channel → Java sink.
const FLOW: &str = "\
a1.sources = r1 r2
a1.channels = c1 c2
a1.sinks = k1 k2
a1.sources.r1.type = netcat
a1.sources.r1.bind = localhost
a1.sources.r1.port = 0
a1.sources.r1.channels = c1
a1.sources.r1.interceptors = i1
a1.sources.r1.interceptors.i1.type = demo.MarkInterceptor$Builder
a1.sources.r1.interceptors.i1.value = m
a1.sources.r2.type = demo.CountSource
a1.sources.r2.channels = c2
a1.sources.r2.count = 1000
a1.channels.c1.type = file
a1.channels.c1.checkpointDir = @DIR@/channel/checkpoint
a1.channels.c1.dataDirs = @DIR@/channel/data
a1.channels.c1.minimumRequiredSpace = 0
a1.channels.c2.type = memory
a1.sinks.k1.type = demo.LineSink
a1.sinks.k1.file = @DIR@/k1
a1.sinks.k1.channel = c1
a1.sinks.k2.type = demo.LineSink
a1.sinks.k2.file = @DIR@/k2
a1.sinks.k2.channel = c2
";

/// Every kind of component in the JVM, classes that misbehave, and two hundred kills.
pub fn show(report: &mut Report) -> Result<()> {
    run(report, unruly::ALL, 200)
}

/// The same with a few kills, and without the class that takes minutes.
pub fn slice(report: &mut Report) -> Result<()> {
    run(report, unruly::QUICK, 3)
}

fn run(report: &mut Report, unruly: &[unruly::Habit], kills: usize) -> Result<()> {
    install_java()?;
    need(&[("pkill", "procps"), ("javac", "default-jdk-headless")])?;
    let dir = tempfile::tempdir()?;
    let classes = compile(dir.path())?;
    flows(report, &classes)?;
    serializers::show(report, &classes)?;
    for habit in unruly {
        habit.show(report, &classes)?;
    }
    kills::show(report, &classes, kills)
}

fn flows(report: &mut Report, classes: &Path) -> Result<()> {
    let mut agent = start(tempfile::tempdir()?, classes, FLOW)?;
    let sink = agent.dir().join("k1");
    let address = agent.address("r1");
    let sent = send_numbered(&address, 0..1000)?;
    let marked = wait_for_lines(&sink, "m ", sent)?;
    report.row(
        "Java interceptor and sink: lines",
        marked,
        "1000",
        marked == 1000,
    );
    agent.wait_for_count("k1", "LinesWritten", 1000);
    report.row("counter of a bean of its own", 1000, "1000", true);
    let counted = wait_for_lines(&agent.dir().join("k2"), " ", 1000)?;
    report.row(
        "Java source and sink: lines",
        counted,
        "1000",
        counted == 1000,
    );
    Ok(())
}

/// An agent in a directory, which another one may have left, with the jars of Java Flume and more classes.
fn start(dir: TempDir, classes: &Path, flow: &str) -> Result<Agent> {
    let classes = classes.display().to_string();
    let home = java_dir().display().to_string();
    let environment = vec![("FLUME_HOME".to_string(), home)];
    let arguments = ["--classpath", &classes, "-Dflume.root.logger=INFO,console"];
    Ok(Agent::start_with(
        dir,
        program(),
        flow,
        &arguments,
        &environment,
    )?)
}

/// The classes of `rig/java-plugins` in a directory.
pub(crate) fn compile(dir: &Path) -> Result<PathBuf> {
    let classes = dir.join("classes");
    fs::create_dir(&classes)?;
    let sources = fs::read_dir(root().join("rig/java-plugins/demo"))?;
    let sources: Vec<_> = sources.flatten().map(|entry| entry.path()).collect();
    let status = Command::new("javac")
        .args(["--release", "8", "-nowarn", "-Xlint:-options", "-cp"])
        .arg(java_dir().join("lib/*"))
        .arg("-d")
        .arg(&classes)
        .args(sources)
        .status()
        .context("failed to start javac")?;
    ensure!(status.success(), "the plugins do not compile");
    Ok(classes)
}

/// How many different lines with this beginning a file has, as soon as there are `count`, or at the end of the wait.
fn wait_for_lines(file: &Path, beginning: &str, count: u64) -> Result<u64> {
    let deadline = Instant::now() + WAIT_TIMEOUT;
    loop {
        let text = fs::read_to_string(file).unwrap_or_default();
        let lines: BTreeSet<&str> = text
            .lines()
            .filter(|line| line.starts_with(beginning))
            .collect();
        if lines.len() as u64 >= count || Instant::now() > deadline {
            return Ok(lines.len() as u64);
        }
        sleep(Duration::from_millis(100));
    }
}

/// While there is no JVM the interceptor refuses lines, and a killed agent answers no more. The client sends all again.
fn send_until_acknowledged(address: &str, numbers: std::ops::Range<u64>) -> Result<()> {
    let deadline = Instant::now() + WAIT_TIMEOUT;
    loop {
        let acknowledged = send_numbered(address, numbers.clone());
        if matches!(acknowledged, Ok(count) if count == numbers.end - numbers.start) {
            return Ok(());
        }
        ensure!(
            Instant::now() < deadline,
            "lines are refused for too long: {acknowledged:?}"
        );
        sleep(POLL);
    }
}

fn kill_jvm(agent: u32) -> Result<()> {
    let deadline = Instant::now() + WAIT_TIMEOUT;
    let agent = agent.to_string();
    loop {
        let kill = ["-KILL", "-P", &agent, "-f", "flume.host.Host"];
        if Command::new("pkill").args(kill).status()?.success() {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "no JVM runs");
        sleep(POLL);
    }
}

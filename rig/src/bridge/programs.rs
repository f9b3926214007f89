//! The examples of `type = process`: `examples/process`, in each of its languages.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use flume_cluster::need;
use flume_testkit::agent::Agent;

use super::wait_for_lines;
use crate::{
    agents::{program, root},
    flow::send_numbered,
    report::Report,
};

const LINES: u64 = 1000;

const FLOW: &str = "\
a1.sources = r1
a1.channels = c1 c2
a1.sinks = k1 k2
a1.sources.r1.type = netcat
a1.sources.r1.bind = localhost
a1.sources.r1.port = 0
a1.sources.r1.channels = c1 c2
a1.sources.r1.interceptors = i1
a1.sources.r1.interceptors.i1.type = process
a1.sources.r1.interceptors.i1.command = @PLUGIN@
a1.channels.c1.type = memory
a1.channels.c1.capacity = 10000
a1.channels.c2.type = memory
a1.channels.c2.capacity = 10000
a1.sinks.k1.type = process
a1.sinks.k1.command = @PLUGIN@
a1.sinks.k1.config.file = @DIR@/lines
a1.sinks.k1.channel = c1
a1.sinks.k2.type = file_roll
a1.sinks.k2.sink.directory = @DIR@
a1.sinks.k2.sink.rollInterval = 0
a1.sinks.k2.sink.serializer = HEADER_AND_TEXT
a1.sinks.k2.sink.pathManager.prefix = rolled
a1.sinks.k2.channel = c2
";

/// A source of its own, which Python has no example of.
const SOURCE: &str = "\
a1.sources = r1 r2
a1.sources.r2.type = process
a1.sources.r2.command = @PLUGIN@
a1.sources.r2.config.count = 100
a1.sources.r2.channels = c2
";

/// An interceptor and a sink in each language, and a source.
pub fn show(report: &mut Report) -> Result<()> {
    need(&[("python3", "python3"), ("go", "golang-go")])?;
    let dir = tempfile::tempdir()?;
    let examples = root().join("examples/process");
    run(report, "Python", &examples.join("plugin.py"), "")?;
    run(report, "Go", &build(&examples, dir.path())?, SOURCE)
}

fn build(examples: &Path, dir: &Path) -> Result<PathBuf> {
    let plugin = dir.join("plugin");
    let status = Command::new("go")
        .args(["build", "-o"])
        .arg(&plugin)
        .arg(examples.join("plugin.go"))
        .env("GOCACHE", dir.join("cache"))
        .status()
        .context("failed to start go")?;
    ensure!(status.success(), "the example does not compile");
    Ok(plugin)
}

fn run(report: &mut Report, language: &str, plugin: &Path, source: &str) -> Result<()> {
    let flow = format!("{FLOW}{source}").replace("@PLUGIN@", &plugin.display().to_string());
    let mut agent = Agent::start(program(), &flow, &["-Dflume.root.logger=INFO,console"])?;
    send_numbered(&agent.address("r1"), 0..LINES)?;
    let lines = wait_for_lines(&agent.dir().join("lines"), "", LINES)?;
    let item = format!("sink in {language}: lines");
    report.row(&item, lines, "1000", lines == LINES);
    let from_source = if source.is_empty() { 0 } else { 100 };
    agent.wait_for_count("k2", "EventDrainSuccessCount", LINES + from_source);
    let entries = fs::read_dir(agent.dir())?.flatten();
    let mut paths = entries.map(|entry| entry.path());
    let is_rolled = |path: &PathBuf| path.to_string_lossy().contains("/rolled");
    let rolled = paths.find(is_rolled).context("there is no file of k2")?;
    let text = fs::read_to_string(rolled)?;
    let marked = text.lines().filter(|line| has_its_length(line)).count() as u64;
    let item = format!("interceptor in {language}: events with their length");
    report.row(&item, marked, "1000", marked == LINES);
    let plain = text.lines().filter(|line| line.starts_with("{} ")).count() as u64;
    if from_source > 0 {
        let item = format!("source in {language}: events");
        report.row(&item, plain, "100", plain == from_source);
    }
    Ok(())
}

/// `{length=2} 42`
fn has_its_length(line: &str) -> bool {
    let parts = line
        .strip_prefix("{length=")
        .and_then(|rest| rest.split_once("} "));
    parts.is_some_and(|(length, body)| length == body.len().to_string())
}

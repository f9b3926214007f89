//! What Java Flume left in a file channel: the released program fills one, ours takes it over, and both deliver the same.
//! And the way back: ours fills one, the tool writes it for Java Flume, which delivers all of it.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use crate::{
    agents::{Maker, Running, install_java, program},
    report::Report,
};

/// How long one wait may take: a JVM on a busy machine needs most of a minute to start.
const STEP_TIMEOUT: Duration = Duration::from_secs(120);
/// Taken before the kill.
const TAKEN: u64 = 500;

const CHANNEL: &str = "\
a1.channels = c1
a1.channels.c1.type = file
a1.channels.c1.checkpointDir = @DIR@/channel/checkpoint
a1.channels.c1.dataDirs = @DIR@/channel/one,@DIR@/channel/two
a1.channels.c1.checkpointInterval = 1000
a1.channels.c1.maxFileSize = 100000
a1.channels.c1.minimumRequiredSpace = 1048576
";
const SOURCE: &str = "\
a1.sources = r1
a1.sources.r1.type = seq
a1.sources.r1.batchSize = 50
a1.sources.r1.channels = c1
";
/// Takes and delivers nowhere.
const NOWHERE: &str = "\
a1.sinks = k1
a1.sinks.k1.type = null
a1.sinks.k1.batchSize = 20
a1.sinks.k1.channel = c1
";
/// Delivers nothing: its directory cannot be made.
const FAILING: &str = "\
a1.sinks = k1
a1.sinks.k1.type = file_roll
a1.sinks.k1.sink.directory = /proc/none
a1.sinks.k1.channel = c1
";
/// Where the tool writes what Java Flume opens.
const EXPORTED: &str = "channel/exported";
const FILES: &str = "\
a1.sinks = k1
a1.sinks.k1.type = file_roll
a1.sinks.k1.sink.directory = @DIR@/files
a1.sinks.k1.sink.rollInterval = 0
a1.sinks.k1.channel = c1
";

/// After a clean stop, and after a kill in the middle of puts, takes and checkpoints.
pub fn show(report: &mut Report) -> Result<()> {
    install_java()?;
    let source = format!("{CHANNEL}{SOURCE}a1.sources.r1.totalEvents = 3000\n");
    let mut java = Running::start(Maker::Java, &source)?;
    java.wait_for_count("CHANNEL.c1", "EventPutSuccessCount", 3000)?;
    java.stop()?;
    taken_over(report, "stopped", java.dir(), true)?;

    let flow = format!("{CHANNEL}{SOURCE}{NOWHERE}");
    let mut java = Running::start(Maker::Java, &flow)?;
    java.wait_for_count("CHANNEL.c1", "EventTakeSuccessCount", TAKEN)?;
    java.signal("KILL")?;
    java.stop()?;
    taken_over(report, "killed", java.dir(), false)?;
    given_back(report)
}

fn given_back(report: &mut Report) -> Result<()> {
    const EVENTS: u64 = 3000;
    let filling = format!("{CHANNEL}{SOURCE}a1.sources.r1.totalEvents = {EVENTS}\n{FAILING}");
    let mut ours = Running::start(Maker::Ours, &filling)?;
    ours.wait_for_count("CHANNEL.c1", "EventPutSuccessCount", EVENTS)?;
    ours.stop()?;
    let channel = ours.dir().join("channel");
    let written = Command::new(program())
        .args(["tool", "channel", "export"])
        .arg(ours.dir().join(EXPORTED))
        .args(["checkpoint", "one", "two"].map(|name| channel.join(name)))
        .output()?;
    ensure!(
        written.status.success(),
        "the export failed: {}",
        String::from_utf8_lossy(&written.stderr)
    );
    let on_it = CHANNEL
        .replace("channel/one,@DIR@/channel/two", EXPORTED)
        .replace("channel/checkpoint", "new-checkpoint");
    let (by_java, _) = delivered(Maker::Java, &on_it, ours.dir())?;
    let all: Vec<_> = (0..EVENTS).map(|number| number.to_string()).collect();
    report.row(
        "file channel exported: Java delivers",
        by_java.len(),
        "3000, in order",
        by_java == all,
    );
    Ok(())
}

fn taken_over(report: &mut Report, how: &str, left: &Path, in_order: bool) -> Result<()> {
    let name = format!("file channel of Java Flume, {how}");
    let (by_java, _) = delivered(Maker::Java, CHANNEL, left)?;
    let (by_us, ours) = delivered(Maker::Ours, CHANNEL, left)?;
    let mut same = by_java == by_us;
    if !in_order {
        let sorted = |lines: &[String]| {
            let mut lines = lines.to_vec();
            lines.sort();
            lines
        };
        same = sorted(&by_java) == sorted(&by_us);
    }
    let want = format!("the {} that Java delivers", by_java.len());
    report.row(
        &format!("{name}: delivered"),
        by_us.len(),
        &want,
        same && !by_us.is_empty(),
    );
    let refused = java_refuses(ours.dir())?;
    report.row(
        &format!("{name}: Java on it afterwards"),
        refused.0,
        "refuses",
        refused.1,
    );
    Ok(())
}

/// What an agent delivers from a copy of a channel, and the agent, which has ended.
fn delivered(maker: Maker, channel: &str, left: &Path) -> Result<(Vec<String>, Running)> {
    let configuration = format!("{channel}{FILES}");
    let mut agent = Running::prepare(maker, &configuration, |dir| copy_channel(left, dir))?;
    agent.wait_for_count("SINK.k1", "EventDrainSuccessCount", 1)?;
    let begun = Instant::now();
    while agent.metric("CHANNEL.c1", "ChannelSize")? > 0 {
        ensure!(
            begun.elapsed() < STEP_TIMEOUT,
            "it does not drain:\n{}",
            agent.log()
        );
        thread::sleep(Duration::from_millis(20));
    }
    agent.stop()?;
    let mut lines = vec![];
    for path in files(&agent.dir().join("files"))? {
        lines.extend(fs::read_to_string(path)?.lines().map(String::from));
    }
    Ok((lines, agent))
}

/// What Java Flume says on a channel that was taken over, and whether it delivers nothing.
fn java_refuses(left: &Path) -> Result<(String, bool)> {
    const REFUSAL: &str = "Failed to initialize Log";
    let configuration = format!("{CHANNEL}{FILES}");
    let mut java = Running::prepare(Maker::Java, &configuration, |dir| copy_channel(left, dir))?;
    let begun = Instant::now();
    while !java.log().contains(REFUSAL) {
        ensure!(
            begun.elapsed() < STEP_TIMEOUT,
            "it does not refuse:\n{}",
            java.log()
        );
        thread::sleep(Duration::from_millis(50));
    }
    java.stop()?;
    let mut delivered = 0;
    for path in files(&java.dir().join("files"))? {
        delivered += fs::metadata(path)?.len();
    }
    let log = java.log();
    let line = log.lines().find(|line| line.contains(REFUSAL));
    let line = line.context("no line")?.to_string();
    Ok((line, delivered == 0))
}

fn copy_channel(from: &Path, to: &Path) -> io::Result<()> {
    copy(&from.join("channel"), &to.join("channel"))
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let to = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            copy(&path, &to)?;
        } else {
            fs::copy(&path, to)?;
        }
    }
    Ok(())
}

/// Files of a directory, by their names.
fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = vec![];
    for entry in fs::read_dir(directory)? {
        paths.push(entry?.path());
    }
    paths.sort();
    Ok(paths)
}

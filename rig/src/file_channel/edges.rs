//! What a second costs in which nothing comes although the disk refuses: system calls, CPU time, and lines of the log.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use super::faults::Faults;
use crate::{
    agents::{Maker, Running},
    report::Report,
};

const FLOW: &str = "\
a1.sources = r1
a1.channels = c1
a1.sources.r1.type = netcat
a1.sources.r1.bind = localhost
a1.sources.r1.port = @PORT@
a1.sources.r1.channels = c1
a1.channels.c1.type = file
a1.channels.c1.checkpointDir = @STORE@/checkpoint
a1.channels.c1.dataDirs = @STORE@/data
a1.channels.c1.maxFileSize = 262144
a1.channels.c1.minimumRequiredSpace = 1048576
a1.channels.c1.keep-alive = @KEEP_ALIVE@
";

/// More than the quarter of a file after which the next one is made ahead, and less than a file.
const LINES_OF_HALF_A_FILE: usize = 250;
const LINE: usize = 500;
/// An agent comes to rest within this time.
const REST: Duration = Duration::from_secs(3);
/// So long is measured.
const MEASURED: Duration = Duration::from_secs(5);
/// The disk must refuse within this time.
const PATIENCE: Duration = Duration::from_secs(120);
/// All of them are a few times what an agent does that has nothing to do.
const MOST_CALLS: f64 = 100.0;
const MOST_CPU: f64 = 0.1;
const MOST_LINES: f64 = 1.0;

/// A disk that refuses.
struct Edge {
    name: &'static str,
    /// Seconds a put waits for room.
    keep_alive: u32,
    refuses: Refusal,
}

enum Refusal {
    Nothing,
    /// It has room for some files, and then no more.
    Room,
    /// No file can be made any more, with this error.
    Files(i32),
}

const EDGES: [Edge; 6] = [
    edge("a healthy disk", 0, Refusal::Nothing),
    edge("a full disk", 0, Refusal::Room),
    edge("a full disk, a put waits", 600, Refusal::Room),
    edge("an immutable directory (EPERM)", 0, Refusal::Files(1)),
    edge("no descriptors (EMFILE)", 0, Refusal::Files(24)),
    edge("a quota (EDQUOT)", 0, Refusal::Files(122)),
];

const fn edge(name: &'static str, keep_alive: u32, refuses: Refusal) -> Edge {
    Edge {
        name,
        keep_alive,
        refuses,
    }
}

/// Each edge: what a second costs there.
pub fn show(report: &mut Report, dir: &Path) -> Result<()> {
    for edge in &EDGES {
        let idle = idle(dir, edge)?;
        let name = format!("file channel, idle second, {}", edge.name);
        report.at_most(&format!("{name}: system calls"), idle.calls, MOST_CALLS);
        report.at_most(&format!("{name}: CPU s"), idle.cpu, MOST_CPU);
        report.at_most(&format!("{name}: lines"), idle.lines, MOST_LINES);
    }
    Ok(())
}

/// What one second costs.
struct Second {
    calls: f64,
    cpu: f64,
    lines: f64,
}

fn idle(dir: &Path, edge: &Edge) -> Result<Second> {
    let store = tempfile::tempdir_in(dir)?;
    let store = store.path().canonicalize()?;
    let faults = Faults::compile(dir)?;
    let mut environment = vec![];
    let mut mounted = None;
    match edge.refuses {
        Refusal::Nothing => {}
        Refusal::Room => mounted = Some(SmallDisk::mount(&store)?),
        Refusal::Files(errno) => environment = faults.without_new_files(&store, errno),
    }
    let flow = FLOW
        .replace("@STORE@", &store.display().to_string())
        .replace("@KEEP_ALIVE@", &edge.keep_alive.to_string());
    // Nothing is to drain it.
    let lenient = ["--lenient".to_string()];
    let mut agent = Running::start_as(Maker::Ours, &flow, &environment, &lenient)?;
    agent.wait_for_port()?;
    let mut client = Client::connect(agent.port)?;
    client.send(1)?;
    agent.wait_for_count("CHANNEL.c1", "EventPutSuccessCount", 1)?;
    if mounted.is_some() {
        let begun = Instant::now();
        while !agent.status()?.contains("has no room") {
            ensure!(begun.elapsed() < PATIENCE, "the disk does not become full");
            client.send(LINES_OF_HALF_A_FILE)?;
        }
    } else {
        faults.forbid_files()?;
        client.send(LINES_OF_HALF_A_FILE)?;
        let all = 1 + LINES_OF_HALF_A_FILE as u64;
        agent.wait_for_count("CHANNEL.c1", "EventPutSuccessCount", all)?;
    }
    thread::sleep(REST);
    if matches!(edge.refuses, Refusal::Files(_)) {
        let spares = agent.metric("CHANNEL.c1", "SpareSegments")?;
        ensure!(spares == 0, "{spares} files were made although none can be");
    }
    let second = measure(&agent)?;
    agent.stop()?;
    Ok(second)
}

fn measure(agent: &Running) -> Result<Second> {
    let lines = agent.log().lines().count();
    let cpu = agent.usage()?.cpu;
    thread::sleep(MEASURED);
    let cpu = agent.usage()?.cpu - cpu;
    let lines = agent.log().lines().count() - lines;
    let seconds = MEASURED.as_secs_f64();
    Ok(Second {
        // After the rest: counting them costs CPU time.
        calls: calls(agent)? / seconds,
        cpu: cpu / seconds,
        lines: lines as f64 / seconds,
    })
}

/// The system calls of an agent while it is measured.
fn calls(agent: &Running) -> Result<f64> {
    let output = Command::new("timeout")
        .args(["-s", "INT", &MEASURED.as_secs().to_string()])
        .args(["strace", "-f", "-c", "-p", &agent.pid().to_string()])
        .output()
        .context("failed to start strace")?;
    let said = String::from_utf8_lossy(&output.stderr);
    // % time, seconds, usecs/call, calls, perhaps errors, syscall
    let total = said.lines().find(|line| line.ends_with(" total"));
    let calls = total.and_then(|line| line.split_whitespace().nth(3));
    Ok(calls
        .with_context(|| format!("strace said {said}"))?
        .parse()?)
}

/// Lines to a netcat source, whose answers are read and thrown away.
struct Client(TcpStream);

impl Client {
    fn connect(port: u16) -> Result<Client> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_write_timeout(Some(Duration::from_millis(200)))?;
        let mut answers = stream.try_clone()?;
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while answers.read(&mut bytes).is_ok_and(|read| read > 0) {}
        });
        Ok(Client(stream))
    }

    /// A source that waits for room reads no more.
    fn send(&mut self, lines: usize) -> Result<()> {
        let text = format!("{}\n", "x".repeat(LINE)).repeat(lines);
        match self.0.write_all(text.as_bytes()) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(()),
            done => Ok(done?),
        }
    }
}

/// A file system for some files of a channel; as root.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path) -> Result<SmallDisk> {
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"])
            .arg(at)
            .status()?;
        ensure!(status.success(), "mount {}: {status}", at.display());
        fs::create_dir(at.join("data"))?;
        Ok(SmallDisk(at.into()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

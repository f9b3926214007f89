//! Logs that rotate thousands of times under a `TAILDIR` source, with kills and with failing saves of its positions.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{BufRead, BufReader, Seek, SeekFrom},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, ensure};
use flume_testkit::rotation::{RotatingWriter, Rotation, Tally};

use crate::{
    agents::{Maker, Running, configuration},
    report::Report,
};

/// Lines may take so long to arrive.
const PATIENCE: Duration = Duration::from_secs(120);
/// Rotations between two looks at what has arrived: fewer than files are kept.
const ROUNDS: usize = RotatingWriter::KEPT / 2;
/// Rotations between two kills.
const LIFE: usize = 5 * ROUNDS;
/// The calls of a save.
const CALLS: &[&str] = &["unlink", "openat", "write", "fsync", "rename"];
const ERRORS: &[&str] = &["ENOSPC", "EMFILE", "EIO"];

/// Every fault at every call of a save, and ten thousand rotations of each kind, without and with kills.
pub fn show(report: &mut Report) -> Result<()> {
    flume_cluster::need(&[("strace", "strace")])?;
    fail_saves(report)?;
    rotate_all(report, 10_000)
}

/// The same with few rotations.
pub fn slice(report: &mut Report) -> Result<()> {
    rotate_all(report, 2 * LIFE)
}

fn rotate_all(report: &mut Report, rotations: usize) -> Result<()> {
    for rotation in Rotation::ALL {
        rotate(report, rotation, rotations, false)?;
        rotate(report, rotation, rotations, true)?;
    }
    Ok(())
}

fn rotate(report: &mut Report, rotation: Rotation, rotations: usize, kills: bool) -> Result<()> {
    let mut flow = Flow::start(rotation)?;
    for round in 1..=rotations {
        flow.writer.write(1 + round * 7 % 40)?;
        flow.writer.rotate()?;
        if kills && round % LIFE == 0 {
            std::thread::sleep(Duration::from_millis(round as u64 / LIFE as u64 * 3 % 50));
            flow.agent.kill_and_restart()?;
        }
        if round % ROUNDS == 0 {
            flow.wait()?;
        }
    }
    flow.wait()?;
    let may_repeat = kills || rotation.may_repeat();
    let repeated = flow.arrived.tally.repeated();
    let item = format!(
        "{rotation:?}, {rotations} rotations{}: lines",
        if kills { " and kills" } else { "" }
    );
    let want = if may_repeat {
        "each at least once"
    } else {
        "each exactly once"
    };
    let is_right = may_repeat || repeated.is_none();
    report.row(&item, flow.writer.lines, want, is_right);
    Ok(())
}

/// A log, an agent that follows it, and what it writes.
struct Flow {
    agent: Running,
    writer: RotatingWriter,
    arrived: Arrived,
}

impl Flow {
    fn start(rotation: Rotation) -> Result<Flow> {
        let text = configuration("taildir-torture.conf")?;
        let agent = Running::prepare(Maker::Ours, &text, |dir| fs::create_dir(dir.join("logs")))?;
        let writer = RotatingWriter::new(agent.dir().join("logs"), rotation)?;
        let arrived = Arrived::new(&agent.dir().join("files"));
        Ok(Flow {
            agent,
            writer,
            arrived,
        })
    }

    /// Waits until each line has arrived.
    fn wait(&mut self) -> Result<()> {
        let begun = Instant::now();
        loop {
            self.arrived.look()?;
            let Some(missing) = self.arrived.tally.missing(self.writer.lines) else {
                return Ok(());
            };
            ensure!(
                begun.elapsed() < PATIENCE,
                "line {missing} of {} did not arrive:\n{}",
                self.writer.lines,
                self.agent.log()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// The whole lines in the sink's files.
struct Arrived {
    directory: PathBuf,
    read: BTreeMap<PathBuf, u64>,
    tally: Tally,
}

impl Arrived {
    fn new(directory: &Path) -> Self {
        Arrived {
            directory: directory.into(),
            read: BTreeMap::new(),
            tally: Tally::default(),
        }
    }

    fn look(&mut self) -> Result<()> {
        for entry in fs::read_dir(&self.directory)?.flatten() {
            let read = self.read.entry(entry.path()).or_default();
            let mut file = BufReader::new(File::open(entry.path())?);
            file.seek(SeekFrom::Start(*read))?;
            let mut line = vec![];
            // A kill may leave half a line at the end of a file.
            while file.read_until(b'\n', &mut line)? > 0 && line.ends_with(b"\n") {
                *read += line.len() as u64;
                line.pop();
                let noted = self.tally.add(&line);
                noted.map_err(|line| anyhow!("no line of the log: {line}"))?;
                line.clear();
            }
        }
        Ok(())
    }
}

/// Makes one call of a save fail at a time. The positions stay readable, and no line is lost.
fn fail_saves(report: &mut Report) -> Result<()> {
    let mut flow = Flow::start(Rotation::Rename)?;
    flow.writer.write(1)?;
    flow.wait()?;
    for call in CALLS {
        for error in ERRORS {
            let positions = fail_save(&mut flow, call, error)
                .with_context(|| format!("{call} with {error}"))?;
            let item = format!("{error} of {call}: files in the positions");
            report.row(&item, positions, ">= 1, no line lost", positions >= 1);
        }
    }
    Ok(())
}

/// How many positions can be read after saves have failed and the agent was killed.
fn fail_save(flow: &mut Flow, call: &str, error: &str) -> Result<usize> {
    let failures = |agent: &mut Running| agent.metric("SOURCE.r1", "PositionSaveFailCount");
    wait_for_positions(flow)?;
    let before = failures(&mut flow.agent)?;
    let faults = Faults::inject(
        flow.agent.id(),
        &flow.agent.dir().join("positions"),
        call,
        error,
    )?;
    let begun = Instant::now();
    while failures(&mut flow.agent)? == before {
        flow.writer.write(1)?;
        flow.writer.rotate()?;
        flow.wait()?;
        ensure!(begun.elapsed() < PATIENCE, "no save has failed");
    }
    let positions = positions(flow)?;
    flow.agent.kill_and_restart()?;
    drop(faults);
    flow.writer.write(1)?;
    flow.wait()?;
    Ok(positions)
}

fn positions(flow: &Flow) -> Result<usize> {
    let text = fs::read(flow.agent.dir().join("positions/p.json"))?;
    let positions: Vec<serde_json::Value> = serde_json::from_slice(&text)?;
    Ok(positions.len())
}

fn wait_for_positions(flow: &Flow) -> Result<()> {
    let begun = Instant::now();
    while !positions(flow).is_ok_and(|positions| positions > 0) {
        ensure!(begun.elapsed() < PATIENCE, "nothing is saved");
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// A tracer that lets calls fail, detached when it is dropped.
struct Faults(Child);

impl Faults {
    fn inject(process: u32, directory: &Path, call: &str, error: &str) -> Result<Faults> {
        let names = [
            "",
            "p.json",
            ".p.json.new",
            "p.json.identity",
            ".p.json.identity.new",
        ];
        let mut command = Command::new("strace");
        command.args(["-f", "-q", "-o", "/dev/null", "-p", &process.to_string()]);
        for name in names {
            let path = directory.join(name);
            let path = path.to_string_lossy();
            command.args(["-P", path.trim_end_matches('/')]);
        }
        command.arg("-e").arg(format!("trace={}", CALLS.join(",")));
        command
            .arg("-e")
            .arg(format!("inject={call}:error={error}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let tracer = command.spawn().context("failed to start strace")?;
        Ok(Faults(tracer))
    }
}

impl Drop for Faults {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

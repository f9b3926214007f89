//! Every claim, run: `ITEM value want PASS|FAIL`.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use flume_testkit::agent::Agent;

use crate::{
    agents::{program, root, scratch},
    bench::{self, Effort},
    deploy, file_channel,
    flow::{FLOW, numbers, send_numbered},
    guide, hdfs_bench, hdfs_client, hdfs_compare, hdfs_faults, hdfs_limits, hdfs_show, identity,
    read_back, structure, transcripts,
};

/// Rows, and whether all passed.
pub struct Report {
    passed: usize,
    failed: usize,
}

impl Report {
    /// A claim with what was seen and what is wanted.
    pub fn row(&mut self, item: &str, value: impl std::fmt::Display, want: &str, pass: bool) {
        let verdict = if pass { "PASS" } else { "FAIL" };
        println!("{item:44} {value:>16}   {want:22} {verdict}");
        if pass {
            self.passed += 1
        } else {
            self.failed += 1
        }
    }

    /// A figure that must not be smaller.
    pub fn at_least(&mut self, item: &str, value: f64, want: f64) {
        self.row(
            item,
            format!("{value:.2}"),
            &format!(">= {want}"),
            value >= want,
        );
    }

    /// A figure that must not be greater.
    pub fn at_most(&mut self, item: &str, value: f64, want: f64) {
        self.row(
            item,
            format!("{value:.2}"),
            &format!("<= {want}"),
            value <= want,
        );
    }

    fn done(self) -> bool {
        println!("{} passed, {} failed", self.passed, self.failed);
        self.failed == 0
    }
}

/// Everything.
pub fn run(effort: &Effort) -> Result<bool> {
    let mut report = Report {
        passed: 0,
        failed: 0,
    };
    flows(&mut report, 10_000, Duration::from_secs(5))?;
    deployment_example(&mut report)?;
    for transcript in transcripts::all()? {
        println!("--- {}\n{}", transcript.title, transcript.text);
        report.row(transcript.title, "", "as said", transcript.pass);
    }
    formats(&mut report)?;
    hdfs_beside_java(&mut report, None)?;
    file_channel::show(&mut report, &scratch()?)?;
    deploy::show(&mut report, &[])?;
    identity::logins(&mut report)?;
    follow_guide(&mut report)?;
    hdfs_client::matrix(&mut report)?;
    hdfs_show::all(&mut report)?;
    hdfs_limits::all(&mut report)?;
    hdfs_faults::all(&mut report)?;
    hdfs_bench::run(&mut report, true)?;
    structure::print(&root())?;
    let files = structure::files_of_a_sink(&root())?;
    report.row("source files touched to add a sink", files, "2", files == 2);
    beside_java(&mut report, effort)?;
    Ok(report.done())
}

/// The same within minutes, for every change: fewer flows, and figures that are printed, not judged.
pub fn slice() -> Result<bool> {
    let mut report = Report {
        passed: 0,
        failed: 0,
    };
    flows(&mut report, 10_000, Duration::from_secs(1))?;
    deployment_example(&mut report)?;
    for transcript in transcripts::all()? {
        report.row(transcript.title, "", "as said", transcript.pass);
        if !transcript.pass {
            println!("{}", transcript.text);
        }
    }
    formats(&mut report)?;
    hdfs_beside_java(&mut report, Some(hdfs_compare::SLICE))?;
    file_channel::slice(&mut report, &scratch()?)?;
    deploy::slice(&mut report)?;
    identity::logins(&mut report)?;
    follow_guide(&mut report)?;
    hdfs_show::slice(&mut report)?;
    hdfs_limits::all(&mut report)?;
    hdfs_faults::slice(&mut report)?;
    bench::run_some(
        &Effort {
            rounds: 1,
            warm_up: Duration::from_secs(2),
            measured: Duration::from_secs(2),
        },
        &["memory, batch 100", "netcat, 1 client"],
    )?;
    Ok(report.done())
}

/// What is shown of deployment, or some parts of it, alone.
pub fn deployment_alone(parts: &[&str]) -> Result<bool> {
    let mut report = Report {
        passed: 0,
        failed: 0,
    };
    deploy::show(&mut report, parts)?;
    Ok(report.done())
}

/// One part of what is shown on real clusters.
pub fn secured(part: &str) -> Result<bool> {
    let mut report = Report {
        passed: 0,
        failed: 0,
    };
    match part {
        "client" => hdfs_client::matrix(&mut report)?,
        "agent" => hdfs_show::all(&mut report)?,
        "agent-slice" => hdfs_show::slice(&mut report)?,
        "limits" => hdfs_limits::all(&mut report)?,
        "faults" => hdfs_faults::all(&mut report)?,
        "faults-name-nodes" => hdfs_faults::name_nodes(&mut report)?,
        "faults-slice" => hdfs_faults::slice(&mut report)?,
        "bench" => hdfs_bench::run(&mut report, true)?,
        "bench-slice" => hdfs_bench::run(&mut report, false)?,
        _ => bail!("there is no part {part}"),
    }
    Ok(report.done())
}

/// What is shown of logins and refusals, alone.
pub fn identity_alone() -> Result<bool> {
    let mut report = Report {
        passed: 0,
        failed: 0,
    };
    identity::all(&mut report)?;
    Ok(report.done())
}

/// What is shown of the hdfs sink's formats, alone.
pub fn formats_alone() -> Result<bool> {
    let mut report = Report {
        passed: 0,
        failed: 0,
    };
    formats(&mut report)?;
    Ok(report.done())
}

/// The hdfs sink beside Flume's with the named configurations, or all of them, alone.
pub fn hdfs_alone(names: &[&str]) -> Result<bool> {
    let mut report = Report {
        passed: 0,
        failed: 0,
    };
    hdfs_beside_java(&mut report, Some(names).filter(|names| !names.is_empty()))?;
    Ok(report.done())
}

/// Lines through a real agent for a while, with reloads: none lost, memory flat.
pub fn soak(duration: Duration) -> Result<bool> {
    let mut report = Report {
        passed: 0,
        failed: 0,
    };
    let mut agent = Agent::start(&program(), FLOW, &[])?;
    fs::create_dir(agent.dir().join("files"))?;
    let address = agent.address("r1");
    let start = Instant::now();
    let mut sent = 0;
    let mut sizes = vec![];
    let mut reloads = 0;
    while start.elapsed() < duration {
        send_numbered(&address, sent..sent + 10_000)?;
        sent += 10_000;
        sizes.push(resident_mib(agent.pid())?);
        reloads += 1;
        agent.configure(&FLOW.replace(
            "batchSize = 100",
            &format!("batchSize = {}", 100 + reloads % 2),
        ))?;
        agent.signal("HUP")?;
    }
    agent.wait_for_count("c1", "EventTakeSuccessCount", sent);
    let files = agent.dir().join("files");
    let written = numbers(&files)?;
    report.row(
        "lines lost",
        sent - written.len() as u64,
        "0",
        written.len() as u64 == sent,
    );
    report.row("reloads meanwhile", reloads, "> 0", reloads > 0);
    let half = sizes.len() / 2;
    let most = |sizes: &[f64]| sizes.iter().copied().fold(0.0, f64::max);
    report.at_most(
        "memory, second half against first",
        most(&sizes[half..]) / most(&sizes[..half.max(1)]),
        1.2,
    );
    agent.stop()?;
    file_channel::soak(&mut report, &scratch()?, duration)?;
    Ok(report.done())
}

/// Processes on a durable channel, killed.
pub fn kills_alone() -> Result<bool> {
    let mut report = Report {
        passed: 0,
        failed: 0,
    };
    file_channel::killed(&mut report, &scratch()?, 100)?;
    Ok(report.done())
}

/// The durable channel alone.
pub fn file_channel_alone(slice: bool) -> Result<bool> {
    let mut report = Report {
        passed: 0,
        failed: 0,
    };
    let show = if slice {
        file_channel::slice
    } else {
        file_channel::show
    };
    show(&mut report, &scratch()?)?;
    Ok(report.done())
}

/// Whoever follows the guide has a component that the program describes.
fn follow_guide(report: &mut Report) -> Result<()> {
    let page = guide::follow(&root())?;
    let described = page.contains("`batchSize`") && page.contains("`maxBytes`");
    report.row(
        "a sink added as the guide says, described",
        described,
        "true",
        described,
    );
    Ok(())
}

fn flows(report: &mut Report, lines: u64, load: Duration) -> Result<()> {
    let mut agent = Agent::start(&program(), FLOW, &[])?;
    let files = agent.dir().join("files");
    fs::create_dir(&files)?;
    let address = agent.address("r1");
    let acknowledged = send_numbered(&address, 0..lines)?;
    report.row(
        "lines acknowledged",
        acknowledged,
        &lines.to_string(),
        acknowledged == lines,
    );
    agent.wait_for_count("k1", "EventDrainSuccessCount", lines);
    let in_order = numbers(&files)?.into_iter().eq(0..lines);
    report.row("written, each once, in order", in_order, "true", in_order);
    stop_under_load(report, agent, lines, load)
}

/// A client sends until the agent is stopped; what it was told is stored must be in the files or be counted.
fn stop_under_load(
    report: &mut Report,
    mut agent: Agent,
    first: u64,
    load: Duration,
) -> Result<()> {
    let address = agent.address("r1");
    let client = std::thread::spawn(move || send_until_closed(&address, first));
    std::thread::sleep(load);
    agent.signal("TERM")?;
    let (status, log) = agent.ended()?;
    let acknowledged = client
        .join()
        .map_err(|_| anyhow::anyhow!("the client panicked"))??;
    let written = numbers(&agent.dir().join("files"))?.len() as u64;
    let remained = log.lines().find_map(|line| {
        line.split("stopped, ")
            .nth(1)?
            .split(' ')
            .next()?
            .parse::<u64>()
            .ok()
    });
    let lost = (first + acknowledged).saturating_sub(written + remained.unwrap_or(0));
    report.row(
        "acknowledged before SIGTERM",
        acknowledged,
        "> 0",
        acknowledged > 0,
    );
    report.row(
        "acknowledged, neither written nor counted",
        lost,
        "0",
        lost == 0,
    );
    report.row(
        "counted as remaining",
        remained.unwrap_or(0),
        "0",
        remained.unwrap_or(0) == 0,
    );
    report.row(
        "exit code after SIGTERM",
        format!("{:?}", status.code()),
        "Some(0)",
        status.code() == Some(0),
    );
    Ok(())
}

/// How many lines were acknowledged until the agent closed the connection.
fn send_until_closed(address: &str, first: u64) -> Result<u64> {
    let mut stream = TcpStream::connect(address)?;
    let reader = BufReader::new(stream.try_clone()?);
    std::thread::spawn(move || {
        for block in (first..).step_by(100) {
            let lines: String = (block..block + 100)
                .map(|number| format!("{number}\n"))
                .collect();
            if stream.write_all(lines.as_bytes()).is_err() {
                break;
            }
        }
    });
    Ok(reader
        .lines()
        .map_while(Result::ok)
        .filter(|line| line == "OK")
        .count() as u64)
}

/// Resident memory of a process.
pub fn resident_mib(pid: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .context("no VmRSS")?;
    Ok(kib.trim().trim_end_matches("kB").trim().parse::<f64>()? / 1024.0)
}

/// The configuration that sites have from their deployment tool: every mistake is found, and nothing else.
fn deployment_example(report: &mut Report) -> Result<()> {
    let file = root().join("rig/configs/deployment.conf");
    let output = Command::new(program())
        .args(["validate", "--format", "json", "-f"])
        .arg(&file)
        .output()?;
    let found: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let found = found["diagnostics"].as_array().cloned().unwrap_or_default();
    let keys = |severity: &str| -> Vec<String> {
        let of = found.iter().filter(|found| found["severity"] == severity);
        of.map(|found| {
            format!(
                "{}:{}",
                found["line"],
                found["key"].as_str().unwrap_or_default()
            )
        })
        .collect()
    };
    let errors = [
        "4:a1.channels.c1.type",
        "6:a1.sources.r1.channels",
        "9:a1.sinks.k1.channel",
        "9:a1.sinks.k1.hdfs.path",
        "13:a1.sinks.k2.channel",
        "13:a1.sinks.k2.hdfs.path",
    ];
    report.row(
        "deployment example, errors",
        keys("error").len(),
        "6, with places",
        keys("error") == errors,
    );
    report.row(
        "deployment example, warnings",
        keys("warning").len(),
        "the comma",
        keys("warning") == ["3:a1.sinks"],
    );
    Ok(())
}

/// The hdfs sink's formats, read back by Hadoop's and Avro's own classes.
fn formats(report: &mut Report) -> Result<()> {
    let outcome = read_back::run()?;
    for wrong in &outcome.wrong {
        println!("{wrong}");
    }
    let all = outcome.right + outcome.wrong.len();
    let item = "files that Hadoop and Avro read as written";
    report.row(
        item,
        outcome.right,
        &format!("{all}, by event"),
        outcome.wrong.is_empty(),
    );
    Ok(())
}

/// The same configurations and events under both: directories, names and contents.
fn hdfs_beside_java(report: &mut Report, names: Option<&[&str]>) -> Result<()> {
    for one in hdfs_compare::run(names)? {
        let item = format!("hdfs {}: files as Flume's", one.name);
        report.row(
            &item,
            one.files,
            "names, contents",
            one.difference.is_none(),
        );
        if let Some(difference) = one.difference {
            println!("{difference}");
        }
    }
    Ok(())
}

fn beside_java(report: &mut Report, effort: &Effort) -> Result<()> {
    for row in bench::run(effort)? {
        let Some(java) = row.java else { continue };
        let name = row.name;
        let claims = row.claims;
        report.at_least(
            &format!("{name}: events/s against Java"),
            row.ours.rate / java.rate,
            claims.rate,
        );
        if let Some(most) = claims.cpu {
            report.at_most(
                &format!("{name}: CPU per event against Java"),
                row.ours.cpu / java.cpu,
                most,
            );
        }
        report.at_most(
            &format!("{name}: memory against Java"),
            row.ours.rss / java.rss,
            claims.memory,
        );
    }
    let (ours, _) = bench::start_up(5)?;
    report.at_most("exec to open port, ms", ours, 50.0);
    Ok(())
}

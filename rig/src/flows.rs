//! Lines through a real agent: acknowledged, written in order, kept over a stop and over reloads.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use anyhow::Result;
use flume_testkit::agent::Agent;

use crate::{
    agents::{program, resident_mib},
    flow::{FLOW, numbers, send_numbered},
    report::Report,
};

/// Sends lines, looks at what was written, and stops the agent under load.
pub fn show(report: &mut Report, load: Duration) -> Result<()> {
    let lines = 10_000;
    let mut agent = Agent::start(program(), FLOW, &[])?;
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

/// Lines through a real agent for a while, with reloads: none lost, memory flat.
pub fn soak(report: &mut Report, duration: Duration) -> Result<()> {
    let mut agent = Agent::start(program(), FLOW, &[])?;
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
    Ok(())
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

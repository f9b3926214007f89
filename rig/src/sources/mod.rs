//! The sources beside Java Flume: the same input and configuration for both; answers, written events and counters are
//! compared.

mod hosted;
mod input;
mod lanes;
pub mod torture;

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, Result};

use crate::{
    agents::{Maker, Running, install_java},
    report::Report,
};
pub use hosted::show as show_hosted;
use lanes::{LANES, Lane};

/// What a lane has to agree on.
struct Seen {
    /// What the senders were answered.
    answers: Vec<String>,
    /// Each event as `HEADER_AND_TEXT` writes it, its headers sorted.
    events: Vec<String>,
    /// The counters that both have.
    counters: Vec<String>,
}

const COUNTERS: &[(&str, &str)] = &[
    ("SOURCE.r1", "EventReceivedCount"),
    ("SOURCE.r1", "EventAcceptedCount"),
    ("CHANNEL.c1", "EventPutSuccessCount"),
    ("CHANNEL.c1", "EventTakeSuccessCount"),
    ("SINK.k1", "EventDrainSuccessCount"),
];

/// Time for an event too many to arrive.
const SETTLE_TIME: Duration = Duration::from_millis(500);

/// All lanes.
pub fn show(report: &mut Report) -> Result<()> {
    run(report, |_| true)
}

/// The lanes that take a moment.
pub fn slice(report: &mut Report) -> Result<()> {
    run(report, |lane| lane.is_in_slice)
}

fn run(report: &mut Report, is_wanted: fn(&Lane) -> bool) -> Result<()> {
    install_java()?;
    for lane in LANES.iter().filter(|lane| is_wanted(lane)) {
        compare(report, lane);
    }
    Ok(())
}

fn compare(report: &mut Report, lane: &Lane) {
    let both = observe(Maker::Java, lane)
        .context("Java Flume")
        .and_then(|java| Ok((java, observe(Maker::Ours, lane).context("ours")?)));
    match both {
        Ok((java, ours)) => judge(report, lane.name, &java, &ours),
        Err(error) => report.row(lane.name, format!("{error:#}"), "to run", false),
    }
}

/// Compares what was seen of Java Flume and of this program.
fn judge(report: &mut Report, name: &str, java: &Seen, ours: &Seen) {
    let mut row = |what: &str, ours: &[String], java: &[String]| {
        let pairs = ours.len().max(java.len());
        let differing = (0..pairs).filter(|at| ours.get(*at) != java.get(*at));
        for at in differing.clone().take(10) {
            println!(
                "{what} {at}:\n  ours {:?}\n  Java {:?}",
                ours.get(at),
                java.get(at)
            );
        }
        let differing = differing.count();
        let item = format!("{name}: {what} that differ, of {}", java.len());
        report.row(&item, differing, "0", differing == 0);
    };
    row("answers", &ours.answers, &java.answers);
    row("events", &ours.events, &java.events);
    row("counters", &ours.counters, &java.counters);
}

fn observe(maker: Maker, lane: &Lane) -> Result<Seen> {
    let prepare = |dir: &Path| {
        fs::create_dir(dir.join("files2"))?;
        (lane.prepare)(dir)
    };
    let agent = Running::prepare(maker, &lane.configuration(), prepare)?;
    observe_running(agent, lane)
}

fn observe_running(mut agent: Running, lane: &Lane) -> Result<Seen> {
    let answers = (lane.send)(&mut agent)?;
    for (sink, count) in [("SINK.k1", lane.events), ("SINK.k2", lane.events_of_second)] {
        if count > 0 {
            agent.wait_for_count(sink, "EventDrainSuccessCount", count)?;
        }
    }
    std::thread::sleep(SETTLE_TIME);
    let mut counters = vec![];
    // Java's netcat source has no counters.
    let is_counted = |component: &str| component != "SOURCE.r1" || !lane.is_netcat();
    for (component, attribute) in COUNTERS.iter().filter(|(name, _)| is_counted(name)) {
        let value = agent.metric(component, attribute)?;
        counters.push(format!("{component} {attribute} {value}"));
    }
    agent.stop()?;
    let mut events = vec![];
    for files in ["files", "files2"] {
        read_events(&agent.dir().join(files), &mut events)?;
    }
    let place = agent.dir().display().to_string();
    for event in &mut events {
        *event = sorted(&event.replace(&place, "@DIR@"));
    }
    Ok(Seen {
        answers,
        events,
        counters,
    })
}

fn read_events(directory: &Path, events: &mut Vec<String>) -> Result<()> {
    let mut files: Vec<_> = fs::read_dir(directory)?
        .flatten()
        .map(|entry| entry.path())
        .collect();
    files.sort();
    for file in files {
        let text = String::from_utf8_lossy(&fs::read(&file)?).into_owned();
        events.extend(text.split_terminator('\n').map(String::from));
    }
    Ok(())
}

/// A line of `HEADER_AND_TEXT` with its headers in order: Java's order is that of a hash table.
fn sorted(line: &str) -> String {
    let parts = line.strip_prefix('{').and_then(|rest| rest.split_once('}'));
    let Some((headers, body)) = parts else {
        return line.into();
    };
    let mut headers: Vec<_> = headers.split(", ").collect();
    headers.sort_unstable();
    format!("{{{}}}{body}", headers.join(", "))
}

//! Sink groups beside Java Flume: one's group against the other's agents, whose processes are killed and paused.

use std::{path::PathBuf, thread::sleep, time::Duration};

use anyhow::{Context, Result, ensure};
use flume_monitor::{ControlAnswer, ControlRequest, ask};

use super::{
    parts,
    senders::{Senders, wait_for_all},
};
use crate::{
    agents::{Maker, Running, install_java},
    report::Report,
};

const CLIENTS: u64 = 2;
/// How long lines flow before, between and after faults.
const CALM: Duration = Duration::from_secs(3);
/// Longer than a sink waits for an answer.
const PAUSE: Duration = Duration::from_secs(4);
const DRAIN_TIMEOUT: Duration = Duration::from_secs(90);

/// An agent that a sink of the group sends to.
fn member() -> String {
    let sink = "type = file_roll\nsink.directory = @DIR@/files\nsink.rollInterval = 0";
    [
        parts::names(&["k1"]),
        parts::source("avro"),
        parts::FILE_CHANNEL.into(),
        parts::settings("a1.sinks.k1", sink),
    ]
    .concat()
}

/// The agent with the group, whose sinks send to these ports.
fn head(case: &GroupCase, ports: [u16; 2]) -> String {
    let [first, second] = ports;
    [
        parts::names(&["k1", "k2"]),
        parts::source("netcat"),
        parts::memory_channel(1000, 100),
        parts::avro_sink("k1", first, parts::SHORT_LIMITS),
        parts::avro_sink("k2", second, parts::SHORT_LIMITS),
        "a1.sinkgroups = g1\na1.sinkgroups.g1.sinks = k1 k2\n".into(),
        parts::settings("a1.sinkgroups.g1.processor", case.properties),
    ]
    .concat()
}

/// One group.
struct GroupCase {
    name: &'static str,
    properties: &'static str,
}

const CASES: &[GroupCase] = &[
    GroupCase {
        name: "failover",
        properties: "\
type = failover
priority.k1 = 10
priority.k2 = 5
maxpenalty = 2000
",
    },
    GroupCase {
        name: "load_balance",
        properties: "\
type = load_balance
backoff = true
selector.maxTimeOut = 2000
",
    },
];

/// Both processors in both directions.
pub fn show(report: &mut Report) -> Result<()> {
    install_java()?;
    for case in CASES {
        run(report, case, Maker::Ours, Maker::Java)?;
        run(report, case, Maker::Java, Maker::Ours)?;
    }
    Ok(())
}

fn run(report: &mut Report, case: &GroupCase, heads: Maker, members: Maker) -> Result<()> {
    let item = format!("groups.{}.{heads:?}-to-{members:?}", case.name);
    let mut first = Running::start(members, &member())?;
    let mut second = Running::start(members, &member())?;
    first.wait_for_port()?;
    second.wait_for_port()?;
    let configuration = head(case, [first.port, second.port]);
    let mut group = Running::start(heads, &configuration)?;
    group.wait_for_port()?;
    let senders = Senders::start(&format!("127.0.0.1:{}", group.port), CLIENTS);
    sleep(CALM);
    if case.name == "failover" && heads == Maker::Ours {
        show_standby(report, &item, &group)?;
    }
    first.kill_and_restart()?;
    sleep(CALM);
    first.wait_for_port()?;
    sleep(CALM);
    second.signal("STOP")?;
    sleep(PAUSE);
    second.signal("CONT")?;
    first.signal("STOP")?;
    sleep(PAUSE);
    first.signal("CONT")?;
    sleep(CALM);
    let sent = senders.stop()?;
    let outputs: Vec<PathBuf> = [&first, &second]
        .map(|agent| agent.dir().join("files"))
        .into();
    let tally = wait_for_all(&sent, &outputs, DRAIN_TIMEOUT)?;
    let acknowledged = tally.acknowledged;
    println!(
        "{item}: {acknowledged} lines, {} came out twice",
        tally.duplicates
    );
    let is_some = acknowledged > 0;
    report.row(
        &format!("{item}.acknowledged"),
        acknowledged,
        "> 0",
        is_some,
    );
    report.row(&format!("{item}.lost"), tally.lost, "0", tally.lost == 0);
    if tally.lost > 0 {
        println!(
            "the group's agent said last:\n{}",
            super::last_lines(&group.log())
        );
    }
    Ok(())
}

/// `status` says which sink delivers, and why the other does not.
fn show_standby(report: &mut Report, item: &str, group: &Running) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let state_dir = group.dir().join("state/a1");
    let answer = runtime.block_on(ask(&state_dir, &ControlRequest::Status))?;
    let ControlAnswer::Status(status) = answer else {
        anyhow::bail!("the agent does not say its status");
    };
    let find = |name: &str| {
        let mut components = status.components.iter();
        components.find(|component| component.kind == "sink" && component.name == name)
    };
    let active = find("k1").context("sink k1")?;
    let standby = find("k2").context("sink k2")?;
    ensure!(active.state == "running", "{active:?}");
    let reason = standby.reason.clone().unwrap_or_default();
    let is_said = reason.contains("standing by") && reason.contains("k1");
    report.row(
        &format!("{item}.status-of-standby"),
        &reason,
        "standing by: ... k1 ...",
        is_said,
    );
    Ok(())
}

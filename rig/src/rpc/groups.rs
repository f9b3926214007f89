//! Sink groups beside Java Flume: one's group against the other's agents, whose processes are killed and paused.

use std::{path::PathBuf, thread::sleep, time::Duration};

use anyhow::{Context, Result, ensure};
use flume_monitor::{ControlAnswer, ControlRequest, ask};

use super::senders::{Senders, wait_for_all};
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
const MEMBER: &str = "\
a1.sources = r1
a1.channels = c1
a1.sinks = k1
a1.sources.r1.type = avro
a1.sources.r1.bind = 127.0.0.1
a1.sources.r1.port = @PORT@
a1.sources.r1.channels = c1
a1.channels.c1.type = file
a1.channels.c1.checkpointDir = @DIR@/channel/checkpoint
a1.channels.c1.dataDirs = @DIR@/channel/data
a1.channels.c1.capacity = 100000
a1.channels.c1.minimumRequiredSpace = 0
a1.sinks.k1.type = file_roll
a1.sinks.k1.sink.directory = @DIR@/files
a1.sinks.k1.sink.rollInterval = 0
a1.sinks.k1.channel = c1
";

/// The agent with the group.
const HEAD: &str = "\
a1.sources = r1
a1.channels = c1
a1.sinks = k1 k2
a1.sinkgroups = g1
a1.sinkgroups.g1.sinks = k1 k2
a1.sources.r1.type = netcat
a1.sources.r1.bind = 127.0.0.1
a1.sources.r1.port = @PORT@
a1.sources.r1.channels = c1
a1.channels.c1.type = memory
a1.channels.c1.capacity = 1000
a1.channels.c1.transactionCapacity = 100
";

/// One group.
struct GroupCase {
    name: &'static str,
    properties: &'static str,
}

const CASES: &[GroupCase] = &[
    GroupCase {
        name: "failover",
        properties: "\
a1.sinkgroups.g1.processor.type = failover
a1.sinkgroups.g1.processor.priority.k1 = 10
a1.sinkgroups.g1.processor.priority.k2 = 5
a1.sinkgroups.g1.processor.maxpenalty = 2000
",
    },
    GroupCase {
        name: "load_balance",
        properties: "\
a1.sinkgroups.g1.processor.type = load_balance
a1.sinkgroups.g1.processor.backoff = true
a1.sinkgroups.g1.processor.selector.maxTimeOut = 2000
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

fn run(report: &mut Report, case: &GroupCase, head: Maker, members: Maker) -> Result<()> {
    let item = format!("groups.{}.{head:?}-to-{members:?}", case.name);
    let mut first = Running::start(members, MEMBER)?;
    let mut second = Running::start(members, MEMBER)?;
    first.wait_for_port()?;
    second.wait_for_port()?;
    let mut configuration = [HEAD, case.properties].concat();
    for (sink, port) in [("k1", first.port), ("k2", second.port)] {
        configuration += &avro_sink(sink, port);
    }
    let mut group = Running::start(head, &configuration)?;
    group.wait_for_port()?;
    let senders = Senders::start(&format!("127.0.0.1:{}", group.port), CLIENTS);
    sleep(CALM);
    if case.name == "failover" && head == Maker::Ours {
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
    let acknowledged = senders.stop();
    let outputs: Vec<PathBuf> = [&first, &second]
        .map(|agent| agent.dir().join("files"))
        .into();
    let tally = wait_for_all(&acknowledged, &outputs, DRAIN_TIMEOUT)?;
    let sent = tally.acknowledged;
    println!("{item}: {sent} lines, {} came out twice", tally.duplicates);
    report.row(&format!("{item}.acknowledged"), sent, "> 0", sent > 0);
    report.row(&format!("{item}.lost"), tally.lost, "0", tally.lost == 0);
    if tally.lost > 0 {
        println!(
            "the group's agent said last:\n{}",
            super::last_lines(&group.log())
        );
    }
    Ok(())
}

fn avro_sink(name: &str, port: u16) -> String {
    format!(
        "a1.sinks.{name}.type = avro\na1.sinks.{name}.hostname = 127.0.0.1\na1.sinks.{name}.port = {port}\n\
         a1.sinks.{name}.request-timeout = 2000\na1.sinks.{name}.connect-timeout = 2000\n\
         a1.sinks.{name}.channel = c1\n"
    )
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

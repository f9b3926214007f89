//! A sink that misbehaves once, in ways that a class of a site may: the agent lives, says why, and delivers all.

use std::{path::Path, thread::sleep, time::Instant};

use anyhow::{Result, ensure};
use flume_testkit::agent::{Agent, component};

use super::{WAIT_TIMEOUT, kill_jvm, start, wait_for_lines};
use crate::{agents::resident_mib, flow::send_numbered, report::Report};

const LINES: u64 = 100;
const MAX_WAITS: usize = 5;
/// The agent may use so much memory, whatever a class prints.
const MAX_RESIDENT_MIB: f64 = 400.0;

const FLOW: &str = "\
a1.sources = r1
a1.channels = c1
a1.sinks = k1
a1.sources.r1.type = netcat
a1.sources.r1.bind = localhost
a1.sources.r1.port = 0
a1.sources.r1.channels = c1
a1.channels.c1.type = memory
a1.channels.c1.capacity = 1000
a1.sinks.k1.type = demo.LineSink
a1.sinks.k1.file = @DIR@/k1
a1.sinks.k1.channel = c1
";

/// A way to misbehave.
#[derive(Clone, Copy)]
pub(super) struct Habit {
    /// The sink's property `fail`.
    name: &'static str,
    /// What the log or the sink's state has to say; empty: there is nothing to say.
    said: &'static str,
    /// Whether it never comes back by itself, so that the JVM has to be killed.
    is_for_ever: bool,
}

const fn habit(name: &'static str, said: &'static str) -> Habit {
    Habit {
        name,
        said,
        is_for_ever: false,
    }
}

pub(super) const QUICK: &[Habit] = &[
    habit("exit", "the JVM ended with exit status: 5"),
    habit("error", "close() called when transaction is OPEN"),
    habit("heap", "out of memory"),
    habit("null", ""),
    BLOCK,
];

const BLOCK: Habit = Habit {
    name: "block",
    said: "demo.LineSink does not answer",
    is_for_ever: true,
};

pub(super) const ALL: &[Habit] = &[
    QUICK[0],
    QUICK[1],
    QUICK[2],
    QUICK[3],
    BLOCK,
    habit("print", ""),
];

impl Habit {
    pub(super) fn show(self, report: &mut Report, classes: &Path) -> Result<()> {
        let flow = format!("{FLOW}a1.sinks.k1.fail = {}\n", self.name);
        let mut agent = start(tempfile::tempdir()?, classes, &flow)?;
        let address = agent.address("r1");
        send_numbered(&address, 0..LINES)?;
        wait_until_said(&agent, self.said)?;
        if self.is_for_ever {
            kill_jvm(agent.pid())?;
        }
        let delivered = self.wait_for_all(&agent)?;
        let resident = resident_mib(agent.pid())?;
        let item = format!("a sink with the habit `{}`: lines lost", self.name);
        let lost = LINES.saturating_sub(delivered);
        let is_right = lost == 0 && resident < MAX_RESIDENT_MIB;
        report.row(&item, lost, "0, and a small agent that says why", is_right);
        Ok(())
    }

    /// A gigabyte of words takes longer than a wait.
    fn wait_for_all(self, agent: &Agent) -> Result<u64> {
        let lines = agent.dir().join("k1");
        let mut delivered = 0;
        for _ in 0..MAX_WAITS {
            delivered = wait_for_lines(&lines, " ", LINES)?;
            if delivered == LINES {
                break;
            }
        }
        Ok(delivered)
    }
}

fn wait_until_said(agent: &Agent, text: &str) -> Result<()> {
    let begun = Instant::now();
    let reason = || {
        let status = agent.status().ok()?;
        component(&status, "k1")?.reason.clone()
    };
    while !agent.log().contains(text) && !reason().is_some_and(|reason| reason.contains(text)) {
        ensure!(
            begun.elapsed() < WAIT_TIMEOUT,
            "nobody says `{text}`:\n{}",
            agent.log()
        );
        sleep(super::POLL);
    }
    Ok(())
}

//! An agent and its JVM that are killed in turn, and together, while lines come.

use std::{
    path::Path,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow, ensure};
use flume_cluster::free_port;
use flume_testkit::agent::Agent;

use super::{FLOW, POLL, WAIT_TIMEOUT, kill_jvm, send_until_acknowledged, start, wait_for_lines};
use crate::report::Report;

/// Lines that are sent over one connection.
const LINES: u64 = 100;

/// Kills the JVM, the agent, both, and so on. Whatever was acknowledged has to arrive.
pub(super) fn show(report: &mut Report, classes: &Path, kills: usize) -> Result<()> {
    let address = format!("localhost:{}", free_port());
    let port = address.rsplit(':').next().unwrap_or_default();
    let flow = FLOW.replace("r1.port = 0", &format!("r1.port = {port}"));
    let is_over = AtomicBool::new(false);
    let acknowledged = AtomicU64::new(0);
    let (agent, sent) = thread::scope(|scope| {
        let sender = scope.spawn(|| send_until(&is_over, &address, &acknowledged));
        let killed = kill_in_turn(classes, &flow, kills, &acknowledged);
        is_over.store(true, Relaxed);
        let sent = sender.join().map_err(|_| anyhow!("the sender panicked"))?;
        anyhow::Ok((killed?, sent?))
    })?;
    let delivered = wait_for_lines(&agent.dir().join("k1"), "m ", sent)?;
    let item = format!("JVM, agent and both killed in turn, {kills} times, {sent} lines: lost");
    let lost = sent.saturating_sub(delivered);
    report.row(&item, lost, "0", lost == 0);
    Ok(())
}

fn send_until(is_over: &AtomicBool, address: &str, acknowledged: &AtomicU64) -> Result<u64> {
    let mut sent = 0;
    while !is_over.load(Relaxed) {
        send_until_acknowledged(address, sent..sent + LINES)?;
        sent += LINES;
        acknowledged.store(sent, Relaxed);
    }
    Ok(sent)
}

/// The last agent, after so many kills. Between two of them lines have come through.
fn kill_in_turn(
    classes: &Path,
    flow: &str,
    kills: usize,
    acknowledged: &AtomicU64,
) -> Result<Agent> {
    let mut agent = start(tempfile::tempdir()?, classes, flow)?;
    for kill in 0..kills {
        let before = acknowledged.load(Relaxed);
        let deadline = Instant::now() + WAIT_TIMEOUT;
        while acknowledged.load(Relaxed) == before {
            ensure!(Instant::now() < deadline, "nothing comes through");
            thread::sleep(POLL);
        }
        thread::sleep(Duration::from_millis(kill as u64 * 37 % 500));
        if kill % 3 != 1 {
            kill_jvm(agent.pid())?;
        }
        if kill % 3 != 0 {
            agent = start(agent.kill()?, classes, flow)?;
        }
    }
    Ok(agent)
}

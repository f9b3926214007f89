//! The durable channel: beside the machine's own ceiling, after a kill, on a disk that fails or is full, and over time.
//! Beside Java Flume it is measured with the other flows (`bench.rs`).

mod ceiling;
mod edges;
mod faults;
mod kills;
mod open;
mod soak;
mod store;
pub mod takeover;

use std::{path::Path, process::Command, time::Duration};

use anyhow::Result;
pub use edges::show as idle_at_edges;
use faults::Faults;
pub use kills::victim;
pub use open::load;

use crate::{agents::root, report::Report};

/// The whole of it, judged.
pub fn show(report: &mut Report, dir: &Path) -> Result<()> {
    for row in ceiling::table(dir, 24)? {
        report.at_least(
            &format!("file channel, {}: share of the ceiling", row.name),
            row.ratio,
            row.want,
        );
    }
    opened(report, open::after_kill(dir, 100_000_000)?, true);
    killed(report, dir, 100)?;
    crash_states(report, 4)?;
    soak::run(report, dir, Duration::from_secs(60))
}

/// The same in half a minute: the figures are printed, and what must never fail is judged.
pub fn slice(report: &mut Report, dir: &Path) -> Result<()> {
    ceiling::table(dir, 3)?;
    opened(report, open::after_kill(dir, 10_000_000)?, false);
    killed(report, dir, 10)?;
    soak::run(report, dir, Duration::from_secs(8))
}

/// The table beside the ceiling, not judged.
pub fn bench(dir: &Path) -> Result<()> {
    ceiling::table(dir, 24).map(drop)
}

/// At full rate for so long.
pub fn soak(report: &mut Report, dir: &Path, duration: Duration) -> Result<()> {
    soak::run(report, dir, duration)
}

/// What was kept is judged always, time and memory only where nothing else runs.
fn opened(report: &mut Report, opened: open::Opened, judge_figures: bool) {
    let name = format!(
        "file channel, {} M queued, killed",
        opened.queued / 1_000_000
    );
    let seconds = opened.accepting.as_secs_f64();
    let mib = opened.resident_mib;
    if judge_figures {
        report.at_most(&format!("{name}: s to accept"), seconds, 5.0);
        report.at_most(&format!("{name}: MiB resident"), mib, 256.0);
    } else {
        println!("{name}: {seconds:.2} s to accept, {mib:.0} MiB resident");
    }
    let lost = opened.queued.saturating_sub(opened.held);
    report.row(&format!("{name}: events lost"), lost, "0", lost == 0);
}

/// Processes killed at any moment, with takes that wait for the disk and with takes that need not.
pub fn killed(report: &mut Report, dir: &Path, kills: usize) -> Result<()> {
    for take_sync in [0, 100] {
        let name = format!("file channel, {kills} kills, takeSyncMillis {take_sync}");
        let seen = kills::run(dir, kills, take_sync, None)?;
        nothing_is_lost(report, &name, &seen, take_sync);
    }
    Ok(())
}

/// The same while calls on the disk fail.
pub fn killed_while_failing(report: &mut Report, dir: &Path, kills: usize) -> Result<()> {
    let faults = Faults::compile(dir)?;
    for take_sync in [0, 100] {
        let name = format!("file channel, {kills} kills, calls fail, takeSyncMillis {take_sync}");
        let seen = kills::run(dir, kills, take_sync, Some(&faults))?;
        nothing_is_lost(report, &name, &seen, take_sync);
    }
    for (kind, name) in faults::KINDS {
        let count = faults.count(kind);
        report.row(
            &format!("file channel, faults: {name}"),
            count,
            "> 0",
            count > 0,
        );
    }
    Ok(())
}

fn nothing_is_lost(report: &mut Report, name: &str, seen: &kills::Outcome, take_sync: u64) {
    let acknowledged = seen.acknowledged;
    report.row(
        &format!("{name}: acknowledged"),
        acknowledged,
        "> 0",
        acknowledged > 0,
    );
    let mut none = |what: &str, count: usize| {
        report.row(&format!("{name}: {what}"), count, "0", count == 0);
    };
    none("lost", seen.lost);
    if take_sync == 0 {
        none("repeated", seen.repeated);
    } else {
        println!(
            "{} deliveries repeated, committed up to {:?} before the kill",
            seen.repeated, seen.oldest
        );
    }
    none("repeated after a later put", seen.undone);
}

/// The tests of the engine on a model of a disk, with so much more effort than usual: how many states they tried, and
/// that they notice each broken promise.
fn crash_states(report: &mut Report, effort: u32) -> Result<()> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args([
            "test",
            "--locked",
            "-p",
            "flume-file-channel",
            "--lib",
            "--",
            "--nocapture",
            "tests::",
        ])
        .env("FILE_CHANNEL_EFFORT", effort.to_string())
        .current_dir(root())
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned()
        + &String::from_utf8_lossy(&output.stdout);
    let telling = [
        "crash states",
        "WriteAhead",
        "EarlyTake",
        "SequenceReuse",
        "bytes of",
        "test result",
    ];
    for line in said
        .lines()
        .filter(|line| telling.iter().any(|word| line.contains(word)))
    {
        println!("{line}");
    }
    report.row(
        "file channel, crashes of a model disk",
        "",
        "as said",
        output.status.success(),
    );
    Ok(())
}

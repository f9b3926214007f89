//! The durable channel: beside the machine's own ceiling, after a kill, and over time. Beside Java Flume it is
//! measured with the other flows (`bench.rs`).

mod ceiling;
mod open;
mod soak;
mod store;

use std::{path::Path, time::Duration};

use anyhow::Result;
pub use open::load;

use crate::show::Report;

/// The whole of it, judged.
pub fn show(report: &mut Report, dir: &Path) -> Result<()> {
    for row in ceiling::table(dir, 24)? {
        report.at_least(&format!("file channel, {}: share of the ceiling", row.name), row.ratio, row.want);
    }
    opened(report, open::after_kill(dir, 100_000_000)?);
    soak::run(report, dir, Duration::from_secs(60))
}

/// The same in half a minute: the figures are printed, and what must never fail is judged.
pub fn slice(report: &mut Report, dir: &Path) -> Result<()> {
    ceiling::table(dir, 3)?;
    opened(report, open::after_kill(dir, 10_000_000)?);
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

fn opened(report: &mut Report, opened: open::Opened) {
    let name = format!("file channel, {} M queued, killed", opened.queued / 1_000_000);
    report.at_most(&format!("{name}: s to accept"), opened.accepting.as_secs_f64(), 5.0);
    report.at_most(&format!("{name}: MiB resident"), opened.resident_mib, 256.0);
    let lost = opened.queued.saturating_sub(opened.held);
    report.row(&format!("{name}: events lost"), lost, "0", lost == 0);
}

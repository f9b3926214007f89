//! What `validate` says of a site's configuration.

use std::process::Command;

use anyhow::Result;

use crate::{
    agents::{program, root},
    report::Report,
};

/// The configuration that sites have from their deployment tool: every mistake is found, and nothing else.
pub fn show(report: &mut Report) -> Result<()> {
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
        "4:a1.channels",
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

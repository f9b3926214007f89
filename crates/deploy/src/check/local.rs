//! A flow into a directory, where there is no HDFS to write to.

use std::fs;

use super::agent::{Agent, Sink, lines};
use crate::{Site, fault::Fault};

/// Lines through an agent into a file, read back.
pub(super) fn run(site: &Site) -> Result<Vec<String>, Fault> {
    let property = |key: &str, value: &str| (key.to_string(), value.to_string());
    // Relative to the agent's own directory.
    let properties = vec![
        property("type", "file_roll"),
        property("sink.directory", "."),
        property("sink.pathManager.prefix", "out-"),
    ];
    let mut agent = Agent::start(
        site,
        &[Sink {
            name: "k1".into(),
            properties,
        }],
    )?;
    agent.pass_lines()?;
    let dir = agent.stop()?;
    let entries = fs::read_dir(dir.path()).map_err(Fault::io("read", dir.path()))?;
    let written = entries.flatten().map(|entry| entry.path());
    let ours = |path: &std::path::PathBuf| {
        path.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("out-"))
    };
    let text: String = written
        .filter(ours)
        .filter_map(|path| fs::read_to_string(path).ok())
        .collect();
    if text != lines() {
        let cause = format!(
            "{} bytes were sent and {} are in the file",
            lines().len(),
            text.len()
        );
        return Err(Fault::new(cause, "flume-ng doctor"));
    }
    let who = if rustix::process::geteuid().is_root() {
        site.node.user()
    } else {
        "this user"
    };
    Ok(vec![
        format!("an agent of user {who} took lines and wrote them to a file, which was read back"),
        "HDFS was not checked: there is no Hadoop configuration".into(),
    ])
}

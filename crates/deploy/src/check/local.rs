//! A flow into a directory, where there is no HDFS to write to.

use super::agent::{CheckAgent, CheckSink, Home, lines};
use crate::{Site, fault::Fault};

const PREFIX: &str = "out-";

/// Lines through an agent into a file, read back.
pub(super) fn run(site: &Site) -> Result<Vec<String>, Fault> {
    let mut agent = CheckAgent::start(site, |home| vec![sink(home)])?;
    agent.pass_lines()?;
    let text = agent.stop()?.written(PREFIX)?;
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

fn sink(home: &Home) -> CheckSink {
    let directory = home.state().display().to_string();
    let properties = [
        ("type", "file_roll"),
        ("sink.directory", &directory),
        ("sink.pathManager.prefix", PREFIX),
    ];
    let owned = |(key, value): (&str, &str)| (key.to_string(), value.to_string());
    CheckSink {
        name: "k1".into(),
        properties: properties.map(owned).to_vec(),
    }
}

//! `flume-ng validate`: every mistake in one pass, nothing started.

use std::{path::PathBuf, sync::Arc};

use flume_conf::Document;
use flume_core::{AgentInfo, Diagnostic, Severity};

use crate::{
    args::Args,
    outcome::{ExitCode, Failure, print},
    registry::REGISTRY,
    report, system_properties,
};

/// Runs the command: exit code 0 without errors, else 2.
pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let files: Vec<PathBuf> = args
        .all("conf-file")
        .iter()
        .chain(&args.rest)
        .map(PathBuf::from)
        .collect();
    if files.is_empty() {
        return Err(Failure::Usage("which file? -f FILE".into()));
    }
    let json = args.wants_json()?;
    let document = Document::read(&files).map_err(Failure::Usage)?;
    let all = document.agents();
    let agents = match args.get("name") {
        None if all.is_empty() => {
            return Err(Failure::Usage("the configuration has no agent".into()));
        }
        None => all,
        Some(name) if all.iter().any(|agent| agent == name) => vec![name.to_string()],
        Some(name) => {
            let text = format!(
                "there is no agent `{name}`, the configuration has: {}",
                all.join(", ")
            );
            return Err(Failure::Usage(text));
        }
    };
    let found = diagnostics(&document, &agents, args);
    print(&if json {
        report::json(&found) + "\n"
    } else {
        text(&document, &agents, &found)
    })?;
    let failed = found.iter().any(|found| found.severity == Severity::Error);
    Ok(if failed {
        ExitCode::WRONG
    } else {
        ExitCode::SUCCESS
    })
}

/// What is wrong with these agents, in the order of the files, each thing once.
pub(crate) fn diagnostics(document: &Document, agents: &[String], args: &Args) -> Vec<Diagnostic> {
    let mut found: Vec<Diagnostic> = vec![];
    for agent in agents {
        let info = Arc::new(AgentInfo {
            name: agent.clone(),
            conf_dir: args.get("conf").map(PathBuf::from),
            system_properties: system_properties::of_agent(&args.properties),
            ..AgentInfo::default()
        });
        let plan = flume_runtime::check(document.plan(agent, &REGISTRY), &info);
        found.extend(plan.diagnostics);
    }
    let file = |found: &Diagnostic| {
        document
            .files
            .iter()
            .position(|(name, _)| *name == found.place.file)
    };
    found.sort_by(|a, b| {
        (file(a), &a.place, a.severity, &a.key).cmp(&(file(b), &b.place, b.severity, &b.key))
    });
    found.dedup();
    found
}

fn text(document: &Document, agents: &[String], found: &[Diagnostic]) -> String {
    let count = |severity| {
        found
            .iter()
            .filter(|found| found.severity == severity)
            .count()
    };
    let errors = count(Severity::Error);
    let warnings = count(Severity::Warning);
    let verdict = match errors {
        0 => "accepted",
        _ => "refused",
    };
    let shown = report::human(document, found, report::may_colour());
    let several =
        |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    format!(
        "{shown}{verdict}: {} {}, {}, {}\n",
        if agents.len() == 1 { "agent" } else { "agents" },
        agents.join(", "),
        several(errors, "error"),
        several(warnings, "warning")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_diagnostic(text: &str, expected: &[&str]) {
        let mut document = Document::default();
        document.add("flume.conf", text.as_bytes());
        let seen: Vec<_> = diagnostics(&document, &document.agents(), &Args::default())
            .iter()
            .map(|found| format!("{} {}: {}", found.severity, found.key, found.text))
            .collect();
        assert_eq!(seen, expected, "{text}");
    }

    /// Nothing is wrong, and not what was meant.
    #[test]
    fn what_a_configuration_leads_to_is_remarked() {
        let base = "a1.sources = r1\na1.channels = c1\na1.sinks = k1\na1.sources.r1.type = seq\na1.sources.r1.channels = c1\n\
                    a1.channels.c1.type = memory\na1.sinks.k1.type = hdfs\na1.sinks.k1.channel = c1\n\
                    a1.sinks.k1.hdfs.path = /logs/%Y\na1.sinks.k1.hdfs.rollCount = 0\n";
        let malformed = "warning a1.sinks.k1.hdfs.path: its escapes of time need a header `timestamp`, which no source of the channel sets: every event is malformed; add a timestamp interceptor, or set hdfs.useLocalTimeStamp";
        check_diagnostic(base, &[malformed]);
        check_diagnostic(
            &format!("{base}a1.sinks.k1.hdfs.useLocalTimeStamp = true\n"),
            &[],
        );
        let interceptor = |kind: &str, more: &str| {
            let of = "a1.sources.r1.interceptors";
            format!("{base}{of} = i1\n{of}.i1.type = {kind}\n{more}")
        };
        check_diagnostic(&interceptor("timestamp", ""), &[]);
        check_diagnostic(&interceptor("host", ""), &[malformed]);
        check_diagnostic(
            &interceptor("static", "a1.sources.r1.interceptors.i1.key = timestamp\n"),
            &[],
        );
        // What is already in the channel may have it.
        let alone = base
            .replace("r1.channels = c1", "r1.channels = c2")
            .replace("channels = c1\n", "channels = c1 c2\n");
        check_diagnostic(&format!("{alone}a1.channels.c2.type = memory\n"), &[]);
        check_diagnostic(
            &base
                .replace("%Y", "x")
                .replace("rollCount = 0", "rollCount = 10"),
            &[
                "warning a1.sinks.k1: files are complete at 30 s, 1024 bytes or 10 events, Flume's defaults, which make many small files; hdfs.rollInterval, hdfs.rollSize and hdfs.rollCount are the limits",
            ],
        );
        check_diagnostic(
            &base.replace("/logs/%Y", "%{dir}/x"),
            &[
                "warning a1.sinks.k1.hdfs.path: a path that begins with a header is below the home directory, also when the header's value begins with `/`; as in Flume it is absolute then with hdfs.headerValues = ANY",
            ],
        );
    }
}

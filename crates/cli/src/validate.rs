//! `flume-ng validate`: every mistake in one pass, nothing started.

use std::{path::PathBuf, sync::Arc};

use flume_conf::{Document, report};
use flume_core::{AgentInfo, Diagnostic, Severity};

use crate::{
    args::Args,
    outcome::{ExitCode, Failure, print},
    registry::REGISTRY,
    system_properties,
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
    let json = match args.get("format") {
        None | Some("text") => false,
        Some("json") => true,
        Some(other) => {
            return Err(Failure::Usage(format!(
                "--format takes text or json, not `{other}`"
            )));
        }
    };
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

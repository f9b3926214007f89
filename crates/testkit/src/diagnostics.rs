//! What is found in a configuration, as text to compare.

use std::sync::Arc;

use flume_conf::{Document, Plan};
use flume_core::{AgentInfo, Diagnostic, Registry};
use flume_runtime::{Flows, check};

/// Everything that the plans of all agents in `text` tell, each thing once, in the order of the file.
pub fn planned(text: &str, registry: &Registry) -> Vec<Diagnostic> {
    found(text, registry, |plan, _| plan)
}

/// The same, and what building each component once tells.
pub fn checked(text: &str, registry: &Registry) -> Vec<Diagnostic> {
    found(text, registry, |plan, agent| {
        let info = Arc::new(AgentInfo {
            name: agent.into(),
            ..AgentInfo::default()
        });
        check(plan, &info, Flows::Whole)
    })
}

fn found(text: &str, registry: &Registry, judge: impl Fn(Plan, &str) -> Plan) -> Vec<Diagnostic> {
    let mut document = Document::default();
    document.add("flume.conf", text.as_bytes());
    let mut found = vec![];
    for agent in document.agents() {
        let plan = judge(document.plan(&agent, registry), &agent);
        found.extend(plan.diagnostics);
    }
    found.sort_by(|a, b| {
        (&a.place, a.severity(), &a.key, a.code).cmp(&(&b.place, b.severity(), &b.key, b.code))
    });
    found.dedup();
    found
}

/// Compares what was found in `text` with `SEVERITY KEY: TEXT (HINT)`.
pub fn check_diagnostics(found: &[Diagnostic], text: &str, expected: &[&str]) {
    let seen: Vec<_> = found.iter().map(line).collect();
    assert_eq!(seen, expected, "{text}");
}

fn line(found: &Diagnostic) -> String {
    let hint = found.hint.iter().map(|hint| format!(" ({hint})"));
    let hint: String = hint.collect();
    format!("{} {}: {}{hint}", found.severity(), found.key, found.text)
}

//! What building each component once finds: mistakes that no property has alone.

use std::sync::Arc;

use flume_components::REGISTRY;
use flume_conf::Document;
use flume_core::AgentInfo;
use flume_runtime::check;

/// Plans every agent of `text`, builds its components and compares what was found, each thing once, in the order of the file.
fn check_diagnostic(text: &str, expected: &[&str]) {
    let mut document = Document::default();
    document.add("flume.conf", text.as_bytes());
    let mut found = vec![];
    for agent in document.agents() {
        let info = Arc::new(AgentInfo {
            name: agent.clone(),
            ..AgentInfo::default()
        });
        let plan = check(document.plan(&agent, &REGISTRY), &info);
        found.extend(plan.diagnostics);
    }
    found.sort_by(|a, b| (&a.place, a.severity, &a.key).cmp(&(&b.place, b.severity, &b.key)));
    found.dedup();
    let seen: Vec<_> = found
        .iter()
        .map(|found| {
            let hint = found.hint.iter().map(|hint| format!(" ({hint})"));
            let hint: String = hint.collect();
            format!("{} {}: {}{hint}", found.severity, found.key, found.text)
        })
        .collect();
    assert_eq!(seen, expected, "{text}");
}

#[test]
fn what_cannot_be_built_is_an_error_at_its_key() {
    let base = "a1.sources = r1\na1.channels = c1\na1.sinks = k1\na1.sources.r1.type = seq\na1.sources.r1.channels = c1\n\
                a1.channels.c1.type = memory\na1.sinks.k1.type = null\na1.sinks.k1.channel = c1\n";
    check_diagnostic(
        &format!("{base}a1.sources.r1.batchSize = 500\n"),
        &[
            "error a1.sources.r1.batchSize: a batch of 500 events can never fit into channel c1, its transactionCapacity is 100",
        ],
    );
    check_diagnostic(
        &format!("{base}a1.sinks.k1.batchSize = 500\n"),
        &[
            "warning a1.sinks.k1: batches of 500 events exceed the transactionCapacity 100 of channel c1: Flume would leave this sink out",
        ],
    );
    check_diagnostic(
        &format!("{base}a1.channels.c1.capacity = 50\n"),
        &["error a1.channels.c1.transactionCapacity: must not exceed capacity, which is 50"],
    );
    check_diagnostic(
        &format!(
            "{base}a1.sources.r1.selector.type = multiplexing\na1.sources.r1.selector.mapping.x = c2\n"
        ),
        &["error a1.sources.r1.selector.mapping.x: `c2` is not a channel of this source"],
    );
}

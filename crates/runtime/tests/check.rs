//! What building each component once finds: mistakes that no property has alone.

use std::sync::Arc;

use flume_components::REGISTRY;
use flume_conf::Document;
use flume_runtime::{Flows, check};
use flume_testkit::diagnostics::{check_diagnostics, checked};

fn check_diagnostic(text: &str, expected: &[&str]) {
    check_diagnostics(&checked(text, &REGISTRY), text, expected);
}

#[test]
fn what_cannot_be_built_is_an_error_at_its_key() {
    let base = "a1.sources = r1\na1.channels = c1\na1.sinks = k1\na1.sources.r1.type = seq\na1.sources.r1.channels = c1\n\
                a1.channels.c1.type = memory\na1.sinks.k1.type = null\na1.sinks.k1.channel = c1\n";
    check_diagnostic(
        &format!("{base}a1.sources.r1.batchSize = 500\n"),
        &[
            "error a1.sources.r1.batchSize: a batch of 500 events can never fit into channel c1, whose transactionCapacity is 100 (the default)",
        ],
    );
    check_diagnostic(
        &format!("{base}a1.sinks.k1.batchSize = 500\n"),
        &[
            "warning a1.sinks.k1.batchSize: batches of 500 events exceed the transactionCapacity 100 of channel c1 (the default): Flume would leave this sink out",
        ],
    );
    check_diagnostic(
        &format!("{base}a1.channels.c1.capacity = 50\n"),
        &[
            "error a1.channels.c1.transactionCapacity: 100 exceeds capacity, which is 50; if it is not set, it is 100",
        ],
    );
    check_diagnostic(
        &format!(
            "{base}a1.sources.r1.selector.type = multiplexing\na1.sources.r1.selector.mapping.x = c2\n"
        ),
        &["error a1.sources.r1.selector.mapping.x: `c2` is not a channel of this source"],
    );
}

/// What each component would do.
fn check_verdict(text: &str, flows: Flows, expected: &[&str]) {
    let mut document = Document::default();
    document.add("flume.conf", text.as_bytes());
    let plan = check(document.plan("a1", &REGISTRY), &Arc::default(), flows);
    let seen: Vec<_> = plan
        .verdicts()
        .iter()
        .map(|verdict| {
            let outcome = verdict.reason.as_deref().unwrap_or("runs");
            format!("{}: {outcome}", verdict.name)
        })
        .collect();
    assert_eq!(seen, expected, "{text}");
}

#[test]
fn a_flow_runs_as_a_whole_or_not_at_all() {
    let two_ways = "a1.sources = r1 r2\na1.channels = c1 c2\na1.sinks = k1 k2\n\
                    a1.sources.r1.type = seq\na1.sources.r1.channels = c1 c2\n\
                    a1.sources.r2.type = seq\na1.sources.r2.channels = c1\n\
                    a1.channels.c1.type = memory\na1.channels.c2.type = memory\n\
                    a1.sinks.k1.type = null\na1.sinks.k1.channel = c1\n\
                    a1.sinks.k2.type = nul\na1.sinks.k2.channel = c2\n";
    let misspelt = "a1.sinks.k2: type: there is no sink type `nul`";
    check_verdict(
        two_ways,
        Flows::Whole,
        &[
            "a1.sources.r2: runs",
            "a1.channels.c1: runs",
            "a1.sinks.k1: runs",
            misspelt,
            "a1.channels.c2: its sink k2 cannot run, so nothing would drain it",
            "a1.sources.r1: its channel c2 cannot run",
        ],
    );
    check_verdict(
        two_ways,
        Flows::Halves,
        &[
            "a1.sources.r1: runs",
            "a1.sources.r2: runs",
            "a1.channels.c1: runs",
            "a1.channels.c2: runs",
            "a1.sinks.k1: runs",
            misspelt,
        ],
    );
}

#[test]
fn flows_that_hardly_do_what_was_meant_are_remarked() {
    let base = "a1.sources = r1\na1.channels = c1\na1.sources.r1.type = seq\na1.sources.r1.channels = c1\n\
                a1.channels.c1.type = memory\n";
    check_diagnostic(
        base,
        &[
            "error a1.channels.c1: no sink drains it, so it would fill up (give it a sink, or take it out of the source's channels)",
        ],
    );
    check_diagnostic(
        &format!(
            "{base}a1.sinks = k1 k2\na1.sinks.k1.type = null\na1.sinks.k1.channel = c1\n\
             a1.sinks.k2.type = logger\na1.sinks.k2.channel = c1\n"
        ),
        &[
            "warning a1.sinks.k2: takes from channel c1 as sink k1 does, which is of another type: each event reaches one of them (for a copy of each event give each sink a channel of its own, and list both at the source)",
        ],
    );
}

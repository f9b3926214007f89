use super::*;
use crate::{
    flow::{GroupShape, PartShape, RefusedShape, SinkShape, SourceShape},
    status::ChannelStatus,
};

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn ago(seconds: i64) -> Timestamp {
    NOW - SignedDuration::from_secs(seconds)
}

fn component(kind: &str, name: &str, state: &str, reason: &str) -> ComponentStatus {
    let text = serde_json::json!({
        "kind": kind, "name": name, "type": "t", "state": state, "since": ago(300),
        "reason": Some(reason).filter(|reason| !reason.is_empty()), "events_per_second": 0.0,
    });
    serde_json::from_value(text).unwrap()
}

fn channel(name: &str, events: usize) -> ComponentStatus {
    ComponentStatus {
        channel: Some(ChannelStatus {
            events,
            bytes: 0,
            in_flight: 0,
            capacity: 100,
            oldest: Some(ago(10)),
            seconds_to_full: None,
        }),
        ..component("channel", name, "running", "")
    }
}

/// r1 → c1 → k1, k2, as in the configuration.
fn flow(sinks: &[&str]) -> FlowShape {
    let part = |name: &str| PartShape::new(name, "t", []);
    let sink = |name: &&str| GroupShape {
        part: part(name),
        sinks: vec![SinkShape {
            part: part(name),
            channel: "c1".into(),
            dead_letters: None,
        }],
    };
    FlowShape {
        sources: vec![SourceShape {
            part: part("r1"),
            channels: vec!["c1".into()],
            ..SourceShape::default()
        }],
        channels: vec![part("c1")],
        groups: sinks.iter().map(sink).collect(),
        refused: vec![],
    }
}

fn found(components: Vec<ComponentStatus>, flow: &FlowShape) -> Vec<Problem> {
    let status = Status {
        agent: "a1".into(),
        pid: 1,
        version: String::new(),
        started: ago(1000),
        last_reload: None,
        unreadable: None,
        problems: vec![],
        components,
    };
    problems(&status, flow, NOW)
}

const NO_ROOM: &str = "channel a1.channels.c1 has no room";

#[test]
fn a_flow_that_runs_has_no_problems() {
    let components = vec![
        component("source", "r1", "running", ""),
        channel("c1", 3),
        component("sink", "k1", "waiting", "nothing to deliver"),
    ];
    assert_eq!(found(components, &flow(&["k1"])), []);
}

#[test]
fn a_full_channel_is_one_problem_with_its_cause() {
    let components = vec![
        component("source", "r1", "waiting", NO_ROOM),
        channel("c1", 100),
        component(
            "sink",
            "k1",
            "failing",
            "failed to connect: Connection refused",
        ),
    ];
    let found = found(components, &flow(&["k1"]));
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(found[0].what, "Channel c1 is full; source r1 stands still");
    assert_eq!(
        found[0].why,
        "sink k1 is failing: failed to connect: Connection refused"
    );
    assert!(found[0].remedy.starts_with("Start the server"));
    assert_eq!(
        (found[0].severity.as_str(), found[0].component.as_str()),
        ("error", "sink k1")
    );
    assert_eq!(found[0].since, ago(300));
}

#[test]
fn a_full_channel_without_a_failure_is_too_slow_or_has_no_sink() {
    let components = |sink: Option<ComponentStatus>| {
        let mut all = vec![
            component("source", "r1", "waiting", NO_ROOM),
            channel("c1", 90),
        ];
        all.extend(sink);
        all
    };
    let slow = found(
        components(Some(component("sink", "k1", "running", ""))),
        &flow(&["k1"]),
    );
    assert!(
        slow[0].why.starts_with("sink k1 took 0 events/s lately"),
        "{slow:?}"
    );
    let none = found(components(None), &flow(&[]));
    assert_eq!(none[0].why, "no sink takes from it");
    assert_eq!((slow.len(), none.len()), (1, 1));
}

#[test]
fn a_sink_that_fails_beside_another_is_a_warning() {
    let components = vec![
        component("source", "r1", "running", ""),
        channel("c1", 3),
        component("sink", "k1", "failing", "No space left on device"),
        component("sink", "k2", "running", ""),
    ];
    let found = found(components, &flow(&["k1", "k2"]));
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(found[0].severity, "warning");
    assert!(found[0].what.ends_with("sink k2 still drains channel c1"));
    assert!(found[0].remedy.starts_with("Free some space"));
}

#[test]
fn what_is_refused_or_cannot_be_opened_is_said_once() {
    let mut flow = flow(&[]);
    flow.refused.push(RefusedShape {
        kind: "sink".into(),
        name: "k9".into(),
        channel: Some("c1".into()),
    });
    let components = vec![
        component("source", "r1", "starting", ""),
        component("channel", "c1", "failing", "Permission denied"),
        component("sink", "k9", "refused", "this build lacks it"),
    ];
    let found = found(components, &flow);
    let texts: Vec<_> = found.iter().map(|problem| problem.what.as_str()).collect();
    assert_eq!(
        texts,
        [
            "Channel c1 cannot be used; source r1, sink k9 cannot work",
            "Sink k9 delivers nothing"
        ]
    );
    assert!(found[1].remedy.contains("flume-ng validate"));
}

#[test]
fn a_channel_that_fills_and_one_that_nobody_empties() {
    let mut filling = channel("c1", 50);
    if let Some(held) = &mut filling.channel {
        held.seconds_to_full = Some(120.0);
    }
    filling.events_per_second = 1.0;
    let sink = || component("sink", "k1", "running", "");
    let source = || component("source", "r1", "running", "");
    let soon = found(vec![source(), filling, sink()], &flow(&["k1"]));
    assert_eq!(soon[0].what, "Channel c1 will be full in 2 min");
    assert_eq!(soon[0].severity, "warning");
    let mut still = channel("c1", 50);
    if let Some(held) = &mut still.channel {
        held.oldest = Some(ago(600));
    }
    let still = found(vec![source(), still, sink()], &flow(&["k1"]));
    assert_eq!(still[0].what, "Nothing is taken from channel c1");
    assert_eq!(still[0].since, ago(600));
}

/// Whatever the states are: nobody panics, and every failure is told.
#[test]
fn every_failure_is_told() {
    let states = [
        "starting", "running", "waiting", "failing", "refused", "stopped",
    ];
    for source in states {
        for store in states {
            for sink in states {
                for events in [0, 100] {
                    let mut held = channel("c1", events);
                    held.state = store.into();
                    let components = vec![
                        component("source", "r1", source, NO_ROOM),
                        held,
                        component("sink", "k1", sink, "why"),
                    ];
                    let found = found(components, &flow(&["k1"]));
                    let is_down = |state| ["failing", "refused"].contains(&state);
                    let down = [source, store, sink].into_iter().any(is_down);
                    assert!(
                        !down || !found.is_empty(),
                        "{source} {store} {sink} {events}"
                    );
                }
            }
        }
    }
}

#[test]
fn errors_have_remedies_of_their_kind() {
    for (error, expected) in [
        (
            "GSS initiate failed: no credentials in the keytab",
            "Check the keytab",
        ),
        (
            "Cannot create /flume. Name node is in safe mode.",
            "Wait until the NameNode",
        ),
        (
            "failed to write: No space left on device",
            "Free some space",
        ),
        ("failed to resolve `hub`", "Mend the host name"),
        (
            "failed to listen on 0.0.0.0:1: Address already in use",
            "End the program",
        ),
        (
            "something nobody has seen",
            "Look for k1 in the agent's log",
        ),
    ] {
        let remedy = crate::remedies::remedy("k1", error);
        assert!(remedy.starts_with(expected), "{error}: {remedy}");
    }
}

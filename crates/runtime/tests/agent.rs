//! Start, stop, drain, reload, failures and panics of a whole agent.

mod common;

use std::{
    future::pending,
    time::{Duration, Instant},
};

use common::{delivered, flow, held, info, plan, start, state, wait_for};
use flume_monitor::status;
use flume_runtime::{Agent, Remained};

const DRAIN: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread")]
async fn events_flow_and_a_stop_leaves_nothing() {
    let agent = start(&flow("flow", "sources.r1.events = 50")).await;
    let expected: Vec<_> = (0..50).map(|number| format!("e{number}")).collect();
    assert_eq!(delivered("flow", 50).await, expected);
    let board = agent.board();
    assert!(board.unready().is_empty());
    assert_eq!(agent.stop(DRAIN, pending()).await, Remained::new());
    let states: Vec<_> = status(&board)
        .components
        .into_iter()
        .map(|component| component.state)
        .collect();
    assert_eq!(states, ["stopped", "stopped", "stopped"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_drain_time_does_not_allow_is_counted() {
    let agent = start(&flow(
        "stuck",
        "sources.r1.events = 30\nsinks.k1.stuck = true",
    ))
    .await;
    wait_for("a full channel", || {
        agent
            .board()
            .entries()
            .iter()
            .any(|entry| entry.rates().out >= 0.0)
            .then_some(())
    })
    .await;
    wait_for("thirty events", || (held(&agent, "c1") == 30).then_some(())).await;
    assert_eq!(
        agent.stop(Duration::from_millis(50), pending()).await,
        remained("c1", 30)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_the_draining() {
    let agent = start(&flow(
        "hurry",
        "sources.r1.events = 3\nsinks.k1.stuck = true",
    ))
    .await;
    wait_for("three events", || (held(&agent, "c1") == 3).then_some(())).await;
    let remained = agent.stop(Duration::from_secs(3600), async {}).await;
    assert_eq!(remained, self::remained("c1", 3));
}

fn remained(channel: &str, events: usize) -> Remained {
    let mut remained = Remained::new();
    remained.add(channel, events, false);
    remained
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_closes_has_the_time_it_asks_for_but_in_a_hurry() {
    let [patient, hurried] =
        ["patient", "hurried"].map(|log| flow(log, "sources.r1.events = 1\nsinks.k1.closes = 7"));
    let patient = start(&patient).await;
    let hurried = start(&hurried).await;
    delivered("patient", 1).await;
    delivered("hurried", 1).await;
    let shown = patient.board();
    let beginning = Instant::now();
    let no_drain = Duration::ZERO;
    let second = Duration::from_secs(1);
    let (_, after) = tokio::join!(patient.stop(no_drain, pending()), async {
        hurried.stop(no_drain, tokio::time::sleep(second)).await;
        beginning.elapsed()
    });
    assert!(
        after < Duration::from_secs(7),
        "a second signal was not heard for {after:?}"
    );
    assert!(beginning.elapsed() >= Duration::from_secs(7));
    assert!(
        status(&shown)
            .components
            .iter()
            .all(|component| component.state == "stopped")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn components_that_fail_or_panic_are_run_again_and_lose_nothing() {
    let more = "sources.r1.events = 5\nsources.r1.panics = 1\nsources.r1.fail = 1\nsinks.k1.panics = 1\nsinks.k1.fail = 1";
    let agent = start(&flow("again", more)).await;
    let failing = |name: &'static str, text: &'static str| {
        let agent = &agent;
        wait_for(text, move || {
            Some(state(agent, name)).filter(|state| state.contains(text))
        })
    };
    failing("r1", "panicked: scripted panic 0").await;
    failing("r1", "failed to do its work: scripted").await;
    failing("k1", "panicked: scripted panic 0").await;
    assert_eq!(delivered("again", 5).await, ["e0", "e1", "e2", "e3", "e4"]);
    wait_for("recovery", || {
        agent.board().unready().is_empty().then_some(())
    })
    .await;
    agent.stop(DRAIN, pending()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_run_is_left_out_and_said() {
    let text = flow("left", "sources.r1.events = 1").replace("sinks = k1", "sinks = k1 k2 k3")
        + "\nsinks.k2.type = hdfs\nsinks.k2.channel = c1\nsinks.k3.type = note\nsinks.k3.channel = c1";
    let mut agent = Agent::new(info());
    agent.apply(plan(&text)).await.unwrap();
    delivered("left", 1).await;
    assert_eq!(state(&agent, "k3"), "refused: log: required but not set");
    assert!(state(&agent, "k2").starts_with("refused: "));
    // Readiness says whether the agent takes events, and it does.
    assert!(agent.board().unready().is_empty());
    agent.stop(DRAIN, pending()).await;
}

async fn check_reload(before: &str, after: &str, expected: &str) -> Agent {
    let mut agent = start(before).await;
    let changes = agent.apply(plan(after)).await.unwrap();
    assert_eq!(changes.to_string(), expected);
    agent
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_touches_what_changed_and_nothing_else() {
    let base = flow("reload", "");
    let second = "\nsources.r1.channels = c1 c2\nchannels.c2.type = memory\n";
    let cases = [
        (base.clone(), "nothing changes"),
        (flow("reload", "sources.r1.text = x"), "restart sources r1"),
        (
            flow(
                "reload",
                "sources.r1.interceptors = i1\nsources.r1.interceptors.i1.type = timestamp",
            ),
            "rewire sources r1",
        ),
        (
            flow("reload", "sinks.k1.batchLingerMs = 1"),
            "restart sinks k1",
        ),
        (
            flow("reload", "channels.c1.capacity = 200"),
            "restart channels c1, restart sinks k1",
        ),
        (
            base.replace("channels = c1\n", "channels = c1 c2\n") + second,
            "start channels c2, rewire sources r1",
        ),
        (
            base.replace("sinks = k1", "sinks = k1 k2")
                + "\nsinks.k2.type = note\nsinks.k2.log = x\nsinks.k2.channel = c1",
            "start sinks k2",
        ),
        (
            base.replace("sources = r1", "sources = r2")
                .replace("sources.r1", "sources.r2"),
            "start sources r2, stop sources r1",
        ),
    ];
    for (after, expected) in cases {
        check_reload(&base, &after, expected)
            .await
            .stop(DRAIN, pending())
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_memory_channel_keeps_its_events() {
    let before = flow(
        "kept",
        "sources.r1.events = 50\nsinks.k1.stuck = true\nchannels.c1.capacity = 100",
    );
    let mut agent = start(&before).await;
    wait_for("fifty events", || (held(&agent, "c1") == 50).then_some(())).await;
    let smaller = before.replace(
        "capacity = 100",
        "capacity = 40\nchannels.c1.transactionCapacity = 10",
    );
    let refused = agent.apply(plan(&smaller)).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "a1.channels.c1: holds 50 events, more than the new capacity 40"
    );
    let larger = before
        .replace("capacity = 100", "capacity = 500")
        .replace("stuck = true", "stuck = false");
    agent.apply(plan(&larger)).await.unwrap();
    let expected: Vec<_> = (0..50).map(|number| format!("e{number}")).collect();
    assert_eq!(delivered("kept", 50).await, expected);
    agent.stop(DRAIN, pending()).await;
}

/// In directories that stay the same, too. After a start it may hold more than its capacity; then it drains, and does
/// not move, because what has moved could not come back.
#[tokio::test(flavor = "multi_thread")]
async fn a_channel_on_disk_does_not_shrink_below_what_it_holds() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().display();
    let file = |place: &str, events: usize, capacity: usize, more: &str| {
        let lines = format!(
            "sources.r1.events = {events}
             channels.c1.checkpointDir = {root}/{place}/cp
             channels.c1.dataDirs = {root}/{place}/data
             channels.c1.transactionCapacity = 10
             channels.c1.capacity = {capacity}
             {more}"
        );
        let kind = "channels.c1.type = file";
        flow("shrunk", &lines).replace("channels.c1.type = memory", kind)
    };
    let stuck = "sinks.k1.stuck = true";
    let spillable = file("a", 50, 1, stuck).replace(
        "channels.c1.type = file",
        "channels.c1.type = spillablememory
         channels.c1.memoryCapacity = 10
         channels.c1.overflowCapacity = 30",
    );
    let mut agent = start(&file("a", 50, 100, stuck)).await;
    wait_for("fifty events", || (held(&agent, "c1") == 50).then_some(())).await;
    for smaller in [
        file("a", 50, 40, stuck),
        file("b", 50, 40, stuck),
        spillable,
    ] {
        let refused = agent.apply(plan(&smaller)).await.unwrap_err();
        assert_eq!(
            refused.to_string(),
            "a1.channels.c1: holds 50 events, more than the new capacity 40"
        );
    }
    agent.stop(Duration::ZERO, pending()).await;

    let patient = "sinks.k1.stuck = true\nchannels.c1.keep-alive = 1";
    let mut agent = start(&file("a", 0, 40, stuck)).await;
    wait_for("an open channel", || {
        (held(&agent, "c1") == 50).then_some(())
    })
    .await;
    let applied = agent.apply(plan(&file("a", 0, 40, patient))).await.unwrap();
    assert!(applied.failed.is_empty(), "{applied}");
    let applied = agent.apply(plan(&file("b", 0, 90, patient))).await.unwrap();
    assert_eq!(
        applied.failed,
        [
            "a1.channels.c1 keeps its settings: the channel holds 50 events, which is more than its capacity 40: \
          they could not return if the move failed; give it a capacity of 50 first"
        ]
    );
    for (place, more) in [("a", patient), ("b", "")] {
        let applied = agent.apply(plan(&file(place, 0, 90, more))).await.unwrap();
        assert!(applied.failed.is_empty(), "{applied}");
    }
    let expected: Vec<_> = (0..50).map(|number| format!("e{number}")).collect();
    assert_eq!(delivered("shrunk", 50).await, expected);
    agent.stop(DRAIN, pending()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vanishing_channel_is_drained_first() {
    let before = flow(
        "drained",
        "sources.r1.events = 20\nsources.r1.text = d\nsinks.k1.fail = 1",
    );
    let mut agent = start(&before).await;
    wait_for("a failure", || {
        state(&agent, "k1").starts_with("failing").then_some(())
    })
    .await;
    let after = before
        .replace("c1", "c2")
        .replace("log = drained", "log = other")
        .replace("events = 20", "events = 0");
    agent.apply(plan(&after)).await.unwrap();
    assert_eq!(state(&agent, "c1"), "running");
    let expected: Vec<_> = (0..20).map(|number| format!("d{number}")).collect();
    assert_eq!(delivered("drained", 20).await, expected);
    while state(&agent, "c1") != "absent" {
        tokio::task::yield_now().await;
        agent.settle_retired().await;
    }
    assert_ne!(state(&agent, "k1"), "absent");
    assert_eq!(agent.stop(DRAIN, pending()).await, Remained::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_nobody_would_drain_does_not_vanish() {
    let before = flow("orphan", "sources.r1.events = 2\nsinks.k1.stuck = true");
    let mut agent = start(&before).await;
    wait_for("two events", || (held(&agent, "c1") == 2).then_some(())).await;
    let without_sink = before.replace("sinks = k1", "sinks = k9");
    agent.apply(plan(&(without_sink.clone() + "\nsinks.k9.type = note\nsinks.k9.log = x\nsinks.k9.channel = c2\nchannels = c1 c2\nchannels.c2.type = memory"))).await.unwrap();
    let gone = without_sink.replace("c1", "c2")
        + "\nsinks.k9.type = note\nsinks.k9.log = x\nsinks.k9.channel = c2";
    let refused = agent.apply(plan(&gone)).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "a1.channels.c1: holds 2 events that no sink would take"
    );
    agent.stop(Duration::from_millis(10), pending()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_with_an_error_changes_nothing() {
    let mut agent = start(&flow("broken", "")).await;
    let broken = plan(&flow("broken", "sinks.k1.parkedEvents = soon"));
    let refused = agent.apply(broken).await.unwrap_err().to_string();
    assert!(
        refused.contains("flume.conf:10:") && refused.contains("a1.sinks.k1.parkedEvents"),
        "{refused}"
    );
    wait_for("the old components", || {
        agent.board().unready().is_empty().then_some(())
    })
    .await;
    agent.stop(DRAIN, pending()).await;
}

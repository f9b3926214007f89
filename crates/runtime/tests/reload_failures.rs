//! Reloads in which something fails: nothing acknowledged is lost without being counted, and the rest goes on.

mod common;

use std::{future::pending, time::Duration};

use common::{delivered, flow, held, plan, start, state, wait_for};

const DRAIN: Duration = Duration::from_secs(5);

/// An agent whose channel cannot take back what has moved, after a reload that moves into a channel of these properties
/// and fails: what the reload says, and what the stop counts as lost.
async fn strand(log: &str, successor: &str) -> (String, usize) {
    let more = "sources.r1.events = 20\nsinks.k1.stuck = true";
    let with = |channel: &str| flow(log, more).replace("channels.c1.type = memory", channel);
    let mut agent = start(&with("channels.c1.type = frail\nchannels.c1.puts = 20")).await;
    wait_for("twenty events", || (held(&agent, "c1") == 20).then_some(())).await;
    let applied = agent.apply(plan(&with(successor))).await.unwrap();
    assert_eq!(applied.failed.len(), 1, "{applied}");
    assert_eq!(held(&agent, "c1"), 10);
    let remained = agent.stop(Duration::from_millis(10), pending()).await;
    (applied.failed[0].clone(), remained.count())
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_do_not_come_back_are_counted_and_fail_the_reload() {
    let memory = "channels.c1.type = frail\nchannels.c1.puts = 1";
    let (failure, lost) = strand("stranded-memory", memory).await;
    assert_eq!(
        failure,
        "a1.channels.c1 keeps its settings: 10 events did not come back and are lost: the channel's storage failed: scripted"
    );
    assert_eq!(
        lost, 20,
        "those that are lost, and those that are still held"
    );
    let disk = format!("{memory}\nchannels.c1.directory = /nowhere/c1");
    let (failure, lost) = strand("stranded-disk", &disk).await;
    assert_eq!(
        failure,
        "a1.channels.c1 keeps its settings: 10 events are in /nowhere/c1/data and did not come back; \
         they are delivered when a channel uses it again: the channel's storage failed: scripted"
    );
    assert_eq!(lost, 10, "those that are still held");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_of_dead_letters_stays_while_somebody_buries_in_it() {
    let letters = "channels = c1 c2
         channels.c2.type = memory
         sinks = k1 k2
         sinks.k2.type = note
         sinks.k2.log = grave
         sinks.k2.channel = c2
         sinks.k1.deadLetterChannel = c2
         sinks.k1.rejects = true
         sinks.k1.fail = 3";
    let before = flow("buries", &format!("sources.r1.events = 1\n{letters}"));
    let mut agent = start(&before).await;
    wait_for("a failure", || {
        state(&agent, "k1").starts_with("failing").then_some(())
    })
    .await;
    let applied = agent
        .apply(plan(&flow("buries-no-more", "").replace("c1", "c3")))
        .await;
    let applied = applied.unwrap();
    assert!(applied.failed.is_empty(), "{applied}");
    assert_eq!(delivered("grave", 1).await, ["e0"]);
    wait_for("empty channels", || {
        (held(&agent, "c1") + held(&agent, "c2") == 0).then_some(())
    })
    .await;
    assert!(agent.stop(DRAIN, pending()).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_failure_the_rest_of_a_reload_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let blocker = directory.path().join("file");
    std::fs::write(&blocker, "").unwrap();
    let second = "channels = c1 c2
         channels.c2.type = memory
         sinks.k2.type = note
         sinks.k2.log = rest-2
         sinks.k2.channel = c2";
    let before = flow("rest-1", &format!("{second}\nsinks = k1 k2"));
    let mut agent = start(&before).await;
    let below = blocker.display();
    let file = format!(
        "channels.c1.type = file
         channels.c1.checkpointDir = {below}/cp
         channels.c1.dataDirs = {below}/data"
    );
    let after = before.replace("channels.c1.type = memory", &file)
        + "\nsources.r1.events = 5
           channels.c2.capacity = 777
           sinks = k1 k2 k3
           sinks.k3.type = note
           sinks.k3.log = rest-3
           sinks.k3.channel = c2";
    let applied = agent.apply(plan(&after)).await.unwrap();
    assert_eq!(applied.failed.len(), 1, "{applied}");
    let failure = &applied.failed[0];
    assert!(
        failure.starts_with("a1.channels.c1 keeps its settings: "),
        "{failure}"
    );
    let status = flume_monitor::status(&agent.board());
    let capacity = |name: &str| {
        let mut components = status.components.iter();
        let channel = components.find(|component| component.name == name)?;
        Some(channel.channel.as_ref()?.capacity)
    };
    assert_eq!((capacity("c1"), capacity("c2")), (Some(100), Some(777)));
    assert_ne!(state(&agent, "k3"), "absent");
    assert_eq!(delivered("rest-1", 5).await, ["e0", "e1", "e2", "e3", "e4"]);
    assert!(agent.stop(DRAIN, pending()).await.is_empty());
}

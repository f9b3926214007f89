//! `seq` and `stress`: events made on the spot.

use std::time::Duration;

use flume_components::REGISTRY;
use flume_core::{Context, Source, State};
use flume_testkit::{parts::build, source::RunningSource};
use tokio::time::{Instant, sleep};

fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

#[tokio::test(start_paused = true)]
async fn seq_counts_from_zero() {
    for batch in [1, 7] {
        let source = RunningSource::start(
            &REGISTRY,
            "seq",
            &format!("batchSize = {batch}\ntotalEvents = 100"),
        );
        assert_eq!(source.bodies(100).await, numbers(0..100));
        assert_eq!(source.number("EventAcceptedCount"), 100);
        assert_eq!(
            source.number("AppendBatchAcceptedCount"),
            if batch > 1 { 15 } else { 0 }
        );
        source.ended().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn seq_skips_nothing_when_it_is_refused() {
    let channel = "capacity = 10\ntransactionCapacity = 10\nkeep-alive = 0";
    let text =
        "batchSize = 4\nbackoffSleepIncrement = 100\nmaxBackoffSleep = 150\ntotalEvents = 30";
    let source = RunningSource::with_channel(&REGISTRY, "seq", text, channel);
    sleep(Duration::from_millis(99)).await;
    // The third batch did not fit, and is tried again after 100, 250, 400 milliseconds.
    assert_eq!(
        (
            source.number("ChannelWriteFail"),
            source.number("EventAcceptedCount")
        ),
        (1, 8)
    );
    sleep(Duration::from_millis(300)).await;
    assert_eq!(source.number("ChannelWriteFail"), 3);
    assert!(
        matches!(source.state(), State::Failing { attempts: 3, .. }),
        "{}",
        source.state()
    );
    assert_eq!(source.bodies(30).await, numbers(0..30));
    let state = source.cx.state.clone();
    source.ended().await.unwrap();
    assert_eq!(state.get().0, State::Running);
}

#[tokio::test(start_paused = true)]
async fn stress_sends_so_many_of_so_many_bytes() {
    for (text, size) in [
        ("maxTotalEvents = 10", 500),
        ("maxTotalEvents = 10\nbatchSize = 4\nsize = 0", 0),
        (
            "maxSuccessfulEvents = 10\nbatchSize = 4\nfreshBodies = true",
            500,
        ),
        ("maxTotalEvents = 10\nbatchSize = 4\nsize = 100000", 100_000),
    ] {
        let source = RunningSource::start(&REGISTRY, "org.apache.flume.source.StressSource", text);
        for event in source.take(10).await {
            assert_eq!(event.body, vec![0x7F; size]);
        }
        let channel = source.channel.clone();
        source.ended().await.unwrap();
        assert_eq!(channel.stats().events, 0, "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn stress_counts_refused_events_as_sent() {
    let channel = "capacity = 5\ntransactionCapacity = 5\nkeep-alive = 0";
    let text = "size = 1\nmaxTotalEvents = 8\nbackoffSleepIncrement = 10";
    let begin = Instant::now();
    let source = RunningSource::with_channel(&REGISTRY, "stress", text, channel);
    let held = source.channel.clone();
    source.ended().await.unwrap();
    assert_eq!(held.stats().events, 5);
    assert_eq!(
        begin.elapsed().as_millis(),
        10 + 20 + 30,
        "a longer pause after each"
    );
}

#[tokio::test(start_paused = true)]
async fn stress_keeps_its_rate() {
    for (batch, events) in [(1, 301), (10, 310)] {
        let begin = Instant::now();
        let text =
            format!("maxEventsPerSecond = 100\nmaxTotalEvents = {events}\nbatchSize = {batch}");
        let source = RunningSource::start(&REGISTRY, "stress", &text);
        source.take(events).await;
        let seconds = begin.elapsed().as_secs_f64();
        assert!((3.0..3.5).contains(&seconds), "{seconds}");
        source.ended().await.unwrap();
    }
}

#[tokio::test]
async fn an_endless_source_stops_at_once() {
    for name in ["seq", "stress"] {
        let source =
            RunningSource::with_channel(&REGISTRY, name, "batchSize = 10", "keep-alive = 3600");
        source.take(1000).await;
        source.stop().await.unwrap();
    }
}

#[test]
fn the_size_of_batches_is_known_before_they_are_put() {
    let cx = Context::new("a1.sources.r1", &["c1"]);
    for (name, text, most) in [
        ("seq", "batchSize = 7", 7),
        ("stress", "batchSize = 7", 7),
        ("exec", "command = true", 20),
        ("netcat", "bind = x\nport = 1", 1),
        ("netcatudp", "port = 1", 1),
    ] {
        assert_eq!(
            build::<dyn Source>(&REGISTRY, name, text, &cx).batch_size(),
            most,
            "{name}"
        );
    }
}

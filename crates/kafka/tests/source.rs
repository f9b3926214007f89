//! The source, on a cluster in this process.

mod common;

use std::time::Duration;

use common::{Cluster, until};
use flume_core::State;
use flume_testkit::parts::words;

const ROOMY: &str = "capacity = 10000\ntransactionCapacity = 10000";

#[tokio::test(flavor = "multi_thread")]
async fn records_become_events_with_their_place_key_and_time() {
    let cluster = Cluster::new(2);
    cluster.write(
        "t",
        1,
        Some("k"),
        Some("wörld".as_bytes()),
        Some(("h", Some("ä".as_bytes()))),
    );
    let source = cluster.source("header.mine = h\ntopicHeader = from", ROOMY);
    let event = &source.take(1).await[0];
    assert_eq!(&event.body[..], "wörld".as_bytes());
    for (name, value) in [
        ("from", "t"),
        ("partition", "1"),
        ("offset", "0"),
        ("key", "k"),
        ("mine", "ä"),
    ] {
        assert_eq!(
            event.headers.get(name).map(|value| &**value),
            Some(value),
            "{name}"
        );
    }
    assert!(
        event
            .headers
            .get("timestamp")
            .unwrap()
            .parse::<i64>()
            .unwrap()
            > 1_600_000_000_000
    );
    source.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tombstones_are_empty_bodies_and_headers_without_a_value_are_absent() {
    let cluster = Cluster::new(1);
    cluster.write("t", 0, Some("k"), None, Some(("h", None)));
    let source = cluster.source("header.mine = h\nsetTopicHeader = false", ROOMY);
    let event = &source.take(1).await[0];
    assert!(event.body.is_empty());
    assert!(event.headers.get("mine").is_none() && event.headers.get("topic").is_none());
    source.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orderly_restart_repeats_nothing_and_leaves_nothing_out() {
    let cluster = Cluster::new(1);
    let mut seen = vec![];
    for round in 0..3 {
        cluster.write_words("t", 0, &format!("{round}a {round}b {round}c"));
        let source = cluster.source("batchSize = 2", ROOMY);
        seen.push(words(&source.take(3).await));
        source.stop().await;
        assert_eq!(cluster.committed("flume", "t", 0), 3 * (round + 1));
    }
    assert_eq!(seen, ["0a 0b 0c", "1a 1b 1c", "2a 2b 2c"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_is_full_holds_the_offsets_back() {
    let cluster = Cluster::new(1);
    cluster.write_words("t", 0, "a b c d e f");
    let source = cluster.source(
        "batchSize = 2",
        "capacity = 3\ntransactionCapacity = 2\nkeep-alive = 0",
    );
    until("refused", || {
        source.cx.metrics.number("ChannelWriteFail") > 0
    })
    .await;
    assert!(matches!(source.cx.state.get().0, State::Failing { .. }));
    until("the first batch is committed", || {
        cluster.committed("flume", "t", 0) == 2
    })
    .await;
    assert_eq!(words(&source.take(6).await), "a b c d e f");
    until("all is committed", || {
        cluster.committed("flume", "t", 0) == 6
    })
    .await;
    source.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_does_not_decode_stops_its_partition_alone() {
    let cluster = Cluster::new(2);
    cluster.write("t", 0, None, Some(b"\x00\x02a"), None);
    cluster.write("t", 0, None, Some(b"nonsense"), None);
    cluster.write("t", 0, None, Some(b"\x00\x02b"), None);
    cluster.write("t", 1, None, Some(b"\x00\x02c"), None);
    let source = cluster.source("useFlumeEventFormat = true", ROOMY);
    let mut bodies: Vec<_> = source
        .take(2)
        .await
        .iter()
        .map(|event| event.body.clone())
        .collect();
    bodies.sort();
    assert_eq!(bodies, ["a", "c"]);
    until("committed up to it", || {
        cluster.committed("flume", "t", 0) == 1
    })
    .await;
    source.stop().await;
    assert_eq!(cluster.committed("flume", "t", 0), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn or_is_counted_and_left_out() {
    let cluster = Cluster::new(1);
    cluster.write("t", 0, None, Some(b"nonsense"), None);
    cluster.write("t", 0, None, None, None);
    cluster.write("t", 0, None, Some(b"\x00\x02b"), None);
    let source = cluster.source("useFlumeEventFormat = true\nbadRecords = drop", ROOMY);
    assert_eq!(words(&source.take(1).await), "b");
    assert_eq!(source.cx.metrics.number("KafkaBadRecordDropCount"), 2);
    source.stop().await;
    assert_eq!(cluster.committed("flume", "t", 0), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn or_goes_to_another_topic_as_it_is() {
    let cluster = Cluster::new(1);
    cluster.create("dead", 1);
    cluster.write(
        "t",
        0,
        Some("k"),
        Some(b"nonsense"),
        Some(("h", Some(b"v"))),
    );
    cluster.write("t", 0, None, Some(b"\x00\x02b"), None);
    let source = cluster.source("useFlumeEventFormat = true\nbadRecords = topic:dead", ROOMY);
    assert_eq!(words(&source.take(1).await), "b");
    source.stop().await;
    let dead = &cluster.read("dead", 1, 1)[0];
    assert_eq!(
        (dead.key.as_deref(), dead.text()),
        (Some("k"), "nonsense".into())
    );
    assert_eq!(dead.headers[0], ("h".into(), b"v".to_vec()));
    assert_eq!(dead.headers[1], ("flume.origin".into(), b"t-0@0".to_vec()));
    assert_eq!(dead.headers[2].0, "flume.error");
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_by_pattern_are_those_whose_whole_name_matches() {
    let cluster = Cluster::new(1);
    for topic in ["logs.a", "logs.b", "more.logs.c"] {
        cluster.create(topic, 1);
        cluster.write_words(topic, 0, topic);
    }
    let source = cluster.source("kafka.topics.regex = logs\\..*", ROOMY);
    let mut bodies: Vec<_> = source
        .take(2)
        .await
        .iter()
        .map(|event| event.body.clone())
        .collect();
    bodies.sort();
    assert_eq!(bodies, ["logs.a", "logs.b"]);
    source.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_member_takes_over_partitions_and_nothing_is_repeated_or_lost() {
    let cluster = Cluster::new(4);
    let fast = "kafka.consumer.session.timeout.ms = 6000\nkafka.consumer.heartbeat.interval.ms = 500\nbatchSize = 3";
    let first = cluster.source(fast, ROOMY);
    for partition in 0..4 {
        let all: Vec<_> = (0..10).map(|n| format!("{partition}:{n}")).collect();
        cluster.write_words("t", partition, &all.join(" "));
    }
    let mut seen = words(&first.take(40).await);
    let second = cluster.source(fast, ROOMY);
    until("both own some", || {
        [&first, &second]
            .iter()
            .all(|source| source.cx.metrics.number("KafkaPartitions") == 2)
    })
    .await;
    for partition in 0..4 {
        let all: Vec<_> = (10..20).map(|n| format!("{partition}:{n}")).collect();
        cluster.write_words("t", partition, &all.join(" "));
    }
    for source in [&first, &second] {
        seen += " ";
        seen += &words(&source.take(20).await);
    }
    second.stop().await;
    until("one owns all", || {
        first.cx.metrics.number("KafkaPartitions") == 4
    })
    .await;
    for partition in 0..4 {
        cluster.write_words("t", partition, &format!("{partition}:20"));
    }
    seen += " ";
    seen += &words(&first.take(4).await);
    // Nothing more comes: what was seen twice would have come before these.
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(first.channel.stats().events, 0);
    first.stop().await;
    let mut seen: Vec<_> = seen.split(' ').collect();
    seen.sort_unstable();
    let mut expected: Vec<_> = (0..4)
        .flat_map(|p| (0..21).map(move |n| format!("{p}:{n}")))
        .collect();
    expected.sort_unstable();
    assert_eq!(seen, expected);
}

//! The sink, on a cluster in this process.

mod common;

use common::{Cluster, Seen};
use flume_core::{Cause, Context, Event, Sink, Source};
use flume_kafka::REGISTRY;
use flume_testkit::{
    parts::{build, events, try_build},
    sink_contract::SinkUnderTest,
};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

fn context() -> Context {
    Context::new("a1.sinks.k1", &["c1"])
}

fn event(pairs: &[(&'static str, &'static str)], body: &'static str) -> Event {
    let headers = pairs
        .iter()
        .map(|(name, value)| ((*name).into(), (*value).into()));
    Event {
        headers: headers.collect(),
        body: body.into(),
    }
}

fn under_test() -> SinkUnderTest {
    let cluster = Cluster::new(1);
    let cx = context();
    let sink = cluster.sink(&cx, "");
    // The contract looks at the end only, so a record more or less would show there.
    SinkUnderTest {
        sink,
        cx,
        delivered: None,
        holds: Box::new(cluster),
    }
}

mod contract {
    flume_testkit::sink_contract!(super::under_test);
}

#[tokio::test]
async fn a_batch_is_written_in_order() {
    let cluster = Cluster::new(1);
    let cx = context();
    let mut sink = cluster.sink(&cx, "");
    sink.open().await.unwrap();
    for batch in ["a b c", "d", "e f"] {
        assert!(
            sink.deliver(&events(batch))
                .await
                .unwrap()
                .rejected
                .is_empty()
        );
    }
    let seen: Vec<_> = cluster.read("t", 1, 6).iter().map(Seen::text).collect();
    assert_eq!(seen, ["a", "b", "c", "d", "e", "f"]);
}

/// What Flume 1.11 wrote of the same events.
#[tokio::test]
async fn records_have_the_bytes_of_java_flume() {
    let cluster = Cluster::new(2);
    let cx = context();
    let b = || {
        event(
            &[
                ("key", "k1"),
                ("a", "ä"),
                ("timestamp", "1700000000123"),
                ("p", "1"),
            ],
            "wörld",
        )
    };
    let mut raw = cluster.sink(
        &cx,
        "timestampHeader = timestamp\nheader.a = kafka-a\npartitionIdHeader = p",
    );
    raw.deliver(&[event(&[("p", "0")], "hello"), b()])
        .await
        .unwrap();
    let seen = cluster.read("t", 2, 2);
    assert_eq!(
        (seen[0].partition, seen[0].key.as_deref(), seen[0].text()),
        (0, None, "hello".into())
    );
    assert!(seen[0].headers.is_empty());
    let expected = Seen {
        partition: 1,
        key: Some("k1".into()),
        value: Some("wörld".as_bytes().to_vec()),
        headers: vec![("kafka-a".into(), "ä".as_bytes().to_vec())],
        timestamp: 1_700_000_000_123,
    };
    assert_eq!(seen[1], expected);

    cluster.create("f", 1);
    let mut flume = cluster.sink(
        &cx,
        "useFlumeEventFormat = true\nallowTopicOverride = true\ntopicHeader = to",
    );
    flume
        .deliver(&[event(&[("key", "k1"), ("to", "f")], "hello")])
        .await
        .unwrap();
    let seen = &cluster.read("f", 1, 1)[0];
    assert_eq!(
        seen.value.as_deref().unwrap(),
        b"\x04\x06key\x04k1\x04to\x02f\x00\x0ahello"
    );
}

#[tokio::test]
async fn topics_come_from_headers_unless_that_is_forbidden() {
    let cluster = Cluster::new(1);
    let cx = context();
    for topic in ["x-1", "y"] {
        cluster.create(topic, 1);
    }
    let text = format!(
        "kafka.bootstrap.servers = {}\nkafka.topic = x-%{{n}}",
        cluster.servers
    );
    let mut sink = try_build::<dyn flume_core::Sink>(&REGISTRY, common::SINK, &text, &cx).unwrap();
    sink.deliver(&[
        event(&[("n", "1")], "by template"),
        event(&[("topic", "y")], "by header"),
    ])
    .await
    .unwrap();
    assert_eq!(cluster.read("x-1", 1, 1)[0].text(), "by template");
    assert_eq!(cluster.read("y", 1, 1)[0].text(), "by header");
    let mut strict = cluster.sink(&cx, "allowTopicOverride = false");
    strict
        .deliver(&[event(&[("topic", "y")], "here")])
        .await
        .unwrap();
    assert_eq!(cluster.read("t", 1, 1)[0].text(), "here");
}

#[tokio::test]
async fn impossible_events_are_rejected_and_the_others_written() {
    let cluster = Cluster::new(1);
    let cx = context();
    let mut sink = cluster.sink(
        &cx,
        "kafka.producer.max.request.size = 2000\npartitionIdHeader = p",
    );
    let large = Event::from(vec![b'x'; 3000]);
    let batch = [
        event(&[], "a"),
        large,
        event(&[("p", "one")], "b"),
        event(&[("p", "7")], "c"),
        event(&[], "d"),
    ];
    let delivered = sink.deliver(&batch).await.unwrap();
    let mut rejected: Vec<_> = delivered
        .rejected
        .iter()
        .map(|event| (event.index, event.cause))
        .collect();
    rejected.sort_by_key(|(index, _)| *index);
    assert_eq!(
        rejected,
        [
            (1, Cause::Malformed),
            (2, Cause::Malformed),
            (3, Cause::Malformed)
        ]
    );
    let seen: Vec<_> = cluster.read("t", 1, 2).iter().map(Seen::text).collect();
    assert_eq!(seen, ["a", "d"]);
}

#[tokio::test]
async fn or_they_are_dropped_or_put_elsewhere() {
    let cluster = Cluster::new(1);
    let cx = context();
    cluster.create("dead", 1);
    let batch = [event(&[("p", "one")], "bad"), event(&[], "good")];
    let mut dropping = cluster.sink(&cx, "partitionIdHeader = p\nbadRecords = drop");
    assert!(dropping.deliver(&batch).await.unwrap().rejected.is_empty());
    assert_eq!(cx.metrics.number("KafkaBadRecordDropCount"), 1);
    let mut burying = cluster.sink(&cx, "partitionIdHeader = p\nbadRecords = topic:dead");
    assert!(burying.deliver(&batch).await.unwrap().rejected.is_empty());
    let dead = &cluster.read("dead", 1, 1)[0];
    assert_eq!(
        (dead.text(), dead.headers[0].0.as_str()),
        ("bad".into(), "flume.origin")
    );
    assert_eq!(cluster.read("t", 1, 2).len(), 2);
}

#[tokio::test]
async fn a_batch_that_is_not_acknowledged_is_an_error() {
    let cluster = Cluster::new(1);
    let cx = context();
    let mut sink = cluster.sink(
        &cx,
        "kafka.producer.delivery.timeout.ms = 1500\nkafka.producer.request.timeout.ms = 1000",
    );
    sink.deliver(&events("a")).await.unwrap();
    cluster.mock.broker_down(1).unwrap();
    let error = sink.deliver(&events("b")).await.unwrap_err();
    assert!(
        flume_core::with_causes(&error).contains("not acknowledged"),
        "{error:?}"
    );
    assert!(cx.metrics.number("KafkaDeliveryFailureCount") >= 1);
    cluster.mock.broker_up(1).unwrap();
    let mut attempts = 0;
    while sink.deliver(&events("b")).await.is_err() {
        attempts += 1;
        assert!(attempts < 30, "never delivered");
    }
    assert_eq!(cluster.read("t", 1, 2)[1].text(), "b");
}

#[tokio::test]
async fn a_broker_that_refuses_once_is_asked_again() {
    let cluster = Cluster::new(1);
    let cx = context();
    let mut sink = cluster.sink(&cx, "");
    sink.open().await.unwrap();
    cluster.mock.request_errors(
        RDKafkaApiKey::Produce,
        &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS; 2],
    );
    assert!(
        sink.deliver(&events("a b"))
            .await
            .unwrap()
            .rejected
            .is_empty()
    );
    assert_eq!(cluster.read("t", 1, 2).len(), 2);
}

/// Whether the sink refuses events of the source.
fn loops(source: &str, sink: &str) -> bool {
    let cx = context();
    let source = format!("kafka.bootstrap.servers = a:1, b:2\nkafka.topics = in\n{source}");
    let source = build::<dyn Source>(&REGISTRY, common::SOURCE, &source, &cx);
    let sink = build::<dyn Sink>(&REGISTRY, common::SINK, sink, &cx);
    source
        .origins()
        .iter()
        .any(|origin| sink.sends_back(origin).is_some())
}

#[test]
fn a_loop_through_the_topic_header_is_refused() {
    let same = "kafka.bootstrap.servers = B:2\nkafka.topic = out";
    assert!(loops("", same));
    assert!(loops(
        "topicHeader = from",
        &format!("{same}\ntopicHeader = from")
    ));
    assert!(!loops("topicHeader = from", same));
    assert!(!loops("setTopicHeader = false", same));
    assert!(!loops("", &format!("{same}\nallowTopicOverride = false")));
    assert!(!loops(
        "",
        "kafka.bootstrap.servers = c:3\nkafka.topic = out"
    ));
    assert!(loops(
        "",
        "kafka.bootstrap.servers = a:1\nkafka.topic = in\nallowTopicOverride = false"
    ));
}

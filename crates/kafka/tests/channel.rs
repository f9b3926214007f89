//! The channel, on a cluster in this process.

mod common;

use std::{sync::Arc, time::Duration};

use common::{Cluster, channel_context, drain, take, until};
use flume_core::{Channel, ChannelError, Context, Event, Sink, Want};
use flume_testkit::parts::{build, events, held};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

async fn open(cluster: &Cluster, more: &str) -> Arc<dyn Channel> {
    let channel = cluster.channel(&channel_context(), more);
    channel.open().await.expect("open");
    channel
}

#[tokio::test(flavor = "multi_thread")]
async fn events_come_in_order_with_headers_and_key() {
    let cluster = Cluster::new(1);
    let channel = open(&cluster, "").await;
    let mut batch = events("a b c");
    batch[1].headers.set("key".into(), "k".into());
    batch[1].headers.set("h".into(), "ä".into());
    channel.put(batch).await.unwrap();
    channel.put(events("d")).await.unwrap();
    let takes = take(&channel, 4).await;
    let taken: Vec<_> = takes
        .iter()
        .flat_map(|take| take.events().to_vec())
        .collect();
    assert_eq!(flume_testkit::parts::words(&taken), "a b c d");
    assert_eq!(taken[1].headers.get("h").unwrap(), "ä");
    assert_eq!(taken[1].headers.get("key").unwrap(), "k");
    assert_eq!(cluster.read("t", 1, 2)[1].key.as_deref(), Some("k"));
    for take in takes {
        take.commit().await.unwrap();
    }
    assert_eq!(cluster.committed("flume", "t", 0), 4);
    channel.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_returns_events_to_the_head_in_order() {
    let cluster = Cluster::new(1);
    let channel = open(&cluster, "").await;
    channel.put(events("a b c d")).await.unwrap();
    until_read(&channel, 4).await;
    drop(channel.take(Want::events(3), Duration::ZERO).await.unwrap());
    assert_eq!(drain(&channel, 4).await, "a b c d");
    channel.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn halves_settle_independently_and_the_position_waits_for_the_first() {
    let cluster = Cluster::new(1);
    let channel = open(&cluster, "").await;
    channel.put(events("a b c d")).await.unwrap();
    until_read(&channel, 4).await;
    let mut kept = channel.take(Want::events(4), Duration::ZERO).await.unwrap();
    let moved = kept.split_off(&[1, 3]);
    assert_eq!((held(&*kept), held(&*moved)), ("a c".into(), "b d".into()));
    kept.commit().await.unwrap();
    assert_eq!(cluster.committed("flume", "t", 0), 1);
    drop(moved);
    assert_eq!(drain(&channel, 2).await, "b d");
    until("all is committed", || {
        cluster.committed("flume", "t", 0) == 4
    })
    .await;
    channel.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_needs_nobody_to_wait_for_it() {
    let cluster = Cluster::new(1);
    let channel = open(&cluster, "").await;
    channel.put(events("a b c")).await.unwrap();
    until_read(&channel, 3).await;
    drop(
        channel
            .take(Want::events(2), Duration::ZERO)
            .await
            .unwrap()
            .commit(),
    );
    until("it is committed", || {
        cluster.committed("flume", "t", 0) == 2
    })
    .await;
    channel.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_repeats_what_was_not_committed_and_nothing_else() {
    let cluster = Cluster::new(1);
    let channel = open(&cluster, "").await;
    channel.put(events("a b c d")).await.unwrap();
    assert_eq!(drain(&channel, 2).await, "a b");
    let lost = take(&channel, 1).await;
    channel.close().await.unwrap();
    drop(lost);
    let again = open(&cluster, "").await;
    assert_eq!(drain(&again, 2).await, "c d");
    again.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_take_ends_and_a_put_wakes_one_that_waits() {
    let cluster = Cluster::new(1);
    let channel = open(&cluster, "").await;
    assert!(
        channel
            .take(Want::events(1), Duration::from_millis(20))
            .await
            .unwrap()
            .events()
            .is_empty()
    );
    let waiting = {
        let channel = channel.clone();
        tokio::spawn(async move { drain(&channel, 1).await })
    };
    channel.put(events("a")).await.unwrap();
    assert_eq!(waiting.await.unwrap(), "a");
    channel.close().await.unwrap();
    assert!(matches!(
        channel.put(events("b")).await,
        Err(ChannelError::Closed)
    ));
    assert!(matches!(
        channel.take(Want::events(1), Duration::ZERO).await,
        Err(ChannelError::Closed)
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_ends_a_take_that_waits() {
    let cluster = Cluster::new(1);
    let channel = open(&cluster, "").await;
    assert!(
        channel
            .take(Want::events(1), Duration::ZERO)
            .await
            .unwrap()
            .events()
            .is_empty()
    );
    let waiting = {
        let channel = channel.clone();
        tokio::spawn(async move {
            channel
                .take(Want::events(1), Duration::from_secs(3600))
                .await
                .map(|_| ())
        })
    };
    tokio::task::yield_now().await;
    channel.close().await.unwrap();
    assert!(matches!(waiting.await.unwrap(), Err(ChannelError::Closed)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_the_group_refuses_is_an_error_and_is_counted() {
    let cluster = Cluster::new(1);
    let cx = channel_context();
    let channel = cluster.channel(&cx, "");
    channel.open().await.unwrap();
    channel.put(events("a b")).await.unwrap();
    let open = take(&channel, 2).await;
    let refusals = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED];
    cluster
        .mock
        .request_errors(RDKafkaApiKey::OffsetCommit, &refusals);
    let mut refused = vec![];
    for take in open {
        refused.extend(take.commit().await.err());
    }
    assert!(
        flume_core::with_causes(&refused[0]).contains("failed to commit offsets"),
        "{refused:?}"
    );
    assert_eq!(cx.metrics.number("KafkaCommitFailureCount"), 1);
    // It is tried again by itself.
    until("it is committed", || {
        cluster.committed("flume", "t", 0) == 2
    })
    .await;
    channel.close().await.unwrap();
}

/// Two agents share the topic; the first gives partitions away only when its open batch is delivered. (The cluster in
/// this process may refuse commits while a member joins, which real ones do not; so what is repeated is not judged.)
#[tokio::test(flavor = "multi_thread")]
async fn a_rebalance_waits_for_open_batches() {
    let cluster = Cluster::new(2);
    let fast = "kafka.consumer.session.timeout.ms = 6000\nkafka.consumer.heartbeat.interval.ms = 500\n\
                defaultPartitionId = 1";
    let first_cx = channel_context();
    let first = cluster.channel(&first_cx, fast);
    first.open().await.unwrap();
    first.put(events("a b c d")).await.unwrap();
    let open = take(&first, 2).await;
    let second_cx = channel_context();
    let second = cluster.channel(&second_cx, fast);
    second.open().await.unwrap();
    drop(second.take(Want::events(9), Duration::ZERO).await.unwrap());
    until("the rebalance has begun", || {
        first_cx.metrics.number("KafkaRebalanceCount") > 0
    })
    .await;
    assert_eq!(first_cx.metrics.number("KafkaPartitions"), 2);
    for take in open {
        let _ = take.commit().await;
    }
    let both = || {
        first_cx.metrics.number("KafkaPartitions") == 1
            && second_cx.metrics.number("KafkaPartitions") == 1
    };
    until("each has its share", both).await;
    let rest = || first.stats().events + second.stats().events;
    until("one of them reads on", || matches!(rest(), 2 | 4)).await;
    first.close().await.unwrap();
    second.close().await.unwrap();
}

/// A cooperative assignment adds partitions to those that are paused because nobody takes: they wait, too.
#[tokio::test(flavor = "multi_thread")]
async fn partitions_that_come_while_all_are_paused_are_paused_too() {
    let cluster = Cluster::new(2);
    let cooperative = "kafka.consumer.session.timeout.ms = 6000\nkafka.consumer.heartbeat.interval.ms = 500\n\
        kafka.consumer.partition.assignment.strategy = org.apache.kafka.clients.consumer.CooperativeStickyAssignor";
    let first_cx = channel_context();
    let first = cluster.channel(&first_cx, cooperative);
    first.open().await.unwrap();
    let second_cx = channel_context();
    let second = cluster.channel(&second_cx, cooperative);
    second.open().await.unwrap();
    for channel in [&first, &second] {
        drop(channel.take(Want::events(1), Duration::ZERO).await.unwrap());
    }
    until("each has its share", || {
        [&first_cx, &second_cx]
            .iter()
            .all(|cx| cx.metrics.number("KafkaPartitions") == 1)
    })
    .await;
    cluster.write_many("t", 0, 30_000);
    cluster.write_many("t", 1, 30_000);
    until("the first is full and pauses", || {
        first_cx.metrics.number("KafkaPauseCount") == 1
    })
    .await;
    second.close().await.unwrap();
    until("the first has both", || {
        first_cx.metrics.number("KafkaPartitions") == 2
    })
    .await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let held = first.stats().events;
    assert!(held < 25_000, "{held} events are held");
    // Both flow again when there is room.
    let mut taken = 0;
    while taken < 55_000 {
        for take in take(&first, 5_000).await {
            taken += take.events().len();
            take.commit().await.unwrap();
        }
    }
    first.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_with_a_partition_that_is_none_fails_before_anything_is_sent() {
    let cluster = Cluster::new(1);
    let channel = open(&cluster, "partitionIdHeader = p").await;
    let mut batch = events("a b");
    batch[1].headers.set("p".into(), "x".into());
    assert!(matches!(
        channel.put(batch).await,
        Err(ChannelError::Storage(_))
    ));
    channel.put(events("c")).await.unwrap();
    assert_eq!(drain(&channel, 1).await, "c");
    channel.close().await.unwrap();
}

/// Reads ahead, so that the next take has them all.
async fn until_read(channel: &Arc<dyn Channel>, count: usize) {
    drop(channel.take(Want::events(1), Duration::ZERO).await.unwrap());
    until("they are read", || channel.stats().events == count).await;
}

/// A channel with three events, and a sink into the topic `out` that makes transactions. (The cluster in this process
/// does not keep the offsets of transactions: `flume-rig show kafka` looks at those.)
async fn joined(cluster: &Cluster, more: &str) -> (Arc<dyn Channel>, Box<dyn Sink>, Context) {
    let channel = open(cluster, "kafka.consumer.isolation.level = read_committed").await;
    channel.put(events("a b c")).await.unwrap();
    until_read(&channel, 3).await;
    let cx = Context::new("a1.sinks.k1", &["c1"]);
    let sink = transactional_sink(cluster, more, &cx);
    (channel, sink, cx)
}

fn transactional_sink(cluster: &Cluster, more: &str, cx: &Context) -> Box<dyn Sink> {
    let text = format!(
        "kafka.bootstrap.servers = {}\nkafka.topic = out\nkafka.producer.transactional.id = x\n{more}",
        cluster.servers
    );
    build::<dyn Sink>(&flume_kafka::REGISTRY, common::SINK, &text, cx)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_with_transactions_commits_the_offsets_within_them() {
    let cluster = Cluster::new(1);
    cluster.create("out", 1);
    let (channel, mut sink, cx) = joined(&cluster, "").await;
    sink.open().await.unwrap();
    let first = channel.take(Want::events(2), Duration::ZERO).await.unwrap();
    sink.deliver(first.events()).await.unwrap();
    assert_eq!(cluster.committed("flume", "t", 0), -1);
    sink.commit(first).await.unwrap();
    assert_eq!(channel.stats().in_flight, 0);
    let fact = cx.metrics.text("DeliveryGuarantee").get();
    assert_eq!(
        fact.as_str(),
        "exactly once: a batch and its offsets are one transaction"
    );
    // A batch whose commit never comes is given up: the next begins another transaction.
    let second = channel.take(Want::events(1), Duration::ZERO).await.unwrap();
    sink.deliver(second.events()).await.unwrap();
    drop(second);
    let again = take(&channel, 1).await.remove(0);
    assert_eq!(held(&*again), "c");
    sink.deliver(again.events()).await.unwrap();
    sink.commit(again).await.unwrap();
    let stats = channel.stats();
    assert_eq!((stats.events, stats.in_flight), (0, 0));
    sink.close().await.unwrap();
    channel.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_whose_offsets_are_refused_returns_the_batch() {
    let cluster = Cluster::new(1);
    cluster.create("out", 1);
    let (channel, mut sink, _cx) = joined(&cluster, "").await;
    let refusals = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION];
    cluster
        .mock
        .request_errors(RDKafkaApiKey::TxnOffsetCommit, &refusals);
    let first = channel.take(Want::events(2), Duration::ZERO).await.unwrap();
    sink.deliver(first.events()).await.unwrap();
    let refused = sink.commit(first).await.unwrap_err();
    let text = flume_core::with_causes(&refused);
    assert!(text.contains("commit a transaction"), "{text}");
    assert_eq!(cluster.committed("flume", "t", 0), -1);
    let again = take(&channel, 3).await.remove(0);
    assert_eq!(held(&*again), "a b c");
    sink.deliver(again.events()).await.unwrap();
    sink.commit(again).await.unwrap();
    let stats = channel.stats();
    assert_eq!((stats.events, stats.in_flight), (0, 0));
    channel.close().await.unwrap();
}

/// The younger batch's offsets would cover the older one, which is not delivered.
#[tokio::test(flavor = "multi_thread")]
async fn batches_in_transactions_are_committed_in_order() {
    let cluster = Cluster::new(1);
    cluster.create("out", 1);
    let (channel, mut sink, _cx) = joined(&cluster, "").await;
    let older = channel.take(Want::events(1), Duration::ZERO).await.unwrap();
    let younger = channel.take(Want::events(2), Duration::ZERO).await.unwrap();
    sink.deliver(younger.events()).await.unwrap();
    let waiting = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(sink.commit(younger))
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(cluster.committed("flume", "t", 0), -1);
    older.commit().await.unwrap();
    waiting.await.unwrap().unwrap();
    let stats = channel.stats();
    assert_eq!((stats.events, stats.in_flight), (0, 0));
    channel.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_events_hold_a_transaction_up_or_are_left_out_of_it() {
    let cluster = Cluster::new(1);
    cluster.create("out", 1);
    let small = "kafka.producer.max.request.size = 2000\n";
    let (channel, mut sink, cx) = joined(&cluster, small).await;
    let batch = [Event::from(vec![b'x'; 3000]), Event::from(b"good".to_vec())];
    let error = sink.deliver(&batch).await.unwrap_err();
    let text = flume_core::with_causes(&error);
    assert!(text.contains("set `badRecords`"), "{text}");
    sink.close().await.unwrap();
    let mut dropping = transactional_sink(&cluster, &format!("{small}badRecords = drop"), &cx);
    let take = channel.take(Want::events(3), Duration::ZERO).await.unwrap();
    assert!(dropping.deliver(&batch).await.unwrap().rejected.is_empty());
    dropping.commit(take).await.unwrap();
    let stats = channel.stats();
    assert_eq!((stats.events, stats.in_flight), (0, 0));
    channel.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn puts_in_transactions_come_whole_and_in_order() {
    let cluster = Cluster::new(1);
    let channel = open(&cluster, "kafka.producer.transactional.id = x").await;
    channel.put(events("a b")).await.unwrap();
    // A put that is given up leaves nothing that would stop the next.
    let put = channel.put(events("never"));
    let _ = tokio::time::timeout(Duration::ZERO, put).await;
    channel.put(events("c d")).await.unwrap();
    let mut all = vec![];
    while all.last().is_none_or(|last| last != "d") {
        all.push(drain(&channel, 1).await);
    }
    // Brokers hide it; the cluster in this process does not.
    all.retain(|word| word != "never");
    assert_eq!(all, ["a", "b", "c", "d"]);
    channel.close().await.unwrap();
}

//! A cluster in this process, and clients of librdkafka to look into it.

#![allow(dead_code, reason = "each test file uses some of it")]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use flume_core::{
    Channel, ChannelHandle, ChannelSelector, Context, Event, Outlet, Phase, Sink, Source,
    SourceContext, SourceError, Stop, Switch, Take, Want, Wiring,
};
use flume_kafka::REGISTRY;
use flume_testkit::parts::build;
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    message::{Headers, OwnedHeaders},
    mocking::MockCluster,
    producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer},
};
use tokio::task::JoinHandle;

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const SOURCE: &str = "org.apache.flume.source.kafka.KafkaSource";
pub(crate) const SINK: &str = "org.apache.flume.sink.kafka.KafkaSink";
pub(crate) const CHANNEL: &str = "org.apache.flume.channel.kafka.KafkaChannel";

/// A cluster with one topic, `t`.
pub(crate) struct Cluster {
    pub(crate) mock: MockCluster<'static, DefaultProducerContext>,
    pub(crate) servers: String,
}

/// A record as another client sees it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Seen {
    pub(crate) partition: i32,
    pub(crate) key: Option<String>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) timestamp: i64,
}

impl Seen {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(self.value.as_deref().unwrap_or_default()).into_owned()
    }
}

impl Cluster {
    pub(crate) fn new(partitions: i32) -> Cluster {
        let mock = MockCluster::new(1).expect("a cluster");
        let servers = mock.bootstrap_servers();
        let cluster = Cluster { mock, servers };
        cluster.create("t", partitions);
        cluster
    }

    pub(crate) fn create(&self, topic: &str, partitions: i32) {
        self.mock
            .create_topic(topic, partitions, 1)
            .expect("a topic");
    }

    /// Writes a record and waits until it is there.
    pub(crate) fn write(
        &self,
        topic: &str,
        partition: i32,
        key: Option<&str>,
        value: Option<&[u8]>,
        header: Option<(&str, Option<&[u8]>)>,
    ) {
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", &self.servers)
            .create()
            .expect("a producer");
        let mut record = BaseRecord::<str, [u8]>::to(topic).partition(partition);
        record.key = key;
        record.payload = value;
        if let Some((key, value)) = header {
            record.headers =
                Some(OwnedHeaders::new().insert(rdkafka::message::Header { key, value }));
        }
        producer
            .send(record)
            .map_err(|(error, _)| error)
            .expect("room");
        producer.flush(PATIENCE).expect("an acknowledgement");
    }

    /// Writes so many small records in one go.
    pub(crate) fn write_many(&self, topic: &str, partition: i32, count: usize) {
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", &self.servers)
            .create()
            .expect("a producer");
        for _ in 0..count {
            let record = BaseRecord::<str, [u8]>::to(topic)
                .partition(partition)
                .payload(b"\0\0");
            producer
                .send(record)
                .map_err(|(error, _)| error)
                .expect("room");
        }
        producer.flush(PATIENCE).expect("acknowledgements");
    }

    pub(crate) fn write_words(&self, topic: &str, partition: i32, words: &str) {
        for word in words.split_whitespace() {
            self.write(topic, partition, None, Some(word.as_bytes()), None);
        }
    }

    /// The first `count` records of a topic, by partition.
    pub(crate) fn read(&self, topic: &str, partitions: i32, count: usize) -> Vec<Seen> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &self.servers)
            .set("group.id", "looker")
            .create()
            .expect("a consumer");
        let mut list = TopicPartitionList::new();
        for partition in 0..partitions {
            list.add_partition_offset(topic, partition, Offset::Beginning)
                .expect("an offset");
        }
        consumer.assign(&list).expect("an assignment");
        let mut seen = vec![];
        let end = Instant::now() + PATIENCE;
        while seen.len() < count {
            assert!(
                Instant::now() < end,
                "{} of {count} records came",
                seen.len()
            );
            let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) else {
                continue;
            };
            let headers = message.headers().map_or(vec![], |headers| {
                headers
                    .iter()
                    .map(|header| {
                        (
                            header.key.to_string(),
                            header.value.unwrap_or_default().to_vec(),
                        )
                    })
                    .collect()
            });
            seen.push(Seen {
                partition: message.partition(),
                key: message
                    .key()
                    .map(|key| String::from_utf8_lossy(key).into_owned()),
                value: message.payload().map(<[u8]>::to_vec),
                headers,
                timestamp: message.timestamp().to_millis().unwrap_or(-1),
            });
        }
        seen.sort_by_key(|record| record.partition);
        seen
    }

    /// The committed position of a group; -1 without one.
    pub(crate) fn committed(&self, group: &str, topic: &str, partition: i32) -> i64 {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &self.servers)
            .set("group.id", group)
            .create()
            .expect("a consumer");
        let mut list = TopicPartitionList::new();
        list.add_partition(topic, partition);
        let list = consumer.committed_offsets(list, PATIENCE).expect("offsets");
        match list.elements()[0].offset() {
            Offset::Offset(offset) => offset,
            _ => -1,
        }
    }

    pub(crate) fn channel(&self, cx: &Context, more: &str) -> Arc<dyn Channel> {
        let text = format!(
            "kafka.bootstrap.servers = {}\nkafka.topic = t\n{more}",
            self.servers
        );
        Arc::from(build::<dyn Channel>(&REGISTRY, CHANNEL, &text, cx))
    }

    pub(crate) fn sink(&self, cx: &Context, more: &str) -> Box<dyn Sink> {
        let text = format!(
            "kafka.bootstrap.servers = {}\nkafka.topic = t\n{more}",
            self.servers
        );
        build::<dyn Sink>(&REGISTRY, SINK, &text, cx)
    }

    pub(crate) fn source(&self, more: &str, channel: &str) -> RunningKafkaSource {
        let text = format!(
            "kafka.bootstrap.servers = {}\nkafka.topics = t\nkafka.consumer.auto.offset.reset = earliest\n\
             batchDurationMillis = 50\nbackoffSleepIncrement = 10\n{more}",
            self.servers
        );
        RunningKafkaSource::start(&text, channel)
    }
}

/// A channel's context.
pub(crate) fn channel_context() -> Context {
    Context::new("a1.channels.c1", &[])
}

/// Takes until there are so many events, in one batch each; the batches stay open.
pub(crate) async fn take(channel: &Arc<dyn Channel>, count: usize) -> Vec<Box<dyn Take>> {
    let end = Instant::now() + PATIENCE;
    let mut takes = vec![];
    let mut events = 0;
    while events < count {
        assert!(Instant::now() < end, "{events} of {count} events came");
        let take = channel
            .take(Want::events(count - events), Duration::from_millis(200))
            .await
            .expect("a take");
        events += take.events().len();
        if !take.events().is_empty() {
            takes.push(take);
        }
    }
    takes
}

/// Takes so many events and commits them; returns their bodies.
pub(crate) async fn drain(channel: &Arc<dyn Channel>, count: usize) -> String {
    let mut words = vec![];
    for take in take(channel, count).await {
        words.push(flume_testkit::parts::held(&*take));
        take.commit().await.expect("a commit");
    }
    words.join(" ")
}

/// Waits until it is so.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < end, "never so: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A source that runs, with a memory channel behind it.
pub(crate) struct RunningKafkaSource {
    pub(crate) cx: Context,
    pub(crate) channel: ChannelHandle,
    switch: Switch,
    task: JoinHandle<Result<(), SourceError>>,
}

impl RunningKafkaSource {
    fn start(text: &str, channel: &str) -> Self {
        let cx = Context::new("a1.sources.r1", &["c1"]);
        let components = &flume_components::REGISTRY;
        let channel_cx = channel_context();
        let channel = build::<dyn Channel>(components, "memory", channel, &channel_cx);
        let channel = ChannelHandle::new(channel, channel_cx);
        let selector = build::<dyn ChannelSelector>(components, "replicating", "", &cx);
        let wiring = Wiring {
            interceptors: vec![],
            selector,
            channels: vec![channel.clone()],
        };
        let mut source = build::<dyn Source>(&REGISTRY, SOURCE, text, &cx);
        let (switch, stop) = Stop::new();
        let running = SourceContext::new(Outlet::new(wiring, &cx), stop, cx.state.clone(), 1 << 20);
        let task = tokio::spawn(async move { source.run(&running).await });
        RunningKafkaSource {
            cx,
            channel,
            switch,
            task,
        }
    }

    /// The next `count` events.
    pub(crate) async fn take(&self, count: usize) -> Vec<Event> {
        let mut events = vec![];
        while events.len() < count {
            let take = self
                .channel
                .take(Want::events(count - events.len()), PATIENCE)
                .await
                .expect("a take");
            assert!(
                !take.events().is_empty(),
                "{} of {count} events came: {:?}",
                events.len(),
                self.cx.state.get()
            );
            events.extend_from_slice(take.events());
            take.commit().await.expect("a commit");
        }
        events
    }

    pub(crate) async fn stop(self) {
        self.switch.turn(Phase::Halt);
        let ended = tokio::time::timeout(PATIENCE, self.task)
            .await
            .expect("in time");
        ended.expect("no panic").expect("no error");
    }
}

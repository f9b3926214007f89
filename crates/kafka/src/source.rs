//! `org.apache.flume.source.kafka.KafkaSource`: reads topics as a member of a group.

use std::{
    num::NonZeroUsize,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use flume_core::{
    BackOff, BuildError, Component, Config, Context, Origin, Source, SourceContext, SourceError,
    Str, Want,
    config::{Ignored, Millis, Prefix},
    metrics::{Counter, Metrics},
};
use flume_java::regex::NamePattern;
use flume_wire::avro::text;
use rdkafka::{
    Message,
    message::{BorrowedMessage, Headers as _},
};

use crate::{
    bad_records::{BadRecords, Disposal},
    intake::{Decode, Intake, IntakeError, Subscription, Topics},
    migration::MigrationConfig,
    record::{self, KEY_HEADER},
    settings::{ConsumerSettings, SecurityError},
    transaction::guarantee,
};

/// How often a source without events looks whether it is to stop.
const IDLE: Duration = Duration::from_secs(1);

/// Reads topics of Kafka as a member of a consumer group. Offsets are committed after the channel has committed the
/// events, and before partitions are given to another member.
#[derive(Clone, Config)]
#[expect(
    dead_code,
    reason = "ignored properties are declared to be known, not to be read"
)]
pub(crate) struct KafkaSourceConfig {
    /// Brokers to begin with, as `host:port`, separated by commas.
    #[prop("kafka.bootstrap.servers")]
    servers: String,
    /// Topics, separated by commas.
    #[prop("kafka.topics", alias = "topic")]
    topics: Option<String>,
    /// Regular expression that the whole name of a topic must match; new topics are found, too. Wins over `kafka.topics`.
    #[prop("kafka.topics.regex")]
    pattern: Option<NamePattern>,
    /// Most events in one transaction.
    #[prop("batchSize", default = 1000)]
    batch_size: NonZeroUsize,
    /// Milliseconds to wait for a batch to fill.
    #[prop("batchDurationMillis", default = 1000)]
    batch_duration: Millis,
    /// Whether values are events in Flume's format, with their headers, and not bodies alone.
    #[prop("useFlumeEventFormat", default = false)]
    flume_format: bool,
    /// Whether the topic becomes a header.
    #[prop("setTopicHeader", default = true)]
    set_topic_header: bool,
    /// The header for the topic.
    #[prop("topicHeader", default = "topic")]
    topic_header: String,
    /// Flume 1.11 does not read it: the record's time is in the header `timestamp`, unless the event has one.
    #[prop("timestampHeader")]
    timestamp_header: Ignored,
    /// Header of the event by header of the record: `header.NAME = name of the record's`. Of several the last counts.
    #[prop("header")]
    headers: Prefix<String>,
    /// What becomes of records that do not decode: `stop` keeps them and holds up their partition, `drop` leaves them
    /// out and counts them, `topic:NAME` puts them into another topic. Not a property of Flume, which loses them.
    #[prop("badRecords", default = "stop")]
    bad_records: BadRecords,
    /// Properties of Kafka's consumer. `group.id` is `flume` if unset.
    #[prop("kafka.consumer")]
    consumer: ConsumerSettings,
    /// Former name of `kafka.consumer.group.id`, which wins.
    #[prop("groupId")]
    old_group: Option<String>,
    #[prop(flatten)]
    migration: MigrationConfig,
    /// Milliseconds by which the pause grows with each refused batch in a row.
    #[prop("backoffSleepIncrement", default = 1000)]
    back_off_increment: Millis,
    /// Milliseconds that the pause does not exceed.
    #[prop("maxBackoffSleep", default = 5000)]
    back_off_most: Millis,
}

pub(crate) struct KafkaSource {
    config: KafkaSourceConfig,
    topics: Topics,
    cx: Context,
    counters: SourceCounters,
}

struct SourceCounters {
    wait_millis: Counter,
    empty: Counter,
}

impl Component for KafkaSource {
    type Config = KafkaSourceConfig;
    fn build(config: KafkaSourceConfig, cx: &Context) -> Result<Self, BuildError> {
        let topics = topics(&config)?;
        Ok(KafkaSource {
            topics,
            cx: cx.clone(),
            counters: SourceCounters::new(&cx.metrics),
            config,
        })
    }
}

fn topics(config: &KafkaSourceConfig) -> Result<Topics, BuildError> {
    if let Some(pattern) = &config.pattern {
        return Ok(Topics::Matching(pattern.clone()));
    }
    let names = config
        .topics
        .as_deref()
        .unwrap_or_default()
        .split(',')
        .map(str::trim);
    let names: Vec<_> = names
        .filter(|name| !name.is_empty())
        .map(String::from)
        .collect();
    if names.is_empty() {
        return Err(BuildError::at(
            "kafka.topics",
            "required but not set, unless there is `kafka.topics.regex`",
        ));
    }
    Ok(Topics::Named(names))
}

#[async_trait]
impl Source for KafkaSource {
    async fn run(&mut self, cx: &SourceContext) -> Result<(), SourceError> {
        let failed = |error: IntakeError| SourceError::new("read from Kafka", error);
        let secured = self.config.consumer.0.log_in(&self.cx).await;
        secured.map_err(SourceError::at("log in"))?;
        let subscription = self
            .subscription()
            .map_err(SourceError::at("secure the consumer"))?;
        let topics = self.topics.named();
        let copied = self
            .config
            .migration
            .copy_offsets(topics, &subscription.config);
        copied
            .await
            .map_err(SourceError::at("copy offsets from ZooKeeper"))?;
        let intake = Intake::open(subscription, &self.cx).await.map_err(failed)?;
        cx.ready(None);
        guarantee(&self.cx.metrics)
            .set("at least once: offsets are committed after the channels have the events");
        let outcome = self.feed(&intake, cx).await.map_err(failed);
        intake.close().await;
        outcome
    }

    fn batch_size(&self) -> usize {
        self.config.batch_size.get()
    }

    fn origins(&self) -> Vec<Origin> {
        let config = &self.config;
        let header = config.set_topic_header.then(|| config.topic_header.clone());
        let places = match &self.topics {
            Topics::Named(topics) => topics.iter().cloned().map(Some).collect(),
            Topics::Matching(_) => vec![None],
        };
        let origin = |(system, place): (String, &Option<String>)| Origin {
            system,
            place: place.clone(),
            header: header.clone(),
        };
        let systems = brokers(&config.servers);
        systems
            .flat_map(|system| places.iter().map(move |place| (system.clone(), place)))
            .map(origin)
            .collect()
    }
}

/// Each broker of a list, as an [`Origin`] names it.
pub(crate) fn brokers(servers: &str) -> impl Iterator<Item = String> {
    let servers = servers
        .split(',')
        .map(str::trim)
        .filter(|server| !server.is_empty());
    servers.map(|server| format!("kafka://{}", server.to_ascii_lowercase()))
}

impl KafkaSource {
    fn subscription(&self) -> Result<Subscription, SecurityError> {
        let config = &self.config;
        let settings = &config.consumer.0;
        let group = settings
            .native("group.id")
            .or(config.old_group.as_deref())
            .unwrap_or("flume");
        let dead_letters = settings.dead_letters(&config.servers, &self.cx)?;
        Ok(Subscription {
            // As Java's client, which has no default of Flume here.
            config: settings.consumer(&config.servers, group, "latest", &self.cx)?,
            topics: self.topics.clone(),
            decode: decoder(config),
            disposal: Disposal::new(config.bad_records.clone(), dead_letters, &self.cx),
            patience: settings.patience(),
            topics_interval: settings.metadata_max_age(),
        })
    }

    /// Puts batch after batch. The commit of one is under way while the next is put.
    async fn feed(&self, intake: &Intake, cx: &SourceContext) -> Result<(), IntakeError> {
        let want = Want {
            linger: self.config.batch_duration.0,
            ..Want::events(self.batch_size())
        };
        let mut back_off = BackOff::linear(
            self.config.back_off_increment.0,
            self.config.back_off_most.0,
        );
        let mut committing = None;
        while !cx.stop.is_requested() {
            let began = Instant::now();
            let batch = tokio::select! {
                batch = intake.take(want, IDLE) => batch?,
                () = cx.stop.requested() => break,
            };
            self.counters
                .wait_millis
                .add(began.elapsed().as_millis() as usize);
            if batch.events().is_empty() {
                self.counters.empty.add(1);
            } else if let Err(error) = cx.out.put(batch.events().to_vec()).await {
                // The same events are offered again.
                drop(batch);
                cx.pause_after(&error, &mut back_off).await;
                continue;
            } else {
                back_off.reset();
                cx.state.running();
                settle(committing.replace(batch.commit()), cx).await;
                continue;
            }
            settle(committing.take(), cx).await;
        }
        settle(committing, cx).await;
        Ok(())
    }
}

/// A commit that the group refused is said and counted; the offsets go with the next commit, or belong to another
/// member by now.
async fn settle(commit: Option<impl Future<Output = Result<(), IntakeError>>>, cx: &SourceContext) {
    if let Some(commit) = commit
        && let Err(error) = commit.await
    {
        cx.state.failing(&error, Duration::ZERO);
    }
}

impl SourceCounters {
    fn new(metrics: &Metrics) -> Self {
        SourceCounters {
            wait_millis: metrics.counter("KafkaEventGetTimer"),
            empty: metrics.counter("KafkaEmptyCount"),
        }
    }
}

/// The event of a record, with the headers that Flume gives it: the record's own come first.
fn decoder(config: &KafkaSourceConfig) -> Decode {
    let flume_format = config.flume_format;
    let topic_header = config
        .set_topic_header
        .then(|| Str::from(config.topic_header.as_str()));
    let mapped: Vec<(Str, String)> = config
        .headers
        .0
        .iter()
        .map(|(event, record)| (event.as_str().into(), record.clone()))
        .collect();
    let mut topics = Vec::<Str>::new();
    let topics = move |topic: &str| -> Str {
        match topics.iter().find(|known| ***known == *topic) {
            Some(known) => known.clone(),
            None => {
                topics.push(topic.into());
                topic.into()
            }
        }
    };
    let topics = std::cell::RefCell::new(topics);
    Box::new(move |message| {
        let mut event = record::event_of(message, flume_format)?;
        let headers = &mut event.headers;
        let mut set_if_absent = |name: Str, value: Str| {
            if headers.get(&name).is_none() {
                headers.set(name, value);
            }
        };
        let timestamp = message.timestamp().to_millis().unwrap_or(-1);
        set_if_absent("timestamp".into(), timestamp.to_string().into());
        if let Some(header) = &topic_header {
            set_if_absent(header.clone(), (topics.borrow_mut())(message.topic()));
        }
        set_if_absent("partition".into(), message.partition().to_string().into());
        set_if_absent("offset".into(), message.offset().to_string().into());
        for (name, wanted) in &mapped {
            if let Some(value) = last_header(message, wanted) {
                headers.set(name.clone(), text(value));
            }
        }
        if let Some(key) = record::key_of(message) {
            headers.set(KEY_HEADER.into(), key);
        }
        Ok(event)
    })
}

/// The last header of that name; none if its value is null.
fn last_header(message: &BorrowedMessage<'_>, name: &str) -> Option<Bytes> {
    let headers = message.headers()?;
    let last = headers.iter().filter(|header| header.key == name).last()?;
    last.value.map(Bytes::copy_from_slice)
}

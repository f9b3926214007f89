//! `org.apache.flume.sink.kafka.KafkaSink`: writes events into topics.

use std::num::NonZeroUsize;

use async_trait::async_trait;
use flume_core::{
    BuildError, Cause, Component, Config, Context, Delivered, Event, Origin, Rejected, Sink,
    SinkError, Want,
    config::{Ignored, Prefix},
    metrics::Counter,
};
use rdkafka::{
    error::{KafkaError, RDKafkaErrorCode},
    message::{Header, OwnedHeaders},
};

use crate::{
    bad_records::{BadRecords, ERROR_HEADER, ORIGIN_HEADER},
    outgoing::{Placement, RecordForm, TopicTemplate},
    publisher::{OutgoingRecord, Publisher, Undelivered},
    settings::ProducerSettings,
    source::brokers,
};

/// Writes events into topics of Kafka. A batch is committed when the brokers have acknowledged all of it: every replica
/// in sync, unless `kafka.producer.acks` says otherwise.
#[derive(Clone, Config)]
#[expect(
    dead_code,
    reason = "ignored properties are declared to be known, not to be read"
)]
pub(crate) struct KafkaSinkConfig {
    /// Brokers to begin with, as `host:port`, separated by commas.
    #[prop("kafka.bootstrap.servers", alias = "brokerList")]
    servers: String,
    /// The topic, with `%{header}` where the events decide.
    #[prop("kafka.topic", default = "default-flume-topic", alias = "topic")]
    topic: String,
    /// Most events in one transaction.
    #[prop("flumeBatchSize", default = 100, alias = "batchSize")]
    batch_size: NonZeroUsize,
    /// Whether values are events in Flume's format, with their headers, and not bodies alone.
    #[prop("useFlumeEventFormat", default = false)]
    flume_format: bool,
    /// The partition of all records; unset: by the key.
    #[prop("defaultPartitionId")]
    partition: Option<i32>,
    /// The header that names an event's partition; wins over `defaultPartitionId`.
    #[prop("partitionIdHeader")]
    partition_header: Option<String>,
    /// Whether a header may choose the topic.
    #[prop("allowTopicOverride", default = true)]
    topic_override: bool,
    /// The header that chooses the topic.
    #[prop("topicHeader", default = "topic")]
    topic_header: String,
    /// The header with the time of the record in milliseconds since 1970; unset: now.
    #[prop("timestampHeader")]
    timestamp_header: Option<String>,
    /// Header of the record by header of the event: `header.NAME = name of the record's`.
    #[prop("header")]
    headers: Prefix<String>,
    /// What becomes of events that no broker will ever take, too large ones for example: `stop` keeps them, or gives
    /// them to `deadLetterChannel`; `drop` leaves them out and counts them; `topic:NAME` puts their bodies into another
    /// topic. Not a property of Flume, which tries them for ever.
    #[prop("badRecords", default = "stop")]
    bad_records: BadRecords,
    /// Properties of Kafka's producer. `acks` is `all` if unset, and the producer idempotent; in Flume 1.11 it was 1.
    #[prop("kafka.producer")]
    producer: ProducerSettings,
    /// Former name of `kafka.producer.acks`, which wins.
    #[prop("requiredAcks")]
    old_acks: Option<String>,
    /// Values are bytes; Flume has not read it since 1.7.
    #[prop("serializer.class")]
    serializer: Ignored,
    /// Keys are texts; Flume has not read it since 1.7.
    #[prop("key.serializer.class")]
    key_serializer: Ignored,
}

pub(crate) struct KafkaSink {
    config: KafkaSinkConfig,
    topic: TopicTemplate,
    form: RecordForm,
    placement: Placement,
    publisher: Option<Publisher>,
    cx: Context,
    dropped: Counter,
    dead_letters: Counter,
}

impl Component for KafkaSink {
    type Config = KafkaSinkConfig;
    fn build(mut config: KafkaSinkConfig, cx: &Context) -> Result<Self, BuildError> {
        let topic = if config.topic_override {
            TopicTemplate::parse(&config.topic)
                .map_err(|text| BuildError::at("kafka.topic", text))?
        } else {
            TopicTemplate::plain(&config.topic)
        };
        if let Some(acks) = &config.old_acks {
            config.producer.0.set_old_acks(acks);
        }
        let form = RecordForm::new(
            config.flume_format,
            &config.headers.0,
            config.timestamp_header.as_deref(),
        );
        let placement = Placement::new(config.partition, config.partition_header.as_deref())
            .map_err(|text| BuildError::at("defaultPartitionId", text))?;
        Ok(KafkaSink {
            topic,
            form,
            placement,
            publisher: None,
            cx: cx.clone(),
            dropped: cx.metrics.counter("KafkaBadRecordDropCount"),
            dead_letters: cx.metrics.counter("KafkaDeadLetterCount"),
            config,
        })
    }
}

#[async_trait]
impl Sink for KafkaSink {
    fn want(&self) -> Want {
        Want::events(self.config.batch_size.get())
    }

    fn sends_back(&self, origin: &Origin) -> Option<BuildError> {
        if !brokers(&self.config.servers).any(|broker| broker == origin.system) {
            return None;
        }
        let by_header =
            self.config.topic_override && origin.header.as_ref() == Some(&self.config.topic_header);
        if by_header {
            let header = &self.config.topic_header;
            let text = format!(
                "the source's header `{header}` leads every event back into the topic that it came from, without end; \
                 set `allowTopicOverride = false`, or `setTopicHeader = false` at the source"
            );
            return Some(BuildError::at("topicHeader", text));
        }
        let same = origin.place.as_ref() == Some(&self.config.topic);
        let text =
            "the source of its channel reads this topic: every event would come back, without end";
        same.then(|| BuildError::at("kafka.topic", text))
    }

    async fn open(&mut self) -> Result<(), SinkError> {
        let settings = &self.config.producer.0;
        settings
            .log_in(&self.cx)
            .await
            .map_err(SinkError::at("log in"))?;
        let config = settings
            .producer(&self.config.servers, &self.cx)
            .map_err(SinkError::at("secure the producer"))?;
        let name = &self.cx.name;
        match settings.ours("acks") {
            None => tracing::info!(
                "{name} waits for all replicas in sync (acks=all) and is idempotent: {}; Flume 1.11 has acks=1",
                settings.is_idempotent()
            ),
            Some("all" | "-1") => {}
            Some(acks) => tracing::warn!(
                "{name}: with acks={acks} a broker that fails loses acknowledged events"
            ),
        }
        let publisher = Publisher::new(&config, settings.max_block(), &self.cx);
        self.publisher = Some(publisher.map_err(SinkError::at("set up the producer"))?);
        Ok(())
    }

    async fn deliver(&mut self, batch: &[Event]) -> Result<Delivered, SinkError> {
        if self.publisher.as_ref().is_none_or(Publisher::is_broken) {
            self.open().await?;
        }
        let mut rejected = vec![];
        let undelivered = self
            .send(batch, &mut rejected)
            .await
            .map_err(SinkError::at("send a batch"))?;
        for record in undelivered {
            match verdict(record.code) {
                Some(cause) => rejected.push(Rejected {
                    index: record.index,
                    cause,
                    reason: record.text,
                }),
                None => return Err(SinkError::new("deliver a batch", NotAcknowledged(record))),
            }
        }
        let rejected = self.dispose(batch, rejected).await?;
        Ok(Delivered {
            rejected,
            ..Delivered::default()
        })
    }

    async fn close(&mut self) -> Result<(), SinkError> {
        self.publisher = None;
        Ok(())
    }
}

/// A record that may be acknowledged when it is sent again.
#[derive(Debug, thiserror::Error)]
#[error("event {} of the batch is not acknowledged: {}", .0.index, .0.text)]
struct NotAcknowledged(Undelivered);

/// What a record is rejected for, and not its batch.
fn verdict(code: Option<RDKafkaErrorCode>) -> Option<Cause> {
    use RDKafkaErrorCode::*;
    match code? {
        MessageSizeTooLarge | UnknownPartition | InvalidTopic | InvalidTimestamp
        | InvalidRecord | InvalidMessage => Some(Cause::Malformed),
        // The topic may be made yet, and access granted.
        UnknownTopic | UnknownTopicOrPartition | TopicAuthorizationFailed => Some(Cause::NotNow),
        _ => None,
    }
}

impl KafkaSink {
    /// Sends the batch and waits for all reports. Events that make no record are rejected; returned is what the brokers
    /// do not have.
    async fn send(
        &mut self,
        batch: &[Event],
        rejected: &mut Vec<Rejected>,
    ) -> Result<Vec<Undelivered>, KafkaError> {
        let Some(publisher) = &self.publisher else {
            return Ok(vec![]);
        };
        let sending = publisher.begin();
        let mut value = vec![];
        let mut expanded = String::new();
        for (index, event) in batch.iter().enumerate() {
            let partition = match self.placement.of(event) {
                Ok(partition) => partition,
                Err(reason) => {
                    rejected.push(Rejected {
                        index,
                        cause: Cause::Malformed,
                        reason,
                    });
                    continue;
                }
            };
            let own = event
                .headers
                .get(&self.config.topic_header)
                .filter(|_| self.config.topic_override);
            let topic = match own {
                Some(topic) => topic,
                None => self.topic.expand(event, &mut expanded),
            };
            let record = OutgoingRecord {
                topic,
                partition,
                ..self.form.record(event, &mut value)
            };
            sending.add(index, record).await?;
        }
        Ok(sending.finish().await)
    }

    /// Does with malformed events what `badRecords` says; returns those that stay.
    async fn dispose(
        &mut self,
        batch: &[Event],
        rejected: Vec<Rejected>,
    ) -> Result<Vec<Rejected>, SinkError> {
        let (bad, mut kept): (Vec<_>, Vec<_>) = rejected
            .into_iter()
            .partition(|event| event.cause == Cause::Malformed);
        let Some(first) = bad.first() else {
            return Ok(kept);
        };
        match (&self.config.bad_records, &self.publisher) {
            (BadRecords::Drop, _) => {
                tracing::warn!(
                    "{}: {} events are dropped, the first: {}",
                    self.cx.name,
                    bad.len(),
                    first.reason
                );
                self.dropped.add(bad.len());
            }
            (BadRecords::Topic(topic), Some(publisher)) => {
                let sending = publisher.begin();
                for event in &bad {
                    let headers = OwnedHeaders::new()
                        .insert(Header {
                            key: ORIGIN_HEADER,
                            value: Some(&*self.cx.name),
                        })
                        .insert(Header {
                            key: ERROR_HEADER,
                            value: Some(&event.reason),
                        });
                    let mut value = vec![];
                    let record = self.form.record(&batch[event.index], &mut value);
                    let record = OutgoingRecord {
                        topic,
                        headers: Some(headers),
                        ..record
                    };
                    sending
                        .add(event.index, record)
                        .await
                        .map_err(SinkError::at("send a dead letter"))?;
                }
                let failed = sending.finish().await;
                self.dead_letters.add(bad.len() - failed.len());
                tracing::warn!(
                    "{}: {} events are put into {topic}, the first: {}",
                    self.cx.name,
                    bad.len(),
                    first.reason
                );
                // What does not even fit there stays.
                let stays =
                    |event: &Rejected| failed.iter().any(|record| record.index == event.index);
                kept.extend(bad.into_iter().filter(stays));
            }
            _ => kept.extend(bad),
        }
        Ok(kept)
    }
}

//! `org.apache.flume.sink.kafka.KafkaSink`: writes events into topics.

use std::{collections::BTreeSet, num::NonZeroUsize};

use async_trait::async_trait;
use flume_core::{
    BuildError, Cause, Component, Config, Context, Delivered, Event, Origin, Rejected, Sink,
    SinkError, Take, Want,
    config::{Ignored, Prefix},
    metrics::{Counter, Text},
};
use rdkafka::{
    error::{KafkaError, RDKafkaErrorCode},
    message::{Header, OwnedHeaders},
};

use crate::{
    bad_records::{BadRecords, ERROR_HEADER, ORIGIN_HEADER},
    intake::IntakeBatch,
    outgoing::{Placement, RecordForm, TopicTemplate},
    publisher::{OutgoingRecord, Publisher, Undelivered},
    settings::ProducerSettings,
    source::brokers,
    transaction::{AT_LEAST_ONCE, TransactionError, TransactionalPublisher, guarantee},
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
    /// With `transactional.id` a batch is one transaction; if the channel is a Kafka channel on the same cluster, with
    /// `kafka.consumer.isolation.level = read_committed`, its offsets go into it, and events arrive exactly once. Host
    /// and component are appended to the id.
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
    /// In the place of `publisher` if there is a transactional id.
    transactions: Option<TransactionalPublisher>,
    guarantee: Text,
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
            transactions: None,
            guarantee: guarantee(&cx.metrics),
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
        let max_block = settings.max_block();
        if let Some(id) = settings.ours("transactional.id") {
            self.transactions = None;
            let made = TransactionalPublisher::new(&config, id, max_block, &self.cx);
            self.transactions = Some(made.map_err(SinkError::at("begin with transactions"))?);
            self.guarantee.set("not known before the first batch");
        } else {
            let publisher = Publisher::new(&config, max_block, &self.cx);
            self.publisher = Some(publisher.map_err(SinkError::at("set up the producer"))?);
            self.guarantee.set(AT_LEAST_ONCE);
        }
        Ok(())
    }

    async fn deliver(&mut self, batch: &[Event]) -> Result<Delivered, SinkError> {
        if self.publisher().is_none_or(Publisher::is_broken) {
            self.open().await?;
        }
        if self.transactions.is_some() {
            return self.deliver_in_transaction(batch).await;
        }
        let rejected = self.send_and_judge(batch, &BTreeSet::new()).await?;
        let rejected = self.dispose(batch, rejected).await?;
        Ok(Delivered {
            rejected,
            ..Delivered::default()
        })
    }

    async fn commit(&mut self, mut take: Box<dyn Take>) -> Result<(), SinkError> {
        let Some(transactions) = &mut self.transactions else {
            return take.commit().await.map_err(SinkError::at("commit a batch"));
        };
        let batch = take.joint().and_then(|joint| joint.downcast_mut());
        let batch = batch.and_then(Option::<IntakeBatch>::take);
        let committed = match batch {
            Some(batch) => match same_cluster(transactions, &batch) {
                Ok(true) => {
                    self.guarantee.set(exactly_once(&batch));
                    transactions.commit_with(batch)
                }
                Ok(false) => {
                    self.guarantee.set(format!(
                        "{AT_LEAST_ONCE}; the channel is on another cluster"
                    ));
                    // Back to its take, which commits it below.
                    if let Some(place) = take.joint().and_then(|joint| joint.downcast_mut()) {
                        *place = Some(batch);
                    }
                    transactions.commit()
                }
                Err(error) => Err(error),
            },
            None => {
                self.guarantee
                    .set(format!("{AT_LEAST_ONCE}; the channel is no Kafka channel"));
                transactions.commit()
            }
        };
        match committed {
            Ok(()) => take.commit().await.map_err(SinkError::at("commit a batch")),
            Err(error) => Err(self.transaction_failed("commit a transaction", error)),
        }
    }

    async fn close(&mut self) -> Result<(), SinkError> {
        self.publisher = None;
        self.transactions = None;
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

/// Whether the offsets of a batch can go into a transaction of this producer.
fn same_cluster(
    transactions: &TransactionalPublisher,
    batch: &IntakeBatch,
) -> Result<bool, TransactionError> {
    let from = batch.cluster().map_err(TransactionError::Joint)?;
    Ok(transactions.cluster().is_some_and(|to| to == from))
}

fn exactly_once(batch: &IntakeBatch) -> String {
    let how = "exactly once: a batch and its offsets are one transaction";
    if batch.reads_committed() {
        how.into()
    } else {
        format!(
            "{how}; a crash may still repeat a batch, because the channel lacks \
             kafka.consumer.isolation.level = read_committed"
        )
    }
}

impl KafkaSink {
    fn publisher(&self) -> Option<&Publisher> {
        match &self.transactions {
            Some(transactions) => Some(&transactions.publisher),
            None => self.publisher.as_ref(),
        }
    }

    /// A producer that cannot go on is made anew with the next batch.
    fn transaction_failed(&mut self, doing: &str, error: TransactionError) -> SinkError {
        self.transactions = None;
        SinkError::new(doing, error)
    }

    /// Leaves the transaction open for [`Sink::commit`]. A record that the brokers refuse spoils the transaction, so the
    /// rest is sent once more in another.
    async fn deliver_in_transaction(&mut self, batch: &[Event]) -> Result<Delivered, SinkError> {
        let mut bad = BTreeSet::new();
        let mut rejected = vec![];
        loop {
            if let Some(transactions) = &mut self.transactions
                && let Err(error) = transactions.begin()
            {
                return Err(self.transaction_failed("begin a transaction", error));
            }
            let found = self.send_and_judge(batch, &bad).await?;
            if found.is_empty() {
                break;
            }
            bad.extend(found.iter().map(|event| event.index));
            rejected.extend(found);
        }
        // A record that is kept would hold back the offsets behind it, so the batch is kept as a whole.
        let kept = self.dispose(batch, rejected).await?;
        match kept.into_iter().next() {
            None => Ok(Delivered::default()),
            Some(first) => {
                let text = format!(
                    "event {} of the batch: {}; a transaction is all or nothing: set `badRecords` to `drop` or \
                     `topic:NAME` to go on without such events",
                    first.index, first.reason
                );
                Err(SinkError::new("deliver a batch", text))
            }
        }
    }

    /// Sends all but the events in `without`, waits for all reports, and returns what is rejected.
    async fn send_and_judge(
        &mut self,
        batch: &[Event],
        without: &BTreeSet<usize>,
    ) -> Result<Vec<Rejected>, SinkError> {
        let mut rejected = vec![];
        let undelivered = self
            .send(batch, without, &mut rejected)
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
        Ok(rejected)
    }

    /// Sends the batch and waits for all reports. Events that make no record are rejected; returned is what the brokers
    /// do not have.
    async fn send(
        &self,
        batch: &[Event],
        without: &BTreeSet<usize>,
        rejected: &mut Vec<Rejected>,
    ) -> Result<Vec<Undelivered>, KafkaError> {
        let Some(publisher) = self.publisher() else {
            return Ok(vec![]);
        };
        let sending = publisher.begin();
        let mut value = vec![];
        let mut expanded = String::new();
        let wanted = batch.iter().enumerate();
        for (index, event) in wanted.filter(|(index, _)| !without.contains(index)) {
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
        match (&self.config.bad_records, self.publisher()) {
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

//! `org.apache.flume.channel.kafka.KafkaChannel`: a topic as a channel, shared by all agents of a group.

use std::{any::Any, sync::Arc, time::Duration};

use async_trait::async_trait;
use flume_core::{
    BuildError, Channel, ChannelError, ChannelStats, Component, Config, Context, Event, EventStore,
    Settled, Take, Want, config::Ignored, metrics::Counter,
};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::{
    bad_records::{BadRecords, Disposal},
    intake::{Decode, Intake, IntakeBatch, IntakeError, Subscription, Topics},
    migration::MigrationConfig,
    outgoing::{Placement, RecordForm},
    publisher::{OutgoingRecord, Publisher, Undelivered},
    record::{self, KEY_HEADER},
    settings::{ConsumerSettings, ProducerSettings, SecurityError},
    source::brokers,
    transaction::{AT_LEAST_ONCE, TransactionError, TransactionalPublisher, guarantee},
};

/// Keeps events in a topic of Kafka. A put returns when every replica in sync has them; a take is committed in the
/// group, so that agents share the events of the topic.
#[derive(Clone, Config)]
#[expect(
    dead_code,
    reason = "ignored properties are declared to be known, not to be read"
)]
pub(crate) struct KafkaChannelConfig {
    /// Brokers to begin with, as `host:port`, separated by commas.
    #[prop("kafka.bootstrap.servers", alias = "brokerList")]
    servers: String,
    /// The topic.
    #[prop("kafka.topic", default = "flume-channel", alias = "topic")]
    topic: String,
    /// Whether values are events in Flume's format; otherwise they are bodies, and headers are lost.
    #[prop("parseAsFlumeEvent", default = true)]
    flume_format: bool,
    /// A take waits as long as its sink wants: events wake it.
    #[prop("kafka.pollTimeout")]
    poll_timeout: Ignored,
    /// Flume 1.11 does not read it, only `kafka.pollTimeout`.
    #[prop("pollTimeout")]
    wrong_poll_timeout: Ignored,
    /// The partition of all records; unset: by the key.
    #[prop("defaultPartitionId")]
    partition: Option<i32>,
    /// The header that names an event's partition; wins over `defaultPartitionId`.
    #[prop("partitionIdHeader")]
    partition_header: Option<String>,
    /// What becomes of records that do not decode: `stop` keeps them and holds up their partition, `drop` leaves them
    /// out and counts them, `topic:NAME` puts them into another topic. Not a property of Flume, which loses them.
    #[prop("badRecords", default = "stop")]
    bad_records: BadRecords,
    /// Properties of Kafka's consumer. `group.id` is `flume` and `auto.offset.reset` is `earliest` if unset.
    #[prop("kafka.consumer")]
    consumer: ConsumerSettings,
    /// Properties of Kafka's producer. `acks` is `all` if unset, and the producer idempotent. With `transactional.id` a put
    /// is one transaction, so readers of committed records see nothing of a put that failed. Host and component are
    /// appended to the id.
    #[prop("kafka.producer")]
    producer: ProducerSettings,
    /// Former name of `kafka.consumer.group.id`, which wins.
    #[prop("groupId")]
    old_group: Option<String>,
    /// Former name of `kafka.consumer.auto.offset.reset`, which wins: true is `earliest`, false is `latest`.
    #[prop("readSmallestOffset")]
    read_smallest: Option<bool>,
    #[prop(flatten)]
    migration: MigrationConfig,
    /// Flume has not read it since 1.7.
    #[prop("timeout")]
    timeout: Ignored,
}

pub(crate) struct KafkaChannel {
    config: KafkaChannelConfig,
    placement: Placement,
    form: RecordForm,
    cx: Context,
    /// There from the opening to the end.
    publisher: Mutex<Option<Arc<Publisher>>>,
    /// Used in the place of `publisher` if there is a transactional id: one put at a time.
    transactions: Transactions,
    /// There from the first take to the end: a channel without a sink must not own partitions.
    intake: Mutex<Option<Arc<Intake>>>,
    /// Whoever joins the group or leaves it holds this meanwhile.
    membership: tokio::sync::Mutex<()>,
    /// Ends what a sink that joins waits for.
    closing: watch::Sender<bool>,
    wait_millis: Counter,
    rollbacks: Counter,
}

type Transactions = Arc<tokio::sync::Mutex<Option<TransactionalPublisher>>>;

/// An open batch of the topic.
struct KafkaTake {
    batch: Option<IntakeBatch>,
    rollbacks: Counter,
}

impl Component for KafkaChannel {
    type Config = KafkaChannelConfig;
    fn build(config: KafkaChannelConfig, cx: &Context) -> Result<Self, BuildError> {
        let placement = Placement::new(config.partition, config.partition_header.as_deref())
            .map_err(|text| BuildError::at("defaultPartitionId", text))?;
        Ok(KafkaChannel {
            placement,
            form: RecordForm::new(config.flume_format, &Default::default(), None),
            cx: cx.clone(),
            publisher: Mutex::default(),
            transactions: Transactions::default(),
            intake: Mutex::default(),
            membership: tokio::sync::Mutex::default(),
            closing: watch::Sender::new(false),
            wait_millis: cx.metrics.counter("KafkaEventGetTimer"),
            rollbacks: cx.metrics.counter("RollbackCount"),
            config,
        })
    }
}

/// Some of a batch is not acknowledged.
#[derive(Debug, thiserror::Error)]
#[error("{count} of {total} events are not acknowledged, the first: {first}")]
struct NotAcknowledged {
    count: usize,
    total: usize,
    first: String,
}

#[async_trait]
impl Channel for KafkaChannel {
    async fn open(&self) -> Result<(), ChannelError> {
        self.config
            .producer
            .0
            .log_in(&self.cx)
            .await
            .map_err(storage)?;
        *self.publisher.lock() = Some(Arc::new(self.make_publisher()?));
        self.closing.send_replace(false);
        guarantee(&self.cx.metrics).set(AT_LEAST_ONCE);
        Ok(())
    }

    async fn put(&self, batch: Vec<Event>) -> Result<(), ChannelError> {
        let undelivered = match self.config.producer.0.ours("transactional.id") {
            Some(id) => self.put_in_transaction(id, &batch).await?,
            None => self.publish(&*self.working_publisher()?, &batch).await?,
        };
        let Some(first) = undelivered.first() else {
            return Ok(());
        };
        Err(storage(NotAcknowledged {
            count: undelivered.len(),
            total: batch.len(),
            first: first.text.clone(),
        }))
    }

    async fn take(&self, want: Want, wait: Duration) -> Result<Box<dyn Take>, ChannelError> {
        let began = std::time::Instant::now();
        let batch = loop {
            let intake = self.join().await?;
            match intake.take(want, wait).await {
                Ok(batch) => break batch,
                // Another sink left, or the channel is closed: joining says which.
                Err(IntakeError::Closed) => self.leave(&intake).await,
                Err(error) => {
                    // The next take joins anew.
                    self.leave(&intake).await;
                    return Err(storage(error));
                }
            }
        };
        self.wait_millis.add(began.elapsed().as_millis() as usize);
        Ok(Box::new(KafkaTake {
            batch: Some(batch),
            rollbacks: self.rollbacks.clone(),
        }))
    }

    /// What was read ahead of the sinks; the rest of the topic is the lag of the group.
    fn stats(&self) -> ChannelStats {
        let (events, bytes, in_flight) = self
            .intake
            .lock()
            .as_ref()
            .map_or((0, 0, 0), |intake| intake.held());
        ChannelStats {
            events,
            bytes,
            in_flight,
            capacity: usize::MAX,
            transaction_capacity: usize::MAX,
            oldest: None,
        }
    }

    fn durable(&self) -> bool {
        true
    }

    fn store(&self) -> EventStore {
        let KafkaChannelConfig { servers, topic, .. } = &self.config;
        EventStore::Elsewhere {
            place: format!("topic {topic}"),
            hosts: brokers(servers).collect(),
        }
    }

    async fn close(&self) -> Result<(), ChannelError> {
        let publisher = self.publisher.lock().take();
        self.closing.send_replace(true);
        // Its thread ends within a poll.
        let transactions = self.transactions.lock().await.take();
        let _ = tokio::task::spawn_blocking(move || drop((publisher, transactions))).await;
        // A sink that is just joining gives up, or finishes first and finds the channel closed the next time.
        let _turn = self.membership.lock().await;
        let intake = self.intake.lock().take();
        if let Some(intake) = intake {
            intake.close().await;
        }
        Ok(())
    }
}

impl KafkaChannel {
    fn make_publisher(&self) -> Result<Publisher, ChannelError> {
        let settings = &self.config.producer.0;
        let config = settings
            .producer(&self.config.servers, &self.cx)
            .map_err(storage)?;
        let acks = settings.acks();
        if !matches!(acks, "all" | "-1") {
            tracing::warn!(
                "{}: with acks={acks} a broker that fails loses events that were put",
                self.cx.name
            );
        }
        Publisher::new(&config, settings.max_block(), &self.cx).map_err(storage)
    }

    /// Sends all and waits for all acknowledgements; a partition that is none fails the batch before anything is sent.
    async fn publish(
        &self,
        publisher: &Publisher,
        batch: &[Event],
    ) -> Result<Vec<Undelivered>, ChannelError> {
        let partitions: Result<Vec<_>, _> =
            batch.iter().map(|event| self.placement.of(event)).collect();
        let partitions = partitions.map_err(storage)?;
        let sending = publisher.begin();
        let mut value = vec![];
        for (index, (event, partition)) in batch.iter().zip(partitions).enumerate() {
            let topic = self.config.topic.as_str();
            let record = OutgoingRecord {
                topic,
                partition,
                ..self.form.record(event, &mut value)
            };
            sending.add(index, record).await.map_err(storage)?;
        }
        Ok(sending.finish().await)
    }

    /// The same in a transaction, which becomes visible as a whole. A put that is given up leaves the transaction open;
    /// the next one ends it without its records.
    async fn put_in_transaction(
        &self,
        id: &str,
        batch: &[Event],
    ) -> Result<Vec<Undelivered>, ChannelError> {
        // Says that the channel is open.
        self.working_publisher()?;
        let mut turn = self.transactions.clone().lock_owned().await;
        if turn.as_ref().is_none_or(|made| made.publisher.is_broken()) {
            let settings = &self.config.producer.0;
            let config = settings
                .producer(&self.config.servers, &self.cx)
                .map_err(storage)?;
            let id = id.to_string();
            let cx = self.cx.clone();
            let max_block = settings.max_block();
            let made =
                blocking(move || TransactionalPublisher::new(&config, &id, max_block, &cx)).await;
            *turn = Some(made.map_err(storage)?);
        }
        let mut turn = step(turn, TransactionalPublisher::begin).await?;
        let undelivered = match &*turn {
            Some(made) => self.publish(&made.publisher, batch).await?,
            None => vec![],
        };
        if undelivered.is_empty() {
            step(turn, TransactionalPublisher::commit).await?;
        } else {
            turn = step(turn, TransactionalPublisher::abort).await?;
            drop(turn);
        }
        Ok(undelivered)
    }

    fn working_publisher(&self) -> Result<Arc<Publisher>, ChannelError> {
        let mut publisher = self.publisher.lock();
        let known = publisher.as_ref().ok_or(ChannelError::Closed)?;
        if known.is_broken() {
            *publisher = Some(Arc::new(self.make_publisher()?));
        }
        publisher.clone().ok_or(ChannelError::Closed)
    }

    /// The membership in the group, which all sinks share; the first take begins it.
    async fn join(&self) -> Result<Arc<Intake>, ChannelError> {
        if let Some(intake) = &*self.intake.lock() {
            return Ok(intake.clone());
        }
        let _turn = self.membership.lock().await;
        if self.publisher.lock().is_none() {
            return Err(ChannelError::Closed);
        }
        if let Some(intake) = &*self.intake.lock() {
            return Ok(intake.clone());
        }
        let mut closing = self.closing.subscribe();
        let subscription = tokio::select! {
            prepared = self.prepare() => prepared?,
            _ = closing.wait_for(|closing| *closing) => return Err(ChannelError::Closed),
        };
        let joined = Arc::new(
            Intake::open(subscription, &self.cx)
                .await
                .map_err(storage)?,
        );
        *self.intake.lock() = Some(joined.clone());
        Ok(joined)
    }

    /// Logs in, and gives the group the offsets that it has in ZooKeeper.
    async fn prepare(&self) -> Result<Subscription, ChannelError> {
        self.config
            .consumer
            .0
            .log_in(&self.cx)
            .await
            .map_err(storage)?;
        let subscription = self.subscription().map_err(storage)?;
        let topics = subscription.topics.named();
        let copied = self
            .config
            .migration
            .copy_offsets(topics, &subscription.config);
        copied.await.map_err(storage)?;
        Ok(subscription)
    }

    /// Ends a membership. By the time a sink hears that it failed, another sink may have ended it and joined anew: the new
    /// membership stays.
    async fn leave(&self, left: &Arc<Intake>) {
        let _turn = self.membership.lock().await;
        left.close().await;
        self.intake
            .lock()
            .take_if(|intake| Arc::ptr_eq(intake, left));
    }

    fn subscription(&self) -> Result<Subscription, SecurityError> {
        let config = &self.config;
        let settings = &config.consumer.0;
        let group = settings
            .native("group.id")
            .or(config.old_group.as_deref())
            .unwrap_or("flume");
        let reset = if config.read_smallest == Some(false) {
            "latest"
        } else {
            "earliest"
        };
        let dead_letters = settings.dead_letters(&config.servers, &self.cx)?;
        let mut consumer = settings.consumer(&config.servers, group, reset, &self.cx)?;
        // What transactions of puts have given up must not be read.
        let transactional = config.producer.0.ours("transactional.id").is_some();
        if transactional && settings.native("isolation.level").is_none() {
            consumer.set("isolation.level", "read_committed");
        }
        Ok(Subscription {
            config: consumer,
            topics: Topics::Named(vec![config.topic.clone()]),
            decode: decoder(config.flume_format),
            disposal: Disposal::new(config.bad_records.clone(), dead_letters, &self.cx),
            patience: settings.patience(),
            topics_interval: settings.metadata_max_age(),
        })
    }
}

impl Take for KafkaTake {
    fn events(&self) -> &[Event] {
        self.batch.as_ref().map_or(&[], IntakeBatch::events)
    }

    fn commit(mut self: Box<Self>) -> Settled {
        let commit = self.batch.take().map(IntakeBatch::commit);
        Box::pin(async move {
            match commit {
                Some(commit) => commit.await.map_err(storage),
                None => Ok(()),
            }
        })
    }

    /// The batch, for Kafka's sink.
    fn joint(&mut self) -> Option<&mut dyn Any> {
        Some(&mut self.batch)
    }

    fn split_off(&mut self, indices: &[usize]) -> Box<dyn Take> {
        let batch = self.batch.as_mut().map(|batch| batch.split_off(indices));
        Box::new(KafkaTake {
            batch,
            rollbacks: self.rollbacks.clone(),
        })
    }
}

impl Drop for KafkaTake {
    fn drop(&mut self) {
        if !self.events().is_empty() {
            self.rollbacks.add(1);
        }
    }
}

type Turn = tokio::sync::OwnedMutexGuard<Option<TransactionalPublisher>>;

/// A step of a transaction, which blocks, on a thread that may. A producer that failed is not used again.
async fn step(
    mut turn: Turn,
    act: fn(&mut TransactionalPublisher) -> Result<(), TransactionError>,
) -> Result<Turn, ChannelError> {
    let acted = blocking(move || {
        let outcome = turn.as_mut().map_or(Ok(()), act);
        if outcome.is_err() {
            *turn = None;
        }
        outcome.map(|()| turn)
    });
    acted.await.map_err(storage)
}

async fn blocking<T: Send + 'static>(
    act: impl FnOnce() -> Result<T, TransactionError> + Send + 'static,
) -> Result<T, Box<dyn std::error::Error + Send + Sync>> {
    let joined = tokio::task::spawn_blocking(act).await?;
    Ok(joined?)
}

/// The event of a record. Its key, if it has one, is the header `key`.
fn decoder(flume_format: bool) -> Decode {
    Box::new(move |message| {
        let mut event = record::event_of(message, flume_format)?;
        if let Some(key) = record::key_of(message) {
            event.headers.set(KEY_HEADER.into(), key);
        }
        Ok(event)
    })
}

fn storage(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ChannelError {
    ChannelError::Storage(error.into())
}

#[cfg(test)]
mod tests {
    use flume_core::{Registry, StoreRelation};
    use flume_testkit::parts::read;
    use rdkafka::mocking::MockCluster;

    use super::*;

    fn channel(servers: &str) -> KafkaChannel {
        channel_with(servers, "")
    }

    fn channel_with(servers: &str, more: &str) -> KafkaChannel {
        let text = format!("kafka.bootstrap.servers = {servers}\nkafka.topic = t\n{more}");
        let (config, problems) = read::<KafkaChannelConfig>(&Registry::EMPTY, "c1", &text);
        assert!(problems.is_empty(), "{problems:?}");
        let cx = Context::new("a1.channels.c1", &[]);
        KafkaChannel::build(config.unwrap(), &cx).unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn who_hears_late_that_a_membership_failed_does_not_end_the_next_one() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("t", 1, 1).unwrap();
        let channel = channel(&cluster.bootstrap_servers());
        channel.open().await.unwrap();
        let failed = channel.join().await.unwrap();
        channel.leave(&failed).await;
        let next = channel.join().await.unwrap();
        channel.leave(&failed).await;
        assert!(Arc::ptr_eq(&next, &channel.join().await.unwrap()));
        channel.close().await.unwrap();
        assert!(matches!(channel.join().await, Err(ChannelError::Closed)));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_close_does_not_wait_for_a_zookeeper_that_says_nothing() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("t", 1, 1).unwrap();
        let zookeeper = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let more = format!("zookeeperConnect = {}", zookeeper.local_addr().unwrap());
        let channel = Arc::new(channel_with(&cluster.bootstrap_servers(), &more));
        channel.open().await.unwrap();
        let of_sink = channel.clone();
        let joining = tokio::spawn(async move { of_sink.join().await.map(|_| ()) });
        let _asked = zookeeper.accept().await.unwrap();
        channel.close().await.unwrap();
        let joined = joining.await.unwrap();
        assert!(matches!(joined, Err(ChannelError::Closed)), "{joined:?}");
    }

    #[test]
    fn a_cluster_is_the_same_by_any_of_its_brokers() {
        let relation = |other| {
            let store = channel("a:9092, b:9092").store();
            store.relation(&channel(other).store())
        };
        assert_eq!(relation("B:9092,a:9092"), StoreRelation::Same);
        assert_eq!(relation("b:9092,c:9092"), StoreRelation::Same);
        assert_eq!(relation("c:9092"), StoreRelation::Apart);
    }
}

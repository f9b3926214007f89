//! The thread that reads, decodes and serves rebalances.

use std::{
    io,
    sync::{Arc, atomic::Ordering::Relaxed},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use flume_java::regex::NamePattern;
use rdkafka::{
    ClientContext, Message, Statistics, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance},
    error::{KafkaError, KafkaResult, RDKafkaErrorCode},
    message::BorrowedMessage,
};
use tokio::sync::oneshot;

use super::{
    IntakeError, MAX_POOL_BYTES, MAX_POOL_EVENTS, Shared, Subscription,
    pool::{Partition, Position},
};
use crate::{bad_records::Disposed, watch::ClientWatch};

/// How long a poll waits, and so how late the end is noticed.
const POLL: Duration = Duration::from_millis(100);
/// How long a full pool is waited for before the partitions are paused: a pause throws away what was fetched ahead.
const PAUSE_AFTER: Duration = Duration::from_millis(500);
/// How long a look for topics waits for an answer.
const TOPICS_LIMIT: Duration = Duration::from_secs(10);

/// What is subscribed to.
#[derive(Clone, Debug)]
pub(crate) enum Topics {
    /// These.
    Named(Vec<String>),
    /// Those whose whole name matches, and no internal ones.
    Matching(NamePattern),
}

impl Topics {
    /// Those that are named; none if there is a pattern.
    pub(crate) fn named(&self) -> &[String] {
        match self {
            Topics::Named(topics) => topics,
            Topics::Matching(_) => &[],
        }
    }
}

/// The consumer.
pub(super) type GroupMember = BaseConsumer<Membership>;

/// What hears of rebalances.
pub(super) struct Membership {
    watch: ClientWatch,
    shared: Arc<Shared>,
    patience: Duration,
}

/// `auto.offset.reset = none` forbids to go on anywhere else.
#[derive(Debug, thiserror::Error)]
#[error(
    "the group has no offset, or its records are gone from the topic, and `auto.offset.reset` is `none`: set it to \
     `earliest` or `latest`, or set the group's offsets with Kafka's tools"
)]
struct OffsetGone;

/// A topic is gone, or access to it was taken away; the client does not say which.
#[derive(Debug, thiserror::Error)]
#[error("failed to read one of the topics {topics}: {error}")]
struct TopicUnreadable {
    topics: String,
    error: KafkaError,
}

/// The thread's own.
struct Pump {
    consumer: Arc<GroupMember>,
    shared: Arc<Shared>,
    subscription: Subscription,
    /// The topics subscribed to, and when they were looked for.
    topics: Vec<String>,
    looked_at: Option<Instant>,
    /// The assignment whose partitions are all paused, by its number in `Inner::assignments`.
    paused: Option<u64>,
}

pub(super) fn spawn(
    subscription: Subscription,
    watch: ClientWatch,
    shared: Arc<Shared>,
    opened: oneshot::Sender<Result<Arc<GroupMember>, IntakeError>>,
) -> io::Result<JoinHandle<()>> {
    let thread = std::thread::Builder::new().name("kafka-read".into());
    thread.spawn(move || match Pump::new(subscription, watch, shared) {
        Err(error) => {
            let _ = opened.send(Err(error.into()));
        }
        Ok(mut pump) => {
            let _ = opened.send(Ok(pump.consumer.clone()));
            pump.run();
            pump.leave();
        }
    })
}

impl Pump {
    fn new(
        subscription: Subscription,
        watch: ClientWatch,
        shared: Arc<Shared>,
    ) -> KafkaResult<Pump> {
        let membership = Membership {
            watch,
            shared: shared.clone(),
            patience: subscription.patience,
        };
        let consumer: GroupMember = subscription.config.create_with_context(membership)?;
        let consumer = Arc::new(consumer);
        let _ = shared.member.set(Arc::downgrade(&consumer));
        let isolation = subscription.config.get("isolation.level");
        shared
            .reads_committed
            .store(isolation == Some("read_committed"), Relaxed);
        Ok(Pump {
            consumer,
            shared,
            subscription,
            topics: vec![],
            looked_at: None,
            paused: None,
        })
    }

    fn run(&mut self) {
        while !self.shared.pool.lock().closing {
            if let Err(error) = self.follow_topics() {
                self.shared.state.failing(&error, POLL);
            }
            self.wait_for_room();
            // The message borrows the consumer, not the pump.
            let consumer = self.consumer.clone();
            match consumer.poll(POLL) {
                None => {}
                Some(Ok(message)) => self.receive(&message),
                Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => {
                    self.shared.pool.lock().broken = Some(error.to_string());
                    self.shared.arrived.notify_waiters();
                    return;
                }
                Some(Err(error)) => self.hear(&error),
            }
        }
    }

    /// Errors of a partition or topic come here. Those of connections come to the watch, with the reason.
    fn hear(&self, error: &KafkaError) {
        use RDKafkaErrorCode::{
            AutoOffsetReset, GroupAuthorizationFailed, TopicAuthorizationFailed, UnknownTopic,
            UnknownTopicOrPartition,
        };
        match error.rdkafka_error_code() {
            Some(AutoOffsetReset) => self.shared.state.failing(&OffsetGone, POLL),
            Some(
                GroupAuthorizationFailed
                | TopicAuthorizationFailed
                | UnknownTopic
                | UnknownTopicOrPartition,
            ) => {
                let topics = self.topics.join(", ");
                let error = error.clone();
                self.shared
                    .state
                    .failing(&TopicUnreadable { topics, error }, POLL);
            }
            _ => tracing::debug!("{}: {error}", self.shared.name),
        }
    }

    /// Commits and leaves the group: closing the consumer revokes its partitions, which commits.
    fn leave(self) {
        let mut consumer = self.consumer;
        // The committer holds it, too, until it has seen the end.
        self.shared.pool.lock().closing = true;
        self.shared.changed.notify_all();
        loop {
            match Arc::try_unwrap(consumer) {
                Ok(last) => {
                    drop(last);
                    break;
                }
                Err(shared) => consumer = shared,
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        self.shared
            .commits
            .send_modify(|commits| commits.closed = true);
    }

    /// Subscribes, and again when there are other topics.
    fn follow_topics(&mut self) -> KafkaResult<()> {
        let due = self
            .looked_at
            .is_none_or(|at| at.elapsed() >= self.subscription.topics_interval);
        let topics = match &self.subscription.topics {
            Topics::Named(topics) if self.looked_at.is_none() => topics.clone(),
            Topics::Matching(pattern) if due => self.matching(pattern)?,
            _ => return Ok(()),
        };
        self.looked_at = Some(Instant::now());
        if topics.is_empty() {
            self.shared
                .state
                .waiting("no topic matches kafka.topics.regex");
            self.consumer.unsubscribe();
        } else if topics != self.topics {
            tracing::info!("{} subscribes to {}", self.shared.name, topics.join(", "));
            self.consumer
                .subscribe(&topics.iter().map(String::as_str).collect::<Vec<_>>())?;
        }
        self.topics = topics;
        Ok(())
    }

    fn matching(&self, pattern: &NamePattern) -> KafkaResult<Vec<String>> {
        let metadata = self.consumer.fetch_metadata(None, TOPICS_LIMIT)?;
        let names = metadata.topics().iter().map(|topic| topic.name());
        let mut topics: Vec<_> = names
            .filter(|name| !name.starts_with("__") && pattern.matches(name))
            .map(String::from)
            .collect();
        topics.sort();
        Ok(topics)
    }

    /// While batches leave no room: waits a little, then pauses all partitions, so that polling can go on. Partitions
    /// that come while all are paused are paused, too, before the next poll.
    fn wait_for_room(&mut self) {
        let full =
            |events: usize, bytes: usize| events >= MAX_POOL_EVENTS || bytes >= MAX_POOL_BYTES;
        let mut inner = self.shared.pool.lock();
        if let Some(at) = self.paused {
            let roomy =
                inner.pool.len() <= MAX_POOL_EVENTS / 2 && inner.pool.bytes() <= MAX_POOL_BYTES / 2;
            let now = inner.assignments;
            drop(inner);
            if roomy {
                self.paused = None;
                self.resume();
            } else if at != now {
                self.paused = Some(now);
                self.pause();
            }
            return;
        }
        let deadline = Instant::now() + PAUSE_AFTER;
        while full(inner.pool.len(), inner.pool.bytes()) && !inner.closing {
            if self
                .shared
                .changed
                .wait_until(&mut inner, deadline)
                .timed_out()
            {
                self.paused = Some(inner.assignments);
                drop(inner);
                self.shared.metrics.pauses.add(1);
                self.pause();
                return;
            }
        }
    }

    fn pause(&self) {
        let paused = self
            .consumer
            .assignment()
            .and_then(|all| self.consumer.pause(&all));
        if let Err(error) = paused {
            tracing::warn!("{} failed to pause: {error}", self.shared.name);
        }
    }

    fn resume(&self) {
        let outcome = self.consumer.assignment().and_then(|all| {
            let inner = self.shared.pool.lock();
            let stopped: Vec<_> = inner
                .pool
                .stopped()
                .map(|(partition, _)| partition.clone())
                .collect();
            drop(inner);
            let mut wanted = TopicPartitionList::new();
            for element in all.elements() {
                let partition = Partition::of(element.topic(), element.partition());
                if !stopped.contains(&partition) {
                    wanted.add_partition(element.topic(), element.partition());
                }
            }
            self.consumer.resume(&wanted)
        });
        if let Err(error) = outcome {
            tracing::warn!("{} failed to resume: {error}", self.shared.name);
        }
    }

    fn receive(&mut self, message: &BorrowedMessage<'_>) {
        self.consumer.context().watch.alive();
        let decoded = (self.subscription.decode)(message);
        let mut inner = self.shared.pool.lock();
        let position = inner
            .pool
            .place(message.topic(), message.partition(), message.offset());
        // Nothing more is to be read of its partition.
        let Some(position) = position else { return };
        match decoded {
            Ok(event) => {
                inner.pool.push(event, position);
                if inner.pool.len() >= inner.wake_at {
                    inner.wake_at = usize::MAX;
                    self.shared.arrived.notify_waiters();
                }
            }
            Err(reason) => {
                drop(inner);
                self.dispose(message, position, &reason);
            }
        }
    }

    /// A record that does not decode.
    fn dispose(&mut self, message: &BorrowedMessage<'_>, position: Position, reason: &str) {
        let partition = Partition::of(message.topic(), message.partition());
        let place = format!("record {} of {partition}", message.offset());
        let metrics = &self.shared.metrics;
        let stop = match self.subscription.disposal.dispose(message, reason) {
            Ok(Disposed::Dropped) => {
                metrics.dropped.add(1);
                tracing::warn!("{}: {place} is dropped: {reason}", self.shared.name);
                None
            }
            Ok(Disposed::Buried(topic)) => {
                metrics.dead_letters.add(1);
                tracing::warn!(
                    "{}: {place} is put into {topic}: {reason}",
                    self.shared.name
                );
                None
            }
            Ok(Disposed::Kept) => Some(reason.to_string()),
            Err(error) => Some(format!(
                "{reason}, and it cannot be put among the dead letters: {error}"
            )),
        };
        let mut inner = self.shared.pool.lock();
        let Some(reason) = stop else {
            inner.pool.skip(position);
            self.shared.changed.notify_all();
            return;
        };
        inner.pool.stop(position, reason.clone());
        drop(inner);
        tracing::error!(
            "{}: {place} cannot be read, {partition} stands still: {reason}",
            self.shared.name
        );
        self.shared.state.waiting(&format!(
            "{partition} stands still at offset {}: {reason}",
            message.offset()
        ));
        let mut list = TopicPartitionList::new();
        list.add_partition(message.topic(), message.partition());
        if let Err(error) = self.consumer.pause(&list) {
            tracing::warn!("{} failed to pause {partition}: {error}", self.shared.name);
        }
    }
}

impl Membership {
    /// Partitions are about to go: waits for the batches that hold records of them, commits, lets them go.
    fn revoke(&self, consumer: &GroupMember, list: &TopicPartitionList) {
        let partitions = partitions(list);
        let deadline = Instant::now() + self.patience;
        let mut inner = self.shared.pool.lock();
        for partition in &partitions {
            inner.pool.forget_waiting(partition);
        }
        let open = |inner: &super::Inner| -> usize {
            partitions
                .iter()
                .map(|partition| inner.pool.open_of(partition))
                .sum()
        };
        let lost = consumer.assignment_lost();
        // Whoever is closing has nothing open any more, or it is given up.
        while open(&inner) > 0 && !lost && !inner.closing {
            if self
                .shared
                .changed
                .wait_until(&mut inner, deadline)
                .timed_out()
            {
                break;
            }
        }
        let still_open = open(&inner);
        drop(inner);
        if !lost {
            // A failure is counted and logged where it happens.
            let _ = self.shared.commit(consumer, true);
        }
        let mut inner = self.shared.pool.lock();
        for partition in &partitions {
            inner.pool.revoke(partition);
        }
        self.shared
            .metrics
            .partitions
            .set(inner.pool.assigned().count());
        drop(inner);
        let how = if lost { "lost" } else { "gave back" };
        tracing::info!("{} {how} {}", self.shared.name, shown(&partitions));
        if still_open > 0 {
            let name = &self.shared.name;
            tracing::warn!(
                "{name}: {still_open} events of them are with a sink, and come again from their next owner"
            );
        }
    }

    fn assign(&self, list: &TopicPartitionList) {
        let partitions = partitions(list);
        let mut inner = self.shared.pool.lock();
        for partition in &partitions {
            inner.pool.assign(partition.clone());
        }
        inner.assignments += 1;
        let owned = inner.pool.assigned().count();
        self.shared.metrics.partitions.set(owned);
        drop(inner);
        if owned == 0 {
            let text = "no partition: the group has more members than the topics have partitions";
            tracing::warn!("{}: {text}", self.shared.name);
            self.shared.state.waiting(text);
        } else {
            tracing::info!("{} reads {}", self.shared.name, shown(&partitions));
            self.shared.state.running();
        }
    }
}

impl ConsumerContext for Membership {
    fn pre_rebalance(&self, consumer: &GroupMember, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(list) => self.assign(list),
            Rebalance::Revoke(list) => {
                self.shared.metrics.rebalances.add(1);
                self.revoke(consumer, list);
            }
            Rebalance::Error(error) => {
                tracing::warn!("{}: a rebalance failed: {error}", self.shared.name);
            }
        }
    }
}

impl ClientContext for Membership {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.watch.log(level, facility, message);
    }

    fn stats(&self, statistics: Statistics) {
        self.watch.stats(statistics);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.watch.error(error, reason);
    }
}

fn partitions(list: &TopicPartitionList) -> Vec<Partition> {
    list.elements()
        .iter()
        .map(|element| Partition::of(element.topic(), element.partition()))
        .collect()
}

fn shown(partitions: &[Partition]) -> String {
    if partitions.is_empty() {
        return "nothing".into();
    }
    partitions
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

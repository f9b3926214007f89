//! Reads topics as a member of a group, and commits what was delivered: what the source and the channel share.
//!
//! ```text
//! brokers ─► pump ─ decode ─► Pool ─► take ─► batch ─ commit ─► Committer ─► brokers
//!              ▲                │                └─ dropped: back into the pool
//!              └── waits while the pool is full, then pauses its partitions
//! ```
//!
//! The pump is a thread that reads and serves rebalances. The committer is another, so that a commit waits for nothing
//! but the broker; commits that are asked for while one is under way go together. When partitions are about to go, the
//! pump waits for the batches that hold records of them, commits, and only then lets them go: an orderly rebalance
//! repeats nothing.
//!
//! **Invariant:** an offset is committed only after the records below it were delivered.

mod committer;
mod joint;
mod pool;
mod pump;

use std::{
    sync::{Arc, OnceLock, Weak, atomic::AtomicBool},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use flume_core::{
    Context, Event, Want,
    metrics::{Counter, Gauge, Histogram, Metrics},
};
use parking_lot::{Condvar, Mutex};
use rdkafka::ClientConfig;
use tokio::sync::{Notify, oneshot, watch};

pub(crate) use joint::{JointError, Uncommitted};
use pool::{Pool, Position};
use pump::GroupMember;
pub(crate) use pump::Topics;

use crate::{bad_records::Disposal, watch::ClientWatch};

/// Most events that are read ahead of the batches.
const MAX_POOL_EVENTS: usize = 20_000;
/// Most bytes of them.
const MAX_POOL_BYTES: usize = 16 << 20;

/// What is read, and how.
pub(crate) struct Subscription {
    pub(crate) config: ClientConfig,
    pub(crate) topics: Topics,
    pub(crate) decode: Decode,
    pub(crate) disposal: Disposal,
    /// How long a rebalance waits for open batches.
    pub(crate) patience: Duration,
    /// How often new topics are looked for.
    pub(crate) topics_interval: Duration,
}

/// Makes an event of a record; `Err` says what is wrong with it.
pub(crate) type Decode =
    Box<dyn Fn(&rdkafka::message::BorrowedMessage<'_>) -> Result<Event, String> + Send>;

/// A member of a group, with its threads.
pub(crate) struct Intake {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// What the threads and the batches share.
struct Shared {
    name: Arc<str>,
    /// The consumer, as long as it is there. It holds this in turn.
    member: OnceLock<Weak<GroupMember>>,
    /// Its `isolation.level`.
    reads_committed: AtomicBool,
    state: flume_core::StateHandle,
    pool: Mutex<Inner>,
    /// Something came in, for takes that wait.
    arrived: Notify,
    /// A batch was settled or came back, room became free, a commit is due, or the end has come: for the threads.
    changed: Condvar,
    commits: watch::Sender<Commits>,
    /// Held during a commit, so that an older one cannot overtake a newer.
    committing: Mutex<()>,
    metrics: IntakeMetrics,
}

struct Inner {
    pool: Pool,
    /// How many events a waiting take wants before it is woken.
    wake_at: usize,
    /// How often partitions were assigned: whoever paused all partitions learns by it of new ones.
    assignments: u64,
    /// The number of the next commit.
    next_commit: u64,
    /// The latest commit that somebody waits for. It is made even if nothing is left to commit, or they would wait for ever.
    wanted: u64,
    closing: bool,
    /// Why nothing can be read any more.
    broken: Option<String>,
}

/// How far the commits have come.
#[derive(Clone, Debug, Default)]
struct Commits {
    /// The number of the last that ended.
    ended: u64,
    /// The number of the last that succeeded.
    succeeded: u64,
    /// What the last one that failed said.
    error: String,
    closed: bool,
}

struct IntakeMetrics {
    commit_millis: Counter,
    commit_time: Histogram,
    commit_failures: Counter,
    rebalances: Counter,
    repeated: Counter,
    dropped: Counter,
    dead_letters: Counter,
    pauses: Counter,
    partitions: Gauge,
}

/// Events that were taken and are not settled. Dropped, they go back.
pub(crate) struct IntakeBatch {
    shared: Arc<Shared>,
    events: Vec<Event>,
    positions: Vec<Position>,
}

/// Why nothing is read or committed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IntakeError {
    #[error("failed to set up the consumer")]
    Client(#[from] rdkafka::error::KafkaError),
    #[error("failed to start a thread")]
    Thread(#[from] std::io::Error),
    #[error("failed to read: {0}")]
    Broken(String),
    #[error("failed to commit offsets: {0}")]
    Commit(String),
    #[error(
        "{0} of the events were delivered after their partitions had gone to another member, which delivers them again"
    )]
    Late(usize),
    #[error("the consumer is closed")]
    Closed,
}

impl Intake {
    /// Joins the group.
    pub(crate) async fn open(
        subscription: Subscription,
        cx: &Context,
    ) -> Result<Intake, IntakeError> {
        let shared = Arc::new(Shared::new(cx));
        let watch = ClientWatch::new(&cx.metrics, &cx.state);
        let (opened, outcome) = oneshot::channel();
        let pump = pump::spawn(subscription, watch, shared.clone(), opened)?;
        let threads = Mutex::new(vec![pump]);
        let intake = Intake { shared, threads };
        let consumer = outcome.await.map_err(|_| IntakeError::Closed)??;
        let committer = committer::spawn(consumer, intake.shared.clone())?;
        intake.threads.lock().push(committer);
        Ok(intake)
    }

    /// Waits at most `wait` for the first event, then at most `want.linger` for more. Empty: nothing came.
    pub(crate) async fn take(
        &self,
        want: Want,
        wait: Duration,
    ) -> Result<IntakeBatch, IntakeError> {
        let first_by = Instant::now().checked_add(wait);
        let mut full_by = None;
        loop {
            // Made before the look, so that what comes between look and wait is not missed.
            let arrived = self.shared.arrived.notified();
            {
                let mut inner = self.shared.pool.lock();
                if inner.closing {
                    return Err(IntakeError::Closed);
                }
                let there = inner.pool.len();
                if there == 0
                    && let Some(reason) = &inner.broken
                {
                    return Err(IntakeError::Broken(reason.clone()));
                }
                if there > 0 && full_by.is_none() {
                    full_by = Instant::now().checked_add(want.linger);
                }
                let deadline = if there > 0 { full_by } else { first_by };
                let late = deadline.is_some_and(|deadline| deadline <= Instant::now());
                // A pool that is full holds a batch that will not become larger.
                let full = there >= want.events
                    || there >= MAX_POOL_EVENTS
                    || inner.pool.bytes() >= MAX_POOL_BYTES;
                if late || full {
                    return Ok(self.cut(&mut inner, want));
                }
                let enough = if there > 0 { want.events } else { 1 };
                inner.wake_at = inner.wake_at.min(enough.min(MAX_POOL_EVENTS));
            }
            let deadline = if full_by.is_some() { full_by } else { first_by };
            match deadline {
                Some(deadline) => {
                    let _ = tokio::time::timeout_at(deadline.into(), arrived).await;
                }
                None => arrived.await,
            }
        }
    }

    fn cut(&self, inner: &mut Inner, want: Want) -> IntakeBatch {
        let (events, positions) = inner.pool.take(want);
        self.shared.changed.notify_all();
        // Another take may wait for what is left.
        if inner.pool.len() > 0 {
            self.shared.arrived.notify_one();
        }
        IntakeBatch {
            shared: self.shared.clone(),
            events,
            positions,
        }
    }

    /// Events and bytes that wait, and events in open batches.
    pub(crate) fn held(&self) -> (usize, usize, usize) {
        let inner = self.shared.pool.lock();
        (inner.pool.len(), inner.pool.bytes(), inner.pool.in_flight())
    }

    /// Commits what was delivered and leaves the group. Returns when the threads have ended.
    pub(crate) async fn close(&self) {
        self.begin_to_close();
        let threads = std::mem::take(&mut *self.threads.lock());
        let joined = tokio::task::spawn_blocking(move || {
            for thread in threads {
                // What a panic says is in the log.
                let _ = thread.join();
            }
        });
        let _ = joined.await;
    }

    fn begin_to_close(&self) {
        self.shared.pool.lock().closing = true;
        self.shared.changed.notify_all();
        self.shared.arrived.notify_waiters();
    }
}

/// The threads end by themselves, soon after.
impl Drop for Intake {
    fn drop(&mut self) {
        self.begin_to_close();
    }
}

impl IntakeBatch {
    pub(crate) fn events(&self) -> &[Event] {
        &self.events
    }

    /// Moves the events at `indices` (ascending) into a batch of their own.
    pub(crate) fn split_off(&mut self, indices: &[usize]) -> IntakeBatch {
        let mut wanted = indices.iter().copied().peekable();
        let mut moved = IntakeBatch {
            shared: self.shared.clone(),
            events: vec![],
            positions: vec![],
        };
        let mut kept = Vec::with_capacity(self.positions.len());
        let mut kept_events = Vec::with_capacity(self.events.len());
        let pairs = std::mem::take(&mut self.events)
            .into_iter()
            .zip(std::mem::take(&mut self.positions));
        for (place, (event, position)) in pairs.enumerate() {
            if wanted.next_if_eq(&place).is_some() {
                moved.events.push(event);
                moved.positions.push(position);
            } else {
                kept_events.push(event);
                kept.push(position);
            }
        }
        self.events = kept_events;
        self.positions = kept;
        moved
    }

    /// The events were delivered. Asks for the commit before it returns; the future says what became of it. What is
    /// delivered behind a batch that is still open is committed with that one.
    pub(crate) fn commit(mut self) -> impl Future<Output = Result<(), IntakeError>> + Send + use<> {
        let positions = std::mem::take(&mut self.positions);
        let shared = self.shared.clone();
        let mut commits = shared.commits.subscribe();
        let (outcome, due, needed) = {
            let mut inner = shared.pool.lock();
            let outcome = inner.pool.settle(&positions);
            let due = inner.pool.is_commit_due();
            let needed = inner.next_commit;
            if due {
                inner.wanted = needed;
            }
            (outcome, due, needed)
        };
        shared.changed.notify_all();
        async move {
            outcome.map_err(|late| {
                shared.metrics.repeated.add(late);
                IntakeError::Late(late)
            })?;
            if !due {
                return Ok(());
            }
            let ended = commits
                .wait_for(|commits| commits.ended >= needed || commits.closed)
                .await;
            let commits = ended.map_err(|_| IntakeError::Closed)?;
            if commits.succeeded >= needed {
                Ok(())
            } else {
                Err(IntakeError::Commit(commits.error.clone()))
            }
        }
    }
}

impl Drop for IntakeBatch {
    fn drop(&mut self) {
        if self.positions.is_empty() {
            return;
        }
        let events = std::mem::take(&mut self.events);
        self.shared
            .pool
            .lock()
            .pool
            .give_back(events, &self.positions);
        self.shared.changed.notify_all();
        self.shared.arrived.notify_one();
    }
}

impl Shared {
    fn new(cx: &Context) -> Self {
        Shared {
            name: cx.name.clone(),
            member: OnceLock::new(),
            reads_committed: AtomicBool::new(false),
            state: cx.state.clone(),
            pool: Mutex::new(Inner {
                pool: Pool::default(),
                wake_at: usize::MAX,
                assignments: 0,
                next_commit: 1,
                wanted: 0,
                closing: false,
                broken: None,
            }),
            arrived: Notify::new(),
            changed: Condvar::new(),
            commits: watch::Sender::default(),
            committing: Mutex::default(),
            metrics: IntakeMetrics::new(&cx.metrics),
        }
    }
}

impl IntakeMetrics {
    fn new(metrics: &Metrics) -> Self {
        IntakeMetrics {
            commit_millis: metrics.counter("KafkaCommitTimer"),
            commit_time: metrics.histogram("KafkaCommitTime"),
            commit_failures: metrics.counter("KafkaCommitFailureCount"),
            rebalances: metrics.counter("KafkaRebalanceCount"),
            repeated: metrics.counter("KafkaRepeatedCount"),
            dropped: metrics.counter("KafkaBadRecordDropCount"),
            dead_letters: metrics.counter("KafkaDeadLetterCount"),
            pauses: metrics.counter("KafkaPauseCount"),
            partitions: metrics.gauge("KafkaPartitions"),
        }
    }
}

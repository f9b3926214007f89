//! A store that is open: its threads, and the ways in and out.

use std::{
    collections::BTreeSet,
    io,
    path::PathBuf,
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use flume_core::{
    Event, StateHandle,
    metrics::{Counter, Gauge, Metrics},
};
use parking_lot::Mutex;

use crate::{
    chores::Chores,
    disk::Disk,
    encryption::Keys,
    format::BLOCK,
    health::{Health, Trouble},
    inbox::Inbox,
    lock::{DirectoryLock, LockError},
    log::{Batch, Log},
    now_ms,
    pool::Layout,
    queue::{Backlog, Limits, Queue, ReadWanted},
    reader::Reader,
    recovery::{self, OpenError},
    segment::Position,
    takeover::{self, TakeOverError},
    writer::Writer,
};

/// After a failure of the disk nothing is read for so long.
const READ_PAUSE: Duration = Duration::from_millis(500);
/// Bytes that are read from disk at a time.
const READ_BYTES: usize = 4 << 20;

/// How a store is opened.
pub(crate) struct Settings {
    /// Where it is.
    pub(crate) layout: Layout,
    /// How much may be in it.
    pub(crate) limits: Limits,
    /// How long an ack may wait for a put to go with; zero: a commit waits for the disk.
    pub(crate) take_sync: Duration,
    /// A checkpoint is made at least so often, when something has changed.
    pub(crate) checkpoint_interval: Duration,
    /// Whether the last thing is a checkpoint.
    pub(crate) checkpoint_on_close: bool,
    /// With what it is sealed.
    pub(crate) keys: Option<Arc<Keys>>,
}

/// An open store.
pub(crate) struct Engine {
    /// What can be taken.
    pub(crate) queue: Arc<Queue>,
    /// What is to be written.
    pub(crate) inbox: Arc<Inbox>,
    /// How long an ack may wait.
    pub(crate) take_sync: Duration,
    health: Arc<Health>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Dropped after the threads.
    locks: Mutex<Vec<DirectoryLock>>,
}

/// Why there is no store.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// A directory is in use.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// What Java Flume left there cannot be taken over.
    #[error(transparent)]
    TakeOver(#[from] TakeOverError),
    /// It cannot be read.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// No thread can be had.
    #[error("failed to start a thread")]
    Thread(#[from] io::Error),
}

impl Engine {
    /// Locks the directories, recovers what is in them, and starts.
    pub(crate) fn open(
        settings: Settings,
        disk: Arc<dyn Disk>,
        metrics: &Metrics,
        state: StateHandle,
    ) -> Result<Self, StartError> {
        let locks = lock_directories(&settings.layout)?;
        let began = Instant::now();
        let lost_before = takeover::run(&disk, &settings.layout, settings.keys.as_ref())?;
        let (log, recovered) = recovery::open(
            disk.clone(),
            settings.layout.clone(),
            settings.keys.clone(),
            metrics.histogram("SyncTime"),
        )?;
        tracing::info!(
            "{} events in {} segments, opened in {:?}; read behind the checkpoint: {recovered:?}",
            log.events,
            log.kept.len(),
            began.elapsed(),
        );
        let capacity = settings.limits.events as u64;
        if log.events > capacity {
            tracing::warn!(
                "{} events are more than the capacity {capacity}; nothing is put until there are fewer",
                log.events
            );
        }
        let lost = recovered.lost.saturating_add(lost_before);
        let lost = usize::try_from(lost).unwrap_or(usize::MAX);
        metrics.counter("EventLostCount").add(lost);
        let mut engine = Engine {
            queue: Arc::new(queue(&log, settings.limits.clone())),
            inbox: Arc::default(),
            take_sync: settings.take_sync,
            health: Arc::new(Health::new(state, metrics)),
            threads: Mutex::default(),
            locks: Mutex::new(locks),
        };
        engine.start(log, settings, disk, metrics)?;
        Ok(engine)
    }

    /// Starts the threads.
    fn start(
        &mut self,
        log: Log,
        settings: Settings,
        disk: Arc<dyn Disk>,
        metrics: &Metrics,
    ) -> io::Result<()> {
        let queue = self.queue.clone();
        let inbox = self.inbox.clone();
        let health = self.health.clone();
        let chores = Arc::<Chores>::default();
        let pool = log.pool.clone();
        let consumed = log.consumed.clone();
        let writer = Writer::new(
            log,
            inbox.clone(),
            queue.clone(),
            chores.clone(),
            settings.checkpoint_interval,
            metrics,
            health.clone(),
        );
        let last_checkpoint = settings.checkpoint_on_close;
        self.spawn("writer", move || writer.run(last_checkpoint))?;
        let reader = Reader::new(disk.clone(), pool.clone(), settings.keys, consumed);
        let told = inbox.clone();
        self.spawn("keeper", move || chores.run(&*disk, &pool, &told))?;
        let numbers = ReaderNumbers::new(metrics);
        self.spawn("reader", move || {
            read(reader, &queue, &inbox, &numbers, &health)
        })
    }

    fn spawn(&mut self, name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let queue = self.queue.clone();
        let inbox = self.inbox.clone();
        let health = self.health.clone();
        let watched = || {
            let _ending = Ending {
                queue,
                inbox,
                health,
            };
            work();
        };
        let thread = thread::Builder::new()
            .name(format!("file-{name}"))
            .spawn(watched)?;
        self.threads.get_mut().push(thread);
        Ok(())
    }

    /// Writes what is left and lets go of the directories.
    pub(crate) fn close(&self) {
        self.queue.close();
        self.inbox.close();
        for thread in std::mem::take(&mut *self.threads.lock()) {
            let _ = thread.join();
        }
        self.locks.lock().clear();
    }
}

/// Locks every directory of a store, always in the same order.
fn lock_directories(layout: &Layout) -> Result<Vec<DirectoryLock>, LockError> {
    let all = layout.data_dirs.iter().chain([&layout.checkpoint_dir]);
    let directories: BTreeSet<&PathBuf> = all.collect();
    directories
        .into_iter()
        .map(|it| DirectoryLock::acquire(it))
        .collect()
}

/// Nobody may wait for a thread that panicked.
struct Ending {
    queue: Arc<Queue>,
    inbox: Arc<Inbox>,
    health: Arc<Health>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        if thread::panicking() {
            let reason = "one of its threads panicked; it opens again with the agent";
            self.health
                .begins(Trouble::Write, reason.into(), Duration::ZERO);
            self.queue.close();
            self.inbox.close();
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.close();
    }
}

/// The queue of a log that was just opened.
pub(crate) fn queue(log: &Log, limits: Limits) -> Queue {
    let first = log.kept.values().find(|kept| kept.contents.live > 0);
    let backlog = first.map(|kept| Backlog {
        position: Position {
            segment: kept.contents.id,
            offset: BLOCK,
        },
        sequence: kept.segment.header.first_sequence,
    });
    Queue::new(
        limits,
        log.events,
        log.bytes,
        backlog,
        log.end(),
        log.next_sequence,
    )
}

/// A put as it goes to disk.
pub(crate) fn encode(events: &[Event]) -> Batch {
    let bytes: usize = events.iter().map(Event::size).sum();
    let mut body = Vec::with_capacity(bytes + 16 * events.len());
    events
        .iter()
        .for_each(|event| crate::format::encode_event(event, &mut body));
    Batch {
        crc: crc32c::crc32c(&body),
        body,
        count: events.len() as u32,
        bytes: bytes as u64,
        time_ms: now_ms(),
    }
}

pub(crate) struct ReaderNumbers {
    quarantined_bytes: Counter,
    lost_events: Counter,
    errors: Counter,
    open: Gauge,
}

impl ReaderNumbers {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        ReaderNumbers {
            quarantined_bytes: metrics.counter("QuarantinedBytes"),
            lost_events: metrics.counter("EventLostCount"),
            errors: metrics.counter("EventTakeErrorCount"),
            open: metrics.gauge("Open"),
        }
    }
}

fn read(
    mut reader: Reader,
    queue: &Queue,
    inbox: &Inbox,
    numbers: &ReaderNumbers,
    health: &Health,
) {
    let _open = numbers.open.hold();
    while let Some(wanted) = queue.wait_for_reading() {
        match read_once(&mut reader, wanted, READ_BYTES, queue, inbox, numbers) {
            Ok(()) => health.ends(Trouble::Read),
            Err(error) => {
                numbers.errors.add(1);
                health.begins(
                    Trouble::Read,
                    format!("failed to read events: {error}"),
                    READ_PAUSE,
                );
                thread::sleep(READ_PAUSE);
            }
        }
    }
}

/// Reads about `budget` bytes into the queue.
pub(crate) fn read_once(
    reader: &mut Reader,
    wanted: ReadWanted,
    budget: usize,
    queue: &Queue,
    inbox: &Inbox,
    numbers: &ReaderNumbers,
) -> io::Result<()> {
    let (reading, next) = reader.read(wanted, budget)?;
    let lost_events = reading.lost_events as usize;
    let lost_bytes = reading.lost_bytes as usize;
    if reading.quarantined > 0 {
        inbox.quarantined(reading.quarantined);
        numbers
            .quarantined_bytes
            .add(reading.quarantined_bytes as usize);
    }
    if lost_events > 0 {
        numbers.lost_events.add(lost_events);
        // As good as consumed: it is never to be looked for again.
        inbox.ack(
            reading.lost.iter(),
            reading.lost_bytes,
            Duration::ZERO,
            None,
        );
        queue.release(lost_events, lost_bytes);
    }
    queue.stock_read(reading.runs, next, (lost_events, lost_bytes));
    Ok(())
}

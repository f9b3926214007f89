//! `file`: a channel whose events are on disk before a put returns.

use std::{
    num::NonZeroUsize,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use flume_core::{
    BuildError, Channel, ChannelError, ChannelStats, Code, Component, Config, Context, Event,
    EventStore, Room, Settled, StateHandle, Take, Want,
    config::{Ignored, Millis, PositiveOrDefault, Scalar, Seconds},
    metrics::{Gauge, Metrics},
};
use parking_lot::RwLock;
use tokio::sync::oneshot;

use crate::{
    disk::RealDisk,
    encryption::{Encryption, EncryptionConfig},
    engine::{Engine, Settings, encode},
    format::BLOCK,
    inbox::Put,
    pool::Layout,
    queue::{Limits, Taken},
};

/// Bytes of a segment, unless `maxFileSize` is less.
const SEGMENT_BYTES: u64 = 64 << 20;
/// Below this, headers and reserves would be most of a segment.
const LEAST_SEGMENT_BYTES: u64 = 256 << 10;
/// As in Flume.
const LEAST_MINIMUM_FREE: u64 = 1 << 20;
/// A clock counts no further than some hundred billion years.
const LONGEST_WAIT: Duration = Duration::from_secs(1 << 40);
/// Bytes of all events of a put together.
const MOST_BATCH_BYTES: usize = 1 << 30;

/// Holds events on disk: a put returns when they are there for good, and they outlive crashes of the agent and of the
/// machine.
#[derive(Clone, Config)]
pub struct FileConfig {
    /// Most events, including those taken but not yet committed.
    #[prop("capacity", default = 1_000_000)]
    pub(crate) capacity: PositiveOrDefault<NonZeroUsize>,
    /// Most bytes of bodies and headers; unset or 0: no limit.
    #[prop("byteCapacity")]
    pub(crate) byte_capacity: Option<usize>,
    /// Seconds a put waits for room.
    #[prop("keep-alive", default = 3)]
    pub(crate) keep_alive: Seconds,
    #[prop(flatten)]
    pub(crate) store: StoreConfig,
}

/// Where events are kept, and how.
#[derive(Clone, Config)]
#[expect(
    dead_code,
    reason = "ignored properties are declared to be known, not to be read"
)]
pub struct StoreConfig {
    /// Directory for checkpoints.
    #[prop("checkpointDir", default = "~/.flume/file-channel/checkpoint")]
    checkpoint_dir: String,
    /// Directories for events, separated by commas; on separate disks they share the load.
    #[prop("dataDirs", default = "~/.flume/file-channel/data")]
    data_dirs: DirectoryList,
    /// Most events in one put.
    #[prop("transactionCapacity", default = 10_000)]
    pub(crate) transaction_capacity: PositiveOrDefault<NonZeroUsize>,
    /// Most bytes of an event.
    #[prop("maxEventSize", default = 67_108_864)]
    max_event_size: usize,
    /// Longest time until a committed take is on disk, so that it is not repeated after a crash; 0: the commit waits
    /// for the disk, as in Flume.
    #[prop("takeSyncMillis", default = 100)]
    take_sync: Millis,
    /// Most bytes of events that wait in memory, too; the rest waits on disk alone.
    #[prop("cacheBytes", default = 33_554_432)]
    cache_bytes: usize,
    /// Time between checkpoints while something changes; they are made more often when much is written.
    #[prop("checkpointInterval", default = 30_000)]
    checkpoint_interval: PositiveOrDefault<Millis>,
    /// Whether a checkpoint is made when the channel closes.
    #[prop("checkpointOnClose", default = true)]
    checkpoint_on_close: bool,
    /// Most bytes of a file; larger values than 64 MiB count as that.
    #[prop("maxFileSize", default = 1_623_195_647u64)]
    max_file_size: u64,
    /// Bytes that stay free on each disk: with less, no new files are made, and puts are refused when the present ones
    /// are full. Takes go on. At least 1048576.
    #[prop("minimumRequiredSpace", default = 524_288_000u64)]
    minimum_required_space: u64,
    /// Two checkpoints are always kept, in `checkpointDir`.
    #[prop("useDualCheckpoints")]
    use_dual_checkpoints: Ignored,
    /// Two checkpoints are always kept, in `checkpointDir`.
    #[prop("backupCheckpointDir")]
    backup_checkpoint_dir: Ignored,
    /// A checkpoint has a few kilobytes.
    #[prop("compressBackupCheckpoint")]
    compress_backup_checkpoint: Ignored,
    /// There is one way to open a channel, and it reads little.
    #[prop("use-log-replay-v1")]
    use_log_replay_v1: Ignored,
    /// There is one way to open a channel, and it reads little.
    #[prop("use-fast-replay")]
    use_fast_replay: Ignored,
    /// Every put is on disk when it returns; those that come together share the cost.
    #[prop("fsyncPerTransaction")]
    fsync_per_transaction: Ignored,
    /// Every put is on disk when it returns; those that come together share the cost.
    #[prop("fsyncInterval")]
    fsync_interval: Ignored,
    /// Flume has not read it since 1.4.
    #[prop("write-timeout")]
    write_timeout: Ignored,
    /// Flume has not read it since 1.4.
    #[prop("checkpoint-timeout")]
    checkpoint_timeout: Ignored,
    #[prop(flatten)]
    encryption: EncryptionConfig,
}

/// A channel on a store.
pub struct FileChannel {
    plan: Plan,
    metrics: Metrics,
    state: StateHandle,
    closed: Gauge,
    engine: RwLock<Option<Arc<Engine>>>,
}

/// A configuration that was found right.
struct Plan {
    layout: Layout,
    limits: Limits,
    max_event_size: usize,
    take_sync: Duration,
    checkpoint_interval: Duration,
    checkpoint_on_close: bool,
    encryption: Option<Encryption>,
}

impl Component for FileChannel {
    type Config = FileConfig;
    fn build(config: FileConfig, cx: &Context) -> Result<Self, BuildError> {
        let plan = Plan::of(&config)?;
        let metrics = cx.metrics.clone();
        let state = cx.state.clone();
        let closed = cx.metrics.gauge("Closed");
        Ok(FileChannel {
            plan,
            metrics,
            state,
            closed,
            engine: RwLock::new(None),
        })
    }
}

impl Plan {
    fn of(config: &FileConfig) -> Result<Self, BuildError> {
        let limits = config.limits()?;
        let store = &config.store;
        at_most("maxEventSize", store.max_event_size, MOST_BATCH_BYTES)?;
        let interval = store.checkpoint_interval.0.0;
        Ok(Plan {
            layout: store.layout()?,
            limits,
            max_event_size: store.max_event_size,
            take_sync: store.take_sync.0,
            checkpoint_interval: if interval.is_zero() {
                Duration::from_secs(30)
            } else {
                interval
            },
            checkpoint_on_close: store.checkpoint_on_close,
            encryption: store.encryption.build()?,
        })
    }
}

impl FileConfig {
    fn limits(&self) -> Result<Limits, BuildError> {
        let events = self.capacity.0.get();
        let transaction = self.store.transaction_capacity.0.get();
        if transaction > events {
            let text = format!(
                "{transaction} exceeds capacity, which is {events}; if it is not set, it is 10000"
            );
            return Err(BuildError::at("transactionCapacity", text));
        }
        at_most("capacity", events, Room::MAX_EVENTS)?;
        let bytes = self
            .byte_capacity
            .filter(|bytes| (1..=Room::MAX_BYTES).contains(bytes));
        Ok(Limits {
            events,
            bytes,
            transaction,
            keep_alive: self.keep_alive.0.min(LONGEST_WAIT),
            cache_bytes: self.store.cache_bytes,
        })
    }
}

impl StoreConfig {
    fn layout(&self) -> Result<Layout, BuildError> {
        let segment_bytes = self
            .max_file_size
            .clamp(LEAST_SEGMENT_BYTES, SEGMENT_BYTES)
            .next_multiple_of(BLOCK);
        Ok(Layout {
            checkpoint_dir: at_home(&self.checkpoint_dir),
            data_dirs: self.directories()?,
            segment_bytes,
            minimum_free: self.minimum_required_space.max(LEAST_MINIMUM_FREE),
        })
    }

    /// `dataDirs`: at least one, each once.
    fn directories(&self) -> Result<Vec<PathBuf>, BuildError> {
        let refused = |text: String| Err(BuildError::at("dataDirs", text));
        let mut directories = vec![];
        for path in self.data_dirs.0.iter().map(|path| at_home(path)) {
            if directories.contains(&path) {
                return refused(format!("{} is named twice", path.display()));
            }
            directories.push(path);
        }
        if directories.is_empty() {
            return refused("expected at least one directory".into());
        }
        Ok(directories)
    }
}

fn at_most(key: &str, value: usize, most: usize) -> Result<(), BuildError> {
    if value > most {
        return Err(BuildError::at(key, format!("must not exceed {most}")));
    }
    Ok(())
}

/// Directories, separated by commas.
#[derive(Clone, Debug)]
struct DirectoryList(Vec<String>);

impl Scalar for DirectoryList {
    const TYPE: &'static str = "text";

    fn parse(text: &str) -> Result<Self, String> {
        let directories = text.split(',').map(str::trim);
        let directories = directories.filter(|directory| !directory.is_empty());
        Ok(DirectoryList(directories.map(String::from).collect()))
    }

    fn doubt(text: &str) -> Option<(Code, &'static str)> {
        let begins_anew = |(blank, next)| char::is_whitespace(blank) && ['/', '~'].contains(&next);
        let directories = text.split(',').map(str::trim);
        let mut pairs = directories.flat_map(|it| it.chars().zip(it.chars().skip(1)));
        let doubt = "is separated by blanks, which are a part of a directory's name; use commas";
        let blanks = pairs
            .any(begins_anew)
            .then_some((Code::BlankSeparated, doubt));
        blanks.or_else(|| String::doubt(text))
    }
}

/// `~` is the home directory.
fn at_home(path: &str) -> PathBuf {
    match path.strip_prefix("~/").zip(flume_host::home::directory()) {
        Some((rest, home)) => home.join(rest),
        None => Path::new(path).into(),
    }
}

impl FileChannel {
    fn engine(&self) -> Result<Arc<Engine>, ChannelError> {
        self.engine.read().clone().ok_or(ChannelError::Closed)
    }

    /// Refuses what could never be stored.
    fn check(&self, batch: &[Event]) -> Result<(usize, usize), ChannelError> {
        let too_large = |size, limit, unit| Err(ChannelError::TooLarge { size, limit, unit });
        let limits = &self.plan.limits;
        let mut bytes = 0;
        if batch.len() > limits.transaction {
            return too_large(batch.len(), limits.transaction, "events");
        }
        for event in batch {
            let size = event.size();
            if size > self.plan.max_event_size {
                return too_large(size, self.plan.max_event_size, "bytes (maxEventSize)");
            }
            bytes += size;
        }
        let most = limits
            .bytes
            .unwrap_or(MOST_BATCH_BYTES)
            .min(MOST_BATCH_BYTES);
        if bytes > most {
            too_large(bytes, most, "bytes")
        } else {
            Ok((batch.len(), bytes))
        }
    }
}

#[async_trait]
impl Channel for FileChannel {
    async fn open(&self) -> Result<(), ChannelError> {
        self.closed.set(1);
        let plan = &self.plan;
        let keys = plan.encryption.as_ref().map(Encryption::keys).transpose();
        let settings = Settings {
            layout: plan.layout.clone(),
            limits: plan.limits.clone(),
            take_sync: plan.take_sync,
            checkpoint_interval: plan.checkpoint_interval,
            checkpoint_on_close: plan.checkpoint_on_close,
            keys: keys.map_err(storage)?.map(Arc::new),
        };
        let metrics = self.metrics.clone();
        let state = self.state.clone();
        let open = move || Engine::open(settings, Arc::new(RealDisk), &metrics, state);
        let engine = tokio::task::spawn_blocking(open)
            .await
            .map_err(storage)?
            .map_err(storage)?;
        *self.engine.write() = Some(Arc::new(engine));
        self.closed.set(0);
        Ok(())
    }

    async fn put(&self, batch: Vec<Event>) -> Result<(), ChannelError> {
        let deadline = Instant::now() + self.plan.limits.keep_alive;
        let engine = self.engine()?;
        let (events, bytes) = self.check(&batch)?;
        if batch.is_empty() {
            return Ok(());
        }
        let reserved = engine.queue.reserve(events, bytes).await?;
        let (reply, outcome) = oneshot::channel();
        let put = Put {
            batch: encode(&batch),
            events: batch,
            deadline,
            reply,
        };
        if !engine.inbox.put(put) {
            return Err(ChannelError::Closed);
        }
        // The writer has it now, and releases the room if it refuses the put.
        reserved.keep();
        outcome.await.unwrap_or(Err(ChannelError::Closed))
    }

    async fn take(&self, want: Want, wait: Duration) -> Result<Box<dyn Take>, ChannelError> {
        let engine = self.engine()?;
        let mut open = Box::new(Open {
            engine: engine.clone(),
            taken: Taken::default(),
        });
        engine.queue.take(&mut open.taken, want, wait).await?;
        Ok(open)
    }

    fn stats(&self) -> ChannelStats {
        let limits = &self.plan.limits;
        let none = || ChannelStats {
            capacity: limits.events,
            transaction_capacity: limits.transaction,
            ..ChannelStats::default()
        };
        self.engine
            .read()
            .as_ref()
            .map_or_else(none, |engine| engine.queue.stats())
    }

    fn durable(&self) -> bool {
        true
    }

    fn store(&self) -> EventStore {
        let layout = &self.plan.layout;
        EventStore::Directories {
            data: layout.data_dirs.iter().map(|path| real(path)).collect(),
            checkpoint: real(&layout.checkpoint_dir),
        }
    }

    async fn close(&self) -> Result<(), ChannelError> {
        let Some(engine) = self.engine.write().take() else {
            return Ok(());
        };
        self.closed.set(1);
        tokio::task::spawn_blocking(move || engine.close())
            .await
            .map_err(storage)
    }
}

/// The path without symbolic links, as far as it is there.
fn real(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.into());
    let known = path
        .ancestors()
        .find_map(|part| Some((part, part.canonicalize().ok()?)));
    let Some((part, real)) = known else {
        return path;
    };
    match path.strip_prefix(part) {
        Ok(rest) if !rest.as_os_str().is_empty() => real.join(rest),
        _ => real,
    }
}

fn storage(error: impl std::error::Error + Send + Sync + 'static) -> ChannelError {
    ChannelError::Storage(Box::new(error))
}

/// Events on their way out. Dropping it puts them back, also in the middle of a linger.
struct Open {
    engine: Arc<Engine>,
    taken: Taken,
}

impl Take for Open {
    fn events(&self) -> &[Event] {
        &self.taken.events
    }

    fn commit(mut self: Box<Self>) -> Settled {
        let taken = std::mem::take(&mut self.taken);
        if taken.events.is_empty() {
            return Box::pin(std::future::ready(Ok(())));
        }
        let engine = &self.engine;
        let (waiter, outcome) = if engine.take_sync.is_zero() {
            let (waiter, outcome) = oneshot::channel();
            (Some(waiter), Some(outcome))
        } else {
            (None, None)
        };
        let bytes = taken.bytes as u64;
        if !engine
            .inbox
            .ack(ranges(&taken.numbers), bytes, engine.take_sync, waiter)
        {
            engine.queue.put_back(taken);
            return Box::pin(std::future::ready(Err(ChannelError::Closed)));
        }
        engine.queue.forget(taken.events.len(), taken.bytes);
        match outcome {
            None => Box::pin(std::future::ready(Ok(()))),
            Some(outcome) => Box::pin(async { outcome.await.unwrap_or(Err(ChannelError::Closed)) }),
        }
    }

    fn split_off(&mut self, indices: &[usize]) -> Box<dyn Take> {
        Box::new(Open {
            engine: self.engine.clone(),
            taken: self.taken.split_off(indices),
        })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if !self.taken.events.is_empty() {
            self.engine.queue.put_back(std::mem::take(&mut self.taken));
        }
    }
}

/// Ascending numbers as ranges.
fn ranges(numbers: &[u64]) -> Vec<Range<u64>> {
    let mut ranges: Vec<Range<u64>> = Vec::with_capacity(1);
    for &number in numbers {
        match ranges.last_mut() {
            Some(last) if last.end == number => last.end += 1,
            _ => ranges.push(number..number + 1),
        }
    }
    ranges
}

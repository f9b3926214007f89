//! `spillablememory`: a queue in memory, and a file channel for what does not fit into it.
//!
//! Events leave in the order in which their puts were acknowledged, wherever they went. That order is a list of runs:
//! so many events from memory, so many from disk, and so on. Both parts are queues themselves, so a count is enough.

use std::{
    collections::VecDeque,
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use async_trait::async_trait;
use flume_core::{
    BuildError, ByteLimit, Channel, ChannelError, ChannelStats, Component, Config, Context, Event,
    EventStore, MemoryQueue, QueueLimits, Room, Settled, Stock, Take, TakeProgress, Want,
    config::{Ignored, OrDefault, PositiveOrDefault, Seconds},
};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::file::{FileChannel, FileConfig, StoreConfig};

/// A take waits so long for events that are known to be on disk.
const READ_TIMEOUT: Duration = Duration::from_secs(1);

/// Holds events in memory, and on disk what does not fit there. What is in memory is lost when the agent is killed; a
/// stop writes it to disk.
#[derive(Clone, Config)]
#[expect(
    dead_code,
    reason = "ignored properties are declared to be known, not to be read"
)]
pub(crate) struct SpillableConfig {
    /// Most events in memory; 0: all go to disk.
    #[prop("memoryCapacity", default = 10_000)]
    memory_capacity: OrDefault<usize>,
    /// Most events on disk; 0: none go there, and the channel is one in memory.
    #[prop("overflowCapacity", default = 100_000_000)]
    overflow_capacity: OrDefault<usize>,
    /// Seconds a put waits for room in memory before it goes to disk. Once it did, no put waits until
    /// `overflowDeactivationThreshold` of memory is free again.
    #[prop("overflowTimeout", default = 3)]
    overflow_timeout: OrDefault<Seconds>,
    /// Percentage of `memoryCapacity`.
    #[prop("overflowDeactivationThreshold", default = 5)]
    overflow_deactivation_threshold: OrDefault<usize>,
    #[prop(flatten)]
    bytes: ByteLimit,
    /// Bytes are counted, not estimated.
    #[prop("avgEventSize")]
    avg_event_size: Ignored,
    /// `memoryCapacity` and `overflowCapacity` say it.
    #[prop("capacity")]
    capacity: Ignored,
    /// `overflowTimeout` says it.
    #[prop("keep-alive")]
    keep_alive: Ignored,
    #[prop(flatten)]
    store: StoreConfig,
}

/// Memory first, disk for the rest.
pub(crate) struct SpillableChannel(Arc<SharedSpill>);

/// What the channel is made of; at least one of memory and disk.
pub(crate) struct SpillParts {
    /// The queue in memory, and how many events fit into it.
    pub(crate) memory: Option<(MemoryQueue, usize)>,
    /// What does not fit into memory goes here. Its own capacity leaves room for what is in memory, which a stop
    /// puts there.
    pub(crate) disk: Option<Box<dyn Channel>>,
    /// Most events on disk while the channel is open.
    pub(crate) disk_events: usize,
    /// Most events in one put.
    pub(crate) transaction: usize,
    /// How long a put waits for room in memory before it goes to disk.
    pub(crate) patience: Duration,
    /// Once puts went to disk, they wait for memory again as soon as so many events fit into it.
    pub(crate) calm: usize,
}

struct SharedSpill {
    parts: SpillParts,
    /// Whether puts go to disk without waiting for memory.
    spilling: AtomicBool,
    order: Mutex<DepartureOrder>,
    stock: Stock,
}

/// In what order events leave. A run is a promise that the events are in their part, so events come first and the run
/// after them, and a run goes first and its events after it.
#[derive(Default)]
struct DepartureOrder {
    runs: VecDeque<DepartureRun>,
    /// Whether the disk is there. Before that nothing is accepted: a stop could not save it.
    open: bool,
    closed: bool,
}

/// Events that leave one after the other from one part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct DepartureRun {
    part: SpillPart,
    events: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SpillPart {
    Memory,
    Disk,
}

/// A run that a take is about to fetch. What it does not fetch returns to the front when this is dropped.
struct RunClaim<'c> {
    shared: &'c SharedSpill,
    run: DepartureRun,
}

/// What a take sees at the front.
enum FrontRun<'c> {
    Nothing,
    /// Less than wanted, and more may come.
    Few,
    Claimed(RunClaim<'c>),
}

/// A take from one part. Dropped, its events return there, and their run to the front.
struct SpillTake {
    shared: Arc<SharedSpill>,
    part: SpillPart,
    take: Option<Box<dyn Take>>,
}

impl Component for SpillableChannel {
    type Config = SpillableConfig;
    fn build(config: SpillableConfig, cx: &Context) -> Result<Self, BuildError> {
        let events = config.memory_capacity.0;
        let disk_events = config.overflow_capacity.0;
        let max = Room::MAX_EVENTS;
        for (key, value) in [
            ("memoryCapacity", events),
            ("overflowCapacity", disk_events),
        ] {
            if value > max / 2 {
                return Err(BuildError::at(key, format!("must not exceed {}", max / 2)));
            }
        }
        let Some(capacity) = NonZeroUsize::new(events + disk_events) else {
            return Err(BuildError::at(
                "overflowCapacity",
                "must not be 0 when memoryCapacity is 0",
            ));
        };
        let mut store = config.store;
        let patience = config.overflow_timeout.0.0;
        let bytes = config.bytes;
        // No more would ever fit.
        store.transaction_capacity.0 = store.transaction_capacity.0.min(capacity);
        let transaction = store.transaction_capacity.0.get();
        let limits = QueueLimits {
            events,
            transaction: events.min(transaction),
            keep_alive: patience,
            bytes,
        };
        let queue = MemoryQueue::new(limits)?;
        let disk = || {
            // A put that has waited for memory does not wait again. The capacity has room for what is in memory, too,
            // because a stop moves that to disk.
            let keep_alive = Seconds(Duration::ZERO);
            let capacity = PositiveOrDefault(capacity);
            FileChannel::build(
                FileConfig {
                    capacity,
                    byte_capacity: None,
                    keep_alive,
                    store,
                },
                cx,
            )
        };
        let disk = if disk_events == 0 {
            None
        } else {
            Some(Box::new(disk()?) as Box<dyn Channel>)
        };
        let calm = (events * config.overflow_deactivation_threshold.0.min(100))
            .div_ceil(100)
            .max(1);
        let memory = (events > 0).then_some((queue, events));
        Ok(SpillableChannel::new(SpillParts {
            memory,
            disk,
            disk_events,
            transaction,
            patience,
            calm,
        }))
    }
}

impl SpillableChannel {
    pub(crate) fn new(parts: SpillParts) -> Self {
        let order = DepartureOrder {
            open: parts.disk.is_none(),
            ..DepartureOrder::default()
        };
        SpillableChannel(Arc::new(SharedSpill {
            parts,
            spilling: AtomicBool::new(false),
            order: Mutex::new(order),
            stock: Stock::default(),
        }))
    }
}

#[async_trait]
impl Channel for SpillableChannel {
    async fn open(&self) -> Result<(), ChannelError> {
        let Some(disk) = &self.0.parts.disk else {
            return Ok(());
        };
        disk.open().await?;
        self.0.order.lock().open = true;
        self.0.put_back(DepartureRun {
            part: SpillPart::Disk,
            events: disk.stats().events,
        });
        Ok(())
    }

    async fn put(&self, batch: Vec<Event>) -> Result<(), ChannelError> {
        let size = batch.len();
        let limit = self.0.parts.transaction;
        if size > limit {
            return Err(ChannelError::TooLarge {
                size,
                limit,
                unit: "events",
            });
        }
        match self.0.put_into_memory(batch).await? {
            None => Ok(()),
            Some(batch) => {
                // A task, because a put that is given up may still reach the disk, and must then be known here.
                let spilled = tokio::spawn(self.0.clone().spill(batch)).await;
                spilled.unwrap_or_else(|panic| Err(ChannelError::Storage(panic.into())))
            }
        }
    }

    async fn take(&self, want: Want, wait: Duration) -> Result<Box<dyn Take>, ChannelError> {
        let until = Instant::now() + wait;
        let want = Want {
            events: want.events.max(1),
            ..want
        };
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let Some(mut claim) = self.0.claim(want, left).await? else {
                if left.is_zero() {
                    return Ok(Box::new(EmptyTake));
                }
                continue;
            };
            let part = claim.run.part;
            let take = self.0.fetch(claim.run, want).await?;
            let fetched = take.events().len();
            claim.run.events = claim.run.events.saturating_sub(fetched);
            drop(claim);
            if fetched > 0 {
                return Ok(Box::new(SpillTake {
                    shared: self.0.clone(),
                    part,
                    take: Some(take),
                }));
            }
            let forgot = self.0.forget_what_is_gone(part);
            if !forgot && Instant::now() >= until {
                return Ok(Box::new(EmptyTake));
            }
        }
    }

    fn stats(&self) -> ChannelStats {
        let parts = &self.0.parts;
        let memory = self.0.stats_of(SpillPart::Memory);
        let disk = self.0.stats_of(SpillPart::Disk);
        let front = self.0.order.lock().runs.front().map(|run| run.part);
        ChannelStats {
            events: memory.events + disk.events,
            bytes: memory.bytes + disk.bytes,
            in_flight: memory.in_flight + disk.in_flight,
            capacity: memory.capacity + parts.disk_events,
            transaction_capacity: parts.transaction,
            oldest: match front {
                Some(SpillPart::Memory) => memory.oldest,
                Some(SpillPart::Disk) => disk.oldest,
                None => None,
            },
        }
    }

    /// With a disk it is: what memory holds goes there when the channel is closed.
    fn durable(&self) -> bool {
        self.0.parts.disk.is_some()
    }

    fn store(&self) -> EventStore {
        let disk = self.0.parts.disk.as_ref();
        disk.map_or(EventStore::Memory, |disk| disk.store())
    }

    /// A sink that does not come back keeps what it took from memory; and once the channel is closed, nothing moves to
    /// disk any more.
    fn volatile_events(&self) -> usize {
        let memory = self.0.stats_of(SpillPart::Memory);
        if self.durable() && !self.0.order.lock().closed {
            memory.in_flight
        } else {
            memory.events + memory.in_flight
        }
    }

    async fn save(&self) -> Result<(), ChannelError> {
        self.0.save_memory().await
    }

    async fn close(&self) -> Result<(), ChannelError> {
        self.0.order.lock().closed = true;
        self.0.stock.close();
        let saved = self.0.save_memory().await;
        if let Some((memory, _)) = &self.0.parts.memory {
            memory.close();
        }
        if let Some(disk) = &self.0.parts.disk {
            disk.close().await?;
        }
        saved
    }
}

impl SharedSpill {
    /// Puts the batch into memory, or gives it back if there is no room and there is a disk.
    async fn put_into_memory(&self, batch: Vec<Event>) -> Result<Option<Vec<Event>>, ChannelError> {
        let spills = self.parts.disk.is_some();
        if !self.order.lock().open {
            return Err(ChannelError::Closed);
        }
        let Some((memory, capacity)) = &self.parts.memory else {
            return Ok(Some(batch));
        };
        if spills && batch.len() > *capacity {
            return Ok(Some(batch));
        }
        let hurried = spills && self.spilling.load(Relaxed);
        let patience = if hurried {
            Duration::ZERO
        } else {
            self.parts.patience
        };
        let waits = || self.stock.end_lingering();
        let reserved = match memory.reserve(&batch, patience, waits).await {
            Ok(reserved) => reserved,
            Err(ChannelError::Full { .. } | ChannelError::TooLarge { .. }) if spills => {
                return Ok(Some(batch));
            }
            Err(error) => return Err(error),
        };
        let events = batch.len();
        let mut order = self.order.lock();
        if order.closed {
            return Err(ChannelError::Closed);
        }
        memory.store(reserved, batch)?;
        order.push(DepartureRun {
            part: SpillPart::Memory,
            events,
        });
        self.stock.count(order.runs.len());
        drop(order);
        self.stock.announce();
        Ok(None)
    }

    async fn spill(self: Arc<Self>, batch: Vec<Event>) -> Result<(), ChannelError> {
        let wanted = batch.len();
        let full = ChannelError::Full { wanted };
        let Some(disk) = &self.parts.disk else {
            return Err(full);
        };
        if self.order.lock().closed {
            return Err(ChannelError::Closed);
        }
        let stats = disk.stats();
        if stats.events + stats.in_flight + wanted > self.parts.disk_events {
            return Err(full);
        }
        self.spilling.store(true, Relaxed);
        disk.put(batch).await?;
        let mut order = self.order.lock();
        order.push(DepartureRun {
            part: SpillPart::Disk,
            events: wanted,
        });
        self.stock.count(order.runs.len());
        drop(order);
        self.stock.announce();
        Ok(())
    }

    /// Waits for events, and then for more within the linger. `None`: there were none in time, or another take was
    /// faster.
    async fn claim(
        &self,
        want: Want,
        wait: Duration,
    ) -> Result<Option<RunClaim<'_>>, ChannelError> {
        let mut claimed = None;
        let look = || {
            Ok(match self.look(want, false)? {
                FrontRun::Nothing => TakeProgress::Nothing,
                FrontRun::Few => TakeProgress::Some,
                FrontRun::Claimed(claim) => {
                    claimed = Some(claim);
                    TakeProgress::Enough
                }
            })
        };
        self.stock.fill(want, wait, |wait| wait, look).await?;
        if claimed.is_some() {
            return Ok(claimed);
        }
        match self.look(want, true)? {
            FrontRun::Claimed(claim) => Ok(Some(claim)),
            FrontRun::Nothing | FrontRun::Few => Ok(None),
        }
    }

    /// Claims what is at the front if it is enough, or if nothing more can join it, or if it is too late to wait.
    fn look(&self, want: Want, late: bool) -> Result<FrontRun<'_>, ChannelError> {
        let mut order = self.order.lock();
        if order.closed {
            return Err(ChannelError::Closed);
        }
        let Some(front) = order.runs.front() else {
            return Ok(FrontRun::Nothing);
        };
        let enough = front.events >= want.events || order.runs.len() > 1 || self.memory_is_full();
        if !enough && !late {
            return Ok(FrontRun::Few);
        }
        let Some(run) = order.claim(want.events) else {
            return Ok(FrontRun::Nothing);
        };
        self.stock.count(order.runs.len());
        let left_behind = !order.runs.is_empty();
        drop(order);
        if left_behind {
            self.stock.announce();
        }
        Ok(FrontRun::Claimed(RunClaim { shared: self, run }))
    }

    async fn fetch(&self, run: DepartureRun, want: Want) -> Result<Box<dyn Take>, ChannelError> {
        let want = Want {
            events: run.events,
            bytes: want.bytes,
            linger: Duration::ZERO,
        };
        match (run.part, &self.parts.memory, &self.parts.disk) {
            (SpillPart::Memory, Some((memory, _)), _) => memory.take(want, Duration::ZERO).await,
            (SpillPart::Disk, _, Some(disk)) => disk.take(want, READ_TIMEOUT).await,
            _ => Ok(Box::new(EmptyTake)),
        }
    }

    fn put_back(&self, run: DepartureRun) {
        if run.events > 0 {
            let mut order = self.order.lock();
            order.unclaim(run);
            self.stock.count(order.runs.len());
            drop(order);
            self.stock.announce();
        }
    }

    /// A corrupt frame takes events away that were counted, and a save moves them from memory to disk. The runs of a
    /// part in which nothing is left must not hold up the others. Whether there were any.
    fn forget_what_is_gone(&self, part: SpillPart) -> bool {
        let mut order = self.order.lock();
        let before = order.runs.len();
        if self.stats_of(part).events == 0 {
            order.runs.retain(|run| run.part != part);
        }
        self.stock.count(order.runs.len());
        order.runs.len() < before
    }

    fn stats_of(&self, part: SpillPart) -> ChannelStats {
        match part {
            SpillPart::Memory => self.parts.memory.as_ref().map(|(memory, _)| memory.stats()),
            SpillPart::Disk => self.parts.disk.as_ref().map(|disk| disk.stats()),
        }
        .unwrap_or_default()
    }

    /// It is also full while a put waits, because that put holds what room there is.
    fn memory_is_full(&self) -> bool {
        self.parts
            .memory
            .as_ref()
            .is_some_and(|(memory, _)| memory.free_events() == 0)
    }

    fn calm_down(&self) {
        let free = self
            .parts
            .memory
            .as_ref()
            .map_or(0, |(memory, _)| memory.free_events());
        if free >= self.parts.calm {
            self.spilling.store(false, Relaxed);
        }
    }

    /// Moves what is in memory to disk. After an error, what did not move is where it was.
    async fn save_memory(&self) -> Result<(), ChannelError> {
        let (Some((memory, _)), Some(disk)) = (&self.parts.memory, &self.parts.disk) else {
            return Ok(());
        };
        loop {
            let want = Want::events(self.parts.transaction);
            let take = memory.take(want, Duration::ZERO).await?;
            let events = take.events().len();
            if events == 0 {
                return Ok(());
            }
            disk.put(take.events().to_vec()).await?;
            take.commit().await?;
            let mut order = self.order.lock();
            order.remove_memory(events);
            order.push(DepartureRun {
                part: SpillPart::Disk,
                events,
            });
            self.stock.count(order.runs.len());
        }
    }
}

impl DepartureOrder {
    fn push(&mut self, run: DepartureRun) {
        match self.runs.back_mut() {
            Some(last) if last.part == run.part => last.events += run.events,
            _ => self.runs.push_back(run),
        }
    }

    fn unclaim(&mut self, run: DepartureRun) {
        match self.runs.front_mut() {
            Some(first) if first.part == run.part => first.events += run.events,
            _ => self.runs.push_front(run),
        }
    }

    /// At most `max` events of the first run.
    fn claim(&mut self, max: usize) -> Option<DepartureRun> {
        let front = self.runs.front_mut()?;
        let claimed = DepartureRun {
            events: front.events.min(max),
            ..*front
        };
        front.events -= claimed.events;
        if front.events == 0 {
            self.runs.pop_front();
        }
        Some(claimed)
    }

    /// The first so many events of memory are elsewhere now.
    fn remove_memory(&mut self, events: usize) {
        let mut left = events;
        for run in &mut self.runs {
            if run.part == SpillPart::Memory {
                let removed = run.events.min(left);
                run.events -= removed;
                left -= removed;
            }
        }
        self.runs.retain(|run| run.events > 0);
    }
}

impl Drop for RunClaim<'_> {
    fn drop(&mut self) {
        self.shared.put_back(self.run);
    }
}

impl Take for SpillTake {
    fn events(&self) -> &[Event] {
        self.take.as_ref().map_or(&[], |take| take.events())
    }

    fn commit(mut self: Box<Self>) -> Settled {
        let run = DepartureRun {
            part: self.part,
            events: self.events().len(),
        };
        let Some(take) = self.take.take() else {
            return Box::pin(std::future::ready(Ok(())));
        };
        let settled = take.commit();
        let shared = self.shared.clone();
        shared.calm_down();
        Box::pin(async move {
            let settled = settled.await;
            if settled.is_err() {
                shared.put_back(run);
            }
            settled
        })
    }

    fn split_off(&mut self, indices: &[usize]) -> Box<dyn Take> {
        let take = self.take.as_mut().map(|take| take.split_off(indices));
        Box::new(SpillTake {
            shared: self.shared.clone(),
            part: self.part,
            take,
        })
    }
}

impl Drop for SpillTake {
    fn drop(&mut self) {
        let run = DepartureRun {
            part: self.part,
            events: self.events().len(),
        };
        // The events first: a run promises that they are there.
        if self.take.take().is_some() {
            self.shared.put_back(run);
        }
    }
}

/// The take of a channel in which nothing was.
struct EmptyTake;

impl Take for EmptyTake {
    fn events(&self) -> &[Event] {
        &[]
    }

    fn commit(self: Box<Self>) -> Settled {
        Box::pin(std::future::ready(Ok(())))
    }

    fn split_off(&mut self, _: &[usize]) -> Box<dyn Take> {
        Box::new(EmptyTake)
    }
}

#[cfg(test)]
mod tests;

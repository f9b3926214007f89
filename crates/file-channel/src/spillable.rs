//! `spillablememory`: a queue in memory, and a file channel for what does not fit into it.
//!
//! Events leave in the order in which their puts were acknowledged, wherever they went. That order is a list of runs:
//! so many events from memory, so many from disk, and so on. Both parts are queues themselves, so a count is enough.

use std::{
    collections::VecDeque,
    future::pending,
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
    MemoryQueue, QueueLimits, Settled, Take, Want,
    config::{Ignored, OrDefault, Seconds},
};
use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

use crate::file::{FileChannel, FileConfig, StoreConfig};

/// How long events may take from the disk that are known to be there.
const READ_PATIENCE: Duration = Duration::from_secs(1);

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
pub(crate) struct SpillableChannel(Arc<Shared>);

/// What it is made of; at least one of memory and disk.
pub(crate) struct Parts {
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

struct Shared {
    parts: Parts,
    /// Whether puts go to disk without waiting for memory.
    spilling: AtomicBool,
    order: Mutex<Order>,
    /// Wakes one waiting take; whoever leaves events behind calls it.
    stock: Notify,
}

#[derive(Default)]
struct Order {
    runs: VecDeque<Run>,
    closed: bool,
}

/// Events that leave one after the other from one part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    part: Part,
    events: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Memory,
    Disk,
}

/// A run that a take is about to fetch; what it does not fetch returns to the front when this is dropped.
struct Claim<'c> {
    shared: &'c Shared,
    run: Run,
}

/// What a take sees.
enum Look<'c> {
    Nothing,
    /// Less than wanted, and more may come.
    Few,
    Claimed(Claim<'c>),
}

/// A take from one part. Dropped, its events return there, and their run to the front.
struct Open {
    shared: Arc<Shared>,
    part: Part,
    take: Option<Box<dyn Take>>,
}

impl Component for SpillableChannel {
    type Config = SpillableConfig;
    fn build(config: SpillableConfig, cx: &Context) -> Result<Self, BuildError> {
        let events = config.memory_capacity.0;
        let disk_events = config.overflow_capacity.0;
        let most = MemoryQueue::MOST_EVENTS;
        for (key, value) in [
            ("memoryCapacity", events),
            ("overflowCapacity", disk_events),
        ] {
            if value > most / 2 {
                return Err(BuildError::at(key, format!("must not exceed {}", most / 2)));
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
            // A put that waited for memory does not wait again; and a stop moves what is in memory to disk.
            let keep_alive = Seconds(Duration::ZERO);
            let capacity = OrDefault(capacity);
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
        Ok(SpillableChannel::new(Parts {
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
    pub(crate) fn new(parts: Parts) -> Self {
        let order = Mutex::default();
        let stock = Notify::new();
        let spilling = AtomicBool::new(false);
        SpillableChannel(Arc::new(Shared {
            parts,
            spilling,
            order,
            stock,
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
        self.0.put_back(Run {
            part: Part::Disk,
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
                // A task, as a put that is given up may still reach the disk, and must then be known here.
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
            let Some(mut claim) = self.0.claim(want, until).await? else {
                return Ok(Box::new(Nothing));
            };
            let part = claim.run.part;
            let take = self.0.fetch(claim.run, want).await?;
            let fetched = take.events().len();
            claim.run.events = claim.run.events.saturating_sub(fetched);
            drop(claim);
            if fetched > 0 {
                return Ok(Box::new(Open {
                    shared: self.0.clone(),
                    part,
                    take: Some(take),
                }));
            }
            self.0.forget_what_the_disk_lost();
        }
    }

    fn stats(&self) -> ChannelStats {
        let parts = &self.0.parts;
        let memory = parts
            .memory
            .as_ref()
            .map(|(memory, _)| memory.stats())
            .unwrap_or_default();
        let disk = parts
            .disk
            .as_ref()
            .map(|disk| disk.stats())
            .unwrap_or_default();
        let front = self.0.order.lock().runs.front().map(|run| run.part);
        ChannelStats {
            events: memory.events + disk.events,
            bytes: memory.bytes + disk.bytes,
            in_flight: memory.in_flight + disk.in_flight,
            capacity: memory.capacity + parts.disk_events,
            transaction_capacity: parts.transaction,
            oldest: match front {
                Some(Part::Memory) => memory.oldest,
                Some(Part::Disk) => disk.oldest,
                None => None,
            },
        }
    }

    /// With a disk it is: what memory holds goes there when the channel is closed.
    fn durable(&self) -> bool {
        self.0.parts.disk.is_some()
    }

    async fn close(&self) -> Result<(), ChannelError> {
        self.0.order.lock().closed = true;
        self.0.stock.notify_waiters();
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

impl Shared {
    /// Puts the batch into memory, or gives it back if there is no room and there is a disk.
    async fn put_into_memory(&self, batch: Vec<Event>) -> Result<Option<Vec<Event>>, ChannelError> {
        let spills = self.parts.disk.is_some();
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
        // A put that has to wait ends all lingering: what the takes linger for cannot come.
        let end_lingering = async {
            self.stock.notify_waiters();
            pending().await
        };
        let reserved = tokio::select! {
            biased;
            reserved = memory.reserve(&batch, patience) => reserved,
            never = end_lingering => never,
        };
        let room = match reserved {
            Ok(room) => room,
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
        room.store(batch)?;
        order.push(Run {
            part: Part::Memory,
            events,
        });
        drop(order);
        self.stock.notify_one();
        Ok(None)
    }

    async fn spill(self: Arc<Self>, batch: Vec<Event>) -> Result<(), ChannelError> {
        let (wanted, full) = (
            batch.len(),
            ChannelError::Full {
                wanted: batch.len(),
            },
        );
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
        self.order.lock().push(Run {
            part: Part::Disk,
            events: wanted,
        });
        self.stock.notify_one();
        Ok(())
    }

    /// Waits for events, and then for more within the linger; `None`: there were none in time.
    async fn claim(&self, want: Want, until: Instant) -> Result<Option<Claim<'_>>, ChannelError> {
        let mut linger = None;
        loop {
            // Made before the look, so that nothing is missed between look and wait.
            let stock = self.stock.notified();
            let late = want.linger.is_zero() || linger.is_some_and(|end| Instant::now() >= end);
            match self.look(want, late)? {
                Look::Claimed(claim) => return Ok(Some(claim)),
                Look::Few => drop(linger.get_or_insert_with(|| Instant::now() + want.linger)),
                Look::Nothing => linger = None,
            }
            let woken = timeout_at(linger.unwrap_or(until), stock).await.is_ok();
            if !woken && linger.is_none() {
                return Ok(None);
            }
        }
    }

    /// Claims what is at the front if it is enough, or if nothing more can join it, or if it is too late to wait.
    fn look(&self, want: Want, late: bool) -> Result<Look<'_>, ChannelError> {
        let mut order = self.order.lock();
        if order.closed {
            return Err(ChannelError::Closed);
        }
        let Some(front) = order.runs.front() else {
            return Ok(Look::Nothing);
        };
        let enough = front.events >= want.events || order.runs.len() > 1 || self.no_room();
        if !enough && !late {
            return Ok(Look::Few);
        }
        let Some(run) = order.claim(want.events) else {
            return Ok(Look::Nothing);
        };
        let left = !order.runs.is_empty();
        drop(order);
        if left {
            self.stock.notify_one();
        }
        Ok(Look::Claimed(Claim { shared: self, run }))
    }

    async fn fetch(&self, run: Run, want: Want) -> Result<Box<dyn Take>, ChannelError> {
        let want = Want {
            events: run.events,
            bytes: want.bytes,
            linger: Duration::ZERO,
        };
        match (run.part, &self.parts.memory, &self.parts.disk) {
            (Part::Memory, Some((memory, _)), _) => memory.take(want, Duration::ZERO).await,
            (Part::Disk, _, Some(disk)) => disk.take(want, READ_PATIENCE).await,
            _ => Ok(Box::new(Nothing)),
        }
    }

    fn put_back(&self, run: Run) {
        if run.events > 0 {
            self.order.lock().unclaim(run);
            self.stock.notify_one();
        }
    }

    /// A corrupt frame takes events away that were counted: a run whose events will never come must not hold up the
    /// others.
    fn forget_what_the_disk_lost(&self) {
        let mut order = self.order.lock();
        if self
            .parts
            .disk
            .as_ref()
            .is_none_or(|disk| disk.stats().events == 0)
        {
            order.runs.retain(|run| run.part != Part::Disk);
        }
    }

    /// Also while a put waits, as that holds whatever room there is.
    fn no_room(&self) -> bool {
        self.parts
            .memory
            .as_ref()
            .is_some_and(|(memory, _)| memory.free() == 0)
    }

    fn calm_down(&self) {
        let free = self
            .parts
            .memory
            .as_ref()
            .map_or(0, |(memory, _)| memory.free());
        if free >= self.parts.calm {
            self.spilling.store(false, Relaxed);
        }
    }

    /// Moves what is in memory to disk.
    async fn save_memory(&self) -> Result<(), ChannelError> {
        let (Some((memory, _)), Some(disk)) = (&self.parts.memory, &self.parts.disk) else {
            return Ok(());
        };
        loop {
            let take = memory
                .take(Want::events(self.parts.transaction), Duration::ZERO)
                .await?;
            if take.events().is_empty() {
                return Ok(());
            }
            if let Err(error) = disk.put(take.events().to_vec()).await {
                drop(take);
                tracing::error!(
                    "{} events in memory are lost: {error}",
                    memory.stats().events
                );
                return Err(error);
            }
            take.commit().await?;
        }
    }
}

impl Order {
    fn push(&mut self, run: Run) {
        match self.runs.back_mut() {
            Some(last) if last.part == run.part => last.events += run.events,
            _ => self.runs.push_back(run),
        }
    }

    fn unclaim(&mut self, run: Run) {
        match self.runs.front_mut() {
            Some(first) if first.part == run.part => first.events += run.events,
            _ => self.runs.push_front(run),
        }
    }

    /// At most `most` events of the first run.
    fn claim(&mut self, most: usize) -> Option<Run> {
        let front = self.runs.front_mut()?;
        let claimed = Run {
            events: front.events.min(most),
            ..*front
        };
        front.events -= claimed.events;
        if front.events == 0 {
            self.runs.pop_front();
        }
        Some(claimed)
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.shared.put_back(self.run);
    }
}

impl Take for Open {
    fn events(&self) -> &[Event] {
        self.take.as_ref().map_or(&[], |take| take.events())
    }

    fn commit(mut self: Box<Self>) -> Settled {
        let run = Run {
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
        Box::new(Open {
            shared: self.shared.clone(),
            part: self.part,
            take,
        })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let run = Run {
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
struct Nothing;

impl Take for Nothing {
    fn events(&self) -> &[Event] {
        &[]
    }

    fn commit(self: Box<Self>) -> Settled {
        Box::pin(std::future::ready(Ok(())))
    }

    fn split_off(&mut self, _: &[usize]) -> Box<dyn Take> {
        Box::new(Nothing)
    }
}

#[cfg(test)]
mod tests {
    use flume_core::{
        ByteLimit, Config, Context, QueueLimits, Registry,
        props::{Props, Section},
    };
    use flume_testkit::{
        channel_contract::nothing_is_lost_or_doubled,
        parts::{build, events, held},
    };

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// So many events fit into memory, so many onto the disk, which is a memory channel here.
    fn channel(memory: usize, disk: usize) -> SpillableChannel {
        let bytes = ByteLimit::parse(&mut Props::new(&Registry::EMPTY, Section::default()))
            .expect("no limit");
        let limits = QueueLimits {
            events: memory,
            transaction: memory,
            keep_alive: Duration::ZERO,
            bytes,
        };
        let queue = MemoryQueue::new(limits).expect("limits");
        let properties = format!(
            "capacity = {0}\ntransactionCapacity = {0}\nkeep-alive = 0",
            memory + disk
        );
        let cx = Context::new("a1.channels.c1", &[]);
        SpillableChannel::new(Parts {
            memory: (memory > 0).then_some((queue, memory)),
            disk: (disk > 0)
                .then(|| build(&flume_components::REGISTRY, "memory", &properties, &cx)),
            disk_events: disk,
            transaction: 8,
            patience: 3 * SECOND,
            calm: memory.div_ceil(2),
        })
    }

    fn runs(channel: &SpillableChannel) -> String {
        let order = channel.0.order.lock();
        let runs = order
            .runs
            .iter()
            .map(|run| format!("{:?}:{}", run.part, run.events));
        runs.collect::<Vec<_>>().join(" ").to_lowercase()
    }

    async fn take(channel: &SpillableChannel, count: usize) -> Box<dyn Take> {
        channel
            .take(Want::events(count), Duration::ZERO)
            .await
            .expect("a take")
    }

    #[tokio::test(start_paused = true)]
    async fn what_memory_cannot_hold_goes_to_disk_and_all_leave_in_order() {
        let channel = channel(3, 9);
        let start = Instant::now();
        channel.put(events("a b")).await.expect("room in memory");
        channel.put(events("c d")).await.expect("room on disk");
        assert_eq!(start.elapsed(), 3 * SECOND);
        channel.put(events("e")).await.expect("room in memory");
        channel
            .put(events("f g h i"))
            .await
            .expect("more than memory ever holds");
        channel
            .put(events("j"))
            .await
            .expect("room on disk, without a wait");
        assert_eq!(start.elapsed(), 3 * SECOND);
        assert_eq!(runs(&channel), "memory:2 disk:2 memory:1 disk:5");
        let mut seen = vec![];
        for count in [1, 9, 9, 9, 2, 9] {
            let take = take(&channel, count).await;
            seen.push(held(&*take));
            take.commit().await.expect("a commit");
        }
        assert_eq!(seen, ["a", "b", "c d", "e", "f g", "h i j"]);
        assert_eq!((runs(&channel), channel.stats().events), (String::new(), 0));
    }

    #[tokio::test(start_paused = true)]
    async fn puts_wait_for_memory_again_once_enough_of_it_is_free() {
        let channel = channel(4, 9);
        let put = async |words: &str| {
            let start = Instant::now();
            channel.put(events(words)).await.expect("room");
            start.elapsed()
        };
        put("a b c d").await;
        assert_eq!(
            (put("e").await, put("f").await),
            (3 * SECOND, Duration::ZERO)
        );
        take(&channel, 1).await.commit().await.expect("a commit");
        assert_eq!(
            put("g h").await,
            Duration::ZERO,
            "one of four is free, and two would be calm"
        );
        take(&channel, 1).await.commit().await.expect("a commit");
        assert_eq!(put("i j").await, Duration::ZERO, "there is room");
        assert_eq!(put("k").await, 3 * SECOND);
        assert_eq!(runs(&channel), "memory:2 disk:4 memory:2 disk:1");
    }

    #[tokio::test(start_paused = true)]
    async fn both_full_is_full_and_loses_nothing() {
        let channel = channel(2, 2);
        channel.put(events("a b")).await.expect("room");
        channel.put(events("c d")).await.expect("room");
        assert!(matches!(
            channel.put(events("e")).await,
            Err(ChannelError::Full { wanted: 1 })
        ));
        drop(take(&channel, 2).await);
        let mut first = take(&channel, 2).await;
        drop(first.split_off(&[0]));
        drop(first);
        assert_eq!(runs(&channel), "memory:2 disk:2");
        let stats = channel.stats();
        assert_eq!((stats.events, stats.capacity, stats.in_flight), (4, 4, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_take_lingers_for_what_can_still_join_it() {
        let channel = channel(3, 9);
        channel.put(events("a")).await.expect("room");
        let want = Want {
            linger: 5 * SECOND,
            ..Want::events(3)
        };
        let start = Instant::now();
        let (lingering, ()) = tokio::join!(channel.take(want, Duration::ZERO), async {
            tokio::time::sleep(SECOND).await;
            channel.put(events("b")).await.expect("room");
            tokio::time::sleep(SECOND).await;
            channel.put(events("c d e f")).await.expect("room on disk");
        });
        let lingering = lingering.expect("a take");
        assert_eq!(
            (held(&*lingering), start.elapsed()),
            ("a b".into(), 2 * SECOND)
        );
        drop(lingering);
        take(&channel, 9).await.commit().await.expect("a commit");
        take(&channel, 3).await.commit().await.expect("a commit");
        let late = channel.take(want, Duration::ZERO).await.expect("a take");
        assert_eq!((held(&*late), start.elapsed()), ("f".into(), 7 * SECOND));
    }

    #[tokio::test]
    async fn closing_moves_what_is_in_memory_to_disk() {
        let channel = channel(3, 9);
        channel.put(events("a b c d")).await.expect("room on disk");
        channel.put(events("e f")).await.expect("room in memory");
        channel.0.save_memory().await.expect("saved");
        let disk = channel.0.parts.disk.as_ref().expect("a disk");
        let all = disk
            .take(Want::events(9), Duration::ZERO)
            .await
            .expect("a take");
        assert_eq!(held(&*all), "a b c d e f");
    }

    #[tokio::test(start_paused = true)]
    async fn events_that_the_disk_lost_hold_up_nothing() {
        let channel = channel(3, 9);
        channel.put(events("a b c d")).await.expect("room on disk");
        channel.put(events("e f")).await.expect("room in memory");
        let disk = channel.0.parts.disk.as_ref().expect("a disk");
        let lost = disk
            .take(Want::events(3), Duration::ZERO)
            .await
            .expect("a take");
        lost.commit().await.expect("a commit");
        assert_eq!(held(&*take(&channel, 1).await), "d");
        assert_eq!(held(&*take(&channel, 9).await), "d");
        take(&channel, 9).await.commit().await.expect("a commit");
        assert_eq!(held(&*take(&channel, 9).await), "e f");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn nothing_is_lost_or_doubled_between_the_two() {
        nothing_is_lost_or_doubled(&|_| Arc::new(channel(8, 8))).await;
    }
}

//! What puts and takes of a channel of two parts share: the parts, and how events move between them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use flume_core::{
    Channel, ChannelError, ChannelStats, Event, MemoryQueue, Stock, Take, TakeProgress, Want,
};
use parking_lot::Mutex;

use super::{
    order::{DepartureOrder, DepartureRun, SpillPart},
    take::EmptyTake,
};

/// A take waits so long for events that are known to be on disk.
const READ_TIMEOUT: Duration = Duration::from_secs(1);

/// What the channel is made of; at least one of memory and disk.
pub(crate) struct SpillParts {
    /// The queue in memory, and how many events fit into it.
    pub(crate) memory: Option<(MemoryQueue, usize)>,
    /// What does not fit into memory goes here. It always has room for what is in memory, which a stop puts there.
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

pub(super) struct SharedSpill {
    pub(super) parts: SpillParts,
    /// Whether puts go to disk without waiting for memory.
    spilling: AtomicBool,
    pub(super) order: Mutex<DepartureOrder>,
    pub(super) stock: Stock,
}

/// A run that a take is about to fetch. What it does not fetch returns to the front when this is dropped.
pub(super) struct RunClaim<'c> {
    shared: &'c SharedSpill,
    pub(super) run: DepartureRun,
}

/// What a take sees at the front.
enum FrontRun<'c> {
    Nothing,
    /// Less than wanted, and more may come.
    Few,
    Claimed(RunClaim<'c>),
}

impl SharedSpill {
    pub(super) fn new(parts: SpillParts) -> Self {
        let order = DepartureOrder {
            open: parts.disk.is_none(),
            ..DepartureOrder::default()
        };
        SharedSpill {
            parts,
            spilling: AtomicBool::new(false),
            order: Mutex::new(order),
            stock: Stock::default(),
        }
    }

    /// Puts the batch into memory, or gives it back if there is no room and there is a disk.
    pub(super) async fn put_into_memory(
        &self,
        batch: Vec<Event>,
    ) -> Result<Option<Vec<Event>>, ChannelError> {
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

    pub(super) async fn spill(self: Arc<Self>, batch: Vec<Event>) -> Result<(), ChannelError> {
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
    pub(super) async fn claim(
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

    pub(super) async fn fetch(
        &self,
        run: DepartureRun,
        want: Want,
    ) -> Result<Box<dyn Take>, ChannelError> {
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

    pub(super) fn put_back(&self, run: DepartureRun) {
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
    pub(super) fn forget_what_is_gone(&self, part: SpillPart) -> bool {
        let mut order = self.order.lock();
        let before = order.runs.len();
        if self.stats_of(part).events == 0 {
            order.runs.retain(|run| run.part != part);
        }
        self.stock.count(order.runs.len());
        order.runs.len() < before
    }

    pub(super) fn stats_of(&self, part: SpillPart) -> ChannelStats {
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

    pub(super) fn calm_down(&self) {
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
    pub(super) async fn save_memory(&self) -> Result<(), ChannelError> {
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

impl Drop for RunClaim<'_> {
    fn drop(&mut self) {
        self.shared.put_back(self.run);
    }
}

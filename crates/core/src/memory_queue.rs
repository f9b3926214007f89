//! A bounded queue in memory: the channel `memory`, and what `spillablememory` keeps in front of its disk.

use std::{
    collections::VecDeque,
    future::ready,
    sync::Arc,
    time::{Duration, SystemTime},
};

use parking_lot::Mutex;

use crate::{
    BuildError, ChannelError, ChannelStats, Config, Event, Reserved, Room, Settled, Stock, Take,
    TakeProgress, Want, config::OrDefault, extract, room::move_front,
};

/// A limit in bytes beside the one in events.
#[derive(Clone, Config)]
pub struct ByteLimit {
    /// Most bytes of bodies and headers; unset or 0: no limit.
    #[prop("byteCapacity", default = 0)]
    byte_capacity: OrDefault<u64>,
    /// Percentage of `byteCapacity` that bodies leave free for headers.
    #[prop("byteCapacityBufferPercentage", default = 20)]
    byte_capacity_buffer_percentage: OrDefault<u32>,
}

/// How much a queue holds.
pub struct QueueLimits {
    /// Most events, in flight ones included; at most [`Room::MAX_EVENTS`].
    pub events: usize,
    /// Most events in one put.
    pub transaction: usize,
    /// How long a put waits for room.
    pub keep_alive: Duration,
    /// Bytes.
    pub bytes: ByteLimit,
}

/// A queue of batches: a put is one push, a take moves or joins whole batches.
pub struct MemoryQueue(Arc<SharedQueue>);

struct SharedQueue {
    limits: CheckedLimits,
    held: Mutex<HeldBatches>,
    room: Room,
    stock: Stock,
}

struct CheckedLimits {
    events: usize,
    transaction: usize,
    keep_alive: Duration,
    /// Bytes, if they are limited.
    bytes: Option<usize>,
    /// The percentage of `bytes` that bodies may fill.
    body_percentage: u64,
}

#[derive(Default)]
struct HeldBatches {
    batches: VecDeque<MemoryBatch>,
    events: usize,
    bytes: usize,
    in_flight: usize,
    closed: bool,
}

struct MemoryBatch {
    events: VecDeque<Event>,
    bytes: usize,
    put: SystemTime,
}

/// Events on their way out. Dropping it puts them back, also in the middle of a linger.
struct MemoryTake {
    queue: Arc<SharedQueue>,
    events: Vec<Event>,
    bytes: usize,
    oldest: SystemTime,
}

impl MemoryQueue {
    /// An empty queue.
    pub fn new(limits: QueueLimits) -> Result<Self, BuildError> {
        let (bytes, body_percentage) = limits.bytes.checked()?;
        let events = limits.events.min(Room::MAX_EVENTS);
        Ok(MemoryQueue(Arc::new(SharedQueue {
            limits: CheckedLimits {
                events,
                transaction: limits.transaction,
                keep_alive: limits.keep_alive,
                bytes,
                body_percentage,
            },
            held: Mutex::default(),
            room: Room::new(events, bytes),
            stock: Stock::default(),
        })))
    }

    /// See [`Channel::put`](crate::Channel::put).
    pub async fn put(&self, batch: Vec<Event>) -> Result<(), ChannelError> {
        let queue = &self.0;
        let keep_alive = queue.limits.keep_alive;
        let reserved = self
            .reserve(&batch, keep_alive, || queue.stock.end_lingering())
            .await?;
        self.store(reserved, batch)
    }

    /// See [`Channel::take`](crate::Channel::take).
    pub async fn take(&self, want: Want, wait: Duration) -> Result<Box<dyn Take>, ChannelError> {
        let queue = &self.0;
        let mut take = Box::new(MemoryTake {
            queue: queue.clone(),
            events: Vec::new(),
            bytes: 0,
            oldest: SystemTime::UNIX_EPOCH,
        });
        let look = || queue.move_into(&mut take, want);
        queue.stock.fill(want, wait, |wait| wait, look).await?;
        Ok(take)
    }

    /// See [`Channel::stats`](crate::Channel::stats).
    pub fn stats(&self) -> ChannelStats {
        let held = self.0.held.lock();
        ChannelStats {
            events: held.events,
            bytes: held.bytes,
            in_flight: held.in_flight,
            capacity: self.0.limits.events,
            transaction_capacity: self.0.limits.transaction,
            oldest: held.batches.front().map(|batch| batch.put),
        }
    }

    /// See [`Channel::close`](crate::Channel::close).
    pub fn close(&self) {
        self.0.held.lock().closed = true;
        self.0.room.close();
        self.0.stock.close();
    }

    /// Waits for room for a batch at most `patience`; then [`store`](Self::store) puts the batch there. Calls `waits`
    /// once if it has to wait.
    pub async fn reserve(
        &self,
        batch: &[Event],
        patience: Duration,
        waits: impl FnOnce(),
    ) -> Result<Reserved<'_>, ChannelError> {
        let limits = &self.0.limits;
        let bytes = batch.iter().map(|event| limits.charge(event)).sum();
        fits(batch.len(), limits.transaction, "events")?;
        fits(bytes, limits.bytes.unwrap_or(usize::MAX), "bytes")?;
        self.0
            .room
            .reserve(batch.len(), bytes, patience, waits)
            .await
    }

    /// Stores the batch that room was reserved for.
    pub fn store(&self, reserved: Reserved<'_>, batch: Vec<Event>) -> Result<(), ChannelError> {
        let bytes = batch.iter().map(Event::size).sum();
        self.0.store(MemoryBatch {
            events: batch.into(),
            bytes,
            put: SystemTime::now(),
        })?;
        reserved.keep();
        Ok(())
    }

    /// How many events fit now.
    pub fn free_events(&self) -> usize {
        self.0.room.free_events()
    }
}

impl ByteLimit {
    /// The limit, if there is one, and the percentage of it that bodies may fill.
    fn checked(&self) -> Result<(Option<usize>, u64), BuildError> {
        let free = u64::from(self.byte_capacity_buffer_percentage.0);
        if free >= 100 {
            return Err(BuildError::at(
                "byteCapacityBufferPercentage",
                "must be below 100",
            ));
        }
        let bytes = usize::try_from(self.byte_capacity.0).ok();
        let bytes = bytes.filter(|bytes| (1..=Room::MAX_BYTES).contains(bytes));
        Ok((bytes, 100 - free))
    }
}

impl CheckedLimits {
    /// The bytes an event takes up: its size, but at least what leaves the configured share free for headers.
    fn charge(&self, event: &Event) -> usize {
        if self.bytes.is_none() {
            return 0;
        }
        let body = event.body.len() as u64 * 100 / self.body_percentage;
        event
            .size()
            .max(usize::try_from(body).unwrap_or(usize::MAX))
    }
}

impl SharedQueue {
    fn store(&self, batch: MemoryBatch) -> Result<(), ChannelError> {
        let mut held = self.held.lock();
        if held.closed {
            return Err(ChannelError::Closed);
        }
        // Takes wait only while the queue is empty, so only the first batch is news.
        let was_empty = held.batches.is_empty();
        held.events += batch.events.len();
        held.bytes += batch.bytes;
        held.batches.push_back(batch);
        self.stock.count(held.batches.len());
        drop(held);
        if was_empty {
            self.stock.announce();
        }
        Ok(())
    }

    /// Moves what is there into `take`.
    fn move_into(&self, take: &mut MemoryTake, want: Want) -> Result<TakeProgress, ChannelError> {
        let mut held = self.held.lock();
        if held.closed {
            return Err(ChannelError::Closed);
        }
        let full = held.move_into(take, want);
        let left_behind = !held.batches.is_empty();
        self.stock.count(held.batches.len());
        drop(held);
        if left_behind {
            self.stock.announce();
        }
        Ok(if full {
            TakeProgress::Enough
        } else if take.events.is_empty() {
            TakeProgress::Nothing
        } else if self.room.is_full() {
            TakeProgress::Enough
        } else {
            TakeProgress::Some
        })
    }

    fn put_back(&self, batch: MemoryBatch) {
        let mut held = self.held.lock();
        held.in_flight -= batch.events.len();
        held.events += batch.events.len();
        held.bytes += batch.bytes;
        held.batches.push_front(batch);
        self.stock.count(held.batches.len());
        drop(held);
        self.stock.announce();
    }

    fn forget(&self, events: &[Event]) {
        self.held.lock().in_flight -= events.len();
        let bytes = events.iter().map(|event| self.limits.charge(event)).sum();
        self.room.give_back(events.len(), bytes);
    }
}

impl HeldBatches {
    /// Moves events from the head into `take`; true when it holds what is wanted, false when the queue is empty.
    fn move_into(&mut self, take: &mut MemoryTake, want: Want) -> bool {
        while take.events.len() < want.events {
            let Some(head) = self.batches.front_mut() else {
                return false;
            };
            if take.events.is_empty() {
                take.oldest = head.put;
            }
            let (count, bytes) =
                want.fitting(&head.events, head.bytes, take.events.len(), take.bytes);
            self.events -= count;
            self.bytes -= bytes;
            self.in_flight += count;
            take.bytes += bytes;
            head.bytes -= bytes;
            move_front(&mut head.events, count, &mut take.events);
            if !head.events.is_empty() {
                return true;
            }
            self.batches.pop_front();
        }
        true
    }
}

impl Take for MemoryTake {
    fn events(&self) -> &[Event] {
        &self.events
    }

    fn commit(mut self: Box<Self>) -> Settled {
        let events = std::mem::take(&mut self.events);
        self.queue.forget(&events);
        Box::pin(ready(Ok(())))
    }

    fn split_off(&mut self, indices: &[usize]) -> Box<dyn Take> {
        let events = extract(&mut self.events, indices);
        let bytes = events.iter().map(Event::size).sum();
        self.bytes -= bytes;
        let events = events.iter().map(Event::detached).collect();
        Box::new(MemoryTake {
            queue: self.queue.clone(),
            events,
            bytes,
            oldest: self.oldest,
        })
    }
}

impl Drop for MemoryTake {
    fn drop(&mut self) {
        if !self.events.is_empty() {
            let events = std::mem::take(&mut self.events).into();
            self.queue.put_back(MemoryBatch {
                events,
                bytes: self.bytes,
                put: self.oldest,
            });
        }
    }
}

fn fits(size: usize, limit: usize, unit: &'static str) -> Result<(), ChannelError> {
    if size > limit {
        Err(ChannelError::TooLarge { size, limit, unit })
    } else {
        Ok(())
    }
}

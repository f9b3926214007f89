//! A bounded queue in memory: what the channel `memory` is, and what others keep in front of a disk.

use std::{
    collections::VecDeque,
    future::{pending, ready},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use parking_lot::Mutex;
use tokio::{
    sync::{AcquireError, Notify, Semaphore},
    time::{Instant, timeout, timeout_at},
};

use crate::{BuildError, ChannelError, ChannelStats, Config, Event, Settled, Take, Want, extract};

/// A limit in bytes beside the one in events.
#[derive(Clone, Config)]
pub struct ByteLimit {
    /// Most bytes of bodies and headers; unset or 0: no limit.
    #[prop("byteCapacity")]
    byte_capacity: Option<u64>,
    /// Percentage of `byteCapacity` that bodies leave free for headers.
    #[prop("byteCapacityBufferPercentage", default = 20)]
    byte_capacity_buffer_percentage: u64,
}

/// How much a queue holds.
pub struct QueueLimits {
    /// Most events, in flight ones included; at most [`MemoryQueue::MOST_EVENTS`].
    pub events: usize,
    /// Most events in one put.
    pub transaction: usize,
    /// How long a put waits for room.
    pub keep_alive: Duration,
    /// Bytes.
    pub bytes: ByteLimit,
}

/// How often an empty-handed take looks again before it sleeps: some microseconds, about what putting a thread to
/// sleep and waking it costs. A flow of small batches would otherwise pay that for each of them.
const LOOKS: u32 = 200;

/// A queue of batches: a put is one push, a take moves or joins whole batches.
///
/// Room is two semaphores because theirs are the properties wanted: one acquire per batch, first
/// come first served (small puts cannot starve a large one), given up safely at any time.
pub struct MemoryQueue(Arc<Shared>);

/// Room for one batch in a queue, given back when it is dropped.
pub struct Room<'q> {
    queue: &'q Shared,
    events: usize,
    bytes: usize,
}

struct Shared {
    limits: Limits,
    queue: Mutex<Queue>,
    /// Batches in the queue, to be looked at without the lock.
    stocked: AtomicUsize,
    room: Semaphore,
    byte_room: Option<Semaphore>,
    /// Wakes one waiting take. It remembers one call, and passes it on if that take is dropped;
    /// so no wake-up is lost as long as whoever leaves events behind calls it.
    stock: Notify,
}

struct Limits {
    events: usize,
    transaction: usize,
    keep_alive: Duration,
    /// Bytes, if they are limited.
    bytes: Option<usize>,
    /// The percentage of `bytes` that bodies may fill.
    body_percentage: u64,
}

#[derive(Default)]
struct Queue {
    batches: VecDeque<Batch>,
    events: usize,
    bytes: usize,
    in_flight: usize,
    closed: bool,
}

struct Batch {
    events: VecDeque<Event>,
    bytes: usize,
    put: SystemTime,
}

/// Events on their way out. Dropping it puts them back, also in the middle of a linger.
struct Open {
    channel: Arc<Shared>,
    events: Vec<Event>,
    bytes: usize,
    oldest: SystemTime,
}

impl MemoryQueue {
    /// More cannot be counted.
    pub const MOST_EVENTS: usize = if Semaphore::MAX_PERMITS < u32::MAX as usize {
        Semaphore::MAX_PERMITS
    } else {
        u32::MAX as usize
    };

    /// An empty queue.
    pub fn new(limits: QueueLimits) -> Result<Self, BuildError> {
        let (bytes, body_percentage) = limits.bytes.checked()?;
        let QueueLimits {
            events,
            transaction,
            keep_alive,
            ..
        } = limits;
        let events = events.min(Self::MOST_EVENTS);
        let limits = Limits {
            events,
            transaction,
            keep_alive,
            bytes,
            body_percentage,
        };
        let room = Semaphore::new(limits.events);
        let byte_room = limits.bytes.map(Semaphore::new);
        let queue = Mutex::default();
        let stock = Notify::new();
        let stocked = AtomicUsize::new(0);
        Ok(MemoryQueue(Arc::new(Shared {
            limits,
            queue,
            stocked,
            room,
            byte_room,
            stock,
        })))
    }

    /// See [`Channel::put`](crate::Channel::put).
    pub async fn put(&self, batch: Vec<Event>) -> Result<(), ChannelError> {
        self.reserve(&batch, self.0.limits.keep_alive)
            .await?
            .store(batch)
    }

    /// See [`Channel::take`](crate::Channel::take).
    pub async fn take(&self, want: Want, wait: Duration) -> Result<Box<dyn Take>, ChannelError> {
        let channel = self.0.clone();
        let oldest = SystemTime::UNIX_EPOCH;
        let mut open = Box::new(Open {
            channel,
            events: Vec::new(),
            bytes: 0,
            oldest,
        });
        self.0.collect(&mut open, want, 1, wait).await?;
        if !want.linger.is_zero() && !open.events.is_empty() {
            self.0
                .collect(&mut open, want, want.events, want.linger)
                .await?;
        }
        Ok(open)
    }

    /// See [`Channel::stats`](crate::Channel::stats).
    pub fn stats(&self) -> ChannelStats {
        let queue = self.0.queue.lock();
        ChannelStats {
            events: queue.events,
            bytes: queue.bytes,
            in_flight: queue.in_flight,
            capacity: self.0.limits.events,
            transaction_capacity: self.0.limits.transaction,
            oldest: queue.batches.front().map(|batch| batch.put),
        }
    }

    /// See [`Channel::close`](crate::Channel::close).
    pub fn close(&self) {
        self.0.queue.lock().closed = true;
        self.0.room.close();
        self.0.byte_room.iter().for_each(Semaphore::close);
        self.0.stock.notify_waiters();
    }

    /// Waits for room for a batch, so long; [`Room::store`] then puts the batch into it.
    pub async fn reserve(
        &self,
        batch: &[Event],
        patience: Duration,
    ) -> Result<Room<'_>, ChannelError> {
        let queue = &*self.0;
        let events = batch.len();
        let bytes = batch.iter().map(|event| queue.limits.charge(event)).sum();
        queue.wait_for_room(events, bytes, patience).await?;
        Ok(Room {
            queue,
            events,
            bytes,
        })
    }

    /// Room left, in events.
    pub fn free(&self) -> usize {
        self.0.room.available_permits()
    }
}

impl Room<'_> {
    /// Puts the batch that the room was reserved for.
    pub fn store(mut self, batch: Vec<Event>) -> Result<(), ChannelError> {
        let bytes = batch.iter().map(Event::size).sum();
        self.queue.store(Batch {
            events: batch.into(),
            bytes,
            put: SystemTime::now(),
        })?;
        (self.events, self.bytes) = (0, 0);
        Ok(())
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        self.queue.give_back(self.events, self.bytes);
    }
}

impl ByteLimit {
    /// The limit, if there is one, and the percentage of it that bodies may fill.
    fn checked(&self) -> Result<(Option<usize>, u64), BuildError> {
        let free = self.byte_capacity_buffer_percentage;
        if free >= 100 {
            return Err(BuildError::at(
                "byteCapacityBufferPercentage",
                "must be below 100",
            ));
        }
        // More bytes than a semaphore counts are no limit on this side of a few exabytes.
        let bytes = self
            .byte_capacity
            .and_then(|bytes| usize::try_from(bytes).ok());
        let bytes = bytes.filter(|&bytes| bytes > 0 && bytes <= Semaphore::MAX_PERMITS);
        Ok((bytes, 100 - free))
    }
}

impl Limits {
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

impl Shared {
    /// Reserves room for a batch; it is given back when the events are committed.
    async fn wait_for_room(
        &self,
        events: usize,
        bytes: usize,
        patience: Duration,
    ) -> Result<(), ChannelError> {
        let permits = fits(events, self.limits.transaction, "events")? as u32;
        fits(bytes, self.limits.bytes.unwrap_or(usize::MAX), "bytes")?;
        // Room that is left over is nobody's who waits.
        if self.byte_room.is_none()
            && self
                .room
                .try_acquire_many(permits)
                .map(|room| room.forget())
                .is_ok()
        {
            return Ok(());
        }
        let reserve = async {
            let room = self.room.acquire_many(permits).await?;
            if let Some(byte_room) = &self.byte_room {
                acquire_bytes(byte_room, bytes).await?;
            }
            room.forget();
            Ok(())
        };
        // A put that has to wait ends all lingering: what the takes linger for cannot come.
        let end_lingering = async {
            self.stock.notify_waiters();
            pending().await
        };
        let outcome = tokio::select! {
            biased;
            outcome = timeout(patience, reserve) => outcome,
            never = end_lingering => never,
        };
        outcome
            .map_err(|_| ChannelError::Full { wanted: events })?
            .map_err(|_: AcquireError| ChannelError::Closed)
    }

    fn store(&self, batch: Batch) -> Result<(), ChannelError> {
        let mut queue = self.queue.lock();
        if queue.closed {
            return Err(ChannelError::Closed);
        }
        // Takes only wait on an empty queue.
        let was_empty = queue.batches.is_empty();
        queue.events += batch.events.len();
        queue.bytes += batch.bytes;
        queue.batches.push_back(batch);
        self.stocked.store(queue.batches.len(), Relaxed);
        drop(queue);
        if was_empty {
            self.stock.notify_one();
        }
        Ok(())
    }

    /// Fills `open` until it holds `enough` events, or no more fit, or `patience` is over.
    async fn collect(
        &self,
        open: &mut Open,
        want: Want,
        enough: usize,
        patience: Duration,
    ) -> Result<(), ChannelError> {
        let mut deadline = None;
        loop {
            // Made before the look, so a close between look and wait is not missed.
            let stock = self.stock.notified();
            let full = self.fill(open, want)?;
            if full || open.events.len() >= enough || (self.no_room() && !open.events.is_empty()) {
                return Ok(());
            }
            if deadline.is_none() && !patience.is_zero() && self.stocked_soon() {
                continue;
            }
            let deadline = *deadline.get_or_insert_with(|| Instant::now() + patience);
            if timeout_at(deadline, stock).await.is_err() {
                return Ok(());
            }
        }
    }

    /// Whether a batch comes while looking for some microseconds.
    fn stocked_soon(&self) -> bool {
        (0..LOOKS).any(|_| {
            std::hint::spin_loop();
            self.stocked.load(Relaxed) > 0
        })
    }

    /// Moves what is there into `open`; whether it holds what is wanted.
    fn fill(&self, open: &mut Open, want: Want) -> Result<bool, ChannelError> {
        let mut queue = self.queue.lock();
        if queue.closed {
            return Err(ChannelError::Closed);
        }
        let full = queue.fill(open, want);
        let left_behind = !queue.batches.is_empty();
        self.stocked.store(queue.batches.len(), Relaxed);
        drop(queue);
        if left_behind {
            self.stock.notify_one();
        }
        Ok(full)
    }

    /// Also while a put waits, as that holds whatever room there is.
    fn no_room(&self) -> bool {
        let byte_room = self
            .byte_room
            .as_ref()
            .map_or(1, Semaphore::available_permits);
        self.room.available_permits() == 0 || byte_room == 0
    }

    fn put_back(&self, batch: Batch) {
        let mut queue = self.queue.lock();
        queue.in_flight -= batch.events.len();
        queue.events += batch.events.len();
        queue.bytes += batch.bytes;
        queue.batches.push_front(batch);
        self.stocked.store(queue.batches.len(), Relaxed);
        drop(queue);
        self.stock.notify_one();
    }

    fn forget(&self, events: &[Event]) {
        self.queue.lock().in_flight -= events.len();
        self.give_back(
            events.len(),
            events.iter().map(|event| self.limits.charge(event)).sum(),
        );
    }

    fn give_back(&self, events: usize, bytes: usize) {
        self.room.add_permits(events);
        if let Some(byte_room) = &self.byte_room {
            byte_room.add_permits(bytes);
        }
    }
}

impl Queue {
    /// Moves events from the head into `open`; true when it holds what is wanted, false when the queue is empty.
    fn fill(&mut self, open: &mut Open, want: Want) -> bool {
        while open.events.len() < want.events {
            let Some(head) = self.batches.front_mut() else {
                return false;
            };
            if open.events.is_empty() {
                open.oldest = head.put;
            }
            let (count, bytes) = head.fitting(open, want);
            let whole = count == head.events.len();
            self.events -= count;
            self.bytes -= bytes;
            self.in_flight += count;
            open.bytes += bytes;
            if !whole {
                head.bytes -= bytes;
                open.events.extend(head.events.drain(..count));
                return true;
            }
            let batch = self
                .batches
                .pop_front()
                .map(|head| head.events)
                .unwrap_or_default();
            if open.events.is_empty() {
                open.events = batch.into();
            } else {
                open.events.extend(batch);
            }
        }
        true
    }
}

impl Batch {
    /// How many events from the front go into `open`, and their bytes.
    fn fitting(&self, open: &Open, want: Want) -> (usize, usize) {
        let room = want.events - open.events.len();
        if self.events.len() <= room && open.bytes + self.bytes <= want.bytes {
            return (self.events.len(), self.bytes);
        }
        let mut count = 0;
        let mut bytes = 0;
        for event in self.events.iter().take(room) {
            let first = open.events.is_empty() && count == 0;
            if !first && open.bytes + bytes + event.size() > want.bytes {
                break;
            }
            count += 1;
            bytes += event.size();
        }
        (count, bytes)
    }
}

impl Take for Open {
    fn events(&self) -> &[Event] {
        &self.events
    }

    fn commit(mut self: Box<Self>) -> Settled {
        let events = std::mem::take(&mut self.events);
        self.channel.forget(&events);
        Box::pin(ready(Ok(())))
    }

    fn split_off(&mut self, indices: &[usize]) -> Box<dyn Take> {
        let events = extract(&mut self.events, indices);
        let bytes = events.iter().map(Event::size).sum();
        self.bytes -= bytes;
        Box::new(Open {
            channel: self.channel.clone(),
            events,
            bytes,
            oldest: self.oldest,
        })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if !self.events.is_empty() {
            let events = std::mem::take(&mut self.events).into();
            self.channel.put_back(Batch {
                events,
                bytes: self.bytes,
                put: self.oldest,
            });
        }
    }
}

fn fits(size: usize, limit: usize, unit: &'static str) -> Result<usize, ChannelError> {
    if size > limit {
        Err(ChannelError::TooLarge { size, limit, unit })
    } else {
        Ok(size)
    }
}

/// A semaphore gives at most `u32::MAX` at once; only a batch of more than 4 GiB comes in parts.
async fn acquire_bytes(room: &Semaphore, bytes: usize) -> Result<(), AcquireError> {
    let mut acquired = vec![];
    let mut missing = bytes;
    while missing > 0 {
        let part = missing.min(u32::MAX as usize);
        acquired.push(room.acquire_many(part as u32).await?);
        missing -= part;
    }
    acquired.into_iter().for_each(|part| part.forget());
    Ok(())
}

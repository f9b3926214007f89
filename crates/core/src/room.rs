//! The discipline of a bounded queue: how a put waits for room, and how a take waits for events.
//!
//! [`Room`] counts what still fits, [`Stock`] tells takes that something came. The events themselves are the queue's:
//! `memory` keeps them in a deque, `file` in a deque and on disk, `spillablememory` in both. A queue that follows these
//! rules loses no wake-up:
//!
//! 1. Whoever adds events to the queue, or leaves some behind, calls [`Stock::announce`] after it let go of the lock.
//! 2. A put reserves room before it adds events, and gives it back when they are gone for good.
//! 3. A put that has to wait calls [`Stock::end_lingering`] once it stands in line for room.

use std::{
    collections::VecDeque,
    future::poll_fn,
    hint::spin_loop,
    pin::pin,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

use tokio::{
    sync::{AcquireError, Notify, Semaphore},
    time::{Instant, timeout, timeout_at},
};

use crate::{ChannelError, Event, Want};

/// How often an empty-handed take looks again before it sleeps. That takes some microseconds, about as long as putting
/// a thread to sleep and waking it. A flow of small batches would otherwise pay this price for each of them.
const LOOKS_BEFORE_SLEEP: u32 = 200;

/// What still fits into a bounded queue, in events and perhaps in bytes.
///
/// A semaphore does what is needed: one acquire per batch, first come first served (so small puts cannot starve a large
/// one), and a put can be given up at any time.
pub struct Room {
    events: Semaphore,
    bytes: Option<Semaphore>,
    /// Events beyond the limit that were there at the start. What leaves pays for them first.
    event_debt: AtomicUsize,
    byte_debt: AtomicUsize,
}

/// Room for one batch. It goes back when this is dropped, unless [`keep`](Self::keep) is called.
#[must_use]
pub struct Reserved<'r> {
    room: &'r Room,
    events: usize,
    bytes: usize,
}

impl Room {
    /// The largest limit in events.
    pub const MAX_EVENTS: usize = if Semaphore::MAX_PERMITS < u32::MAX as usize {
        Semaphore::MAX_PERMITS
    } else {
        u32::MAX as usize
    };

    /// The largest limit in bytes, some exabytes. A larger one is as good as none.
    pub const MAX_BYTES: usize = Semaphore::MAX_PERMITS;

    /// Room for so many events, and so many bytes if they are limited.
    pub fn new(events: usize, bytes: Option<usize>) -> Self {
        Room::beside(events, bytes, 0, 0)
    }

    /// The same for a queue that holds something already, perhaps more than the limits allow.
    pub fn beside(
        events: usize,
        bytes: Option<usize>,
        held_events: usize,
        held_bytes: usize,
    ) -> Self {
        let byte_debt = bytes.map_or(0, |limit| held_bytes.saturating_sub(limit));
        let bytes = bytes.map(|limit| Semaphore::new(limit.saturating_sub(held_bytes)));
        Room {
            events: Semaphore::new(events.saturating_sub(held_events)),
            bytes,
            event_debt: AtomicUsize::new(held_events.saturating_sub(events)),
            byte_debt: AtomicUsize::new(byte_debt),
        }
    }

    /// Waits for room at most `patience`; then the batch is refused as `Full`. Calls `waits` once if it has to wait,
    /// when it already stands in line.
    pub async fn reserve(
        &self,
        events: usize,
        bytes: usize,
        patience: Duration,
        waits: impl FnOnce(),
    ) -> Result<Reserved<'_>, ChannelError> {
        let permits = u32::try_from(events).unwrap_or(u32::MAX);
        // Made only after the room was acquired, so a wait that is given up gives nothing back.
        let reserved = || Reserved {
            room: self,
            events,
            bytes,
        };
        // Permits that are free have no waiter in line for them, so this jumps no queue.
        if self.bytes.is_none()
            && let Ok(free) = self.events.try_acquire_many(permits)
        {
            free.forget();
            return Ok(reserved());
        }
        let acquire = async {
            let acquired = self.events.acquire_many(permits).await?;
            if let Some(room) = &self.bytes {
                acquire_bytes(room, bytes).await?;
            }
            acquired.forget();
            Ok::<_, AcquireError>(())
        };
        let mut acquired = pin!(timeout(patience, acquire));
        let mut waits = Some(waits);
        let outcome = poll_fn(|cx| {
            let outcome = acquired.as_mut().poll(cx);
            if outcome.is_pending()
                && let Some(waits) = waits.take()
            {
                waits();
            }
            outcome
        })
        .await;
        match outcome {
            Ok(Ok(())) => Ok(reserved()),
            Ok(Err(_)) => Err(ChannelError::Closed),
            Err(_) => Err(ChannelError::Full { wanted: events }),
        }
    }

    /// Gives back the room of events that are gone for good.
    pub fn give_back(&self, events: usize, bytes: usize) {
        self.events.add_permits(pay(&self.event_debt, events));
        if let Some(room) = &self.bytes {
            room.add_permits(pay(&self.byte_debt, bytes));
        }
    }

    /// How many events fit now.
    pub fn free_events(&self) -> usize {
        self.events.available_permits()
    }

    /// Whether nothing fits. It is also true while a put stands in line, because that put holds what room there is.
    pub fn is_full(&self) -> bool {
        let full = |room: &Semaphore| room.available_permits() == 0;
        full(&self.events) || self.bytes.as_ref().is_some_and(full)
    }

    /// Ends all waits for room with `Closed`.
    pub fn close(&self) {
        self.events.close();
        self.bytes.iter().for_each(Semaphore::close);
    }
}

impl Reserved<'_> {
    /// The events are in the queue: their room is given back when they leave.
    pub fn keep(mut self) {
        self.events = 0;
        self.bytes = 0;
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        if self.events > 0 || self.bytes > 0 {
            self.room.give_back(self.events, self.bytes);
        }
    }
}

/// What is left of `amount` after a debt is paid from it.
fn pay(debt: &AtomicUsize, amount: usize) -> usize {
    if debt.load(Relaxed) == 0 {
        return amount;
    }
    let before = debt.fetch_update(Relaxed, Relaxed, |owed| Some(owed.saturating_sub(amount)));
    amount.saturating_sub(before.unwrap_or_default())
}

/// A semaphore gives at most `u32::MAX` permits at once, so a batch of more than 4 GiB comes in parts.
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

/// Tells takes that something came into a queue.
#[derive(Default)]
pub struct Stock {
    /// Batches in the queue, to be looked at without its lock.
    batches: AtomicUsize,
    /// Wakes one waiting take. It remembers one call, and passes it on if that take is dropped. So no wake-up is lost
    /// as long as everybody follows rule 1.
    news: Notify,
}

/// What a take holds after a look into the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakeProgress {
    /// Nothing was there.
    Nothing,
    /// Something; more may come.
    Some,
    /// All that was wanted, or all that can come.
    Enough,
}

impl Stock {
    /// So many batches are in the queue now. To be called under the queue's lock whenever that changes.
    pub fn count(&self, batches: usize) {
        self.batches.store(batches, Relaxed);
    }

    /// Something is in the queue: wakes one take that waits.
    pub fn announce(&self) {
        self.news.notify_one();
    }

    /// A put waits for room: what the takes linger for cannot come.
    pub fn end_lingering(&self) {
        self.news.notify_waiters();
    }

    /// The queue closes: every take looks once more.
    pub fn close(&self) {
        self.news.notify_waiters();
    }

    /// Lets `look` fill a take: it waits at most `wait` for the first event, then at most `want.linger` for more.
    /// `patience` may lengthen a wait when it begins, for example because it is known that events are on their way.
    pub async fn fill(
        &self,
        want: Want,
        wait: Duration,
        patience: impl Fn(Duration) -> Duration,
        mut look: impl FnMut() -> Result<TakeProgress, ChannelError>,
    ) -> Result<(), ChannelError> {
        let mut until = None;
        let mut linger_until = None;
        let mut looked_again = false;
        loop {
            // Made before the look, so that a close between look and wait is not missed.
            let news = self.news.notified();
            let lingers = match look()? {
                TakeProgress::Enough => return Ok(()),
                TakeProgress::Some if want.linger.is_zero() => return Ok(()),
                TakeProgress::Some => true,
                TakeProgress::Nothing => false,
            };
            let (deadline, length) = if lingers {
                (&mut linger_until, want.linger)
            } else {
                linger_until = None;
                (&mut until, wait)
            };
            if !looked_again && !length.is_zero() {
                looked_again = true;
                if self.came_soon() {
                    continue;
                }
            }
            let deadline = *deadline.get_or_insert_with(|| Instant::now() + patience(length));
            if timeout_at(deadline, news).await.is_err() {
                return Ok(());
            }
        }
    }

    /// Whether a batch comes within some microseconds.
    fn came_soon(&self) -> bool {
        (0..LOOKS_BEFORE_SLEEP).any(|_| {
            spin_loop();
            self.batches.load(Relaxed) > 0
        })
    }
}

/// Moves `count` events from the front of `batch` to the end of `taken`; a whole batch moves without a copy if it can.
pub fn move_front(batch: &mut VecDeque<Event>, count: usize, taken: &mut Vec<Event>) {
    if count < batch.len() {
        taken.extend(batch.drain(..count));
    } else if taken.is_empty() {
        *taken = std::mem::take(batch).into();
    } else {
        taken.extend(std::mem::take(batch));
    }
}

//! What can be taken, in order: batches in memory, and behind them what only the disk holds. **A batch can be taken
//! only after its sync**, because [`Queue::publish`] is called with nothing else.

use std::{
    collections::VecDeque,
    future::pending,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::{Duration, SystemTime},
};

use flume_core::{ChannelError, ChannelStats, Event, Want};
use parking_lot::{Condvar, Mutex};
use tokio::{
    sync::{AcquireError, Notify, Semaphore},
    time::{Instant, timeout, timeout_at},
};

use crate::{log::Appended, segment::Position};

/// What an event takes up in memory besides its bytes.
const EVENT_OVERHEAD: usize = 96;

/// How often an empty-handed take looks again before it sleeps: some microseconds, about what putting a thread to
/// sleep and waking it costs.
const LOOKS: u32 = 200;

/// Limits of a channel.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// Most events, those with sinks included.
    pub(crate) events: usize,
    /// Most bytes of bodies and headers, if they are limited.
    pub(crate) bytes: Option<usize>,
    /// Most events of a put.
    pub(crate) transaction: usize,
    /// How long a put waits for room.
    pub(crate) keep_alive: Duration,
    /// Most bytes of events that wait in memory; the rest waits on disk.
    pub(crate) cache_bytes: usize,
}

/// The queue.
pub(crate) struct Queue {
    limits: Limits,
    state: Mutex<State>,
    /// Runs in memory, to be looked at without the lock.
    stocked: AtomicUsize,
    room: Semaphore,
    byte_room: Option<Semaphore>,
    stock: Notify,
    reading: Condvar,
}

#[derive(Default)]
struct State {
    /// Ascending in their numbers; what was rolled back is at the head again.
    ready: VecDeque<Run>,
    ready_bytes: usize,
    events: usize,
    bytes: usize,
    in_flight: usize,
    /// Where the reader goes on; none: all that can be taken is in `ready`.
    backlog: Option<Backlog>,
    /// About when the first event there was put, once that is known.
    backlog_put: Option<SystemTime>,
    end: Position,
    end_sequence: u64,
    /// Events and bytes beyond the limits that were there when the store was opened.
    debt: (usize, usize),
    closed: bool,
}

/// Where what is not in memory begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Backlog {
    /// In the log.
    pub(crate) position: Position,
    /// The sequence number of the first event there.
    pub(crate) sequence: u64,
}

/// Events of consecutive sequence numbers that were put at one time.
#[derive(Debug)]
pub(crate) struct Run {
    /// The number of the first.
    pub(crate) first: u64,
    /// The events.
    pub(crate) events: VecDeque<Event>,
    /// Their bytes.
    pub(crate) bytes: usize,
    /// When they were put.
    pub(crate) put: SystemTime,
}

/// Events that were taken.
#[derive(Debug)]
pub(crate) struct Taken {
    /// The events.
    pub(crate) events: Vec<Event>,
    /// The number of each.
    pub(crate) numbers: Vec<u64>,
    /// Their bytes.
    pub(crate) bytes: usize,
    /// When the first was put.
    pub(crate) oldest: SystemTime,
}

/// What the reader may read next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReadWanted {
    /// From here.
    pub(crate) from: Backlog,
    /// To here.
    pub(crate) end: Position,
    /// The sequence number that follows.
    pub(crate) end_sequence: u64,
}

impl Queue {
    /// With what a store held when it was opened.
    pub(crate) fn new(
        limits: Limits,
        events: u64,
        bytes: u64,
        backlog: Option<Backlog>,
        end: Position,
        next: u64,
    ) -> Self {
        let events = events as usize;
        let bytes = bytes as usize;
        let room = limits.events.saturating_sub(events);
        let byte_room = limits.bytes.map(|limit| limit.saturating_sub(bytes));
        let debt = (
            events.saturating_sub(limits.events),
            limits.bytes.map_or(0, |limit| bytes.saturating_sub(limit)),
        );
        let state = State {
            events,
            bytes,
            backlog,
            end,
            end_sequence: next,
            debt,
            ..State::default()
        };
        Queue {
            limits,
            state: Mutex::new(state),
            stocked: AtomicUsize::new(0),
            room: Semaphore::new(room),
            byte_room: byte_room.map(Semaphore::new),
            stock: Notify::new(),
            reading: Condvar::new(),
        }
    }

    /// What it holds.
    pub(crate) fn stats(&self) -> ChannelStats {
        let state = self.state.lock();
        ChannelStats {
            events: state.events,
            bytes: state.bytes,
            in_flight: state.in_flight,
            capacity: self.limits.events,
            transaction_capacity: self.limits.transaction,
            oldest: state.ready.front().map(|run| run.put).or(state.backlog_put),
        }
    }

    /// Reserves room; [`release`](Self::release) gives it back.
    pub(crate) async fn reserve(&self, events: usize, bytes: usize) -> Result<(), ChannelError> {
        let reserve = async {
            let room = self
                .room
                .acquire_many(u32::try_from(events).unwrap_or(u32::MAX))
                .await?;
            if let Some(byte_room) = &self.byte_room {
                byte_room
                    .acquire_many(u32::try_from(bytes).unwrap_or(u32::MAX))
                    .await?
                    .forget();
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
            outcome = timeout(self.limits.keep_alive, reserve) => outcome,
            never = end_lingering => never,
        };
        outcome
            .map_err(|_| ChannelError::Full { wanted: events })?
            .map_err(|_: AcquireError| ChannelError::Closed)
    }

    /// Gives room back.
    pub(crate) fn release(&self, events: usize, bytes: usize) {
        let (events, bytes) = {
            let (debt_events, debt_bytes) = &mut self.state.lock().debt;
            (pay(debt_events, events), pay(debt_bytes, bytes))
        };
        self.room.add_permits(events);
        if let Some(byte_room) = &self.byte_room {
            byte_room.add_permits(bytes);
        }
    }

    /// Makes the batches of a group that was synced takeable; `answer`s their puts before it wakes who takes them, as
    /// a put has waited for the disk already.
    pub(crate) fn publish(&self, appended: &Appended, runs: Vec<Run>, answer: impl FnOnce()) {
        let mut state = self.state.lock();
        let next = runs
            .last()
            .map_or(appended.first, |run| run.first + run.events.len() as u64);
        state.events += runs.iter().map(|run| run.events.len()).sum::<usize>();
        state.bytes += runs.iter().map(|run| run.bytes).sum::<usize>();
        (state.end, state.end_sequence) = (appended.end, next);
        let new = state.backlog.is_none() && !runs.is_empty();
        let stocked = new && state.ready_bytes < self.limits.cache_bytes;
        if stocked {
            self.stock(&mut state, runs);
        } else if new {
            state.backlog = Some(Backlog {
                position: appended.start,
                sequence: appended.first,
            });
            state.backlog_put = runs.first().map(|run| run.put);
        }
        drop(state);
        answer();
        if stocked {
            self.stock.notify_one();
        } else if new {
            self.reading.notify_one();
        }
    }

    fn stock(&self, state: &mut State, runs: Vec<Run>) {
        state.ready_bytes += runs.iter().map(Run::memory).sum::<usize>();
        state.ready.extend(runs);
        self.stocked.store(state.ready.len(), Relaxed);
    }

    /// Whether everything that can be taken is in memory.
    pub(crate) fn is_read(&self) -> bool {
        self.state.lock().backlog.is_none()
    }

    /// What is worth reading now.
    #[cfg(test)]
    pub(crate) fn read_wanted(&self) -> Option<ReadWanted> {
        self.state.lock().read_wanted(self.limits.cache_bytes)
    }

    /// Waits until something is worth reading; none: the queue is closed.
    pub(crate) fn wait_for_reading(&self) -> Option<ReadWanted> {
        let mut state = self.state.lock();
        loop {
            if state.closed {
                return None;
            }
            if let Some(wanted) = state.read_wanted(self.limits.cache_bytes) {
                return Some(wanted);
            }
            self.reading.wait(&mut state);
        }
    }

    /// Takes in what was read; reading goes on at `next`. `lost` events could not be read.
    pub(crate) fn stock_read(&self, runs: Vec<Run>, next: Backlog, lost: (usize, usize)) {
        let mut state = self.state.lock();
        state.events = state.events.saturating_sub(lost.0);
        state.bytes = state.bytes.saturating_sub(lost.1);
        state.backlog = if next.position >= state.end {
            None
        } else {
            Some(next)
        };
        let last_put = runs.last().map(|run| run.put).or(state.backlog_put);
        state.backlog_put = state.backlog.and(last_put);
        self.stock(&mut state, runs);
        drop(state);
        self.stock.notify_one();
    }

    /// Fills `taken` until it holds `enough` events, or no more fit, or `patience` is over.
    pub(crate) async fn collect(
        &self,
        taken: &mut Taken,
        want: Want,
        enough: usize,
        patience: Duration,
    ) -> Result<(), ChannelError> {
        let mut deadline = None;
        loop {
            // Made before the look, so a close between look and wait is not missed.
            let stock = self.stock.notified();
            let full = self.fill(taken, want)?;
            if full || taken.events.len() >= enough || (self.no_room() && !taken.events.is_empty())
            {
                return Ok(());
            }
            if deadline.is_none() && !patience.is_zero() && self.stocked_soon() {
                continue;
            }
            // What is on disk is as good as there.
            let least = if self.is_read() {
                Duration::ZERO
            } else {
                Duration::from_secs(1)
            };
            let deadline = *deadline.get_or_insert_with(|| Instant::now() + patience.max(least));
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

    /// Moves what is in memory into `taken`; whether it holds what is wanted.
    pub(crate) fn fill(&self, taken: &mut Taken, want: Want) -> Result<bool, ChannelError> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(ChannelError::Closed);
        }
        let full = state.fill(taken, want);
        let left_behind = !state.ready.is_empty();
        // Of events whose headers could not be read, nobody knew the bytes.
        let orphaned = if state.events == 0 {
            std::mem::take(&mut state.bytes)
        } else {
            0
        };
        self.stocked.store(state.ready.len(), Relaxed);
        if state.read_wanted(self.limits.cache_bytes).is_some() {
            self.reading.notify_one();
        }
        drop(state);
        if orphaned > 0 {
            self.release(0, orphaned);
        }
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

    /// Returns events to their place in the order.
    pub(crate) fn put_back(&self, taken: Taken) {
        let Taken {
            events,
            numbers,
            bytes,
            oldest,
        } = taken;
        let mut state = self.state.lock();
        state.in_flight -= events.len();
        state.events += events.len();
        state.bytes += bytes;
        let mut runs: Vec<Run> = vec![];
        for (event, number) in events.into_iter().zip(numbers) {
            let size = event.size();
            match runs.last_mut() {
                Some(run) if run.first + run.events.len() as u64 == number => {
                    run.events.push_back(event);
                    run.bytes += size;
                }
                _ => runs.push(Run {
                    first: number,
                    events: [event].into(),
                    bytes: size,
                    put: oldest,
                }),
            }
        }
        for run in runs {
            state.ready_bytes += run.memory();
            let place = state.ready.partition_point(|other| other.first < run.first);
            state.ready.insert(place, run);
        }
        self.stocked.store(state.ready.len(), Relaxed);
        drop(state);
        self.stock.notify_one();
    }

    /// Events that were taken are gone for good.
    pub(crate) fn forget(&self, events: usize, bytes: usize) {
        self.state.lock().in_flight -= events;
        self.release(events, bytes);
    }

    /// Ends all waits.
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.room.close();
        self.byte_room.iter().for_each(Semaphore::close);
        self.stock.notify_waiters();
        self.reading.notify_all();
    }
}

/// What is left of `amount` after a debt is paid from it.
fn pay(debt: &mut usize, amount: usize) -> usize {
    let paid = amount.min(*debt);
    *debt -= paid;
    amount - paid
}

impl State {
    fn read_wanted(&self, cache_bytes: usize) -> Option<ReadWanted> {
        let from = self
            .backlog
            .filter(|_| self.ready_bytes < cache_bytes / 2 || self.ready.is_empty())?;
        Some(ReadWanted {
            from,
            end: self.end,
            end_sequence: self.end_sequence,
        })
    }

    /// Moves events from the head into `taken`; true when it holds what is wanted, false when memory is empty.
    fn fill(&mut self, taken: &mut Taken, want: Want) -> bool {
        while taken.events.len() < want.events {
            let Some(head) = self.ready.front_mut() else {
                return false;
            };
            if taken.events.is_empty() {
                taken.oldest = head.put;
            }
            let (count, bytes) = head.fitting(taken, want);
            let whole = count == head.events.len();
            taken.numbers.extend(head.first..head.first + count as u64);
            taken.bytes += bytes;
            self.events = self.events.saturating_sub(count);
            self.bytes = self.bytes.saturating_sub(bytes);
            self.in_flight += count;
            self.ready_bytes -= bytes + count * EVENT_OVERHEAD;
            if !whole {
                head.bytes -= bytes;
                head.first += count as u64;
                taken.events.extend(head.events.drain(..count));
                return true;
            }
            let events = self
                .ready
                .pop_front()
                .map(|head| head.events)
                .unwrap_or_default();
            if taken.events.is_empty() {
                taken.events = events.into();
            } else {
                taken.events.extend(events);
            }
        }
        true
    }
}

impl Run {
    /// What it takes up in memory.
    fn memory(&self) -> usize {
        self.bytes + self.events.len() * EVENT_OVERHEAD
    }

    /// How many events from the front go into `taken`, and their bytes.
    fn fitting(&self, taken: &Taken, want: Want) -> (usize, usize) {
        let room = want.events - taken.events.len();
        if self.events.len() <= room && taken.bytes + self.bytes <= want.bytes {
            return (self.events.len(), self.bytes);
        }
        let mut count = 0;
        let mut bytes = 0;
        for event in self.events.iter().take(room) {
            let first = taken.events.is_empty() && count == 0;
            if !first && taken.bytes + bytes + event.size() > want.bytes {
                break;
            }
            count += 1;
            bytes += event.size();
        }
        (count, bytes)
    }
}

impl Default for Taken {
    fn default() -> Self {
        Taken {
            events: vec![],
            numbers: vec![],
            bytes: 0,
            oldest: SystemTime::UNIX_EPOCH,
        }
    }
}

impl Taken {
    /// Moves the events at `indices`, which ascend, into one of their own.
    pub(crate) fn split_off(&mut self, indices: &[usize]) -> Taken {
        let mut wanted = indices.iter().copied().peekable();
        let mut kept = Taken::default();
        let mut moved = Taken::default();
        (kept.oldest, moved.oldest) = (self.oldest, self.oldest);
        let events = std::mem::take(&mut self.events)
            .into_iter()
            .zip(std::mem::take(&mut self.numbers));
        for (place, (event, number)) in events.enumerate() {
            let half = if wanted.next_if_eq(&place).is_some() {
                &mut moved
            } else {
                &mut kept
            };
            half.bytes += event.size();
            half.events.push(event);
            half.numbers.push(number);
        }
        *self = kept;
        moved
    }
}

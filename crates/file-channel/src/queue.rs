//! What can be taken, in order: batches in memory, and behind them what only the disk holds. **A batch can be taken
//! only after its sync**, because [`Queue::publish`] is called with nothing else.

use std::{
    collections::VecDeque,
    time::{Duration, SystemTime},
};

use flume_core::{
    ChannelError, ChannelStats, Event, Reserved, Room, Stock, TakeProgress, Want, move_front,
};
use parking_lot::{Condvar, Mutex};

use crate::{log::Appended, segment::Position};

/// What an event takes up in memory besides its bytes.
const EVENT_OVERHEAD_BYTES: usize = 96;

/// A take waits at least so long for events that are known to be on disk.
const READ_TIMEOUT: Duration = Duration::from_secs(1);

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
    held: Mutex<HeldRuns>,
    room: Room,
    stock: Stock,
    reading: Condvar,
}

#[derive(Default)]
struct HeldRuns {
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
        let room = Room::beside(limits.events, limits.bytes, events, bytes);
        let held = HeldRuns {
            events,
            bytes,
            backlog,
            end,
            end_sequence: next,
            ..HeldRuns::default()
        };
        Queue {
            limits,
            held: Mutex::new(held),
            room,
            stock: Stock::default(),
            reading: Condvar::new(),
        }
    }

    /// What it holds.
    pub(crate) fn stats(&self) -> ChannelStats {
        let held = self.held.lock();
        ChannelStats {
            events: held.events,
            bytes: held.bytes,
            in_flight: held.in_flight,
            capacity: self.limits.events,
            transaction_capacity: self.limits.transaction,
            oldest: held.ready.front().map(|run| run.put).or(held.backlog_put),
        }
    }

    /// Waits for room for a put.
    pub(crate) async fn reserve(
        &self,
        events: usize,
        bytes: usize,
    ) -> Result<Reserved<'_>, ChannelError> {
        let waits = || self.stock.end_lingering();
        self.room
            .reserve(events, bytes, self.limits.keep_alive, waits)
            .await
    }

    /// Gives back room that was reserved.
    pub(crate) fn release(&self, events: usize, bytes: usize) {
        self.room.give_back(events, bytes);
    }

    /// Makes the batches of a group that was synced takeable; `answer`s their puts before it wakes who takes them, as
    /// a put has waited for the disk already.
    pub(crate) fn publish(&self, appended: &Appended, runs: Vec<Run>, answer: impl FnOnce()) {
        let mut held = self.held.lock();
        let next = runs
            .last()
            .map_or(appended.first, |run| run.first + run.events.len() as u64);
        held.events += runs.iter().map(|run| run.events.len()).sum::<usize>();
        held.bytes += runs.iter().map(|run| run.bytes).sum::<usize>();
        (held.end, held.end_sequence) = (appended.end, next);
        let new = held.backlog.is_none() && !runs.is_empty();
        let stocked = new && held.ready_bytes < self.limits.cache_bytes;
        if stocked {
            self.add_ready(&mut held, runs);
        } else if new {
            held.backlog = Some(Backlog {
                position: appended.start,
                sequence: appended.first,
            });
            held.backlog_put = runs.first().map(|run| run.put);
        }
        drop(held);
        answer();
        if stocked {
            self.stock.announce();
        } else if new {
            self.reading.notify_one();
        }
    }

    fn add_ready(&self, held: &mut HeldRuns, runs: Vec<Run>) {
        held.ready_bytes += runs.iter().map(Run::memory).sum::<usize>();
        held.ready.extend(runs);
        self.stock.count(held.ready.len());
    }

    /// Whether everything that can be taken is in memory.
    pub(crate) fn is_read(&self) -> bool {
        self.held.lock().backlog.is_none()
    }

    /// What is worth reading now.
    #[cfg(test)]
    pub(crate) fn read_wanted(&self) -> Option<ReadWanted> {
        self.held.lock().read_wanted(self.limits.cache_bytes)
    }

    /// Waits until something is worth reading; none: the queue is closed.
    pub(crate) fn wait_for_reading(&self) -> Option<ReadWanted> {
        let mut held = self.held.lock();
        loop {
            if held.closed {
                return None;
            }
            if let Some(wanted) = held.read_wanted(self.limits.cache_bytes) {
                return Some(wanted);
            }
            self.reading.wait(&mut held);
        }
    }

    /// Takes in what was read; reading goes on at `next`. `lost` events could not be read.
    pub(crate) fn stock_read(&self, runs: Vec<Run>, next: Backlog, lost: (usize, usize)) {
        let mut held = self.held.lock();
        held.events = held.events.saturating_sub(lost.0);
        held.bytes = held.bytes.saturating_sub(lost.1);
        held.backlog = if next.position >= held.end {
            None
        } else {
            Some(next)
        };
        let last_put = runs.last().map(|run| run.put).or(held.backlog_put);
        held.backlog_put = held.backlog.and(last_put);
        self.add_ready(&mut held, runs);
        drop(held);
        self.stock.announce();
    }

    /// Fills `taken`: waits at most `wait` for the first event, then at most `want.linger` for more.
    pub(crate) async fn take(
        &self,
        taken: &mut Taken,
        want: Want,
        wait: Duration,
    ) -> Result<(), ChannelError> {
        let patience = |wait: Duration| {
            if self.is_read() {
                wait
            } else {
                // What is on disk is as good as there.
                wait.max(READ_TIMEOUT)
            }
        };
        let look = || self.move_into(taken, want);
        self.stock.fill(want, wait, patience, look).await
    }

    /// Moves what is in memory into `taken`.
    pub(crate) fn move_into(
        &self,
        taken: &mut Taken,
        want: Want,
    ) -> Result<TakeProgress, ChannelError> {
        let mut held = self.held.lock();
        if held.closed {
            return Err(ChannelError::Closed);
        }
        let full = held.move_into(taken, want);
        let left_behind = !held.ready.is_empty();
        // When the headers of events cannot be read, nobody knows their bytes.
        let orphaned = if held.events == 0 {
            std::mem::take(&mut held.bytes)
        } else {
            0
        };
        self.stock.count(held.ready.len());
        if held.read_wanted(self.limits.cache_bytes).is_some() {
            self.reading.notify_one();
        }
        drop(held);
        if orphaned > 0 {
            self.release(0, orphaned);
        }
        if left_behind {
            self.stock.announce();
        }
        Ok(if full {
            TakeProgress::Enough
        } else if taken.events.is_empty() {
            TakeProgress::Nothing
        } else if self.room.is_full() {
            TakeProgress::Enough
        } else {
            TakeProgress::Some
        })
    }

    /// Returns events to their place in the order.
    pub(crate) fn put_back(&self, taken: Taken) {
        let Taken {
            events,
            numbers,
            bytes,
            oldest,
        } = taken;
        let mut held = self.held.lock();
        held.in_flight -= events.len();
        held.events += events.len();
        held.bytes += bytes;
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
            held.ready_bytes += run.memory();
            let place = held.ready.partition_point(|other| other.first < run.first);
            held.ready.insert(place, run);
        }
        self.stock.count(held.ready.len());
        drop(held);
        self.stock.announce();
    }

    /// Events that were taken are gone for good.
    pub(crate) fn forget(&self, events: usize, bytes: usize) {
        self.held.lock().in_flight -= events;
        self.release(events, bytes);
    }

    /// Ends all waits.
    pub(crate) fn close(&self) {
        self.held.lock().closed = true;
        self.room.close();
        self.stock.close();
        self.reading.notify_all();
    }
}

impl HeldRuns {
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
    fn move_into(&mut self, taken: &mut Taken, want: Want) -> bool {
        while taken.events.len() < want.events {
            let Some(head) = self.ready.front_mut() else {
                return false;
            };
            if taken.events.is_empty() {
                taken.oldest = head.put;
            }
            let (count, bytes) =
                want.fitting(&head.events, head.bytes, taken.events.len(), taken.bytes);
            taken.numbers.extend(head.first..head.first + count as u64);
            taken.bytes += bytes;
            self.events = self.events.saturating_sub(count);
            self.bytes = self.bytes.saturating_sub(bytes);
            self.in_flight += count;
            self.ready_bytes -= bytes + count * EVENT_OVERHEAD_BYTES;
            head.bytes -= bytes;
            head.first += count as u64;
            move_front(&mut head.events, count, &mut taken.events);
            if !head.events.is_empty() {
                return true;
            }
            self.ready.pop_front();
        }
        true
    }
}

impl Run {
    /// What it takes up in memory.
    fn memory(&self) -> usize {
        self.bytes + self.events.len() * EVENT_OVERHEAD_BYTES
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
        // These may stay for long. A slice would keep all of the reader's buffer.
        moved.events = moved.events.iter().map(Event::detached).collect();
        *self = kept;
        moved
    }
}

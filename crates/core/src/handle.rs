//! A channel as its users see it: with a name, counters, and a seat that can be taken by a successor.

use std::{
    sync::{
        Arc,
        atomic::{
            AtomicBool,
            Ordering::{Acquire, Release},
        },
    },
    time::{Duration, SystemTime},
};

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::{
    sync::{RwLock, RwLockWriteGuard},
    time::timeout,
};

use crate::{
    BuildError, Channel, ChannelError, ChannelStats, Context, Event, StateHandle, Take, Want,
    metrics::{Counter, Metrics},
};

/// Somebody who looks at the events that pass a channel. Called on the threads that move the events: be quick.
pub trait ChannelTap: Send + Sync {
    /// These events were put.
    fn put(&self, events: &[Event]);
    /// A sink has these events now; it may yet return them.
    fn taken(&self, events: &[Event]);
}

/// A named channel with its counters. Cheap to clone; a reload can put another channel in its place.
#[derive(Clone)]
pub struct ChannelHandle(Arc<Seat>);

struct Seat {
    cx: Context,
    /// Held for reading by every put, for writing while the events move to a successor.
    gate: RwLock<()>,
    channel: ArcSwap<Box<dyn Channel>>,
    /// Looked at before `tap`, so that nobody pays for a tap that is not there.
    tapped: AtomicBool,
    tap: ArcSwapOption<Box<dyn ChannelTap>>,
    counters: ChannelCounters,
}

struct ChannelCounters {
    put_attempts: Counter,
    put_successes: Counter,
    take_attempts: Counter,
    take_successes: Counter,
}

/// Why a channel keeps its place.
#[derive(Debug, thiserror::Error)]
pub enum ReplaceError {
    /// Fewer events fit into the successor than there are.
    #[error("the channel holds {held} events, its new capacity is {capacity}")]
    TooSmall {
        /// Events to move.
        held: usize,
        /// Events that fit.
        capacity: usize,
    },
    /// A sink has taken events that it may yet return.
    #[error("{in_flight} of its events are with a sink that does not stop")]
    InFlight {
        /// How many.
        in_flight: usize,
    },
    /// A put waits for room, and may do so for long.
    #[error("a put has been waiting for room for more than {MAX_PUT_WAIT:?}")]
    Busy,
    /// The successor cannot be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// A channel failed while the events moved.
    #[error(transparent)]
    Channel(#[from] ChannelError),
}

/// How long a change of channel waits for the puts under way: longer than the usual keep-alive, and not so long that
/// an agent which reloads seems to hang.
const MAX_PUT_WAIT: Duration = Duration::from_secs(5);

impl ChannelHandle {
    /// `cx` is the channel's own.
    pub fn new(channel: Box<dyn Channel>, cx: Context) -> Self {
        let counters = ChannelCounters {
            put_attempts: cx.metrics.counter("EventPutAttemptCount"),
            put_successes: cx.metrics.counter("EventPutSuccessCount"),
            take_attempts: cx.metrics.counter("EventTakeAttemptCount"),
            take_successes: cx.metrics.counter("EventTakeSuccessCount"),
        };
        let channel = ArcSwap::from_pointee(channel);
        ChannelHandle(Arc::new(Seat {
            cx,
            gate: RwLock::new(()),
            channel,
            tapped: AtomicBool::new(false),
            tap: ArcSwapOption::empty(),
            counters,
        }))
    }

    /// The full name: `a1.channels.c1`.
    pub fn name(&self) -> &str {
        &self.0.cx.name
    }

    /// Its counters.
    pub fn metrics(&self) -> &Metrics {
        &self.0.cx.metrics
    }

    /// Its state.
    pub fn state(&self) -> &StateHandle {
        &self.0.cx.state
    }

    /// What it holds now.
    pub fn stats(&self) -> ChannelStats {
        self.0.channel.load().stats()
    }

    /// Whether its events outlive the process.
    pub fn durable(&self) -> bool {
        self.0.channel.load().durable()
    }

    /// See [`Channel::open`].
    pub async fn open(&self) -> Result<(), ChannelError> {
        self.0.channel.load_full().open().await
    }

    /// See [`Channel::close`].
    pub async fn close(&self) -> Result<(), ChannelError> {
        self.0.channel.load_full().close().await
    }

    /// Shows every event that passes from now on to `tap`, instead of to the tap before; `None` shows them to nobody.
    pub fn set_tap(&self, tap: Option<Box<dyn ChannelTap>>) {
        self.0.tapped.store(tap.is_some(), Release);
        self.0.tap.store(tap.map(Arc::new));
    }

    fn tap(&self) -> Option<Arc<Box<dyn ChannelTap>>> {
        if !self.0.tapped.load(Acquire) {
            return None;
        }
        self.0.tap.load_full()
    }

    /// See [`Channel::put`].
    pub async fn put(&self, batch: Vec<Event>) -> Result<(), ChannelError> {
        let events = batch.len();
        self.0.counters.put_attempts.add(events);
        let tapped = self.tap().map(|tap| (tap, batch.clone()));
        let _open = self.0.gate.read().await;
        self.0.channel.load().put(batch).await?;
        self.0.counters.put_successes.add(events);
        if let Some((tap, batch)) = tapped {
            tap.put(&batch);
        }
        Ok(())
    }

    /// See [`Channel::take`]; whoever commits the take tells [`taken`](Self::taken).
    pub async fn take(&self, want: Want, wait: Duration) -> Result<Box<dyn Take>, ChannelError> {
        let take = self.0.channel.load().take(want, wait).await?;
        // As in Flume, looking into an empty channel is an attempt.
        self.0
            .counters
            .take_attempts
            .add(take.events().len().max(1));
        if let Some(tap) = self.tap()
            && !take.events().is_empty()
        {
            tap.taken(take.events());
        }
        Ok(take)
    }

    /// So many events were taken for good.
    pub fn taken(&self, events: usize) {
        self.0.counters.take_successes.add(events);
    }

    /// Moves all events into `successor`, in order, and puts it in this one's place. Puts wait meanwhile.
    /// On an error everything is as before.
    pub async fn replace(&self, successor: Box<dyn Channel>) -> Result<(), ReplaceError> {
        let _closed = self.0.stop_puts().await?;
        let old = self.0.channel.load_full();
        let stats = old.stats();
        let room = successor.stats();
        let held = stats.events;
        let in_flight = stats.in_flight;
        if in_flight > 0 {
            return Err(ReplaceError::InFlight { in_flight });
        }
        if held > room.capacity {
            return Err(ReplaceError::TooSmall {
                held,
                capacity: room.capacity,
            });
        }
        // One take, so that a failure returns everything in order.
        let take = old.take(Want::events(usize::MAX), Duration::ZERO).await?;
        for batch in take
            .events()
            .chunks(room.transaction_capacity.clamp(1, 1000))
        {
            successor.put(batch.to_vec()).await?;
        }
        take.commit().await?;
        self.0.channel.store(Arc::new(successor));
        old.close().await?;
        Ok(())
    }

    /// Closes this channel and puts `successor` in its place, not yet open: for channels that keep their
    /// events elsewhere. Puts wait meanwhile; no sink may hold a take.
    pub async fn succeed(&self, successor: Box<dyn Channel>) -> Result<(), ReplaceError> {
        let _closed = self.0.stop_puts().await?;
        self.0.channel.load_full().close().await?;
        self.0.channel.store(Arc::new(successor));
        Ok(())
    }

    /// When the oldest event that can be taken was put.
    pub fn oldest(&self) -> Option<SystemTime> {
        self.stats().oldest
    }
}

impl Seat {
    /// Until the guard is dropped no put begins; none is under way.
    async fn stop_puts(&self) -> Result<RwLockWriteGuard<'_, ()>, ReplaceError> {
        timeout(MAX_PUT_WAIT, self.gate.write())
            .await
            .map_err(|_| ReplaceError::Busy)
    }
}

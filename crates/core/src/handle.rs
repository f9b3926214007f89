//! A channel as its users see it: with a name, counters, and a seat that can be taken by a successor.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::{
    sync::{RwLock, RwLockWriteGuard},
    time::timeout,
};

use crate::{
    BuildError, Channel, ChannelError, ChannelStats, Context, Event, Passage, StateHandle, Take,
    Want,
    metrics::{Counter, Metrics},
};

/// A named channel with its counters. Cheap to clone; a reload can put another channel in its place.
#[derive(Clone)]
pub struct ChannelHandle(Arc<Seat>);

struct Seat {
    cx: Context,
    /// Held for reading by every put, for writing while the events move to a successor.
    gate: RwLock<()>,
    channel: ArcSwap<Box<dyn Channel>>,
    /// The channels of sinks that may put dead letters here.
    buriers: Mutex<Vec<Arc<Burier>>>,
    counters: ChannelCounters,
}

struct ChannelCounters {
    put_attempts: Counter,
    put_successes: Counter,
    take_attempts: Counter,
    take_successes: Counter,
}

/// A sink that may put dead letters into a channel.
struct Burier {
    /// What the sink takes from.
    source: ChannelHandle,
}

/// As long as this lives, dead letters may come into a channel.
pub struct Burying {
    grave: ChannelHandle,
    burier: Arc<Burier>,
}

/// Why a channel keeps its place.
#[derive(Debug, thiserror::Error)]
pub enum ReplaceError {
    /// Fewer events fit into the successor than there are.
    #[error("the channel holds {held} events, and its successor has room for {capacity}")]
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
            buriers: Mutex::default(),
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

    /// See [`Channel::volatile_events`].
    pub fn volatile_events(&self) -> usize {
        self.0.channel.load().volatile_events()
    }

    /// A sink that takes from `source` may put dead letters here until the guard is dropped.
    pub fn bury_from(&self, source: &ChannelHandle) -> Burying {
        let source = source.clone();
        let burier = Arc::new(Burier { source });
        self.0.buriers.lock().push(burier.clone());
        let grave = self.clone();
        Burying { grave, burier }
    }

    /// Whether dead letters may still come: a sink that runs and buries here has something to deliver, or will get dead
    /// letters itself.
    pub fn awaits_dead_letters(&self) -> bool {
        self.awaits_beyond(&mut vec![])
    }

    /// `seen`: channels that were asked already, as two sinks may bury in each other's channel.
    fn awaits_beyond(&self, seen: &mut Vec<ChannelHandle>) -> bool {
        if seen.iter().any(|other| Arc::ptr_eq(&other.0, &self.0)) {
            return false;
        }
        seen.push(self.clone());
        let buriers = self.0.buriers.lock().clone();
        buriers.iter().any(|burier| {
            let stats = burier.source.stats();
            stats.events + stats.in_flight > 0 || burier.source.awaits_beyond(seen)
        })
    }

    /// See [`Channel::open`].
    pub async fn open(&self) -> Result<(), ChannelError> {
        self.0.channel.load_full().open().await
    }

    /// See [`Channel::close`].
    pub async fn close(&self) -> Result<(), ChannelError> {
        self.0.channel.load_full().close().await
    }

    /// See [`Channel::put`].
    pub async fn put(&self, batch: Vec<Event>) -> Result<(), ChannelError> {
        let events = batch.len();
        self.0.counters.put_attempts.add(events);
        let picked = self.0.cx.taps.pick(Passage::Put, &batch);
        let _open = self.0.gate.read().await;
        self.0.channel.load().put(batch).await?;
        self.0.counters.put_successes.add(events);
        picked.show();
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
        self.0.cx.taps.pick(Passage::Taken, take.events()).show();
        Ok(take)
    }

    /// So many events were taken for good.
    pub fn taken(&self, events: usize) {
        self.0.counters.take_successes.add(events);
    }

    /// Opens `successor`, moves all events into it, in order, and puts it in this one's place. Puts wait meanwhile. So
    /// nothing is lost when a channel in memory becomes one on disk. On an error everything is as before; events that
    /// a durable successor took by then are on its disk, too.
    pub async fn replace(&self, successor: Box<dyn Channel>) -> Result<(), ReplaceError> {
        let _closed = self.0.stop_puts().await?;
        let old = self.0.channel.load_full();
        let in_flight = old.stats().in_flight;
        if in_flight > 0 {
            return Err(ReplaceError::InFlight { in_flight });
        }
        successor.open().await?;
        if let Err(error) = move_events(&**old, &*successor).await {
            let _ = successor.close().await;
            return Err(error);
        }
        self.0.channel.store(Arc::new(successor));
        old.close().await?;
        Ok(())
    }

    /// Closes this channel and puts `successor` in its place, not yet open: for channels that keep their
    /// events elsewhere. Puts wait meanwhile; no sink may hold a take. On an error this channel stays open.
    pub async fn succeed(&self, successor: Box<dyn Channel>) -> Result<(), ReplaceError> {
        let _closed = self.0.stop_puts().await?;
        let old = self.0.channel.load_full();
        old.save().await?;
        let in_flight = old.volatile_events();
        if in_flight > 0 {
            return Err(ReplaceError::InFlight { in_flight });
        }
        old.close().await?;
        self.0.channel.store(Arc::new(successor));
        Ok(())
    }

    /// When the oldest event that can be taken was put.
    pub fn oldest(&self) -> Option<SystemTime> {
        self.stats().oldest
    }
}

/// Moves all events from one channel to another, in order.
async fn move_events(from: &dyn Channel, to: &dyn Channel) -> Result<(), ReplaceError> {
    let room = to.stats();
    let held = from.stats().events;
    let capacity = room.capacity.saturating_sub(room.events + room.in_flight);
    if held > capacity {
        return Err(ReplaceError::TooSmall { held, capacity });
    }
    // One take, so that a failure returns everything in order.
    let take = from.take(Want::events(usize::MAX), Duration::ZERO).await?;
    let batch_events = room.transaction_capacity.clamp(1, 1000);
    for batch in take.events().chunks(batch_events) {
        to.put(batch.to_vec()).await?;
    }
    Ok(take.commit().await?)
}

impl Drop for Burying {
    fn drop(&mut self) {
        let mut buriers = self.grave.0.buriers.lock();
        buriers.retain(|other| !Arc::ptr_eq(other, &self.burier));
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

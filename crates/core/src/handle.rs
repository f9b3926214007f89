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

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::{
    sync::{RwLock, RwLockReadGuard, watch},
    time::timeout,
};

use crate::{
    Channel, ChannelError, ChannelStats, Context, Event, EventStore, Passage, StateHandle, Take,
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
    /// Whether the channel is still to be opened: puts wait for that.
    unopened: watch::Sender<bool>,
    /// Whether the configuration no longer has it: its sinks drain it to the end.
    leaving: AtomicBool,
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

/// How long a put waits for a channel that is being opened or changed.
const MAX_GATE_WAIT: Duration = Duration::from_secs(10);

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
            unopened: watch::Sender::new(false),
            leaving: AtomicBool::new(false),
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

    /// `seen`: channels that were asked already, because two sinks may bury in each other's channel.
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

    /// See [`Channel::store`].
    pub fn store(&self) -> EventStore {
        self.0.channel.load().store()
    }

    /// Events that it holds, with those that sinks have.
    pub fn held_events(&self) -> usize {
        let stats = self.stats();
        stats.events + stats.in_flight
    }

    /// From now on puts wait until [`open`](Self::open) has succeeded.
    pub fn await_open(&self) {
        self.0.unopened.send_replace(true);
    }

    /// Whether nobody has to wait for it to open.
    pub fn is_open(&self) -> bool {
        !*self.0.unopened.borrow()
    }

    /// The configuration has it no longer, so that its sinks drain it to the end before they stop; or, if not, a stop
    /// leaves in a durable channel what is there.
    pub fn set_leaving(&self, leaving: bool) {
        self.0.leaving.store(leaving, Release);
    }

    /// Whether its sinks drain it to the end before they stop.
    pub fn is_drained_at_stop(&self) -> bool {
        !self.durable() || self.0.leaving.load(Acquire)
    }

    /// See [`Channel::open`].
    pub async fn open(&self) -> Result<(), ChannelError> {
        self.0.channel.load_full().open().await?;
        self.0.unopened.send_replace(false);
        Ok(())
    }

    /// See [`Channel::close`].
    pub async fn close(&self) -> Result<(), ChannelError> {
        let closed = self.0.channel.load_full().close().await;
        self.0.unopened.send_replace(false);
        closed
    }

    /// The channel that has the seat now.
    pub(crate) fn channel(&self) -> Arc<Box<dyn Channel>> {
        self.0.channel.load_full()
    }

    /// Gives the seat to another channel; the one before is returned.
    pub(crate) fn swap(&self, channel: Arc<Box<dyn Channel>>) -> Arc<Box<dyn Channel>> {
        self.0.channel.swap(channel)
    }

    /// Held for reading by every put.
    pub(crate) fn gate(&self) -> &RwLock<()> {
        &self.0.gate
    }

    /// The gate of a channel that may be used. Waits while it is opened or changed.
    async fn enter(&self, wanted: usize) -> Result<RwLockReadGuard<'_, ()>, ChannelError> {
        if let Ok(open) = self.0.gate.try_read()
            && self.is_open()
        {
            return Ok(open);
        }
        let mut unopened = self.0.unopened.subscribe();
        let entered = async {
            loop {
                let open = self.0.gate.read().await;
                if self.is_open() {
                    return open;
                }
                drop(open);
                // The sender lives as long as the seat.
                let _ = unopened.wait_for(|unopened| !unopened).await;
            }
        };
        let entered = timeout(MAX_GATE_WAIT, entered).await;
        entered.map_err(|_| {
            if self.is_open() {
                ChannelError::Full { wanted }
            } else {
                ChannelError::Closed
            }
        })
    }

    /// See [`Channel::put`].
    pub async fn put(&self, batch: Vec<Event>) -> Result<(), ChannelError> {
        let events = batch.len();
        self.0.counters.put_attempts.add(events);
        let picked = self.0.cx.taps.pick(Passage::Put, &batch);
        let _open = self.enter(events).await?;
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

    /// When the oldest event that can be taken was put.
    pub fn oldest(&self) -> Option<SystemTime> {
        self.stats().oldest
    }
}

impl Drop for Burying {
    fn drop(&mut self) {
        let mut buriers = self.grave.0.buriers.lock();
        buriers.retain(|other| !Arc::ptr_eq(other, &self.burier));
    }
}

//! What monitoring, `status` and `/readyz` read: one entry per component, replaced as a whole by a reload.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use arc_swap::ArcSwap;
use flume_core::{
    AgentInfo, ChannelHandle, Context, SourceContext, State, StateHandle, TapPoint,
    component::short_name,
    metrics::{Durations, Metrics},
};
use parking_lot::Mutex;

use crate::{
    flow::FlowShape,
    history::{History, Sample, Series},
};
use tokio::sync::{Semaphore, SemaphorePermit};

/// The time over which a rate is taken, in seconds; a sample is taken each second.
const RATE_SECONDS: usize = 10;
/// Reloads that are remembered.
const MAX_RELOADS: usize = 16;
/// Taps that may run at the same time.
pub(crate) const MAX_TAPS: usize = 8;

/// The three kinds that monitoring knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MonitoredKind {
    /// A source.
    Source,
    /// A channel.
    Channel,
    /// A sink.
    Sink,
}

impl MonitoredKind {
    /// Lower-case name.
    pub fn name(self) -> &'static str {
        match self {
            MonitoredKind::Source => "source",
            MonitoredKind::Channel => "channel",
            MonitoredKind::Sink => "sink",
        }
    }

    /// The kind of a full component name: `a1.sinks.k1`.
    fn of(full: &str) -> MonitoredKind {
        match full.split('.').nth(1) {
            Some("sources") => MonitoredKind::Source,
            Some("channels") => MonitoredKind::Channel,
            _ => MonitoredKind::Sink,
        }
    }

    /// The counter that says how much has gone through.
    fn flow(self) -> &'static str {
        match self {
            MonitoredKind::Source => "EventAcceptedCount",
            MonitoredKind::Channel => "EventTakeSuccessCount",
            MonitoredKind::Sink => "EventDrainSuccessCount",
        }
    }
}

/// One component.
pub struct ComponentEntry {
    /// What it is.
    pub kind: MonitoredKind,
    /// Its short name: `k1`.
    pub name: String,
    /// Its type as the user wrote it.
    pub type_name: String,
    /// What it is doing.
    pub state: StateHandle,
    /// Its numbers.
    pub metrics: Metrics,
    /// When it was started.
    pub started: SystemTime,
    /// What only its kind has.
    pub details: EntryDetails,
    /// Where its events can be looked at.
    pub taps: TapPoint,
    flow: Mutex<VecDeque<Counts>>,
    history: Mutex<History>,
}

/// What only one kind of component has.
pub enum EntryDetails {
    /// Where a source listens.
    Source(SourceContext),
    /// What a channel holds.
    Channel(ChannelHandle),
    /// A sink has no more; a refused component has nothing.
    Other,
}

impl ComponentEntry {
    /// The entry of the component whose context this is; `type_name` is its type as the user wrote it.
    pub fn new(cx: &Context, type_name: &str, details: EntryDetails) -> Arc<Self> {
        Arc::new(ComponentEntry {
            kind: MonitoredKind::of(&cx.name),
            name: short_name(&cx.name).into(),
            type_name: type_name.into(),
            state: cx.state.clone(),
            metrics: cx.metrics.clone(),
            started: SystemTime::now(),
            details,
            taps: cx.taps.clone(),
            flow: Mutex::default(),
            history: Mutex::default(),
        })
    }

    /// What flowed lately, per second.
    pub fn rates(&self) -> Rates {
        let flow = self.flow.lock();
        let (Some(first), Some(last)) = (flow.front(), flow.back()) else {
            return Rates::default();
        };
        last.rates_since(first)
    }

    /// The last hour, see [`Series`].
    pub fn history(&self) -> Vec<Series> {
        self.history.lock().report()
    }

    /// Goes on with the history of the component of the same name before this one.
    fn inherit(&self, predecessor: &ComponentEntry) {
        self.state.inherit(&predecessor.state);
        *self.history.lock() = predecessor.history.lock().clone();
    }

    /// Whether monitoring cannot tell them apart.
    pub fn is_same(&self, other: &ComponentEntry) -> bool {
        (self.kind, &self.name) == (other.kind, &other.name)
    }

    fn sample(&self) {
        let counts = self.count();
        let mut sample = self.measure();
        let mut flow = self.flow.lock();
        if let Some(last) = flow.back() {
            let rates = counts.rates_since(last);
            sample.rate = rates.out as f32;
            sample.put_rate = rates.put as f32;
            sample.errors = counts.failures.saturating_sub(last.failures) as f32;
            if let Some(mean) = counts.mean_delivery_since(last) {
                sample.latency = mean;
            }
        }
        flow.push_back(counts);
        if flow.len() > RATE_SECONDS + 1 {
            flow.pop_front();
        }
        drop(flow);
        self.history.lock().push(sample);
    }

    fn count(&self) -> Counts {
        let deliveries = match self.kind {
            MonitoredKind::Sink => self.metrics.histogram("DeliverTime").get(),
            _ => Durations::default(),
        };
        let routes = match &self.details {
            EntryDetails::Source(cx) => cx.out.routed(),
            _ => vec![],
        };
        Counts {
            at: Instant::now(),
            out: self.metrics.number(self.kind.flow()),
            put: self.metrics.number("EventPutSuccessCount"),
            failures: self.state.failures(),
            deliveries: deliveries.count,
            delivering: deliveries.sum,
            routes,
        }
    }

    /// What a channel holds.
    fn measure(&self) -> Sample {
        let EntryDetails::Channel(handle) = &self.details else {
            return Sample::default();
        };
        let stats = handle.stats();
        let oldest = stats.oldest.and_then(|oldest| oldest.elapsed().ok());
        Sample {
            fill: (stats.events + stats.in_flight) as f32 / stats.capacity.max(1) as f32,
            latency: oldest.unwrap_or_default().as_secs_f32(),
            ..Sample::default()
        }
    }
}

/// Events per second.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rates {
    /// Out of the component.
    pub out: f64,
    /// Into a channel.
    pub put: f64,
    /// From a source into each of its channels, by their short names.
    pub routes: Vec<(String, f64)>,
}

/// The counters of a component at one moment.
struct Counts {
    at: Instant,
    out: u64,
    put: u64,
    failures: u64,
    deliveries: u64,
    delivering: Duration,
    routes: Vec<(String, u64)>,
}

impl Counts {
    fn rates_since(&self, earlier: &Counts) -> Rates {
        let seconds = self.at.duration_since(earlier.at).as_secs_f64();
        let per_second = |now: u64, before: u64| {
            if seconds > 0.0 {
                now.saturating_sub(before) as f64 / seconds
            } else {
                0.0
            }
        };
        let route = |(name, now): &(String, u64)| {
            let known = earlier.routes.iter().find(|(known, _)| known == name);
            let before = known.map_or(*now, |(_, before)| *before);
            (short_name(name).to_string(), per_second(*now, before))
        };
        Rates {
            out: per_second(self.out, earlier.out),
            put: per_second(self.put, earlier.put),
            routes: self.routes.iter().map(route).collect(),
        }
    }

    /// Seconds that a delivery took.
    fn mean_delivery_since(&self, earlier: &Counts) -> Option<f32> {
        let deliveries = self.deliveries.checked_sub(earlier.deliveries)?;
        let took = self.delivering.checked_sub(earlier.delivering)?;
        (deliveries > 0).then(|| took.as_secs_f32() / deliveries as f32)
    }
}

/// All components of an agent. Cheap to clone.
#[derive(Clone)]
pub struct Board(Arc<BoardState>);

struct BoardState {
    agent: Arc<AgentInfo>,
    started: SystemTime,
    entries: ArcSwap<Vec<Arc<ComponentEntry>>>,
    last_reloads: Mutex<VecDeque<ReloadOutcome>>,
    shape: ArcSwap<FlowShape>,
    /// Why the configuration cannot be looked at, and since when.
    unreadable: Mutex<Option<(String, SystemTime)>>,
    reloads: AtomicU64,
    failed_reloads: AtomicU64,
    /// One permit for each tap that may run.
    taps: Semaphore,
}

/// How the configuration is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigurationHealth {
    /// Reloads that put a new configuration into force.
    pub reloads: u64,
    /// Reloads that changed nothing because something was wrong.
    pub failed_reloads: u64,
    /// Whether the last reload, if there was one, was such.
    pub last_failed: bool,
    /// Why the configuration cannot be looked at, and since when.
    pub unreadable: Option<(String, SystemTime)>,
}

/// How the last reload went.
#[derive(Clone, Debug)]
pub struct ReloadOutcome {
    /// When.
    pub at: SystemTime,
    /// Why it changed nothing.
    pub error: Option<String>,
}

impl Board {
    /// An empty board of an agent that starts now.
    pub fn new(agent: Arc<AgentInfo>) -> Self {
        let started = SystemTime::now();
        let entries = ArcSwap::default();
        Board(Arc::new(BoardState {
            agent,
            started,
            entries,
            last_reloads: Mutex::default(),
            shape: ArcSwap::default(),
            unreadable: Mutex::default(),
            reloads: AtomicU64::new(0),
            failed_reloads: AtomicU64::new(0),
            taps: Semaphore::new(MAX_TAPS),
        }))
    }

    /// The agent.
    pub fn agent(&self) -> &AgentInfo {
        &self.0.agent
    }

    /// A place for one more tap, as long as there is one.
    pub(crate) fn place_for_tap(&self) -> Option<SemaphorePermit<'_>> {
        self.0.taps.try_acquire().ok()
    }

    /// When the agent was started.
    pub fn started(&self) -> SystemTime {
        self.0.started
    }

    /// All components: sources, channels, sinks, each in the order of their names.
    pub fn entries(&self) -> Arc<Vec<Arc<ComponentEntry>>> {
        self.0.entries.load_full()
    }

    /// Shows these components and no others.
    pub fn publish(&self, mut entries: Vec<Arc<ComponentEntry>>) {
        let shown = self.entries();
        for entry in &entries {
            let predecessor = shown.iter().find(|shown| shown.is_same(entry));
            if let Some(old) = predecessor.filter(|old| !Arc::ptr_eq(old, entry)) {
                entry.inherit(old);
            }
        }
        entries.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
        self.0.entries.store(Arc::new(entries));
    }

    /// Shows a component no longer.
    pub fn withdraw(&self, entry: &Arc<ComponentEntry>) {
        let others = self
            .entries()
            .iter()
            .filter(|shown| !Arc::ptr_eq(shown, entry))
            .cloned()
            .collect();
        self.0.entries.store(Arc::new(others));
    }

    /// How the last reload went, if there was one.
    pub fn last_reload(&self) -> Option<ReloadOutcome> {
        self.0.last_reloads.lock().back().cloned()
    }

    /// The last reloads, oldest first: a bounded number.
    pub fn reloads(&self) -> Vec<ReloadOutcome> {
        self.0.last_reloads.lock().iter().cloned().collect()
    }

    /// What is configured.
    pub fn flow(&self) -> Arc<FlowShape> {
        self.0.shape.load_full()
    }

    /// Shows this as what is configured.
    pub fn show_flow(&self, shape: FlowShape) {
        self.0.shape.store(Arc::new(shape));
    }

    /// A reload has ended now; `error` says why it changed nothing.
    pub fn reloaded(&self, error: Option<String>) {
        let counter = match error {
            None => &self.0.reloads,
            Some(_) => &self.0.failed_reloads,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        let mut reloads = self.0.last_reloads.lock();
        if reloads.len() >= MAX_RELOADS {
            reloads.pop_front();
        }
        reloads.push_back(ReloadOutcome {
            at: SystemTime::now(),
            error,
        });
    }

    /// Remembers why the configuration cannot be looked at. The answer is what was known before.
    pub fn set_unreadable(&self, problem: Option<String>) -> Option<String> {
        let mut unreadable = self.0.unreadable.lock();
        let before = unreadable.take();
        *unreadable = problem.map(|problem| {
            let since = match &before {
                Some((known, since)) if *known == problem => *since,
                _ => SystemTime::now(),
            };
            (problem, since)
        });
        before.map(|(problem, _)| problem)
    }

    /// How the configuration is.
    pub fn configuration(&self) -> ConfigurationHealth {
        let reload = self.last_reload();
        ConfigurationHealth {
            reloads: self.0.reloads.load(Ordering::Relaxed),
            failed_reloads: self.0.failed_reloads.load(Ordering::Relaxed),
            last_failed: reload.is_some_and(|reload| reload.error.is_some()),
            unreadable: self.0.unreadable.lock().clone(),
        }
    }

    /// The sources and channels that are not ready to take events, with the reason; one that has done all it had to do
    /// is ready. Sinks do not count: while they cannot deliver, the channel keeps what the sources take.
    pub fn unready(&self) -> Vec<String> {
        let unready = |entry: &Arc<ComponentEntry>| match entry.state.get().0 {
            _ if entry.kind == MonitoredKind::Sink => None,
            State::Running
            | State::Waiting { .. }
            | State::Stopped
            | State::Ended { well: true, .. } => None,
            state => Some(format!("{} {}: {state}", entry.kind.name(), entry.name)),
        };
        self.entries().iter().filter_map(unready).collect()
    }

    /// Takes a sample of each component's flow, every second, for ever.
    pub async fn sample(self) {
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        // After a standstill of the machine there is nothing to catch up with.
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            self.entries().iter().for_each(|entry| entry.sample());
        }
    }
}

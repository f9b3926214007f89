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
    component::short_name, metrics::Metrics,
};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit};

/// The time over which a rate is taken, in seconds; a sample is taken each second.
const RATE_SECONDS: usize = 10;
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
    flow: Mutex<VecDeque<(Instant, u64)>>,
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
        })
    }

    /// Events per second that went through it lately.
    pub fn rate(&self) -> f64 {
        let flow = self.flow.lock();
        match (flow.front(), flow.back()) {
            (Some((since, before)), Some((until, after))) if until > since => {
                (after - before) as f64 / until.duration_since(*since).as_secs_f64()
            }
            _ => 0.0,
        }
    }

    /// Whether monitoring cannot tell them apart.
    pub fn is_same(&self, other: &ComponentEntry) -> bool {
        (self.kind, &self.name) == (other.kind, &other.name)
    }

    fn sample(&self) {
        let counted = self.metrics.counter(self.kind.flow()).get();
        let mut flow = self.flow.lock();
        flow.push_back((Instant::now(), counted));
        if flow.len() > RATE_SECONDS + 1 {
            flow.pop_front();
        }
    }
}

/// All components of an agent. Cheap to clone.
#[derive(Clone)]
pub struct Board(Arc<BoardState>);

struct BoardState {
    agent: Arc<AgentInfo>,
    started: SystemTime,
    entries: ArcSwap<Vec<Arc<ComponentEntry>>>,
    reload: Mutex<Option<ReloadOutcome>>,
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
            reload: Mutex::default(),
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
        self.0.reload.lock().clone()
    }

    /// A reload has ended now; `error` says why it changed nothing.
    pub fn reloaded(&self, error: Option<String>) {
        let counter = match error {
            None => &self.0.reloads,
            Some(_) => &self.0.failed_reloads,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        *self.0.reload.lock() = Some(ReloadOutcome {
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
        loop {
            tick.tick().await;
            self.entries().iter().for_each(|entry| entry.sample());
        }
    }
}

//! What `flume-ng status` shows, as data.

use std::{collections::BTreeMap, time::SystemTime};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use flume_core::{State, StateChange, metrics::MetricValue};

use crate::{
    board::{Board, ComponentEntry, EntryDetails, Rates},
    history::Series,
    metrics::numbers,
    problems::{Problem, problems},
};

/// An agent at one moment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    /// Its name.
    pub agent: String,
    /// Its process.
    pub pid: u32,
    /// The version of the program.
    pub version: String,
    /// When it was started.
    pub started: Timestamp,
    /// How the last reload went, if there was one.
    pub last_reload: Option<ReloadStatus>,
    /// What stands still and why, the gravest first.
    #[serde(default)]
    pub problems: Vec<Problem>,
    /// Why the configuration cannot be looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<UnreadableStatus>,
    /// Its components: sources, channels, sinks, each in the order of their names.
    pub components: Vec<ComponentStatus>,
}

/// How a reload went.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReloadStatus {
    /// When.
    pub at: Timestamp,
    /// Why it changed nothing.
    pub error: Option<String>,
}

/// A configuration that cannot be looked at.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UnreadableStatus {
    /// Since when.
    pub since: Timestamp,
    /// Why.
    pub error: String,
}

/// A component at one moment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ComponentStatus {
    /// `source`, `channel` or `sink`.
    pub kind: String,
    /// Its short name.
    pub name: String,
    /// Its type as the user wrote it.
    #[serde(rename = "type")]
    pub type_name: String,
    /// `starting`, `running`, `waiting`, `failing`, `refused` or `stopped`.
    pub state: String,
    /// Why it is not running.
    pub reason: Option<String>,
    /// Since when, for this reason.
    pub since: Timestamp,
    /// Attempts in a row that failed.
    pub attempts: Option<u32>,
    /// When the next is made.
    pub next_try: Option<Timestamp>,
    /// Where a source listens.
    pub address: Option<String>,
    /// Events per second over the last ten seconds.
    pub events_per_second: f64,
    /// The same of what was put into a channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub put_per_second: Option<f64>,
    /// The same from a source into each of its channels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub routes: BTreeMap<String, f64>,
    /// Attempts that failed since it was started.
    #[serde(default)]
    pub failures: u64,
    /// What a channel holds.
    pub channel: Option<ChannelStatus>,
    /// All its numbers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, u64>,
    /// Facts in words: its principal, the file it reads.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub facts: BTreeMap<String, String>,
}

/// What a channel holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ChannelStatus {
    /// Events that can be taken.
    pub events: usize,
    /// Their bytes.
    pub bytes: usize,
    /// Events taken but not settled.
    pub in_flight: usize,
    /// Most events.
    pub capacity: usize,
    /// When the oldest event was put.
    pub oldest: Option<Timestamp>,
    /// Seconds until it is full, if events come and go as they do now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds_to_full: Option<f64>,
}

/// All that is remembered of a component.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ComponentReport {
    /// As it is now.
    #[serde(flatten)]
    pub status: ComponentStatus,
    /// The last hour.
    pub history: Vec<Series>,
    /// Its last different errors, oldest first.
    pub errors: Vec<ChangeStatus>,
    /// Its last changes of state, oldest first.
    pub changes: Vec<ChangeStatus>,
}

/// A state that a component had, or an error.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ChangeStatus {
    /// When it began last.
    pub at: Timestamp,
    /// The state.
    pub state: String,
    /// The reason for it.
    pub reason: String,
    /// How often it began.
    pub times: u64,
}

impl From<StateChange> for ChangeStatus {
    fn from(change: StateChange) -> Self {
        ChangeStatus {
            at: timestamp(change.at),
            state: change.state.into(),
            reason: change.reason,
            times: change.times,
        }
    }
}

/// What a status is to contain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// States and rates, for whoever asks every second.
    Brief,
    /// All numbers and facts as well, but for texts that may have come with events.
    Public,
    /// All, for the owner of the agent.
    Full,
}

/// The agent as it is now, in full.
pub fn status(board: &Board) -> Status {
    status_in(board, Detail::Full)
}

/// The agent as it is now.
pub fn status_in(board: &Board, detail: Detail) -> Status {
    let reload = board.last_reload();
    let entries = board.entries();
    let components = entries.iter().map(|entry| component(entry, detail));
    let mut status = Status {
        agent: board.agent().name.clone(),
        pid: std::process::id(),
        version: env!("CARGO_PKG_VERSION").into(),
        started: timestamp(board.started()),
        last_reload: reload.map(|reload| ReloadStatus {
            at: timestamp(reload.at),
            error: reload.error,
        }),
        unreadable: board
            .configuration()
            .unreadable
            .map(|(error, since)| UnreadableStatus {
                since: timestamp(since),
                error,
            }),
        problems: vec![],
        components: components.collect(),
    };
    status.problems = problems(&status, &board.flow(), Timestamp::now());
    status
}

/// All that is remembered of the component of this kind and short name, if there is one.
pub fn report(board: &Board, kind: &str, name: &str, detail: Detail) -> Option<ComponentReport> {
    let entries = board.entries();
    let mut entries = entries.iter();
    let entry = entries.find(|entry| entry.kind.name() == kind && entry.name == name)?;
    let owned = |changes: Vec<StateChange>| changes.into_iter().map(Into::into).collect();
    Some(ComponentReport {
        status: component(entry, detail),
        history: entry.history(),
        errors: owned(entry.state.errors()),
        changes: owned(entry.state.changes()),
    })
}

/// Where a source listens, what a channel holds.
fn details(entry: &ComponentEntry, rates: &Rates) -> (Option<String>, Option<ChannelStatus>) {
    match &entry.details {
        EntryDetails::Source(cx) => (cx.address().map(|address| address.to_string()), None),
        EntryDetails::Channel(handle) => {
            let stats = handle.stats();
            let room = stats
                .capacity
                .saturating_sub(stats.events + stats.in_flight);
            let growth = rates.put - rates.out;
            let channel = ChannelStatus {
                events: stats.events,
                bytes: stats.bytes,
                in_flight: stats.in_flight,
                capacity: stats.capacity,
                oldest: stats.oldest.map(timestamp),
                seconds_to_full: (growth > 0.0 && room > 0).then(|| room as f64 / growth),
            };
            (None, Some(channel))
        }
        EntryDetails::Other => (None, None),
    }
}

fn component(entry: &ComponentEntry, detail: Detail) -> ComponentStatus {
    let (state, since) = entry.state.get();
    let (attempts, next_try) = match &state {
        State::Failing {
            attempts, next_try, ..
        } => (Some(*attempts), Some(timestamp(*next_try))),
        _ => (None, None),
    };
    let rates = entry.rates();
    let (address, channel) = details(entry, &rates);
    let is_channel = channel.is_some();
    let mut metrics = BTreeMap::new();
    let mut facts = BTreeMap::new();
    if detail != Detail::Brief {
        for reading in entry.metrics.read() {
            match reading.value {
                MetricValue::Text(text) | MetricValue::EventText(text) if text.is_empty() => {}
                MetricValue::Text(text) => drop(facts.insert(reading.name.into(), text)),
                MetricValue::EventText(text) if detail == Detail::Full => {
                    facts.insert(reading.name.into(), text);
                }
                value => metrics.extend(numbers(reading.name, &value)),
            }
        }
    }
    ComponentStatus {
        kind: entry.kind.name().into(),
        name: entry.name.clone(),
        type_name: entry.type_name.clone(),
        state: state.name().into(),
        reason: state.reason().map(Into::into),
        since: timestamp(since),
        attempts,
        next_try,
        address,
        events_per_second: rates.out,
        put_per_second: is_channel.then_some(rates.put),
        routes: rates.routes.into_iter().collect(),
        failures: entry.state.failures(),
        channel,
        metrics,
        facts,
    }
}

pub(crate) fn timestamp(time: SystemTime) -> Timestamp {
    Timestamp::try_from(time).unwrap_or_default()
}

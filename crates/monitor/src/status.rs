//! What `flume-ng status` shows, as data.

use std::{collections::BTreeMap, time::SystemTime};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use flume_core::{State, metrics::MetricValue};

use crate::{
    board::{Board, ComponentEntry, EntryDetails},
    metrics::numbers,
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
    /// What a channel holds.
    pub channel: Option<ChannelStatus>,
    /// All its numbers.
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
}

/// The agent as it is now.
pub fn status(board: &Board) -> Status {
    let reload = board.last_reload();
    Status {
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
        components: board
            .entries()
            .iter()
            .map(|entry| component(entry))
            .collect(),
    }
}

fn component(entry: &ComponentEntry) -> ComponentStatus {
    let (state, since) = entry.state.get();
    let (attempts, next_try) = match &state {
        State::Failing {
            attempts, next_try, ..
        } => (Some(*attempts), Some(timestamp(*next_try))),
        _ => (None, None),
    };
    let (address, channel) = match &entry.details {
        EntryDetails::Source(cx) => (cx.address().map(|address| address.to_string()), None),
        EntryDetails::Channel(handle) => {
            let stats = handle.stats();
            let channel = ChannelStatus {
                events: stats.events,
                bytes: stats.bytes,
                in_flight: stats.in_flight,
                capacity: stats.capacity,
                oldest: stats.oldest.map(timestamp),
            };
            (None, Some(channel))
        }
        EntryDetails::Other => (None, None),
    };
    let mut metrics = BTreeMap::new();
    let mut facts = BTreeMap::new();
    for reading in entry.metrics.read() {
        match reading.value {
            MetricValue::Text(text) if text.is_empty() => {}
            MetricValue::Text(text) => drop(facts.insert(reading.name.into(), text)),
            value => metrics.extend(numbers(reading.name, &value)),
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
        events_per_second: entry.rate(),
        channel,
        metrics,
        facts,
    }
}

fn timestamp(time: SystemTime) -> Timestamp {
    Timestamp::try_from(time).unwrap_or_default()
}

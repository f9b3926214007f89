//! The numbers of all components: in Flume's JSON shape, and as Prometheus text.

use std::{
    collections::BTreeMap,
    fmt::{Display, Write},
    time::{SystemTime, UNIX_EPOCH},
};

use flume_core::{
    ChannelStats, State,
    metrics::{Durations, Histogram, MetricValue},
};
use serde_json::{Map, Value};

use crate::board::{Board, ComponentEntry, EntryDetails, MonitoredKind};

const SOURCE_ATTRIBUTES: &[&str] = &[
    "EventReceivedCount",
    "EventAcceptedCount",
    "AppendReceivedCount",
    "AppendAcceptedCount",
    "AppendBatchReceivedCount",
    "AppendBatchAcceptedCount",
    "OpenConnectionCount",
    "EventReadFail",
    "ChannelWriteFail",
    "GenericProcessingFail",
];

const SINK_ATTRIBUTES: &[&str] = &[
    "ConnectionCreatedCount",
    "ConnectionClosedCount",
    "ConnectionFailedCount",
    "BatchEmptyCount",
    "BatchUnderflowCount",
    "BatchCompleteCount",
    "EventDrainAttemptCount",
    "EventDrainSuccessCount",
    "EventWriteFail",
    "ChannelReadFail",
];

const CHANNEL_ATTRIBUTES: &[&str] = &[
    "EventPutAttemptCount",
    "EventPutSuccessCount",
    "EventTakeAttemptCount",
    "EventTakeSuccessCount",
];

/// What Flume shows for every component of a kind, touched or not.
fn attributes(kind: MonitoredKind) -> &'static [&'static str] {
    match kind {
        MonitoredKind::Source => SOURCE_ATTRIBUTES,
        MonitoredKind::Channel => CHANNEL_ATTRIBUTES,
        MonitoredKind::Sink => SINK_ATTRIBUTES,
    }
}

/// Flume's `/metrics`: `{"CHANNEL.c1": {"ChannelSize": "0", …}}`, every value a string.
/// `event_texts`: also texts that may have something in them that came with an event.
pub fn json(board: &Board, event_texts: bool) -> String {
    let entries = board.entries();
    let shown = entries.iter().map(|entry| {
        let kind = entry.kind.name().to_uppercase();
        let attributes = flume_attributes(entry, event_texts)
            .into_iter()
            .map(|(name, value)| (name, Value::String(value)));
        let attributes = attributes.chain([("Type".to_string(), Value::String(kind.clone()))]);
        (
            format!("{kind}.{}", entry.name),
            Value::Object(attributes.collect()),
        )
    });
    let mut shown: Map<_, _> = shown.collect();
    shown.insert(
        format!("AGENT.{}", board.agent().name),
        Value::Object(agent_attributes(board)),
    );
    Value::Object(shown).to_string()
}

/// Every attribute of every component by its full name, as Ganglia has it: `flume.CHANNEL.c1.ChannelSize`.
pub(crate) fn all_attributes(board: &Board) -> Vec<(String, String)> {
    let mut all = vec![];
    for entry in board.entries().iter() {
        let kind = entry.kind.name().to_uppercase();
        let name = |attribute: &str| format!("flume.{kind}.{}.{attribute}", entry.name);
        for (attribute, value) in flume_attributes(entry, false) {
            all.push((name(&attribute), value));
        }
        all.push((name("Type"), kind.clone()));
    }
    all
}

/// What Flume does not have: how the configuration is.
fn agent_attributes(board: &Board) -> Map<String, Value> {
    let configuration = board.configuration();
    let is_good = !configuration.last_failed && configuration.unreadable.is_none();
    let mut attributes = vec![
        ("Type", "AGENT".to_string()),
        ("StartTime", millis(board.started()).to_string()),
        ("ConfigurationGood", u8::from(is_good).to_string()),
        ("ReloadCount", configuration.reloads.to_string()),
        (
            "ReloadFailedCount",
            configuration.failed_reloads.to_string(),
        ),
    ];
    if let Some((recorded, lost)) = board.agent().spans.counts() {
        attributes.push(("SpanRecordedCount", recorded.to_string()));
        attributes.push(("SpanLostCount", lost.to_string()));
    }
    let attributes = attributes.into_iter();
    attributes
        .map(|(name, value)| (name.into(), value.into()))
        .collect()
}

fn flume_attributes(entry: &ComponentEntry, event_texts: bool) -> BTreeMap<String, String> {
    let mut shown: BTreeMap<String, String> = attributes(entry.kind)
        .iter()
        .map(|name| (name.to_string(), "0".into()))
        .collect();
    for reading in entry.metrics.read() {
        match &reading.value {
            MetricValue::Text(text) => drop(shown.insert(reading.name.into(), text.clone())),
            MetricValue::EventText(text) if event_texts => {
                shown.insert(reading.name.into(), text.clone());
            }
            value => shown.extend(
                numbers(reading.name, value)
                    .into_iter()
                    .map(|(name, number)| (name, number.to_string())),
            ),
        }
    }
    let (state, since) = entry.state.get();
    if let EntryDetails::Channel(handle) = &entry.details {
        let stats = handle.stats();
        shown.insert("ChannelSize".into(), stats.events.to_string());
        shown.insert("ChannelCapacity".into(), stats.capacity.to_string());
        shown.insert(
            "ChannelFillPercentage".into(),
            java_double(fill_percentage(stats.events, stats.capacity)),
        );
    }
    let stopped = if matches!(state, State::Stopped | State::Ended { .. }) {
        millis(since)
    } else {
        0
    };
    shown.insert("StartTime".into(), millis(entry.started).to_string());
    shown.insert("StopTime".into(), stopped.to_string());
    shown.insert("State".into(), state.name().into());
    shown.insert(
        "StateReason".into(),
        state.reason().unwrap_or_default().into(),
    );
    shown
}

/// A metric as named numbers: durations are their number and their sum in milliseconds, a text is none.
pub(crate) fn numbers(name: &str, value: &MetricValue) -> Vec<(String, u64)> {
    match value {
        MetricValue::Count(number) | MetricValue::Level(number) => vec![(name.into(), *number)],
        MetricValue::Durations(Durations { count, sum, .. }) => vec![
            (format!("{name}Count"), *count),
            (format!("{name}Millis"), sum.as_millis() as u64),
        ],
        MetricValue::Text(_) | MetricValue::EventText(_) => vec![],
    }
}

fn fill_percentage(events: usize, capacity: usize) -> f64 {
    if capacity == 0 {
        f64::MAX
    } else {
        events as f64 * 100.0 / capacity as f64
    }
}

/// As `Double.toString`, which always shows a fraction, and an exponent from ten million on.
fn java_double(number: f64) -> String {
    if number >= 1e7 {
        format!("{number:E}")
    } else {
        format!("{number:?}")
    }
}

fn millis(time: SystemTime) -> u128 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis())
}

/// Prometheus' text format, version 0.0.4: `flume_sink_event_drain_success_total{agent="a1",component="k1"} 7`.
/// `event_texts`: see [`json`].
pub fn prometheus(board: &Board, event_texts: bool) -> String {
    let mut exposition = Exposition {
        event_texts,
        ..Exposition::default()
    };
    for entry in board.entries().iter() {
        let labels = format!(
            "agent=\"{}\",component=\"{}\"",
            escape(&board.agent().name),
            escape(&entry.name)
        );
        exposition.metrics(entry, &labels);
        if let EntryDetails::Channel(handle) = &entry.details {
            exposition.channel(&handle.stats(), &labels);
        }
        exposition.state(entry, &labels);
        let failures = "flume_component_failures_total".to_string();
        let labels = format!("{labels},kind=\"{}\"", entry.kind.name());
        exposition.counter(failures, &labels, entry.state.failures());
    }
    exposition.configuration(board);
    exposition.text()
}

/// The lines of each family: Prometheus wants them together, under one line with their type.
#[derive(Default)]
struct Exposition {
    families: BTreeMap<String, (&'static str, Vec<String>)>,
    event_texts: bool,
}

impl Exposition {
    fn add(&mut self, family: String, kind: &'static str, line: String) {
        let (_, lines) = self.families.entry(family).or_insert((kind, vec![]));
        lines.push(line);
    }

    fn counter(&mut self, family: String, labels: &str, value: u64) {
        let line = format!("{family}{{{labels}}} {value}");
        self.add(family, "counter", line);
    }

    fn gauge(&mut self, family: String, labels: &str, value: impl Display) {
        let line = format!("{family}{{{labels}}} {value}");
        self.add(family, "gauge", line);
    }

    /// The counters, gauges, texts and durations of a component.
    fn metrics(&mut self, entry: &ComponentEntry, labels: &str) {
        let untouched = attributes(entry.kind).iter();
        let mut metrics: BTreeMap<_, _> = untouched
            .map(|name| (*name, MetricValue::Count(0)))
            .collect();
        let readings = entry.metrics.read().into_iter();
        metrics.extend(readings.map(|reading| (reading.name, reading.value)));
        for (name, value) in metrics {
            let family = format!("flume_{}_{}", entry.kind.name(), snake(name));
            match value {
                MetricValue::Count(number) if name != "OpenConnectionCount" => {
                    self.counter(family + "_total", labels, number);
                }
                MetricValue::Count(number) | MetricValue::Level(number) => {
                    self.gauge(family, labels, number);
                }
                MetricValue::EventText(_) if !self.event_texts => {}
                MetricValue::Text(text) | MetricValue::EventText(text) => {
                    let labels = format!("{labels},text=\"{}\"", escape(&text));
                    self.gauge(family + "_info", &labels, 1);
                }
                MetricValue::Durations(durations) => {
                    let family = family + "_seconds";
                    let lines = histogram(&family, labels, &durations);
                    self.add(family, "histogram", lines);
                }
            }
        }
    }

    fn channel(&mut self, stats: &ChannelStats, labels: &str) {
        let oldest = stats.oldest.and_then(|oldest| oldest.elapsed().ok());
        let age = oldest.unwrap_or_default().as_secs_f64();
        self.gauge("flume_channel_size".into(), labels, stats.events);
        self.gauge("flume_channel_bytes".into(), labels, stats.bytes);
        self.gauge("flume_channel_in_flight".into(), labels, stats.in_flight);
        self.gauge("flume_channel_capacity".into(), labels, stats.capacity);
        self.gauge(
            "flume_channel_oldest_event_age_seconds".into(),
            labels,
            format_args!("{age:.3}"),
        );
    }

    /// One line for each state that a component can have; the one that it has is 1.
    fn state(&mut self, entry: &ComponentEntry, labels: &str) {
        let state = entry.state.get().0;
        for name in State::NAMES {
            let labels = format!("{labels},kind=\"{}\",state=\"{name}\"", entry.kind.name());
            let is_in = u8::from(state.name() == name);
            self.gauge("flume_component_state".into(), &labels, is_in);
        }
    }

    /// Whether the last reload worked, and whether the configuration can be looked at.
    fn configuration(&mut self, board: &Board) {
        let labels = format!("agent=\"{}\"", escape(&board.agent().name));
        let configuration = board.configuration();
        let family = |name: &str| format!("flume_configuration_{name}");
        let worked = u8::from(!configuration.last_failed);
        self.gauge(family("last_reload_successful"), &labels, worked);
        let readable = u8::from(configuration.unreadable.is_none());
        self.gauge(family("readable"), &labels, readable);
        self.counter(family("reloads_total"), &labels, configuration.reloads);
        let failed = configuration.failed_reloads;
        self.counter(family("failed_reloads_total"), &labels, failed);
    }

    fn text(self) -> String {
        let mut text = String::new();
        for (family, (kind, lines)) in self.families {
            let _ = writeln!(text, "# TYPE {family} {kind}\n{}", lines.join("\n"));
        }
        text
    }
}

/// The lines of one histogram.
fn histogram(family: &str, labels: &str, durations: &Durations) -> String {
    let bounds = Histogram::BOUNDS
        .iter()
        .map(|bound| bound.as_secs_f64().to_string());
    let buckets = bounds
        .zip(durations.within.iter())
        .chain([("+Inf".to_string(), &durations.count)]);
    let mut lines: Vec<_> = buckets
        .map(|(bound, seen)| format!("{family}_bucket{{{labels},le=\"{bound}\"}} {seen}"))
        .collect();
    lines.push(format!(
        "{family}_sum{{{labels}}} {}",
        durations.sum.as_secs_f64()
    ));
    lines.push(format!("{family}_count{{{labels}}} {}", durations.count));
    lines.join("\n")
}

/// `EventPutSuccessCount` → `event_put_success`.
fn snake(name: &str) -> String {
    let mut snake = String::new();
    for c in name.strip_suffix("Count").unwrap_or(name).chars() {
        if c.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}

fn escape(label: &str) -> String {
    label
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_java_writes_them() {
        for (number, expected) in [
            (0.0, "0.0"),
            (2.0, "2.0"),
            (2.0 / 110.0 * 100.0, "1.8181818181818181"),
        ] {
            assert_eq!(java_double(number), expected);
        }
        assert_eq!(java_double(fill_percentage(0, 0)), "1.7976931348623157E308");
    }

    #[test]
    fn names_as_prometheus_wants_them() {
        assert_eq!(snake("EventPutSuccessCount"), "event_put_success");
        assert_eq!(snake("ChannelWriteFail"), "channel_write_fail");
    }

    #[test]
    fn texts_that_come_with_events_are_shown_when_that_is_asked_for() {
        let agent = std::sync::Arc::new(flume_core::AgentInfo::default());
        let board = Board::new(agent);
        let cx = flume_core::Context::new("a1.sinks.k1", &[]);
        cx.metrics.event_text("BucketFailure").set("/user=alice/x");
        cx.metrics.text("KerberosPrincipal").set("flume@R");
        board.publish(vec![ComponentEntry::new(&cx, "hdfs", EntryDetails::Other)]);
        let report = |detail| {
            let report = crate::status::report(&board, "sink", "k1", detail);
            format!("{report:?}")
        };
        let shown = [
            json(&board, false),
            prometheus(&board, false),
            report(crate::Detail::Public),
            report(crate::Detail::Brief),
        ];
        for text in shown {
            assert!(!text.contains("alice"), "{text}");
        }
        let shown = [
            json(&board, true),
            prometheus(&board, true),
            report(crate::Detail::Full),
        ];
        for text in shown {
            assert!(text.contains("alice") && text.contains("flume@R"), "{text}");
        }
    }
}

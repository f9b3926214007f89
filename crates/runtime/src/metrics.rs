//! The numbers of all components: in Flume's JSON shape, and as Prometheus text.

use std::{
    collections::BTreeMap,
    fmt::Write,
    time::{SystemTime, UNIX_EPOCH},
};

use flume_core::{
    State,
    metrics::{Durations, Histogram, MetricValue},
};
use serde_json::{Map, Value};

use crate::board::{Board, Entry, Kind, Live};

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
fn attributes(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Source => SOURCE_ATTRIBUTES,
        Kind::Channel => CHANNEL_ATTRIBUTES,
        Kind::Sink => SINK_ATTRIBUTES,
    }
}

/// Flume's `/metrics`: `{"CHANNEL.c1": {"ChannelSize": "0", …}}`, every value a string.
pub fn json(board: &Board) -> String {
    let entries = board.entries();
    let shown = entries.iter().map(|entry| {
        let kind = entry.kind.name().to_uppercase();
        let attributes = flume_attributes(entry)
            .into_iter()
            .map(|(name, value)| (name, Value::String(value)));
        let attributes = attributes.chain([("Type".to_string(), Value::String(kind.clone()))]);
        (
            format!("{kind}.{}", entry.name),
            Value::Object(attributes.collect()),
        )
    });
    Value::Object(shown.collect::<Map<_, _>>()).to_string()
}

fn flume_attributes(entry: &Entry) -> BTreeMap<String, String> {
    let mut shown: BTreeMap<String, String> = attributes(entry.kind)
        .iter()
        .map(|name| (name.to_string(), "0".into()))
        .collect();
    for reading in entry.metrics.read() {
        shown.extend(plain(reading.name, &reading.value));
    }
    let (state, since) = entry.state.get();
    if let Live::Channel(handle) = &entry.live {
        let stats = handle.stats();
        shown.insert("ChannelSize".into(), stats.events.to_string());
        shown.insert("ChannelCapacity".into(), stats.capacity.to_string());
        shown.insert(
            "ChannelFillPercentage".into(),
            java_double(fill_percentage(stats.events, stats.capacity)),
        );
    }
    let stopped = if state == State::Stopped {
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

/// A metric as names and texts; of durations their number and sum.
pub(crate) fn plain(name: &str, value: &MetricValue) -> Vec<(String, String)> {
    match value {
        MetricValue::Count(number) | MetricValue::Level(number) => {
            vec![(name.into(), number.to_string())]
        }
        MetricValue::Text(text) => vec![(name.into(), text.clone())],
        MetricValue::Durations(Durations { count, sum, .. }) => {
            vec![
                (format!("{name}Count"), count.to_string()),
                (format!("{name}Millis"), sum.as_millis().to_string()),
            ]
        }
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
pub fn prometheus(board: &Board) -> String {
    let mut families: BTreeMap<String, (&'static str, Vec<String>)> = BTreeMap::new();
    let mut histograms: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let agent = escape(&board.agent().name);
    for entry in board.entries().iter() {
        let labels = format!("agent=\"{agent}\",component=\"{}\"", escape(&entry.name));
        let mut add = |name: String, kind, labels: &str, value: String| {
            families
                .entry(name.clone())
                .or_insert((kind, vec![]))
                .1
                .push(format!("{name}{{{labels}}} {value}"));
        };
        let family = |name: &str| format!("flume_{}_{}", entry.kind.name(), snake(name));
        let mut metrics: BTreeMap<_, _> = attributes(entry.kind)
            .iter()
            .map(|name| (*name, MetricValue::Count(0)))
            .collect();
        metrics.extend(
            entry
                .metrics
                .read()
                .into_iter()
                .map(|read| (read.name, read.value)),
        );
        for (name, value) in metrics {
            match value {
                MetricValue::Count(number) if name != "OpenConnectionCount" => {
                    add(
                        family(name) + "_total",
                        "counter",
                        &labels,
                        number.to_string(),
                    );
                }
                MetricValue::Count(number) | MetricValue::Level(number) => {
                    add(family(name), "gauge", &labels, number.to_string());
                }
                MetricValue::Text(text) => {
                    let labels = format!("{labels},text=\"{}\"", escape(&text));
                    add(family(name) + "_info", "gauge", &labels, "1".into());
                }
                MetricValue::Durations(durations) => {
                    let name = family(name) + "_seconds";
                    histograms
                        .entry(name.clone())
                        .or_default()
                        .push(histogram(&name, &labels, &durations));
                }
            }
        }
        if let Live::Channel(handle) = &entry.live {
            let stats = handle.stats();
            let age = stats
                .oldest
                .and_then(|oldest| oldest.elapsed().ok())
                .unwrap_or_default();
            add(family("Size"), "gauge", &labels, stats.events.to_string());
            add(family("Bytes"), "gauge", &labels, stats.bytes.to_string());
            add(
                family("InFlight"),
                "gauge",
                &labels,
                stats.in_flight.to_string(),
            );
            add(
                family("Capacity"),
                "gauge",
                &labels,
                stats.capacity.to_string(),
            );
            add(
                family("OldestEventAgeSeconds"),
                "gauge",
                &labels,
                format!("{:.3}", age.as_secs_f64()),
            );
        }
        let state = entry.state.get().0;
        for name in [
            "starting", "running", "waiting", "failing", "refused", "stopped",
        ] {
            let labels = format!("{labels},kind=\"{}\",state=\"{name}\"", entry.kind.name());
            add(
                "flume_component_state".into(),
                "gauge",
                &labels,
                u8::from(state.name() == name).to_string(),
            );
        }
    }
    let mut text = String::new();
    for (name, (kind, lines)) in families {
        let _ = writeln!(text, "# TYPE {name} {kind}\n{}", lines.join("\n"));
    }
    for (name, series) in histograms {
        let _ = writeln!(text, "# TYPE {name} histogram\n{}", series.join("\n"));
    }
    text
}

/// The lines of one histogram.
fn histogram(name: &str, labels: &str, Durations { within, count, sum }: &Durations) -> String {
    let bounds = Histogram::BOUNDS
        .iter()
        .map(|bound| bound.as_secs_f64().to_string());
    let buckets = bounds
        .zip(within.iter())
        .chain([("+Inf".to_string(), count)]);
    let mut lines: Vec<_> = buckets
        .map(|(bound, seen)| format!("{name}_bucket{{{labels},le=\"{bound}\"}} {seen}"))
        .collect();
    lines.push(format!("{name}_sum{{{labels}}} {}", sum.as_secs_f64()));
    lines.push(format!("{name}_count{{{labels}}} {count}"));
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
}

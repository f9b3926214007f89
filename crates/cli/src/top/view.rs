//! What `top` shows, as text: pure, so that a terminal, a script and a test see the same.

use flume_monitor::{ComponentStatus, FlowShape, Status, ago, printable};
use jiff::Timestamp;

/// The titles of the columns.
pub(crate) const TITLES: [&str; 8] = [
    "COMPONENT",
    "TYPE",
    "STATE",
    "FOR",
    "EVENTS/S",
    "FILL",
    "OLDEST",
    "FULL IN",
];

/// How rows are ordered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Order {
    /// As the events flow: sources, their channels, the sinks of these.
    #[default]
    Flow,
    /// Failures first.
    State,
    /// The fastest first.
    Rate,
    /// The fullest channel first.
    Fill,
}

impl Order {
    /// The next one.
    pub(crate) fn next(self) -> Order {
        match self {
            Order::Flow => Order::State,
            Order::State => Order::Rate,
            Order::Rate => Order::Fill,
            Order::Fill => Order::Flow,
        }
    }

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Order::Flow => "flow",
            Order::State => "state",
            Order::Rate => "rate",
            Order::Fill => "fill",
        }
    }
}

/// One component.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    /// `source`, `channel` or `sink`.
    pub(crate) kind: String,
    /// Its short name, as it is.
    pub(crate) name: String,
    /// Its state.
    pub(crate) state: String,
    /// One for each of [`TITLES`].
    pub(crate) cells: [String; TITLES.len()],
    /// Why it does not run; empty if it does.
    pub(crate) reason: String,
}

/// The first lines: the agent, and a sentence for each problem.
pub(crate) fn headline(status: &Status, now: Timestamp) -> String {
    let mut text = format!(
        "agent {}, process {}, Flume {}, up {}",
        printable(&status.agent),
        status.pid,
        printable(&status.version),
        ago(status.started, now)
    );
    if let Some(reload) = &status.last_reload {
        text += &format!(", configuration reloaded {} ago", ago(reload.at, now));
    }
    text
}

/// What stands still, why, since when, what to do: three lines a problem.
pub(crate) fn problem_lines(status: &Status, now: Timestamp) -> Vec<(bool, String)> {
    let mut lines = vec![];
    for problem in &status.problems {
        let is_error = problem.severity == "error";
        let sign = if is_error { "✖" } else { "▲" };
        let what = printable(&problem.what);
        lines.push((
            is_error,
            format!("{sign} {what}, for {}", ago(problem.since, now)),
        ));
        lines.push((is_error, format!("  why: {}", printable(&problem.why))));
        lines.push((is_error, format!("  do:  {}", printable(&problem.remedy))));
    }
    lines
}

/// The components that fit `filter`, in this order.
pub(crate) fn rows(
    status: &Status,
    flow: &FlowShape,
    order: Order,
    filter: &str,
    now: Timestamp,
) -> Vec<Row> {
    let mut placed = tree(status, flow);
    let filter = filter.to_lowercase();
    placed.retain(|(_, one)| {
        let text = format!("{} {} {} {}", one.kind, one.name, one.type_name, one.state);
        text.to_lowercase().contains(&filter)
    });
    match order {
        Order::Flow => {}
        Order::State => placed.sort_by_key(|(_, one)| state_rank(&one.state)),
        Order::Rate => {
            placed.sort_by(|(_, a), (_, b)| b.events_per_second.total_cmp(&a.events_per_second))
        }
        Order::Fill => placed.sort_by(|(_, a), (_, b)| fill(b).total_cmp(&fill(a))),
    }
    let is_tree = order == Order::Flow;
    let placed = placed.into_iter();
    placed
        .map(|(depth, one)| row(one, if is_tree { depth } else { 0 }, now))
        .collect()
}

fn state_rank(state: &str) -> usize {
    const RANKS: [&str; 6] = [
        "failing", "refused", "starting", "waiting", "running", "stopped",
    ];
    RANKS
        .iter()
        .position(|known| *known == state)
        .unwrap_or(RANKS.len())
}

/// Each component once with its depth: a channel stands below the first source that feeds it.
fn tree<'a>(status: &'a Status, flow: &FlowShape) -> Vec<(usize, &'a ComponentStatus)> {
    let mut left: Vec<&ComponentStatus> = status.components.iter().collect();
    let mut placed = vec![];
    let mut place = |depth: usize, kind: &str, name: &str| {
        let is_it = |one: &&ComponentStatus| one.kind == kind && one.name == name;
        let found = left.iter().position(is_it);
        if let Some(at) = found {
            placed.push((depth, left.remove(at)));
        }
        found.is_some()
    };
    let drain = |place: &mut dyn FnMut(usize, &str, &str) -> bool, channel: &str| {
        if !place(1, "channel", channel) {
            return;
        }
        for (_, sink) in flow.sinks().filter(|(_, sink)| sink.channel == channel) {
            place(2, "sink", &sink.part.name);
        }
        let refused = flow.refused.iter();
        for sink in refused.filter(|refused| refused.channel.as_deref() == Some(channel)) {
            place(2, &sink.kind, &sink.name);
        }
    };
    for source in &flow.sources {
        place(0, "source", &source.part.name);
        for channel in &source.channels {
            drain(&mut place, channel);
        }
    }
    for channel in &flow.channels {
        drain(&mut place, &channel.name);
    }
    placed.extend(left.into_iter().map(|one| (0, one)));
    placed
}

fn fill(one: &ComponentStatus) -> f64 {
    one.channel.as_ref().map_or(-1.0, |held| {
        (held.events + held.in_flight) as f64 / held.capacity.max(1) as f64
    })
}

fn row(one: &ComponentStatus, depth: usize, now: Timestamp) -> Row {
    let held = one.channel.as_ref();
    let oldest = held.and_then(|held| held.oldest.filter(|_| held.events > 0));
    let to_full = held.and_then(|held| held.seconds_to_full);
    let rate = match one.put_per_second {
        Some(put) => format!("{put:.0} → {:.0}", one.events_per_second),
        None => format!("{:.1}", one.events_per_second),
    };
    let mut reason = printable(one.reason.as_deref().unwrap_or_default());
    if let (Some(attempts), Some(next)) = (one.attempts, one.next_try) {
        reason += &format!(" (attempt {attempts}, next in {})", ago(now, next));
    }
    Row {
        kind: one.kind.clone(),
        name: one.name.clone(),
        state: one.state.clone(),
        cells: [
            format!(
                "{}{} {}",
                "  ".repeat(depth),
                one.kind,
                printable(&one.name)
            ),
            printable(&one.type_name),
            printable(&one.state),
            ago(one.since, now),
            rate,
            held.map_or(String::new(), |_| format!("{:.0} %", fill(one) * 100.0)),
            oldest.map_or(String::new(), |oldest| ago(oldest, now)),
            to_full.map_or(String::new(), seconds),
        ],
        reason,
    }
}

fn seconds(seconds: f64) -> String {
    let end = Timestamp::from_second(seconds.min(1e9) as i64).unwrap_or(Timestamp::UNIX_EPOCH);
    ago(Timestamp::UNIX_EPOCH, end)
}

/// All of it as plain text.
pub(crate) fn plain(status: &Status, rows: &[Row], now: Timestamp) -> String {
    let mut text = headline(status, now) + "\n";
    for (_, line) in problem_lines(status, now) {
        text += &(line + "\n");
    }
    let widths: Vec<usize> = (0..TITLES.len())
        .map(|column| {
            let cells = rows.iter().map(|row| row.cells[column].chars().count());
            cells.chain([TITLES[column].len()]).max().unwrap_or(0)
        })
        .collect();
    let line = |cells: &[String]| {
        let cells = cells.iter().zip(&widths);
        let cells: Vec<_> = cells
            .map(|(cell, &width)| format!("{cell:width$}"))
            .collect();
        cells.join("  ").trim_end().to_string() + "\n"
    };
    text += &line(&TITLES.map(String::from));
    for row in rows {
        text += &line(&row.cells);
        if !row.reason.is_empty() {
            text += &format!("        {}\n", row.reason);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status() -> Status {
        let part = |kind: &str, name: &str, state: &str, reason: Option<&str>| {
            serde_json::json!({"kind": kind, "name": name, "type": "t", "state": state,
                "reason": reason, "since": Timestamp::UNIX_EPOCH, "events_per_second": 1.0})
        };
        let mut channel = part("channel", "c1", "running", None);
        channel["channel"] = serde_json::json!({"events": 99, "bytes": 0, "in_flight": 1,
            "capacity": 200, "oldest": Timestamp::UNIX_EPOCH, "seconds_to_full": 61.0});
        let text = serde_json::json!({"agent": "a\u{1b}[2J", "pid": 1, "version": "1",
            "started": Timestamp::UNIX_EPOCH, "last_reload": null, "components": [
            channel, part("sink", "k1", "failing", Some("no\nway\u{202e}")),
            part("source", "r1", "running", None)]});
        serde_json::from_value(text).unwrap()
    }

    fn flow() -> FlowShape {
        let part = |name: &str| serde_json::json!({"name": name, "type": "t", "settings": {}});
        let with = |mut part: serde_json::Value, more: serde_json::Value| {
            let more = more.as_object().cloned().unwrap_or_default();
            part.as_object_mut().unwrap().extend(more);
            part
        };
        let source =
            serde_json::json!({"interceptors": [], "selector": part("s"), "channels": ["c1"]});
        let sink = with(
            part("k1"),
            serde_json::json!({"channel": "c1", "dead_letters": null}),
        );
        let text = serde_json::json!({"sources": [with(part("r1"), source)], "channels": [part("c1")],
            "groups": [with(part("k1"), serde_json::json!({"sinks": [sink]}))], "refused": []});
        serde_json::from_value(text).unwrap()
    }

    #[test]
    fn the_tree_follows_the_events_and_obeys_nobody() {
        let now = Timestamp::from_second(300).unwrap();
        let status = status();
        let rows = rows(&status, &flow(), Order::Flow, "", now);
        let text = plain(&status, &rows, now);
        assert_eq!(
            text,
            "agent a\\u{1b}[2J, process 1, Flume 1, up 5 min\n\
             COMPONENT     TYPE  STATE    FOR    EVENTS/S  FILL  OLDEST  FULL IN\n\
             source r1     t     running  5 min  1.0\n\
             \u{20} channel c1  t     running  5 min  1.0       50 %  5 min   61 s\n\
             \u{20}   sink k1   t     failing  5 min  1.0\n        no\\nway\\u{202e}\n"
        );
    }

    #[test]
    fn orders_and_filters() {
        let status = status();
        let names = |order, filter| -> Vec<String> {
            let rows = rows(&status, &flow(), order, filter, Timestamp::UNIX_EPOCH);
            rows.into_iter().map(|row| row.name).collect()
        };
        assert_eq!(names(Order::State, ""), ["k1", "r1", "c1"]);
        assert_eq!(names(Order::Fill, ""), ["c1", "r1", "k1"]);
        assert_eq!(names(Order::Flow, "SINK"), ["k1"]);
        assert_eq!(names(Order::Rate, "nothing").len(), 0);
        // A component that the configuration does not know is shown, too.
        let unknown = rows(
            &status,
            &FlowShape::default(),
            Order::Flow,
            "",
            Timestamp::UNIX_EPOCH,
        );
        assert_eq!(unknown.len(), 3);
    }
}

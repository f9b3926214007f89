//! What stands still, why, since when, and what to do: one entry per cause, not one per symptom.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    flow::{FlowShape, SinkShape},
    remedies::remedy,
    status::{ComponentStatus, Status},
};

/// A channel with so little room counts as full.
const FULL: f64 = 0.99;
/// A channel that will be full within this time is worth a warning.
const SOON_FULL_SECONDS: f64 = 600.0;
/// A channel whose oldest event is younger keeps up, however fast it fills for a moment.
const BACKLOG: SignedDuration = SignedDuration::from_secs(10);
/// How long a component may be starting without a word.
const MAX_START: SignedDuration = SignedDuration::from_secs(30);
/// How long events may wait in a channel from which nothing is taken.
const MAX_STANDSTILL: SignedDuration = SignedDuration::from_secs(60);

/// Something that an operator should know of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Problem {
    /// `error`: something stands still. `warning`: it will, or a part of it does.
    pub severity: String,
    /// Whose problem it is: `sink k1`.
    pub component: String,
    /// What stands still.
    pub what: String,
    /// Why.
    pub why: String,
    /// Since when.
    pub since: Timestamp,
    /// What to do.
    pub remedy: String,
}

/// The problems of an agent at one moment, the gravest first.
pub(crate) fn problems(status: &Status, flow: &FlowShape, now: Timestamp) -> Vec<Problem> {
    let mut finder = Finder {
        status,
        flow,
        now,
        found: vec![],
        explained: vec![],
    };
    for channel in finder.all("channel") {
        finder.channel_down(channel);
    }
    for channel in finder.all("channel") {
        finder.channel_full(channel);
    }
    for sink in finder.all("sink") {
        finder.sink_down(sink);
    }
    for source in finder.all("source") {
        finder.source_down(source);
    }
    for channel in finder.all("channel") {
        finder.channel_slow(channel);
    }
    for component in &status.components {
        finder.start_slow(component);
    }
    finder.reload();
    let mut found = finder.found;
    found.sort_by(|a, b| (&a.severity, a.since).cmp(&(&b.severity, b.since)));
    found
}

struct Finder<'a> {
    status: &'a Status,
    flow: &'a FlowShape,
    now: Timestamp,
    found: Vec<Problem>,
    /// Components whose state follows from a problem that was found.
    explained: Vec<(&'a str, &'a str)>,
}

fn is_down(component: &ComponentStatus) -> bool {
    matches!(component.state.as_str(), "failing" | "refused")
}

impl<'a> Finder<'a> {
    fn all(&self, kind: &'static str) -> impl Iterator<Item = &'a ComponentStatus> + use<'a> {
        let components = self.status.components.iter();
        components.filter(move |component| component.kind == kind)
    }

    fn explain(&mut self, component: &'a ComponentStatus) {
        self.explained.push((&component.kind, &component.name));
    }

    fn is_explained(&self, component: &ComponentStatus) -> bool {
        let key = (component.kind.as_str(), component.name.as_str());
        self.explained.contains(&key)
    }

    fn add(
        &mut self,
        is_error: bool,
        cause: &ComponentStatus,
        what: String,
        why: String,
        remedy: String,
    ) {
        let severity = if is_error { "error" } else { "warning" };
        self.found.push(Problem {
            severity: severity.into(),
            component: format!("{} {}", cause.kind, cause.name),
            what,
            why,
            since: cause.since,
            remedy,
        });
    }

    /// The sinks that drain a channel, with what the configuration says of them.
    fn drains(&self, channel: &str) -> Vec<&'a ComponentStatus> {
        let refused = self.flow.refused.iter();
        let refused = refused.filter(|refused| refused.channel.as_deref() == Some(channel));
        let refused = refused.map(|refused| refused.name.as_str());
        let sinks = self.flow.sinks().map(|(_, sink)| sink);
        let sinks = sinks.filter(|sink| sink.channel == channel);
        let sinks = sinks.map(|sink| sink.part.name.as_str()).chain(refused);
        let names: Vec<_> = sinks.collect();
        let all = self.all("sink");
        all.filter(|sink| names.contains(&sink.name.as_str()))
            .collect()
    }

    fn feeds(&self, channel: &str) -> Vec<&'a ComponentStatus> {
        let sources = self.flow.sources.iter();
        let sources = sources.filter(|source| source.channels.iter().any(|name| name == channel));
        let names: Vec<_> = sources.map(|source| source.part.name.as_str()).collect();
        let all = self.all("source");
        all.filter(|source| names.contains(&source.name.as_str()))
            .collect()
    }

    fn sink_shape(&self, name: &str) -> Option<&'a SinkShape> {
        let mut sinks = self.flow.sinks().map(|(_, sink)| sink);
        sinks.find(|sink| sink.part.name == name)
    }

    /// What to do about a component that failed.
    fn remedy(&self, component: &ComponentStatus) -> String {
        if component.state == "refused" {
            return "Mend the configuration; `flume-ng validate` names the line. The agent reads \
                    the file again by itself."
                .into();
        }
        remedy(&component.name, reason(component))
    }

    fn channel_down(&mut self, channel: &'a ComponentStatus) {
        if !is_down(channel) {
            return;
        }
        let feeds = self.feeds(&channel.name);
        let drains = self.drains(&channel.name);
        let around: Vec<_> = feeds.into_iter().chain(drains).collect();
        let names = named(&around);
        let what = if names.is_empty() {
            format!("Channel {} cannot be used", channel.name)
        } else {
            format!(
                "Channel {} cannot be used; {names} cannot work",
                channel.name
            )
        };
        let remedy = self.remedy(channel);
        self.add(true, channel, what, reason(channel).into(), remedy);
        self.explain(channel);
        for component in around {
            if component.state == "starting" || component.state == "waiting" {
                self.explain(component);
            }
        }
    }

    fn channel_full(&mut self, channel: &'a ComponentStatus) {
        let Some(held) = &channel.channel else { return };
        // What an outlet says of a channel that is full, and what a put that gave up says.
        let no_room = [
            format!(".channels.{} has no room", channel.name),
            format!(".channels.{}: the channel is full", channel.name),
        ];
        let mut stuck = self.feeds(&channel.name);
        stuck.retain(|source| {
            matches!(source.state.as_str(), "waiting" | "failing")
                && no_room.iter().any(|text| reason(source).contains(text))
        });
        let fill = (held.events + held.in_flight) as f64 / held.capacity.max(1) as f64;
        let oldest = held.oldest.unwrap_or(self.now);
        let keeps_up = fill < FULL
            || (channel.events_per_second > 0.0 && self.now.duration_since(oldest) < BACKLOG);
        if self.is_explained(channel) || (stuck.is_empty() && keeps_up) {
            return;
        }
        let what = if stuck.is_empty() {
            format!("Channel {} is full", channel.name)
        } else {
            let verb = if stuck.len() == 1 { "stands" } else { "stand" };
            format!(
                "Channel {} is full; {} {verb} still",
                channel.name,
                named(&stuck)
            )
        };
        let drains = self.drains(&channel.name);
        let down = drains.iter().copied().find(|sink| is_down(sink));
        let odd = drains.iter().copied().find(|sink| {
            sink.state == "starting"
                || (sink.state == "waiting" && reason(sink) != "nothing to deliver")
        });
        // The sinks that stand by of a group are no reason.
        let odd = odd.filter(|_| drains.iter().all(|sink| sink.state != "running"));
        let first = stuck.first().copied().unwrap_or(channel);
        let (cause, why, remedy) = match down.or(odd) {
            Some(sink) => {
                let why = format!("sink {} is {}: {}", sink.name, sink.state, reason(sink));
                (sink, why, self.remedy(sink))
            }
            None => {
                let (why, remedy) = too_slow(channel, &drains);
                (first, why, remedy)
            }
        };
        // A channel whose events go out, only too slowly, is no standstill.
        let stands = down.is_some() || channel.events_per_second == 0.0;
        self.add(stands, cause, what, why, remedy);
        self.explain(channel);
        for component in stuck {
            self.explain(component);
        }
        if let Some(sink) = down {
            self.explain(sink);
        }
    }

    fn sink_down(&mut self, sink: &'a ComponentStatus) {
        if self.is_explained(sink) {
            return;
        }
        if sink.state == "waiting" && reason(sink).contains("rejected events are parked") {
            let what = format!("Sink {} takes no more events", sink.name);
            let remedy = "Look for the rejected events in the log. Give the sink a \
                          `deadLetterChannel`, so that malformed events leave the flow.";
            self.add(true, sink, what, reason(sink).into(), remedy.into());
        }
        if !is_down(sink) {
            return;
        }
        let channel = self
            .sink_shape(&sink.name)
            .map(|shape| shape.channel.as_str());
        let refused = self.flow.refused.iter();
        let mut refused = refused.filter(|refused| refused.name == sink.name);
        let channel = channel.or_else(|| refused.next()?.channel.as_deref());
        let helper = channel.and_then(|channel| {
            let drains = self.drains(channel);
            drains.into_iter().find(|other| !is_down(other))
        });
        let held = channel.and_then(|channel| {
            let mut channels = self.all("channel");
            channels.find(|other| other.name == channel)
        });
        let mut what = format!("Sink {} delivers nothing", sink.name);
        if let (Some(helper), Some(channel)) = (helper, channel) {
            what += &format!("; sink {} still drains channel {channel}", helper.name);
        } else if let Some(channel) = held
            && let Some(held) = &channel.channel
        {
            what += &match held.seconds_to_full {
                Some(seconds) => format!(
                    "; channel {} will be full in {}",
                    channel.name,
                    duration(seconds)
                ),
                None => format!("; channel {} keeps {} events", channel.name, held.events),
            };
        }
        let remedy = self.remedy(sink);
        self.add(helper.is_none(), sink, what, reason(sink).into(), remedy);
        self.explain(sink);
        if let Some(channel) = held {
            self.explain(channel);
        }
    }

    fn source_down(&mut self, source: &'a ComponentStatus) {
        if self.is_explained(source) || !is_down(source) {
            return;
        }
        let what = format!("Source {} takes no events", source.name);
        let remedy = self.remedy(source);
        self.add(true, source, what, reason(source).into(), remedy);
        self.explain(source);
    }

    fn channel_slow(&mut self, channel: &'a ComponentStatus) {
        let Some(held) = channel.channel.as_ref() else {
            return;
        };
        if self.is_explained(channel) {
            return;
        }
        let since = held.oldest.unwrap_or(channel.since);
        let stands = held.events > 0
            && channel.events_per_second == 0.0
            && self.now.duration_since(since) > MAX_STANDSTILL;
        let drains = self.drains(&channel.name);
        let cause = ComponentStatus {
            since,
            ..channel.clone()
        };
        if stands {
            let what = format!("Nothing is taken from channel {}", channel.name);
            let (why, remedy) = match drains.first() {
                None => (
                    "no sink takes from it".into(),
                    format!(
                        "Give a sink `channel = {}`, or take the channel out.",
                        channel.name
                    ),
                ),
                Some(sink) => (
                    format!(
                        "sink {} is {} and gives no other reason",
                        sink.name, sink.state
                    ),
                    format!(
                        "Look for {} in the agent's log, and at what it writes to.",
                        sink.name
                    ),
                ),
            };
            self.add(true, &cause, what, why, remedy);
        } else if let Some(seconds) = held
            .seconds_to_full
            .filter(|&seconds| seconds < SOON_FULL_SECONDS)
            .filter(|_| self.now.duration_since(since) >= BACKLOG)
        {
            let what = format!(
                "Channel {} will be full in {}",
                channel.name,
                duration(seconds)
            );
            let why = format!(
                "{:.0} events/s come in, and {:.0} events/s go out",
                channel.put_per_second.unwrap_or_default(),
                channel.events_per_second
            );
            let remedy = "Nothing, if this is a short peak. Else add a second sink to the channel, \
                          or give the sink a larger batch.";
            self.add(false, &cause, what, why, remedy.into());
        }
    }

    fn start_slow(&mut self, component: &'a ComponentStatus) {
        let long = self.now.duration_since(component.since) > MAX_START;
        if component.state != "starting" || !long || self.is_explained(component) {
            return;
        }
        let kind = capitalized(&component.kind);
        let what = format!("{kind} {} has not started yet", component.name);
        let why = match component.kind.as_str() {
            "channel" => "it is being opened",
            _ => "it waits for its channels, or for what it opens",
        };
        let remedy = "Wait; the agent's log says what it is doing.";
        self.add(false, component, what, why.into(), remedy.into());
    }

    fn reload(&mut self) {
        if let Some(unreadable) = &self.status.unreadable {
            self.found.push(Problem {
                severity: "warning".into(),
                component: "agent".into(),
                what: "The configuration cannot be read; the one before it runs".into(),
                why: unreadable.error.clone(),
                since: unreadable.since,
                remedy: remedy("the configuration", &unreadable.error),
            });
        }
        let Some(reload) = &self.status.last_reload else {
            return;
        };
        if let Some(error) = &reload.error {
            self.found.push(Problem {
                severity: "warning".into(),
                component: "agent".into(),
                what: "The last reload changed nothing; the configuration before it runs".into(),
                why: error.clone(),
                since: reload.at,
                remedy: "Mend the configuration; `flume-ng validate` names the line.".into(),
            });
        }
    }
}

fn reason(component: &ComponentStatus) -> &str {
    component.reason.as_deref().unwrap_or("no reason is known")
}

/// Why a channel fills although no sink of it fails, and what can be done.
fn too_slow(channel: &ComponentStatus, drains: &[&ComponentStatus]) -> (String, String) {
    if drains.is_empty() {
        let remedy = format!(
            "Give a sink `channel = {}`, or take the channel out.",
            channel.name
        );
        return ("no sink takes from it".into(), remedy);
    }
    let why = format!(
        "{} took {:.0} events/s lately, and more than that comes in",
        named(drains),
        channel.events_per_second
    );
    let remedy = "Add a second sink to the channel, give the sink a larger batch, or make what it \
                  writes to faster.";
    (why, remedy.into())
}

/// `source r1`, `sources r1 and r2`; of different kinds: `source r1, sink k1`.
fn named(components: &[&ComponentStatus]) -> String {
    let same_kind = components.iter().all(|one| one.kind == components[0].kind);
    match components {
        [] => String::new(),
        [one] => format!("{} {}", one.kind, one.name),
        [first, .., last] if same_kind && components.len() < 6 => {
            let names = components[..components.len() - 1].iter();
            let names: Vec<_> = names.map(|one| one.name.as_str()).collect();
            format!("{}s {} and {}", first.kind, names.join(", "), last.name)
        }
        [first, ..] if same_kind => format!("{} {}s", components.len(), first.kind),
        several => {
            let names = several
                .iter()
                .map(|one| format!("{} {}", one.kind, one.name));
            names.collect::<Vec<_>>().join(", ")
        }
    }
}

fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

/// A rough time in words.
fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 90.0 => format!("{s:.0} s"),
        s if s < 5400.0 => format!("{:.0} min", s / 60.0),
        s if s < 129_600.0 => format!("{:.0} h", s / 3600.0),
        s => format!("{:.0} d", s / 86_400.0),
    }
}

#[cfg(test)]
mod tests;

//! What each component of an agent would do: the first thing that somebody who validates a configuration wants to know.
//!
//! A flow runs as a whole or not at all: what cannot be drained is not filled. Flume starts the halves.

use std::collections::BTreeSet;

use flume_core::{Code, Diagnostic, component::short_name, props::Section};

use crate::{ChannelPlan, Plan, Refused};

/// What becomes of one component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The full name: `a1.sinks.k1`.
    pub name: String,
    /// Its type as the user wrote it.
    pub type_name: String,
    /// Why it cannot run; `None`: it runs.
    pub reason: Option<String>,
}

impl Verdict {
    fn runs(section: &Section) -> Verdict {
        Verdict {
            name: section.name.clone(),
            type_name: section.type_name().into(),
            reason: None,
        }
    }

    fn refused(refused: &Refused) -> Verdict {
        Verdict {
            name: refused.name.clone(),
            type_name: refused.type_name.clone(),
            reason: Some(refused.reason.clone()),
        }
    }
}

impl Plan {
    /// One verdict a component: sources, channels, sinks, then what cannot run.
    pub fn verdicts(&self) -> Vec<Verdict> {
        let sources = self.sources.iter().map(|source| &source.section);
        let channels = self.channels.iter().map(|channel| &channel.section);
        let sinks = self.groups.iter().flat_map(|group| &group.sinks);
        let running = sources
            .chain(channels)
            .chain(sinks.map(|sink| &sink.section));
        let mut verdicts: Vec<_> = running.map(Verdict::runs).collect();
        verdicts.extend(self.refused.iter().map(Verdict::refused));
        verdicts
    }

    /// Leaves out channels that nobody drains and sources that would fill them, until only whole flows are left. A
    /// channel for dead letters may stand alone, and so may one whose events others can have, too.
    pub fn leave_out_halves(&mut self) {
        loop {
            let before = self.refused.len();
            self.leave_out_undrained_channels();
            self.leave_out_sources_of_missing_channels();
            if self.refused.len() == before {
                return;
            }
        }
    }

    /// Warns of flows that run and hardly do what was meant.
    pub fn remark_flows(&mut self) {
        self.remark_competing_sinks();
        // Where something is left out, its own reason says enough.
        if self.refused.is_empty() {
            self.remark_channels_without_a_source();
        }
    }

    fn leave_out_undrained_channels(&mut self) {
        let drained: BTreeSet<String> = self.drains().map(|(channel, _)| channel).collect();
        let buried: BTreeSet<&String> = self
            .groups
            .iter()
            .flat_map(|group| &group.sinks)
            .filter_map(|sink| sink.runner.dead_letter_channel.as_ref())
            .collect();
        let mut left_out = vec![];
        let mut found = vec![];
        for channel in &self.channels {
            let name = short_name(&channel.section.name).to_string();
            if drained.contains(&name) || buried.contains(&name) || is_shared(channel) {
                continue;
            }
            let reason = match self.refused_sink_of(&name) {
                Some(sink) => format!("its sink {sink} cannot run, so nothing would drain it"),
                // It may be the sink of this channel, and its own mistake is told.
                None if let Some(sink) = self.refused_sink_without_channel() => {
                    format!("nothing drains it; sink {sink} names no channel that exists")
                }
                None => {
                    let text = "no sink drains it, so it would fill up";
                    let hint = "give it a sink, or take it out of the source's channels";
                    found.push(remark(
                        Code::ChannelUndrained,
                        &channel.section,
                        text.into(),
                        hint,
                    ));
                    text.into()
                }
            };
            left_out.push(Refused::new(&channel.section, &reason));
        }
        self.diagnostics.append(&mut found);
        self.channels
            .retain(|channel| left_out.iter().all(|out| out.name != channel.section.name));
        self.refused.append(&mut left_out);
    }

    fn refused_sink_of(&self, channel: &str) -> Option<&str> {
        let mut refused = self.refused.iter();
        let sink = refused.find(|refused| refused.channel.as_deref() == Some(channel))?;
        Some(short_name(&sink.name))
    }

    fn refused_sink_without_channel(&self) -> Option<&str> {
        let prefix = format!("{}.sinks.", self.agent);
        let is_there = |channel: &String| {
            let full = format!("{}.channels.{channel}", self.agent);
            let mut usable = self.channels.iter();
            let mut refused = self.refused.iter();
            usable.any(|channel| channel.section.name == full)
                || refused.any(|refused| refused.name == full)
        };
        let is_stray = |sink: &&Refused| {
            sink.name.starts_with(&prefix) && !sink.channel.as_ref().is_some_and(is_there)
        };
        let sink = self.refused.iter().find(is_stray)?;
        Some(short_name(&sink.name))
    }

    fn leave_out_sources_of_missing_channels(&mut self) {
        let there: BTreeSet<String> = self
            .channels
            .iter()
            .map(|channel| short_name(&channel.section.name).to_string())
            .collect();
        let mut left_out = vec![];
        self.sources.retain(|source| {
            let missing = source
                .frame
                .channels
                .texts()
                .find(|name| !there.contains(*name));
            let Some(missing) = missing else { return true };
            let reason = format!("its channel {missing} cannot run");
            left_out.push(Refused::new(&source.section, &reason));
            false
        });
        self.refused.append(&mut left_out);
    }

    /// Channels with the sinks that take from them, by group.
    fn drains(&self) -> impl Iterator<Item = (String, usize)> {
        let groups = self.groups.iter().enumerate();
        groups.flat_map(|(group, plan)| {
            plan.sinks
                .iter()
                .map(move |sink| (sink.channel.clone(), group))
        })
    }

    fn remark_competing_sinks(&mut self) {
        let mut found = vec![];
        for (at, group) in self.groups.iter().enumerate() {
            for sink in &group.sinks {
                let others = self.groups[..at].iter().flat_map(|group| &group.sinks);
                let rival = others
                    .filter(|other| other.channel == sink.channel)
                    .find(|other| !is_same_type(&other.section, &sink.section));
                let Some(rival) = rival else { continue };
                found.push(remark(
                    Code::CompetingSinks,
                    &sink.section,
                    format!(
                        "takes from channel {} as sink {} does, which is of another type: each event reaches one of them",
                        sink.channel,
                        short_name(&rival.section.name)
                    ),
                    "for a copy of each event give each sink a channel of its own, and list both at the source",
                ));
            }
        }
        self.diagnostics.append(&mut found);
    }

    fn remark_channels_without_a_source(&mut self) {
        let fed: BTreeSet<&str> = self
            .sources
            .iter()
            .flat_map(|source| source.frame.channels.texts())
            .collect();
        let unfed = self
            .channels
            .iter()
            .filter(|channel| {
                let name = short_name(&channel.section.name);
                !fed.contains(name) && !is_shared(channel)
            })
            .filter(|channel| {
                self.drains()
                    .any(|(drained, _)| drained == short_name(&channel.section.name))
            });
        let mut found: Vec<_> = unfed
            .map(|channel| {
                let text = "no source feeds it: its sinks deliver what it holds, and then nothing";
                remark(
                    Code::ChannelUnfed,
                    &channel.section,
                    text.into(),
                    "list it at a source, or take it out",
                )
            })
            .collect();
        self.diagnostics.append(&mut found);
    }
}

/// Whether others can have the events of a channel, too.
fn is_shared(channel: &ChannelPlan) -> bool {
    let built = channel.recipe.first();
    built.is_some_and(|channel| !channel.store().is_local())
}

fn is_same_type(one: &Section, other: &Section) -> bool {
    one.type_name().eq_ignore_ascii_case(other.type_name())
}

fn remark(code: Code, section: &Section, text: String, hint: &str) -> Diagnostic {
    Diagnostic::new(code, section.home.clone(), &section.name, text).hint(Some(hint.into()))
}

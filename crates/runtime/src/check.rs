//! Builds every component once: what a plan cannot run shows before anything runs.

use std::{collections::HashSet, sync::Arc};

use flume_conf::{ChannelPlan, GroupPlan, Plan, Refused, SinkPlan, SourcePlan};
use flume_core::{
    AgentInfo, BuildError, Channel, Code, Diagnostic, EventStore, ListenPort, Sink, Source,
    component::short_name, props::Section,
};

/// Moves what cannot be built from the plan's components to `refused`, with a diagnostic each. No I/O. An agent runs
/// the components that were built here.
pub fn check(mut plan: Plan, agent: &Arc<AgentInfo>, flows: Flows) -> Plan {
    let mut check = Check {
        agent: agent.clone(),
        stores: vec![],
        ports: vec![],
        diagnostics: vec![],
        refused: vec![],
    };
    let used = used_channels(&plan);
    plan.channels
        .retain_mut(|channel| check.channel(channel, &used));
    let buried_in = buried_in(&plan);
    let mut built = Built {
        channels: &plan.channels,
        sources: &[],
        buried_in: &buried_in,
    };
    plan.sources
        .retain_mut(|source| check.source(source, &built));
    built.sources = &plan.sources;
    plan.groups.retain_mut(|group| check.group(group, &built));
    plan.diagnostics.append(&mut check.diagnostics);
    plan.refused.append(&mut check.refused);
    if flows == Flows::Whole {
        plan.leave_out_halves();
    }
    plan.remark_flows();
    plan.diagnostics.sort_by(|a, b| a.place.cmp(&b.place));
    plan
}

/// Short names of the channels that a source or a sink names.
fn used_channels(plan: &Plan) -> HashSet<String> {
    let fed = plan
        .sources
        .iter()
        .flat_map(|source| source.frame.channels.texts());
    let sinks = plan.groups.iter().flat_map(|group| &group.sinks);
    let drained = sinks.flat_map(|sink| {
        let dead_letters = sink.runner.dead_letter_channel.as_deref();
        std::iter::once(sink.channel.as_str()).chain(dead_letters)
    });
    fed.chain(drained).map(String::from).collect()
}

/// Short names of the channels that get dead letters.
fn buried_in(plan: &Plan) -> HashSet<String> {
    let sinks = plan.groups.iter().flat_map(|group| &group.sinks);
    let names = sinks.filter_map(|sink| sink.runner.dead_letter_channel.clone());
    names.collect()
}

/// Which flows an agent starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flows {
    /// Only those that run as a whole: what cannot be drained is not filled.
    #[default]
    Whole,
    /// Also what is left of others, as Flume does.
    Halves,
}

/// What can be built of a plan, as far as that is known.
struct Built<'a> {
    channels: &'a [ChannelPlan],
    sources: &'a [SourcePlan],
    buried_in: &'a HashSet<String>,
}

impl<'a> Built<'a> {
    fn channel(&self, name: &str) -> Option<&'a dyn Channel> {
        let mut channels = self.channels.iter();
        let found = channels.find(|channel| short_name(&channel.section.name) == name);
        found?.recipe.first()
    }

    /// Where a channel's `transactionCapacity` is set, in words.
    fn origin_of_limit(&self, name: &str) -> String {
        let mut channels = self.channels.iter();
        let found = channels.find(|channel| short_name(&channel.section.name) == name);
        let setting = found.and_then(|it| it.section.settings.get("transactionCapacity"));
        setting.map_or("the default".into(), |setting| {
            format!("line {}", setting.value_place.line)
        })
    }

    /// The sources of a channel, with the settings of what follows them.
    fn feeders(&self, channel: &str) -> impl Iterator<Item = (&'a SourcePlan, &'a dyn Source)> {
        let sources = self.sources.iter();
        let sources =
            sources.filter(move |source| source.frame.channels.texts().any(|name| name == channel));
        sources.filter_map(|source| Some((source, source.recipe.first()?)))
    }

    /// Whether an event of a channel can have a header. One without a source may hold events of another time, and into
    /// some channels others put events, too.
    fn may_have(&self, channel: &str, header: &str) -> bool {
        let is_shared = self
            .channel(channel)
            .is_some_and(|it| !it.store().is_local());
        if is_shared || self.buried_in.contains(channel) {
            return true;
        }
        let mut feeders = self.feeders(channel).peekable();
        let set_on_the_way = |source: &SourcePlan| {
            let mut interceptors = source.wires.iter().flat_map(|wires| &wires.interceptors);
            interceptors.any(|interceptor| interceptor.may_set(header))
        };
        feeders.peek().is_none()
            || feeders.any(|(plan, source)| source.may_set(header) || set_on_the_way(plan))
    }

    /// What is wrong with a sink that sends events back to where a source of its channel reads them, and whether that is
    /// certain: an interceptor may change what leads them there.
    fn loop_through(&self, channel: &str, sink: &dyn Sink) -> Option<(BuildError, bool)> {
        self.feeders(channel).find_map(|(plan, source)| {
            let origins = source.origins();
            let error = origins.iter().find_map(|origin| sink.sends_back(origin))?;
            let has_interceptors = plan
                .wires
                .iter()
                .any(|wires| !wires.interceptors.is_empty());
            Some((error, !has_interceptors))
        })
    }
}

struct Check {
    agent: Arc<AgentInfo>,
    /// Where the used channels keep their events, by short name.
    stores: Vec<(String, EventStore)>,
    /// The ports that sources listen on, with the short name of the source.
    ports: Vec<(String, ListenPort)>,
    diagnostics: Vec<Diagnostic>,
    refused: Vec<Refused>,
}

impl Check {
    fn channel(&mut self, channel: &mut ChannelPlan, used: &HashSet<String>) -> bool {
        let name = short_name(&channel.section.name);
        let built = channel.recipe.try_out(channel.context(&self.agent));
        let checked = built.and_then(|built| {
            if used.contains(name) {
                self.own_directories(name, built.store())?;
            }
            Ok(())
        });
        let refused = checked.map_err(|error| self.refuse(&channel.section, &error));
        refused.is_ok()
    }

    /// Two channels in one directory would wait for each other.
    fn own_directories(&mut self, name: &str, store: EventStore) -> Result<(), BuildError> {
        let taken = self.stores.iter().find_map(|(other, used)| {
            let both = store
                .directories()
                .find(|own| used.directories().any(|it| it == *own))?;
            Some((other, both))
        });
        if let Some((other, both)) = taken {
            let is_data =
                matches!(&store, EventStore::Directories { data, .. } if data.contains(both));
            let key = if is_data { "dataDirs" } else { "checkpointDir" };
            let text = format!(
                "channel {other} has the directory {}, too; give each channel a checkpointDir and dataDirs of its own",
                both.display()
            );
            return Err(BuildError::at(key, text));
        }
        self.stores.push((name.into(), store));
        Ok(())
    }

    fn source(&mut self, source: &mut SourcePlan, built: &Built<'_>) -> bool {
        let frame = &mut source.frame;
        let can_run = |name: &str| built.channel(name).is_some();
        frame.channels.0.retain(|name| can_run(&name.text));
        if frame.channels.0.is_empty() {
            self.left_out(&source.section, "none of its channels can run");
            return false;
        }
        let cx = source.context(&self.agent);
        match source.frame.wire(&cx) {
            Err(error) => {
                self.report(&source.frame_section, &error);
                self.left_out(&source.section, &reason(&error));
                return false;
            }
            Ok(wires) => {
                for remark in wires.selector.remarks() {
                    self.report(&source.frame_section, &remark.inside("selector"));
                }
                source.wires = Some(wires);
            }
        }
        match source.recipe.try_out(cx) {
            Err(error) => {
                self.refuse(&source.section, &error);
                false
            }
            Ok(component) => {
                if let Some(error) = self.taken_port(component) {
                    self.refuse(&source.section, &error);
                    return false;
                }
                let ports = component.ports().into_iter();
                let name = short_name(&source.section.name);
                self.ports.extend(ports.map(|port| (name.into(), port)));
                let batch = component.batch_size();
                for remark in component.remarks() {
                    self.report(&source.section, &remark);
                }
                self.fits(source, batch, built)
            }
        }
    }

    /// What is wrong with a source that listens where another one does.
    fn taken_port(&self, source: &dyn Source) -> Option<BuildError> {
        source.ports().iter().find_map(|port| {
            let (owner, _) = self.ports.iter().find(|(_, other)| port.clashes(other))?;
            let text = format!("source {owner} listens on port {}, too", port.port);
            Some(BuildError::of(Code::SamePort, port.key, text))
        })
    }

    /// A batch larger than a channel's transaction would be refused for ever.
    fn fits(&mut self, source: &SourcePlan, batch: usize, built: &Built<'_>) -> bool {
        let channels = source.frame.channels.texts();
        let limits = channels
            .filter_map(|name| Some((name, built.channel(name)?.stats().transaction_capacity)));
        let Some((channel, limit)) = limits.min_by_key(|(_, limit)| *limit) else {
            return true;
        };
        if batch <= limit {
            return true;
        }
        let (key, is_default) = batch_key(&source.section);
        let text = format!(
            "a batch of {batch} events{is_default} can never fit into channel {channel}, whose transactionCapacity is \
             {limit} ({})",
            built.origin_of_limit(channel)
        );
        let error = BuildError::of(Code::SourceBatchTooLarge, key, text);
        self.refuse(&source.section, &error);
        false
    }

    fn group(&mut self, group: &mut GroupPlan, built: &Built<'_>) -> bool {
        group.sinks.retain_mut(|sink| self.sink(sink, built));
        if group.sinks.is_empty() {
            return false;
        }
        let cx = group.context(&self.agent);
        let Err(error) = group.processor.try_out(cx).map(drop) else {
            return true;
        };
        let error = error.inside("processor");
        self.refuse(&group.section, &error);
        for sink in &group.sinks {
            let reason = format!("its group {} cannot run", group.section.name);
            self.left_out(&sink.section, &reason);
        }
        false
    }

    fn sink(&mut self, sink: &mut SinkPlan, built: &Built<'_>) -> bool {
        let Some(channel) = built.channel(&sink.channel) else {
            let reason = format!("its channel {} cannot run", sink.channel);
            self.left_out(&sink.section, &reason);
            return false;
        };
        let component = match sink.recipe.try_out(sink.context(&self.agent)) {
            Err(error) => {
                self.refuse(&sink.section, &error);
                return false;
            }
            Ok(component) => component,
        };
        if let Some((error, certain)) = built.loop_through(&sink.channel, component) {
            if certain {
                self.refuse(&sink.section, &error);
                return false;
            }
            let error = BuildError::of(Code::SendsBack, &error.key, error.text);
            self.report(&sink.section, &error);
        }
        for remark in component.remarks(&|header| built.may_have(&sink.channel, header)) {
            self.report(&sink.section, &remark);
        }
        let wanted = component.want().events;
        let limit = channel.stats().transaction_capacity;
        if wanted > limit {
            let (key, is_default) = batch_key(&sink.section);
            let text = format!(
                "batches of {wanted} events{is_default} exceed the transactionCapacity {limit} of channel {} ({}): \
                 Flume would leave this sink out",
                sink.channel,
                built.origin_of_limit(&sink.channel)
            );
            let found = BuildError::of(Code::SinkBatchTooLarge, key, text);
            self.report(&sink.section, &found);
        }
        true
    }

    fn refuse(&mut self, section: &Section, error: &BuildError) {
        self.report(section, error);
        self.left_out(section, &reason(error));
    }

    fn left_out(&mut self, section: &Section, reason: &str) {
        self.refused.push(Refused::new(section, reason));
    }

    fn report(&mut self, section: &Section, error: &BuildError) {
        let setting = section.settings.get(&error.key);
        let place = setting
            .map_or(&section.home, |setting| &setting.value_place)
            .clone();
        let key = format!("{}.{}", section.name, error.key)
            .trim_end_matches('.')
            .to_string();
        let found = Diagnostic::new(error.code, place, &key, error.text.clone());
        self.diagnostics.push(found);
    }
}

/// Why a component is left out.
fn reason(error: &BuildError) -> String {
    if error.key.is_empty() {
        error.text.clone()
    } else {
        format!("{}: {}", error.key, error.text)
    }
}

/// The property that says how large batches are, and what to say if it is not set.
fn batch_key(section: &Section) -> (&str, &'static str) {
    let mut keys = section.settings.keys();
    let key = keys.find(|key| {
        let last = key.rsplit('.').next().unwrap_or_default();
        let last = last.replace(['-', '_'], "").to_ascii_lowercase();
        last == "batchsize" || last == "flumebatchsize"
    });
    key.map_or(("", ", the default,"), |key| (key, ""))
}

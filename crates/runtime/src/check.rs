//! Builds every component once and throws it away: what a plan cannot run shows before anything runs.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use flume_conf::{GroupPlan, Plan, Refused, SourcePlan};
use flume_core::{
    AgentInfo, BuildError, ChannelStats, Code, Context, Diagnostic, EventStore, Interceptor,
    ListenPort, Sink, Source, component::short_name, props::Section,
};

/// Moves what cannot be built from the plan's components to `refused`, with a diagnostic each. No I/O.
pub fn check(mut plan: Plan, agent: &Arc<AgentInfo>, flows: Flows) -> Plan {
    let mut check = Check {
        agent: agent.clone(),
        channels: HashMap::new(),
        capacities: HashMap::new(),
        stores: vec![],
        shared: BTreeSet::new(),
        ports: vec![],
        feeders: vec![],
        diagnostics: vec![],
        refused: vec![],
    };
    let used = used_channels(&plan);
    plan.channels.retain(|channel| {
        let cx = check.context(&channel.section, vec![]);
        let short = short_name(&channel.section.name).to_string();
        let built = (channel.build)(&cx).and_then(|built| {
            if used.contains(&short) {
                check.own_directories(&short, built.store())?;
            }
            if let EventStore::Elsewhere(_) = built.store() {
                check.shared.insert(short.clone());
            }
            Ok(built.stats())
        });
        check.capacities.insert(
            short.clone(),
            line_of(&channel.section, "transactionCapacity"),
        );
        let stats = built.map_err(|error| check.refuse(&channel.section, &error));
        stats
            .map(|stats| check.channels.insert(short, stats))
            .is_ok()
    });
    plan.sources.retain_mut(|source| check.source(source));
    plan.groups.retain_mut(|group| check.group(group));
    plan.diagnostics.append(&mut check.diagnostics);
    plan.refused.append(&mut check.refused);
    if flows == Flows::Whole {
        plan.leave_out_halves(&check.shared);
    }
    plan.remark_flows(&check.shared);
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

/// Which flows an agent starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flows {
    /// Only those that run as a whole: what cannot be drained is not filled.
    #[default]
    Whole,
    /// Also what is left of others, as Flume does.
    Halves,
}

struct Check {
    agent: Arc<AgentInfo>,
    /// What the channels that can be built hold, by short name.
    channels: HashMap<String, ChannelStats>,
    /// Where their `transactionCapacity` is said, in words, by short name.
    capacities: HashMap<String, String>,
    /// The channels whose events others can have, too, by short name.
    shared: BTreeSet<String>,
    /// The ports that sources listen on, with the short name of the source.
    ports: Vec<(String, ListenPort)>,
    /// Where the used channels keep their events, by short name.
    stores: Vec<(String, EventStore)>,
    feeders: Vec<Feeder>,
    diagnostics: Vec<Diagnostic>,
    refused: Vec<Refused>,
}

/// A source that can be built, as far as it makes events.
struct Feeder {
    /// By short name.
    channels: Vec<String>,
    source: Box<dyn Source>,
    interceptors: Vec<Box<dyn Interceptor>>,
}

impl Feeder {
    fn may_set(&self, header: &str) -> bool {
        self.source.may_set(header)
            || self
                .interceptors
                .iter()
                .any(|interceptor| interceptor.may_set(header))
    }
}

impl Check {
    fn context(&self, section: &Section, peers: Vec<String>) -> Context {
        Context::of_agent(&section.name, peers, self.agent.clone())
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

    fn source(&mut self, source: &mut SourcePlan) -> bool {
        let frame = &mut source.frame;
        frame
            .channels
            .0
            .retain(|name| self.channels.contains_key(&name.text));
        if frame.channels.0.is_empty() {
            self.left_out(&source.section, "none of its channels can run");
            return false;
        }
        let cx = self.context(
            &source.section,
            frame.channels.texts().map(String::from).collect(),
        );
        let interceptors = match wire(frame, &cx) {
            Err(error) => {
                self.report(&source.frame_section, &error);
                self.left_out(&source.section, &reason(&error));
                return false;
            }
            Ok((interceptors, selector)) => {
                for remark in selector.remarks() {
                    self.report(&source.frame_section, &remark.inside("selector"));
                }
                interceptors
            }
        };
        match (source.build)(&cx) {
            Err(error) => {
                self.refuse(&source.section, &error);
                false
            }
            Ok(built) => {
                if let Some(error) = self.taken_port(&*built) {
                    self.refuse(&source.section, &error);
                    return false;
                }
                let fits = self.fits(source, built.batch_size());
                for remark in built.remarks() {
                    self.report(&source.section, &remark);
                }
                if fits {
                    let name = short_name(&source.section.name);
                    let ports = built.ports().into_iter();
                    self.ports
                        .extend(ports.map(|port| (name.to_string(), port)));
                    let channels = cx.peers.to_vec();
                    self.feeders.push(Feeder {
                        channels,
                        source: built,
                        interceptors,
                    });
                }
                fits
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

    /// Whether an event of a channel can have a header. One without a source may hold events of another time.
    fn may_have(&self, channel: &str, header: &str) -> bool {
        let mut feeders = self
            .feeders
            .iter()
            .filter(|feeder| feeder.channels.iter().any(|name| name == channel))
            .peekable();
        feeders.peek().is_none() || feeders.any(|feeder| feeder.may_set(header))
    }

    /// What is wrong with a sink that sends events back to where a source of its channel reads them, and whether that is
    /// certain: an interceptor may change what leads them there.
    fn loop_through(&self, channel: &str, sink: &dyn Sink) -> Option<(BuildError, bool)> {
        let feeds = |feeder: &&Feeder| feeder.channels.iter().any(|name| name == channel);
        self.feeders.iter().filter(feeds).find_map(|feeder| {
            let origins = feeder.source.origins();
            let error = origins.iter().find_map(|origin| sink.sends_back(origin))?;
            Some((error, feeder.interceptors.is_empty()))
        })
    }

    /// A batch larger than a channel's transaction would be refused for ever.
    fn fits(&mut self, source: &SourcePlan, batch: usize) -> bool {
        let limits = source
            .frame
            .channels
            .texts()
            .map(|name| (name, self.channels[name].transaction_capacity));
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
            self.capacities[channel]
        );
        let error = BuildError::of(Code::SourceBatchTooLarge, key, text);
        self.refuse(&source.section, &error);
        false
    }

    fn group(&mut self, group: &mut GroupPlan) -> bool {
        group.sinks.retain(|sink| {
            let cx = self.context(&sink.section, vec![sink.channel.clone()]);
            let Some(channel) = self.channels.get(&sink.channel) else {
                self.left_out(&sink.section, &format!("its channel {} cannot run", sink.channel));
                return false;
            };
            let limit = channel.transaction_capacity;
            match (sink.build)(&cx) {
                Err(error) => {
                    self.refuse(&sink.section, &error);
                    false
                }
                Ok(built) => {
                    if let Some((error, certain)) = self.loop_through(&sink.channel, &*built) {
                        if certain {
                            self.refuse(&sink.section, &error);
                            return false;
                        }
                        let text = error.text;
                        let error = BuildError::of(Code::SendsBack, &error.key, text);
                        self.report(&sink.section, &error);
                    }
                    let remarks = built.remarks(&|header| self.may_have(&sink.channel, header));
                    for remark in remarks {
                        self.report(&sink.section, &remark);
                    }
                    let wanted = built.want().events;
                    if wanted > limit {
                        let (key, is_default) = batch_key(&sink.section);
                        let text = format!(
                            "batches of {wanted} events{is_default} exceed the transactionCapacity {limit} of channel {} \
                             ({}): Flume would leave this sink out",
                            sink.channel, self.capacities[&sink.channel]
                        );
                        let found = BuildError::of(Code::SinkBatchTooLarge, key, text);
                        self.report(&sink.section, &found);
                    }
                    true
                }
            }
        });
        if group.sinks.is_empty() {
            return false;
        }
        let sinks = group
            .sinks
            .iter()
            .map(|sink| short_name(&sink.section.name).to_string())
            .collect();
        if let Err(error) = (group.processor)(&self.context(&group.section, sinks)) {
            let error = error.inside("processor");
            self.refuse(&group.section, &error);
            for sink in &group.sinks {
                self.left_out(
                    &sink.section,
                    &format!("its group {} cannot run", group.section.name),
                );
            }
            return false;
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

/// Where a property is set, in words.
fn line_of(section: &Section, key: &str) -> String {
    let setting = section.settings.get(key);
    setting.map_or("the default".into(), |setting| {
        format!("line {}", setting.value_place.line)
    })
}

/// What a source's frame leads through.
pub fn wire(frame: &flume_conf::SourceFrame, cx: &Context) -> Result<Wires, BuildError> {
    let interceptors = frame.interceptors.create("interceptors", cx)?;
    let selector = frame
        .selector
        .create(&cx.inside("selector"))
        .map_err(|error| error.inside("selector"))?;
    Ok((interceptors, selector))
}

/// Interceptors and selector of a source.
pub type Wires = (
    Vec<Box<dyn flume_core::Interceptor>>,
    Box<dyn flume_core::ChannelSelector>,
);

//! From graph to plan: every component parsed, its references resolved, all problems in one pass.

use std::collections::{BTreeMap, BTreeSet};

use flume_core::{
    Channel, Code, Config, Diagnostic, Recipe, Registry, RunnerConfig, Sink, SinkProcessor, Source,
    Span,
    component::Constructor,
    config::{Names, Nested, Property, PropertyValue},
    props::{Props, Section, did_you_mean},
    registry::{ComponentKind, Found},
};

use crate::{
    ChannelPlan, GroupPlan, Plan, Refused, SinkPlan, SourceFrame, SourcePlan,
    doubts::merge_doubts,
    graph::Graph,
    plan::{GroupFrame, SinkFrame, TypeFrame, sink_properties, source_properties},
};

impl Graph {
    pub(crate) fn plan(mut self, registry: &Registry) -> Plan {
        let listed = self.kinds["channels"]
            .listed
            .texts()
            .map(String::from)
            .collect();
        let unlisted = self.kinds["channels"].unlisted();
        let unlisted = unlisted.into_iter().map(|(name, _)| name.clone()).collect();
        let plan = Plan {
            agent: self.agent.clone(),
            ..Plan::default()
        };
        let mut planner = Planner {
            registry,
            listed,
            unlisted,
            usable: BTreeSet::new(),
            used: BTreeSet::new(),
            unresolved: std::mem::take(&mut self.unresolved),
            broken: BTreeSet::new(),
            plan,
        };
        let channels = self.take("channels");
        let homes: BTreeMap<_, _> = channels
            .iter()
            .map(|(name, section)| {
                let home = (section.name.clone(), section.home.clone());
                (name.clone(), home)
            })
            .collect();
        for (name, section) in channels {
            planner.channel(name, section);
        }
        let sources = self.take("sources");
        let sinks = self.take("sinks");
        let names_channel = |sections: &[(String, Section)], key: &str| {
            let mut settings = sections.iter().map(|(_, section)| &section.settings);
            settings.all(|settings| settings.contains_key(key))
        };
        // As long as a source or sink names no channel at all, an unused one may be the one that it means.
        let all_connected = names_channel(&sources, "channels") && names_channel(&sinks, "channel");
        for (_, section) in sources {
            planner.source(section);
        }
        let sinks = sinks
            .into_iter()
            .map(|(name, section)| (name, planner.sink(section)))
            .collect();
        planner.groups(self.take("sinkgroups"), sinks);
        for (_, section) in self.take("configfilters") {
            // Filters themselves were made when values were resolved.
            let mut found = planner.unresolved.remove(&section.name);
            let found = found.iter_mut().flat_map(|found| found.drain(..));
            planner.plan.diagnostics.extend(found);
        }
        if all_connected {
            planner.leave_out_unused(homes);
        }
        self.finish(planner)
    }

    /// Joins what the planner found with what the graph had found before.
    fn finish(mut self, planner: Planner<'_>) -> Plan {
        // A channel that is used but not listed is told where it is used.
        let told: Vec<_> = planner
            .used
            .intersection(&planner.unlisted)
            .map(|name| format!("{}.channels.{name}", self.agent))
            .collect();
        self.diagnostics
            .retain(|found| found.code != Code::NotListed || !told.contains(&found.key));
        let mut plan = planner.plan;
        plan.diagnostics.append(&mut self.diagnostics);
        merge_doubts(&mut plan.diagnostics, self.doubts);
        leave_out_told_quotes(&mut plan.diagnostics);
        plan
    }
}

struct Planner<'a> {
    registry: &'a Registry,
    /// Channels that are listed.
    listed: Vec<String>,
    /// Those of them that can be built.
    usable: BTreeSet<String>,
    /// Those that a source or sink names.
    used: BTreeSet<String>,
    /// Channels that are set up and not listed.
    unlisted: BTreeSet<String>,
    /// Values that cannot be resolved, by component.
    unresolved: BTreeMap<String, Vec<Diagnostic>>,
    /// The keys of these values.
    broken: BTreeSet<String>,
    plan: Plan,
}

impl<'a> Planner<'a> {
    /// A reader over a section. What cannot be resolved in it is an error from the beginning.
    fn props(&mut self, section: &Section) -> Props<'a> {
        let mut props = Props::new(self.registry, section.clone());
        if let Some(mut found) = self.unresolved.remove(&section.name) {
            self.broken
                .extend(found.iter().map(|found| found.key.clone()));
            props.diagnostics.append(&mut found);
        }
        props
    }

    fn channel(&mut self, name: String, section: Section) {
        if self.is_empty(&section) {
            return;
        }
        let mut props = self.props(&section);
        match component::<dyn Channel>(&mut props, TypeFrame::properties()) {
            Some(recipe) if !failed(&props) => {
                self.plan.diagnostics.append(&mut props.diagnostics);
                self.usable.insert(name);
                self.plan.channels.push(ChannelPlan { section, recipe });
            }
            _ => self.refuse(&section, props.diagnostics),
        }
    }

    fn source(&mut self, section: Section) {
        if self.is_empty(&section) {
            return;
        }
        let mut props = self.props(&section);
        let frame = SourceFrame::parse(&mut props);
        let recipe = component::<dyn Source>(&mut props, source_properties());
        // Also when something else of the frame is wrong: a channel is used, or misspelt, all the same.
        let named = section.settings.get("channels").map(Names::split);
        let channels = self.resolve(&mut props, &named.unwrap_or_default());
        let (Some(frame), Some(recipe), false) = (frame, recipe, failed(&props)) else {
            return self.refuse(&section, props.diagnostics);
        };
        self.plan.diagnostics.append(&mut props.diagnostics);
        if channels.0.is_empty() {
            return self.leave_out(&section, "none of its channels can run");
        }
        let (frame_section, section) = divide(section);
        self.plan.sources.push(SourcePlan {
            section,
            recipe,
            frame: SourceFrame { channels, ..frame },
            frame_section,
            wires: None,
        });
    }

    /// The channels that can run. One that is not listed is an error if no other is left, as Flume drops it.
    fn resolve(&mut self, props: &mut Props<'_>, names: &Names) -> Names {
        let known = names
            .0
            .iter()
            .filter(|name| self.listed.contains(&name.text))
            .count();
        let code = if known == 0 {
            Code::NoSuchChannel
        } else {
            Code::ChannelLeftOut
        };
        for name in &names.0 {
            self.used.insert(name.text.clone());
            if !self.listed.contains(&name.text) {
                let hint = self.nearest_channel(&name.text);
                let text = format!("there is no channel `{}`", name.text);
                props.report_at(code, name.place.clone(), "channels", &text, hint);
            }
        }
        Names(
            names
                .0
                .iter()
                .filter(|name| self.usable.contains(&name.text))
                .cloned()
                .collect(),
        )
    }

    /// What would be right instead of a channel that is not listed.
    fn nearest_channel(&self, name: &str) -> Option<String> {
        if self.unlisted.contains(name) {
            let list = format!("{}.channels", self.plan.agent);
            return Some(format!(
                "`{name}` is set up but not listed: add it to `{list}`"
            ));
        }
        did_you_mean(name, self.listed.iter().map(String::as_str)).or_else(|| {
            (!self.listed.is_empty()).then(|| format!("channels are {}", self.listed.join(", ")))
        })
    }

    /// A sink that cannot run is refused here; its name remains for its group.
    fn sink(&mut self, section: Section) -> Option<SinkPlan> {
        if self.is_empty(&section) {
            return None;
        }
        let mut props = self.props(&section);
        let frame = SinkFrame::parse(&mut props);
        let runner = RunnerConfig::parse(&mut props);
        let recipe = component::<dyn Sink>(&mut props, sink_properties());
        let references = [
            (
                "channel",
                frame.as_ref().map(|frame| frame.channel.as_str()),
            ),
            (
                "deadLetterChannel",
                runner
                    .as_ref()
                    .and_then(|runner| runner.dead_letter_channel.as_deref()),
            ),
        ];
        for (key, name) in references
            .into_iter()
            .filter_map(|(key, name)| Some((key, name?)))
        {
            self.used.insert(name.into());
            if !self.listed.iter().any(|listed| listed == name) {
                props.report(
                    Code::NoSuchChannel,
                    key,
                    &format!("there is no channel `{name}`"),
                    self.nearest_channel(name),
                );
            }
        }
        if references[0].1.is_some() && references[0].1 == references[1].1 {
            let text =
                "dead letters cannot go into the sink's own channel, it would take them again";
            props.report(Code::DeadLetterLoop, "deadLetterChannel", text, None);
        }
        let (Some(frame), Some(runner), Some(recipe), false) =
            (frame, runner, recipe, failed(&props))
        else {
            self.refuse(&section, props.diagnostics);
            return None;
        };
        self.plan.diagnostics.append(&mut props.diagnostics);
        for channel in std::iter::once(&frame.channel).chain(&runner.dead_letter_channel) {
            if !self.usable.contains(channel) {
                self.leave_out(&section, &format!("its channel {channel} cannot run"));
                return None;
            }
        }
        Some(SinkPlan {
            section,
            recipe,
            channel: frame.channel,
            runner,
        })
    }

    /// Groups with their members; what is in no group is a group of its own.
    fn groups(
        &mut self,
        groups: Vec<(String, Section)>,
        mut sinks: Vec<(String, Option<SinkPlan>)>,
    ) {
        let listed: Vec<_> = sinks.iter().map(|(name, _)| name.clone()).collect();
        for (_, section) in groups {
            self.group(section, &listed, &mut sinks);
        }
        for sink in sinks.into_iter().filter_map(|(_, sink)| sink) {
            self.group_of_one(sink);
        }
    }

    /// A group takes its members out of `sinks`; `listed` are the names of all.
    fn group(
        &mut self,
        section: Section,
        listed: &[String],
        sinks: &mut Vec<(String, Option<SinkPlan>)>,
    ) {
        if self.is_empty(&section) {
            return;
        }
        let mut props = self.props(&section);
        let frame = GroupFrame::parse(&mut props);
        props.warn_unread(&GroupFrame::properties());
        let names = frame.as_ref().map(|frame| frame.sinks.clone()).or_else(|| {
            // Also the members of a broken group must be told.
            section.settings.get("sinks").map(Names::split)
        });
        let mut members = vec![];
        for name in names.unwrap_or_default().0 {
            match sinks.iter().position(|(sink, _)| *sink == name.text) {
                Some(place) => members.extend(sinks.remove(place).1),
                None if listed.contains(&name.text) => {
                    let text = format!("another group has the sink `{}`", name.text);
                    props.report_at(Code::NoSuchSink, name.place, "sinks", &text, None);
                }
                None => {
                    let text = format!("there is no sink `{}`", name.text);
                    let hint = did_you_mean(&name.text, listed.iter().map(String::as_str));
                    props.report_at(Code::NoSuchSink, name.place, "sinks", &text, hint);
                }
            }
        }
        let Some(frame) = frame.filter(|_| !failed(&props)) else {
            self.refuse(&section, props.diagnostics);
            let reason = format!("its group {} cannot run", section.name);
            for sink in members {
                self.leave_out(&sink.section, &reason);
            }
            return;
        };
        self.plan.diagnostics.append(&mut props.diagnostics);
        if !members.is_empty() {
            self.plan.groups.push(GroupPlan {
                section,
                processor: Recipe::new(frame.processor.constructor()),
                sinks: members,
            });
        }
    }

    /// A sink without a group has the default processor.
    fn group_of_one(&mut self, sink: SinkPlan) {
        let section = Section {
            name: sink.section.name.clone(),
            home: sink.section.home.clone(),
            ..Section::default()
        };
        let row = Property::new::<Nested<dyn SinkProcessor>>("type", &[], "", Some(&"default"));
        let mut props = Props::new(self.registry, section.clone());
        let Some(processor) = Nested::<dyn SinkProcessor>::read(&mut props, &row) else {
            return self.leave_out(&section, "this build has no default sink processor");
        };
        self.plan.groups.push(GroupPlan {
            section,
            processor: Recipe::new(processor.constructor()),
            sinks: vec![sink],
        });
    }

    /// Leaves out the channels that nobody names, as Flume does: one could take the directory of another that is used.
    /// `homes` are the full names and places of all.
    fn leave_out_unused(&mut self, homes: BTreeMap<String, (String, Span)>) {
        for (name, (full, home)) in homes {
            if self.used.contains(&name) {
                continue;
            }
            let text = "is used by no source and no sink, so it is not opened";
            self.report(Code::ChannelUnused, &home, &full, text);
            self.plan
                .channels
                .retain(|channel| channel.section.name != full);
        }
    }

    fn report(&mut self, code: Code, place: &Span, key: &str, text: &str) {
        let found = Diagnostic::new(code, place.clone(), key, text);
        self.plan.diagnostics.push(found);
    }

    /// Refuses a component for the worst that was found.
    fn refuse(&mut self, section: &Section, mut found: Vec<Diagnostic>) {
        // What is wrong with a value says nothing while the value is not what was meant: its first error counts.
        let mut said = BTreeSet::new();
        found.retain(|found| !self.broken.contains(&found.key) || said.insert(found.key.clone()));
        let worst = found.iter().min_by_key(|found| found.severity());
        let reason = worst.map_or("its configuration is wrong".into(), |worst| {
            let key = worst
                .key
                .strip_prefix(&section.name)
                .unwrap_or_default()
                .trim_start_matches('.');
            if key.is_empty() || !worst.is_error() {
                worst.text.clone()
            } else {
                format!("{key}: {}", worst.text)
            }
        });
        self.plan.diagnostics.append(&mut found);
        self.leave_out(section, &reason);
    }

    /// Leaves out a component for which nothing is set. The graph has told why.
    fn is_empty(&mut self, section: &Section) -> bool {
        let is_empty = section.settings.is_empty();
        if is_empty {
            self.leave_out(section, "nothing is set for it");
        }
        is_empty
    }

    fn leave_out(&mut self, section: &Section, reason: &str) {
        self.plan.refused.push(Refused::new(section, reason));
    }
}

/// An error about a value shows its quotation marks, too.
fn leave_out_told_quotes(diagnostics: &mut Vec<Diagnostic>) {
    let errors = diagnostics.iter().filter(|found| found.is_error());
    let errors: Vec<_> = errors.map(|found| found.key.clone()).collect();
    diagnostics.retain(|found| found.code != Code::Quoted || !errors.contains(&found.key));
}

fn failed(props: &Props<'_>) -> bool {
    props.diagnostics.iter().any(|found| found.is_error())
}

/// Parses the component that `type` names; `frame` are the rows that others read from the same section.
fn component<K: ComponentKind + ?Sized + 'static>(
    props: &mut Props<'_>,
    frame: Vec<Property>,
) -> Option<Recipe<K>> {
    let TypeFrame { type_name, .. } = TypeFrame::parse(props)?;
    let unknown = match props.registry().find::<K>(&type_name) {
        Ok(found) => {
            if let Some((text, hint)) = found.misspelling(&type_name) {
                props.report(Code::ClassCase, "type", text, Some(hint));
            }
            return parse_found(props, &found, frame).map(Recipe::new);
        }
        Err(unknown) => unknown,
    };
    props.report(unknown.code, "type", &unknown.text, unknown.hint);
    for key in unknown.known.map_or(&[][..], |known| known.required) {
        // A missing key reads like one of a component that is there.
        props.text(&Property::new::<String>(key, &[], "", None));
    }
    None
}

/// Parses a component. If one of its parts can only run in a foreign host, the host runs the whole component, as the
/// class that Flume has for it.
fn parse_found<K: ComponentKind + ?Sized + 'static>(
    props: &mut Props<'_>,
    found: &Found<K>,
    frame: Vec<Property>,
) -> Option<Constructor<K>> {
    props.take_foreign_parts();
    let found_before = props.diagnostics.len();
    let constructor = found.parse(props);
    let foreign_parts = props.take_foreign_parts();
    if let Some(part) = foreign_parts.first()
        && let Some(hosted) = props.registry().find_hosted::<K>(found.row.class)
    {
        props.diagnostics.truncate(found_before);
        let text = format!(
            "runs outside this program, as `{}`, because of `{part}`",
            hosted.class
        );
        props.report(Code::RunsElsewhere, "type", &text, None);
        return hosted.parse(props);
    }
    props.warn_unread(&[frame, (found.row.properties)()].concat());
    constructor
}

/// The frame of a source, and what is its own.
fn divide(section: Section) -> (Section, Section) {
    let first_word = |key: &str| key.split('.').next().unwrap_or_default().to_string();
    let frame_words: Vec<_> = SourceFrame::properties()
        .iter()
        .map(|row| first_word(row.key))
        .collect();
    let (frame, own) = section
        .settings
        .into_iter()
        .partition(|(key, _)| frame_words.contains(&first_word(key)));
    let part = |settings| Section {
        name: section.name.clone(),
        home: section.home.clone(),
        settings,
    };
    (part(frame), part(own))
}

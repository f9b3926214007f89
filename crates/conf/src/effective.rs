//! What Java Flume would keep of an agent: its own rules, which are not those of this program.
//!
//! First come the rules over names and lists, then the loader, which builds each component. What a component itself
//! refuses is known from the diagnostics, by their codes.

use std::collections::{BTreeMap, BTreeSet};

use flume_core::{Code, Diagnostic, props::Setting};

use crate::graph::KINDS;

/// What Java Flume does with a listed component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlumeVerdict {
    /// The full name: `a1.sinks.k1`.
    pub name: String,
    /// Its type as the user wrote it.
    pub type_name: String,
    /// Why Flume drops it; `None`: Flume keeps it.
    pub reason: Option<String>,
}

/// The verdicts on every listed component of `agent`. `found` is what this program says of it, and of others.
pub(crate) fn effective(
    agent: &str,
    settings: &BTreeMap<String, Setting>,
    found: &[Diagnostic],
) -> Vec<FlumeVerdict> {
    let own = |found: &&Diagnostic| found.key.split('.').next() == Some(agent);
    let found: Vec<_> = found.iter().filter(own).collect();
    let mut rules = FlumeRules::new(agent, settings);
    rules.check_names();
    rules.load(&found);
    rules.verdicts()
}

/// A component as Flume sees it.
#[derive(Default)]
struct EffectiveComponent {
    /// Without the prefix; empty values are not there.
    values: BTreeMap<String, String>,
    reason: Option<String>,
}

struct FlumeRules {
    agent: String,
    /// By kind, then by name; only what is listed.
    parts: BTreeMap<&'static str, BTreeMap<String, EffectiveComponent>>,
    /// The lists, in their order.
    lists: BTreeMap<&'static str, Vec<String>>,
    /// What the channels of a source come to, by source.
    channels: BTreeMap<String, Vec<String>>,
    /// The members of a group, by group.
    members: BTreeMap<String, Vec<String>>,
}

fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = vec![];
    for word in text.split_ascii_whitespace() {
        if !words.iter().any(|known| known == word) {
            words.push(word.into());
        }
    }
    words
}

impl FlumeRules {
    fn new(agent: &str, settings: &BTreeMap<String, Setting>) -> Self {
        let mut rules = FlumeRules {
            agent: agent.into(),
            parts: BTreeMap::new(),
            lists: BTreeMap::new(),
            channels: BTreeMap::new(),
            members: BTreeMap::new(),
        };
        for kind in KINDS.into_iter().filter(|kind| *kind != "configfilters") {
            let list = settings.get(&format!("{agent}.{kind}"));
            let names = list.map(|list| words(&list.text)).unwrap_or_default();
            let parts = names.iter().map(|name| {
                let prefix = format!("{agent}.{kind}.{name}.");
                let own = settings.range(prefix.clone()..);
                let own = own.take_while(|(key, _)| key.starts_with(&prefix));
                let values = own
                    .filter(|(_, setting)| !setting.text.is_empty())
                    .map(|(key, setting)| (key[prefix.len()..].to_string(), setting.text.clone()))
                    .collect();
                let reason = None;
                (name.clone(), EffectiveComponent { values, reason })
            });
            rules.parts.insert(kind, parts.collect());
            rules.lists.insert(kind, names);
        }
        rules
    }

    fn drop(&mut self, kind: &str, name: &str, reason: &str) {
        let part = self
            .parts
            .get_mut(kind)
            .and_then(|parts| parts.get_mut(name));
        if let Some(part) = part {
            part.reason.get_or_insert_with(|| reason.into());
        }
    }

    fn drop_all(&mut self, reason: &str) {
        let parts = self.parts.values_mut().flat_map(BTreeMap::values_mut);
        parts.for_each(|part| {
            part.reason.get_or_insert_with(|| reason.into());
        });
    }

    fn is_kept(&self, kind: &str, name: &str) -> bool {
        let part = self.parts[kind].get(name);
        part.is_some_and(|part| part.reason.is_none())
    }

    /// The kept components of a kind, in the order of the list.
    fn kept(&self, kind: &str) -> Vec<String> {
        let names = self.lists[kind].iter();
        names
            .filter(|name| self.is_kept(kind, name))
            .cloned()
            .collect()
    }

    fn value(&self, kind: &str, name: &str, key: &str) -> Option<&str> {
        let values = &self.parts[kind].get(name)?.values;
        values.get(key).map(String::as_str)
    }

    fn names_of(&self, kind: &str, name: &str, key: &str) -> Vec<String> {
        self.value(kind, name, key).map(words).unwrap_or_default()
    }

    /// The rules of `FlumeConfiguration`.
    fn check_names(&mut self) {
        for kind in ["channels", "sources", "sinks"] {
            for name in self.lists[kind].clone() {
                if self.parts[kind][&name].values.is_empty() {
                    self.drop(kind, &name, "nothing is set for it");
                } else if self.value(kind, &name, "type").is_none() {
                    self.drop(kind, &name, "it has no type");
                }
            }
        }
        if self.kept("channels").is_empty() {
            return self.drop_all("the agent has no valid channel");
        }
        self.check_connections();
        self.check_groups();
        if self.kept("sources").is_empty() && self.kept("sinks").is_empty() {
            self.drop_all("the agent has no valid source and no valid sink");
        }
    }

    fn check_connections(&mut self) {
        for name in self.kept("sources") {
            let mut channels = self.names_of("sources", &name, "channels");
            channels.retain(|channel| self.is_kept("channels", channel));
            if channels.is_empty() {
                self.drop("sources", &name, "it has no valid channel");
            }
            let selector = self
                .value("sources", &name, "selector.type")
                .unwrap_or_default();
            if selector.eq_ignore_ascii_case("load_balancing")
                || selector == "org.apache.flume.channel.LoadBalancingChannelSelector"
            {
                self.drop(
                    "sources",
                    &name,
                    "Flume 1.11 has no configuration for this selector",
                );
            }
            self.channels.insert(name, channels);
        }
        for name in self.kept("sinks") {
            let channel = self.value("sinks", &name, "channel").unwrap_or_default();
            if !self.is_kept("channels", channel) {
                self.drop("sinks", &name, "it has no valid channel");
            }
        }
    }

    fn check_groups(&mut self) {
        let mut used = BTreeSet::new();
        for group in self.kept("sinkgroups") {
            let mut sinks = self.names_of("sinkgroups", &group, "sinks");
            sinks.retain(|sink| self.is_kept("sinks", sink) && !used.contains(sink));
            if sinks.is_empty() {
                self.drop("sinkgroups", &group, "it has no valid sink");
                continue;
            }
            if self.value("sinkgroups", &group, "processor.type").is_none() {
                self.drop("sinkgroups", &group, "it has no processor.type");
            }
            used.extend(sinks.iter().cloned());
            self.members.insert(group, sinks);
        }
    }

    /// The rules of the loader: each component is configured, and what depends on one that failed goes, too.
    fn load(&mut self, found: &[&Diagnostic]) {
        if let Some(unloadable) = self.unloadable(found) {
            let reason = format!("Flume ends: it finds no class `{unloadable}`");
            return self.drop_all(&reason);
        }
        for found in found {
            if self.fails_in_flume(found) {
                let mut words = found.key.splitn(4, '.').skip(1);
                if let (Some(kind), Some(name)) = (words.next(), words.next()) {
                    let reason = format!("{}: {}", words.next().unwrap_or("it"), found.text);
                    if self.parts.contains_key(kind) {
                        self.drop(kind, name, &reason);
                    }
                }
            }
        }
        self.follow_channels();
        self.follow_groups();
        self.drop_unused_channels();
    }

    /// The first type that Flume takes as a class and cannot find. Classes with a package may be on the class path.
    fn unloadable(&self, found: &[&Diagnostic]) -> Option<String> {
        let unknown = found.iter().filter(|found| found.code == Code::UnknownType);
        let mut types = unknown.filter_map(|found| {
            let mut words = found.key.split('.').skip(1);
            let kind = words.next()?;
            let name = words.next()?;
            let key = words.next()?;
            let is_own = key == "type" && words.next().is_none();
            let type_name = self.value(kind_of(kind)?, name, "type")?;
            (is_own && self.is_kept(kind, name) && !type_name.contains('.')).then_some(type_name)
        });
        types.next().map(String::from)
    }

    fn fails_in_flume(&self, found: &Diagnostic) -> bool {
        let is_part = found.key.contains(".interceptors.")
            || found.key.ends_with(".selector.type")
            || found.key.ends_with(".processor.type");
        found.code.drops_in_flume() || (found.code == Code::UnknownType && is_part)
    }

    fn follow_channels(&mut self) {
        for name in self.kept("sources") {
            let channels = self.channels.get(&name).cloned().unwrap_or_default();
            if !channels
                .iter()
                .any(|channel| self.is_kept("channels", channel))
            {
                self.drop("sources", &name, "none of its channels is left");
            }
        }
        for name in self.kept("sinks") {
            let channel = self.value("sinks", &name, "channel").unwrap_or_default();
            if !self.is_kept("channels", channel) {
                self.drop("sinks", &name, "its channel is left out");
            }
        }
    }

    fn follow_groups(&mut self) {
        for (group, sinks) in self.members.clone() {
            if self.is_kept("sinkgroups", &group) {
                if let Some(failed) = sinks.iter().find(|sink| !self.is_kept("sinks", sink)) {
                    let text =
                        format!("Flume gives up: group {group} has the failed sink {failed}");
                    return self.drop_all(&text);
                }
            } else {
                for sink in sinks {
                    self.drop("sinks", &sink, "its group is left out");
                }
            }
        }
    }

    fn drop_unused_channels(&mut self) {
        let mut used: BTreeSet<String> = BTreeSet::new();
        for source in self.kept("sources") {
            used.extend(self.channels.get(&source).cloned().unwrap_or_default());
        }
        for sink in self.kept("sinks") {
            used.extend(self.value("sinks", &sink, "channel").map(String::from));
        }
        for channel in self.kept("channels") {
            if !used.contains(&channel) {
                self.drop("channels", &channel, "nothing is connected to it");
            }
        }
    }

    fn verdicts(&self) -> Vec<FlumeVerdict> {
        let kinds = ["sources", "channels", "sinks", "sinkgroups"];
        let of_kind = |kind: &'static str| {
            self.lists[kind].iter().map(move |name| {
                let part = &self.parts[kind][name];
                let key = if kind == "sinkgroups" {
                    "processor.type"
                } else {
                    "type"
                };
                let type_name = part.values.get(key).map_or("-", String::as_str);
                FlumeVerdict {
                    name: format!("{}.{kind}.{name}", self.agent),
                    type_name: type_name.into(),
                    reason: part.reason.clone(),
                }
            })
        };
        kinds.into_iter().flat_map(of_kind).collect()
    }
}

fn kind_of(word: &str) -> Option<&'static str> {
    KINDS.into_iter().find(|kind| *kind == word)
}

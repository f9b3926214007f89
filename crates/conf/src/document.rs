//! Configuration files, read in order, and the agents in them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use flume_core::{Code, Diagnostic, Registry, Span, props::Setting};

use crate::{
    FlumeVerdict, Lookups, Plan,
    doubts::{explain_missing, leave_out_explained_agents},
    effective::effective,
    graph::Graph,
    lookup,
    properties::{decode, parse},
};

/// Everything that some files say; later files win.
#[derive(Default)]
pub struct Document {
    /// Name and text of each file, for showing places.
    pub files: Vec<(Arc<str>, String)>,
    /// By key.
    settings: BTreeMap<String, Setting>,
    diagnostics: Vec<Diagnostic>,
    /// By the key whose value cannot be resolved.
    unresolved: BTreeMap<String, Diagnostic>,
    /// Each line whose key belongs to no agent.
    nameless: Vec<(String, Span)>,
    /// Keys that values refer to: these have an effect although they belong to no agent.
    referenced: BTreeSet<String>,
}

impl Document {
    /// Adds a file; its keys replace those of the files before it.
    pub fn add(&mut self, name: &str, bytes: &[u8]) {
        let name: Arc<str> = name.into();
        let (text, mut found) = decode(&name, bytes);
        self.diagnostics.append(&mut found);
        let mut parsed = parse(&name, &text);
        self.diagnostics.append(&mut parsed.diagnostics);
        for entry in parsed.entries {
            let text = entry.value.trim().to_string();
            let setting = Setting {
                text,
                key_place: entry.key_place,
                value_place: entry.value_place,
            };
            let key = entry.key.trim().to_string();
            let place = setting.key_place.clone();
            if belongs_to_none(&key) {
                self.nameless.push((key.clone(), place.clone()));
            }
            if let Some(earlier) = self.settings.insert(key.clone(), setting)
                && earlier.key_place.file == name
                && !belongs_to_none(&key)
            {
                let line = earlier.key_place.line;
                let (code, text) = if earlier.text == self.settings[&key].text {
                    (
                        Code::SetTwice,
                        format!("is set a second time, to what line {line} says already"),
                    )
                } else {
                    (
                        Code::ValueLost,
                        format!("is set a second time, the value of line {line} is lost"),
                    )
                };
                self.diagnostics
                    .push(Diagnostic::new(code, place, &key, text));
            }
        }
        self.files.push((name, text));
    }

    /// Resolves `${…}` in all values. To be called once, when all files are there.
    pub fn resolve(&mut self, lookups: &dyn Lookups) {
        let mut resolved = lookup::resolve(&mut self.settings, lookups);
        self.diagnostics.append(&mut resolved.diagnostics);
        self.unresolved = resolved.errors;
        self.referenced = resolved.referenced;
    }

    /// All settings, by key.
    pub fn settings(&self) -> &BTreeMap<String, Setting> {
        &self.settings
    }

    /// The agents, by name.
    pub fn agents(&self) -> Vec<String> {
        let mut agents: Vec<_> = self
            .settings
            .keys()
            .filter_map(|key| key.split_once('.'))
            .map(|(agent, _)| agent.to_string())
            .collect();
        agents.retain(|agent| !agent.is_empty());
        agents.dedup();
        agents
    }

    /// The settings whose keys begin so, in the order of their keys: the rest of the key, and the setting.
    pub fn below<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a Setting)> {
        let from = self.settings.range(prefix.to_string()..);
        from.map_while(move |(key, setting)| Some((key.strip_prefix(prefix)?, setting)))
    }

    /// Takes out findings that repeat others. `found` is what the plans of all agents say.
    pub fn leave_out_explained(&self, found: &mut Vec<Diagnostic>) {
        leave_out_explained_agents(found, &self.settings);
    }

    /// What `agent` is to run, and everything that is wrong with it and with the files as such.
    pub fn plan(&self, agent: &str, registry: &Registry) -> Plan {
        let mut plan = Graph::of(agent, &self.settings, &self.unresolved).plan(registry);
        plan.diagnostics.extend(self.diagnostics.iter().cloned());
        explain_missing(&mut plan.diagnostics, &self.settings);
        let nameless = self.nameless.iter();
        let nameless = nameless.filter(|(key, _)| !self.referenced.contains(key));
        plan.diagnostics.extend(nameless.map(|(key, place)| {
            let is_comment = key.starts_with("//") || key.starts_with("--");
            let hint = if is_comment {
                "a comment begins with `#`"
            } else {
                "keys are AGENT.sources.NAME.PROPERTY and the like"
            };
            let text = "belongs to no agent, it has no effect";
            Diagnostic::new(Code::KeyWithoutAgent, place.clone(), key, text).hint(Some(hint.into()))
        }));
        plan.diagnostics.sort_by(|a, b| a.place.cmp(&b.place));
        plan
    }
}

impl Document {
    /// What Java Flume would keep of `agent`; `found` is what this program says of the agent.
    pub fn effective(&self, agent: &str, found: &[Diagnostic]) -> Vec<FlumeVerdict> {
        effective(agent, &self.settings, found)
    }
}

/// Whether a key names no agent.
fn belongs_to_none(key: &str) -> bool {
    !key.contains('.') || key.starts_with('.')
}

//! The `a1.sources…` graph: lists of names, and the sections of the components.

use std::collections::BTreeMap;

use flume_core::{
    Diagnostic, Severity,
    config::Names,
    props::{Section, Setting, did_you_mean, suggestion},
};

/// Second words of a key that stand for components.
pub(crate) const KINDS: [&str; 5] = [
    "sources",
    "channels",
    "sinks",
    "sinkgroups",
    "configfilters",
];

/// One agent's keys, sorted into components.
pub(crate) struct Graph {
    pub(crate) agent: String,
    /// By `sources`, `channels`, …
    pub(crate) kinds: BTreeMap<&'static str, Group>,
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// Values of components that cannot be resolved, by the component's full name.
    pub(crate) unresolved: BTreeMap<String, Vec<Diagnostic>>,
}

/// The components of one kind.
#[derive(Default)]
pub(crate) struct Group {
    /// The names that are listed, each once.
    pub(crate) listed: Names,
    /// What is set for each name, listed or not.
    pub(crate) sections: BTreeMap<String, Section>,
}

impl Graph {
    /// `unresolved` are the keys whose values are not what they were meant to be.
    pub(crate) fn of(
        agent: &str,
        settings: &BTreeMap<String, Setting>,
        unresolved: &BTreeMap<String, Diagnostic>,
    ) -> Graph {
        let kinds = KINDS
            .into_iter()
            .map(|kind| (kind, Group::default()))
            .collect();
        let mut graph = Graph {
            agent: agent.into(),
            kinds,
            diagnostics: vec![],
            unresolved: BTreeMap::new(),
        };
        let prefix = format!("{agent}.");
        for (key, setting) in settings {
            let Some(rest) = key.strip_prefix(&prefix) else {
                continue;
            };
            match (unresolved.get(key), component_of(key)) {
                (Some(found), None) => graph.diagnostics.push(found.clone()),
                (found, _) => {
                    graph.add(key, rest, setting);
                    graph.note_unresolved(key, found);
                }
            }
        }
        graph.complete(settings);
        graph
    }

    fn add(&mut self, key: &str, rest: &str, setting: &Setting) {
        if setting.text.is_empty() {
            return self.warn(setting, key, "has no value, it has no effect", None);
        }
        let (word, below) = rest
            .split_once('.')
            .map_or((rest, None), |(word, below)| (word, Some(below)));
        let Some(kind) = KINDS.into_iter().find(|kind| *kind == word) else {
            let hint = did_you_mean(word, KINDS.into_iter());
            return self.warn(
                setting,
                key,
                &format!("`{word}` is not a kind of component, it has no effect"),
                hint,
            );
        };
        match below {
            None => self.list(kind, key, setting),
            // As in Flume the search starts one character later: a name has at least one.
            Some(below) => match below.char_indices().skip(1).find(|(_, c)| *c == '.') {
                Some((dot, _)) if dot + 1 < below.len() => {
                    let name = &below[..dot];
                    let property = &below[dot + 1..];
                    let sections = &mut self.kinds.entry(kind).or_default().sections;
                    let section = sections.entry(name.into()).or_insert_with(|| Section {
                        name: format!("{}.{kind}.{name}", self.agent),
                        home: setting.key_place.clone(),
                        ..Section::default()
                    });
                    section.home = section.home.clone().min(setting.key_place.clone());
                    section.settings.insert(property.into(), setting.clone());
                }
                _ => self.warn(setting, key, "names no property, it has no effect", None),
            },
        }
    }

    fn note_unresolved(&mut self, key: &str, found: Option<&Diagnostic>) {
        let Some(found) = found else { return };
        let name: Vec<_> = key.splitn(4, '.').take(3).collect();
        let of_component = self.unresolved.entry(name.join(".")).or_default();
        of_component.push(found.clone());
    }

    fn list(&mut self, kind: &'static str, key: &str, setting: &Setting) {
        let mut names = Names::split(setting);
        self.diagnostics.extend(Names::comma_warning(setting, key));
        let mut seen = vec![];
        names.0.retain(|name| {
            let first = !seen.contains(&name.text);
            seen.push(name.text.clone());
            first
        });
        self.kinds.entry(kind).or_default().listed = names;
    }

    /// Every listed name has a section; every section that is not listed is told. `settings` are those of all agents.
    fn complete(&mut self, settings: &BTreeMap<String, Setting>) {
        let agent = &self.agent;
        for (kind, group) in &mut self.kinds {
            for name in &group.listed.0 {
                if name.text.starts_with('#') {
                    let text = format!("`{}` counts as a name", name.text);
                    self.diagnostics.push(Diagnostic {
                        severity: Severity::Warning,
                        place: name.place.clone(),
                        key: format!("{agent}.{kind}"),
                        text,
                        hint: Some("a comment needs a line of its own".into()),
                    });
                }
                group
                    .sections
                    .entry(name.text.clone())
                    .or_insert_with(|| Section {
                        name: format!("{agent}.{kind}.{}", name.text),
                        home: name.place.clone(),
                        ..Section::default()
                    });
            }
            for (name, section) in &group.sections {
                if group.listed.texts().any(|listed| listed == name) {
                    continue;
                }
                let unset = group
                    .listed
                    .texts()
                    .filter(|name| group.sections[*name].settings.is_empty());
                let hint = did_you_mean(name, unset).or_else(|| {
                    let elsewhere = listed_elsewhere(agent, name, settings)?;
                    Some(suggestion(&elsewhere))
                });
                self.diagnostics.push(Diagnostic {
                    severity: Severity::Warning,
                    place: section.home.clone(),
                    key: section.name.clone(),
                    text: format!("is not listed in `{agent}.{kind}`, it is not started"),
                    hint: hint.or_else(|| Some(format!("add `{name}` to `{agent}.{kind}`"))),
                });
            }
        }
    }

    fn warn(&mut self, setting: &Setting, key: &str, text: &str, hint: Option<String>) {
        let place = setting.key_place.clone();
        self.diagnostics.push(Diagnostic {
            severity: Severity::Warning,
            place,
            key: key.into(),
            text: text.into(),
            hint,
        });
    }

    /// Takes out the listed sections of a kind, in the order of the list.
    pub(crate) fn take(&mut self, kind: &str) -> Vec<(String, Section)> {
        let Some(group) = self.kinds.get_mut(kind) else {
            return vec![];
        };
        let named = group
            .listed
            .texts()
            .map(String::from)
            .collect::<Vec<_>>()
            .into_iter();
        named
            .filter_map(|name| group.sections.remove(&name).map(|section| (name, section)))
            .collect()
    }
}

/// Agent and kind of a property of a component: `a1` and `sinks` of `a1.sinks.k1.type`.
pub(crate) fn component_of(key: &str) -> Option<(&str, &str)> {
    let mut words = key.splitn(4, '.');
    let agent = words.next()?;
    let kind = words.next()?;
    words.nth(1)?;
    KINDS.contains(&kind).then_some((agent, kind))
}

/// Where the component `name` is listed, if not as the kind, or for the agent, that its properties name: the agent's
/// own other lists count, and those of others when this agent has none.
fn listed_elsewhere(
    agent: &str,
    name: &str,
    settings: &BTreeMap<String, Setting>,
) -> Option<String> {
    let lists = settings.iter().filter_map(|(key, setting)| {
        let (owner, kind) = key.split_once('.')?;
        KINDS.contains(&kind).then_some((owner, key, setting))
    });
    let lists: Vec<_> = lists.collect();
    let stranger = !lists.iter().any(|(owner, ..)| *owner == agent);
    let lists = lists
        .into_iter()
        .filter(|(owner, ..)| stranger || *owner == agent);
    let mut found =
        lists.filter(|(.., setting)| Names::split(setting).texts().any(|listed| listed == name));
    found.next().map(|(_, key, _)| format!("{key}.{name}"))
}

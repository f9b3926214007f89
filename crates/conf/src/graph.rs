//! The `a1.sources…` graph: lists of names, and the sections of the components.

use std::collections::BTreeMap;

use flume_core::{
    Code, Diagnostic,
    config::{Name, Names},
    props::{Section, Setting, did_you_mean, nearest, suggestion},
};

use crate::doubts::doubts;

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
    /// What is doubtful about values of listed components.
    pub(crate) doubts: Vec<Diagnostic>,
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
            doubts: vec![],
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
            let text = "has no value, so it counts as not set";
            return self.warn(Code::NoValue, setting, key, text, None);
        }
        let (word, below) = rest
            .split_once('.')
            .map_or((rest, None), |(word, below)| (word, Some(below)));
        let Some(kind) = KINDS.into_iter().find(|kind| *kind == word) else {
            let hint = did_you_mean(word, KINDS.into_iter());
            return self.warn(
                Code::UnknownWord,
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
                _ => {
                    let text = "names no property, it has no effect";
                    self.warn(Code::NoProperty, setting, key, text, None);
                }
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
        if self.is_unlisted() {
            return self.report_misspelt_agent(settings);
        }
        let agent = &self.agent;
        let set_up = set_up_and_listed(&self.kinds);
        for (kind, group) in &mut self.kinds {
            self.diagnostics.extend(group.drop_comment(agent, kind));
            let unlisted = group.unlisted();
            let empty = group.empty();
            let renamed = match (&empty[..], &unlisted[..]) {
                ([listed], [(name, _)]) => vec![(listed.clone(), name.to_string())],
                _ => nearest_pairs(&empty, &unlisted),
            };
            for name in &empty {
                let renamed = renamed.iter().find(|(listed, _)| listed == name);
                let found = misspelt_owner(agent, kind, &name.text, settings)
                    .unwrap_or_else(|| report_empty(agent, kind, name, renamed, &set_up));
                self.diagnostics.push(found);
            }
            for name in group.listed.texts() {
                let section = group.sections.get(name);
                self.doubts.extend(section.into_iter().flat_map(doubts));
            }
            for (name, section) in unlisted {
                if renamed.iter().any(|(_, renamed)| renamed == name) {
                    continue;
                }
                let text = format!("is not listed in `{agent}.{kind}`, it is not started");
                let hint = listed_elsewhere(agent, name, settings)
                    .map(|elsewhere| suggestion(&elsewhere))
                    .or_else(|| {
                        let is_whole =
                            section.settings.contains_key("type") || *kind == "sinkgroups";
                        is_whole.then(|| format!("add `{name}` to `{agent}.{kind}`"))
                    });
                let home = section.home.clone();
                let found = Diagnostic::new(Code::NotListed, home, &section.name, text);
                self.diagnostics.push(found.hint(hint));
            }
            for name in empty {
                let section = Section {
                    name: format!("{agent}.{kind}.{}", name.text),
                    home: name.place,
                    ..Section::default()
                };
                group.sections.insert(name.text, section);
            }
        }
    }

    /// Whether the agent has components and not one list of sources, channels or sinks.
    fn is_unlisted(&self) -> bool {
        let groups = self.kinds.values();
        let has_sections = groups.clone().any(|group| !group.sections.is_empty());
        has_sections && self.kinds.values().all(|group| group.listed.0.is_empty())
    }

    /// One finding for all components of an agent that lists none.
    fn report_misspelt_agent(&mut self, settings: &BTreeMap<String, Setting>) {
        let sections = self
            .kinds
            .values()
            .flat_map(|group| group.sections.values());
        let homes = sections.map(|section| section.home.clone());
        let home = homes.min().unwrap_or_default();
        let others = agents_with_lists(settings);
        let meant = match &others[..] {
            [only] => Some(*only),
            _ => nearest(&self.agent, others.iter().copied()).or_else(|| {
                let mut owners = others
                    .iter()
                    .filter(|other| self.belongs_to(other, settings));
                let owner = owners.next()?;
                owners.next().is_none().then_some(*owner)
            }),
        };
        let text = format!(
            "no list names a component of agent `{}`, so none of its lines has an effect",
            self.agent
        );
        let found = Diagnostic::new(Code::MisspeltAgent, home, &self.agent, text);
        self.diagnostics.push(found.hint(meant.map(suggestion)));
        self.kinds
            .values_mut()
            .for_each(|group| group.sections.clear());
    }

    /// Whether `other` lists every component that this agent sets up.
    fn belongs_to(&self, other: &str, settings: &BTreeMap<String, Setting>) -> bool {
        self.kinds.iter().all(|(kind, group)| {
            let listed = settings.get(&format!("{other}.{kind}"));
            let listed = listed.map(Names::split).unwrap_or_default();
            let mut names = group.sections.keys();
            names.all(|name| listed.texts().any(|listed| listed == name))
        })
    }

    fn warn(&mut self, code: Code, setting: &Setting, key: &str, text: &str, hint: Option<String>) {
        let found = Diagnostic::new(code, setting.key_place.clone(), key, text);
        self.diagnostics.push(found.hint(hint));
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

impl Group {
    /// Takes the words of a comment out of the list, and tells of it.
    fn drop_comment(&mut self, agent: &str, kind: &str) -> Option<Diagnostic> {
        let names = &mut self.listed.0;
        let begin = names.iter().position(|name| name.text.starts_with('#'))?;
        let first = names[begin].clone();
        let sections = &self.sections;
        let mut at = 0;
        names.retain(|name| {
            at += 1;
            at <= begin || sections.contains_key(&name.text)
        });
        let text = format!("`{}` counts as a name in Flume", first.text);
        let key = format!("{agent}.{kind}");
        let found = Diagnostic::new(Code::CommentInList, first.place, &key, text);
        Some(found.hint(Some("a comment needs a line of its own".into())))
    }

    /// What is set up and not listed.
    pub(crate) fn unlisted(&self) -> Vec<(&String, &Section)> {
        let is_listed = |name: &str| self.listed.texts().any(|listed| listed == name);
        let sections = self.sections.iter();
        sections.filter(|(name, _)| !is_listed(name)).collect()
    }

    /// The listed names for which nothing is set.
    fn empty(&self) -> Vec<Name> {
        let names = self.listed.0.iter();
        let empty = names.filter(|name| !self.sections.contains_key(&name.text));
        empty.cloned().collect()
    }
}

/// Names that are listed and set up, with their kind.
fn set_up_and_listed(kinds: &BTreeMap<&'static str, Group>) -> BTreeMap<String, &'static str> {
    let names = kinds.iter().flat_map(|(kind, group)| {
        let names = group.listed.texts();
        let names = names.filter(|name| group.sections.contains_key(*name));
        names.map(|name| (name.to_string(), *kind))
    });
    names.collect()
}

/// Listed names, each with the one name that is set up and resembles it.
fn nearest_pairs(empty: &[Name], unlisted: &[(&String, &Section)]) -> Vec<(Name, String)> {
    let pair = |listed: &Name| {
        let near = nearest(&listed.text, unlisted.iter().map(|(name, _)| name.as_str()))?;
        Some((listed.clone(), near.to_string()))
    };
    empty.iter().filter_map(pair).collect()
}

fn report_empty(
    agent: &str,
    kind: &str,
    name: &Name,
    renamed: Option<&(Name, String)>,
    set_up: &BTreeMap<String, &'static str>,
) -> Diagnostic {
    let key = format!("{agent}.{kind}");
    match renamed {
        Some((_, other)) => {
            let text = format!(
                "`{}` is listed and nothing is set for it, `{other}` is set up and not listed",
                name.text
            );
            let found = Diagnostic::new(Code::MisspeltName, name.place.clone(), &key, text);
            found.hint(Some(suggestion(other)))
        }
        None => {
            let text = format!("nothing is set for `{}`", name.text);
            let other = set_up.get(&name.text).map(|other| {
                format!(
                    "`{}` is set up and listed in `{agent}.{other}`: take it out here",
                    name.text
                )
            });
            Diagnostic::new(Code::NothingSet, name.place.clone(), &key, text).hint(other)
        }
    }
}

/// What is said of the agent that sets up the component, if its name is one of `agent`, misspelt.
fn misspelt_owner(
    agent: &str,
    kind: &str,
    name: &str,
    settings: &BTreeMap<String, Setting>,
) -> Option<Diagnostic> {
    let middle = format!(".{kind}.{name}.");
    let mut strangers = settings.keys().filter_map(|key| {
        let at = key.find(&middle)?;
        (!key[..at].contains('.') && key[..at] != *agent).then_some(&key[..at])
    });
    let stranger = strangers.next()?;
    let found = Graph::of(stranger, settings, &BTreeMap::new()).diagnostics;
    let mut found = found.into_iter();
    let found = found.find(|found| found.code == Code::MisspeltAgent)?;
    (found.hint == Some(suggestion(agent))).then_some(found)
}

/// The agents that have a list of sources, channels or sinks.
fn agents_with_lists(settings: &BTreeMap<String, Setting>) -> Vec<&str> {
    let lists = settings.keys().filter_map(|key| key.split_once('.'));
    let mut agents: Vec<_> = lists
        .filter(|(_, kind)| KINDS.contains(kind))
        .map(|(agent, _)| agent)
        .collect();
    agents.dedup();
    agents
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

//! `${…}` in values: lookups, references to other keys, and config filters.
//!
//! The rules are those of the substitutor that Flume 1.11 uses. A name ends at its `}`; names may hold further `${…}`,
//! which are resolved first. `:-` begins a default. `$${` stands for the text `${`. What a lookup yields is searched
//! for `${…}` again. In contrast to Flume, text that cannot be resolved is an error and never a value.
//!
//! Nothing here does I/O: [`Lookups`] answers what a name stands for.

use std::collections::{BTreeMap, BTreeSet};

use flume_core::{
    Code, Diagnostic, Span,
    config::Names,
    props::{Section, Setting, did_you_mean},
    secrets,
};

use crate::graph::component_of;

/// Deepest nesting of `${…}`, in names and in what they yield.
const MAX_DEPTH: usize = 16;
/// Most `${…}` that one value may lead to.
const MAX_STEPS: usize = 1_000;
/// Longest value, in bytes.
const MAX_VALUE_BYTES: usize = 1 << 20;
/// Last words of keys whose values may hold `${NAME}` for somebody else: a shell, or a regular expression's
/// replacement. Flume passes such text on if it has no key of that name.
const PASSED_ON: &[&str] = &["command", "replaceString"];

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookedUp {
    /// The value.
    pub text: String,
    /// Whether it must not be shown.
    pub secret: bool,
}

/// Why a name stands for nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotFound {
    /// What is wrong.
    pub text: String,
    /// What would help.
    pub hint: Option<String>,
}

/// Answers what names stand for.
pub trait Lookups {
    /// `${PREFIX:NAME}`; the prefix is in lower case.
    ///
    /// # Errors
    /// There is no such prefix, or it has no such name.
    fn prefixed(&self, prefix: &str, name: &str) -> Result<LookedUp, NotFound>;

    /// `${NAME}`, if no key has that name.
    ///
    /// # Errors
    /// There is no such name.
    fn bare(&self, name: &str) -> Result<LookedUp, NotFound>;

    /// The config filter that a section describes, and what is wrong with it.
    fn filter(&self, section: Section) -> (Option<Box<dyn ConfigFilter>>, Vec<Diagnostic>);
}

/// Knows secrets by their keys.
pub trait ConfigFilter {
    /// `${FILTER['KEY']}`.
    ///
    /// # Errors
    /// There is no such key, or the store cannot be read.
    fn value(&self, key: &str) -> Result<String, NotFound>;
}

/// Resolves the values of `settings` in place. The answer has the errors, by the key whose value has them; such a value
/// is left as it is.
pub(crate) fn resolve(settings: &mut BTreeMap<String, Setting>, lookups: &dyn Lookups) -> Resolved {
    let written = settings.clone();
    let mut resolver = Resolver {
        written: &written,
        lookups,
        filters: BTreeMap::new(),
        cache: BTreeMap::new(),
        diagnostics: vec![],
        referenced: BTreeSet::new(),
    };
    resolver.make_filters();
    let mut resolved = Resolved::default();
    for (key, setting) in settings.iter_mut() {
        if !setting.text.contains("${") {
            continue;
        }
        let mut expansion = Expansion::of(key, setting);
        let text = resolver.expand(&setting.text, &mut expansion, Depth::default());
        if expansion.secret {
            remember(&text);
        }
        match expansion.problem {
            None => setting.text = text.trim().into(),
            Some(problem) => drop(resolved.errors.insert(key.clone(), problem)),
        }
    }
    resolved.diagnostics = resolver.diagnostics;
    resolved.referenced = resolver.referenced;
    resolved
}

/// What [`resolve`] found.
#[derive(Default)]
pub(crate) struct Resolved {
    /// By the key whose value cannot be resolved.
    pub(crate) errors: BTreeMap<String, Diagnostic>,
    /// About config filters.
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// Keys that values refer to.
    pub(crate) referenced: BTreeSet<String>,
}

/// The filters of one agent, by name; `None` for one that cannot be used, which was reported.
type Filters = BTreeMap<String, Option<Box<dyn ConfigFilter>>>;

struct Resolver<'a> {
    written: &'a BTreeMap<String, Setting>,
    lookups: &'a dyn Lookups,
    /// By agent.
    filters: BTreeMap<String, Filters>,
    /// What filters answered, by agent, filter and key: a program is run once for each.
    cache: BTreeMap<(String, String, String), Result<String, NotFound>>,
    diagnostics: Vec<Diagnostic>,
    referenced: BTreeSet<String>,
}

/// The value that is being resolved.
struct Expansion<'a> {
    key: &'a str,
    setting: &'a Setting,
    /// The first thing that is wrong.
    problem: Option<Diagnostic>,
    secret: bool,
    steps: usize,
    /// Names that are being resolved: none may lead to itself.
    open: Vec<String>,
    /// The `${…}` of the value as it is written that is being resolved: start and text.
    outermost: (usize, String),
}

/// Where in the nesting a text stands.
#[derive(Clone, Copy, Default)]
struct Depth {
    level: usize,
    /// The text is not the user's: a lookup yielded it.
    yielded: bool,
}

impl Depth {
    fn inner(self) -> Depth {
        Depth {
            level: self.level + 1,
            ..self
        }
    }
}

impl<'a> Expansion<'a> {
    fn of(key: &'a str, setting: &'a Setting) -> Expansion<'a> {
        Expansion {
            key,
            setting,
            problem: None,
            // What becomes a password is secret wherever it comes from.
            secret: secrets::is_secret_name(key),
            steps: 0,
            open: vec![],
            outermost: (0, String::new()),
        }
    }

    fn fail(&mut self, text: String, hint: Option<String>) {
        if self.problem.is_some() {
            return;
        }
        let (start, part) = &self.outermost;
        let place = self.setting.place_at(*start, part);
        let found = Diagnostic::new(Code::Unresolved, place, self.key, text);
        self.problem = Some(found.hint(hint));
    }

    /// Whether Flume's users write `${NAME}` here for somebody else to read.
    fn is_passed_on(&self) -> bool {
        let last = self.key.rsplit('.').next().unwrap_or_default();
        PASSED_ON.contains(&last)
    }
}

impl Resolver<'_> {
    /// Makes the config filters of all agents. Their own settings may use lookups but no filters.
    fn make_filters(&mut self) {
        let lists: Vec<(String, Names)> = self
            .written
            .iter()
            .filter_map(|(key, setting)| {
                let agent = key.strip_suffix(".configfilters")?;
                (!agent.contains('.')).then(|| (agent.to_string(), Names::split(setting)))
            })
            .collect();
        for (agent, names) in lists {
            let mut filters = Filters::new();
            for name in &names.0 {
                let full = format!("{agent}.configfilters.{}", name.text);
                let filter = self.make_filter(&full, &name.place);
                filters.insert(name.text.clone(), filter);
            }
            self.filters.insert(agent, filters);
        }
    }

    fn make_filter(&mut self, name: &str, listed: &Span) -> Option<Box<dyn ConfigFilter>> {
        let prefix = format!("{name}.");
        let mut section = Section {
            name: name.into(),
            home: listed.clone(),
            ..Section::default()
        };
        for (key, setting) in self.written {
            let Some(property) = key.strip_prefix(&prefix) else {
                continue;
            };
            let mut expansion = Expansion::of(key, setting);
            let text = self.expand(&setting.text, &mut expansion, Depth::default());
            if expansion.problem.is_some() {
                // It is reported where all values are resolved.
                return None;
            }
            let text = text.trim().into();
            let setting = Setting {
                text,
                ..setting.clone()
            };
            section.settings.insert(property.into(), setting);
        }
        let (filter, mut found) = self.lookups.filter(section);
        self.diagnostics.append(&mut found);
        filter
    }

    /// Resolves every `${…}` in `text`.
    fn expand(&mut self, text: &str, expansion: &mut Expansion<'_>, depth: Depth) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some(start) = rest.find("${") {
            let before = &rest[..start];
            let inner = &rest[start + 2..];
            if let Some(before) = before.strip_suffix('$') {
                out += before;
                out += "${";
                rest = inner;
                continue;
            }
            out += before;
            if depth.level == 0 {
                let at = text.len() - rest.len() + start;
                expansion.outermost = (at, "${".into());
            }
            let Some(end) = matching_end(inner) else {
                if !depth.yielded && !expansion.is_passed_on() {
                    let hint = "add the `}`, or write `$${` for the text `${`";
                    expansion.fail("`${` is never closed".into(), Some(hint.into()));
                }
                out += &rest[start..];
                return out;
            };
            let whole = &rest[start..start + 2 + end + 1];
            if depth.level == 0 {
                expansion.outermost.1 = whole.into();
            }
            out += &self.variable(&inner[..end], whole, expansion, depth);
            rest = &inner[end + 1..];
            if out.len() > MAX_VALUE_BYTES {
                expansion.fail(
                    format!("its lookups make it longer than {MAX_VALUE_BYTES} bytes"),
                    None,
                );
                return String::new();
            }
        }
        out + rest
    }

    /// The text that stands for `${inner}`, whose whole text is `whole`.
    fn variable(
        &mut self,
        inner: &str,
        whole: &str,
        expansion: &mut Expansion<'_>,
        depth: Depth,
    ) -> String {
        expansion.steps += 1;
        if depth.level > MAX_DEPTH || expansion.steps > MAX_STEPS {
            expansion.fail("its lookups are nested too deeply".into(), None);
            return String::new();
        }
        let name = self.expand(inner, expansion, depth.inner());
        let (name, default) = match name.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (name.as_str(), None),
        };
        if expansion.open.iter().any(|open| open == name) {
            let circle = [&expansion.open[..], &[name.into()]].concat().join(" → ");
            expansion.fail(format!("`{name}` leads to itself: {circle}"), None);
            return String::new();
        }
        if let Some((filter, key)) = filter_reference(name) {
            return match self.filtered(filter, key, expansion) {
                Ok(text) => {
                    expansion.secret = true;
                    remember(&text);
                    text
                }
                Err(_) if default.is_some() => default.unwrap_or_default().into(),
                Err(missing) => self.unresolved(whole, missing, expansion, depth),
            };
        }
        let value = match (self.look_up(name), default) {
            (Ok(found), _) => {
                expansion.secret |= found.secret;
                if found.secret {
                    remember(&found.text);
                }
                found.text
            }
            (Err(_), Some(default)) => default.into(),
            (Err(missing), None) => {
                return self.unresolved(whole, missing, expansion, depth);
            }
        };
        expansion.open.push(name.into());
        let yielded = Depth {
            level: depth.level + 1,
            yielded: true,
        };
        let value = self.expand(&value, expansion, yielded);
        expansion.open.pop();
        value
    }

    fn unresolved(
        &self,
        whole: &str,
        missing: NotFound,
        expansion: &mut Expansion<'_>,
        depth: Depth,
    ) -> String {
        let bare = !whole.contains([':', '[']);
        let tolerated = depth.yielded || (bare && expansion.is_passed_on());
        if !tolerated {
            let escape = format!("`$${}` is the text itself", &whole[1..]);
            let hint = match missing.hint {
                Some(hint) => format!("{hint}; {escape}"),
                None => escape,
            };
            expansion.fail(missing.text, Some(hint));
        }
        whole.into()
    }

    /// A lookup, else the key of that name, else what has no prefix.
    fn look_up(&mut self, name: &str) -> Result<LookedUp, NotFound> {
        let mut missing = None;
        let mut key = name;
        if let Some((prefix, rest)) = name.split_once(':') {
            match self.lookups.prefixed(&prefix.to_lowercase(), rest) {
                Ok(found) => return Ok(found),
                Err(not_found) => missing = Some(not_found),
            }
            key = rest;
        }
        if let Some(setting) = self.written.get(key) {
            self.referenced.insert(key.into());
            let secret = secrets::is_secret_name(key);
            let text = setting.text.clone();
            return Ok(LookedUp { text, secret });
        }
        match missing {
            Some(missing) => Err(missing),
            None => self.lookups.bare(name),
        }
    }

    fn filtered(
        &mut self,
        filter: &str,
        key: &str,
        expansion: &Expansion<'_>,
    ) -> Result<String, NotFound> {
        let not_found = |text: String, hint: Option<String>| NotFound { text, hint };
        let Some((agent, kind)) = component_of(expansion.key) else {
            let text = "config filters do not work here, only in the properties of components";
            return Err(not_found(text.into(), None));
        };
        if kind == "configfilters" {
            let text = "the settings of a config filter cannot use config filters";
            let hint = "a lookup such as ${env:NAME} can be used";
            return Err(not_found(text.into(), Some(hint.into())));
        }
        let filters = self.filters.get(agent);
        let Some(known) = filters.and_then(|filters| filters.get(filter)) else {
            let names = filters.into_iter().flat_map(|filters| filters.keys());
            let hint = did_you_mean(filter, names.map(String::as_str))
                .unwrap_or_else(|| format!("add `{filter}` to `{agent}.configfilters`"));
            let text = format!("there is no config filter `{filter}`");
            return Err(not_found(text, Some(hint)));
        };
        let Some(known) = known else {
            let text = format!("config filter `{filter}` cannot be used");
            return Err(not_found(text, None));
        };
        let cached = (agent.to_string(), filter.to_string(), key.to_string());
        if let Some(answer) = self.cache.get(&cached) {
            return answer.clone();
        }
        let answer = known.value(key);
        self.cache.insert(cached, answer.clone());
        answer
    }
}

/// A setting is trimmed, and may be shown line by line.
fn remember(secret: &str) {
    secrets::remember(secret.trim());
    secret
        .lines()
        .for_each(|line| secrets::remember(line.trim()));
}

/// Where the `}` is that closes a `${` in front of `text`.
fn matching_end(text: &str) -> Option<usize> {
    let mut nested = 0;
    let bytes = text.as_bytes();
    for at in 0..bytes.len() {
        match bytes[at] {
            b'$' if bytes.get(at + 1) == Some(&b'{') => nested += 1,
            b'}' if nested == 0 => return Some(at),
            b'}' => nested -= 1,
            _ => {}
        }
    }
    None
}

/// Filter and key of `filter['key']`, `filter["key"]` or `filter[key]`.
fn filter_reference(name: &str) -> Option<(&str, &str)> {
    let (filter, key) = name.strip_suffix(']')?.split_once('[')?;
    let key = key.strip_prefix(['\'', '"']).unwrap_or(key);
    let key = key.strip_suffix(['\'', '"']).unwrap_or(key);
    let plain = !filter.is_empty() && !filter.contains(':');
    (plain && !key.is_empty() && !key.contains(['\'', '"', '[', ']'])).then_some((filter, key))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Table;

    impl Lookups for Table {
        fn prefixed(&self, prefix: &str, name: &str) -> Result<LookedUp, NotFound> {
            let text = match (prefix, name) {
                ("env", "A") => "a",
                ("env", "LOOP") => "${env:LOOP}",
                ("env", "INNER") => "<${env:A}>",
                ("env", "STRANGE") => "${nothing}",
                ("env", "NAME") => "A",
                ("env", "GROWS") => "${env:A}${env:A}${env:A}",
                _ => {
                    let text = format!("no {prefix} {name}");
                    return Err(NotFound { text, hint: None });
                }
            };
            let text = text.into();
            Ok(LookedUp {
                text,
                secret: false,
            })
        }

        fn bare(&self, name: &str) -> Result<LookedUp, NotFound> {
            let text = format!("no key {name}");
            Err(NotFound { text, hint: None })
        }

        fn filter(&self, section: Section) -> (Option<Box<dyn ConfigFilter>>, Vec<Diagnostic>) {
            let prefix = section.settings.get("prefix");
            let prefix = prefix.map(|setting| setting.text.clone());
            (
                Some(Box::new(Prefixing(prefix.unwrap_or_default()))),
                vec![],
            )
        }
    }

    struct Prefixing(String);

    impl ConfigFilter for Prefixing {
        fn value(&self, key: &str) -> Result<String, NotFound> {
            let text = format!("no alias {key}");
            match key {
                "absent" => Err(NotFound { text, hint: None }),
                key => Ok(format!("{}{key}", self.0)),
            }
        }
    }

    /// Resolves `a1.sinks.k1.x = value` among some other settings.
    fn check(value: &str, expected: &str) {
        check_key("a1.sinks.k1.x", value, expected);
    }

    fn check_key(key: &str, value: &str, expected: &str) {
        let mut settings = BTreeMap::new();
        for (key, text) in [
            ("a1.configfilters", "f1"),
            ("a1.configfilters.f1.prefix", "p-${env:A}-"),
            ("dir", "/srv/${env:A}"),
            ("deep", "${dir}/x"),
            ("circle", "${a1.sinks.k1.x}"),
            (key, value),
        ] {
            let text = text.into();
            let setting = Setting {
                text,
                ..Setting::default()
            };
            settings.insert(key.to_string(), setting);
        }
        let resolved = resolve(&mut settings, &Table);
        let seen = match resolved.errors.get(key) {
            Some(error) => format!("! {}", error.text),
            None => settings[key].text.clone(),
        };
        assert_eq!(seen, expected, "{value}");
    }

    #[test]
    fn a_secret_is_masked_as_settings_have_it() {
        remember(" spaced-7731 \n second-7731\r\n");
        for text in [
            "spaced-7731",
            "x second-7731!",
            "spaced-7731 \n second-7731",
        ] {
            let shown = secrets::masked(text);
            assert!(!shown.contains("7731"), "{shown}");
        }
    }

    #[test]
    fn names_defaults_nesting_and_escapes() {
        check("plain $ {x} }", "plain $ {x} }");
        check("${env:A}", "a");
        check("${ENV:A}/${env:A}x", "a/ax");
        check("${env:${env:NAME}}", "a");
        check("${env:X:-d}", "d");
        check("${env:X:-}", "");
        check("${env:X:-${env:A}}", "a");
        check("${env:X:-a:-b}", "a:-b");
        check("$${env:A}", "${env:A}");
        check("$$${env:A}", "$${env:A}");
        check("$${x${env:A}}", "${xa}");
        check("${env:INNER}", "<a>");
        check("${env:STRANGE}", "${nothing}");
        check("${dir}", "/srv/a");
        check("${deep}", "/srv/a/x");
        check("${nolookup:dir}", "/srv/a");
        check("é${env:A}é", "éaé");
    }

    #[test]
    fn what_cannot_be_resolved_is_an_error() {
        check("${env:X}", "! no env X");
        check("a ${env:A} ${env:X}", "! no env X");
        check("${what}", "! no key what");
        check("${", "! `${` is never closed");
        check("x ${env:A", "! `${` is never closed");
        check(
            "${env:LOOP}",
            "! `env:LOOP` leads to itself: env:LOOP → env:LOOP",
        );
        check(
            "${circle}",
            "! `circle` leads to itself: circle → a1.sinks.k1.x → circle",
        );
        let deep = "${".repeat(40) + &"}".repeat(40);
        check(&deep, "! its lookups are nested too deeply");
        check(
            &"${env:GROWS}".repeat(400),
            "! its lookups are nested too deeply",
        );
    }

    #[test]
    fn filters_answer_for_components_alone() {
        check("${f1['k']}", "p-a-k");
        check("${f1[\"k\"]}/${f1[k.l]}", "p-a-k/p-a-k.l");
        check("${f1['absent']}", "! no alias absent");
        check("${f1['absent']:-d}", "d");
        check("${f2['k']}", "! there is no config filter `f2`");
        check_key(
            "a1.sinks",
            "${f1['k']}",
            "! config filters do not work here, only in the properties of components",
        );
        check_key(
            "a1.configfilters.f1.command",
            "${f1['k']}",
            "! the settings of a config filter cannot use config filters",
        );
    }

    /// A shell and a replacement read `${NAME}` themselves; Flume passes it on.
    #[test]
    fn text_for_a_shell_is_passed_on() {
        check_key("a1.sources.r1.command", "echo ${HOME}", "echo ${HOME}");
        check_key("a1.sources.r1.command", "echo ${env:X}", "! no env X");
        check_key("a1.s.interceptors.i.replaceString", "${y}-$1", "${y}-$1");
    }
}

//! Reads `log4j2.xml`: appenders, layouts, triggers of rolling, clean-ups, loggers.

use std::{collections::BTreeMap, path::PathBuf};

use roxmltree::{Document, Node, ParsingOptions};

use crate::{
    cron::Cron,
    pattern::Pattern,
    plan::{
        AppenderPlan, AppenderTarget, Cleanup, FilePlan, LogPlan, LoggerPlan, Numbers, age, bytes,
    },
    substitute::Names,
};

/// A layout if none is given, as in log4j.
const DEFAULT_PATTERN: &str = "%m%n";
const MAX_NODES: u32 = 10_000;
/// Deepest nesting of elements that is read.
const MAX_DEPTH: u32 = 32;

/// Reads a file.
///
/// # Errors
/// It is not XML, or not one of log4j's.
pub fn parse(text: &str, system: &BTreeMap<String, String>) -> Result<LogPlan, String> {
    let options = ParsingOptions {
        nodes_limit: MAX_NODES,
        ..ParsingOptions::default()
    };
    let document =
        Document::parse_with_options(text, options).map_err(|error| error.to_string())?;
    let root = document.root_element();
    if !is(root, "Configuration") {
        let name = root.tag_name().name();
        return Err(format!(
            "its outermost element is `{name}`, not `Configuration`"
        ));
    }
    let mut own = BTreeMap::new();
    for property in root
        .children()
        .filter(|node| is(*node, "Properties"))
        .flat_map(|node| node.children())
    {
        if let Some(name) = property.attribute("name") {
            let value = property
                .attribute("value")
                .or(property.text())
                .unwrap_or_default();
            own.insert(name.to_string(), value.trim().to_string());
        }
    }
    let names = Names {
        own: &own,
        system,
        system_first: false,
    };
    let mut reader = Log4j2Reader {
        names,
        plan: LogPlan::default(),
    };
    for part in root.children().filter(Node::is_element) {
        reader.part(part);
    }
    Ok(reader.plan.check())
}

fn is(node: Node<'_, '_>, name: &str) -> bool {
    node.is_element() && node.tag_name().name().eq_ignore_ascii_case(name)
}

struct Log4j2Reader<'a> {
    names: Names<'a>,
    plan: LogPlan,
}

impl Log4j2Reader<'_> {
    fn part(&mut self, part: Node<'_, '_>) {
        let children = part.children().filter(Node::is_element);
        match part.tag_name().name().to_ascii_lowercase().as_str() {
            "properties" | "customlevels" | "scripts" => {}
            "appenders" => children.for_each(|child| self.appender(child)),
            "loggers" => children.for_each(|child| self.logger(child)),
            other => self.plan.notes.push(format!("`{other}` has no effect")),
        }
    }

    /// An attribute, or the element of that name, `${…}` resolved.
    fn value(&self, node: Node<'_, '_>, name: &str) -> Option<String> {
        let attribute = node
            .attributes()
            .find(|found| found.name().eq_ignore_ascii_case(name));
        let text = match attribute {
            Some(attribute) => Some(attribute.value()),
            None => {
                let mut children = node.children();
                children
                    .find(|child| is(*child, name))
                    .and_then(|child| child.text())
            }
        };
        text.map(|text| self.names.resolve(text.trim()))
    }

    fn flag(&self, node: Node<'_, '_>, name: &str, default: bool) -> bool {
        let value = self.value(node, name);
        value.map_or(default, |value| value.eq_ignore_ascii_case("true"))
    }

    fn appender(&mut self, node: Node<'_, '_>) {
        let kind = match node.tag_name().name() {
            "Appender" => self.value(node, "type").unwrap_or_default(),
            name => name.into(),
        };
        let name = self.value(node, "name").unwrap_or_else(|| kind.clone());
        let target = match kind.to_ascii_lowercase().as_str() {
            "console" => {
                let target = self.value(node, "target").unwrap_or_default();
                let error = target.eq_ignore_ascii_case("SYSTEM_ERR");
                AppenderTarget::Console { error }
            }
            "file" | "randomaccessfile" | "memorymappedfile" => self.file(node, false),
            "rollingfile" | "rollingrandomaccessfile" => self.file(node, true),
            "null" | "countingnoop" => AppenderTarget::Null,
            "async" => return self.asynchronous(node, name),
            _ => {
                let text = format!(
                    "appenders of type `{kind}` are not built in; `{name}` writes to the console"
                );
                self.plan.notes.push(text);
                AppenderTarget::Console { error: true }
            }
        };
        let threshold = node
            .descendants()
            .filter(|node| {
                is(*node, "ThresholdFilter")
                    && self.value(*node, "onMatch").as_deref() != Some("DENY")
            })
            .find_map(|node| self.value(node, "level"))
            .and_then(|level| LogPlan::level(&level));
        let layout = node.children().find(|child| is(*child, "PatternLayout"));
        let pattern = layout.and_then(|layout| {
            self.value(layout, "pattern")
                .or_else(|| layout.text().map(|text| self.names.resolve(text.trim())))
        });
        let mut other = node
            .children()
            .filter(Node::is_element)
            .map(|child| child.tag_name().name());
        if let Some(other) = other.find(|name| name.ends_with("Layout") && *name != "PatternLayout")
        {
            self.plan.notes.push(format!(
                "the layout `{other}` is not built in; `{name}` has lines of text"
            ));
        }
        let pattern = pattern.filter(|pattern| !pattern.is_empty());
        let pattern = pattern.as_deref().unwrap_or(DEFAULT_PATTERN);
        self.plan.appenders.push(AppenderPlan {
            name,
            pattern: Pattern::parse(pattern, &mut self.plan.notes),
            threshold: threshold.unwrap_or(tracing::level_filters::LevelFilter::TRACE),
            target,
        });
    }

    /// An appender in front of others: who names it means them.
    fn asynchronous(&mut self, node: Node<'_, '_>, name: String) {
        let behind = node.children().filter(|child| is(*child, "AppenderRef"));
        let behind: Vec<_> = behind
            .filter_map(|child| self.value(child, "ref"))
            .collect();
        let found = behind.iter().find_map(|name| {
            let mut known = self.plan.appenders.iter();
            known.find(|appender| appender.name == *name).cloned()
        });
        match found {
            Some(appender) => self.plan.appenders.push(AppenderPlan { name, ..appender }),
            None => self
                .plan
                .notes
                .push(format!("`{name}` names no appender above it")),
        }
    }

    fn file(&mut self, node: Node<'_, '_>, rolls: bool) -> AppenderTarget {
        let rolled = self.value(node, "filePattern").filter(|_| rolls);
        let path = self.value(node, "fileName").or_else(|| {
            // A file that is written under the name of a full one from the beginning.
            let pattern = rolled.as_ref()?;
            let plain = pattern.split('%').next().unwrap_or_default();
            Some(plain.trim_end_matches(['-', '.', '_']).into())
        });
        let path = path.filter(|path| !path.is_empty() && !path.ends_with('/'));
        let Some(path) = path else {
            self.plan
                .notes
                .push("a file appender has no `fileName`; it writes to the console".into());
            return AppenderTarget::Console { error: true };
        };
        let mut plan = FilePlan {
            path: path.into(),
            append: self.flag(node, "append", true),
            rolled,
            ..FilePlan::default()
        };
        for child in node.children().filter(Node::is_element) {
            match child.tag_name().name().to_ascii_lowercase().as_str() {
                "policies" => child
                    .children()
                    .for_each(|policy| self.policy(policy, &mut plan)),
                "defaultrolloverstrategy" => self.strategy(child, &mut plan),
                name if name.ends_with("policy") => self.policy(child, &mut plan),
                _ => {}
            }
        }
        AppenderTarget::File(plan)
    }

    fn policy(&mut self, node: Node<'_, '_>, plan: &mut FilePlan) {
        if !node.is_element() {
            return;
        }
        match node.tag_name().name().to_ascii_lowercase().as_str() {
            "sizebasedtriggeringpolicy" => {
                let size = self.value(node, "size").unwrap_or_else(|| "10 MB".into());
                plan.max_bytes = bytes(&size);
                if plan.max_bytes.is_none() {
                    self.plan.notes.push(format!("`{size}` is not a size"));
                }
            }
            "timebasedtriggeringpolicy" => {
                let interval = self
                    .value(node, "interval")
                    .and_then(|text| text.parse().ok());
                plan.interval = Some(interval.unwrap_or(1));
            }
            "crontriggeringpolicy" => {
                let schedule = self.value(node, "schedule").unwrap_or_default();
                plan.schedule = Cron::parse(&schedule);
                if plan.schedule.is_none() {
                    self.plan
                        .notes
                        .push(format!("`{schedule}` is not a schedule"));
                }
            }
            "onstartuptriggeringpolicy" => plan.at_start = true,
            other => self.plan.notes.push(format!("`{other}` has no effect")),
        }
    }

    fn strategy(&mut self, node: Node<'_, '_>, plan: &mut FilePlan) {
        let number = |name: &str| self.value(node, name).and_then(|text| text.parse().ok());
        let order = self.value(node, "fileIndex").unwrap_or_default();
        let default = Numbers::default();
        plan.numbers = Numbers {
            min: number("min").unwrap_or(default.min),
            max: number("max").unwrap_or(default.max),
            newest_first: order.eq_ignore_ascii_case("min"),
        };
        if order.eq_ignore_ascii_case("nomax") {
            plan.numbers.max = u32::MAX;
        }
        plan.numbers.max = plan.numbers.max.max(plan.numbers.min);
        for delete in node.children().filter(|child| is(*child, "Delete")) {
            let Some(directory) = self.value(delete, "basePath") else {
                continue;
            };
            let depth = self
                .value(delete, "maxDepth")
                .and_then(|text| text.parse().ok());
            let mut cleanup = Cleanup {
                directory: PathBuf::from(directory),
                depth: depth.unwrap_or(1).min(MAX_DEPTH),
                ..Cleanup::default()
            };
            let mut conditions = 0;
            for condition in delete.descendants().filter(Node::is_element).skip(1) {
                conditions += 1;
                self.condition(condition, &mut cleanup);
            }
            // Java refuses a clean-up without conditions; nobody means to remove everything.
            if conditions > 0 && has_condition(&cleanup) {
                plan.cleanups.push(cleanup);
            } else {
                self.plan
                    .notes
                    .push("a `Delete` without a condition has no effect".into());
            }
        }
    }

    fn condition(&mut self, node: Node<'_, '_>, cleanup: &mut Cleanup) {
        let value = |name: &str| self.value(node, name);
        match node.tag_name().name().to_ascii_lowercase().as_str() {
            "iffilename" => {
                let pattern = value("regex").or_else(|| value("glob").map(|glob| of_glob(&glob)));
                cleanup.names =
                    pattern.and_then(|pattern| regex::Regex::new(&format!("^(?:{pattern})$")).ok());
            }
            "iflastmodified" => cleanup.age = value("age").and_then(|text| age(&text)),
            "ifaccumulatedfilesize" => {
                cleanup.bytes = value("exceeds").and_then(|text| bytes(&text));
            }
            "ifaccumulatedfilecount" => {
                cleanup.count = value("exceeds").and_then(|text| text.parse().ok());
            }
            other => {
                let text = format!("`{other}` is not built in; its `Delete` removes nothing");
                // Without the condition more would be removed than was meant.
                cleanup.count = Some(u64::MAX);
                self.plan.notes.push(text);
            }
        }
    }

    fn logger(&mut self, node: Node<'_, '_>) {
        let kind = node.tag_name().name().to_ascii_lowercase();
        let level = self.value(node, "level");
        if let Some(level) = level
            .as_deref()
            .filter(|level| LogPlan::level(level).is_none())
        {
            self.plan.notes.push(format!("`{level}` is not a level"));
        }
        let refs = node.children().filter(|child| is(*child, "AppenderRef"));
        let appenders = refs.filter_map(|child| self.value(child, "ref")).collect();
        match kind.as_str() {
            "root" | "asyncroot" => {
                let root = self.plan.root();
                root.level = level
                    .and_then(|level| LogPlan::level(&level))
                    .or(root.level);
                root.appenders = appenders;
            }
            "logger" | "asynclogger" => {
                let logger = LoggerPlan {
                    name: self.value(node, "name").unwrap_or_default(),
                    level: level.and_then(|level| LogPlan::level(&level)),
                    additive: self.flag(node, "additivity", true),
                    appenders,
                };
                if !logger.name.is_empty() {
                    self.plan.root();
                    self.plan.loggers.push(logger);
                }
            }
            other => self.plan.notes.push(format!("`{other}` is not a logger")),
        }
    }
}

fn has_condition(cleanup: &Cleanup) -> bool {
    cleanup.age.is_some()
        || cleanup.bytes.is_some()
        || cleanup.count.is_some()
        || cleanup.names.is_some()
}

/// A regular expression for a glob: `*` does not cross directories, `**` does.
fn of_glob(glob: &str) -> String {
    let mut pattern = String::new();
    let mut chars = glob.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '*' if chars.next_if_eq(&'*').is_some() => pattern += ".*",
            '*' => pattern += "[^/]*",
            '?' => pattern += "[^/]",
            '{' => pattern += "(?:",
            '}' => pattern.push(')'),
            ',' => pattern.push('|'),
            c => pattern += &regex::escape(&c.to_string()),
        }
    }
    // A comma or a brace outside of a group is itself.
    if glob.contains('{') {
        pattern
    } else {
        pattern
            .replace('|', ",")
            .replace("(?:", "\\{")
            .replace(')', "\\}")
    }
}

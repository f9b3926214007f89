//! The level of each logger. A name may be a package or class of Java Flume, or a module of this program. Levels can be
//! changed while the agent runs.

use std::{collections::BTreeMap, sync::Arc};

use arc_swap::ArcSwap;
use tracing::level_filters::LevelFilter;

use crate::plan::{LogPlan, LoggerPlan};

/// Packages and classes of Java, with the modules here that do the same. The most special first.
const JAVA_NAMES: &[(&str, &[&str])] = &[
    ("org.apache.flume.sink.hdfs", &["flume_hdfs"]),
    ("org.apache.flume.channel.file", &["flume_file_channel"]),
    ("org.apache.flume.channel.kafka", &["flume_kafka"]),
    ("org.apache.flume.source.kafka", &["flume_kafka"]),
    ("org.apache.flume.sink.kafka", &["flume_kafka"]),
    ("org.apache.flume.source.taildir", &["flume_files"]),
    (
        "org.apache.flume.source.SpoolDirectorySource",
        &["flume_files"],
    ),
    (
        "org.apache.flume.client.avro",
        &["flume_files", "flume_client"],
    ),
    ("org.apache.flume.source.AvroSource", &["flume_rpc"]),
    ("org.apache.flume.source.ThriftSource", &["flume_rpc"]),
    ("org.apache.flume.sink.AvroSink", &["flume_rpc"]),
    ("org.apache.flume.sink.ThriftSink", &["flume_rpc"]),
    ("org.apache.flume.sink.AbstractRpcSink", &["flume_rpc"]),
    ("org.apache.flume.api", &["flume_client"]),
    ("org.apache.flume.instrumentation", &["flume_monitor"]),
    (
        "org.apache.flume.lifecycle",
        &["flume_runtime", "flume_core::state"],
    ),
    (
        "org.apache.flume.node",
        &["flume_runtime", "flume_ng", "flume_origin"],
    ),
    ("org.apache.flume.conf", &["flume_conf"]),
    (
        "org.apache.flume.interceptor",
        &["flume_components::interceptors"],
    ),
    (
        "org.apache.flume.channel",
        &["flume_components::channels", "flume_file_channel"],
    ),
    (
        "org.apache.flume.source",
        &[
            "flume_components::sources",
            "flume_files",
            "flume_rpc",
            "flume_kafka",
        ],
    ),
    (
        "org.apache.flume.sink",
        &[
            "flume_components::sinks",
            "flume_hdfs",
            "flume_rpc",
            "flume_kafka",
        ],
    ),
    ("org.apache.flume", &["flume"]),
    ("org.apache.hadoop.security", &["flume_kerberos"]),
    ("org.apache.hadoop", &["flume_hadoop", "flume_kerberos"]),
    ("org.apache.kafka", &["rdkafka", "flume_kafka"]),
];

/// The modules that a logger's name stands for; none for a library that only Java has. The root is the empty name.
fn modules(name: &str) -> Vec<String> {
    if name.is_empty() {
        return vec![String::new()];
    }
    let of_class = |(java, _): &&(&str, &[&str])| {
        let behind = name.strip_prefix(java);
        behind.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '$']))
    };
    if let Some((_, modules)) = JAVA_NAMES.iter().find(of_class) {
        return modules.iter().map(|module| module.to_string()).collect();
    }
    let parent_of = |(java, _): &&(&str, &[&str])| {
        java.strip_prefix(name)
            .is_some_and(|rest| rest.starts_with('.'))
    };
    if JAVA_NAMES.iter().any(|row| parent_of(&row)) {
        // `org.apache` and `org`.
        return vec![String::new()];
    }
    if name.contains('.') || name.contains('/') {
        return vec![];
    }
    vec![name.into()]
}

/// Whether a module is `name` or below it. `flume` stands for all modules of this program.
fn covers(name: &str, module: &str) -> bool {
    match module.strip_prefix(name) {
        _ if name.is_empty() => true,
        Some(rest) => {
            rest.is_empty() || rest.starts_with("::") || (name == "flume" && rest.starts_with('_'))
        }
        None => false,
    }
}

/// How a module is logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The least level.
    pub level: LevelFilter,
    /// Names of the appenders.
    pub appenders: Vec<String>,
}

/// The loggers in force. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Levels(Arc<LevelsState>);

#[derive(Debug)]
struct LevelsState {
    /// As they are configured.
    configured: Vec<LoggerPlan>,
    /// As they are now, by module, the most special first.
    current: ArcSwap<Vec<ModuleLogger>>,
    /// What was set while the agent runs, by the name that was given.
    changed: ArcSwap<BTreeMap<String, LevelFilter>>,
}

#[derive(Clone, Debug)]
struct ModuleLogger {
    module: String,
    level: Option<LevelFilter>,
    additive: bool,
    appenders: Vec<String>,
}

impl Levels {
    /// The loggers of a plan.
    pub fn new(loggers: &[LoggerPlan]) -> Levels {
        let levels = Levels(Arc::new(LevelsState {
            configured: loggers.to_vec(),
            current: ArcSwap::default(),
            changed: ArcSwap::default(),
        }));
        levels.compute();
        levels
    }

    fn compute(&self) {
        let mut loggers: BTreeMap<String, ModuleLogger> = BTreeMap::new();
        for logger in &self.0.configured {
            for module in modules(&logger.name) {
                let entry = ModuleLogger {
                    module: module.clone(),
                    level: logger.level,
                    additive: logger.additive,
                    appenders: logger.appenders.clone(),
                };
                // The root of a file counts more than a parent of all packages of Java.
                if logger.name.is_empty() || !module.is_empty() || !loggers.contains_key(&module) {
                    loggers.insert(module, entry);
                }
            }
        }
        for (name, level) in self.0.changed.load().iter() {
            for module in modules(name) {
                let entry = loggers.entry(module.clone()).or_insert(ModuleLogger {
                    module,
                    level: None,
                    additive: true,
                    appenders: vec![],
                });
                entry.level = Some(*level);
            }
        }
        let mut sorted: Vec<_> = loggers.into_values().collect();
        sorted.sort_by_key(|logger| std::cmp::Reverse(logger.module.len()));
        self.0.current.store(Arc::new(sorted));
    }

    /// How a module is logged now.
    pub fn route(&self, module: &str) -> Route {
        let mut level = None;
        let mut appenders: Vec<String> = vec![];
        let mut adds = true;
        for logger in self.0.current.load().iter() {
            if !covers(&logger.module, module) {
                continue;
            }
            level = level.or(logger.level);
            if adds {
                for name in &logger.appenders {
                    if !appenders.contains(name) {
                        appenders.push(name.clone());
                    }
                }
                adds = logger.additive;
            }
        }
        Route {
            level: level.unwrap_or(LevelFilter::ERROR),
            appenders,
        }
    }

    /// The least level of all.
    pub fn most_verbose(&self) -> LevelFilter {
        let current = self.0.current.load();
        let levels = current.iter().filter_map(|logger| logger.level);
        levels.max().unwrap_or(LevelFilter::ERROR)
    }

    /// Each logger with its level, as it was named; the root is `root`.
    pub fn shown(&self) -> BTreeMap<String, String> {
        let mut shown = BTreeMap::new();
        let name = |name: &str| if name.is_empty() { "root" } else { name }.to_string();
        for logger in &self.0.configured {
            if let Some(level) = logger.level {
                shown.insert(name(&logger.name), level.to_string().to_uppercase());
            }
        }
        for (changed, level) in self.0.changed.load().iter() {
            shown.insert(name(changed), level.to_string().to_uppercase());
        }
        shown
    }

    /// Sets the level of a logger until the agent ends; `None` goes back to what is configured.
    ///
    /// # Errors
    /// There is no such logger, or no such level.
    pub fn set(&self, name: &str, level: Option<&str>) -> Result<(), String> {
        let name = if name == "root" { "" } else { name };
        if modules(name).is_empty() {
            return Err(format!(
                "`{name}` is not a logger of this program; loggers are packages such as org.apache.flume.sink.hdfs, \
                 modules such as flume_hdfs, and root"
            ));
        }
        let level = match level {
            None => None,
            Some(text) => Some(LogPlan::level(text).ok_or_else(|| {
                format!(
                    "`{text}` is not a level; levels are OFF, ERROR, WARN, INFO, DEBUG and TRACE"
                )
            })?),
        };
        let mut changed = (**self.0.changed.load()).clone();
        match level {
            Some(level) => drop(changed.insert(name.into(), level)),
            None => drop(changed.remove(name)),
        }
        self.0.changed.store(Arc::new(changed));
        self.compute();
        tracing::callsite::rebuild_interest_cache();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logger(name: &str, level: &str, additive: bool, appender: &str) -> LoggerPlan {
        LoggerPlan {
            name: name.into(),
            level: LogPlan::level(level),
            additive,
            appenders: [appender]
                .iter()
                .filter(|name| !name.is_empty())
                .map(|name| name.to_string())
                .collect(),
        }
    }

    #[test]
    fn the_most_special_logger_counts() {
        let levels = Levels::new(&[
            logger("", "WARN", false, "all"),
            logger("org.apache.flume", "INFO", true, ""),
            logger("org.apache.flume.sink.hdfs", "DEBUG", false, "hdfs"),
            logger("flume_core::runner", "ERROR", true, "runner"),
            logger("org.jboss", "TRACE", true, ""),
        ]);
        let check = |module: &str, level: &str, appenders: &[&str]| {
            let route = levels.route(module);
            assert_eq!(Some(route.level), LogPlan::level(level), "{module}");
            assert_eq!(route.appenders, appenders, "{module}");
        };
        check("hyper::server", "WARN", &["all"]);
        check("flume_core", "INFO", &["all"]);
        check("flume_core::runner::x", "ERROR", &["runner", "all"]);
        check("flume_core::runnerx", "INFO", &["all"]);
        check("flume_hdfs::bucket", "DEBUG", &["hdfs"]);
        assert_eq!(levels.most_verbose(), LevelFilter::DEBUG);

        levels.set("root", Some("trace")).unwrap();
        levels
            .set("org.apache.flume.sink.hdfs.BucketWriter", Some("warn"))
            .unwrap();
        assert_eq!(levels.route("hyper").level, LevelFilter::TRACE);
        assert_eq!(levels.route("flume_hdfs").level, LevelFilter::WARN);
        assert_eq!(levels.shown()["root"], "TRACE");
        levels.set("root", None).unwrap();
        assert_eq!(levels.route("hyper").level, LevelFilter::WARN);
        assert!(
            levels
                .set("root", Some("loud"))
                .unwrap_err()
                .contains("is not a level")
        );
        assert!(
            levels
                .set("com.example.X", Some("info"))
                .unwrap_err()
                .contains("is not a logger")
        );
    }
}

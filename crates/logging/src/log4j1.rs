//! Reads `log4j.properties`, as Flume had it until 1.9.

use std::collections::BTreeMap;

use flume_conf::properties::{decode, parse as parse_properties};
use tracing::level_filters::LevelFilter;

use crate::{
    pattern::Pattern,
    plan::{AppenderPlan, AppenderTarget, FilePlan, LogPlan, LoggerPlan, Numbers, bytes},
    substitute::Names,
};

/// Flume's defaults until 1.9: what `flume.root.logger`, `flume.log.dir` and `flume.log.file` change.
pub const FLUME_DEFAULT: &str = "\
flume.root.logger=INFO,LOGFILE
flume.log.dir=./logs
flume.log.file=flume.log
log4j.rootLogger=${flume.root.logger}
log4j.appender.LOGFILE=org.apache.log4j.RollingFileAppender
log4j.appender.LOGFILE.MaxFileSize=100MB
log4j.appender.LOGFILE.MaxBackupIndex=10
log4j.appender.LOGFILE.File=${flume.log.dir}/${flume.log.file}
log4j.appender.LOGFILE.layout=org.apache.log4j.PatternLayout
log4j.appender.LOGFILE.layout.ConversionPattern=%d{dd MMM yyyy HH:mm:ss,SSS} %-5p [%t] (%C:%L) %x - %m%n
log4j.appender.DAILY=org.apache.log4j.rolling.RollingFileAppender
log4j.appender.DAILY.rollingPolicy=org.apache.log4j.rolling.TimeBasedRollingPolicy
log4j.appender.DAILY.rollingPolicy.ActiveFileName=${flume.log.dir}/${flume.log.file}
log4j.appender.DAILY.rollingPolicy.FileNamePattern=${flume.log.dir}/${flume.log.file}.%d{yyyy-MM-dd}
log4j.appender.DAILY.layout=org.apache.log4j.PatternLayout
log4j.appender.DAILY.layout.ConversionPattern=%d{dd MMM yyyy HH:mm:ss,SSS} %-5p [%t] (%C:%L) %x - %m%n
log4j.appender.console=org.apache.log4j.ConsoleAppender
log4j.appender.console.target=System.err
log4j.appender.console.layout=org.apache.log4j.PatternLayout
log4j.appender.console.layout.ConversionPattern=%d{yyyy-MM-dd HH:mm:ss,SSS} (%t) [%p - %l] %m%n
";

/// Reads a file.
///
/// # Errors
/// It has no root logger.
pub fn parse(bytes: &[u8], system: &BTreeMap<String, String>) -> Result<LogPlan, String> {
    let name = "log4j.properties".into();
    let (text, _) = decode(&name, bytes);
    let entries = parse_properties(&name, &text).entries.into_iter();
    let own: BTreeMap<String, String> = entries
        .map(|entry| (entry.key.trim().to_string(), entry.value.trim().to_string()))
        .collect();
    let mut reader = Log4j1Reader {
        names: Names {
            own: &own,
            system,
            system_first: true,
        },
        own: &own,
        plan: LogPlan::default(),
    };
    let root = reader
        .get("log4j.rootLogger")
        .or_else(|| reader.get("log4j.rootCategory"));
    let root = root.ok_or("it has no `log4j.rootLogger`")?;
    let root = reader.logger("", &root);
    reader.plan.loggers.push(root);
    reader.loggers();
    reader.appenders();
    Ok(reader.plan.check())
}

struct Log4j1Reader<'a> {
    names: Names<'a>,
    own: &'a BTreeMap<String, String>,
    plan: LogPlan,
}

impl Log4j1Reader<'_> {
    fn get(&self, key: &str) -> Option<String> {
        let found = self
            .own
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(key));
        found.map(|(_, value)| self.names.resolve(value))
    }

    /// `LEVEL, appender, appender`.
    fn logger(&mut self, name: &str, value: &str) -> LoggerPlan {
        let mut words = value.split(',').map(str::trim);
        let level = words.next().unwrap_or_default();
        let known = LogPlan::level(level);
        let inherits = level.is_empty() || level.eq_ignore_ascii_case("INHERITED");
        if known.is_none() && !inherits {
            self.plan.notes.push(format!(
                "`{level}` is not a level; DEBUG counts, as in log4j"
            ));
        }
        let fallback = (!inherits || name.is_empty()).then_some(LevelFilter::DEBUG);
        let additive = self.get(&format!("log4j.additivity.{name}"));
        LoggerPlan {
            name: name.into(),
            level: known.or(fallback),
            additive: additive.is_none_or(|value| !value.eq_ignore_ascii_case("false")),
            appenders: words
                .filter(|word| !word.is_empty())
                .map(String::from)
                .collect(),
        }
    }

    fn loggers(&mut self) {
        let prefixes = ["log4j.logger.", "log4j.category."];
        let named: Vec<(String, String)> = self
            .own
            .keys()
            .filter_map(|key| {
                let name = prefixes
                    .iter()
                    .find_map(|prefix| key.strip_prefix(prefix))?;
                Some((name.to_string(), self.get(key)?))
            })
            .collect();
        for (name, value) in named {
            let logger = self.logger(&name, &value);
            self.plan.loggers.push(logger);
        }
    }

    /// Appenders are named without regard to case by loggers of users: `console` and `CONSOLE`.
    fn appenders(&mut self) {
        let mut wanted: Vec<String> = vec![];
        for logger in &self.plan.loggers {
            wanted.extend(logger.appenders.iter().cloned());
        }
        wanted.sort();
        wanted.dedup();
        for name in wanted {
            if self.get(&format!("log4j.appender.{name}")).is_some() {
                let appender = self.appender(name);
                self.plan.appenders.push(appender);
            }
        }
    }

    fn appender(&mut self, name: String) -> AppenderPlan {
        let get = |key: &str| self.get(&format!("log4j.appender.{name}.{key}"));
        let class = self
            .get(&format!("log4j.appender.{name}"))
            .unwrap_or_default();
        let short = class.rsplit('.').next().unwrap_or_default().to_string();
        let path = get("File").or_else(|| get("rollingPolicy.ActiveFileName"));
        let mut note = None;
        let target = match (short.as_str(), path) {
            ("ConsoleAppender", _) => AppenderTarget::Console {
                error: get("target")
                    .is_some_and(|target| target.eq_ignore_ascii_case("System.err")),
            },
            ("NullAppender", _) => AppenderTarget::Null,
            ("FileAppender" | "RollingFileAppender" | "DailyRollingFileAppender", Some(path)) => {
                AppenderTarget::File(file(&short, path, get))
            }
            _ => {
                note = Some(format!(
                    "`{name}`, a {class}, is not built in; it writes to the console"
                ));
                AppenderTarget::Console { error: true }
            }
        };
        let threshold = get("Threshold").and_then(|level| LogPlan::level(&level));
        let pattern = get("layout.ConversionPattern").unwrap_or_else(|| "%m%n".into());
        self.plan.notes.extend(note);
        AppenderPlan {
            name,
            // log4j 1 had another date by this name.
            pattern: Pattern::parse(&pattern.replace("%d{ISO8601}", "%d"), &mut self.plan.notes),
            threshold: threshold.unwrap_or(LevelFilter::TRACE),
            target,
        }
    }
}

fn file(class: &str, path: String, get: impl Fn(&str) -> Option<String>) -> FilePlan {
    let size = get("MaxFileSize").or_else(|| get("maxFileSize"));
    let backups = get("MaxBackupIndex").and_then(|text| text.parse().ok());
    let mut plan = FilePlan {
        append: get("Append").is_none_or(|append| !append.eq_ignore_ascii_case("false")),
        path: path.clone().into(),
        ..FilePlan::default()
    };
    if let Some(pattern) = get("rollingPolicy.FileNamePattern") {
        plan.rolled = Some(pattern);
        plan.interval = Some(1);
    } else if class == "DailyRollingFileAppender" {
        let date = get("DatePattern").unwrap_or_else(|| "'.'yyyy-MM-dd".into());
        plan.rolled = Some(format!("{path}%d{{{date}}}"));
        plan.interval = Some(1);
    } else if class == "RollingFileAppender" {
        plan.max_bytes = size.and_then(|size| bytes(&size)).or(Some(10 << 20));
        plan.rolled = Some(format!("{path}.%i"));
        plan.numbers = Numbers {
            min: 1,
            max: backups.unwrap_or(1).max(1),
            newest_first: true,
        };
    }
    plan
}

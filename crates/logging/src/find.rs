//! Which configuration of logging counts.
//!
//! 1. A file that `-Dlog4j2.configurationFile`, `-Dlog4j.configurationFile` or `-Dlog4j.configuration` names.
//! 2. `log4j2.xml` in the directory given with `--conf`, else `log4j.properties` there.
//! 3. Flume's defaults until 1.9, if `-Dflume.root.logger`, `-Dflume.log.dir` or `-Dflume.log.file` is set.
//! 4. INFO to the console.
//!
//! `-Dflume.root.logger` on the command line replaces level and appenders of the root logger in any case.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use crate::{
    log4j1, log4j2,
    plan::{AppenderTarget, LogPlan},
};

/// A longer file is none.
const MAX_BYTES: u64 = 1 << 20;
/// Properties that name a file.
const FILE_PROPERTIES: &[&str] = &[
    "log4j2.configurationFile",
    "log4j.configurationFile",
    "log4j.configuration",
];
/// Files of the directory given with `--conf`, in the order in which they are looked for.
const FILES: &[&str] = &["log4j2.xml", "log4j.properties"];
/// Files that log4j reads as well, and this program does not.
const UNREAD: &[&str] = &[
    "log4j2.properties",
    "log4j2.yaml",
    "log4j2.yml",
    "log4j2.json",
    "log4j.xml",
];

/// What the command line says about logging.
#[derive(Clone, Debug, Default)]
pub struct LogSettings {
    /// Java's system properties.
    pub properties: BTreeMap<String, String>,
    /// The directory given with `--conf`.
    pub conf_dir: Option<PathBuf>,
}

impl LogSettings {
    /// The plan that counts. What is wrong on the way is in its notes.
    pub fn plan(&self) -> LogPlan {
        let mut notes = vec![];
        let mut plan = None;
        for path in self.files(&mut notes) {
            match self.read(&path) {
                Ok(read) => {
                    plan = Some(LogPlan {
                        file: Some(path),
                        ..read
                    });
                    break;
                }
                Err(why) => notes.push(format!("{}: {why}", path.display())),
            }
        }
        let root = self.properties.get("flume.root.logger");
        let mut plan = match plan {
            Some(plan) => match root {
                Some(root) => self.with_root(plan, root),
                None => plan,
            },
            None => self.default_plan(),
        };
        notes.append(&mut plan.notes);
        plan.notes = notes;
        plan
    }

    fn files(&self, notes: &mut Vec<String>) -> Vec<PathBuf> {
        let mut files = vec![];
        for property in FILE_PROPERTIES {
            let Some(value) = self.properties.get(*property) else {
                continue;
            };
            let plain = value.strip_prefix("file:").unwrap_or(value);
            let path = match plain.trim_start_matches("//") {
                // `file:///x` and `file:/x`
                _ if plain.starts_with("///") => plain[2..].into(),
                plain => PathBuf::from(plain.strip_prefix("classpath:").unwrap_or(plain)),
            };
            let in_conf_dir = self
                .conf_dir
                .as_ref()
                .map(|directory| directory.join(&path));
            let places = [Some(path.clone()), in_conf_dir];
            match places.into_iter().flatten().find(|path| path.is_file()) {
                Some(path) => files.push(path),
                None => notes.push(format!("-D{property}={value}: there is no such file")),
            }
        }
        if let Some(directory) = &self.conf_dir {
            let found = FILES.iter().map(|name| directory.join(name));
            files.extend(found.filter(|path| path.is_file()));
            let unread = UNREAD.iter().map(|name| directory.join(name));
            for path in unread.filter(|path| files.is_empty() && path.is_file()) {
                let text = "is not read; write log4j2.xml or log4j.properties";
                notes.push(format!("{} {text}", path.display()));
            }
        }
        files
    }

    fn read(&self, path: &Path) -> Result<LogPlan, String> {
        let length = fs::metadata(path).map_err(|error| error.to_string())?.len();
        if length > MAX_BYTES {
            return Err("it has more than 1 MiB".into());
        }
        let bytes = fs::read(path).map_err(|error| error.to_string())?;
        if path.extension().is_some_and(|extension| extension == "xml") {
            let text = String::from_utf8_lossy(&bytes);
            return log4j2::parse(&text, &self.properties);
        }
        log4j1::parse(&bytes, &self.properties)
    }

    fn default_plan(&self) -> LogPlan {
        let mut properties = self.properties.clone();
        let names_a_file = ["flume.log.dir", "flume.log.file"]
            .iter()
            .any(|name| properties.contains_key(*name));
        if !names_a_file {
            properties
                .entry("flume.root.logger".into())
                .or_insert("INFO,console".into());
        }
        let name = properties
            .get("flume.log.file")
            .cloned()
            .unwrap_or_default();
        if name.starts_with('/') {
            // An absolute file needs no directory.
            properties.insert("flume.log.dir".into(), String::new());
            properties.insert("flume.log.file".into(), name.trim_start_matches('/').into());
        }
        let read = log4j1::parse(log4j1::FLUME_DEFAULT.as_bytes(), &properties);
        let mut plan = read.unwrap_or_default();
        if plan.root().appenders.is_empty() {
            // `DEBUG` alone, or an appender that Flume never had.
            let console =
                BTreeMap::from([("flume.root.logger".to_string(), "INFO,console".to_string())]);
            let fallback =
                log4j1::parse(log4j1::FLUME_DEFAULT.as_bytes(), &console).unwrap_or_default();
            plan.appenders = fallback.appenders;
            plan.root().appenders = vec!["console".into()];
        }
        plan
    }

    /// The root logger of the command line: its appenders are those of the file by that name, of any case, or of that
    /// kind; else those of Flume's defaults.
    fn with_root(&self, mut plan: LogPlan, root: &str) -> LogPlan {
        let mut words = root.split(',').map(str::trim);
        let level = words.next().and_then(LogPlan::level);
        let mut appenders = vec![];
        for word in words.filter(|word| !word.is_empty()) {
            let is_console = word.eq_ignore_ascii_case("console");
            let found = plan.appenders.iter().find(|appender| {
                let same_kind = match appender.target {
                    AppenderTarget::Console { .. } => is_console,
                    AppenderTarget::File(_) => !is_console,
                    AppenderTarget::Null => false,
                };
                appender.name.eq_ignore_ascii_case(word) || same_kind
            });
            if let Some(found) = found {
                appenders.push(found.name.clone());
                continue;
            }
            let mut defaults = self.default_plan();
            appenders.append(&mut defaults.root().appenders);
            plan.appenders.append(&mut defaults.appenders);
        }
        let logger = plan.root();
        logger.level = level.or(logger.level);
        if !appenders.is_empty() {
            logger.appenders = appenders;
        }
        plan
    }
}

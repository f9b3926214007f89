//! What is to be logged, and where to.

use std::{path::PathBuf, time::Duration};

use tracing::level_filters::LevelFilter;

use crate::{cron::Cron, pattern::Pattern};

/// All of it.
#[derive(Clone, Debug, Default)]
pub struct LogPlan {
    /// By name.
    pub appenders: Vec<AppenderPlan>,
    /// The root first; the others in any order.
    pub loggers: Vec<LoggerPlan>,
    /// What an operator should know: what is not understood, or has no effect here.
    pub notes: Vec<String>,
    /// Where it comes from, if from a file.
    pub file: Option<PathBuf>,
}

/// A place where lines go.
#[derive(Clone, Debug)]
pub struct AppenderPlan {
    /// Its name.
    pub name: String,
    /// The layout of a line.
    pub pattern: Pattern,
    /// The least level that it writes.
    pub threshold: LevelFilter,
    /// What it is.
    pub target: AppenderTarget,
}

/// What an appender is.
#[derive(Clone, Debug)]
pub enum AppenderTarget {
    /// Standard output or standard error.
    Console {
        /// Standard error.
        error: bool,
    },
    /// A file, which may roll.
    File(FilePlan),
    /// It drops everything.
    Null,
}

/// A file that a log goes into.
#[derive(Clone, Debug, Default)]
pub struct FilePlan {
    /// The file that is written.
    pub path: PathBuf,
    /// Whether what is in it at the start stays there.
    pub append: bool,
    /// The names of full files: `%d{…}` is a date, `%i` a number. `None`: the file never rolls.
    pub rolled: Option<String>,
    /// It rolls at this size.
    pub max_bytes: Option<u64>,
    /// It rolls when this many units of the date in `rolled` have passed.
    pub interval: Option<u32>,
    /// It rolls at these times.
    pub schedule: Option<Cron>,
    /// It rolls at the start.
    pub at_start: bool,
    /// Numbers of full files.
    pub numbers: Numbers,
    /// Which full files are removed.
    pub cleanups: Vec<Cleanup>,
}

/// The numbers of full files of one date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbers {
    /// The least.
    pub min: u32,
    /// The greatest; with `min` it limits how many files there are.
    pub max: u32,
    /// Whether the newest file has the least number.
    pub newest_first: bool,
}

impl Default for Numbers {
    fn default() -> Self {
        Numbers {
            min: 1,
            max: 7,
            newest_first: false,
        }
    }
}

/// Which files are removed after one has rolled: those that fulfil every condition that is set.
#[derive(Clone, Debug, Default)]
pub struct Cleanup {
    /// Where.
    pub directory: PathBuf,
    /// How deep.
    pub depth: u32,
    /// Their names, as a regular expression.
    pub names: Option<regex::Regex>,
    /// Older than this.
    pub age: Option<Duration>,
    /// The newest of them have this many bytes together.
    pub bytes: Option<u64>,
    /// There are more than so many newer ones.
    pub count: Option<u64>,
}

/// A logger.
#[derive(Clone, Debug)]
pub struct LoggerPlan {
    /// A package or class of Java, or a module of this program; empty for the root.
    pub name: String,
    /// The least level; that of the logger above, if there is none.
    pub level: Option<LevelFilter>,
    /// Whether its lines go to the appenders of the logger above, too.
    pub additive: bool,
    /// Appenders by name.
    pub appenders: Vec<String>,
}

impl LogPlan {
    /// The level of a name as log4j has it; `None` if there is no such level.
    pub fn level(name: &str) -> Option<LevelFilter> {
        Some(match name.trim().to_ascii_uppercase().as_str() {
            "OFF" => LevelFilter::OFF,
            "FATAL" | "ERROR" => LevelFilter::ERROR,
            "WARN" | "WARNING" => LevelFilter::WARN,
            "INFO" => LevelFilter::INFO,
            "DEBUG" => LevelFilter::DEBUG,
            "TRACE" | "ALL" => LevelFilter::TRACE,
            _ => return None,
        })
    }

    /// The root logger.
    pub fn root(&mut self) -> &mut LoggerPlan {
        if self
            .loggers
            .first()
            .is_none_or(|first| !first.name.is_empty())
        {
            let root = LoggerPlan {
                name: String::new(),
                level: Some(LevelFilter::ERROR),
                additive: false,
                appenders: vec![],
            };
            self.loggers.insert(0, root);
        }
        &mut self.loggers[0]
    }

    /// Names of appenders that a logger wants and nobody has are taken out, with a note.
    pub fn check(mut self) -> LogPlan {
        self.root();
        let known: Vec<String> = self.appenders.iter().map(|one| one.name.clone()).collect();
        for logger in &mut self.loggers {
            for name in &logger.appenders {
                if !known.contains(name) {
                    self.notes.push(format!("there is no appender `{name}`"));
                }
            }
            logger.appenders.retain(|name| known.contains(name));
        }
        self
    }
}

/// `100 MB`, `1GB`, `2000`: bytes.
pub(crate) fn bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let number: f64 = text[..end].parse().ok()?;
    let unit = match text[end..].trim().to_ascii_uppercase().as_str() {
        "" | "B" => 1.0,
        "K" | "KB" => 1024.0,
        "M" | "MB" => 1024.0 * 1024.0,
        "G" | "GB" => 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    let bytes = number * unit;
    (1.0..1e18).contains(&bytes).then_some(bytes as u64)
}

/// `30d`, `P30D`, `12H`, `PT90M`: a time of log4j.
pub(crate) fn age(text: &str) -> Option<Duration> {
    let text = text.trim().to_ascii_uppercase();
    let text = text.strip_prefix('P').unwrap_or(&text);
    let mut seconds: u64 = 0;
    let mut digits = String::new();
    for c in text.chars() {
        let unit = match c {
            'T' if digits.is_empty() => continue,
            digit if digit.is_ascii_digit() => {
                digits.push(digit);
                continue;
            }
            'D' => 86_400,
            'H' => 3_600,
            'M' => 60,
            'S' => 1,
            _ => return None,
        };
        let number: u64 = digits.parse().ok()?;
        seconds = seconds.checked_add(number.checked_mul(unit)?)?;
        digits.clear();
    }
    (digits.is_empty() && seconds > 0).then(|| Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_as_log4j_has_them() {
        assert_eq!(bytes("100 MB"), Some(100 << 20));
        assert_eq!(bytes("1GB"), Some(1 << 30));
        assert_eq!(bytes("1.5kb"), Some(1536));
        assert_eq!(bytes("2000"), Some(2000));
        assert_eq!(bytes("x"), None);
        assert_eq!(bytes("1TB"), None);
        assert_eq!(age("30d"), Some(Duration::from_secs(30 * 86_400)));
        assert_eq!(age("P1DT2H"), Some(Duration::from_secs(26 * 3600)));
        assert_eq!(age("PT90M"), Some(Duration::from_secs(5400)));
        assert_eq!(age("1w"), None);
        assert_eq!(age("99999999999999999999d"), None);
    }
}

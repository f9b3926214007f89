//! Places where lines go while the agent runs.

use std::{
    io::Write,
    sync::{Mutex, PoisonError},
};

use jiff::{ToSpan, Zoned};

use crate::{
    plan::{AppenderPlan, AppenderTarget, FilePlan},
    rolling::RollingFile,
};

/// After how many seconds a file that could not be written is tried again.
const RETRY_SECONDS: i64 = 30;

/// Where the console is: makes a writer for one line.
pub type Console = fn(error: bool) -> Box<dyn Write>;

/// An appender that is open, or would be if it could.
pub(crate) struct Appender {
    pub(crate) plan: AppenderPlan,
    console: Console,
    file: Option<Mutex<LogFile>>,
}

/// A log file, or why there is none.
struct LogFile {
    plan: FilePlan,
    open: Option<RollingFile>,
    /// When it is tried again.
    retry: Option<Zoned>,
    /// Lines that went to the console meanwhile.
    diverted: u64,
}

impl Appender {
    pub(crate) fn new(plan: AppenderPlan, console: Console, now: &Zoned) -> Appender {
        let file = match &plan.target {
            AppenderTarget::File(file) => {
                let mut file = LogFile {
                    plan: file.clone(),
                    open: None,
                    retry: None,
                    diverted: 0,
                };
                file.try_open(console, now);
                Some(Mutex::new(file))
            }
            _ => None,
        };
        Appender {
            plan,
            console,
            file,
        }
    }

    /// Writes a line. What a file does not take goes to the console.
    pub(crate) fn write(&self, line: &str, now: &Zoned) {
        match &self.plan.target {
            AppenderTarget::Null => {}
            AppenderTarget::Console { error } => say(self.console, *error, line),
            AppenderTarget::File(_) => {
                if let Some(file) = &self.file {
                    let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                    file.write(line, self.console, now);
                }
            }
        }
    }
}

/// Nothing can be done about a console that does not take a line.
fn say(console: Console, error: bool, line: &str) {
    let _ = console(error).write_all(line.as_bytes());
}

impl LogFile {
    fn try_open(&mut self, console: Console, now: &Zoned) {
        match RollingFile::open(self.plan.clone(), now) {
            Ok(file) => {
                if self.retry.take().is_some() {
                    let text = format!(
                        "flume-ng: the log goes to {} again; {} lines went to the console\n",
                        self.plan.path.display(),
                        self.diverted
                    );
                    say(console, true, &text);
                }
                self.diverted = 0;
                self.open = Some(file);
            }
            Err(error) => self.failed("open", &error, console, now),
        }
    }

    fn failed(&mut self, what: &str, error: &std::io::Error, console: Console, now: &Zoned) {
        self.open = None;
        if self.retry.is_none() {
            let text = format!(
                "flume-ng: failed to {what} the log file {}: {error}; the log goes to the console\n",
                self.plan.path.display()
            );
            say(console, true, &text);
        }
        self.retry = now.checked_add(RETRY_SECONDS.seconds()).ok();
    }

    fn write(&mut self, line: &str, console: Console, now: &Zoned) {
        if self.open.is_none() && self.retry.as_ref().is_some_and(|retry| now >= retry) {
            self.try_open(console, now);
        }
        if let Some(file) = &mut self.open {
            match file.write(line, now) {
                Ok(()) => return,
                Err(error) => self.failed("write to", &error, console, now),
            }
        }
        self.diverted += 1;
        say(console, true, line);
    }
}

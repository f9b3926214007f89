//! From an event of the program to lines in its appenders.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fmt::{self, Write as _},
    time::Instant,
};

use flume_core::secrets::masked;
use jiff::{Timestamp, tz::TimeZone};
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
    subscriber::Interest,
};
use tracing_subscriber::{
    layer::{Context, Layer, SubscriberExt},
    registry::LookupSpan,
    util::SubscriberInitExt,
};

use crate::{
    appender::{Appender, Console},
    levels::Levels,
    pattern::LogLine,
    plan::LogPlan,
};

/// Puts a plan into force for the whole process. Times are shown in `zone`.
pub fn start(plan: &LogPlan, zone: TimeZone, console: Console) -> Levels {
    let levels = Levels::new(&plan.loggers);
    let now = Timestamp::now().to_zoned(zone.clone());
    let used = |name: &String| {
        plan.loggers
            .iter()
            .any(|logger| logger.appenders.contains(name))
    };
    // A file that no logger writes to is not made.
    let appenders = plan
        .appenders
        .iter()
        .filter(|appender| used(&appender.name));
    let appenders = appenders
        .map(|appender| {
            (
                appender.name.clone(),
                Appender::new(appender.clone(), console, &now),
            )
        })
        .collect();
    let output = Output {
        levels: levels.clone(),
        appenders,
        zone,
        started: Instant::now(),
    };
    tracing_subscriber::registry().with(output).init();
    levels
}

struct Output {
    levels: Levels,
    appenders: BTreeMap<String, Appender>,
    zone: TimeZone,
    started: Instant,
}

impl Output {
    fn wants(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= self.levels.route(metadata.target()).level
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Output {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        // Asked again when a level changes.
        if self.wants(metadata) {
            Interest::always()
        } else {
            Interest::never()
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.wants(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.levels.most_verbose())
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        let route = self.levels.route(metadata.target());
        let mut message = MessageText::default();
        event.record(&mut message);
        let message = one_line(&masked(&message.0)).into_owned();
        let now = Timestamp::now().to_zoned(self.zone.clone());
        let thread = std::thread::current();
        let file = metadata.file().unwrap_or("?");
        let line = LogLine {
            time: &now,
            level: level_name(metadata.level()),
            logger: metadata.target(),
            file: file.rsplit('/').next().unwrap_or(file),
            line: metadata.line().unwrap_or(0),
            thread: thread.name().unwrap_or("?"),
            message: &message,
            millis: self.started.elapsed().as_millis(),
        };
        let named = route
            .appenders
            .iter()
            .filter_map(|name| self.appenders.get(name));
        for appender in named.filter(|appender| *metadata.level() <= appender.plan.threshold) {
            let mut text = String::new();
            appender.plan.pattern.write(&line, &mut text);
            appender.write(&text, &now);
        }
    }
}

fn level_name(level: &Level) -> &'static str {
    match *level {
        Level::ERROR => "ERROR",
        Level::WARN => "WARN",
        Level::INFO => "INFO",
        Level::DEBUG => "DEBUG",
        Level::TRACE => "TRACE",
    }
}

/// The message, and what else an event says.
#[derive(Default)]
struct MessageText(String);

impl Visit for MessageText {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format_args!("{value:?}"));
    }
}

impl MessageText {
    fn add(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = if field.name() == "message" {
            let rest = std::mem::take(&mut self.0);
            write!(self.0, "{value}{rest}")
        } else {
            write!(self.0, " {}={value}", field.name())
        };
    }
}

/// A message as one line of the log: what came with an event must not look like another line.
fn one_line(message: &str) -> Cow<'_, str> {
    let forges = |c: char| c.is_control() && c != '\t';
    if !message.contains(forges) {
        return Cow::Borrowed(message);
    }
    let mut line = String::with_capacity(message.len() + 8);
    for c in message.chars() {
        if forges(c) {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    Cow::Owned(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line() {
        assert_eq!(one_line("plain\twords é"), "plain\twords é");
        assert_eq!(
            one_line("/x\n2026-01-01 (main) [ERROR - forged]\r\u{1b}[2J\u{85}"),
            "/x\\n2026-01-01 (main) [ERROR - forged]\\r\\u{1b}[2J\\u{85}"
        );
    }
}

//! The layout of a line, as `PatternLayout` of log4j has it: `%d (%t) [%p - %l] %m%n`.

use std::borrow::Cow;

use flume_java::date_format;
use jiff::{Zoned, tz::TimeZone};

/// Widths beyond this are none.
const MAX_WIDTH: usize = 1_000;
/// Deepest nesting of `%equals{…}` and the like.
const MAX_DEPTH: usize = 4;
/// log4j's names of dates, and `%d` alone.
const DATES: &[(&str, &str)] = &[
    ("", "yyyy-MM-dd HH:mm:ss,SSS"),
    ("DEFAULT", "yyyy-MM-dd HH:mm:ss,SSS"),
    ("ISO8601", "yyyy-MM-dd'T'HH:mm:ss,SSS"),
    ("ISO8601_PERIOD", "yyyy-MM-dd'T'HH:mm:ss.SSS"),
    ("ISO8601_BASIC", "yyyyMMdd'T'HHmmss,SSS"),
    (
        "ISO8601_OFFSET_DATE_TIME_HHMM",
        "yyyy-MM-dd'T'HH:mm:ss,SSSZ",
    ),
    (
        "ISO8601_OFFSET_DATE_TIME_HHCMM",
        "yyyy-MM-dd'T'HH:mm:ss,SSSXXX",
    ),
    ("ABSOLUTE", "HH:mm:ss,SSS"),
    ("ABSOLUTE_PERIOD", "HH:mm:ss.SSS"),
    ("COMPACT", "yyyyMMddHHmmssSSS"),
    ("DATE", "dd MMM yyyy HH:mm:ss,SSS"),
    ("DATE_PERIOD", "dd MMM yyyy HH:mm:ss.SSS"),
];

/// Names of what can be written; of two that begin alike the longer first.
const FIELDS: &[(&str, Field)] = &[
    ("equalsIgnoreCase", Field::Equals),
    ("sequenceNumber", Field::Nothing),
    ("threadPriority", Field::Nothing),
    ("threadName", Field::Thread),
    ("throwable", Field::Nothing),
    ("exception", Field::Nothing),
    ("processId", Field::Process),
    ("highlight", Field::Inner),
    ("threadId", Field::Nothing),
    ("location", Field::Location),
    ("relative", Field::Relative),
    ("message", Field::Message),
    ("replace", Field::Inner),
    ("thread", Field::Thread),
    ("logger", Field::Logger),
    ("method", Field::Method),
    ("equals", Field::Equals),
    ("marker", Field::Nothing),
    ("notEmpty", Field::Inner),
    ("varsNotEmpty", Field::Inner),
    ("class", Field::Logger),
    ("level", Field::Level),
    ("maxLen", Field::Inner),
    ("style", Field::Inner),
    ("date", Field::Date),
    ("file", Field::File),
    ("line", Field::Line),
    ("uuid", Field::Nothing),
    ("xEx", Field::Nothing),
    ("rEx", Field::Nothing),
    ("msg", Field::Message),
    ("mdc", Field::Nothing),
    ("MDC", Field::Nothing),
    ("NDC", Field::Nothing),
    ("pid", Field::Process),
    ("tid", Field::Nothing),
    ("enc", Field::Inner),
    ("ex", Field::Nothing),
    ("tn", Field::Thread),
    ("sn", Field::Nothing),
    ("tp", Field::Nothing),
    ("c", Field::Logger),
    ("C", Field::Logger),
    ("d", Field::Date),
    ("F", Field::File),
    ("l", Field::Location),
    ("L", Field::Line),
    ("m", Field::Message),
    ("M", Field::Method),
    ("n", Field::End),
    ("p", Field::Level),
    ("r", Field::Relative),
    ("t", Field::Thread),
    ("T", Field::Nothing),
    ("u", Field::Nothing),
    ("x", Field::Nothing),
    ("X", Field::Nothing),
];

/// What can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Date,
    Level,
    Logger,
    Thread,
    Message,
    File,
    Line,
    Method,
    Location,
    Relative,
    Process,
    End,
    /// Java has something there that this program does not have.
    Nothing,
    /// The pattern in the first braces.
    Inner,
    /// `%equals{PATTERN}{TEXT}{OTHER}`: the other text, if the pattern yields the text.
    Equals,
}

/// A layout.
#[derive(Clone, Debug, Default)]
pub struct Pattern {
    parts: Vec<PatternPart>,
}

#[derive(Clone, Debug)]
enum PatternPart {
    Literal(String),
    Field {
        field: Field,
        /// A date pattern, or how many last words of a logger.
        option: String,
        zone: Option<TimeZone>,
        width: FieldWidth,
        inner: Vec<Pattern>,
    },
}

/// `%-5.30p`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct FieldWidth {
    least: usize,
    left: bool,
    most: Option<usize>,
    /// Cut at the end, not at the beginning.
    keep_beginning: bool,
}

/// What a line says.
#[derive(Clone, Copy, Debug)]
pub struct LogLine<'a> {
    /// When, in the zone in which it is shown.
    pub time: &'a Zoned,
    /// `INFO`
    pub level: &'a str,
    /// The module.
    pub logger: &'a str,
    /// The source file, without its directory.
    pub file: &'a str,
    /// The line in it.
    pub line: u32,
    /// The thread.
    pub thread: &'a str,
    /// The message.
    pub message: &'a str,
    /// Milliseconds since the start.
    pub millis: u128,
}

impl Pattern {
    /// Reads a layout. What is not known stays in it as it is, and is named in `notes`.
    pub fn parse(text: &str, notes: &mut Vec<String>) -> Pattern {
        let mut parser = PatternParser {
            rest: text,
            parts: vec![],
            notes,
            depth: 0,
        };
        parser.run();
        Pattern {
            parts: parser.parts,
        }
    }

    /// Adds a line to `out`.
    pub fn write(&self, line: &LogLine<'_>, out: &mut String) {
        for part in &self.parts {
            match part {
                PatternPart::Literal(text) => out.push_str(text),
                PatternPart::Field {
                    field,
                    option,
                    zone,
                    width,
                    inner,
                } => {
                    let text = line.field(*field, option, zone.as_ref(), inner);
                    width.write(&text, out);
                }
            }
        }
    }

    fn text(&self, line: &LogLine<'_>) -> String {
        let mut out = String::new();
        self.write(line, &mut out);
        out
    }
}

impl FieldWidth {
    fn write(self, text: &str, out: &mut String) {
        let mut length = text.chars().count();
        let mut text = text;
        if let Some(most) = self.most.filter(|most| length > *most) {
            let cut = if self.keep_beginning {
                most
            } else {
                length - most
            };
            let at = text
                .char_indices()
                .nth(cut)
                .map_or(text.len(), |(at, _)| at);
            text = if self.keep_beginning {
                &text[..at]
            } else {
                &text[at..]
            };
            length = most;
        }
        let blanks = self.least.saturating_sub(length);
        let pad = |out: &mut String| out.extend(std::iter::repeat_n(' ', blanks));
        if !self.left {
            pad(out);
        }
        out.push_str(text);
        if self.left {
            pad(out);
        }
    }
}

impl<'a> LogLine<'a> {
    fn field(
        &self,
        field: Field,
        option: &str,
        zone: Option<&TimeZone>,
        inner: &[Pattern],
    ) -> Cow<'a, str> {
        match field {
            Field::Date => {
                let time = match zone {
                    Some(zone) => self.time.with_time_zone(zone.clone()),
                    None => self.time.clone(),
                };
                match option {
                    "UNIX" => time.timestamp().as_second().to_string().into(),
                    "UNIX_MILLIS" => time.timestamp().as_millisecond().to_string().into(),
                    // The pattern was tried when it was read.
                    pattern => date_format::format(pattern, &time)
                        .unwrap_or_default()
                        .into(),
                }
            }
            Field::Level => self.level.into(),
            Field::Logger => last_words(self.logger, option).into(),
            Field::Thread => self.thread.into(),
            Field::Message => self.message.into(),
            Field::File => self.file.into(),
            Field::Line => self.line.to_string().into(),
            Field::Method => "?".into(),
            Field::Location => format!("{}({}:{})", self.logger, self.file, self.line).into(),
            Field::Relative => self.millis.to_string().into(),
            Field::Process => std::process::id().to_string().into(),
            Field::End => "\n".into(),
            Field::Nothing => "".into(),
            Field::Inner => inner
                .first()
                .map_or(String::new(), |inner| inner.text(self))
                .into(),
            Field::Equals => match inner {
                [tested, wanted, other] => {
                    let tested = tested.text(self);
                    // `%x` of an empty stack is `[]` in Java.
                    let is_empty = tested.is_empty() && wanted.text(self) == "[]";
                    if is_empty || tested == wanted.text(self) {
                        other.text(self).into()
                    } else {
                        tested.into()
                    }
                }
                _ => "".into(),
            },
        }
    }
}

/// The last `count` words of a module's name.
fn last_words<'a>(name: &'a str, count: &str) -> &'a str {
    let Ok(count) = count.parse::<usize>() else {
        return name;
    };
    let Some(before) = count.checked_sub(1) else {
        return name;
    };
    match name.rmatch_indices("::").nth(before) {
        Some((at, found)) => &name[at + found.len()..],
        None => name,
    }
}

struct PatternParser<'a, 'n> {
    rest: &'a str,
    parts: Vec<PatternPart>,
    notes: &'n mut Vec<String>,
    depth: usize,
}

impl<'a> PatternParser<'a, '_> {
    fn run(&mut self) {
        while let Some(percent) = self.rest.find('%') {
            self.literal(&self.rest[..percent]);
            self.rest = &self.rest[percent + 1..];
            if let Some(rest) = self.rest.strip_prefix('%') {
                self.literal("%");
                self.rest = rest;
            } else {
                self.conversion();
            }
        }
        self.literal(self.rest);
    }

    fn literal(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        match self.parts.last_mut() {
            Some(PatternPart::Literal(before)) => before.push_str(text),
            _ => self.parts.push(PatternPart::Literal(text.into())),
        }
    }

    fn conversion(&mut self) {
        let whole = self.rest;
        let width = self.width();
        let mut fields = FIELDS.iter();
        let Some((name, field)) = fields.find(|(name, _)| self.rest.starts_with(name)) else {
            let word: String = whole
                .chars()
                .take_while(|c| !c.is_whitespace())
                .take(12)
                .collect();
            self.notes.push(format!(
                "`%{word}` of a log layout is not known and stays as it is"
            ));
            self.rest = whole;
            return self.literal("%");
        };
        self.rest = &self.rest[name.len()..];
        let mut options = vec![];
        while let Some(option) = self.braces() {
            options.push(option);
        }
        self.add(*field, width, &options);
    }

    fn add(&mut self, field: Field, width: FieldWidth, options: &[&str]) {
        let first = options.first().copied().unwrap_or_default();
        let mut inner = vec![];
        let mut zone = None;
        let mut option = first.to_string();
        match field {
            Field::Date => {
                let named = DATES.iter().find(|(name, _)| *name == first);
                let known = ["UNIX", "UNIX_MILLIS"].contains(&first);
                option = named.map_or(first, |(_, pattern)| pattern).into();
                if !known && let Err(why) = date_format::format(&option, &Zoned::default()) {
                    self.notes
                        .push(format!("the date pattern `{first}` of a log layout: {why}"));
                    option = DATES[0].1.into();
                }
                zone = options.get(1).and_then(|zone| TimeZone::get(zone).ok());
            }
            Field::Inner | Field::Equals if self.depth < MAX_DEPTH => {
                for option in options {
                    let mut parser = PatternParser {
                        rest: option,
                        parts: vec![],
                        notes: self.notes,
                        depth: self.depth + 1,
                    };
                    parser.run();
                    let parts = parser.parts;
                    inner.push(Pattern { parts });
                }
            }
            _ => {}
        }
        self.parts.push(PatternPart::Field {
            field,
            option,
            zone,
            width,
            inner,
        });
    }

    fn width(&mut self) -> FieldWidth {
        let mut width = FieldWidth::default();
        if let Some(rest) = self.rest.strip_prefix('-') {
            width.left = true;
            self.rest = rest;
        }
        width.least = self.number().unwrap_or(0);
        if let Some(rest) = self.rest.strip_prefix('.') {
            self.rest = rest;
            if let Some(rest) = self.rest.strip_prefix('-') {
                width.keep_beginning = true;
                self.rest = rest;
            }
            width.most = self.number();
        }
        width
    }

    fn number(&mut self) -> Option<usize> {
        let digits = self.rest.len()
            - self
                .rest
                .trim_start_matches(|c: char| c.is_ascii_digit())
                .len();
        let (number, rest) = self.rest.split_at(digits);
        self.rest = rest;
        number
            .parse()
            .ok()
            .map(|number: usize| number.min(MAX_WIDTH))
    }

    /// What stands in the braces that follow, if any do.
    fn braces(&mut self) -> Option<&'a str> {
        let inside = self.rest.strip_prefix('{')?;
        let mut open = 0;
        for (at, c) in inside.char_indices() {
            match c {
                '{' => open += 1,
                '}' if open == 0 => {
                    self.rest = &inside[at + 1..];
                    return Some(&inside[..at]);
                }
                '}' => open -= 1,
                _ => {}
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, expected: &str) {
        let time: Zoned = "2026-02-03T15:04:05.678[UTC]".parse().unwrap();
        let line = LogLine {
            time: &time,
            level: "INFO",
            logger: "flume_core::state",
            file: "state.rs",
            line: 176,
            thread: "main",
            message: "ready",
            millis: 42,
        };
        let mut out = String::new();
        let mut notes = vec![];
        Pattern::parse(pattern, &mut notes).write(&line, &mut out);
        let notes: String = notes.iter().map(|note| format!(" ! {note}")).collect();
        assert_eq!(out + &notes, expected, "{pattern}");
    }

    #[test]
    fn lines_as_log4j_lays_them_out() {
        check(
            "%d (%t) [%p - %l] %m%n",
            "2026-02-03 15:04:05,678 (main) [INFO - flume_core::state(state.rs:176)] ready\n",
        );
        check(
            "%d{dd MMM yyyy HH:mm:ss,SSS} %-5p [%t] (%C.%M:%L) %equals{%x}{[]}{} - %m%n",
            "03 Feb 2026 15:04:05,678 INFO  [main] (flume_core::state.?:176)  - ready\n",
        );
        check(
            "%d{ISO8601} %c{1}|%logger{9}|%c{0}",
            "2026-02-03T15:04:05,678 state|flume_core::state|flume_core::state",
        );
        check(
            "%d{HH:mm}{America/New_York} %d{UNIX_MILLIS}",
            "10:04 1770131045678",
        );
        check("%7p|%-7p|%.2p|%.-2p|%r", "   INFO|INFO   |FO|IN|42");
        check(
            "%highlight{%p %m}{STYLE=x} %msg %level",
            "INFO ready ready INFO",
        );
        check("%equals{%p}{INFO}{ok}", "ok");
        check(
            "100%% %",
            "100% % ! `%` of a log layout is not known and stays as it is",
        );
        check(
            "%k x",
            "%k x ! `%k` of a log layout is not known and stays as it is",
        );
        check("%m{", "ready{");
        check(
            "%d{bb}",
            "2026-02-03 15:04:05,678 ! the date pattern `bb` of a log layout: the letter `b` is none of \
             GyYMLwWDdFEuaHkKhmsSzZX",
        );
        check("", "");
    }
}

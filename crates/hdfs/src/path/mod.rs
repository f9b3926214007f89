//! Where an event goes: the escapes of `hdfs.path` and `hdfs.filePrefix`, as Flume 1.11 expands them.
//!
//! A template is parsed once into segments. Segments of time are rendered once a second, so an event costs a look-up
//! of each header that the template names; a template without escapes costs nothing.

mod host;
mod time;

use flume_core::{Event, config::Choice};
use flume_host::names::LocalHost;
use jiff::Timestamp;

pub(crate) use host::HostPart;
pub(crate) use time::{Clock, RoundUnit, Rounding};
use time::{TimeText, format_of};

/// A text with escapes: `/logs/%{host}/%Y-%m-%d`.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    segments: Vec<Segment>,
    values: HeaderValues,
    /// The second whose times are rendered.
    second: Option<i64>,
}

#[derive(Clone, Debug)]
enum Segment {
    Text(String),
    /// `%{name}`, and whether its absence was logged.
    Header(String, bool),
    /// `%[IP]`
    Host(HostPart),
    /// What is written of the time, and how it reads in the template's second.
    Time(TimeText, String),
    /// `%t`: milliseconds, never rounded.
    Millis,
}

/// What a header may contribute to a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderValues {
    /// Directories below the configured one: `/` counts, `.` and `..` do not.
    Path,
    /// A part of a name: `/` does not count either.
    Name,
    /// Anything, as in Flume.
    Any,
}

impl Choice for HeaderValues {
    const CHOICES: &'static [(&'static str, Self)] = &[
        ("PATH", HeaderValues::Path),
        ("NAME", HeaderValues::Name),
        ("ANY", HeaderValues::Any),
    ];
}

impl Template {
    /// Parses; `Err` says what is wrong with the text.
    pub(crate) fn parse(text: &str, values: HeaderValues) -> Result<Template, String> {
        let mut template = Template {
            segments: vec![],
            values,
            second: None,
        };
        parts(text).try_for_each(|part| template.push_escape(part))?;
        Ok(template)
    }

    /// The text, if it is the same for all events.
    pub(crate) fn constant(&self) -> Option<&str> {
        match &self.segments[..] {
            [] => Some(""),
            [Segment::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Whether it depends on the time of the event.
    pub(crate) fn timed(&self) -> bool {
        self.segments
            .iter()
            .any(|segment| matches!(segment, Segment::Time(..) | Segment::Millis))
    }

    /// The headers that it names.
    pub(crate) fn headers(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Header(name, _) => Some(name.as_str()),
            _ => None,
        })
    }

    /// Whether a header comes first.
    pub(crate) fn begins_with_header(&self) -> bool {
        matches!(self.segments.first(), Some(Segment::Header(..)))
    }

    /// The parts of the host that are to be filled in before anything is rendered.
    pub(crate) fn host_parts(&self) -> impl Iterator<Item = HostPart> {
        self.segments.iter().filter_map(|segment| {
            if let Segment::Host(part) = segment {
                Some(*part)
            } else {
                None
            }
        })
    }

    /// Fills in the host.
    pub(crate) fn fill_in(&mut self, host: &LocalHost) {
        for segment in std::mem::take(&mut self.segments) {
            match segment {
                Segment::Host(part) => self.push_text(&part.text(host)),
                Segment::Text(text) => self.push_text(&text),
                other => self.segments.push(other),
            }
        }
    }

    /// Appends what the template says for an event. `millis` is asked only where there are escapes of time; an error
    /// says what is wrong with the event.
    pub(crate) fn render(
        &mut self,
        event: &Event,
        clock: &Clock,
        now: Timestamp,
        out: &mut String,
    ) -> Result<(), String> {
        let millis = if self.timed() {
            clock.millis(event, now)?
        } else {
            0
        };
        if self.timed() {
            self.set_second(clock, millis)?;
        }
        for segment in &mut self.segments {
            match segment {
                Segment::Text(text) | Segment::Time(_, text) => out.push_str(text),
                Segment::Header(name, logged) => match event.headers.get(name) {
                    Some(value) if self.values == HeaderValues::Name && value.contains('/') => {
                        out.push_str(&value.replace('/', "%2F"));
                    }
                    Some(value) => out.push_str(value),
                    None if *logged => {}
                    None => {
                        *logged = true;
                        tracing::warn!(
                            "an event has no header `{name}`; its place in the path stays empty"
                        );
                    }
                },
                Segment::Millis => {
                    // Flume writes the header as it stands.
                    match event.headers.get("timestamp").filter(|_| !clock.local) {
                        Some(text) => out.push_str(text),
                        None => out.push_str(&millis.to_string()),
                    }
                }
                // Filled in when the sink opens.
                Segment::Host(_) => {}
            }
        }
        Ok(())
    }

    fn set_second(&mut self, clock: &Clock, millis: i64) -> Result<(), String> {
        let second = millis.div_euclid(1000);
        if self.second == Some(second) {
            return Ok(());
        }
        let moment = clock.moment(millis)?;
        self.second = None;
        for segment in &mut self.segments {
            if let Segment::Time(time, rendered) = segment {
                rendered.clear();
                time.render(&moment, rendered)?;
            }
        }
        // Before 1970 `%s` counts towards it, so it may change within a second.
        self.second = (millis >= 0).then_some(second);
        Ok(())
    }

    fn push_text(&mut self, text: &str) {
        match self.segments.last_mut() {
            _ if text.is_empty() => {}
            Some(Segment::Text(before)) => before.push_str(text),
            Some(Segment::Time(time, _)) => time.push_text(text),
            _ => self.segments.push(Segment::Text(text.into())),
        }
    }

    fn push_escape(&mut self, escape: Escape<'_>) -> Result<(), String> {
        match escape {
            Escape::None(text) | Escape::Malformed(text) => self.push_text(text),
            Escape::Header(name) => self.segments.push(Segment::Header(name.into(), false)),
            Escape::Host(word) => self.segments.push(Segment::Host(HostPart::parse(word)?)),
            Escape::Letter('%') => self.push_text("%"),
            Escape::Letter('t') => self.segments.push(Segment::Millis),
            Escape::Letter(letter) => match self.segments.last_mut() {
                Some(Segment::Time(time, _)) => time.push_escape(letter),
                _ => {
                    let mut time = TimeText::default();
                    time.push_escape(letter);
                    self.segments.push(Segment::Time(time, String::new()));
                }
            },
        }
        Ok(())
    }
}

enum Escape<'a> {
    Letter(char),
    Header(&'a str),
    Host(&'a str),
    /// Text.
    None(&'a str),
    /// Text that begins like `%{name}` or `%[word]`.
    Malformed(&'a str),
}

/// Escapes, and the text between them.
fn parts(text: &str) -> impl Iterator<Item = Escape<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let at = rest.find('%').unwrap_or(rest.len());
        let (part, after) = if at == 0 {
            split_escape(rest)
        } else {
            let (text, after) = rest.split_at(at);
            (Escape::None(text), after)
        };
        rest = after;
        Some(part)
    })
}

/// What begins like an escape in a text and is none: `%h`, `%{`.
pub(crate) fn unknown_escapes(text: &str) -> Vec<String> {
    let mut unknown: Vec<_> = parts(text)
        .filter_map(|part| match part {
            Escape::Letter('%' | 't') => None,
            Escape::Letter(letter) if format_of(letter).is_none() => Some(format!("`%{letter}`")),
            Escape::Malformed(text) => Some(format!("`{text}`")),
            _ => None,
        })
        .collect();
    unknown.sort();
    unknown.dedup();
    unknown
}

/// Whether a text has an escape.
pub(crate) fn has_escape(text: &str) -> bool {
    parts(text).any(|part| match part {
        Escape::Letter(letter) => letter == 't' || format_of(letter).is_some(),
        Escape::Header(_) | Escape::Host(_) => true,
        Escape::None(_) | Escape::Malformed(_) => false,
    })
}

/// The escape at the start of a text that begins with `%`, and what follows it.
fn split_escape(text: &str) -> (Escape<'_>, &str) {
    let inside = |open: char, close: char, more: &[char]| {
        let (word, rest) = text
            .strip_prefix('%')?
            .strip_prefix(open)?
            .split_once(close)?;
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || more.contains(&c);
        (!word.is_empty() && word.chars().all(fits)).then_some((word, rest))
    };
    let second = text.chars().nth(1);
    if let Some(letter) = second.filter(|&c| c.is_ascii_alphanumeric() || c == '_' || c == '%') {
        return (Escape::Letter(letter), &text[2..]);
    }
    if let Some((name, rest)) = inside('{', '}', &['.', '-']) {
        return (Escape::Header(name), rest);
    }
    if let Some((word, rest)) = inside('[', ']', &[]) {
        return (Escape::Host(word), rest);
    }
    if second.is_some_and(|c| c == '{' || c == '[') {
        let (text, rest) = text.split_at(2);
        return (Escape::Malformed(text), rest);
    }
    let (text, rest) = text.split_at(1);
    (Escape::None(text), rest)
}

/// A path as a file system wants it: no doubled slashes, and neither `.` nor `..`. In `Any` these mean what they mean
/// in a path; otherwise they are names, written so that they cannot be mistaken, behind the first `fixed` bytes, which
/// come from the configuration.
pub(crate) fn normal(path: &str, fixed: usize, values: HeaderValues) -> String {
    let mut components: Vec<&str> = vec![];
    let mut start = 0;
    for component in path.split('/') {
        let by_event = start + component.len() > fixed && values != HeaderValues::Any;
        start += component.len() + 1;
        match component {
            "" => {}
            "." if by_event => components.push("%2E"),
            ".." if by_event => components.push("%2E%2E"),
            "." => {}
            ".." => drop(components.pop()),
            name => components.push(name),
        }
    }
    format!("/{}", components.join("/"))
}

#[cfg(test)]
mod tests;

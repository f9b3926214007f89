//! The file of tests, in TOML.

use std::{collections::BTreeMap, ops::Range};

use flume_core::{Event, Str};
use flume_java::regex::JavaRegex;
use jiff::Timestamp;
use serde::Deserialize;
use toml::Spanned;

/// Larger files are no tests.
const MAX_FILE_BYTES: usize = 4 << 20;

/// Tests of one agent of a configuration.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestFile {
    /// Configuration files, seen from the directory of the tests; later ones win.
    pub config: Files,
    /// The agent; unset: the only one of the configuration.
    pub agent: Option<String>,
    /// When everything happens; unset: the beginning of 2026.
    pub time: Option<Timestamp>,
    /// The tests.
    #[serde(rename = "test", default)]
    pub tests: Vec<PipelineTest>,
}

/// One file or several.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Files {
    /// One.
    One(String),
    /// Several.
    Several(Vec<String>),
}

impl Files {
    /// Their names.
    pub fn names(&self) -> &[String] {
        match self {
            Files::One(name) => std::slice::from_ref(name),
            Files::Several(names) => names,
        }
    }
}

/// Some events, and what has to become of them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PipelineTest {
    /// What it shows.
    pub name: Spanned<String>,
    /// Where the events enter; unset: the only source.
    pub source: Option<String>,
    /// When; unset: as the file says.
    pub time: Option<Timestamp>,
    /// One batch.
    #[serde(default)]
    pub(crate) events: Vec<EventIn>,
    /// What reaches sinks, by name.
    #[serde(default)]
    pub(crate) sinks: BTreeMap<String, Expected>,
    /// What reaches channels, by name.
    #[serde(default)]
    pub(crate) channels: BTreeMap<String, Expected>,
    /// Whether channels that are not named here, nor drained by a sink that is, get nothing.
    #[serde(default)]
    pub(crate) nothing_elsewhere: bool,
    /// What the source is told when the batch is refused.
    pub(crate) refused: Option<Text>,
}

/// An event that a source hands in.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EventIn {
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: Option<String>,
    body_hex: Option<String>,
}

/// What arrives at a place.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expected {
    /// So many events.
    pub(crate) count: Option<usize>,
    /// These events, in this order, and no others.
    pub(crate) events: Option<Vec<EventOut>>,
    /// What the sink's serializer makes of all of them.
    pub(crate) bytes: Option<Text>,
    /// The same as digits.
    pub(crate) bytes_hex: Option<String>,
}

/// An event that arrives; what is not said is not looked at.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EventOut {
    /// These headers and no others.
    pub(crate) headers: Option<BTreeMap<String, Text>>,
    /// These headers, perhaps among others.
    #[serde(default)]
    pub(crate) has_headers: BTreeMap<String, Text>,
    /// None of these.
    #[serde(default)]
    pub(crate) lacks_headers: Vec<String>,
    pub(crate) body: Option<Text>,
    pub(crate) body_hex: Option<String>,
}

/// What a text has to be.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Text {
    /// This.
    Exact(String),
    /// Something with this in it.
    Contains(Contains),
    /// Something that a Java regular expression matches as a whole.
    Regex(Regex),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Contains {
    pub(crate) contains: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Regex {
    pub(crate) regex: String,
}

impl TestFile {
    /// Reads the text of a file; `name` is for messages.
    ///
    /// # Errors
    /// It is no such file: where, why, and what would be right.
    pub fn parse(name: &str, text: &str) -> Result<TestFile, String> {
        if text.len() > MAX_FILE_BYTES {
            return Err(format!("{name}: more than {MAX_FILE_BYTES} bytes"));
        }
        let file: TestFile = toml::from_str(text).map_err(|error| {
            let line = line_of(text, &error.span().unwrap_or_default());
            format!("{name}:{line}: {}", error.message())
        })?;
        if file.tests.is_empty() {
            return Err(format!("{name}: there is no test; begin one with [[test]]"));
        }
        for test in &file.tests {
            let line = line_of(text, &test.name.span());
            test.check()
                .map_err(|why| format!("{name}:{line}: test `{}`: {why}", test.name()))?;
        }
        Ok(file)
    }
}

/// The line that a place in a text is on, from 1.
pub(crate) fn line_of(text: &str, place: &Range<usize>) -> usize {
    let before = text.as_bytes().get(..place.start).unwrap_or_default();
    before.iter().filter(|byte| **byte == b'\n').count() + 1
}

impl PipelineTest {
    /// What it shows.
    pub fn name(&self) -> &str {
        self.name.get_ref()
    }

    /// A test that looks at nothing would always pass.
    fn check(&self) -> Result<(), String> {
        if self.events.is_empty() {
            return Err("`events` are missing: the events that the source hands in".into());
        }
        if self.sinks.is_empty()
            && self.channels.is_empty()
            && self.refused.is_none()
            && !self.nothing_elsewhere
        {
            return Err("it expects nothing; add [test.sinks.NAME], [test.channels.NAME], `refused` or `nothing_elsewhere`".into());
        }
        for event in &self.events {
            event.event()?;
        }
        if let Some(text) = &self.refused {
            text.check()?;
        }
        for (name, expected) in self.sinks.iter().chain(&self.channels) {
            expected.check().map_err(|why| format!("{name}: {why}"))?;
        }
        match self
            .channels
            .iter()
            .find(|(_, expected)| expected.has_bytes())
        {
            Some((name, _)) => Err(format!(
                "{name}: `bytes` are made by the serializer of a sink, and this is a channel"
            )),
            None => Ok(()),
        }
    }
}

impl EventIn {
    pub(crate) fn event(&self) -> Result<Event, String> {
        let body = match (&self.body, &self.body_hex) {
            (Some(_), Some(_)) => return Err("an event has `body` or `body_hex`, not both".into()),
            (Some(text), None) => text.clone().into_bytes(),
            (None, Some(digits)) => from_hex(digits)?,
            (None, None) => vec![],
        };
        let text = |text: &String| Str::from(text.as_str());
        let mut event = Event::from(body);
        event.headers = self
            .headers
            .iter()
            .map(|(name, value)| (text(name), text(value)))
            .collect();
        Ok(event)
    }
}

impl Expected {
    pub(crate) fn has_bytes(&self) -> bool {
        self.bytes.is_some() || self.bytes_hex.is_some()
    }

    fn check(&self) -> Result<(), String> {
        if self.count.is_none() && self.events.is_none() && !self.has_bytes() {
            return Err("it expects nothing; add `events`, `count` or `bytes`".into());
        }
        if let Some(text) = &self.bytes {
            text.check()?;
        }
        if let Some(digits) = &self.bytes_hex {
            from_hex(digits)?;
        }
        for event in self.events.iter().flatten() {
            let headers = event.headers.iter().flatten();
            let texts = headers.chain(&event.has_headers).map(|(_, text)| text);
            texts.chain(&event.body).try_for_each(Text::check)?;
            if let Some(digits) = &event.body_hex {
                from_hex(digits)?;
            }
        }
        Ok(())
    }
}

impl Text {
    fn check(&self) -> Result<(), String> {
        let Text::Regex(Regex { regex }) = self else {
            return Ok(());
        };
        let compiled = JavaRegex::whole(regex).map(drop);
        compiled.map_err(|why| format!("`{regex}` is not a regular expression: {why}"))
    }
}

/// Bytes from digits; blanks between them are for the reader.
pub(crate) fn from_hex(digits: &str) -> Result<Vec<u8>, String> {
    let digits: Vec<char> = digits.chars().filter(|c| !c.is_whitespace()).collect();
    let byte = |pair: &[char]| -> Option<u8> {
        let [high, low] = pair else { return None };
        u8::try_from(high.to_digit(16)? * 16 + low.to_digit(16)?).ok()
    };
    let bytes = digits.chunks(2).map(byte).collect::<Option<Vec<u8>>>();
    bytes.ok_or_else(|| "hexadecimal digits come in pairs, such as `0a ff`".into())
}

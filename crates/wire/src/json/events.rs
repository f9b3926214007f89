//! Flume's form of an event: `{"headers": {"name": "value"}, "body": "text"}`.

use std::borrow::Cow;

use bytes::Bytes;
use flume_core::{Event, Headers, Str};

use super::reader::{JsonReader, JsonToken};
use crate::MAX_MESSAGE_PARTS;

/// Why a document gives no events.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// It is not JSON, or not of Flume's form: the sender's mistake.
    #[error("{0}")]
    Syntax(String),
    /// Java Flume fails over it, and does not blame the sender.
    #[error("{0}")]
    Unreadable(String),
}

/// How bodies are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonCharset {
    /// UTF-8.
    Utf8,
    /// UTF-16, big endian behind a byte order mark.
    Utf16,
    /// UTF-32, big endian without a mark.
    Utf32,
}

impl JsonCharset {
    /// What Java writes for a half of a surrogate pair.
    fn lone(self) -> char {
        match self {
            JsonCharset::Utf8 => '?',
            JsonCharset::Utf16 | JsonCharset::Utf32 => char::REPLACEMENT_CHARACTER,
        }
    }

    fn encode(self, text: &str) -> Bytes {
        let utf16 = || text.encode_utf16().flat_map(u16::to_be_bytes);
        match self {
            JsonCharset::Utf8 => Bytes::copy_from_slice(text.as_bytes()),
            JsonCharset::Utf16 if text.is_empty() => Bytes::new(),
            JsonCharset::Utf16 => [0xFE, 0xFF].into_iter().chain(utf16()).collect(),
            JsonCharset::Utf32 => text
                .chars()
                .flat_map(|c| u32::from(c).to_be_bytes())
                .collect(),
        }
    }
}

/// The events of an array.
///
/// # Errors
/// See [`JsonError`]. There are no events then.
pub fn events(text: &str, charset: JsonCharset) -> Result<Vec<Event>, JsonError> {
    let mut reader = EventReader::new(text, charset);
    if !reader.json.begin()? {
        return Err(JsonError::Unreadable("there is no JSON at all".into()));
    }
    match reader.json.next()? {
        JsonToken::BeginArray => {}
        JsonToken::Null => {
            let text = "expected an array of events, found `null`";
            return Err(JsonError::Unreadable(text.into()));
        }
        _ => return Err(reader.json.wrong("expected an array of events")),
    }
    let mut events = vec![];
    let mut nulls = 0usize;
    loop {
        match reader.json.next()? {
            JsonToken::EndArray => break,
            JsonToken::Null => nulls += 1,
            JsonToken::BeginObject => events.push(reader.event()?),
            _ => return Err(reader.json.wrong("expected an event, which is an object")),
        }
        reader.count_part()?;
    }
    reader.json.end()?;
    if nulls > 0 {
        let text = "an event is `null`; a comma without an event before or behind it counts as one";
        return Err(JsonError::Unreadable(text.into()));
    }
    Ok(events)
}

/// The event of a line that is one object.
///
/// # Errors
/// See [`JsonError`]. Unlike in an array, an object with neither `headers` nor `body` is an error.
pub fn event_of_line(text: &str, charset: JsonCharset) -> Result<Event, JsonError> {
    let mut reader = EventReader::new(text, charset);
    if !reader.json.begin()? || reader.json.next()? != JsonToken::BeginObject {
        return Err(JsonError::Syntax(
            "expected an event, which is an object".into(),
        ));
    }
    let event = reader.event()?;
    reader.json.end()?;
    if !reader.has_members {
        let text = "the object has neither `headers` nor `body`";
        return Err(JsonError::Syntax(text.into()));
    }
    Ok(event)
}

struct EventReader<'a> {
    json: JsonReader<'a>,
    charset: JsonCharset,
    parts: usize,
    has_members: bool,
    /// The headers that were read last, as they were written: those of the next event are often the same.
    last: (&'a str, Headers),
}

impl<'a> EventReader<'a> {
    fn new(text: &'a str, charset: JsonCharset) -> Self {
        EventReader {
            json: JsonReader::new(text, charset.lone()),
            charset,
            parts: 0,
            has_members: false,
            last: ("", Headers::default()),
        }
    }

    /// The rest of an object. Of members with the same name the last counts, others are ignored.
    fn event(&mut self) -> Result<Event, JsonError> {
        let mut event = Event::default();
        loop {
            match self.json.next()? {
                JsonToken::Name(name) if name == "headers" => event.headers = self.headers()?,
                JsonToken::Name(name) if name == "body" => event.body = self.body()?,
                JsonToken::Name(_) => {
                    self.json.skip_value()?;
                    continue;
                }
                _ => return Ok(event),
            }
            self.has_members = true;
        }
    }

    fn body(&mut self) -> Result<Bytes, JsonError> {
        match self.json.next()? {
            JsonToken::Null => Ok(Bytes::new()),
            JsonToken::Text(text) => Ok(self.charset.encode(&text)),
            _ => Err(self.json.wrong("`body` must be a string")),
        }
    }

    fn headers(&mut self) -> Result<Headers, JsonError> {
        let (written, headers) = &self.last;
        if !written.is_empty() && self.json.skip_same(written) {
            return Ok(headers.clone());
        }
        let start = self.json.value_start();
        let pairs = match self.json.next()? {
            JsonToken::Null => return Ok(Headers::default()),
            JsonToken::BeginObject => self.members()?,
            JsonToken::BeginArray => self.pairs()?,
            _ => return Err(self.json.wrong("`headers` must be an object")),
        };
        let headers = self.collected(pairs)?;
        self.last = (self.json.read_from(start), headers.clone());
        Ok(headers)
    }

    /// `{"name": "value"}`, its opening brace read.
    fn members(&mut self) -> Result<HeaderPairs<'a>, JsonError> {
        let mut pairs = vec![];
        while let JsonToken::Name(name) = self.json.next()? {
            let value = self.text()?;
            self.count_part()?;
            pairs.push((name, value));
        }
        Ok(pairs)
    }

    /// `[["name", "value"]]`, its opening bracket read.
    fn pairs(&mut self) -> Result<HeaderPairs<'a>, JsonError> {
        let mut pairs = vec![];
        loop {
            match self.json.next()? {
                JsonToken::EndArray => return Ok(pairs),
                JsonToken::BeginArray => {}
                _ => {
                    return Err(self
                        .json
                        .wrong("expected a header: an array of name and value"));
                }
            }
            let name = self.text()?;
            let value = self.text()?;
            if self.json.next()? != JsonToken::EndArray {
                return Err(self
                    .json
                    .wrong("a header has a name and a value, and nothing else"));
            }
            self.count_part()?;
            pairs.extend(name.map(|name| (name, value)));
        }
    }

    fn text(&mut self) -> Result<Option<Cow<'a, str>>, JsonError> {
        match self.json.next()? {
            JsonToken::Null => Ok(None),
            JsonToken::Text(text) => Ok(Some(text)),
            _ => Err(self.json.wrong("a header must be a string")),
        }
    }

    /// A header without a name or a value is left out: nothing behind a source could read it. A name that has a value
    /// must not come again.
    fn collected(&self, mut pairs: HeaderPairs<'a>) -> Result<Headers, JsonError> {
        pairs.sort_by(|a, b| a.0.cmp(&b.0));
        let is_twice = |pair: &[HeaderPair<'a>]| pair[0].0 == pair[1].0 && pair[0].1.is_some();
        if pairs.windows(2).any(is_twice) {
            return Err(self.json.wrong("a header is there twice"));
        }
        let text = |text: Cow<'a, str>| Str::from(&*text);
        let set = pairs
            .into_iter()
            .filter_map(|(name, value)| Some((text(name), text(value?))));
        Ok(set.collect())
    }

    fn count_part(&mut self) -> Result<(), JsonError> {
        self.parts += 1;
        if self.parts > MAX_MESSAGE_PARTS {
            let text = format!("there are more than {MAX_MESSAGE_PARTS} events and headers");
            return Err(JsonError::Syntax(text));
        }
        Ok(())
    }
}

/// A header as it was read; `null` is no value.
type HeaderPair<'a> = (Cow<'a, str>, Option<Cow<'a, str>>);
type HeaderPairs<'a> = Vec<HeaderPair<'a>>;

#[cfg(test)]
mod tests;

//! `JSONHandler`: an array of events in JSON, or an event a line.

use std::borrow::Cow;

use flume_core::{
    BuildError, Component, Config, Context, Event, HandlerError, HttpHandler, HttpMessage,
};
use flume_java::charset::Charset;
use flume_wire::json::{JsonCharset, JsonError, event_of_line, events};

/// Reads `[{"headers": {"name": "value"}, "body": "text"}, …]`, as tolerantly as Flume. With a content type of
/// `application/x-ndjson` each line is such an object.
#[derive(Clone, Config)]
pub(crate) struct JsonConfig {}

pub(crate) struct JsonHandler;

/// Content types that say that each line is a document.
const LINE_TYPES: [&str; 4] = [
    "application/x-ndjson",
    "application/ndjson",
    "application/jsonl",
    "application/x-jsonlines",
];
/// Content types that are UTF-8 when they name no character set.
const UTF8_TYPES: [&str; 2] = ["application/json", "text/json"];

impl Component for JsonHandler {
    type Config = JsonConfig;
    fn build(_: JsonConfig, _: &Context) -> Result<Self, BuildError> {
        Ok(JsonHandler)
    }
}

impl HttpHandler for JsonHandler {
    fn events(&self, request: &HttpMessage<'_>) -> Result<Vec<Event>, HandlerError> {
        let content = ContentType::of(request.content_type);
        let lines = LINE_TYPES.contains(&content.kind.as_str());
        let (text, charset) = content.text(request.body, lines)?;
        if !lines || text.trim_start().starts_with('[') {
            return events(&text, charset).map_err(refusal);
        }
        let mut found = vec![];
        for (at, line) in text.lines().enumerate() {
            if line.trim().is_empty() {
                continue;
            }
            let event = event_of_line(line, charset)
                .map_err(|error| HandlerError::BadRequest(format!("line {}: {error}", at + 1)))?;
            found.push(event);
        }
        Ok(found)
    }
}

fn refusal(error: JsonError) -> HandlerError {
    match error {
        JsonError::Syntax(text) => {
            HandlerError::BadRequest(format!("the request has invalid JSON syntax: {text}"))
        }
        JsonError::Unreadable(text) => HandlerError::Failed(text),
    }
}

/// The value of `Content-Type`, taken apart.
struct ContentType {
    /// In lower case, without parameters.
    kind: String,
    charset: Option<String>,
}

impl ContentType {
    fn of(value: Option<&str>) -> Self {
        let mut parts = value.unwrap_or_default().split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
        let charset = parts.find_map(|part| {
            let (name, value) = part.split_once('=')?;
            let is_charset = name.trim().eq_ignore_ascii_case("charset");
            is_charset.then(|| value.trim().trim_matches('"').to_ascii_lowercase())
        });
        ContentType { kind, charset }
    }

    /// The text of a body, and the character set in which the bodies of its events are written.
    fn text<'b>(
        &self,
        body: &'b [u8],
        lines: bool,
    ) -> Result<(Cow<'b, str>, JsonCharset), HandlerError> {
        let utf8 = lines || UTF8_TYPES.contains(&self.kind.as_str());
        match self.charset.as_deref() {
            Some("utf-8" | "utf8") => Ok((String::from_utf8_lossy(body), JsonCharset::Utf8)),
            None if utf8 => Ok((String::from_utf8_lossy(body), JsonCharset::Utf8)),
            // A server that is told nothing reads ISO-8859-1. Flume writes what it read as UTF-8.
            None if body.is_ascii() => Ok((String::from_utf8_lossy(body), JsonCharset::Utf8)),
            None => Ok((Charset::Latin1.decode_lossy(body).into(), JsonCharset::Utf8)),
            Some("utf-16") => Ok((Charset::Utf16.decode_lossy(body).into(), JsonCharset::Utf16)),
            Some("utf-32") => Ok((utf32(body).into(), JsonCharset::Utf32)),
            Some(other) => {
                let text =
                    format!("JSON handler supports UTF-8, UTF-16 and UTF-32 only, not `{other}`");
                Err(HandlerError::Failed(text))
            }
        }
    }
}

/// UTF-32: big endian unless a byte order mark says otherwise.
fn utf32(body: &[u8]) -> String {
    let little = body.starts_with(&[0xFF, 0xFE, 0, 0]);
    let mut units = body.chunks(4).map(|unit| {
        let bytes = unit.try_into().ok()?;
        let code = if little {
            u32::from_le_bytes(bytes)
        } else {
            u32::from_be_bytes(bytes)
        };
        char::from_u32(code)
    });
    let first = units.next().filter(|first| *first != Some('\u{feff}'));
    let all = first.into_iter().chain(units);
    all.map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bodies of the events in hexadecimal, or what is wrong.
    fn check(content_type: &str, body: &[u8], expected: Result<&[&[u8]], &str>) {
        let body = bytes::Bytes::copy_from_slice(body);
        let request = HttpMessage {
            content_type: (!content_type.is_empty()).then_some(content_type),
            query: "",
            body: &body,
        };
        let events = JsonHandler.events(&request);
        match (&events, expected) {
            (Ok(events), Ok(bodies)) => {
                let found: Vec<_> = events.iter().map(|event| &event.body[..]).collect();
                assert_eq!(found, bodies, "{content_type}");
            }
            (Err(error), Err(text)) => {
                let error = format!("{error:?}");
                assert!(error.contains(text), "{content_type}: {error}");
            }
            _ => panic!("{content_type}: {events:?}, and not {expected:?}"),
        }
    }

    #[test]
    fn the_character_set_is_the_one_of_the_content_type() {
        let text = r#"[{"body":"hé"}]"#;
        let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        let utf32: Vec<u8> = text
            .chars()
            .flat_map(|c| u32::from(c).to_be_bytes())
            .collect();
        let marked: Vec<u8> = [0xFF, 0xFE]
            .into_iter()
            .chain(text.encode_utf16().flat_map(u16::to_le_bytes))
            .collect();
        let little: Vec<u8> = "\u{feff}[{'body':'h'}]"
            .chars()
            .flat_map(|c| u32::from(c).to_le_bytes())
            .collect();
        let utf8: &[u8] = "hé".as_bytes();
        for content_type in [
            "application/json",
            "text/json",
            "application/json; charset=UTF-8",
            "text/plain;charset=\"utf-8\"",
        ] {
            check(content_type, text.as_bytes(), Ok(&[utf8]));
        }
        for content_type in ["", "text/plain", "application/x-www-form-urlencoded"] {
            check(content_type, text.as_bytes(), Ok(&["hÃ©".as_bytes()]));
        }
        let big: &[u8] = &[0xFE, 0xFF, 0, b'h', 0, 0xE9];
        check("application/json; charset=utf-16", &utf16, Ok(&[big]));
        check("application/json; charset=UTF-16", &marked, Ok(&[big]));
        let wide: &[u8] = &[0, 0, 0, b'h', 0, 0, 0, 0xE9];
        check("application/json; charset=utf-32", &utf32, Ok(&[wide]));
        check("a/b; charset=utf-32", &little, Ok(&[&[0, 0, 0, b'h']]));
        check(
            "application/json; charset=latin1",
            b"[]",
            Err("Failed(\"JSON handler supports"),
        );
    }

    #[test]
    fn mistakes_are_the_clients_where_flume_says_so() {
        check(
            "application/json",
            b"{",
            Err("BadRequest(\"the request has invalid JSON syntax"),
        );
        check("application/json", b"", Err("Failed"));
        check("application/json", b"[{},]", Err("Failed"));
        check("application/json", b"[]", Ok(&[]));
    }

    #[test]
    fn a_line_is_an_event() {
        let body = b"{\"body\":\"a\"}\r\n\n{\"body\":\"b\",\"headers\":{}}";
        check("application/x-ndjson", body, Ok(&[b"a", b"b"]));
        check("application/x-ndjson", b"", Ok(&[]));
        check("application/x-ndjson", b" [{\"body\":\"a\"}]", Ok(&[b"a"]));
        check(
            "application/x-ndjson",
            b"{\"body\":\"a\"}\n{\n",
            Err("BadRequest(\"line 2: "),
        );
    }
}

//! What arrived, compared with what was expected; a difference is a few lines for a person.

use std::collections::BTreeMap;

use flume_core::Event;
use flume_java::regex::JavaRegex;

use crate::file::{Contains, EventOut, Expected, Regex, Text, from_hex};

/// Longer texts are cut in a difference.
const SHOWN_CHARS: usize = 200;

impl Expected {
    /// Every difference, each with `place` before it; `bytes` are what the serializer made.
    pub(crate) fn differences(
        &self,
        place: &str,
        events: &[Event],
        bytes: Option<&[u8]>,
    ) -> Vec<String> {
        let mut found = vec![];
        if let Some(count) = self.count.filter(|count| *count != events.len()) {
            found.push(format!(
                "{place}: expected {count} events, got {}",
                events.len()
            ));
        }
        if let Some(expected) = &self.events {
            compare_all(&mut found, place, expected, events);
        }
        let Some(bytes) = bytes else { return found };
        if let Some(text) = &self.bytes
            && !text.fits(bytes)
        {
            found.push(difference(
                &format!("{place}: bytes"),
                &text.shown(),
                &shown(bytes),
            ));
        }
        if let Some(digits) = &self.bytes_hex
            && from_hex(digits).as_deref() != Ok(bytes)
        {
            found.push(difference(
                &format!("{place}: bytes"),
                digits,
                &to_hex(bytes),
            ));
        }
        found
    }
}

fn compare_all(found: &mut Vec<String>, place: &str, expected: &[EventOut], events: &[Event]) {
    for (at, (expected, event)) in expected.iter().zip(events).enumerate() {
        let place = format!("{place}: event {}", at + 1);
        found.extend(expected.differences(&place, event));
    }
    let all = expected.len();
    for (at, event) in events.iter().enumerate().skip(all) {
        found.push(format!(
            "{place}: event {} was not expected: {}",
            at + 1,
            whole(event)
        ));
    }
    if all > events.len() {
        found.push(format!(
            "{place}: expected {all} events, got {}",
            events.len()
        ));
    }
}

impl EventOut {
    fn differences(&self, place: &str, event: &Event) -> Vec<String> {
        let mut found = vec![];
        let is = |name: &str| event.headers.get(name).map(|value| value.to_string());
        let mut header = |name: &str, text: &Text| {
            let value = is(name);
            if !value
                .as_ref()
                .is_some_and(|value| text.fits(value.as_bytes()))
            {
                let got = value.map_or("no such header".into(), |value| shown(value.as_bytes()));
                found.push(difference(
                    &format!("{place}: header `{name}`"),
                    &text.shown(),
                    &got,
                ));
            }
        };
        for (name, text) in self.headers.iter().flatten().chain(&self.has_headers) {
            header(name, text);
        }
        if let Some(only) = &self.headers {
            for (name, value) in event
                .headers
                .iter()
                .filter(|(name, _)| !only.contains_key(&***name))
            {
                found.push(difference(
                    &format!("{place}: header `{name}`"),
                    "no such header",
                    &shown(value.as_bytes()),
                ));
            }
        }
        for name in self.lacks_headers.iter().filter(|name| is(name).is_some()) {
            let got = is(name).unwrap_or_default();
            found.push(difference(
                &format!("{place}: header `{name}`"),
                "no such header",
                &shown(got.as_bytes()),
            ));
        }
        if let Some(text) = self.body.as_ref().filter(|text| !text.fits(&event.body)) {
            found.push(difference(
                &format!("{place}: body"),
                &text.shown(),
                &shown(&event.body),
            ));
        }
        if let Some(digits) = &self.body_hex
            && from_hex(digits).as_deref() != Ok(&event.body)
        {
            found.push(difference(
                &format!("{place}: body"),
                digits,
                &to_hex(&event.body),
            ));
        }
        found
    }
}

impl Text {
    pub(crate) fn fits(&self, found: &[u8]) -> bool {
        match self {
            Text::Exact(text) => text.as_bytes() == found,
            Text::Contains(Contains { contains }) => {
                contains.is_empty()
                    || found
                        .windows(contains.len())
                        .any(|part| part == contains.as_bytes())
            }
            Text::Regex(Regex { regex }) => {
                let regex = JavaRegex::whole(regex);
                let text = String::from_utf8_lossy(found);
                regex.is_ok_and(|regex| regex.is_found(&text).unwrap_or(false))
            }
        }
    }

    pub(crate) fn shown(&self) -> String {
        match self {
            Text::Exact(text) => shown(text.as_bytes()),
            Text::Contains(Contains { contains }) => {
                format!("something with {}", shown(contains.as_bytes()))
            }
            Text::Regex(Regex { regex }) => format!("a match of {}", shown(regex.as_bytes())),
        }
    }
}

fn difference(place: &str, expected: &str, got: &str) -> String {
    format!("{place}\n    expected {expected}\n    got      {got}")
}

/// Quoted, with what a terminal would obey as escapes; digits if it is no text.
fn shown(bytes: &[u8]) -> String {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return to_hex(bytes);
    };
    let cut: String = text.chars().take(SHOWN_CHARS).collect();
    let more = if cut.len() < text.len() {
        format!(" and {} bytes more", text.len() - cut.len())
    } else {
        String::new()
    };
    format!("{cut:?}{more}")
}

fn to_hex(bytes: &[u8]) -> String {
    let digits: Vec<_> = bytes
        .iter()
        .take(SHOWN_CHARS)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let more = bytes.len().saturating_sub(SHOWN_CHARS);
    let more = if more > 0 {
        format!(" and {more} bytes more")
    } else {
        String::new()
    };
    format!("{}{more}", digits.join(" "))
}

fn whole(event: &Event) -> String {
    let headers: BTreeMap<_, _> = event
        .headers
        .iter()
        .map(|(name, value)| (&**name, &**value))
        .collect();
    format!("{headers:?} {}", shown(&event.body))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(toml: &str) -> Text {
        #[derive(serde::Deserialize)]
        struct One {
            it: Text,
        }
        toml::from_str::<One>(&format!("it = {toml}")).unwrap().it
    }

    #[test]
    fn texts_fit_exactly_in_part_or_by_a_pattern() {
        for (wanted, found, fits) in [
            ("\"ab\"", "ab", true),
            ("\"ab\"", "abc", false),
            ("{ contains = \"b\" }", "abc", true),
            ("{ contains = \"\" }", "", true),
            ("{ contains = \"x\" }", "abc", false),
            ("{ regex = '\\d+' }", "123", true),
            ("{ regex = '\\d+' }", "123a", false),
        ] {
            assert_eq!(
                text(wanted).fits(found.as_bytes()),
                fits,
                "{wanted} {found}"
            );
        }
    }

    #[test]
    fn digits_and_texts_are_shown_so_that_they_can_be_read() {
        assert_eq!(shown(b"a\x1b\n"), r#""a\u{1b}\n""#);
        assert_eq!(shown(b"\xff\x00"), "ff 00");
        assert_eq!(from_hex("0A ff\n").unwrap(), [10, 255]);
        assert!(from_hex("0").is_err() && from_hex("é0").is_err());
    }
}

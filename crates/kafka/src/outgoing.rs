//! From an event to a record: topic, partition, key, value, headers, time. What the sink and the channel share.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use flume_core::Event;
use flume_wire::avro::write_event;
use rdkafka::message::{Header, OwnedHeaders};

use crate::{publisher::OutgoingRecord, record::KEY_HEADER};

/// A topic with `%{header}` in it.
pub(crate) struct TopicTemplate(Vec<TopicPart>);

enum TopicPart {
    Text(String),
    Header(String),
}

impl TopicTemplate {
    /// A text without escapes.
    pub(crate) fn plain(text: &str) -> Self {
        TopicTemplate(vec![TopicPart::Text(text.into())])
    }

    /// `Err` says what is wrong with the text.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = vec![];
        let mut rest = text;
        while let Some(at) = rest.find('%') {
            parts.push(TopicPart::Text(rest[..at].into()));
            let escape = &rest[at..];
            let name = escape
                .strip_prefix("%{")
                .and_then(|inner| inner.split_once('}'));
            let Some((name, after)) = name else {
                let escape: String = escape.chars().take(2).collect();
                return Err(format!(
                    "`{escape}` cannot be expanded here, only `%{{header}}` can"
                ));
            };
            parts.push(TopicPart::Header(name.into()));
            rest = after;
        }
        parts.push(TopicPart::Text(rest.into()));
        Ok(TopicTemplate(parts))
    }

    /// The topic of an event; nothing stands in the place of a header that it does not have.
    pub(crate) fn expand<'a>(&'a self, event: &Event, out: &'a mut String) -> &'a str {
        if let [TopicPart::Text(text)] = &self.0[..] {
            return text;
        }
        out.clear();
        for part in &self.0 {
            match part {
                TopicPart::Text(text) => out.push_str(text),
                TopicPart::Header(name) => {
                    out.push_str(event.headers.get(name).map_or("", |value| value))
                }
            }
        }
        out
    }
}

/// Where in its topic a record goes.
pub(crate) struct Placement {
    default: Option<i32>,
    header: Option<String>,
}

impl Placement {
    pub(crate) fn new(default: Option<i32>, header: Option<&str>) -> Result<Self, String> {
        match default {
            Some(number) if number < 0 => Err("expected a number from 0".into()),
            _ => Ok(Placement {
                default,
                header: header.map(String::from),
            }),
        }
    }

    /// `None`: by the key.
    pub(crate) fn of(&self, event: &Event) -> Result<Option<i32>, String> {
        let Some((name, text)) = self
            .header
            .as_ref()
            .and_then(|name| Some((name, event.headers.get(name)?)))
        else {
            return Ok(self.default);
        };
        let number = text.parse().ok().filter(|number| *number >= 0);
        number.map(Some).ok_or_else(|| {
            format!("its header `{name}` is not the number of a partition: `{text}`")
        })
    }
}

/// What a record is made of.
pub(crate) struct RecordForm {
    flume_format: bool,
    /// Headers of the record by headers of the event.
    headers: Vec<(String, String)>,
    timestamp_header: Option<String>,
    /// Whether a time that is none was complained of.
    complained: AtomicBool,
}

impl RecordForm {
    pub(crate) fn new(
        flume_format: bool,
        headers: &BTreeMap<String, String>,
        timestamp: Option<&str>,
    ) -> Self {
        let headers = headers
            .iter()
            .map(|(event, record)| (event.clone(), record.clone()));
        RecordForm {
            flume_format,
            headers: headers.collect(),
            timestamp_header: timestamp.map(String::from),
            complained: AtomicBool::new(false),
        }
    }

    /// All but topic and partition; `value` is room for the value.
    pub(crate) fn record<'a>(
        &self,
        event: &'a Event,
        value: &'a mut Vec<u8>,
    ) -> OutgoingRecord<'a> {
        let key = event.headers.get(KEY_HEADER).map(|key| &key.as_bytes()[..]);
        let headers = self.headers_of(event);
        let timestamp = self.timestamp_of(event);
        let value: &[u8] = if self.flume_format {
            value.clear();
            write_event(event, value);
            value
        } else {
            &event.body
        };
        OutgoingRecord {
            key,
            value: Some(value),
            headers,
            timestamp,
            ..OutgoingRecord::default()
        }
    }

    fn headers_of(&self, event: &Event) -> Option<OwnedHeaders> {
        let mut headers = None;
        for (name, record) in &self.headers {
            if let Some(value) = event.headers.get(name) {
                let so_far = headers.take().unwrap_or_else(OwnedHeaders::new);
                headers = Some(so_far.insert(Header {
                    key: record,
                    value: Some(&**value),
                }));
            }
        }
        headers
    }

    /// A time that is none counts as now, as in Flume; it is said once.
    fn timestamp_of(&self, event: &Event) -> Option<i64> {
        let name = self.timestamp_header.as_ref()?;
        let text = event.headers.get(name)?;
        let time = text.parse().ok().filter(|time| *time >= 0);
        if time.is_none() && !self.complained.swap(true, Relaxed) {
            tracing::warn!(
                "the header `{name}` of an event is not a time in milliseconds: `{text}`; the record has the present time"
            );
        }
        time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(pairs: &[(&'static str, &'static str)], body: &'static str) -> Event {
        let headers = pairs
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()));
        Event {
            headers: headers.collect(),
            body: body.into(),
        }
    }

    #[test]
    fn topics_are_expanded_from_headers() {
        let event = event(&[("a", "1"), ("b", "2")], "");
        for (text, expected) in [("t", "t"), ("t-%{a}-%{b}x", "t-1-2x"), ("%{no}t", "t")] {
            let template = TopicTemplate::parse(text).unwrap();
            assert_eq!(template.expand(&event, &mut String::new()), expected);
        }
        for wrong in ["%Y", "t%", "%{a"] {
            assert!(TopicTemplate::parse(wrong).is_err(), "{wrong}");
        }
        assert_eq!(
            TopicTemplate::plain("%{a}").expand(&event, &mut String::new()),
            "%{a}"
        );
    }

    #[test]
    fn a_header_names_the_partition() {
        let placement = Placement::new(Some(3), Some("p")).unwrap();
        assert_eq!(placement.of(&event(&[], "")), Ok(Some(3)));
        assert_eq!(placement.of(&event(&[("p", "7")], "")), Ok(Some(7)));
        for wrong in ["", "x", "-1", "1.0"] {
            assert!(
                placement.of(&event(&[("p", wrong)], "")).is_err(),
                "{wrong}"
            );
        }
        assert!(Placement::new(Some(-1), None).is_err());
    }

    /// As Flume 1.11 was seen to write it.
    #[test]
    fn a_raw_record_has_mapped_headers_key_and_time() {
        let mapped = BTreeMap::from([("a".to_string(), "kafka-a".to_string())]);
        let form = RecordForm::new(false, &mapped, Some("timestamp"));
        let event = event(
            &[("a", "ä"), ("key", "k1"), ("timestamp", "1700000000123")],
            "wörld",
        );
        let mut room = vec![];
        let record = form.record(&event, &mut room);
        assert_eq!(
            (record.key, record.value),
            (Some(&b"k1"[..]), Some("wörld".as_bytes()))
        );
        assert_eq!(record.timestamp, Some(1_700_000_000_123));
        let headers = record.headers.unwrap();
        let first = rdkafka::message::Headers::get(&headers, 0);
        assert_eq!((first.key, first.value), ("kafka-a", Some("ä".as_bytes())));
    }

    #[test]
    fn a_time_that_is_none_and_no_body_are_no_obstacle() {
        let form = RecordForm::new(false, &BTreeMap::new(), Some("timestamp"));
        let event = event(&[("timestamp", "nan")], "");
        let mut room = vec![];
        let record = form.record(&event, &mut room);
        assert_eq!((record.timestamp, record.value), (None, Some(&b""[..])));
        assert!(record.headers.is_none() && record.key.is_none());
    }
}

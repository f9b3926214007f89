//! OTLP in JSON: protobuf's mapping, with identifiers in hex.

use std::{
    borrow::Cow,
    fmt::{self, Display},
    str::FromStr,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use flume_core::Str;
use serde::{
    Deserialize, Deserializer,
    de::{self, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{Events, MAX_DEPTH, OtlpError, Record, ScopeFacts, Value};
use crate::MAX_MESSAGE_PARTS;

/// Characters of a wrong text that an error shows.
const SHOWN_CHARS: usize = 40;

/// A part that is read when its turn comes.
type Raw<'a> = &'a RawValue;

/// The elements of an array, not more than a request may have.
#[derive(Default)]
struct Parts<'a>(Vec<Raw<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for Parts<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(PartsVisitor).map(Parts)
    }
}

struct PartsVisitor;

impl<'de> Visitor<'de> for PartsVisitor {
    type Value = Vec<Raw<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let mut parts = vec![];
        while let Some(part) = elements.next_element()? {
            if parts.len() == MAX_MESSAGE_PARTS {
                return Err(de::Error::custom(OtlpError::TooMany));
            }
            parts.push(part);
        }
        Ok(parts)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    #[serde(borrow)]
    resource_logs: Option<Parts<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResourceLogs<'a> {
    #[serde(borrow)]
    resource: Option<Attributed<'a>>,
    #[serde(borrow)]
    scope_logs: Option<Parts<'a>>,
}

/// A resource or a scope.
#[derive(Default, Deserialize)]
struct Attributed<'a> {
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    attributes: Option<Parts<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ScopeLogs<'a> {
    #[serde(borrow)]
    scope: Option<Attributed<'a>>,
    #[serde(borrow)]
    log_records: Option<Parts<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogRecord<'a> {
    #[serde(borrow)]
    time_unix_nano: Option<Raw<'a>>,
    #[serde(borrow)]
    observed_time_unix_nano: Option<Raw<'a>>,
    #[serde(borrow)]
    severity_number: Option<Raw<'a>>,
    #[serde(borrow)]
    severity_text: Option<Cow<'a, str>>,
    #[serde(borrow)]
    body: Option<Raw<'a>>,
    #[serde(borrow)]
    attributes: Option<Parts<'a>>,
    #[serde(borrow)]
    trace_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    span_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    event_name: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct KeyValue<'a> {
    #[serde(borrow)]
    key: Option<Cow<'a, str>>,
    #[serde(borrow)]
    value: Option<Raw<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AnyValue<'a> {
    string_value: Option<String>,
    bool_value: Option<bool>,
    #[serde(borrow)]
    int_value: Option<Raw<'a>>,
    #[serde(borrow)]
    double_value: Option<Raw<'a>>,
    #[serde(borrow)]
    array_value: Option<Elements<'a>>,
    #[serde(borrow)]
    kvlist_value: Option<Elements<'a>>,
    bytes_value: Option<String>,
}

#[derive(Deserialize)]
struct Elements<'a> {
    #[serde(borrow)]
    values: Option<Parts<'a>>,
}

impl<'a> Elements<'a> {
    fn each(self) -> impl Iterator<Item = Raw<'a>> {
        self.values.unwrap_or_default().0.into_iter()
    }
}

fn broken(error: impl Display) -> OtlpError {
    OtlpError::Broken(format!("expected OTLP as JSON: {error}"))
}

fn parse<'a, T: Deserialize<'a>>(raw: Raw<'a>) -> Result<T, OtlpError> {
    serde_json::from_str(raw.get()).map_err(broken)
}

pub(super) fn read(request: &[u8], events: &mut Events) -> Result<(), OtlpError> {
    let request: Request<'_> = serde_json::from_slice(request).map_err(broken)?;
    for raw in request.resource_logs.unwrap_or_default().0 {
        events.count(1)?;
        let resource_logs: ResourceLogs<'_> = parse(raw)?;
        let mut origin = ScopeFacts::default();
        let resource = resource_logs.resource.unwrap_or_default();
        origin.add(pairs(resource.attributes, events)?);
        for raw in resource_logs.scope_logs.unwrap_or_default().0 {
            // A scope without records has the attributes of its resource, too.
            events.count(1 + origin.attributes.len())?;
            read_scope_logs(parse(raw)?, origin.clone(), events)?;
        }
    }
    Ok(())
}

fn read_scope_logs(
    scope_logs: ScopeLogs<'_>,
    mut origin: ScopeFacts,
    events: &mut Events,
) -> Result<(), OtlpError> {
    let scope = scope_logs.scope.unwrap_or_default();
    origin.scope_name = text(scope.name);
    origin.add(pairs(scope.attributes, events)?);
    for raw in scope_logs.log_records.unwrap_or_default().0 {
        let record = record(parse(raw)?, events)?;
        events.add(record, &origin)?;
    }
    Ok(())
}

fn record(record: LogRecord<'_>, events: &mut Events) -> Result<Record, OtlpError> {
    Ok(Record {
        time_nanos: number(record.time_unix_nano)?,
        observed_nanos: number(record.observed_time_unix_nano)?,
        severity_number: number(record.severity_number)?,
        severity_text: text(record.severity_text),
        body: record
            .body
            .map(|raw| value(raw, events, 0))
            .transpose()?
            .unwrap_or_default(),
        attributes: pairs(record.attributes, events)?,
        trace_id: record.trace_id.unwrap_or_default().to_ascii_lowercase(),
        span_id: record.span_id.unwrap_or_default().to_ascii_lowercase(),
        event_name: text(record.event_name),
    })
}

fn text(text: Option<Cow<'_, str>>) -> Str {
    text.unwrap_or_default().into_owned().into()
}

/// Numbers of 64 bits are strings, and some senders write them as numbers.
fn number<N: Default + FromStr<Err: Display>>(raw: Option<Raw<'_>>) -> Result<N, OtlpError> {
    let Some(raw) = raw else {
        return Ok(N::default());
    };
    let digits = raw.get().trim_matches('"');
    let shown: String = digits.chars().take(SHOWN_CHARS).collect();
    let found = |error| broken(format!("expected a number, found {shown}: {error}"));
    digits.parse().map_err(found)
}

fn pairs(raw: Option<Parts<'_>>, events: &mut Events) -> Result<Vec<(Str, Value)>, OtlpError> {
    let raw = raw.unwrap_or_default().0.into_iter();
    raw.map(|raw| pair(raw, events, 0)).collect()
}

fn pair(raw: Raw<'_>, events: &mut Events, depth: usize) -> Result<(Str, Value), OtlpError> {
    events.count(1)?;
    let pair: KeyValue<'_> = parse(raw)?;
    let value = pair
        .value
        .map(|raw| value(raw, events, depth))
        .transpose()?;
    Ok((text(pair.key), value.unwrap_or_default()))
}

fn value(raw: Raw<'_>, events: &mut Events, depth: usize) -> Result<Value, OtlpError> {
    events.count(1)?;
    if depth == MAX_DEPTH {
        return Err(OtlpError::TooDeep);
    }
    let any: AnyValue<'_> = parse(raw)?;
    Ok(if let Some(text) = any.string_value {
        Value::Text(text.into())
    } else if let Some(value) = any.bool_value {
        Value::Json(value.to_string())
    } else if any.int_value.is_some() {
        Value::Json(number::<i64>(any.int_value)?.to_string())
    } else if any.double_value.is_some() {
        Value::number(number(any.double_value)?)
    } else if let Some(array) = any.array_value {
        Value::array(array.each().map(|raw| value(raw, events, depth + 1)))?
    } else if let Some(map) = any.kvlist_value {
        Value::map(map.each().map(|raw| pair(raw, events, depth + 1)))?
    } else if let Some(text) = any.bytes_value {
        Value::Bytes(STANDARD.decode(text).map_err(broken)?.into())
    } else {
        Value::None
    })
}

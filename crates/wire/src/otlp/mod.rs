//! Logs of OpenTelemetry, as OTLP carries them: a request in, events out, no I/O.
//!
//! A request is read record by record, so that a small request never becomes a large tree of objects.

mod json;
mod protobuf;
pub mod rpc;

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use flume_core::{Event, Headers, Str};

use crate::MAX_MESSAGE_PARTS;

/// Most bytes of the events of a request. Each event repeats the attributes of its resource.
const MAX_EVENT_BYTES: usize = 64 << 20;

/// Most values within each other.
const MAX_DEPTH: usize = 32;
const NANOS_PER_MILLI: u64 = 1_000_000;

/// Why a request cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OtlpError {
    /// It is not what its type says.
    #[error("{0}")]
    Broken(String),
    /// Values are nested too deeply.
    #[error("a value has more than {MAX_DEPTH} levels")]
    TooDeep,
    /// Each header takes memory.
    #[error("the request has more than {MAX_MESSAGE_PARTS} records and attributes")]
    TooMany,
    /// Its events repeat what the request says once.
    #[error("the events of the request have more than {MAX_EVENT_BYTES} bytes")]
    TooLarge,
}

/// The events of an `ExportLogsServiceRequest` in protobuf.
///
/// # Errors
/// It is not one, or too large. Then there are no events.
pub fn events_of_protobuf(request: &Bytes) -> Result<Vec<Event>, OtlpError> {
    let mut events = Events::default();
    protobuf::read(request, &mut events)?;
    Ok(events.gathered)
}

/// The same for one in JSON.
///
/// # Errors
/// It is not one, or too large. Then there are no events.
pub fn events_of_json(request: &[u8]) -> Result<Vec<Event>, OtlpError> {
    let mut events = Events::default();
    json::read(request, &mut events)?;
    Ok(events.gathered)
}

/// An `AnyValue`.
#[derive(Debug, Default)]
enum Value {
    #[default]
    None,
    Text(Bytes),
    Bytes(Bytes),
    /// A number, a boolean, an array or a map, as JSON.
    Json(String),
}

impl Value {
    fn number(number: f64) -> Value {
        let json = serde_json::Number::from_f64(number);
        // JSON has neither infinities nor NaN.
        Value::Json(json.map_or_else(|| "null".into(), |number| number.to_string()))
    }

    fn array(values: impl Iterator<Item = Result<Value, OtlpError>>) -> Result<Value, OtlpError> {
        let mut json = String::from("[");
        for value in values {
            value?.append_json(&mut json);
            json.push(',');
        }
        Ok(Value::closed(json, ']'))
    }

    fn map(
        pairs: impl Iterator<Item = Result<(Str, Value), OtlpError>>,
    ) -> Result<Value, OtlpError> {
        let mut json = String::from("{");
        for pair in pairs {
            let (key, value) = pair?;
            append_quoted(&mut json, &key);
            json.push(':');
            value.append_json(&mut json);
            json.push(',');
        }
        Ok(Value::closed(json, '}'))
    }

    fn closed(mut json: String, end: char) -> Value {
        if json.ends_with(',') {
            json.pop();
        }
        json.push(end);
        Value::Json(json)
    }

    fn append_json(&self, out: &mut String) {
        match self {
            Value::None => out.push_str("null"),
            Value::Text(text) => append_quoted(out, &String::from_utf8_lossy(text)),
            Value::Bytes(bytes) => append_quoted(out, &STANDARD.encode(bytes)),
            Value::Json(json) => out.push_str(json),
        }
    }

    /// As the value of a header.
    fn into_text(self) -> Str {
        match self {
            Value::None => Str::default(),
            Value::Text(text) => String::from_utf8_lossy(&text).into_owned().into(),
            Value::Bytes(bytes) => STANDARD.encode(bytes).into(),
            Value::Json(json) => json.into(),
        }
    }

    /// As the body of an event.
    fn into_body(self) -> Bytes {
        match self {
            Value::None => Bytes::new(),
            Value::Text(bytes) | Value::Bytes(bytes) => bytes,
            Value::Json(json) => json.into(),
        }
    }
}

fn append_quoted(out: &mut String, text: &str) {
    out.push_str(&serde_json::Value::from(text).to_string());
}

/// A `LogRecord`.
#[derive(Debug, Default)]
struct Record {
    time_nanos: u64,
    observed_nanos: u64,
    severity_number: u64,
    severity_text: Str,
    body: Value,
    attributes: Vec<(Str, Value)>,
    /// In hex, as all identifiers.
    trace_id: String,
    span_id: String,
    event_name: Str,
}

/// What all records of a scope have in common.
#[derive(Clone, Debug, Default)]
struct ScopeFacts {
    attributes: Vec<(Str, Str)>,
    scope_name: Str,
}

impl ScopeFacts {
    fn add(&mut self, attributes: Vec<(Str, Value)>) {
        let texts = attributes.into_iter();
        self.attributes
            .extend(texts.map(|(name, value)| (name, value.into_text())));
    }
}

/// Events, and what they and the way to them take.
#[derive(Debug, Default)]
struct Events {
    gathered: Vec<Event>,
    parts: usize,
    bytes: usize,
}

impl Events {
    /// Counts parts of the request before they take memory: resources, scopes, records, attributes, values.
    fn count(&mut self, parts: usize) -> Result<(), OtlpError> {
        self.parts += parts;
        if self.parts > MAX_MESSAGE_PARTS {
            return Err(OtlpError::TooMany);
        }
        Ok(())
    }

    fn add(&mut self, record: Record, origin: &ScopeFacts) -> Result<(), OtlpError> {
        self.count(1 + origin.attributes.len())?;
        let nanos = match record.time_nanos {
            0 => record.observed_nanos,
            nanos => nanos,
        };
        let number = |number: u64| match number {
            0 => Str::default(),
            number => number.to_string().into(),
        };
        let fixed = [
            ("timestamp", number(nanos / NANOS_PER_MILLI)),
            ("severity_text", record.severity_text),
            ("severity_number", number(record.severity_number)),
            ("scope_name", origin.scope_name.clone()),
            ("trace_id", record.trace_id.into()),
            ("span_id", record.span_id.into()),
            ("event_name", record.event_name),
        ];
        let fixed = fixed.into_iter().filter(|(_, value)| !value.is_empty());
        let attributes = record.attributes.into_iter();
        let attributes = attributes.map(|(name, value)| (name, value.into_text()));
        // Of equal names the last one counts.
        let headers: Headers = origin
            .attributes
            .iter()
            .cloned()
            .chain(attributes)
            .chain(fixed.map(|(name, value)| (Str::from(name), value)))
            .collect();
        let body = record.body.into_body();
        let event = Event { headers, body };
        self.bytes += event.size();
        if self.bytes > MAX_EVENT_BYTES {
            return Err(OtlpError::TooLarge);
        }
        self.gathered.push(event);
        Ok(())
    }
}

#[cfg(test)]
mod tests;

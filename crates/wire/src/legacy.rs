//! Events of Flume 0.9, in whichever protocol they come.

use std::collections::BTreeMap;

use bytes::Bytes;
use flume_core::{Event, Headers, Str};

use crate::avro::text;

/// Names of priorities, in their order.
const PRIORITIES: [&str; 6] = ["FATAL", "ERROR", "WARN", "INFO", "DEBUG", "TRACE"];

/// An event of Flume 0.9.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LegacyEvent {
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// From 0, fatal, to 5, trace.
    pub priority: i32,
    /// Passed on as it is.
    pub body: Bytes,
    /// Of a clock of its own.
    pub nanos: i64,
    /// Where it was made.
    pub host: Str,
    /// What decorators added.
    pub fields: BTreeMap<Str, Bytes>,
}

impl From<LegacyEvent> for Event {
    /// Headers as Flume sets them; a field may have the name of one, which it replaces.
    fn from(legacy: LegacyEvent) -> Event {
        let priority = usize::try_from(legacy.priority).ok();
        let priority = priority.and_then(|priority| PRIORITIES.get(priority));
        let mut headers = Headers::default();
        headers.set("host".into(), legacy.host);
        headers.set("timestamp".into(), legacy.timestamp.to_string().into());
        if let Some(priority) = priority {
            headers.set("pri".into(), Str::from_static(priority));
        }
        headers.set("nanos".into(), legacy.nanos.to_string().into());
        for (name, value) in legacy.fields {
            headers.set(name, text(value));
        }
        headers.set("FlumeOG".into(), Str::from_static("yes"));
        Event {
            headers,
            body: legacy.body,
        }
    }
}

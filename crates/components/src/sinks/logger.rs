//! `logger`: writes each event into the log, for tests and for looking at a flow.

use std::fmt::Write;

use async_trait::async_trait;
use flume_core::{
    BuildError, Component, Config, Context, Delivered, Event, Sink, SinkError, Want,
    config::OrDefault,
};

/// A logged batch is no larger, so that a stop need not wait for a long one.
const BATCH: usize = 100;
/// Bytes on a line of the dump.
const LINE: usize = 16;

/// Logs each event at INFO: its headers and the first bytes of its body.
#[derive(Clone, Config)]
pub(super) struct LoggerConfig {
    /// Bytes of the body that are shown.
    #[prop("maxBytesToLog", default = 16)]
    max_bytes_to_log: OrDefault<usize>,
}

pub(super) struct LoggerSink(LoggerConfig);

impl Component for LoggerSink {
    type Config = LoggerConfig;
    fn build(config: LoggerConfig, _: &Context) -> Result<Self, BuildError> {
        Ok(LoggerSink(config))
    }
}

#[async_trait]
impl Sink for LoggerSink {
    fn want(&self) -> Want {
        Want::events(BATCH)
    }

    async fn deliver(&mut self, batch: &[Event]) -> Result<Delivered, SinkError> {
        for event in batch {
            tracing::info!(target: "org.apache.flume.sink.LoggerSink", "{}", line(event, self.0.max_bytes_to_log.0));
        }
        Ok(Delivered::default())
    }
}

/// As Flume shows an event: `Event: { headers:{a=1} body: 68 69        hi }`.
fn line(event: &Event, most: usize) -> String {
    let mut text = String::from("Event: { headers:{");
    for (place, (name, value)) in event.headers.iter().enumerate() {
        let comma = if place == 0 { "" } else { ", " };
        let _ = write!(text, "{comma}{name}={value}");
    }
    text += "} body:";
    let shown = &event.body[..event.body.len().min(most)];
    let several = shown.len() > LINE;
    for (number, bytes) in shown.chunks(LINE).enumerate() {
        if several {
            let _ = write!(text, "\n{:08X}", number * LINE);
        }
        dump(bytes, &mut text);
    }
    text + " }"
}

/// Hexadecimal, padded to a full line, then the printable characters, dots for the others.
fn dump(bytes: &[u8], text: &mut String) {
    for byte in bytes {
        let _ = write!(text, " {byte:02X}");
    }
    text.extend(std::iter::repeat_n(' ', (LINE - bytes.len()) * 3 + 1));
    text.extend(bytes.iter().map(|&byte| {
        if (b' '..=b'~').contains(&byte) {
            char::from(byte)
        } else {
            '.'
        }
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &'static str, expected: &str) {
        assert_eq!(line(&Event::from(body), 16), expected);
    }

    /// Lines that Flume 1.11 logged for these bodies.
    #[test]
    fn lines_as_flume_writes_them() {
        check(
            "hello",
            "Event: { headers:{} body: 68 65 6C 6C 6F                                  hello }",
        );
        check(
            "hello\r",
            "Event: { headers:{} body: 68 65 6C 6C 6F 0D                               hello. }",
        );
        check("", "Event: { headers:{} body: }");
        check(
            "123456789012345",
            "Event: { headers:{} body: 31 32 33 34 35 36 37 38 39 30 31 32 33 34 35    123456789012345 }",
        );
        check(
            "éééééééé more",
            "Event: { headers:{} body: C3 A9 C3 A9 C3 A9 C3 A9 C3 A9 C3 A9 C3 A9 C3 A9 ................ }",
        );
    }
}

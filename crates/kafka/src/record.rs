//! Between an event and the key and value of a Kafka record, as Flume 1.11 writes and reads them.
//!
//! In Flume's format the value is one `AvroFlumeEvent` in Avro's binary encoding, without a container: a map of
//! headers, then the body. Otherwise the value is the body. What follows the body is ignored, as in Flume.

use bytes::Bytes;
use flume_core::{Event, Str};
use flume_wire::avro::{DatumReader, text};
use rdkafka::{Message, message::BorrowedMessage};

/// The header that carries the key of a record.
pub(crate) const KEY_HEADER: &str = "key";

/// The event of a record's value. `Err` says what is wrong with it.
pub(crate) fn event_of(message: &BorrowedMessage<'_>, flume_format: bool) -> Result<Event, String> {
    let value = message.payload().map(Bytes::copy_from_slice);
    if !flume_format {
        return Ok(Event::from(value.unwrap_or_default()));
    }
    let value = value.ok_or("its value is null, and that is no Flume event")?;
    DatumReader::new(value)
        .event()
        .map_err(|error| format!("its value is no Flume event: {error}"))
}

/// The key of a record, as the value of a header.
pub(crate) fn key_of(message: &BorrowedMessage<'_>) -> Option<Str> {
    message.key().map(|key| text(Bytes::copy_from_slice(key)))
}

#[cfg(test)]
mod tests {
    use flume_wire::avro::write_event;

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

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn raw(hex: &str) -> Bytes {
        let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        (0..hex.len()).step_by(2).map(byte).collect()
    }

    /// Captured from the channel of Flume 1.11, `parseAsFlumeEvent=true`, by a consumer of Kafka's own client. Headers
    /// in the order of a Java map there, by name here.
    #[test]
    fn records_of_java_flume_are_read_and_written() {
        let cases: [(Event, &str); 5] = [
            (event(&[], ""), "0000"),
            (event(&[], "hello"), "000a68656c6c6f"),
            (
                event(&[("key", "k1")], "hello"),
                "02066b6579046b31000a68656c6c6f",
            ),
            (
                event(
                    &[
                        ("a", "ä"),
                        ("key", "k1"),
                        ("p", "1"),
                        ("timestamp", "1700000000123"),
                    ],
                    "wörld",
                ),
                "080261 04c3a4 066b6579046b31 02700231 1274696d657374616d70 1a31373030303030303030313233 00 0c77c3b6726c64",
            ),
            (
                event(&[("key", "k2"), ("timestamp", "nan")], ""),
                "04066b6579046b321274696d657374616d70066e616e0000",
            ),
        ];
        for (event, expected) in cases {
            let expected = expected.replace(' ', "");
            let mut written = vec![];
            write_event(&event, &mut written);
            assert_eq!(hex(&written), expected);
            assert_eq!(DatumReader::new(raw(&expected)).event().unwrap(), event);
        }
        let in_javas_order = "080270023102610 4c3a4066b6579046b311274696d657374616d701a31373030303030303030313233000c77c3b6726c64";
        let read = DatumReader::new(raw(&in_javas_order.replace(' ', "")))
            .event()
            .unwrap();
        assert_eq!(read.headers.get("a").unwrap(), "ä");
        assert_eq!(&read.body[..], "wörld".as_bytes());
    }
}

//! Between an event and the key, value and headers of a Kafka record, as Flume 1.11 writes and reads them.
//!
//! In Flume's format the value is one `AvroFlumeEvent` in Avro's binary encoding, without a container: a map of
//! headers, then the body. Otherwise the value is the body.

use bytes::{Buf, Bytes};
use flume_core::{Event, Headers, Str};
use flume_wire::avro::{write_bytes, write_long};

/// The header that carries the key of a record.
pub const KEY_HEADER: &str = "key";

/// Most headers that an event is taken to have; each costs at least two bytes, so a record cannot hold many more.
const MAX_HEADERS: usize = 1 << 20;

/// Appends an event in Flume's format.
pub fn write_flume_event(event: &Event, out: &mut Vec<u8>) {
    let headers = event.headers.iter().count();
    if headers > 0 {
        write_long(headers as i64, out);
        for (name, value) in event.headers.iter() {
            write_bytes(name.as_bytes(), out);
            write_bytes(value.as_bytes(), out);
        }
    }
    write_long(0, out);
    write_bytes(&event.body, out);
}

/// Reads an event in Flume's format; headers and body share `value`. As in Flume, what follows the body is ignored.
///
/// # Errors
/// What is wrong with the bytes, completing "the value is no Flume event: ".
pub fn read_flume_event(mut value: Bytes) -> Result<Event, String> {
    let mut pairs: Vec<(Str, Str)> = vec![];
    loop {
        let mut count = read_long(&mut value)?;
        if count == 0 {
            break;
        }
        if count < 0 {
            // A negative count is followed by the bytes of the block, for readers that skip it.
            read_long(&mut value)?;
            count = count.checked_neg().ok_or("a block of headers without end")?;
        }
        let total = usize::try_from(count).map_err(|_| "too many headers")?.saturating_add(pairs.len());
        if total > MAX_HEADERS || total > pairs.len() + value.len() / 2 {
            return Err(format!("{count} headers do not fit into {} bytes", value.len()));
        }
        for _ in 0..count {
            let name = read_text(&mut value)?;
            pairs.push((name, read_text(&mut value)?));
        }
    }
    let body = read_bytes(&mut value)?;
    Ok(Event { headers: pairs.into_iter().collect::<Headers>(), body })
}

/// Zigzag, seven bits a byte, the lowest first.
fn read_long(value: &mut Bytes) -> Result<i64, String> {
    let mut bits = 0u64;
    for shift in (0..64).step_by(7) {
        if value.is_empty() {
            return Err("it ends within a number".into());
        }
        let byte = value.get_u8();
        bits |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok((bits >> 1) as i64 ^ -((bits & 1) as i64));
        }
    }
    Err("a number of more than 64 bits".into())
}

fn read_bytes(value: &mut Bytes) -> Result<Bytes, String> {
    let length = read_long(value)?;
    match usize::try_from(length).ok().filter(|length| *length <= value.len()) {
        Some(length) => Ok(value.split_to(length)),
        None => Err(format!("a length of {length} where {} bytes are left", value.len())),
    }
}

fn read_text(value: &mut Bytes) -> Result<Str, String> {
    read_bytes(value).map(text)
}

/// As Java decodes UTF-8: what is none becomes the replacement character.
pub fn text(bytes: Bytes) -> Str {
    Str::try_from(bytes.clone()).unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into_owned().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(pairs: &[(&'static str, &'static str)], body: &'static str) -> Event {
        let headers = pairs.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        Event { headers: headers.collect(), body: body.into() }
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
            (event(&[("key", "k1")], "hello"), "02066b6579046b31000a68656c6c6f"),
            (
                event(&[("a", "ä"), ("key", "k1"), ("p", "1"), ("timestamp", "1700000000123")], "wörld"),
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
            write_flume_event(&event, &mut written);
            assert_eq!(hex(&written), expected);
            assert_eq!(read_flume_event(raw(&expected)).unwrap(), event);
        }
        let in_javas_order = "080270023102610 4c3a4066b6579046b311274696d657374616d701a31373030303030303030313233000c77c3b6726c64";
        let read = read_flume_event(raw(&in_javas_order.replace(' ', ""))).unwrap();
        assert_eq!(read.headers.get("a").unwrap(), "ä");
        assert_eq!(&read.body[..], "wörld".as_bytes());
    }

    #[test]
    fn blocks_with_their_size_and_bytes_behind_the_body_are_read() {
        // Count −1, ten bytes, k1=v1; a second block of one; the end; the body "x"; something behind it.
        let read = read_flume_event(raw("010c046b31047631 02046b32047632 00 0278 ffff".replace(' ', "").as_str()));
        assert_eq!(read.unwrap(), event(&[("k1", "v1"), ("k2", "v2")], "x"));
    }

    #[test]
    fn anything_else_is_an_error() {
        for bytes in ["", "02", "0004", "ffffffffffffffffffff01", "feffffffffffffffff0100", "00ff", "0206"] {
            assert!(read_flume_event(raw(bytes)).is_err(), "{bytes}");
        }
    }
}

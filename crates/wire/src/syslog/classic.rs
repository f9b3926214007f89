//! The parser of `syslogtcp` and `syslogudp`.
//!
//! A message has a priority, or is `Invalid`. With one, it is matched whole against the two formats; a message that fits
//! neither keeps all of its text as the body. Facility and severity come from the priority in any case.

use bytes::Bytes;
use flume_core::{Event, Headers, Str};

use super::{
    Clock, INCOMPLETE, INVALID, KeptFields, STATUS, number,
    scan::{Scan, is_space, value},
    time::{Rfc3164Time, Rfc5424Time},
};

/// Most digits of a priority.
pub(super) const MAX_PRIORITY_DIGITS: usize = 3;

/// Turns messages into events. Remembers the last one: most begin like the one before.
pub struct ClassicParser {
    keep: KeptFields,
    last: Option<Remembered>,
}

/// What stood in front of the last message's body, and what came of it.
struct Remembered {
    prefix: Vec<u8>,
    /// The second in which it was parsed: the year of a date without one depends on it.
    second: i64,
    headers: Headers,
    kept: Vec<u8>,
}

/// A message that fits a format.
struct Fields<'a> {
    priority: &'a [u8],
    version: Option<u8>,
    timestamp: Option<&'a [u8]>,
    millis: Option<i64>,
    host: Option<&'a [u8]>,
    /// Where the body begins.
    body: usize,
}

impl ClassicParser {
    /// A parser for one connection, or for all datagrams of a port.
    pub fn new(keep: KeptFields) -> Self {
        ClassicParser { keep, last: None }
    }

    /// One message, without its line feed. `is_cut` when the rest of it was too long.
    pub fn parse(&mut self, message: &[u8], is_cut: bool, clock: &Clock) -> Event {
        let second = clock.now.div_euclid(1000);
        let repeated = self
            .last
            .as_ref()
            .filter(|last| last.second == second && !is_cut && message.starts_with(&last.prefix));
        if let Some(last) = repeated {
            let body = &message[last.prefix.len()..];
            if !body.is_empty() && !has_line_end(body) {
                return Event {
                    headers: last.headers.clone(),
                    body: self.body(message, &last.kept, body),
                };
            }
        }
        let priority = priority(message);
        let fields = priority.and_then(|_| fields(message, clock));
        let mut headers = vec![];
        let code = priority.unwrap_or_default();
        headers.push((Str::from_static("Facility"), number(code / 8)));
        headers.push((Str::from_static("Severity"), number(code % 8)));
        if priority.is_none() {
            headers.push((STATUS, INVALID));
        } else if is_cut {
            headers.push((STATUS, INCOMPLETE));
        }
        if let Some(fields) = &fields {
            fields.add_to(&mut headers);
        }
        let headers: Headers = headers.into_iter().collect();
        let whole = |headers| Event {
            headers,
            body: Bytes::copy_from_slice(message),
        };
        let Some(fields) = fields else {
            return whole(headers);
        };
        let kept = fields.kept(self.keep);
        if kept.is_empty() && fields.body == message.len() {
            return whole(headers);
        }
        let body = self.body(message, &kept, &message[fields.body..]);
        if !is_cut {
            self.last = Some(Remembered {
                prefix: message[..fields.body].to_vec(),
                second,
                headers: headers.clone(),
                kept,
            });
        }
        Event { headers, body }
    }

    fn body(&self, message: &[u8], kept: &[u8], body: &[u8]) -> Bytes {
        if self.keep.all {
            return Bytes::copy_from_slice(message);
        }
        if kept.is_empty() {
            return Bytes::copy_from_slice(body);
        }
        [kept, body].concat().into()
    }
}

/// The priority, if the message begins with a good one.
fn priority(message: &[u8]) -> Option<u32> {
    let mut scan = Scan::new(message);
    scan.byte(b'<')?;
    let digits = scan.some(1, MAX_PRIORITY_DIGITS, |byte| byte.is_ascii_digit())?;
    scan.byte(b'>')?;
    u32::try_from(value(digits)).ok()
}

/// The version may be left out, and a year begins with a digit as well: both readings are tried.
fn fields<'a>(message: &'a [u8], clock: &Clock) -> Option<Fields<'a>> {
    [true, false]
        .into_iter()
        .find_map(|has_version| fields_with(message, has_version, clock))
}

fn fields_with<'a>(message: &'a [u8], has_version: bool, clock: &Clock) -> Option<Fields<'a>> {
    let mut scan = Scan::new(message);
    scan.byte(b'<')?;
    let priority = scan.some(1, MAX_PRIORITY_DIGITS, |byte| byte.is_ascii_digit())?;
    scan.byte(b'>')?;
    let version = if has_version {
        Some(scan.one(|byte| byte.is_ascii_digit())?)
    } else {
        None
    };
    scan.one(is_space);
    let start = scan.at();
    let is_rfc3164 = scan.peek().is_some_and(|byte| byte.is_ascii_uppercase());
    let mut millis = None;
    let mut timestamp = None;
    if is_rfc3164 {
        let time = Rfc3164Time::scan(&mut scan, is_space)?;
        millis = time.millis(clock, &clock.zone);
        timestamp = Some(&message[start..scan.at()]);
    } else if scan.byte(b'-').is_none() {
        let time = Rfc5424Time::scan(&mut scan, 6)?;
        millis = time.millis(&clock.zone);
        timestamp = Some(&message[start..scan.at()]);
    }
    scan.one(is_space)?;
    let host = host(&mut scan);
    if host.is_none() {
        // RFC 3164 has no sign for a host that is not known.
        scan.byte(b'-').filter(|_| !is_rfc3164)?;
    }
    scan.one(is_space)?;
    if has_line_end(scan.rest()) {
        return None;
    }
    Some(Fields {
        priority,
        version,
        timestamp,
        millis,
        host,
        body: scan.at(),
    })
}

/// A name that begins with a letter, a digit or `_`.
fn host<'a>(scan: &mut Scan<'a>) -> Option<&'a [u8]> {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    scan.peek().filter(|byte| is_word(*byte))?;
    scan.some(1, usize::MAX, |byte| {
        is_word(byte) || matches!(byte, b'.' | b'@' | b'-')
    })
}

/// Whether there is anything at which a line ends in Java: such a message fits no format.
fn has_line_end(text: &[u8]) -> bool {
    memchr::memchr3_iter(b'\n', b'\r', 0xc2, text)
        .any(|at| text[at] != 0xc2 || text.get(at + 1) == Some(&0x85))
        || memchr::memchr_iter(0xe2, text)
            .any(|at| matches!(text.get(at + 1..at + 3), Some([0x80, 0xa8 | 0xa9])))
}

impl Fields<'_> {
    fn add_to(&self, headers: &mut Vec<(Str, Str)>) {
        let mut add = |name: &'static str, value: &[u8]| {
            let text = String::from_utf8_lossy(value).into_owned();
            headers.push((Str::from_static(name), text.into()));
        };
        add("priority", self.priority);
        if let Some(version) = self.version {
            add("version", &[version]);
        }
        if let Some(millis) = self.millis {
            add("timestamp", millis.to_string().as_bytes());
        }
        if let Some(host) = self.host {
            add("host", host);
        }
    }

    /// The fields that stay in front of the body. What a message does not say is written as Flume writes it.
    fn kept(&self, keep: KeptFields) -> Vec<u8> {
        let mut kept = vec![];
        if keep.all || !keep.any() {
            return kept;
        }
        if keep.priority {
            kept.push(b'<');
            kept.extend_from_slice(self.priority);
            kept.push(b'>');
        }
        if keep.version
            && let Some(version) = self.version
        {
            kept.extend_from_slice(&[version, b' ']);
        }
        if keep.timestamp {
            kept.extend_from_slice(self.timestamp.unwrap_or(b"null"));
            kept.push(b' ');
        }
        if keep.hostname {
            kept.extend_from_slice(self.host.unwrap_or(b"null"));
            kept.push(b' ');
        }
        kept
    }
}

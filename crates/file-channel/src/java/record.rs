//! A record of a log: three protobuf messages, each after its length: what it is, its content, and an empty end.

use bytes::Bytes;
use flume_core::{Event, Str};
use prost::Message;

use crate::format::Malformed;

const PUT: i32 = 1;
const TAKE: i32 = 2;
const ROLLBACK: i32 = 3;
const COMMIT: i32 = 4;

/// Bytes that every record begins with: what it is and of which transaction.
pub(super) const HEAD_BYTES: usize = 24;

/// Where a put is: the number of its log, and its offset in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Pointer(u64);

impl Pointer {
    pub(super) fn new(log: u32, offset: u32) -> Self {
        Pointer(u64::from(log) << 32 | u64::from(offset))
    }

    pub(super) fn of_number(number: u64) -> Self {
        Pointer(number)
    }

    pub(super) fn log(self) -> u32 {
        (self.0 >> 32) as u32
    }

    pub(super) fn offset(self) -> u32 {
        self.0 as u32
    }
}

/// A record.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Its transaction.
    pub transaction: i64,
    /// Ascends with every record of a channel.
    pub order: i64,
    /// What happened.
    pub action: Action,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// An event was put.
    Put(Event),
    /// The event of the put at this place was taken: the number of the log, and the offset in it.
    Take(u32, u32),
    /// The transaction never was.
    Rollback,
    /// The puts of the transaction count.
    CommitPuts,
    /// The takes of the transaction count.
    CommitTakes,
}

impl Action {
    /// Records of one order and transaction come in this sequence, as in Flume.
    pub(super) fn rank(&self) -> u8 {
        match self {
            Action::Take(..) => 0,
            Action::Put(_) => 1,
            Action::Rollback => 2,
            Action::CommitPuts | Action::CommitTakes => 3,
        }
    }
}

#[derive(Clone, PartialEq, Message)]
struct HeadMessage {
    #[prost(sfixed32, required, tag = "1")]
    kind: i32,
    #[prost(sfixed64, required, tag = "2")]
    transaction: i64,
    #[prost(sfixed64, required, tag = "3")]
    order: i64,
}

#[derive(Clone, PartialEq, Message)]
struct PutMessage {
    #[prost(message, required, tag = "1")]
    event: EventMessage,
    #[prost(sfixed64, optional, tag = "2")]
    checksum: Option<i64>,
}

#[derive(Clone, PartialEq, Message)]
struct EventMessage {
    #[prost(message, repeated, tag = "1")]
    headers: Vec<HeaderMessage>,
    #[prost(bytes = "bytes", required, tag = "2")]
    body: Bytes,
}

/// Names and values are bytes here: protobuf for Java never checked that they are UTF-8.
#[derive(Clone, PartialEq, Message)]
struct HeaderMessage {
    #[prost(bytes = "bytes", required, tag = "1")]
    name: Bytes,
    #[prost(bytes = "bytes", optional, tag = "2")]
    value: Option<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
struct TakeMessage {
    #[prost(sfixed32, required, tag = "1")]
    log: i32,
    #[prost(sfixed32, required, tag = "2")]
    offset: i32,
}

#[derive(Clone, PartialEq, Message)]
struct CommitMessage {
    #[prost(sfixed32, required, tag = "1")]
    kind: i32,
}

#[derive(Clone, PartialEq, Message)]
struct EmptyMessage {}

impl Record {
    /// Reads the payload of a record.
    pub fn decode(mut payload: Bytes) -> Result<Self, Malformed> {
        let head: HeadMessage = next(&mut payload)?;
        let action = match head.kind {
            PUT => Action::Put(event(next(&mut payload)?)?),
            TAKE => {
                let TakeMessage { log, offset } = next(&mut payload)?;
                let place = u32::try_from(log).ok().zip(u32::try_from(offset).ok());
                let (log, offset) = place.ok_or(Malformed("it takes from a negative place"))?;
                Action::Take(log, offset)
            }
            ROLLBACK => {
                next::<EmptyMessage>(&mut payload)?;
                Action::Rollback
            }
            COMMIT => match next::<CommitMessage>(&mut payload)?.kind {
                PUT => Action::CommitPuts,
                TAKE => Action::CommitTakes,
                _ => return Err(Malformed("it commits neither puts nor takes")),
            },
            _ => return Err(Malformed("it is none of put, take, rollback and commit")),
        };
        next::<EmptyMessage>(&mut payload)?;
        if !payload.is_empty() {
            return Err(Malformed("there is more than its messages"));
        }
        Ok(Record {
            transaction: head.transaction,
            order: head.order,
            action,
        })
    }

    /// Appends its payload.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let kind = match self.action {
            Action::Put(_) => PUT,
            Action::Take(..) => TAKE,
            Action::Rollback => ROLLBACK,
            Action::CommitPuts | Action::CommitTakes => COMMIT,
        };
        let head = HeadMessage {
            kind,
            transaction: self.transaction,
            order: self.order,
        };
        append(&head, out);
        match &self.action {
            Action::Put(event) => append(&put_message(event), out),
            Action::Take(log, offset) => append(
                &TakeMessage {
                    log: *log as i32,
                    offset: *offset as i32,
                },
                out,
            ),
            Action::Rollback => append(&EmptyMessage {}, out),
            Action::CommitPuts => append(&CommitMessage { kind: PUT }, out),
            Action::CommitTakes => append(&CommitMessage { kind: TAKE }, out),
        }
        append(&EmptyMessage {}, out);
    }

    /// Whether a record may begin so. Flume writes every number in full, so these bytes are always at the same places.
    pub(super) fn may_begin(head: &[u8; HEAD_BYTES]) -> bool {
        head[..2] == [0x17, 0x0d]
            && (1..=4).contains(&head[2])
            && head[3..7] == [0, 0, 0, 0x11]
            && head[15] == 0x19
    }
}

fn next<M: Message + Default>(payload: &mut Bytes) -> Result<M, Malformed> {
    let ends = Malformed("it ends in the middle of a message");
    let length = prost::decode_length_delimiter(&mut *payload).map_err(|_| ends)?;
    if length > payload.len() {
        return Err(ends);
    }
    M::decode(payload.split_to(length)).map_err(|_| Malformed("a message in it cannot be read"))
}

/// Appends a message after its length.
pub(super) fn append(message: &impl Message, out: &mut Vec<u8>) {
    let length = message.encoded_len();
    out.reserve(length + 10);
    // A vector grows as needed.
    let _ = prost::encode_length_delimiter(length, out);
    let _ = message.encode(out);
}

fn event(put: PutMessage) -> Result<Event, Malformed> {
    let body = put.event.body;
    let checksum = i64::from(crc32fast::hash(&body));
    if put.checksum.is_some_and(|stored| stored != checksum) {
        return Err(Malformed("the checksum of the body is wrong"));
    }
    let headers = put.event.headers.into_iter();
    let headers = headers.map(|header| (text(header.name), text(header.value.unwrap_or_default())));
    Ok(Event {
        headers: headers.collect(),
        body,
    })
}

/// As Java reads it: what is no UTF-8 becomes U+FFFD.
fn text(bytes: Bytes) -> Str {
    Str::try_from(bytes.clone()).unwrap_or_else(|_| String::from_utf8_lossy(&bytes).as_ref().into())
}

fn put_message(event: &Event) -> PutMessage {
    let headers = event.headers.iter();
    let headers = headers.map(|(name, value)| HeaderMessage {
        name: name.as_bytes().clone(),
        value: Some(value.as_bytes().clone()),
    });
    PutMessage {
        event: EventMessage {
            headers: headers.collect(),
            body: event.body.clone(),
        },
        checksum: Some(crc32fast::hash(&event.body).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        let byte = |pair: &[u8]| u8::from_str_radix(&String::from_utf8_lossy(pair), 16);
        digits
            .chunks(2)
            .map(|pair| byte(pair).expect("hex"))
            .collect()
    }

    /// Payloads that Flume 1.11 wrote.
    #[test]
    fn records_of_flume_are_read_and_written_alike() {
        let mut hello = Event::from("hello");
        hello.headers.set("k".into(), "v".into());
        let written = [
            (
                "17 0d01000000 1181841e0000000000 1942420f0000000000 \
                 1a 0a0f 0a06 0a016b 120176 1205 68656c6c6f 11 86a6103600000000 00",
                Record {
                    transaction: 2_000_001,
                    order: 1_000_002,
                    action: Action::Put(hello),
                },
            ),
            (
                "17 0d04000000 1181841e0000000000 1944420f0000000000 05 0d01000000 00",
                Record {
                    transaction: 2_000_001,
                    order: 1_000_004,
                    action: Action::CommitPuts,
                },
            ),
            (
                "17 0d02000000 1183841e0000000000 1947420f0000000000 0a 0d01000000 1500000000 00",
                Record {
                    transaction: 2_000_003,
                    order: 1_000_007,
                    action: Action::Take(1, 0),
                },
            ),
            (
                "17 0d03000000 1182841e0000000000 1946420f0000000000 00 00",
                Record {
                    transaction: 2_000_002,
                    order: 1_000_006,
                    action: Action::Rollback,
                },
            ),
        ];
        for (hex, record) in written {
            let bytes = from_hex(hex);
            let head = bytes.first_chunk().expect("long enough");
            assert!(Record::may_begin(head), "{hex}");
            assert_eq!(Record::decode(bytes.clone().into()), Ok(record.clone()));
            let mut out = vec![];
            record.encode(&mut out);
            assert_eq!(out, bytes);
        }
    }

    #[test]
    fn a_header_without_a_value_or_utf8_is_read_as_java_reads_it() {
        let header = |name: &'static [u8], value: Option<&'static [u8]>| HeaderMessage {
            name: Bytes::from_static(name),
            value: value.map(Bytes::from_static),
        };
        let event = EventMessage {
            headers: vec![header(b"a", None), header(b"b", Some(b"x\xff"))],
            body: Bytes::new(),
        };
        let event = super::event(PutMessage {
            event,
            checksum: None,
        })
        .expect("an event");
        let headers: Vec<_> = event
            .headers
            .iter()
            .map(|(_, value)| value.to_string())
            .collect();
        assert_eq!(headers, ["", "x\u{fffd}"]);
    }

    #[test]
    fn no_cut_and_no_flipped_byte_makes_it_panic() {
        let record = Record {
            transaction: 1,
            order: 2,
            action: Action::Put(Event::from("body")),
        };
        let mut whole = vec![];
        record.encode(&mut whole);
        for end in 0..whole.len() {
            assert!(Record::decode(Bytes::copy_from_slice(&whole[..end])).is_err());
        }
        for place in 0..whole.len() {
            for bits in 1..=255 {
                let mut bytes = whole.clone();
                bytes[place] ^= bits;
                let _ = Record::decode(bytes.into());
            }
        }
    }
}

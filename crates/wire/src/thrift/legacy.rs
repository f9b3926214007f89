//! The service of Flume 0.9: `append`, which nobody answers, and `close`. Messages come without frames.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use flume_core::{Event, Str, detach_small_part};

use super::{
    MessageHead, MessageType, ThriftError, ThriftProtocol, ThriftReader, ThriftType, ThriftWriter,
    reader::BINARY_VERSION, scan::MessageScan,
};
use crate::{Framing, framing::detach, legacy::LegacyEvent};

/// Most bytes of a message. Flume 0.9 allows bodies of 32 KiB.
const MAX_MESSAGE_BYTES: usize = 256 << 10;

/// A call of a client.
#[derive(Clone, Debug, PartialEq)]
pub enum LegacyCall {
    /// Take this event; there is no answer.
    Append(Event),
    /// The client has finished and waits for the answer.
    Close(MessageHead),
}

/// Finds the end of each message by looking at the values in it.
#[derive(Debug, Default)]
pub struct LegacyFraming {
    scan: MessageScan,
    received: usize,
}

impl Framing for LegacyFraming {
    type Frame = LegacyCall;
    type Error = ThriftError;

    fn decode(&mut self, received: &mut BytesMut) -> Result<Option<LegacyCall>, ThriftError> {
        check_version(received)?;
        let found = self.scan.advance(received)?;
        let known = self
            .scan
            .known_bytes()
            .max(received.len().min(MAX_MESSAGE_BYTES));
        if known > MAX_MESSAGE_BYTES {
            let text = format!("a message has more than {MAX_MESSAGE_BYTES} bytes");
            return Err(ThriftError::Service(text));
        }
        let Some(bytes) = found else {
            self.received = known;
            return Ok(None);
        };
        self.scan = MessageScan::default();
        self.received = 0;
        let (mut call, _) = read_legacy_call(&detach(received, bytes))?;
        if let LegacyCall::Append(event) = &mut call {
            detach_small_part(std::slice::from_mut(event), bytes);
        }
        Ok(Some(call))
    }

    fn known_bytes(&self) -> usize {
        self.received
    }
}

/// Whoever speaks something else is to hear it before the message would be complete.
fn check_version(received: &[u8]) -> Result<(), ThriftError> {
    let Some(first) = received.first_chunk() else {
        return Ok(());
    };
    let first = u32::from_be_bytes(*first);
    let is_name_length = first < MAX_MESSAGE_BYTES as u32;
    if is_name_length || first & 0xffff_0000 == BINARY_VERSION {
        return Ok(());
    }
    let byte = (first >> 24) as u8;
    Err(ThriftError::NoMessage(byte, ThriftProtocol::Binary))
}

/// Reads the call at the front of `received`, with the bytes that it takes. [`ThriftError::Truncated`] means that the
/// rest is still to come.
pub fn read_legacy_call(received: &Bytes) -> Result<(LegacyCall, usize), ThriftError> {
    let mut reader = ThriftReader::new(ThriftProtocol::Binary, received.clone());
    let head = reader.message()?;
    let mut event = None;
    reader.fields(|reader, id, ty| {
        if (id, ty) == (1, ThriftType::Struct) {
            event = Some(read_event(reader)?);
            return Ok(true);
        }
        Ok(false)
    })?;
    let call = match (&*head.name, event) {
        ("append", Some(event)) => LegacyCall::Append(event.into()),
        ("append", None) => return Err(ThriftError::Missing("evt")),
        ("close", _) => LegacyCall::Close(head),
        (name, _) => {
            let name: String = name.chars().take(100).collect();
            let text = format!("invalid method name: `{name}`");
            return Err(ThriftError::Service(text));
        }
    };
    Ok((call, reader.position()))
}

fn read_event(reader: &mut ThriftReader) -> Result<LegacyEvent, ThriftError> {
    let mut event = LegacyEvent::default();
    reader.fields(|reader, id, ty| {
        match (id, ty) {
            (1, ThriftType::I64) => event.timestamp = reader.i64()?,
            (2, ThriftType::I32) => event.priority = reader.i32()?,
            (3, ThriftType::Binary) => event.body = reader.binary()?,
            (4, ThriftType::I64) => event.nanos = reader.i64()?,
            (5, ThriftType::Binary) => event.host = reader.string()?,
            (6, ThriftType::Map) => event.fields = read_fields(reader)?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(event)
}

fn read_fields(reader: &mut ThriftReader) -> Result<BTreeMap<Str, Bytes>, ThriftError> {
    let (types, size) = reader.map()?;
    match types {
        None => return Ok(BTreeMap::new()),
        Some((ThriftType::Binary, ThriftType::Binary)) => {}
        Some(_) => return Err(ThriftError::WrongType("fields")),
    }
    reader.count_parts(size)?;
    (0..size)
        .map(|_| Ok((reader.string()?, reader.binary()?)))
        .collect()
}

/// Appends the answer to `close`.
pub fn write_closed(head: &MessageHead, out: &mut Vec<u8>) {
    let mut writer = ThriftWriter::new(ThriftProtocol::Binary, out);
    writer.message(&head.name, MessageType::Reply, head.sequence);
    writer.begin_struct();
    writer.end_struct();
}

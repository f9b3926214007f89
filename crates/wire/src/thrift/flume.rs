//! The service `ThriftSourceProtocol`: `append` and `appendBatch`.

use bytes::Bytes;
use flume_core::{Event, Headers};

use super::{
    MessageHead, MessageType, ThriftError, ThriftProtocol, ThriftReader, ThriftType, ThriftWriter,
};

/// A call of a client.
#[derive(Clone, Debug, PartialEq)]
pub struct ThriftCall {
    /// Its answer repeats it.
    pub head: MessageHead,
    /// The events to take.
    pub events: Vec<Event>,
    /// Whether it is `appendBatch`.
    pub is_batch: bool,
}

/// What a source says of the events of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThriftStatus {
    /// They are in the channels.
    Ok,
    /// They are not, or not in all of them: send them again.
    Failed,
    /// The source broke.
    Error,
    /// The source cannot tell.
    Unknown,
}

/// The answer to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ThriftReply {
    /// What became of the events.
    Status(ThriftStatus),
    /// The call could not be carried out, for this reason.
    Exception(String),
}

/// Reads a call. Without a head in the error nothing can be answered.
pub fn read_call(
    protocol: ThriftProtocol,
    message: Bytes,
) -> Result<ThriftCall, (Option<MessageHead>, ThriftError)> {
    let mut reader = ThriftReader::new(protocol, message);
    let head = reader.message().map_err(|error| (None, error))?;
    let is_batch = match &*head.name {
        "append" => false,
        "appendBatch" => true,
        name => {
            let name: String = name.chars().take(100).collect();
            let error = ThriftError::Service(format!("invalid method name: `{name}`"));
            return Err((Some(head), error));
        }
    };
    let mut events = vec![];
    let arguments = reader.fields(|reader, id, ty| match (id, ty) {
        (1, ThriftType::Struct) if !is_batch => {
            events.push(read_event(reader)?);
            Ok(true)
        }
        (1, ThriftType::List) if is_batch => {
            read_events(reader, &mut events)?;
            Ok(true)
        }
        _ => Ok(false),
    });
    match arguments {
        Err(error) => Err((Some(head), error)),
        Ok(()) if !is_batch && events.is_empty() => {
            Err((Some(head), ThriftError::Missing("event")))
        }
        Ok(()) => Ok(ThriftCall {
            head,
            events,
            is_batch,
        }),
    }
}

fn read_events(reader: &mut ThriftReader, events: &mut Vec<Event>) -> Result<(), ThriftError> {
    let (item, size) = reader.list()?;
    if item != ThriftType::Struct && size > 0 {
        return Err(ThriftError::WrongType("events"));
    }
    reader.count_parts(size)?;
    events.reserve(size);
    for _ in 0..size {
        events.push(read_event(reader)?);
    }
    Ok(())
}

fn read_event(reader: &mut ThriftReader) -> Result<Event, ThriftError> {
    let mut headers = None;
    let mut body = None;
    reader.fields(|reader, id, ty| {
        match (id, ty) {
            (1, ThriftType::Map) => headers = Some(read_headers(reader)?),
            (2, ThriftType::Binary) => body = Some(reader.binary()?),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(Event {
        headers: headers.ok_or(ThriftError::Missing("headers"))?,
        body: body.ok_or(ThriftError::Missing("body"))?,
    })
}

fn read_headers(reader: &mut ThriftReader) -> Result<Headers, ThriftError> {
    let (types, size) = reader.map()?;
    match types {
        None => return Ok(Headers::default()),
        Some((ThriftType::Binary, ThriftType::Binary)) => {}
        Some(_) => return Err(ThriftError::WrongType("headers")),
    }
    reader.count_parts(size)?;
    (0..size)
        .map(|_| Ok((reader.string()?, reader.string()?)))
        .collect()
}

/// Appends the answer to a call.
pub fn write_status(
    protocol: ThriftProtocol,
    head: &MessageHead,
    status: ThriftStatus,
    out: &mut Vec<u8>,
) {
    let mut writer = ThriftWriter::new(protocol, out);
    writer.message(&head.name, MessageType::Reply, head.sequence);
    writer.begin_struct();
    writer.field(ThriftType::I32, 0);
    writer.i32(status as i32);
    writer.end_struct();
}

/// Appends a call `append`.
pub fn write_append(protocol: ThriftProtocol, sequence: i32, event: &Event, out: &mut Vec<u8>) {
    let mut writer = ThriftWriter::new(protocol, out);
    writer.message("append", MessageType::Call, sequence);
    writer.begin_struct();
    writer.field(ThriftType::Struct, 1);
    write_event(event, &mut writer);
    writer.end_struct();
}

/// Appends a call `appendBatch`.
pub fn write_append_batch(
    protocol: ThriftProtocol,
    sequence: i32,
    events: &[Event],
    out: &mut Vec<u8>,
) {
    let mut writer = ThriftWriter::new(protocol, out);
    writer.message("appendBatch", MessageType::Call, sequence);
    writer.begin_struct();
    writer.field(ThriftType::List, 1);
    writer.list(ThriftType::Struct, events.len());
    for event in events {
        write_event(event, &mut writer);
    }
    writer.end_struct();
}

fn write_event(event: &Event, writer: &mut ThriftWriter<'_>) {
    writer.begin_struct();
    writer.field(ThriftType::Map, 1);
    let size = event.headers.iter().count();
    writer.map(ThriftType::Binary, ThriftType::Binary, size);
    for (name, value) in event.headers.iter() {
        writer.binary(name.as_bytes());
        writer.binary(value.as_bytes());
    }
    writer.field(ThriftType::Binary, 2);
    writer.binary(&event.body);
    writer.end_struct();
}

/// Reads an answer to the call of this number.
pub fn read_reply(
    protocol: ThriftProtocol,
    sequence: i32,
    message: Bytes,
) -> Result<ThriftReply, ThriftError> {
    let mut reader = ThriftReader::new(protocol, message);
    let head = reader.message()?;
    if head.sequence != sequence {
        let text = format!("an answer to call {}, {sequence} was asked", head.sequence);
        return Err(ThriftError::Service(text));
    }
    match head.ty {
        MessageType::Reply => read_status(&mut reader).map(ThriftReply::Status),
        MessageType::Exception => read_exception(&mut reader).map(ThriftReply::Exception),
        ty => Err(ThriftError::Service(format!("an answer is a {ty:?}"))),
    }
}

fn read_status(reader: &mut ThriftReader) -> Result<ThriftStatus, ThriftError> {
    let mut status = None;
    reader.fields(|reader, id, ty| {
        if (id, ty) == (0, ThriftType::I32) {
            status = Some(reader.i32()?);
            return Ok(true);
        }
        Ok(false)
    })?;
    match status.ok_or(ThriftError::Missing("status"))? {
        0 => Ok(ThriftStatus::Ok),
        1 => Ok(ThriftStatus::Failed),
        2 => Ok(ThriftStatus::Error),
        _ => Ok(ThriftStatus::Unknown),
    }
}

fn read_exception(reader: &mut ThriftReader) -> Result<String, ThriftError> {
    let mut text = None;
    let mut kind = 0;
    reader.fields(|reader, id, ty| {
        match (id, ty) {
            (1, ThriftType::Binary) => text = Some(reader.string()?.to_string()),
            (2, ThriftType::I32) => kind = reader.i32()?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(text.unwrap_or_else(|| format!("an exception of kind {kind}")))
}

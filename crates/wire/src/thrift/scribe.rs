//! The service `Scribe`: `Log` takes lines with a category.

use bytes::Bytes;
use flume_core::{Event, Str};

use super::{
    MessageHead, MessageType, ThriftError, ThriftProtocol, ThriftReader, ThriftType, ThriftWriter,
};

/// The header that holds the category.
const CATEGORY: Str = Str::from_static("category");

/// A call `Log`.
#[derive(Clone, Debug, PartialEq)]
pub struct ScribeCall {
    /// Its answer repeats it.
    pub head: MessageHead,
    /// An event for each line; `None` when the call has no list at all.
    pub events: Option<Vec<Event>>,
}

/// The answer to `Log`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScribeResult {
    /// All lines were taken.
    Ok,
    /// None, or not all of them: send them again.
    TryLater,
}

/// Reads a call. Without a head in the error nothing can be answered.
pub fn read_scribe_call(message: Bytes) -> Result<ScribeCall, (Option<MessageHead>, ThriftError)> {
    let mut reader = ThriftReader::new(ThriftProtocol::Binary, message);
    let head = reader.message().map_err(|error| (None, error))?;
    if head.name != "Log" {
        let name: String = head.name.chars().take(100).collect();
        let error = ThriftError::Service(format!("invalid method name: `{name}`"));
        return Err((Some(head), error));
    }
    let mut events = None;
    let arguments = reader.fields(|reader, id, ty| {
        if (id, ty) == (1, ThriftType::List) {
            events = Some(read_entries(reader)?);
            return Ok(true);
        }
        Ok(false)
    });
    match arguments {
        Err(error) => Err((Some(head), error)),
        Ok(()) => Ok(ScribeCall { head, events }),
    }
}

fn read_entries(reader: &mut ThriftReader) -> Result<Vec<Event>, ThriftError> {
    let (item, size) = reader.list()?;
    if item != ThriftType::Struct && size > 0 {
        return Err(ThriftError::WrongType("messages"));
    }
    reader.count_parts(size)?;
    (0..size).map(|_| read_entry(reader)).collect()
}

fn read_entry(reader: &mut ThriftReader) -> Result<Event, ThriftError> {
    let mut event = Event::default();
    reader.fields(|reader, id, ty| {
        match (id, ty) {
            (1, ThriftType::Binary) => event.headers.set(CATEGORY, reader.string()?),
            (2, ThriftType::Binary) => event.body = reader.binary()?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(event)
}

/// Appends the answer, without version as Flume writes it.
pub fn write_scribe_result(head: &MessageHead, result: ScribeResult, out: &mut Vec<u8>) {
    let mut writer = ThriftWriter::new(ThriftProtocol::Binary, out);
    writer.message_without_version(&head.name, MessageType::Reply, head.sequence);
    writer.begin_struct();
    writer.field(ThriftType::I32, 0);
    writer.i32(result as i32);
    writer.end_struct();
}

//! The protocol `FlumeOGEventAvroServer` of Flume 0.9, over HTTP: the body of a request holds buffers, each with its
//! length in four bytes, and a length of 0 at the end. Every request begins with a handshake.

use bytes::{BufMut, Bytes, BytesMut};
use flume_core::{Event, Str};

use super::{
    MessageError,
    handshake::{HandshakeMatch, HandshakeRequest, HandshakeResponse},
};
use crate::{
    avro::{DatumError, DatumReader, write_bytes, write_long},
    legacy::LegacyEvent,
};

/// Reads the call in the body of a request.
pub fn read_legacy_request(body: &[u8]) -> Result<Event, MessageError> {
    let mut reader = DatumReader::new(join(body)?);
    // All clients know the one version that there ever was.
    HandshakeRequest::read(&mut reader)?;
    reader.skip_metadata()?;
    let name = reader.string()?;
    if name != "append" {
        let name: String = name.chars().take(100).collect();
        let text = format!("no such remote message: {name}");
        return Err(MessageError::Protocol(text));
    }
    Ok(read_event(&mut reader)?.into())
}

/// The body of the answer: nothing, or an error.
pub fn write_legacy_answer(error: Option<&str>, out: &mut Vec<u8>) {
    buffer(out, |out| {
        HandshakeResponse::write(HandshakeMatch::Both, None, out);
    });
    // No metadata.
    buffer(out, |out| write_long(0, out));
    buffer(out, |out| match error {
        None => out.push(0),
        Some(text) => {
            out.push(1);
            write_long(0, out);
            write_bytes(text.as_bytes(), out);
        }
    });
    out.extend_from_slice(&[0; 4]);
}

fn buffer(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let mut content = vec![];
    write(&mut content);
    out.extend_from_slice(&(content.len() as u32).to_be_bytes());
    out.extend_from_slice(&content);
}

/// The content of all buffers in a row.
fn join(mut body: &[u8]) -> Result<Bytes, DatumError> {
    let mut message = BytesMut::new();
    loop {
        let (length, rest) = body.split_first_chunk().ok_or(DatumError::Truncated)?;
        let length = u32::from_be_bytes(*length) as usize;
        if length == 0 {
            return Ok(message.freeze());
        }
        let (content, rest) = rest.split_at_checked(length).ok_or(DatumError::Truncated)?;
        message.put(content);
        body = rest;
    }
}

fn read_event(reader: &mut DatumReader) -> Result<LegacyEvent, DatumError> {
    let mut event = LegacyEvent {
        timestamp: reader.long()?,
        priority: reader.long()? as i32,
        body: reader.bytes()?,
        nanos: reader.long()?,
        host: reader.string()?,
        ..LegacyEvent::default()
    };
    loop {
        let fields = reader.block()?;
        if fields == 0 {
            return Ok(event);
        }
        for _ in 0..fields {
            let name: Str = reader.string()?;
            event.fields.insert(name, reader.bytes()?);
        }
    }
}

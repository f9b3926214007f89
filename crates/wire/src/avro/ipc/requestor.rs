//! The client's side of a connection.

use bytes::Bytes;
use flume_core::Event;

use super::{
    AppendStatus, FLUME_PROTOCOL_MD5, MessageError, PROTOCOL, PROTOCOL_MD5,
    handshake::{HandshakeMatch, HandshakeRequest, HandshakeResponse},
    write_frame,
};
use crate::avro::{
    datum::{DatumReader, write_event, write_events},
    write_bytes, write_long,
};

/// Writes calls and understands their answers. A server sees Flume's own protocol; one that does not know it gets the
/// text.
#[derive(Debug, Default)]
pub struct Requestor {
    established: bool,
    serial: i32,
    /// What the server said it is, after it did not know Flume's protocol.
    stranger: Option<[u8; 16]>,
}

/// The answer to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallReply {
    /// What became of the events.
    Status(AppendStatus),
    /// The server wants the protocol first: make the same call again.
    CallAgain,
    /// The server did not understand the call, or broke, and says so.
    SystemError(String),
}

impl Requestor {
    /// Whether the handshake is done. Until then there may be one call under way, no more.
    pub fn is_established(&self) -> bool {
        self.established
    }

    /// Appends a call `append`; returns the serial number that its answer will have.
    pub fn append(&mut self, event: &Event, out: &mut Vec<u8>) -> i32 {
        self.call("append", out, |out| write_event(event, out))
    }

    /// Appends a call `appendBatch`; returns the serial number that its answer will have.
    pub fn append_batch(&mut self, events: &[Event], out: &mut Vec<u8>) -> i32 {
        self.call("appendBatch", out, |out| write_events(events, out))
    }

    fn call(&mut self, name: &str, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) -> i32 {
        self.serial = self.serial.wrapping_add(1);
        write_frame(self.serial, out, |out| {
            if !self.established {
                self.handshake().write(out);
            }
            // No metadata.
            write_long(0, out);
            write_bytes(name.as_bytes(), out);
            write(out);
        });
        self.serial
    }

    fn handshake(&self) -> HandshakeRequest {
        match self.stranger {
            None => HandshakeRequest {
                client_md5: FLUME_PROTOCOL_MD5,
                client_protocol: None,
                server_md5: FLUME_PROTOCOL_MD5,
            },
            Some(server_md5) => HandshakeRequest {
                client_md5: PROTOCOL_MD5,
                client_protocol: Some(PROTOCOL.into()),
                server_md5,
            },
        }
    }

    /// Understands an answer.
    pub fn receive(&mut self, message: Bytes) -> Result<CallReply, MessageError> {
        let mut reader = DatumReader::new(message);
        if !self.established {
            let response = HandshakeResponse::read(&mut reader)?;
            if response.verdict == HandshakeMatch::None {
                let again = self
                    .stranger
                    .replace(response.server_md5.unwrap_or_default());
                if again.is_some() {
                    let text = "the server does not know Flume's protocol".into();
                    return Err(MessageError::Protocol(text));
                }
                return Ok(CallReply::CallAgain);
            }
            self.established = true;
        }
        reader.skip_metadata()?;
        if reader.byte()? == 0 {
            return read_status(&mut reader).map(CallReply::Status);
        }
        match reader.long()? {
            0 => Ok(CallReply::SystemError(reader.string()?.to_string())),
            branch => Ok(CallReply::SystemError(format!("an error of kind {branch}"))),
        }
    }
}

fn read_status(reader: &mut DatumReader) -> Result<AppendStatus, MessageError> {
    match reader.long()? {
        0 => Ok(AppendStatus::Ok),
        1 => Ok(AppendStatus::Failed),
        2 => Ok(AppendStatus::Unknown),
        other => {
            let text = format!("an answer has the unknown status {other}");
            Err(MessageError::Protocol(text))
        }
    }
}

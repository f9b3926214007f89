//! The server's side of a connection.

use std::sync::Mutex;

use bytes::Bytes;
use flume_core::Event;
use serde_json::Value;

use super::{
    AppendStatus, MessageError, PROTOCOL, PROTOCOL_MD5,
    handshake::{HandshakeMatch, HandshakeRequest, HandshakeResponse},
    is_flumes, write_frame,
};
use crate::avro::{datum::DatumReader, write_bytes, write_long};

/// Most protocols of clients that a server remembers, besides Flume's.
const MAX_CLIENT_PROTOCOLS: usize = 1000;

/// Protocols that clients have sent: one that has does not send it again on its next connection.
#[derive(Debug, Default)]
pub struct ClientProtocols(Mutex<Vec<[u8; 16]>>);

/// Takes the messages of one connection.
#[derive(Debug, Default)]
pub struct Responder {
    established: bool,
}

/// What the answer to a call begins with.
#[derive(Debug, Default)]
pub struct AnswerHead {
    /// Empty, except in the first answer.
    handshake: Vec<u8>,
    /// Whether this is all of the answer.
    is_all: bool,
}

/// What a client asks for.
#[derive(Debug, PartialEq)]
pub enum RemoteCall {
    /// `append`: take this event.
    Append(Event),
    /// `appendBatch`: take these events together.
    AppendBatch(Vec<Event>),
    /// Nothing but an answer: a handshake.
    Nothing,
    /// It cannot be done, for this reason, which is the answer.
    Impossible(String),
}

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallOutcome<'a> {
    /// It was done, or not.
    Status(AppendStatus),
    /// It was not understood, or something broke.
    SystemError(&'a str),
}

impl ClientProtocols {
    fn knows(&self, md5: &[u8; 16]) -> bool {
        is_flumes(md5) || self.lock().contains(md5)
    }

    /// Remembers a protocol, if events look in it as they do in Flume's.
    fn learn(&self, md5: [u8; 16], text: &str) -> Result<(), String> {
        check_protocol(text)?;
        let mut known = self.lock();
        if known.len() < MAX_CLIENT_PROTOCOLS {
            known.push(md5);
        }
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<[u8; 16]>> {
        // What a panic may have left is a list of hashes all the same.
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Responder {
    /// Understands a message. An error means that the connection cannot go on: where the call begins is not known.
    pub fn receive(
        &mut self,
        message: Bytes,
        clients: &ClientProtocols,
    ) -> Result<(RemoteCall, AnswerHead), MessageError> {
        let mut reader = DatumReader::new(message);
        let mut head = AnswerHead::default();
        if !self.established {
            let request = HandshakeRequest::read(&mut reader)?;
            match self.shake_hands(&request, clients, &mut head.handshake) {
                Ok(true) => {}
                Ok(false) => {
                    head.is_all = true;
                    return Ok((RemoteCall::Nothing, head));
                }
                Err(reason) => return Ok((RemoteCall::Impossible(reason), head)),
            }
        }
        let call = read_call(&mut reader)
            .unwrap_or_else(|error| RemoteCall::Impossible(format!("malformed data: {error}")));
        head.is_all = call == RemoteCall::Nothing;
        Ok((call, head))
    }

    /// Writes its half; false when the call was not looked at, because the client's protocol is not known.
    fn shake_hands(
        &mut self,
        request: &HandshakeRequest,
        clients: &ClientProtocols,
        out: &mut Vec<u8>,
    ) -> Result<bool, String> {
        let own = Some((PROTOCOL, PROTOCOL_MD5));
        let known = clients.knows(&request.client_md5);
        let mut doubt = Ok(());
        if !known {
            let Some(text) = &request.client_protocol else {
                HandshakeResponse::write(HandshakeMatch::None, own, out);
                return Ok(false);
            };
            doubt = clients.learn(request.client_md5, text);
        }
        if is_flumes(&request.server_md5) {
            HandshakeResponse::write(HandshakeMatch::Both, None, out);
        } else {
            HandshakeResponse::write(HandshakeMatch::Client, own, out);
        }
        self.established = doubt.is_ok();
        doubt.map(|()| true)
    }
}

impl AnswerHead {
    /// Appends the frame of the answer. A call for nothing has no outcome, and none of it is sent.
    pub fn write(&self, serial: i32, outcome: CallOutcome<'_>, out: &mut Vec<u8>) {
        write_frame(serial, out, |out| {
            out.extend_from_slice(&self.handshake);
            if self.is_all {
                return;
            }
            // No metadata.
            write_long(0, out);
            match outcome {
                CallOutcome::Status(status) => {
                    out.push(0);
                    write_long(status as i64, out);
                }
                CallOutcome::SystemError(text) => {
                    out.push(1);
                    write_long(0, out);
                    write_bytes(text.as_bytes(), out);
                }
            }
        });
    }
}

fn read_call(reader: &mut DatumReader) -> Result<RemoteCall, MessageError> {
    reader.skip_metadata()?;
    let name = reader.string()?;
    // What follows the parameters is ignored, as in Java.
    match &*name {
        "append" => Ok(RemoteCall::Append(reader.event()?)),
        "appendBatch" => Ok(RemoteCall::AppendBatch(reader.events()?)),
        "" => Ok(RemoteCall::Nothing),
        other => {
            let other: String = other.chars().take(100).collect();
            let text = format!("no such remote message: {other}");
            Ok(RemoteCall::Impossible(text))
        }
    }
}

/// Whether events look in a client's protocol as they do in Flume's. A client whose events have more fields would need a
/// schema to be resolved, which nobody is known to do.
fn check_protocol(text: &str) -> Result<(), String> {
    let protocol: Value = serde_json::from_str(text)
        .map_err(|error| format!("the client's protocol is not JSON: {error}"))?;
    let types = protocol["types"].as_array();
    let mut types = types.into_iter().flatten();
    let event = types.find(|ty| ty["name"] == "AvroFlumeEvent");
    let event = event.ok_or("the client's protocol has no AvroFlumeEvent")?;
    let fields = event["fields"].as_array();
    let fields: Vec<_> = (fields.into_iter().flatten())
        .map(|field| (field["name"].as_str().unwrap_or_default(), of_type(field)))
        .collect();
    if fields == [("headers", "map"), ("body", "bytes")] {
        return Ok(());
    }
    Err(format!(
        "events of the client have the fields {fields:?}, Flume's have headers and body"
    ))
}

/// The name of a type, whatever is written around it.
fn of_type(json: &Value) -> &str {
    match json.get("type") {
        None => json.as_str().unwrap_or_default(),
        Some(inner) => of_type(inner),
    }
}

//! Avro's remote procedure calls over TCP, as Flume uses them: the protocol `AvroSourceProtocol` in frames.
//!
//! A frame holds a message. A message is a call or its answer, and before the first of each on a connection stands a
//! handshake, in which both sides learn each other's protocol by its MD5. Nothing here does I/O.

mod frame;
mod handshake;
mod legacy;
mod requestor;
mod responder;
#[cfg(test)]
mod tests;

pub use frame::{FrameDecoder, FrameError, IpcFrame, write_frame};
pub use legacy::{read_legacy_request, write_legacy_answer};
pub use requestor::{CallReply, Requestor};
pub use responder::{AnswerHead, CallOutcome, ClientProtocols, RemoteCall, Responder};

use super::DatumError;

/// The MD5 of the protocol as Flume 1.3 to 1.11 and its client libraries send it. Flume's text holds the licence of the
/// file that it was compiled from.
pub const FLUME_PROTOCOL_MD5: [u8; 16] = [
    0x86, 0xaa, 0xda, 0xe2, 0xc4, 0x54, 0x74, 0xc0, 0xfe, 0x93, 0xff, 0xd0, 0xf2, 0x35, 0x0a, 0x65,
];

/// The same protocol without that comment: what is sent to a peer that asks for the text.
pub const PROTOCOL: &str = r#"{"protocol":"AvroSourceProtocol","namespace":"org.apache.flume.source.avro","types":[{"type":"enum","name":"Status","symbols":["OK","FAILED","UNKNOWN"]},{"type":"record","name":"AvroFlumeEvent","fields":[{"name":"headers","type":{"type":"map","values":"string"}},{"name":"body","type":"bytes"}]}],"messages":{"append":{"request":[{"name":"event","type":"AvroFlumeEvent"}],"response":"Status"},"appendBatch":{"request":[{"name":"events","type":{"type":"array","items":"AvroFlumeEvent"}}],"response":"Status"}}}"#;

/// The MD5 of [`PROTOCOL`].
pub const PROTOCOL_MD5: [u8; 16] = [
    0x30, 0xda, 0x54, 0x05, 0x9d, 0xf7, 0x2d, 0x95, 0x84, 0xb8, 0x67, 0xd5, 0x20, 0x2e, 0x20, 0x69,
];

/// What a source says of the events of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendStatus {
    /// They are in the channels.
    Ok,
    /// They are not, or not in all of them: send them again.
    Failed,
    /// The source cannot tell.
    Unknown,
}

/// Why a message cannot be understood.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// A value in it cannot be read.
    #[error(transparent)]
    Datum(#[from] DatumError),
    /// A handshake or an answer has a value that the protocol does not know.
    #[error("{0}")]
    Protocol(String),
}

fn is_flumes(md5: &[u8; 16]) -> bool {
    [FLUME_PROTOCOL_MD5, PROTOCOL_MD5].contains(md5)
}

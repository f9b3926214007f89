//! Apache Thrift: messages in the compact and the binary protocol, and the services of Flume that use them.
//! Nothing here does I/O.

mod flume;
mod frame;
mod legacy;
mod reader;
mod sasl;
mod scan;
mod scribe;
#[cfg(test)]
mod tests;
mod writer;

use crate::MAX_MESSAGE_PARTS;

pub use flume::{
    ThriftCall, ThriftReply, ThriftStatus, read_call, read_reply, write_append, write_append_batch,
    write_status,
};
pub use frame::{ThriftFrameDecoder, ThriftFrameError, write_thrift_frame};
pub use legacy::{LegacyCall, LegacyFraming, read_legacy_call, write_closed};
pub use reader::{MessageHead, ThriftReader};
pub use sasl::{SaslFrameDecoder, SaslFrameError, SaslMessage, SaslStatus, write_sasl_message};
pub use scribe::{ScribeCall, ScribeResult, read_scribe_call, write_scribe_result};
pub use writer::ThriftWriter;

/// How values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThriftProtocol {
    /// `TCompactProtocol`.
    Compact,
    /// `TBinaryProtocol`. Messages with and without version are read.
    Binary,
}

/// The kind of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageType {
    /// A call that is answered.
    Call = 1,
    /// Its answer.
    Reply = 2,
    /// Its answer when it could not be carried out.
    Exception = 3,
    /// A call without an answer.
    Oneway = 4,
}

impl MessageType {
    fn of(code: u8) -> Result<Self, ThriftError> {
        match code {
            1 => Ok(MessageType::Call),
            2 => Ok(MessageType::Reply),
            3 => Ok(MessageType::Exception),
            4 => Ok(MessageType::Oneway),
            _ => Err(ThriftError::Unknown("message type", code)),
        }
    }
}

/// The type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "Thrift's own names")]
pub enum ThriftType {
    Bool,
    Byte,
    Double,
    I16,
    I32,
    I64,
    Binary,
    Struct,
    Map,
    Set,
    List,
}

/// Types with their codes in the compact and in the binary protocol.
const TYPES: &[(ThriftType, u8, u8)] = &[
    (ThriftType::Bool, 1, 2),
    (ThriftType::Bool, 2, 2),
    (ThriftType::Byte, 3, 3),
    (ThriftType::I16, 4, 6),
    (ThriftType::I32, 5, 8),
    (ThriftType::I64, 6, 10),
    (ThriftType::Double, 7, 4),
    (ThriftType::Binary, 8, 11),
    (ThriftType::List, 9, 15),
    (ThriftType::Set, 10, 14),
    (ThriftType::Map, 11, 13),
    (ThriftType::Struct, 12, 12),
];

impl ThriftType {
    fn of(code: u8, protocol: ThriftProtocol) -> Result<Self, ThriftError> {
        let row = TYPES.iter().find(|(_, compact, binary)| match protocol {
            ThriftProtocol::Compact => *compact == code,
            ThriftProtocol::Binary => *binary == code,
        });
        row.map(|(ty, ..)| *ty)
            .ok_or(ThriftError::Unknown("type", code))
    }

    fn code(self, protocol: ThriftProtocol) -> u8 {
        let row = TYPES.iter().find(|(ty, ..)| *ty == self);
        row.map_or(0, |(_, compact, binary)| match protocol {
            ThriftProtocol::Compact => *compact,
            ThriftProtocol::Binary => *binary,
        })
    }
}

/// How deep values may be nested in what is skipped.
const MAX_DEPTH: usize = 32;

/// Why a message cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ThriftError {
    /// The buffer ends inside of a value.
    #[error("the data ends too early")]
    Truncated,
    /// A number has too many bytes.
    #[error("a number has too many bytes")]
    LongNumber,
    /// A length or a count is negative.
    #[error("a length is negative: {0}")]
    NegativeLength(i64),
    /// The message does not begin like one of this protocol.
    #[error("a message begins with 0x{0:02x}, which is not the {1:?} protocol of Thrift")]
    NoMessage(u8, ThriftProtocol),
    /// A code that Thrift does not have.
    #[error("there is no {0} {1}")]
    Unknown(&'static str, u8),
    /// Values within values within values.
    #[error("values are nested more than {MAX_DEPTH} deep")]
    TooDeep,
    /// More headers and events than [`MAX_MESSAGE_PARTS`].
    #[error("more than {MAX_MESSAGE_PARTS} headers and events are in one message")]
    TooManyParts,
    /// A required field is not there.
    #[error("the field `{0}` is missing")]
    Missing(&'static str),
    /// A field has another type than the service says.
    #[error("`{0}` has another type than the service says")]
    WrongType(&'static str),
    /// Something else that the service does not have.
    #[error("{0}")]
    Service(String),
}

/// Appends the answer to a call that could not be carried out: a `TApplicationException`.
pub fn write_exception(
    protocol: ThriftProtocol,
    head: &MessageHead,
    failure: ApplicationFailure,
    text: &str,
    out: &mut Vec<u8>,
) {
    let mut writer = ThriftWriter::new(protocol, out);
    writer.message(&head.name, MessageType::Exception, head.sequence);
    writer.begin_struct();
    writer.field(ThriftType::Binary, 1);
    writer.binary(text.as_bytes());
    writer.field(ThriftType::I32, 2);
    writer.i32(failure as i32);
    writer.end_struct();
}

/// Why a call could not be carried out, as Thrift counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApplicationFailure {
    /// The service has no such method.
    UnknownMethod = 1,
    /// The service broke.
    Internal = 6,
    /// The call could not be understood.
    Protocol = 7,
}

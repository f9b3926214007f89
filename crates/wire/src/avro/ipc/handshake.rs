//! The handshake: each side names its protocol by MD5, and sends the text to one that does not know it.

use flume_core::Str;

use super::MessageError;
use crate::avro::{
    datum::{DatumError, DatumReader},
    write_bytes, write_long,
};

/// What a client sends before its first call.
pub(super) struct HandshakeRequest {
    pub(super) client_md5: [u8; 16],
    pub(super) client_protocol: Option<Str>,
    pub(super) server_md5: [u8; 16],
}

/// What a server sends before its first answer.
pub(super) struct HandshakeResponse {
    pub(super) verdict: HandshakeMatch,
    pub(super) server_md5: Option<[u8; 16]>,
}

/// Who knows whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HandshakeMatch {
    /// Both know the other's protocol.
    Both,
    /// The server knows the client's; the client was wrong about the server's.
    Client,
    /// The server does not know the client's protocol and did not look at the call.
    None,
}

impl HandshakeRequest {
    pub(super) fn read(reader: &mut DatumReader) -> Result<Self, MessageError> {
        let client_md5 = reader.fixed()?;
        let client_protocol = optional(reader, DatumReader::string)?;
        let server_md5 = reader.fixed()?;
        optional(reader, DatumReader::skip_metadata)?;
        Ok(HandshakeRequest {
            client_md5,
            client_protocol,
            server_md5,
        })
    }

    /// With metadata that is there and empty, as Java writes it.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.client_md5);
        write_optional(
            self.client_protocol
                .as_ref()
                .map(|text| &text.as_bytes()[..]),
            out,
        );
        out.extend_from_slice(&self.server_md5);
        write_long(1, out);
        write_long(0, out);
    }
}

impl HandshakeResponse {
    pub(super) fn read(reader: &mut DatumReader) -> Result<Self, MessageError> {
        let verdict = match reader.long()? {
            0 => HandshakeMatch::Both,
            1 => HandshakeMatch::Client,
            2 => HandshakeMatch::None,
            other => {
                let text = format!("a handshake has the unknown verdict {other}");
                return Err(MessageError::Protocol(text));
            }
        };
        optional(reader, DatumReader::string)?;
        let server_md5 = optional(reader, DatumReader::fixed)?;
        optional(reader, DatumReader::skip_metadata)?;
        Ok(HandshakeResponse {
            verdict,
            server_md5,
        })
    }

    /// `protocol` is the server's with its MD5, for a client that does not know it.
    pub(super) fn write(
        verdict: HandshakeMatch,
        protocol: Option<(&str, [u8; 16])>,
        out: &mut Vec<u8>,
    ) {
        write_long(verdict as i64, out);
        write_optional(protocol.map(|(text, _)| text.as_bytes()), out);
        match protocol {
            None => write_long(0, out),
            Some((_, md5)) => {
                write_long(1, out);
                out.extend_from_slice(&md5);
            }
        }
        write_long(0, out);
    }
}

/// A union of null and something.
fn optional<T>(
    reader: &mut DatumReader,
    read: impl FnOnce(&mut DatumReader) -> Result<T, DatumError>,
) -> Result<Option<T>, DatumError> {
    if reader.branch(2)? == 0 {
        return Ok(None);
    }
    read(reader).map(Some)
}

fn write_optional(bytes: Option<&[u8]>, out: &mut Vec<u8>) {
    match bytes {
        None => write_long(0, out),
        Some(bytes) => {
            write_long(1, out);
            write_bytes(bytes, out);
        }
    }
}

//! The protocol by which clients and DataNodes exchange data: operations, packets, acknowledgements, and what protects
//! them. Nothing here but [`socket`] does I/O; a fake DataNode decodes with the same code.

pub mod digest;
pub mod handshake;
pub mod layer;
pub mod messages;
pub mod packet;
pub mod socket;

use prost::bytes::{Buf, Bytes, BytesMut};

/// What comes from a DataNode does not follow the protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the protocol of a DataNode: {0}")]
pub struct XferError(pub String);

impl XferError {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        XferError(text.into())
    }
}

/// Cuts a message off `buffer` that is preceded by its length as a varint; `None`: more bytes have to come.
///
/// # Errors
/// A length that is no varint, or greater than `max_bytes`.
pub fn cut_delimited(buffer: &mut BytesMut, max_bytes: usize) -> Result<Option<Bytes>, XferError> {
    let mut length = 0usize;
    for at in 0..5 {
        let Some(byte) = buffer.get(at) else {
            return Ok(None);
        };
        length |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            if length > max_bytes {
                return Err(XferError::new(format!("a message of {length} bytes")));
            }
            if buffer.len() < at + 1 + length {
                return Ok(None);
            }
            buffer.advance(at + 1);
            return Ok(Some(buffer.split_to(length).freeze()));
        }
    }
    Err(XferError::new("a length without end"))
}

/// Base64 with padding, as Hadoop makes user names of tokens.
pub(crate) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let byte = |at: usize| u32::from(three.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            if digit <= three.len() {
                text.push(char::from(DIGITS[(bits >> (18 - 6 * digit) & 63) as usize]));
            } else {
                text.push('=');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_cut_at_their_length() {
        let mut buffer = BytesMut::from(&[2, 7, 8, 0x80][..]);
        assert_eq!(
            cut_delimited(&mut buffer, 10).unwrap().unwrap(),
            &[7, 8][..]
        );
        assert_eq!(cut_delimited(&mut buffer, 10).unwrap(), None);
        buffer.extend_from_slice(&[1]);
        assert!(cut_delimited(&mut buffer, 10).is_err());
        assert!(cut_delimited(&mut BytesMut::from(&[0xff; 9][..]), 10).is_err());
    }

    #[test]
    fn base64_has_padding() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64(&[0xfb, 0xff, 0xfe]), "+//+");
    }
}

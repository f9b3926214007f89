//! Frames: the length of a message in four bytes, big end first, then the message.

use bytes::{Bytes, BytesMut};

use crate::framing::{Framing, detach};

const LENGTH_BYTES: usize = 4;

/// Why a connection does not carry frames, or none of a size that is accepted. It cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ThriftFrameError {
    /// A length is negative.
    #[error("a frame has {0} bytes: the peer does not speak framed Thrift")]
    Negative(i32),
    /// A frame is larger than the limit.
    #[error("a frame has {bytes} bytes, the limit is {limit}")]
    TooLarge {
        /// As the peer says.
        bytes: usize,
        /// Most bytes.
        limit: usize,
    },
}

/// Cuts what is received into messages.
#[derive(Debug)]
pub struct ThriftFrameDecoder {
    max_bytes: usize,
    known_bytes: usize,
}

impl ThriftFrameDecoder {
    /// A frame of more than `max_bytes` is an error.
    pub fn new(max_bytes: usize) -> Self {
        ThriftFrameDecoder {
            max_bytes,
            known_bytes: 0,
        }
    }
}

impl Framing for ThriftFrameDecoder {
    type Frame = Bytes;
    type Error = ThriftFrameError;

    fn decode(&mut self, received: &mut BytesMut) -> Result<Option<Bytes>, ThriftFrameError> {
        let Some(length) = received.first_chunk() else {
            return Ok(None);
        };
        let length = i32::from_be_bytes(*length);
        let bytes = usize::try_from(length).map_err(|_| ThriftFrameError::Negative(length))?;
        if bytes > self.max_bytes {
            let limit = self.max_bytes;
            return Err(ThriftFrameError::TooLarge { bytes, limit });
        }
        self.known_bytes = LENGTH_BYTES + bytes;
        if received.len() < self.known_bytes {
            return Ok(None);
        }
        let frame = detach(received, self.known_bytes);
        self.known_bytes = 0;
        Ok(Some(frame.slice(LENGTH_BYTES..)))
    }

    fn known_bytes(&self) -> usize {
        self.known_bytes
    }
}

/// Appends a frame, which `write` fills.
pub fn write_thrift_frame(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let length_at = out.len();
    out.extend_from_slice(&[0; LENGTH_BYTES]);
    write(out);
    let length = (out.len() - length_at - LENGTH_BYTES) as u32;
    out[length_at..length_at + LENGTH_BYTES].copy_from_slice(&length.to_be_bytes());
}

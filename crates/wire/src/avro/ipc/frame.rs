//! Frames: a serial number, the number of buffers, and the buffers, each with its length. All numbers are four bytes,
//! big end first. The message is all buffers in a row; where one ends means nothing.

use bytes::{Bytes, BytesMut};

use crate::framing::{Framing, detach};

/// Bytes of a serial number and a number of buffers.
const HEAD_BYTES: usize = 8;
/// Bytes of a length.
const LENGTH_BYTES: usize = 4;

/// A message with the number that its answer repeats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IpcFrame {
    /// The client counts from 1; the server repeats it.
    pub serial: i32,
    /// A slice of what was received.
    pub message: Bytes,
}

/// Why a connection does not carry frames, or none of a size that is accepted. It cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A frame has no buffers, or fewer.
    #[error("a frame has {0} buffers: the peer does not speak Avro RPC")]
    BufferCount(i32),
    /// A buffer has a negative length.
    #[error("a buffer has {0} bytes: the peer does not speak Avro RPC")]
    BufferLength(i32),
    /// A frame is larger than the limit.
    #[error("a frame has at least {bytes} bytes, the limit is {limit}")]
    TooLarge {
        /// As far as is known.
        bytes: usize,
        /// Most bytes.
        limit: usize,
    },
}

/// Cuts what is received into frames, in place: the buffers of a message are moved together as they come.
#[derive(Debug)]
pub struct FrameDecoder {
    max_bytes: usize,
    under_way: Option<FrameUnderWay>,
}

#[derive(Clone, Copy, Debug)]
struct FrameUnderWay {
    serial: i32,
    /// Buffers whose length was not yet read.
    buffers: usize,
    /// Bytes of the current buffer that are still to come.
    missing: usize,
    /// Where the message begins.
    start: usize,
    /// Where it ends so far.
    end: usize,
    /// Where the bytes begin that were not looked at yet.
    at: usize,
}

impl FrameDecoder {
    /// A frame of more than `max_bytes` is an error.
    pub fn new(max_bytes: usize) -> Self {
        FrameDecoder {
            max_bytes,
            under_way: None,
        }
    }
}

impl Framing for FrameDecoder {
    type Frame = IpcFrame;
    type Error = FrameError;

    fn decode(&mut self, received: &mut BytesMut) -> Result<Option<IpcFrame>, FrameError> {
        let Some(mut frame) = self.under_way.or_else(|| FrameUnderWay::begin(received)) else {
            return Ok(None);
        };
        let complete = frame.advance(received, self.max_bytes)?;
        if !complete {
            self.under_way = Some(frame);
            return Ok(None);
        }
        self.under_way = None;
        let message = detach(received, frame.at);
        Ok(Some(IpcFrame {
            serial: frame.serial,
            message: message.slice(frame.start..frame.end),
        }))
    }

    fn known_bytes(&self) -> usize {
        self.under_way.map_or(0, |frame| frame.known_bytes())
    }
}

impl FrameUnderWay {
    fn begin(received: &[u8]) -> Option<Self> {
        let serial = int(received, 0)?;
        let buffers = int(received, LENGTH_BYTES)?;
        Some(FrameUnderWay {
            serial,
            // What is no number of buffers is an error of the first step.
            buffers: usize::try_from(buffers).unwrap_or(0),
            missing: 0,
            start: HEAD_BYTES,
            end: HEAD_BYTES,
            at: HEAD_BYTES,
        })
        .filter(|_| received.len() >= HEAD_BYTES)
    }

    /// As far as `received` goes; true once the frame is complete.
    fn advance(&mut self, received: &mut BytesMut, max_bytes: usize) -> Result<bool, FrameError> {
        if self.at == HEAD_BYTES && self.buffers == 0 {
            let buffers = int(received, LENGTH_BYTES).unwrap_or_default();
            return Err(FrameError::BufferCount(buffers));
        }
        self.check(max_bytes)?;
        loop {
            let here = self.missing.min(received.len() - self.at);
            if self.start == self.end {
                // Nothing is before the first bytes, so they stay where they are.
                self.start = self.at;
                self.end = self.at;
            } else if here > 0 {
                received.copy_within(self.at..self.at + here, self.end);
            }
            self.end += here;
            self.at += here;
            self.missing -= here;
            if self.missing > 0 {
                return Ok(false);
            }
            if self.buffers == 0 {
                return Ok(true);
            }
            let Some(length) = int(received, self.at) else {
                return Ok(false);
            };
            self.missing = usize::try_from(length).map_err(|_| FrameError::BufferLength(length))?;
            self.at += LENGTH_BYTES;
            self.buffers -= 1;
            self.check(max_bytes)?;
        }
    }

    fn check(&self, limit: usize) -> Result<(), FrameError> {
        let bytes = self.known_bytes();
        if bytes > limit {
            return Err(FrameError::TooLarge { bytes, limit });
        }
        Ok(())
    }

    fn known_bytes(&self) -> usize {
        self.at + self.missing + self.buffers.saturating_mul(LENGTH_BYTES)
    }
}

fn int(bytes: &[u8], at: usize) -> Option<i32> {
    let four = bytes.get(at..)?.first_chunk()?;
    Some(i32::from_be_bytes(*four))
}

/// Appends a frame of one buffer, which `write` fills.
pub fn write_frame(serial: i32, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(&serial.to_be_bytes());
    out.extend_from_slice(&1i32.to_be_bytes());
    let length_at = out.len();
    out.extend_from_slice(&[0; LENGTH_BYTES]);
    write(out);
    let length = (out.len() - length_at - LENGTH_BYTES) as u32;
    out[length_at..length_at + LENGTH_BYTES].copy_from_slice(&length.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(serial: i32, buffers: &[&[u8]]) -> Vec<u8> {
        let mut out = serial.to_be_bytes().to_vec();
        out.extend_from_slice(&(buffers.len() as i32).to_be_bytes());
        for buffer in buffers {
            out.extend_from_slice(&(buffer.len() as i32).to_be_bytes());
            out.extend_from_slice(buffer);
        }
        out
    }

    /// What comes out when the bytes arrive in pieces of that size.
    fn decode(bytes: &[u8], piece: usize) -> Result<Vec<(i32, Vec<u8>)>, FrameError> {
        let mut decoder = FrameDecoder::new(1000);
        let mut received = BytesMut::new();
        let mut frames = vec![];
        for piece in bytes.chunks(piece) {
            received.extend_from_slice(piece);
            while let Some(frame) = decoder.decode(&mut received)? {
                frames.push((frame.serial, frame.message.to_vec()));
            }
        }
        assert!(received.is_empty() && decoder.known_bytes() == 0);
        Ok(frames)
    }

    #[test]
    fn buffers_are_joined_however_they_arrive() {
        let mut bytes = frame(1, &[b"hand", b"", b"shake", b""]);
        bytes.extend(frame(2, &[b""]));
        bytes.extend(frame(-3, &[b"", b"abc"]));
        let expected = vec![
            (1, b"handshake".to_vec()),
            (2, vec![]),
            (-3, b"abc".to_vec()),
        ];
        for piece in 1..=bytes.len() {
            assert_eq!(decode(&bytes, piece).unwrap(), expected, "{piece}");
        }
    }

    #[test]
    fn a_written_frame_is_read() {
        let mut out = vec![];
        write_frame(7, &mut out, |out| out.extend_from_slice(b"hello"));
        assert_eq!(decode(&out, 64).unwrap(), [(7, b"hello".to_vec())]);
    }

    #[test]
    fn claims_are_refused_before_anything_is_received() {
        let refused = |bytes: &[u8]| decode(bytes, bytes.len()).unwrap_err();
        assert_eq!(refused(&frame(1, &[])), FrameError::BufferCount(0));
        let http = i32::from_be_bytes(*b"/ HT");
        assert!(
            matches!(refused(b"GET / HTTP/1.1\r\n"), FrameError::TooLarge { bytes, .. } if bytes > http as usize)
        );
        assert_eq!(
            refused(&[0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff]),
            FrameError::BufferCount(-1)
        );
        assert_eq!(
            refused(&[0, 0, 0, 1, 0, 0, 0, 1, 0x80, 0, 0, 0]),
            FrameError::BufferLength(i32::MIN)
        );
        let large = refused(&[0, 0, 0, 1, 0, 0, 0, 1, 0x7f, 0xff, 0xff, 0xff]);
        assert!(matches!(large, FrameError::TooLarge { limit: 1000, .. }));
        let many = refused(&[0, 0, 0, 1, 0x7f, 0xff, 0xff, 0xff]);
        assert!(matches!(many, FrameError::TooLarge { .. }));
    }
}

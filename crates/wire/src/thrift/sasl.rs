//! The messages by which both ends of a Thrift connection agree who is there, before anything else: a status in one
//! byte, the length of a payload in four, the payload.
//!
//! ```text
//! client: START "GSSAPI", OK token      server: OK token
//! client: OK token                      server: OK token
//! client: COMPLETE token                server: COMPLETE
//! ```
//!
//! Whoever finds a fault sends BAD or ERROR with a text, and closes. With Flume's protection, which is `auth`, frames as
//! those of [`ThriftFrameDecoder`](super::ThriftFrameDecoder) follow.

use bytes::{Bytes, BytesMut};

use crate::framing::{Framing, detach};

const HEAD_BYTES: usize = 5;
/// Most bytes of a payload. The largest ticket of Active Directory, with all groups of a user, is smaller.
const MAX_PAYLOAD_BYTES: usize = 64 << 10;

/// What a message means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaslStatus {
    /// The payload names a mechanism.
    Start = 1,
    /// The payload is a token; one must follow from the other side.
    Ok = 2,
    /// The other side is not believed; the payload says why.
    Bad = 3,
    /// Something is broken; the payload says what.
    Error = 4,
    /// The payload is the last token.
    Complete = 5,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SaslMessage {
    /// What it means.
    pub status: SaslStatus,
    /// A token or a text.
    pub payload: Bytes,
}

/// Why a connection does not carry a negotiation. It cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SaslFrameError {
    /// No message begins so.
    #[error("a message of status {0}: the peer does not begin with a login by Kerberos")]
    Status(u8),
    /// A payload is larger than the limit.
    #[error("a message of the login has {bytes} bytes, the limit is {MAX_PAYLOAD_BYTES}")]
    TooLarge {
        /// As the peer says.
        bytes: u32,
    },
}

/// Cuts what is received into messages of a negotiation.
#[derive(Debug, Default)]
pub struct SaslFrameDecoder {
    known_bytes: usize,
}

impl Framing for SaslFrameDecoder {
    type Frame = SaslMessage;
    type Error = SaslFrameError;

    fn decode(&mut self, received: &mut BytesMut) -> Result<Option<SaslMessage>, SaslFrameError> {
        let Some(first) = received.first() else {
            return Ok(None);
        };
        let status = SaslStatus::of(*first)?;
        let Some(&[_, length @ ..]) = received.first_chunk::<HEAD_BYTES>() else {
            return Ok(None);
        };
        let bytes = u32::from_be_bytes(length);
        let payload_bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        if payload_bytes > MAX_PAYLOAD_BYTES {
            return Err(SaslFrameError::TooLarge { bytes });
        }
        self.known_bytes = HEAD_BYTES + payload_bytes;
        if received.len() < self.known_bytes {
            return Ok(None);
        }
        let message = detach(received, self.known_bytes);
        self.known_bytes = 0;
        Ok(Some(SaslMessage {
            status,
            payload: message.slice(HEAD_BYTES..),
        }))
    }

    fn known_bytes(&self) -> usize {
        self.known_bytes
    }
}

impl SaslStatus {
    fn of(byte: u8) -> Result<Self, SaslFrameError> {
        match byte {
            1 => Ok(SaslStatus::Start),
            2 => Ok(SaslStatus::Ok),
            3 => Ok(SaslStatus::Bad),
            4 => Ok(SaslStatus::Error),
            5 => Ok(SaslStatus::Complete),
            other => Err(SaslFrameError::Status(other)),
        }
    }
}

/// Appends a message.
pub fn write_sasl_message(status: SaslStatus, payload: &[u8], out: &mut Vec<u8>) {
    out.push(status as u8);
    out.extend_from_slice(&(payload.len() as u32).to_be_bytes());
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::thrift::{
        ThriftFrameDecoder, ThriftProtocol, ThriftReply, ThriftStatus, read_call, read_reply,
        tests::unhex,
    };

    const TO_JAVA: &str = include_str!("../../tests/data/thrift-kerberos-to-java.txt");
    const FROM_JAVA: &str = include_str!("../../tests/data/thrift-kerberos-from-java.txt");

    /// Who sends each line, and its bytes.
    fn lines(text: &str) -> Vec<(bool, Vec<u8>)> {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let pairs = lines.map(|line| line.split_once(' ').unwrap());
        pairs
            .map(|(way, bytes)| (way == "C>S", unhex(bytes)))
            .collect()
    }

    /// The message of a line, which is written again as it came.
    fn negotiated((is_client, bytes): &(bool, Vec<u8>)) -> (bool, SaslStatus, Bytes) {
        let mut received = BytesMut::from(&bytes[..]);
        let message = SaslFrameDecoder::default().decode(&mut received).unwrap();
        let SaslMessage { status, payload } = message.expect("a whole message");
        let mut written = vec![];
        write_sasl_message(status, &payload, &mut written);
        assert_eq!(&written, bytes);
        (*is_client, status, payload)
    }

    #[test]
    fn logins_of_java_and_at_java_are_read_and_written_byte_for_byte() {
        use SaslStatus::{Complete, Ok, Start};
        // A client that wants no proof of the source has nothing to add to its first token.
        let from_java = [
            (true, Start),
            (true, Ok),
            (false, Ok),
            (true, Complete),
            (false, Complete),
        ];
        let to_java = [
            (true, Start),
            (true, Ok),
            (false, Ok),
            (true, Ok),
            (false, Ok),
            (true, Complete),
            (false, Complete),
        ];
        for (text, expected) in [(FROM_JAVA, &from_java[..]), (TO_JAVA, &to_java)] {
            let lines = lines(text);
            let messages: Vec<_> = lines.iter().take(expected.len()).map(negotiated).collect();
            let statuses = messages.iter().map(|(side, status, _)| (*side, *status));
            assert_eq!(statuses.collect::<Vec<_>>(), expected);
            assert_eq!(messages[0].2, "GSSAPI");
        }
        let frame = |place: usize| {
            let mut received = BytesMut::from(&lines(TO_JAVA)[place].1[..]);
            let decoded = ThriftFrameDecoder::new(1 << 20).decode(&mut received);
            decoded.unwrap().expect("a whole frame")
        };
        let call = read_call(ThriftProtocol::Compact, frame(to_java.len())).unwrap();
        assert_eq!(
            (call.is_batch, &call.events[0].body[..]),
            (true, &b"warm-up"[..])
        );
        let answer = frame(to_java.len() + 1);
        let reply = read_reply(ThriftProtocol::Compact, call.head.sequence, answer).unwrap();
        assert_eq!(reply, ThriftReply::Status(ThriftStatus::Ok));
    }

    #[test]
    fn messages_are_read_as_written_whatever_the_pieces() {
        let mut written = vec![];
        write_sasl_message(SaslStatus::Start, b"GSSAPI", &mut written);
        assert_eq!(written, b"\x01\0\0\0\x06GSSAPI");
        write_sasl_message(SaslStatus::Complete, b"", &mut written);
        write_sasl_message(SaslStatus::Ok, &[7; MAX_PAYLOAD_BYTES], &mut written);
        for piece in [1, 4, written.len()] {
            let mut decoder = SaslFrameDecoder::default();
            let mut received = BytesMut::new();
            let mut messages = vec![];
            for part in written.chunks(piece) {
                received.extend_from_slice(part);
                while let Some(message) = decoder.decode(&mut received).unwrap() {
                    messages.push((message.status, message.payload.len()));
                }
            }
            let expected = [
                (SaslStatus::Start, 6),
                (SaslStatus::Complete, 0),
                (SaslStatus::Ok, MAX_PAYLOAD_BYTES),
            ];
            assert_eq!(messages, expected);
            assert_eq!((received.len(), decoder.known_bytes()), (0, 0));
        }
    }

    #[test]
    fn what_is_no_negotiation_is_told_by_its_first_bytes() {
        let decode = |bytes: &[u8]| SaslFrameDecoder::default().decode(&mut BytesMut::from(bytes));
        assert_eq!(decode(&[0]), Err(SaslFrameError::Status(0)));
        assert_eq!(decode(b"G"), Err(SaslFrameError::Status(b'G')));
        let bytes = 0x0001_0001;
        assert_eq!(
            decode(&[2, 0, 1, 0, 1]),
            Err(SaslFrameError::TooLarge { bytes })
        );
        assert!(decode(&[2, 0xff, 0xff, 0xff, 0xff]).is_err());
        assert_eq!(decode(&[2, 0, 0, 0]), Ok(None));
    }
}

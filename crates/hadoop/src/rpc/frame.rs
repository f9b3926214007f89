//! Frames: a length, a header, a message.

use prost::{
    Message,
    bytes::{Buf, Bytes},
};

use super::{
    RpcError,
    messages::{ERROR, RequestHeader, ResponseHeader, SUCCESS, Sasl},
};

/// Call id of messages that belong to SASL.
pub const SASL_CALL: i32 = -33;
/// Call id of the connection context.
pub const CONTEXT_CALL: i32 = -3;
/// No answer is longer: Hadoop's `ipc.maximum.response.length`.
pub const MAX_FRAME_BYTES: usize = 128 << 20;

/// How a connection begins.
pub fn preamble(with_sasl: bool) -> [u8; 7] {
    let [h, r, p, c] = *b"hrpc";
    [
        h,
        r,
        p,
        c,
        9,
        0,
        if with_sasl {
            (-33i8).cast_unsigned()
        } else {
            0
        },
    ]
}

/// A frame of some messages behind a header. A call that is sent again keeps its id, and counts its retries.
pub fn request(call_id: i32, retries: i32, client_id: &[u8], messages: &[&[u8]]) -> Vec<u8> {
    let retry_count = Some(if call_id < 0 { -1 } else { retries });
    let header = RequestHeader {
        kind: Some(2),
        operation: Some(0),
        call_id,
        client_id: client_id.into(),
        retry_count,
    };
    let mut frame = vec![0; 4];
    frame.extend(header.encode_length_delimited_to_vec());
    for message in messages {
        frame.extend(*message);
    }
    let length = (frame.len() - 4) as u32;
    frame[..4].copy_from_slice(&length.to_be_bytes());
    frame
}

/// A SASL message as a frame.
pub fn sasl(message: &Sasl) -> Vec<u8> {
    request(
        SASL_CALL,
        0,
        &[],
        &[&message.encode_length_delimited_to_vec()],
    )
}

/// Cuts the first whole frame off `buffer`, without its length; `None`: more bytes have to come.
///
/// # Errors
/// A length that no frame has.
pub fn cut(buffer: &mut Vec<u8>) -> Result<Option<Bytes>, RpcError> {
    let Some((length, rest)) = buffer.split_first_chunk::<4>() else {
        return Ok(None);
    };
    let length = u32::from_be_bytes(*length) as usize;
    if length > MAX_FRAME_BYTES {
        return Err(RpcError::protocol(format!("a frame of {length} bytes")));
    }
    let Some(frame) = rest.get(..length) else {
        return Ok(None);
    };
    let frame = Bytes::copy_from_slice(frame);
    buffer.drain(..4 + length);
    Ok(Some(frame))
}

/// An answer of a server.
#[derive(Clone, Debug, PartialEq)]
pub struct RpcAnswer {
    /// Of which call.
    pub call_id: i32,
    /// The message, preceded by its length, or the exception.
    pub outcome: Result<Bytes, RemoteException>,
    /// Whether the server closes the connection after it.
    pub fatal: bool,
}

/// A Java exception, as a server sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteException {
    /// Its class: `org.apache.hadoop.ipc.StandbyException`.
    pub class: String,
    /// Its message, without the stack.
    pub message: String,
}

impl RpcAnswer {
    /// Reads a frame.
    ///
    /// # Errors
    /// What is no answer.
    pub fn decode(mut frame: Bytes) -> Result<RpcAnswer, RpcError> {
        let header = ResponseHeader::decode_length_delimited(&mut frame)
            .map_err(|error| RpcError::protocol(error.to_string()))?;
        let outcome = if header.status == SUCCESS {
            Ok(frame)
        } else {
            let class = header.exception.unwrap_or_default();
            let message = header.error.unwrap_or_default();
            Err(RemoteException {
                message: first_line(&message, &class),
                class,
            })
        };
        Ok(RpcAnswer {
            call_id: header.call_id.cast_signed(),
            outcome,
            fatal: header.status != SUCCESS && header.status != ERROR,
        })
    }

    /// The message.
    ///
    /// # Errors
    /// The exception.
    pub fn body(self) -> Result<Bytes, RpcError> {
        Ok(self.outcome?)
    }

    /// Its message, where it belongs to SASL.
    ///
    /// # Errors
    /// An exception; bytes that are no such message.
    pub fn sasl(self) -> Result<Sasl, RpcError> {
        let mut body = self.body()?;
        let message = Sasl::decode_length_delimited(&mut body);
        let message = message.map_err(|error| RpcError::protocol(error.to_string()))?;
        if body.has_remaining() {
            Err(RpcError::protocol("bytes behind a SASL message"))
        } else {
            Ok(message)
        }
    }
}

/// What the exception says, without the stack below it or the class before it.
fn first_line(message: &str, class: &str) -> String {
    let line = message.lines().next().unwrap_or_default().trim();
    let line = line
        .strip_prefix(class)
        .map_or(line, |rest| rest.trim_start_matches([':', ' ']));
    if line.is_empty() {
        class.to_string()
    } else {
        line.to_string()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::rpc::messages::state;

    /// An answer as a server sends it, length included.
    pub(crate) fn answer(call_id: i32, message: &[u8]) -> Vec<u8> {
        let header = ResponseHeader {
            call_id: call_id.cast_unsigned(),
            status: SUCCESS,
            exception: None,
            error: None,
        };
        framed(&[&header.encode_length_delimited_to_vec(), message].concat())
    }

    /// An exception.
    pub(crate) fn exception(call_id: i32, class: &str, message: &str) -> Vec<u8> {
        let header = ResponseHeader {
            call_id: call_id.cast_unsigned(),
            status: 2,
            exception: Some(class.into()),
            error: Some(message.into()),
        };
        framed(&header.encode_length_delimited_to_vec())
    }

    fn framed(bytes: &[u8]) -> Vec<u8> {
        [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat()
    }

    #[test]
    fn requests_have_hadoops_bytes() {
        assert_eq!(preamble(true), [0x68, 0x72, 0x70, 0x63, 9, 0, 0xdf]);
        assert_eq!(preamble(false)[6], 0);
        let negotiate = Sasl {
            state: state::NEGOTIATE,
            ..Sasl::default()
        };
        // kind 2, operation 0, call -33 as zigzag 65, no client id, retry -1; state 1.
        let expected = [0, 0, 0, 14, 10, 8, 2, 16, 0, 24, 65, 34, 0, 40, 1, 2, 16, 1];
        assert_eq!(sasl(&negotiate), expected);
    }

    #[test]
    fn answers_are_cut_and_told_apart() {
        let message = Sasl {
            state: state::CHALLENGE,
            token: Some(vec![1, 2]),
            ..Sasl::default()
        };
        let mut buffer = answer(SASL_CALL, &message.encode_length_delimited_to_vec());
        buffer.extend(exception(
            CONTEXT_CALL,
            "a.B",
            "a.B: not allowed\n\tat a.b.C(D.java:1)",
        ));
        let mut incomplete = buffer[..10].to_vec();
        assert_eq!(cut(&mut incomplete).unwrap(), None);
        let first = RpcAnswer::decode(cut(&mut buffer).unwrap().unwrap()).unwrap();
        assert_eq!(first.call_id, SASL_CALL);
        assert_eq!(first.sasl().unwrap(), message);
        let refused = RpcAnswer::decode(cut(&mut buffer).unwrap().unwrap()).unwrap();
        assert!(refused.fatal && refused.call_id == CONTEXT_CALL);
        let RemoteException { class, message } = refused.outcome.unwrap_err();
        assert_eq!((&*class, &*message), ("a.B", "not allowed"));
        assert!(buffer.is_empty());
        assert!(cut(&mut b"HTTP/1.1 400".to_vec()).is_err());
    }

    /// The fuzz target goes further.
    #[test]
    fn any_bytes_are_an_answer_or_refused() {
        let message = Sasl {
            state: state::NEGOTIATE,
            auths: vec![Default::default(); 3],
            ..Sasl::default()
        };
        let whole = answer(SASL_CALL, &message.encode_length_delimited_to_vec());
        for seed in 0..2000 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut bytes = whole[4..4 + random.usize(..=whole.len() - 4)].to_vec();
            for _ in 0..random.usize(..4) {
                if let Some(byte) = random.choice(&mut bytes) {
                    *byte = seed as u8;
                }
            }
            let _ = RpcAnswer::decode(bytes.into()).and_then(RpcAnswer::sasl);
        }
    }
}

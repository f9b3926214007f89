//! How OTLP answers, and how gRPC puts a single message into a body.

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use bytes::Bytes;
use prost::encoding::{self, int32, int64, string};

use super::OtlpError;

/// A flag and the length of a message stand before it.
const HEAD_BYTES: usize = 5;
const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";

/// A message as it comes in a body of gRPC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrpcMessage {
    /// Whether it is compressed, as the header `grpc-encoding` says.
    pub is_compressed: bool,
    /// The message.
    pub bytes: Bytes,
}

impl GrpcMessage {
    /// The one message of a request.
    ///
    /// # Errors
    /// There is none, or more than one.
    pub fn read(body: &Bytes) -> Result<GrpcMessage, OtlpError> {
        let broken = |text: &str| OtlpError::Broken(text.into());
        let Some(&[flag, a, b, c, d]) = body.first_chunk::<HEAD_BYTES>() else {
            return Err(broken(
                "the body of the call is shorter than the head of a message",
            ));
        };
        if flag > 1 {
            return Err(broken("the flag before a message is neither 0 nor 1"));
        }
        let bytes = body.slice(HEAD_BYTES..);
        if u32::from_be_bytes([a, b, c, d]) as usize != bytes.len() {
            return Err(broken("the body of the call is not one whole message"));
        }
        Ok(GrpcMessage {
            is_compressed: flag == 1,
            bytes,
        })
    }

    /// The body that carries a message without compression.
    pub fn write(message: &[u8]) -> Bytes {
        let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
        [&[0][..], &length.to_be_bytes(), message].concat().into()
    }
}

/// The codes of gRPC that a call may end with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "these are gRPC's names")]
pub enum GrpcCode {
    Ok = 0,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    ResourceExhausted = 8,
    Unimplemented = 12,
    Unavailable = 14,
}

/// A `google.rpc.Status`: why a request is refused.
#[derive(Clone, Debug)]
pub struct RpcStatus {
    /// The kind of reason.
    pub code: GrpcCode,
    /// The reason.
    pub text: String,
    /// After how many seconds the same request may come again; `None`: it need not.
    pub retry_seconds: Option<u32>,
}

impl RpcStatus {
    /// As protobuf.
    pub fn protobuf(&self) -> Vec<u8> {
        let mut status = vec![];
        int32::encode(1, &(self.code as i32), &mut status);
        string::encode(2, &self.text, &mut status);
        if let Some(seconds) = self.retry_seconds {
            let mut delay = vec![];
            int64::encode(1, &seconds.into(), &mut delay);
            let mut retry = vec![];
            encoding::bytes::encode(1, &delay, &mut retry);
            let mut any = vec![];
            string::encode(1, &RETRY_INFO.to_string(), &mut any);
            encoding::bytes::encode(2, &retry, &mut any);
            encoding::bytes::encode(3, &any, &mut status);
        }
        status
    }

    /// As JSON.
    pub fn json(&self) -> Vec<u8> {
        let code = self.code as i32;
        serde_json::json!({"code": code, "message": self.text})
            .to_string()
            .into()
    }

    /// For the trailer `grpc-status-details-bin`.
    pub fn details(&self) -> String {
        STANDARD_NO_PAD.encode(self.protobuf())
    }

    /// For the trailer `grpc-message`: printable ASCII, anything else as `%XX`.
    pub fn message(&self) -> String {
        let mut message = String::new();
        for byte in self.text.bytes() {
            match byte {
                b' '..=b'~' if byte != b'%' => message.push(byte.into()),
                byte => message.push_str(&format!("%{byte:02X}")),
            }
        }
        message
    }
}

/// An `ExportLogsServiceResponse`.
#[derive(Clone, Debug, Default)]
pub struct ExportResponse {
    /// Records that are not stored and must not come again.
    pub rejected: usize,
    /// Why.
    pub reason: String,
}

impl ExportResponse {
    /// One more record is rejected.
    pub fn reject(&mut self, reason: &dyn std::error::Error) {
        self.rejected += 1;
        self.reason = flume_core::with_causes(reason);
    }

    /// As protobuf.
    pub fn protobuf(&self) -> Vec<u8> {
        let mut response = vec![];
        if self.rejected > 0 {
            let mut partial = vec![];
            int64::encode(
                1,
                &i64::try_from(self.rejected).unwrap_or(i64::MAX),
                &mut partial,
            );
            string::encode(2, &self.reason, &mut partial);
            encoding::bytes::encode(1, &partial, &mut response);
        }
        response
    }

    /// As JSON.
    pub fn json(&self) -> Vec<u8> {
        if self.rejected == 0 {
            return b"{}".to_vec();
        }
        let rejected = self.rejected.to_string();
        let partial =
            serde_json::json!({"rejectedLogRecords": rejected, "errorMessage": self.reason});
        serde_json::json!({"partialSuccess": partial})
            .to_string()
            .into()
    }
}

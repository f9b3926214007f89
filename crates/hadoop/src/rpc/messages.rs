//! Messages of `RpcHeader.proto`, `IpcConnectionContext.proto`, `ProtobufRpcEngine.proto` and
//! `ClientNamenodeProtocol.proto`, as far as they are used. Enumerations are numbers with constants.

use prost::Message;

/// `RpcRequestHeaderProto`.
#[derive(Clone, PartialEq, Message)]
pub struct RequestHeader {
    /// 2: protocol buffers.
    #[prost(int32, optional, tag = "1")]
    pub kind: Option<i32>,
    /// 0: the final packet, the only one there is.
    #[prost(int32, optional, tag = "2")]
    pub operation: Option<i32>,
    /// Answers carry it, too.
    #[prost(sint32, required, tag = "3")]
    pub call_id: i32,
    /// Sixteen bytes of the connection's own; none during SASL.
    #[prost(bytes = "vec", required, tag = "4")]
    pub client_id: Vec<u8>,
    /// How often this call was sent before; -1: it is none.
    #[prost(sint32, optional, tag = "5")]
    pub retry_count: Option<i32>,
}

/// `RpcResponseHeaderProto`.
#[derive(Clone, PartialEq, Message)]
pub struct ResponseHeader {
    /// The call's, as unsigned bits.
    #[prost(uint32, required, tag = "1")]
    pub call_id: u32,
    /// [`SUCCESS`], or a failure.
    #[prost(int32, required, tag = "2")]
    pub status: i32,
    /// The Java class of the exception.
    #[prost(string, optional, tag = "4")]
    pub exception: Option<String>,
    /// Its message, and perhaps its stack.
    #[prost(string, optional, tag = "5")]
    pub error: Option<String>,
}

/// The status of an answer that is no exception.
pub const SUCCESS: i32 = 0;
/// The status of an exception about one call. After any greater status the server closes the connection.
pub const ERROR: i32 = 1;

/// `RpcSaslProto`.
#[derive(Clone, PartialEq, Message)]
pub struct Sasl {
    /// Its version, which nobody reads.
    #[prost(uint32, optional, tag = "1")]
    pub version: Option<u32>,
    /// One of [`state`].
    #[prost(int32, required, tag = "2")]
    pub state: i32,
    /// What the mechanism says.
    #[prost(bytes = "vec", optional, tag = "3")]
    pub token: Option<Vec<u8>>,
    /// Ways to authenticate, the server's favourite first.
    #[prost(message, repeated, tag = "4")]
    pub auths: Vec<SaslAuth>,
}

/// States of [`Sasl`].
pub mod state {
    /// Authenticated; as the answer to NEGOTIATE: nothing to do, there is no security.
    pub const SUCCESS: i32 = 0;
    /// The client asks for the ways, the server lists them.
    pub const NEGOTIATE: i32 = 1;
    /// The client has chosen one.
    pub const INITIATE: i32 = 2;
    /// The server goes on.
    pub const CHALLENGE: i32 = 3;
    /// The client does.
    pub const RESPONSE: i32 = 4;
    /// Bytes under the security layer.
    pub const WRAP: i32 = 5;
}

/// `RpcSaslProto.SaslAuth`: a way to authenticate.
#[derive(Clone, PartialEq, Message)]
pub struct SaslAuth {
    /// `KERBEROS`, `TOKEN`, `SIMPLE`.
    #[prost(string, required, tag = "1")]
    pub method: String,
    /// `GSSAPI`, `DIGEST-MD5`, nothing.
    #[prost(string, required, tag = "2")]
    pub mechanism: String,
    /// The first part of the server's principal.
    #[prost(string, optional, tag = "3")]
    pub protocol: Option<String>,
    /// The second part.
    #[prost(string, optional, tag = "4")]
    pub server_id: Option<String>,
    /// What the mechanism begins with, where it is the server who begins.
    #[prost(bytes = "vec", optional, tag = "5")]
    pub challenge: Option<Vec<u8>>,
}

/// `IpcConnectionContextProto`.
#[derive(Clone, PartialEq, Message)]
pub struct ConnectionContext {
    /// Who calls.
    #[prost(message, optional, tag = "2")]
    pub user: Option<UserInformation>,
    /// The Java interface that is called.
    #[prost(string, optional, tag = "3")]
    pub protocol: Option<String>,
}

/// `UserInformationProto`.
#[derive(Clone, PartialEq, Message)]
pub struct UserInformation {
    /// On whose behalf.
    #[prost(string, optional, tag = "1")]
    pub effective: Option<String>,
    /// Who, where that is another and SASL does not say it.
    #[prost(string, optional, tag = "2")]
    pub real: Option<String>,
}

/// `RequestHeaderProto`: which call it is.
#[derive(Clone, PartialEq, Message)]
pub struct CallHeader {
    /// The method.
    #[prost(string, required, tag = "1")]
    pub method: String,
    /// The interface that declares it.
    #[prost(string, required, tag = "2")]
    pub protocol: String,
    /// The interface's version.
    #[prost(uint64, required, tag = "3")]
    pub version: u64,
}

/// `GetFileInfoRequestProto`.
#[derive(Clone, PartialEq, Message)]
pub struct GetFileInfoRequest {
    /// The path.
    #[prost(string, required, tag = "1")]
    pub path: String,
}

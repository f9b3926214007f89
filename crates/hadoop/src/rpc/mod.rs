//! Hadoop's RPC, version 9, the client's side: messages in frames over TCP, after a negotiation by SASL.
//!
//! ```text
//! "hrpc" 09 00 auth            auth: 00 none, DF (-33) SASL
//! frame*                       SASL: NEGOTIATE, INITIATE, RESPONSE against NEGOTIATE, CHALLENGE, SUCCESS
//! frame                        connection context: who, on whose behalf
//! frame*                       calls and answers
//! ```
//!
//! A frame is a 32-bit length, a header, and what the header is about; each message is preceded by its own length as a
//! varint. With a security layer each frame is within a SASL message of state WRAP.
//!
//! [`frame`] and [`sasl`] do no I/O. [`RpcConnection`] does, one call at a time; [`RpcMux`] takes a connection and has many
//! calls under way on it.

mod connection;
pub mod frame;
pub mod messages;
mod mux;
pub mod sasl;

use std::time::Duration;

use flume_kerberos::sasl::GssapiError;

pub use connection::{ConnectionSettings, RpcConnection, RpcUser};
pub use frame::RemoteException;
pub use mux::RpcMux;

/// Why a connection or a call failed. An enum because callers branch.
#[derive(Debug, thiserror::Error)]
pub enum RpcError {
    /// The server cannot be reached, or went away.
    #[error("{0}")]
    Network(#[from] std::io::Error),
    /// The server answered with an exception.
    #[error("{message}")]
    Remote {
        /// Its Java class: `org.apache.hadoop.ipc.StandbyException`.
        class: String,
        /// Its message, without the stack.
        message: String,
    },
    /// What came is not Hadoop's RPC.
    #[error("the answer is not Hadoop's RPC: {0}")]
    Protocol(String),
    /// There is no ticket for the service, or the service's answer to it is wrong.
    #[error("{0}")]
    Kerberos(#[from] flume_kerberos::gss::GssError),
    /// Server and client do not agree on how to authenticate.
    #[error("{0}")]
    Negotiation(#[from] sasl::SaslRefusal),
    /// It did not end in time.
    #[error("no answer within {0} s")]
    TimedOut(u64),
}

impl From<frame::RemoteException> for RpcError {
    fn from(exception: frame::RemoteException) -> Self {
        RpcError::Remote {
            class: exception.class,
            message: exception.message,
        }
    }
}

impl From<GssapiError> for RpcError {
    fn from(error: GssapiError) -> Self {
        match error {
            GssapiError::Gss(error) => error.into(),
            GssapiError::TooWeak(weak) => sasl::SaslRefusal::from(weak).into(),
            GssapiError::Protocol(text) => RpcError::Protocol(text),
        }
    }
}

impl RpcError {
    pub(crate) fn protocol(what: impl Into<String>) -> Self {
        RpcError::Protocol(what.into())
    }

    /// No answer came in this time. A limit that began a moment before the wait is told as the same number.
    pub(crate) fn timed_out(waited: Duration) -> Self {
        RpcError::TimedOut((waited + Duration::from_millis(500)).as_secs())
    }
}

//! Why events were not delivered.

use std::io;

use flume_core::BuildError;

use crate::transport::ExchangeError;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// There is no connection.
    #[error("connecting to {peer} failed")]
    Connect {
        /// Host and port.
        peer: String,
        /// What the system, the name service or TLS said.
        source: io::Error,
    },
    /// The connection broke; the events may have arrived.
    #[error("the connection to {peer} broke")]
    Broken {
        /// Host and port.
        peer: String,
        /// What the system said.
        source: io::Error,
    },
    /// The source did not take the events: its channels have no room, or failed.
    #[error("{peer} answered {status}: its channel has no room or failed")]
    Refused {
        /// Host and port.
        peer: String,
        /// As the protocol calls it.
        status: &'static str,
    },
    /// The source did not understand the call, or broke.
    #[error("{peer} reports an error: {text}")]
    Remote {
        /// Host and port.
        peer: String,
        /// Its words.
        text: String,
    },
    /// The peer does not speak the protocol.
    #[error("{peer} does not speak {protocol}: {text}")]
    Protocol {
        /// Host and port.
        peer: String,
        /// What was expected.
        protocol: &'static str,
        /// What came instead.
        text: String,
    },
    /// All peers are left out for now, as they failed.
    #[error("every peer has failed; none is tried for now")]
    NoPeer,
    /// The properties do not describe a client.
    #[error(transparent)]
    Config(#[from] BuildError),
}

/// The same without the peer, which the connection does not know.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("refused: {0}")]
    Refused(&'static str),
    #[error("{0}")]
    Remote(String),
    #[error("{0}")]
    Protocol(String),
}

impl From<ExchangeError> for CallError {
    fn from(error: ExchangeError) -> Self {
        match error {
            ExchangeError::Io(error) => CallError::Io(error),
            ExchangeError::Protocol(text) => CallError::Protocol(text),
        }
    }
}

impl CallError {
    pub(crate) fn of(self, peer: &str, protocol: &'static str) -> ClientError {
        let peer = peer.into();
        match self {
            CallError::Io(source) => ClientError::Broken { peer, source },
            CallError::Refused(status) => ClientError::Refused { peer, status },
            CallError::Remote(text) => ClientError::Remote { peer, text },
            CallError::Protocol(text) => ClientError::Protocol {
                peer,
                protocol,
                text,
            },
        }
    }
}

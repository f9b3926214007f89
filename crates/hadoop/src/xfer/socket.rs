//! A connection to a DataNode, from TCP to the answer of its first operation.

use std::{io, time::Duration};

use prost::{
    Message,
    bytes::{Bytes, BytesMut},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{
    XferError, cut_delimited,
    handshake::{DataHandshake, HandshakeError, HandshakeNext, HandshakeTerms},
    layer::DataLayer,
    messages::{BlockOpResponse, MAX_MESSAGE_BYTES},
};
use crate::{
    conf::Protection,
    namenode::messages::{DataEncryptionKey, DatanodeId, Token},
};

/// A DataNode on the network accepts sooner.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// The handshake takes two round trips.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Ports below this need the superuser, which proves the DataNode.
const UNPRIVILEGED_PORT: u32 = 1024;

/// How a client connects to DataNodes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct DataSettings {
    /// Whether the cluster has Kerberos.
    pub kerberos: bool,
    /// `dfs.data.transfer.protection`, in order of preference.
    pub protection: Vec<Protection>,
    /// Whether AES is asked for where there is privacy.
    pub aes: bool,
    /// Whether DataNodes are reached by name.
    pub use_host_name: bool,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The DataNode cannot be reached, or went away.
    #[error("{0}")]
    Network(#[from] io::Error),
    /// There is no agreement.
    #[error("{0}")]
    Handshake(#[from] HandshakeError),
    /// It did not answer in time.
    #[error("no answer within {0} s")]
    TimedOut(u64),
}

impl From<XferError> for DialError {
    fn from(error: XferError) -> Self {
        DialError::Handshake(error.into())
    }
}

/// An open connection.
pub struct DataSocket {
    /// What the bytes go over.
    pub stream: TcpStream,
    /// What is done to them.
    pub layer: DataLayer,
    /// Bytes as they came.
    pub raw: BytesMut,
    /// Bytes from under the layer.
    pub plain: BytesMut,
}

impl DataSocket {
    /// Connects to a DataNode and agrees on protection.
    ///
    /// # Errors
    /// What stood in the way.
    pub async fn connect(
        node: &DatanodeId,
        token: &Token,
        settings: &DataSettings,
        key: Option<&DataEncryptionKey>,
    ) -> Result<DataSocket, DialError> {
        let host = if settings.use_host_name {
            &node.host_name
        } else {
            &node.ip_addr
        };
        let port = node.xfer_port as u16;
        let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect((host.as_str(), port))).await;
        let stream = stream.map_err(|_| DialError::TimedOut(CONNECT_TIMEOUT.as_secs()))??;
        stream.set_nodelay(true)?;
        let mut socket = DataSocket {
            stream,
            layer: DataLayer::Plain,
            raw: BytesMut::new(),
            plain: BytesMut::new(),
        };
        let terms = match key {
            Some(key) => Some(HandshakeTerms::of_key(key, settings.aes)),
            None if !settings.kerberos
                || settings.protection.is_empty()
                || node.xfer_port < UNPRIVILEGED_PORT =>
            {
                None
            }
            None => Some(HandshakeTerms::of_token(
                token,
                settings.protection.clone(),
                settings.aes,
            )),
        };
        if let Some(terms) = terms {
            timeout(HANDSHAKE_TIMEOUT, socket.agree(terms))
                .await
                .map_err(|_| DialError::TimedOut(HANDSHAKE_TIMEOUT.as_secs()))??;
        }
        Ok(socket)
    }

    async fn agree(&mut self, terms: HandshakeTerms) -> Result<(), DialError> {
        let mut random = [0; 16];
        rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())
            .map_err(io::Error::from)?;
        let (mut handshake, first) = DataHandshake::begin(terms, random);
        self.stream.write_all(&first).await?;
        loop {
            let message = self.receive().await.map_err(|error| match error {
                DialError::Network(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    let text = "the DataNode hung up during the handshake: do its \
                                dfs.data.transfer.protection and dfs.encrypt.data.transfer fit the client's?";
                    HandshakeError::Refused(text.into()).into()
                }
                error => error,
            })?;
            match handshake.take(message)? {
                HandshakeNext::Send(bytes) => self.stream.write_all(&bytes).await?,
                HandshakeNext::Done(layer) => {
                    self.layer = layer;
                    return Ok(());
                }
            }
        }
    }

    /// Sends bytes under the layer.
    ///
    /// # Errors
    /// A connection that is gone.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<(), DialError> {
        let mut sealed = vec![];
        self.layer.seal(&[bytes], &mut sealed);
        Ok(self.stream.write_all(&sealed).await?)
    }

    /// The next message, which is preceded by its length.
    ///
    /// # Errors
    /// A connection that is gone, and what is no message.
    pub async fn receive(&mut self) -> Result<Bytes, DialError> {
        loop {
            if let Some(message) = cut_delimited(&mut self.plain, MAX_MESSAGE_BYTES)? {
                return Ok(message);
            }
            self.fill().await?;
        }
    }

    /// The answer to an operation.
    ///
    /// # Errors
    /// As [`DataSocket::receive`].
    pub async fn response(&mut self) -> Result<BlockOpResponse, DialError> {
        let message = self.receive().await?;
        BlockOpResponse::decode(message).map_err(|error| XferError::new(error.to_string()).into())
    }

    /// Reads what there is into [`DataSocket::plain`].
    ///
    /// # Errors
    /// A connection that is gone.
    pub async fn fill(&mut self) -> Result<(), DialError> {
        if self.stream.read_buf(&mut self.raw).await? == 0 {
            let text = "the DataNode closed the connection";
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text).into());
        }
        Ok(self.layer.open(&mut self.raw, &mut self.plain)?)
    }
}

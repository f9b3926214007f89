//! A connection with frames in both directions: what the protocols have in common.

use std::io;

use bytes::BytesMut;
use flume_wire::Framing;
use tokio::io::AsyncWriteExt;

use super::{BoxedStream, read_more};

/// Most bytes that are read at once.
const READ_BYTES: usize = 4 << 10;
/// A message leaves no more memory behind than this.
const MAX_KEPT_BYTES: usize = 256 << 10;

/// Why an exchange cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// The connection broke, or the peer closed it.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The peer sends no such frames.
    #[error("{0}")]
    Protocol(String),
}

/// Sends messages and receives frames.
pub struct FrameExchange<F> {
    pub(crate) stream: BoxedStream,
    framing: F,
    received: BytesMut,
    out: Vec<u8>,
}

impl<F: Framing> FrameExchange<F> {
    /// Over a stream on which nothing has come.
    pub fn new(stream: BoxedStream, framing: F) -> Self {
        FrameExchange {
            stream,
            framing,
            received: BytesMut::new(),
            out: vec![],
        }
    }

    /// Sends what `write` appends.
    ///
    /// # Errors
    /// When the connection is broken.
    pub async fn send<T>(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>) -> T,
    ) -> Result<T, ExchangeError> {
        self.out.clear();
        let written = write(&mut self.out);
        self.stream.write_all(&self.out).await?;
        self.stream.flush().await?;
        self.out.shrink_to(MAX_KEPT_BYTES);
        Ok(written)
    }

    /// The next frame of the peer.
    ///
    /// # Errors
    /// When the connection is broken or closed, or no frame comes.
    pub async fn next_frame(&mut self) -> Result<F::Frame, ExchangeError> {
        loop {
            let decoded = self.framing.decode(&mut self.received);
            let decoded = decoded.map_err(|error| ExchangeError::Protocol(error.to_string()))?;
            if let Some(frame) = decoded {
                return Ok(frame);
            }
            if read_more(&mut self.stream, &mut self.received, READ_BYTES).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
    }

    /// The stream, for another protocol from now on.
    ///
    /// # Errors
    /// When the peer has sent more already.
    pub fn into_stream(self) -> Result<BoxedStream, ExchangeError> {
        if self.received.is_empty() {
            return Ok(self.stream);
        }
        let text = format!("{} bytes came too early", self.received.len());
        Err(ExchangeError::Protocol(text))
    }
}

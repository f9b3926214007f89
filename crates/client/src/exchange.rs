//! A connection with frames in both directions: what the protocols have in common.

use bytes::BytesMut;
use flume_wire::Framing;
use tokio::io::AsyncWriteExt;

use crate::{
    error::CallError,
    transport::{BoxedStream, read_more},
};

/// Most bytes of an answer. The longest has the protocol of an Avro server, with the licence in front of it.
pub(crate) const MAX_ANSWER_BYTES: usize = 1 << 20;
/// Most bytes of an answer that are read at once.
const READ_BYTES: usize = 4 << 10;
/// A call leaves no more memory behind than this.
const MAX_KEPT_BYTES: usize = 256 << 10;

/// Sends calls and receives frames.
pub(crate) struct FrameExchange<F> {
    pub(crate) stream: BoxedStream,
    framing: F,
    received: BytesMut,
    out: Vec<u8>,
}

impl<F: Framing> FrameExchange<F> {
    pub(crate) fn new(stream: BoxedStream, framing: F) -> Self {
        FrameExchange {
            stream,
            framing,
            received: BytesMut::new(),
            out: vec![],
        }
    }

    /// Sends what `write` appends.
    pub(crate) async fn send<T>(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>) -> T,
    ) -> Result<T, CallError> {
        self.out.clear();
        let written = write(&mut self.out);
        self.stream.write_all(&self.out).await?;
        self.stream.flush().await?;
        self.out.shrink_to(MAX_KEPT_BYTES);
        Ok(written)
    }

    /// The next frame of the peer.
    pub(crate) async fn next_frame(&mut self) -> Result<F::Frame, CallError> {
        loop {
            let decoded = self.framing.decode(&mut self.received);
            let decoded = decoded.map_err(|error| CallError::Protocol(error.to_string()))?;
            if let Some(frame) = decoded {
                return Ok(frame);
            }
            if read_more(&mut self.stream, &mut self.received, READ_BYTES).await? == 0 {
                return Err(CallError::Io(std::io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }
}

//! A connection that speaks Thrift RPC.

use bytes::{Bytes, BytesMut};
use flume_core::Event;
use flume_wire::{
    Framing,
    thrift::{
        ThriftFrameDecoder, ThriftProtocol, ThriftReply, ThriftStatus, read_reply, write_append,
        write_append_batch, write_thrift_frame,
    },
};
use tokio::io::AsyncWriteExt;

use crate::{
    error::CallError,
    transport::{BoxedStream, read_more},
};

/// Most bytes of an answer.
const MAX_ANSWER_BYTES: usize = 1 << 20;
/// Most bytes of an answer that are read at once.
const READ_BYTES: usize = 4 << 10;
/// A call leaves no more memory behind than this.
const MAX_KEPT_BYTES: usize = 256 << 10;

pub(crate) struct ThriftConnection {
    pub(crate) stream: BoxedStream,
    protocol: ThriftProtocol,
    framing: ThriftFrameDecoder,
    received: BytesMut,
    out: Vec<u8>,
    /// Of the last call.
    sequence: i32,
    /// Calls whose answers are still to come.
    under_way: usize,
}

impl ThriftConnection {
    pub(crate) fn new(stream: BoxedStream, protocol: ThriftProtocol) -> Self {
        ThriftConnection {
            stream,
            protocol,
            framing: ThriftFrameDecoder::new(MAX_ANSWER_BYTES),
            received: BytesMut::new(),
            out: vec![],
            sequence: 0,
            under_way: 0,
        }
    }

    pub(crate) async fn append(&mut self, event: &Event) -> Result<(), CallError> {
        let protocol = self.protocol;
        self.call(|sequence, out| write_append(protocol, sequence, event, out))
            .await?;
        self.settle_to(0).await
    }

    /// Sends a batch. Up to `depth` of them may be without an answer afterwards.
    pub(crate) async fn append_batch(
        &mut self,
        events: &[Event],
        depth: usize,
    ) -> Result<(), CallError> {
        let protocol = self.protocol;
        self.call(|sequence, out| write_append_batch(protocol, sequence, events, out))
            .await?;
        self.settle_to(depth - 1).await
    }

    async fn call(&mut self, write: impl FnOnce(i32, &mut Vec<u8>)) -> Result<(), CallError> {
        self.sequence = self.sequence.wrapping_add(1);
        self.out.clear();
        write_thrift_frame(&mut self.out, |out| write(self.sequence, out));
        self.under_way += 1;
        self.stream.write_all(&self.out).await?;
        self.stream.flush().await?;
        self.out.shrink_to(MAX_KEPT_BYTES);
        Ok(())
    }

    /// Waits for answers until no more than so many calls are without. They come in the order of the calls.
    pub(crate) async fn settle_to(&mut self, calls: usize) -> Result<(), CallError> {
        while self.under_way > calls {
            let message = self.next_message().await?;
            let sequence = self.sequence.wrapping_sub(self.under_way as i32 - 1);
            self.under_way -= 1;
            let reply = read_reply(self.protocol, sequence, message);
            match reply.map_err(|error| CallError::Protocol(error.to_string()))? {
                ThriftReply::Status(ThriftStatus::Ok) => {}
                ThriftReply::Status(ThriftStatus::Failed) => {
                    return Err(CallError::Refused("FAILED"));
                }
                ThriftReply::Status(ThriftStatus::Error) => {
                    return Err(CallError::Refused("ERROR"));
                }
                ThriftReply::Status(ThriftStatus::Unknown) => {
                    return Err(CallError::Refused("UNKNOWN"));
                }
                ThriftReply::Exception(text) => return Err(CallError::Remote(text)),
            }
        }
        Ok(())
    }

    async fn next_message(&mut self) -> Result<Bytes, CallError> {
        loop {
            let decoded = self.framing.decode(&mut self.received);
            let decoded = decoded.map_err(|error| CallError::Protocol(error.to_string()))?;
            if let Some(message) = decoded {
                return Ok(message);
            }
            if read_more(&mut self.stream, &mut self.received, READ_BYTES).await? == 0 {
                return Err(CallError::Io(std::io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }
}

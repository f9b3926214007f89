//! A connection that speaks Thrift RPC.

use flume_core::Event;
use flume_wire::thrift::{
    ThriftFrameDecoder, ThriftProtocol, ThriftReply, ThriftStatus, read_reply, write_append,
    write_append_batch, write_thrift_frame,
};

use crate::{
    error::CallError,
    peer::MAX_ANSWER_BYTES,
    transport::{BoxedStream, FrameExchange},
};

pub(crate) struct ThriftConnection {
    pub(crate) exchange: FrameExchange<ThriftFrameDecoder>,
    protocol: ThriftProtocol,
    /// Of the last call.
    sequence: i32,
    /// Calls whose answers are still to come.
    under_way: usize,
}

impl ThriftConnection {
    pub(crate) fn new(stream: BoxedStream, protocol: ThriftProtocol) -> Self {
        ThriftConnection {
            exchange: FrameExchange::new(stream, ThriftFrameDecoder::new(MAX_ANSWER_BYTES)),
            protocol,
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
        self.under_way += 1;
        let sequence = self.sequence;
        let frame = |out: &mut Vec<u8>| write_thrift_frame(out, |out| write(sequence, out));
        Ok(self.exchange.send(frame).await?)
    }

    /// Waits for answers until no more than so many calls are without. They come in the order of the calls.
    pub(crate) async fn settle_to(&mut self, calls: usize) -> Result<(), CallError> {
        while self.under_way > calls {
            let message = self.exchange.next_frame().await?;
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
}

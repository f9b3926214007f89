//! A connection that speaks Avro RPC.

use flume_core::Event;
use flume_wire::avro::ipc::{AppendStatus, CallReply, FrameDecoder, IpcFrame, Requestor};

use crate::{
    error::CallError,
    peer::MAX_ANSWER_BYTES,
    transport::{BoxedStream, FrameExchange},
};

pub(crate) struct AvroConnection {
    pub(crate) exchange: FrameExchange<FrameDecoder>,
    requestor: Requestor,
    /// Serial numbers of calls whose answers are still to come.
    under_way: Vec<i32>,
}

impl AvroConnection {
    pub(crate) fn new(stream: BoxedStream) -> Self {
        AvroConnection {
            exchange: FrameExchange::new(stream, FrameDecoder::new(MAX_ANSWER_BYTES)),
            requestor: Requestor::default(),
            under_way: vec![],
        }
    }

    pub(crate) async fn append(&mut self, event: &Event) -> Result<(), CallError> {
        self.call(|requestor, out| requestor.append(event, out))
            .await?;
        self.settle_to(0).await
    }

    /// Sends a batch. Up to `depth` of them may be without an answer afterwards.
    pub(crate) async fn append_batch(
        &mut self,
        events: &[Event],
        depth: usize,
    ) -> Result<(), CallError> {
        self.call(|requestor, out| requestor.append_batch(events, out))
            .await?;
        self.settle_to(depth - 1).await
    }

    /// Sends a call; the first one on a connection until the server has understood it.
    async fn call(
        &mut self,
        write: impl Fn(&mut Requestor, &mut Vec<u8>) -> i32,
    ) -> Result<(), CallError> {
        loop {
            let requestor = &mut self.requestor;
            let serial = self.exchange.send(|out| write(requestor, out)).await?;
            self.under_way.push(serial);
            if self.requestor.is_established() || !self.is_asked_again().await? {
                return Ok(());
            }
        }
    }

    /// Waits for answers until no more than so many calls are without.
    pub(crate) async fn settle_to(&mut self, calls: usize) -> Result<(), CallError> {
        while self.under_way.len() > calls {
            self.is_asked_again().await?;
        }
        Ok(())
    }

    /// Takes an answer; true if the server wants the call again.
    async fn is_asked_again(&mut self) -> Result<bool, CallError> {
        let IpcFrame { serial, message } = self.exchange.next_frame().await?;
        let call = self.under_way.iter().position(|known| *known == serial);
        let Some(call) = call else {
            let text = format!("an answer to call {serial}, which nobody made");
            return Err(CallError::Protocol(text));
        };
        self.under_way.remove(call);
        let reply = self.requestor.receive(message);
        match reply.map_err(|error| CallError::Protocol(error.to_string()))? {
            CallReply::CallAgain => Ok(true),
            CallReply::Status(AppendStatus::Ok) => Ok(false),
            CallReply::Status(AppendStatus::Failed) => Err(CallError::Refused("FAILED")),
            CallReply::Status(AppendStatus::Unknown) => Err(CallError::Refused("UNKNOWN")),
            CallReply::SystemError(text) => Err(CallError::Remote(text)),
        }
    }
}

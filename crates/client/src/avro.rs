//! A connection that speaks Avro RPC.

use bytes::BytesMut;
use flume_core::Event;
use flume_wire::{
    Framing,
    avro::ipc::{AppendStatus, CallReply, FrameDecoder, IpcFrame, Requestor},
};
use tokio::io::AsyncWriteExt;

use crate::{
    error::CallError,
    transport::{BoxedStream, read_more},
};

/// Most bytes of an answer. The longest has the protocol of the server, with the licence in front of it.
const MAX_ANSWER_BYTES: usize = 1 << 20;
/// Most bytes of an answer that are read at once.
const READ_BYTES: usize = 4 << 10;
/// A call leaves no more memory behind than this.
const MAX_KEPT_BYTES: usize = 256 << 10;

pub(crate) struct AvroConnection {
    pub(crate) stream: BoxedStream,
    requestor: Requestor,
    framing: FrameDecoder,
    received: BytesMut,
    out: Vec<u8>,
    /// Serial numbers of calls whose answers are still to come.
    under_way: Vec<i32>,
}

impl AvroConnection {
    pub(crate) fn new(stream: BoxedStream) -> Self {
        AvroConnection {
            stream,
            requestor: Requestor::default(),
            framing: FrameDecoder::new(MAX_ANSWER_BYTES),
            received: BytesMut::new(),
            out: vec![],
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
            self.out.clear();
            let serial = write(&mut self.requestor, &mut self.out);
            self.under_way.push(serial);
            self.stream.write_all(&self.out).await?;
            self.stream.flush().await?;
            self.out.shrink_to(MAX_KEPT_BYTES);
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
        let IpcFrame { serial, message } = self.next_frame().await?;
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

    async fn next_frame(&mut self) -> Result<IpcFrame, CallError> {
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

//! `avro`: events over Avro RPC, from other agents and from Flume's client SDK.

use std::sync::Arc;

use async_trait::async_trait;
use flume_core::{
    BuildError, Component, Config, Context, Event, ListenPort, PutError, Source, SourceContext,
    SourceError,
    config::{Choice, Ignored, OrDefault},
    metrics::{Counter, Metrics},
};
use flume_net::ListenerConfig;
use flume_wire::avro::ipc::{
    AppendStatus, CallOutcome, ClientProtocols, FrameDecoder, IpcFrame, RemoteCall, Responder,
};

use super::serve::{Port, PortLayer};
use crate::conversation::{BoxedError, Dialogue, put, told};

/// Takes events from Avro sinks of other agents and from Flume's client SDK. A client is told OK when the channels have
/// its events.
#[derive(Clone, Config)]
pub(crate) struct AvroSourceConfig {
    /// Host name or address to listen on.
    #[prop("bind")]
    bind: String,
    /// Port to listen on; 0 takes a free one.
    #[prop("port")]
    port: u16,
    /// Connections share the agent's threads.
    #[prop("threads")]
    _threads: Ignored,
    /// `deflate` compresses connections in both directions, which clients must be told, too; anything else does not. With
    /// TLS both orders are understood: that of Flume 1.10 and 1.11, and that of the versions before.
    #[prop("compression-type", default = "none")]
    compression_type: OrDefault<SourceCompression>,
    /// Most bytes of a call. Not a property of Flume.
    #[prop("maxFrameBytes", default = 67108864)]
    max_frame_bytes: usize,
    #[prop(flatten)]
    listener: ListenerConfig,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum SourceCompression {
    None,
    Deflate,
}

impl Choice for SourceCompression {
    const CHOICES: &'static [(&'static str, Self)] = &[
        ("none", SourceCompression::None),
        ("deflate", SourceCompression::Deflate),
    ];
}

pub(crate) struct AvroSource {
    port: Port,
    max_frame_bytes: usize,
    counters: CallCounters,
}

/// Calls, as Flume counts them.
#[derive(Clone)]
pub(super) struct CallCounters {
    pub(super) appends: Counter,
    pub(super) accepted_appends: Counter,
    pub(super) batches: Counter,
    pub(super) accepted_batches: Counter,
}

impl CallCounters {
    pub(super) fn new(metrics: &Metrics) -> Self {
        CallCounters {
            appends: metrics.counter("AppendReceivedCount"),
            accepted_appends: metrics.counter("AppendAcceptedCount"),
            batches: metrics.counter("AppendBatchReceivedCount"),
            accepted_batches: metrics.counter("AppendBatchAcceptedCount"),
        }
    }

    pub(super) fn received(&self, is_batch: bool) {
        let counter = if is_batch {
            &self.batches
        } else {
            &self.appends
        };
        counter.add(1);
    }

    pub(super) fn accepted(&self, is_batch: bool) {
        let counter = if is_batch {
            &self.accepted_batches
        } else {
            &self.accepted_appends
        };
        counter.add(1);
    }
}

impl Component for AvroSource {
    type Config = AvroSourceConfig;
    fn build(config: AvroSourceConfig, cx: &Context) -> Result<Self, BuildError> {
        Ok(AvroSource {
            port: Port {
                listener: config.listener.build(cx)?,
                host: config.bind,
                port: config.port,
                layer: match config.compression_type.0 {
                    SourceCompression::None => PortLayer::None,
                    SourceCompression::Deflate => PortLayer::Zlib,
                },
            },
            max_frame_bytes: config.max_frame_bytes,
            counters: CallCounters::new(&cx.metrics),
        })
    }
}

#[async_trait]
impl Source for AvroSource {
    fn ports(&self) -> Vec<ListenPort> {
        vec![self.port.listen_port()]
    }

    async fn run(&mut self, cx: &SourceContext) -> Result<(), SourceError> {
        let clients = Arc::new(ClientProtocols::default());
        let counters = self.counters.clone();
        let source = cx.clone();
        let max_frame_bytes = self.max_frame_bytes;
        let dialogue = move || {
            let dialogue = AvroDialogue {
                responder: Responder::default(),
                clients: clients.clone(),
                counters: counters.clone(),
                cx: source.clone(),
            };
            (FrameDecoder::new(max_frame_bytes), dialogue)
        };
        self.port.serve(cx, dialogue).await
    }
}

struct AvroDialogue {
    responder: Responder,
    /// Protocols that clients of this source have sent.
    clients: Arc<ClientProtocols>,
    counters: CallCounters,
    cx: SourceContext,
}

impl Dialogue for AvroDialogue {
    type Framing = FrameDecoder;

    async fn answer(&mut self, frame: IpcFrame, out: &mut Vec<u8>) -> Result<(), BoxedError> {
        let frame_bytes = frame.message.len();
        let (call, head) = self.responder.receive(frame.message, &self.clients)?;
        let error;
        let outcome = match call {
            RemoteCall::Nothing => CallOutcome::Status(AppendStatus::Ok),
            RemoteCall::Impossible(reason) => {
                error = reason;
                CallOutcome::SystemError(&error)
            }
            RemoteCall::Append(event) => match self.put(vec![event], frame_bytes, false).await {
                Ok(()) => CallOutcome::Status(AppendStatus::Ok),
                Err(PutError::Channel { .. } | PutError::Throttled(_)) => {
                    CallOutcome::Status(AppendStatus::Failed)
                }
                Err(refusal) => {
                    error = told(&refusal);
                    CallOutcome::SystemError(&error)
                }
            },
            RemoteCall::AppendBatch(events) => match self.put(events, frame_bytes, true).await {
                Ok(()) => CallOutcome::Status(AppendStatus::Ok),
                Err(_) => CallOutcome::Status(AppendStatus::Failed),
            },
        };
        head.write(frame.serial, outcome, out);
        Ok(())
    }
}

impl AvroDialogue {
    async fn put(
        &self,
        events: Vec<Event>,
        frame_bytes: usize,
        is_batch: bool,
    ) -> Result<(), PutError> {
        self.counters.received(is_batch);
        put(&self.cx, events, frame_bytes).await?;
        self.counters.accepted(is_batch);
        Ok(())
    }
}

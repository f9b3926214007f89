//! The Scribe source: lines with a category, as Facebook's Scribe sends them.

use async_trait::async_trait;
use bytes::Bytes;
use flume_core::{
    BuildError, Component, Config, Context, ListenPort, Source, SourceContext, SourceError,
    config::Ignored,
};
use flume_net::ListenerConfig;
use flume_wire::thrift::{
    ApplicationFailure, ScribeResult, ThriftError, ThriftFrameDecoder, ThriftProtocol,
    read_scribe_call, write_exception, write_scribe_result, write_thrift_frame,
};

use super::serve::{Port, PortLayer};
use crate::conversation::{BoxedError, Dialogue, put};

/// Flume's limit, which also stands in for one below 1.
const DEFAULT_MAX_FRAME_BYTES: i64 = 16_384_000;

/// Takes log lines from Scribe. The category of a line becomes the header `category`. It listens on all addresses.
#[derive(Clone, Config)]
pub(crate) struct ScribeConfig {
    /// Port to listen on.
    #[prop("port", default = 1499)]
    port: u16,
    /// Connections share the agent's threads.
    #[prop("workerThreads")]
    _worker_threads: Ignored,
    /// Most bytes of a call; 0 or less means the default.
    #[prop("maxReadBufferBytes", default = DEFAULT_MAX_FRAME_BYTES)]
    max_read_buffer_bytes: i64,
    #[prop(flatten)]
    listener: ListenerConfig,
}

pub(crate) struct ScribeSource {
    port: Port,
    max_frame_bytes: usize,
}

impl Component for ScribeSource {
    type Config = ScribeConfig;
    fn build(config: ScribeConfig, cx: &Context) -> Result<Self, BuildError> {
        let max_frame_bytes = match config.max_read_buffer_bytes {
            bytes @ 1.. => bytes,
            _ => DEFAULT_MAX_FRAME_BYTES,
        };
        Ok(ScribeSource {
            port: Port {
                listener: config.listener.build(cx)?,
                host: "0.0.0.0".into(),
                port: config.port,
                layer: PortLayer::None,
            },
            max_frame_bytes: max_frame_bytes as usize,
        })
    }
}

#[async_trait]
impl Source for ScribeSource {
    fn ports(&self) -> Vec<ListenPort> {
        vec![self.port.listen_port()]
    }

    async fn run(&mut self, cx: &SourceContext) -> Result<(), SourceError> {
        let source = cx.clone();
        let max_frame_bytes = self.max_frame_bytes;
        let dialogue = move || {
            let dialogue = ScribeDialogue { cx: source.clone() };
            (ThriftFrameDecoder::new(max_frame_bytes), dialogue)
        };
        self.port.serve(cx, dialogue).await
    }

    fn may_set(&self, header: &str) -> bool {
        header == "category"
    }
}

struct ScribeDialogue {
    cx: SourceContext,
}

impl Dialogue for ScribeDialogue {
    type Framing = ThriftFrameDecoder;

    async fn answer(&mut self, message: Bytes, out: &mut Vec<u8>) -> Result<(), BoxedError> {
        let frame_bytes = message.len();
        let call = match read_scribe_call(message) {
            Ok(call) => call,
            Err((None, error)) => return Err(error.into()),
            Err((Some(head), error)) => {
                let failure = match error {
                    ThriftError::Service(_) => ApplicationFailure::UnknownMethod,
                    _ => ApplicationFailure::Protocol,
                };
                let text = error.to_string();
                write_thrift_frame(out, |out| {
                    write_exception(ThriftProtocol::Binary, &head, failure, &text, out);
                });
                return Ok(());
            }
        };
        let result = match call.events {
            None => ScribeResult::TryLater,
            Some(events) => match put(&self.cx, events, frame_bytes).await {
                Ok(()) => ScribeResult::Ok,
                Err(_) => ScribeResult::TryLater,
            },
        };
        write_thrift_frame(out, |out| write_scribe_result(&call.head, result, out));
        Ok(())
    }
}

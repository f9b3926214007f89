//! The source for agents of Flume 0.9 that send over Thrift.

use async_trait::async_trait;
use flume_core::{
    BuildError, Component, Config, Context, ListenPort, Source, SourceContext, SourceError,
};
use flume_wire::thrift::{LegacyCall, LegacyFraming, write_closed};

use super::serve::{LegacyPortConfig, Port};
use crate::conversation::{BoxedError, Dialogue, put};

/// Takes events from agents of Flume 0.9 over Thrift. Host, timestamp, priority, nanoseconds and fields become headers.
/// Flume 0.9 asks for no answer, so what the channels refuse is lost; it is counted as `ChannelWriteFail`.
#[derive(Clone, Config)]
pub(crate) struct ThriftLegacyConfig {
    #[prop(flatten)]
    port: LegacyPortConfig,
}

pub(crate) struct ThriftLegacySource {
    port: Port,
}

impl Component for ThriftLegacySource {
    type Config = ThriftLegacyConfig;
    fn build(config: ThriftLegacyConfig, cx: &Context) -> Result<Self, BuildError> {
        Ok(ThriftLegacySource {
            port: config.port.build(cx)?,
        })
    }
}

#[async_trait]
impl Source for ThriftLegacySource {
    fn ports(&self) -> Vec<ListenPort> {
        vec![self.port.listen_port()]
    }

    async fn run(&mut self, cx: &SourceContext) -> Result<(), SourceError> {
        let source = cx.clone();
        let dialogue = move || {
            let dialogue = ThriftLegacyDialogue { cx: source.clone() };
            (LegacyFraming::default(), dialogue)
        };
        self.port.serve(cx, dialogue).await
    }
}

struct ThriftLegacyDialogue {
    cx: SourceContext,
}

impl Dialogue for ThriftLegacyDialogue {
    type Framing = LegacyFraming;

    async fn answer(&mut self, call: LegacyCall, out: &mut Vec<u8>) -> Result<(), BoxedError> {
        match call {
            // The state and a counter say what became of it; nobody waits for an answer.
            LegacyCall::Append(event) => drop(put(&self.cx, vec![event], 0).await),
            LegacyCall::Close(head) => write_closed(&head, out),
        }
        Ok(())
    }
}

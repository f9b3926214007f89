//! `thrift`: events over Thrift RPC, from other agents and from Flume's client SDK.

use async_trait::async_trait;
use bytes::Bytes;
use flume_client::{ThriftProtocol, ThriftProtocolName, required_by_kerberos};
use flume_core::{
    BuildError, Component, Config, Context, ListenPort, PutError, Source, SourceContext,
    SourceError, config::Ignored,
};
use flume_kerberos::Login;
use flume_net::ListenerConfig;
use flume_wire::thrift::{
    ApplicationFailure, ThriftCall, ThriftError, ThriftFrameDecoder, ThriftStatus, read_call,
    write_exception, write_status, write_thrift_frame,
};

use super::{
    avro::CallCounters,
    serve::{Port, PortLayer},
};
use crate::conversation::{BoxedError, Dialogue, put, told};

/// Takes events from Thrift sinks of other agents and from Flume's client SDK. A client is told OK when the channels have
/// its events.
#[derive(Clone, Config)]
pub(crate) struct ThriftSourceConfig {
    /// Host name or address to listen on.
    #[prop("bind")]
    bind: String,
    /// Port to listen on; 0 takes a free one.
    #[prop("port")]
    port: u16,
    /// Connections share the agent's threads.
    #[prop("threads")]
    _threads: Ignored,
    /// `compact` or `binary`.
    #[prop("protocol", default = "compact")]
    protocol: ThriftProtocolName,
    /// Most bytes of a call; Flume's limit is the same. Not a property of Flume.
    #[prop("maxFrameBytes", default = 16384000)]
    max_frame_bytes: usize,
    /// Whether clients prove who they are by Kerberos, and this source to them.
    #[prop("kerberos", default = false)]
    kerberos: bool,
    /// With `kerberos = true`: the principal of this source. `_HOST` in it stands for this host.
    #[prop("agent-principal")]
    agent_principal: Option<String>,
    /// With `kerberos = true`: the file with the keys of the principal.
    #[prop("agent-keytab")]
    agent_keytab: Option<String>,
    #[prop(flatten)]
    listener: ListenerConfig,
}

impl ThriftSourceConfig {
    fn layer(&self) -> Result<PortLayer, BuildError> {
        if !self.kerberos {
            return Ok(PortLayer::None);
        }
        Ok(PortLayer::Kerberos(Login {
            principal: required_by_kerberos("agent-principal", &self.agent_principal)?,
            keytab: required_by_kerberos("agent-keytab", &self.agent_keytab)?.into(),
        }))
    }
}

pub(crate) struct ThriftSource {
    port: Port,
    protocol: ThriftProtocol,
    max_frame_bytes: usize,
    counters: CallCounters,
}

impl Component for ThriftSource {
    type Config = ThriftSourceConfig;
    fn build(config: ThriftSourceConfig, cx: &Context) -> Result<Self, BuildError> {
        Ok(ThriftSource {
            port: Port {
                listener: config.listener.build(cx)?,
                layer: config.layer()?,
                host: config.bind,
                port: config.port,
            },
            protocol: config.protocol.0,
            max_frame_bytes: config.max_frame_bytes,
            counters: CallCounters::new(&cx.metrics),
        })
    }
}

#[async_trait]
impl Source for ThriftSource {
    fn ports(&self) -> Vec<ListenPort> {
        vec![self.port.listen_port()]
    }

    async fn run(&mut self, cx: &SourceContext) -> Result<(), SourceError> {
        let counters = self.counters.clone();
        let source = cx.clone();
        let protocol = self.protocol;
        let max_frame_bytes = self.max_frame_bytes;
        let dialogue = move || {
            let dialogue = ThriftDialogue {
                protocol,
                counters: counters.clone(),
                cx: source.clone(),
            };
            (ThriftFrameDecoder::new(max_frame_bytes), dialogue)
        };
        self.port.serve(cx, dialogue).await
    }
}

struct ThriftDialogue {
    protocol: ThriftProtocol,
    counters: CallCounters,
    cx: SourceContext,
}

impl Dialogue for ThriftDialogue {
    type Framing = ThriftFrameDecoder;

    async fn answer(&mut self, message: Bytes, out: &mut Vec<u8>) -> Result<(), BoxedError> {
        let protocol = self.protocol;
        let frame_bytes = message.len();
        let ThriftCall {
            head,
            events,
            is_batch,
        } = match read_call(protocol, message) {
            Ok(call) => call,
            Err((None, error)) => return Err(error.into()),
            Err((Some(head), error)) => {
                let failure = match error {
                    ThriftError::Service(_) => ApplicationFailure::UnknownMethod,
                    _ => ApplicationFailure::Protocol,
                };
                let text = error.to_string();
                write_thrift_frame(out, |out| {
                    write_exception(protocol, &head, failure, &text, out);
                });
                return Ok(());
            }
        };
        self.counters.received(is_batch);
        let outcome = put(&self.cx, events, frame_bytes).await;
        write_thrift_frame(out, |out| match &outcome {
            Ok(()) => write_status(protocol, &head, ThriftStatus::Ok, out),
            Err(PutError::Channel { .. } | PutError::Throttled(_)) => {
                write_status(protocol, &head, ThriftStatus::Failed, out);
            }
            Err(refusal) => {
                let failure = ApplicationFailure::Internal;
                write_exception(protocol, &head, failure, &told(refusal), out);
            }
        });
        if outcome.is_ok() {
            self.counters.accepted(is_batch);
        }
        Ok(())
    }
}

//! `thrift`: events over Thrift RPC, to the next agent.

use std::num::NonZeroUsize;

use async_trait::async_trait;
use flume_client::{FlumeClient, KerberosConfig, PeerSettings, RpcProtocol, ThriftProtocolName};
use flume_core::{
    BuildError, Component, Config, Context, Delivered, Event, Sink, SinkError, Want,
    config::{Ignored, OrDefault},
};
use flume_net::DialerConfig;

use super::avro::RpcSink;

/// Sends events to the `thrift` source of the next agent. A batch is committed when that agent has it in its channels.
#[derive(Clone, Config)]
pub(crate) struct ThriftSinkConfig {
    /// Host name or address of the next agent. It is looked up with each new connection.
    #[prop("hostname")]
    hostname: String,
    /// Its port.
    #[prop("port")]
    port: u16,
    /// Most events of a call and a transaction.
    #[prop("batch-size", default = 100)]
    batch_size: OrDefault<NonZeroUsize>,
    /// `compact` or `binary`.
    #[prop("protocol", default = "compact")]
    protocol: OrDefault<ThriftProtocolName>,
    /// Batches that are sent before the first of them is answered. Not a property of Flume.
    #[prop("pipelineDepth", default = 1)]
    pipeline_depth: NonZeroUsize,
    /// There is one connection.
    #[prop("maxConnections")]
    _max_connections: Ignored,
    /// Flume's guide calls `reset-connection-interval` so; its code does not know the name.
    #[prop("connection-reset-interval")]
    _connection_reset_interval: Ignored,
    #[prop(flatten)]
    kerberos: KerberosConfig,
    #[prop(flatten)]
    dialer: DialerConfig,
}

pub(crate) struct ThriftSink(RpcSink);

impl Component for ThriftSink {
    type Config = ThriftSinkConfig;
    fn build(config: ThriftSinkConfig, cx: &Context) -> Result<Self, BuildError> {
        let batch_size = config.batch_size.0;
        let peer = PeerSettings {
            dialer: config.dialer.build(&config.hostname, config.port, cx)?,
            protocol: RpcProtocol::Thrift(config.protocol.0.0),
            batch_size,
            pipeline_depth: config.pipeline_depth,
            compression: None,
            kerberos: config.kerberos.build()?,
        };
        let want = batch_size.saturating_mul(config.pipeline_depth).get();
        let client = FlumeClient::peer(peer);
        Ok(ThriftSink(RpcSink::new(client, want, &cx.metrics)))
    }
}

#[async_trait]
impl Sink for ThriftSink {
    fn want(&self) -> Want {
        self.0.want()
    }

    async fn deliver(&mut self, batch: &[Event]) -> Result<Delivered, SinkError> {
        self.0.deliver(batch).await
    }

    async fn close(&mut self) -> Result<(), SinkError> {
        self.0.close();
        Ok(())
    }
}

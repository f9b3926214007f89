//! `avro`: events over Avro RPC, to the next agent.

use std::num::NonZeroUsize;

use async_trait::async_trait;
use flume_client::{ClientConfig, FlumeClient};
use flume_core::{
    BuildError, Component, Config, Context, Delivered, Event, Sink, SinkError, Want,
    metrics::{Counter, Metrics},
};

/// Sends events to the `avro` source of the next agent. A batch is committed when that agent has it in its channels.
#[derive(Clone, Config)]
pub(crate) struct AvroSinkConfig {
    /// Host name or address of the next agent. It is looked up with each new connection.
    #[prop("hostname")]
    hostname: String,
    /// Its port.
    #[prop("port")]
    port: u16,
    /// Batches that are sent before the first of them is answered. They arrive in order at a source of this program; Java
    /// Flume may mix them. Not a property of Flume.
    #[prop("pipelineDepth", default = 1)]
    pipeline_depth: NonZeroUsize,
    #[prop(flatten)]
    client: ClientConfig,
}

pub(crate) struct AvroSink {
    sink: RpcSink,
    ignores_kerberos: bool,
}

/// What sinks over Avro and Thrift have in common.
pub(super) struct RpcSink {
    client: FlumeClient,
    want: usize,
    counters: ConnectionCounters,
    is_connected: bool,
}

struct ConnectionCounters {
    created: Counter,
    closed: Counter,
    failed: Counter,
}

impl ConnectionCounters {
    fn new(metrics: &Metrics) -> Self {
        ConnectionCounters {
            created: metrics.counter("ConnectionCreatedCount"),
            closed: metrics.counter("ConnectionClosedCount"),
            failed: metrics.counter("ConnectionFailedCount"),
        }
    }
}

impl RpcSink {
    /// `want` are the events of a transaction.
    pub(super) fn new(client: FlumeClient, want: usize, metrics: &Metrics) -> Self {
        RpcSink {
            client,
            want,
            counters: ConnectionCounters::new(metrics),
            is_connected: false,
        }
    }

    pub(super) fn want(&self) -> Want {
        Want::events(self.want)
    }

    pub(super) async fn deliver(&mut self, batch: &[Event]) -> Result<Delivered, SinkError> {
        if !self.is_connected {
            self.connect().await?;
        }
        let outcome = self.client.append_batch(batch).await;
        outcome.map_err(|error| {
            self.is_connected = false;
            self.counters.closed.add(1);
            self.failure(error)
        })?;
        Ok(Delivered::default())
    }

    async fn connect(&mut self) -> Result<(), SinkError> {
        let outcome = self.client.connect().await;
        outcome.map_err(|error| {
            self.counters.failed.add(1);
            self.failure(error)
        })?;
        self.counters.created.add(1);
        self.is_connected = true;
        Ok(())
    }

    pub(super) fn close(&mut self) {
        if self.is_connected {
            self.counters.closed.add(1);
        }
        self.is_connected = false;
        self.client.close();
    }

    fn failure(&self, error: flume_client::ClientError) -> SinkError {
        SinkError::new(format!("deliver to {}", self.client.names()), error)
    }
}

impl Component for AvroSink {
    type Config = AvroSinkConfig;
    fn build(config: AvroSinkConfig, cx: &Context) -> Result<Self, BuildError> {
        let peer = Some((config.hostname, config.port));
        let client = config.client.build(peer, config.pipeline_depth, cx)?;
        let want = config
            .client
            .batch_size()
            .saturating_mul(config.pipeline_depth);
        Ok(AvroSink {
            sink: RpcSink::new(client, want.get(), &cx.metrics),
            ignores_kerberos: config.client.ignores_kerberos(),
        })
    }
}

#[async_trait]
impl Sink for AvroSink {
    fn remarks(&self, _may_have: &dyn Fn(&str) -> bool) -> Vec<BuildError> {
        let text = "Avro has no login by Kerberos, so nobody proves anything; Thrift has it";
        let remark = || BuildError::at("kerberos", text);
        self.ignores_kerberos.then(remark).into_iter().collect()
    }

    fn want(&self) -> Want {
        self.sink.want()
    }

    async fn deliver(&mut self, batch: &[Event]) -> Result<Delivered, SinkError> {
        self.sink.deliver(batch).await
    }

    async fn close(&mut self) -> Result<(), SinkError> {
        self.sink.close();
        Ok(())
    }
}

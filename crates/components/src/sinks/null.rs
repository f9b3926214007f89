//! `null`: discards what it is given.

use async_trait::async_trait;
use flume_core::{BuildError, Component, Config, Context, Delivered, Event, Sink, SinkError, Want};

/// Discards all events.
#[derive(Clone, Config)]
pub(super) struct NullConfig {
    /// Most events in one transaction.
    #[prop("batchSize", default = 100)]
    batch_size: usize,
}

pub(super) struct NullSink(NullConfig);

impl Component for NullSink {
    type Config = NullConfig;
    fn build(config: NullConfig, _: &Context) -> Result<Self, BuildError> {
        Ok(NullSink(config))
    }
}

#[async_trait]
impl Sink for NullSink {
    fn want(&self) -> Want {
        Want::events(self.0.batch_size)
    }

    async fn deliver(&mut self, _: &[Event]) -> Result<Delivered, SinkError> {
        Ok(Delivered::default())
    }
}

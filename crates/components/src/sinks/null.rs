//! `null`: discards what it is given.

use std::num::{NonZeroU64, NonZeroUsize};

use async_trait::async_trait;
use flume_core::{BuildError, Component, Config, Context, Delivered, Event, Sink, SinkError, Want};

/// Discards all events.
#[derive(Clone, Config)]
pub(super) struct NullConfig {
    /// Most events in one transaction.
    #[prop("batchSize", default = 100)]
    batch_size: NonZeroUsize,
    /// A line is logged every so many events.
    #[prop("logEveryNEvents", default = 10000)]
    log_every: NonZeroU64,
}

pub(super) struct NullSink {
    config: NullConfig,
    name: String,
    discarded: u64,
}

impl Component for NullSink {
    type Config = NullConfig;
    fn build(config: NullConfig, cx: &Context) -> Result<Self, BuildError> {
        Ok(NullSink {
            config,
            name: cx.name.to_string(),
            discarded: 0,
        })
    }
}

#[async_trait]
impl Sink for NullSink {
    fn want(&self) -> Want {
        Want::events(self.config.batch_size.get())
    }

    async fn deliver(&mut self, batch: &[Event]) -> Result<Delivered, SinkError> {
        let before = self.discarded;
        let every = self.config.log_every.get();
        self.discarded += batch.len() as u64;
        if before / every != self.discarded / every {
            tracing::debug!("{} has discarded {} events", self.name, self.discarded);
        }
        Ok(Delivered::default())
    }
}

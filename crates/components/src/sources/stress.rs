//! `stress`: as many equal events as the channels accept.

use std::{iter::repeat_n, time::Duration};

use async_trait::async_trait;
use flume_core::{
    BuildError, Component, Config, Context, Event, PutError, Source, SourceContext, SourceError, StateHandle,
};
use tokio::time::sleep;

const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(100);

/// Puts equal events as fast as the channels accept them, to measure what is behind.
#[derive(Clone, Config)]
pub(super) struct StressConfig {
    /// Bytes of each body.
    #[prop("size", default = 500)]
    size: usize,
    /// Events per batch.
    #[prop("batchSize", default = 1)]
    batch_size: usize,
    /// Events after which the source is done; -1 never ends.
    #[prop("maxTotalEvents", default = -1)]
    max_total_events: i64,
}

pub(super) struct StressSource {
    event: Event,
    batch_size: usize,
    left: u64,
    state: StateHandle,
}

impl Component for StressSource {
    type Config = StressConfig;
    fn build(config: StressConfig, cx: &Context) -> Result<Self, BuildError> {
        let StressConfig { size, batch_size, max_total_events } = config;
        if batch_size == 0 {
            return Err(BuildError::at("batchSize", "must be at least 1"));
        }
        let left = u64::try_from(max_total_events).unwrap_or(u64::MAX);
        Ok(StressSource { event: Event::from(vec![b'x'; size]), batch_size, left, state: cx.state.clone() })
    }
}

#[async_trait]
impl Source for StressSource {
    async fn run(&mut self, cx: &SourceContext) -> Result<(), SourceError> {
        cx.ready(None);
        while self.left > 0 && !cx.stop.is_requested() {
            let count = self.left.min(self.batch_size as u64) as usize;
            match cx.out.put(repeat_n(self.event.clone(), count).collect()).await {
                Ok(()) => {
                    self.left -= count as u64;
                    self.state.running();
                }
                Err(error @ PutError::Channel { .. }) => {
                    self.state.failing(&error, PAUSE_AFTER_FAILURE);
                    sleep(PAUSE_AFTER_FAILURE).await;
                }
                Err(error) => return Err(SourceError::at("put events")(error)),
            }
        }
        Ok(())
    }
}

//! `default`: one sink, step by step.

use std::time::Duration;

use async_trait::async_trait;
use flume_core::{
    BuildError, Component, Config, Context, SinkError, SinkProcessor, SinkRunner, SinkStep,
};

/// Runs a single sink; a sink without a group has this processor.
#[derive(Clone, Config)]
pub(super) struct DefaultConfig {}

pub(super) struct DefaultProcessor;

impl Component for DefaultProcessor {
    type Config = DefaultConfig;
    fn build(_: DefaultConfig, cx: &Context) -> Result<Self, BuildError> {
        match cx.peers.len() {
            1 => Ok(DefaultProcessor),
            sinks => Err(BuildError::at(
                "type",
                format!("runs exactly one sink, the group has {sinks}"),
            )),
        }
    }
}

#[async_trait]
impl SinkProcessor for DefaultProcessor {
    async fn step(
        &mut self,
        sinks: &mut [SinkRunner],
        wait: Duration,
    ) -> Result<SinkStep, SinkError> {
        sinks[0].step(wait).await
    }
}

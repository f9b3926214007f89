//! `seq`: numbers in order.

use async_trait::async_trait;
use flume_core::{
    BackOff, BuildError, Component, Config, Context, Event, Source, SourceContext, SourceError,
    config::Millis, metrics::Counter,
};

/// Puts the numbers from 0 on, in decimal, to see that nothing is lost on the way.
#[derive(Clone, Config)]
pub(super) struct SeqConfig {
    /// Events per batch.
    #[prop("batchSize", default = 1)]
    batch_size: usize,
    /// Events after which the source is done.
    #[prop("totalEvents", default = i64::MAX)]
    total_events: i64,
    /// Milliseconds by which the pause grows with each refused batch in a row.
    #[prop("backoffSleepIncrement", default = 1000)]
    back_off_increment: Millis,
    /// Milliseconds that the pause does not exceed.
    #[prop("maxBackoffSleep", default = 5000)]
    back_off_most: Millis,
}

pub(super) struct SeqSource {
    batch_size: usize,
    next: u64,
    end: u64,
    back_off: BackOff,
    accepted_batches: Counter,
}

impl Component for SeqSource {
    type Config = SeqConfig;
    fn build(config: SeqConfig, cx: &Context) -> Result<Self, BuildError> {
        if config.batch_size == 0 {
            return Err(BuildError::at("batchSize", "must be at least 1"));
        }
        Ok(SeqSource {
            batch_size: config.batch_size,
            next: 0,
            end: config.total_events.try_into().unwrap_or(0),
            back_off: BackOff::linear(config.back_off_increment.0, config.back_off_most.0),
            accepted_batches: cx.metrics.counter("AppendBatchAcceptedCount"),
        })
    }
}

#[async_trait]
impl Source for SeqSource {
    async fn run(&mut self, cx: &SourceContext) -> Result<(), SourceError> {
        cx.ready(None);
        while self.next < self.end && !cx.stop.is_requested() {
            let until = self
                .next
                .saturating_add(self.batch_size as u64)
                .min(self.end);
            let batch = (self.next..until)
                .map(|number| Event::from(number.to_string()))
                .collect();
            let outcome = tokio::select! {
                biased;
                outcome = cx.out.put(batch) => outcome,
                () = cx.stop.requested() => return Ok(()),
            };
            match outcome {
                Ok(()) => {
                    self.next = until;
                    self.back_off.reset();
                    cx.state.running();
                    if self.batch_size > 1 {
                        self.accepted_batches.add(1);
                    }
                }
                Err(error) => cx.pause_after(&error, &mut self.back_off).await,
            }
        }
        Ok(())
    }

    fn batch_size(&self) -> usize {
        self.batch_size
    }

    fn may_set(&self, _: &str) -> bool {
        false
    }
}

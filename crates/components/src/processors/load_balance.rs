//! `load_balance`: all sinks of the group deliver, each about as much.

use std::time::Duration;

use async_trait::async_trait;
use flume_core::{
    BuildError, Component, Config, Context, Rotation, RotationOrder, SinkError, SinkProcessor,
    SinkRunner, SinkStep, config::Millis,
};
use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::time::Instant;

/// How long the sinks of a round go on; one that failed is tried again in the next.
const ROUND: Duration = Duration::from_secs(1);
/// Flume's longest pause.
const MAX_PAUSE: Duration = Duration::from_millis(30_000);

/// Shares the events among its sinks. All of them deliver at the same time, batch after batch: sinks that are equally
/// quick deliver equally much, and none waits for a slower one. What a sink fails to deliver goes to the others.
#[derive(Clone, Config)]
pub(super) struct LoadBalanceConfig {
    /// Which sink begins when all are idle: `round_robin`, the next one each second, or `random`.
    #[prop("selector", default = "round_robin")]
    selector: RotationOrder,
    /// Whether a sink that failed is left out for a while: 2 s, doubling with each failure. Otherwise it is tried in
    /// each round.
    #[prop("backoff", default = false)]
    backoff: bool,
    /// Longest time in milliseconds that a failed sink is left out; 0 means the default.
    #[prop("selector.maxTimeOut", default = 30000)]
    max_time_out: Millis,
}

pub(super) struct LoadBalanceProcessor {
    rotation: Rotation,
}

impl Component for LoadBalanceProcessor {
    type Config = LoadBalanceConfig;
    fn build(config: LoadBalanceConfig, cx: &Context) -> Result<Self, BuildError> {
        let sinks = cx.peers.len();
        if sinks < 2 {
            let text = format!("balances between at least two sinks, the group has {sinks}");
            return Err(BuildError::at("type", text));
        }
        let longest = match config.max_time_out.0 {
            Duration::ZERO => MAX_PAUSE,
            pause => pause,
        };
        let longest = config.backoff.then_some(longest);
        Ok(LoadBalanceProcessor {
            rotation: Rotation::new(sinks, config.selector, longest),
        })
    }
}

#[async_trait]
impl SinkProcessor for LoadBalanceProcessor {
    /// One round: all sinks make steps at the same time, each one after the other, for a second. While one of them has
    /// not even finished its first step the others go on, so none waits for the slowest.
    async fn step(
        &mut self,
        sinks: &mut [SinkRunner],
        wait: Duration,
    ) -> Result<SinkStep, SinkError> {
        let begin = Instant::now();
        let order = self.rotation.draw();
        let mut first_steps = order.len();
        let mut waiting: Vec<_> = sinks.iter_mut().map(Some).collect();
        let mut under_way = FuturesUnordered::new();
        for index in order {
            if let Some(sink) = waiting[index].take() {
                under_way.push(step_one(
                    index,
                    sink,
                    true,
                    wait,
                    self.rotation.pause(index),
                ));
            }
        }
        let mut outcome = None;
        while let Some(stepped) = under_way.next().await {
            first_steps -= usize::from(stepped.first);
            match stepped.outcome {
                Err(_) => {
                    stepped.sink.return_parked();
                    self.rotation.failed(stepped.index);
                }
                Ok(step) => {
                    outcome = Some(better(outcome, step));
                    let time_left = first_steps > 0 || begin.elapsed() < ROUND;
                    if step == SinkStep::Delivered && time_left && !stepped.sink.is_stopping() {
                        let pause = self.rotation.pause(stepped.index);
                        under_way.push(step_one(stepped.index, stepped.sink, false, wait, pause));
                    }
                }
            }
        }
        outcome.ok_or_else(|| {
            SinkError::new(
                "deliver",
                "every sink of the group has failed or is left out for now",
            )
        })
    }
}

/// What came of a sink's step.
struct Stepped<'a> {
    index: usize,
    sink: &'a mut SinkRunner,
    /// Whether it was the first of this round.
    first: bool,
    outcome: Result<SinkStep, SinkError>,
}

async fn step_one(
    index: usize,
    sink: &mut SinkRunner,
    first: bool,
    wait: Duration,
    pause: Duration,
) -> Stepped<'_> {
    let outcome = sink.step_or_pause(wait, pause).await;
    Stepped {
        index,
        sink,
        first,
        outcome,
    }
}

/// A round in which anything was delivered goes on at once; a wish for a pause counts more than having nothing to do.
fn better(so_far: Option<SinkStep>, step: SinkStep) -> SinkStep {
    match (so_far, step) {
        (Some(SinkStep::Delivered), _) | (_, SinkStep::Delivered) => SinkStep::Delivered,
        (Some(SinkStep::Pause), _) | (_, SinkStep::Pause) => SinkStep::Pause,
        _ => SinkStep::Idle,
    }
}

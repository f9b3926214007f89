//! How the sinks of a group take turns, and the loop that lets them.

use std::time::Duration;

use async_trait::async_trait;

use crate::{
    Phase, SinkError, SinkRunner, Stop,
    runner::{IDLE, RETRY},
};

/// How often a sink that drains looks whether a parked batch is due.
const DRAIN_POLL: Duration = Duration::from_millis(20);

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SinkStep {
    /// A batch was delivered: step again.
    Delivered,
    /// A batch was delivered, and the sink asks for a pause.
    Pause,
    /// There was nothing to deliver. The step has waited already: step again.
    Idle,
}

/// Chooses which sink of a group makes the next step.
#[async_trait]
pub trait SinkProcessor: Send {
    /// Makes one step with one of `sinks`. `Idle` says that none of their channels had anything within `wait`.
    async fn step(
        &mut self,
        sinks: &mut [SinkRunner],
        wait: Duration,
    ) -> Result<SinkStep, SinkError>;
}

/// Steps until a stop is requested *and* nothing is left to drain, or until it halts; then closes the sinks.
/// The runtime calls it on a thread of the group's own.
pub async fn run_sinks(processor: &mut dyn SinkProcessor, sinks: &mut [SinkRunner], stop: &Stop) {
    let mut failures = 0;
    while stop.phase() < Phase::Halt {
        let draining = stop.is_requested();
        if draining && sinks.iter().all(SinkRunner::drained) {
            break;
        }
        let pause = match processor.step(sinks, IDLE).await {
            Ok(SinkStep::Pause) => IDLE,
            Ok(SinkStep::Idle) if draining => DRAIN_POLL,
            Ok(SinkStep::Delivered | SinkStep::Idle) => Duration::ZERO,
            Err(error) => {
                failures += 1;
                // Without a pause a sink is tried again once; one that goes on failing would keep a core busy.
                if error.pause || failures > 1 {
                    stop.sleep(RETRY.after(failures)).await;
                }
                continue;
            }
        };
        failures = 0;
        if !pause.is_zero() {
            stop.sleep(pause).await;
        }
    }
    stop.closing(sinks.iter().map(SinkRunner::close_timeout).sum());
    for sink in sinks {
        sink.close().await;
    }
}

//! The pauses of a source that Flume polls.

use std::time::Duration;

use flume_core::{PutError, SourceContext, config::Millis};
use tokio::time::sleep;

/// Pauses that grow with each failure in a row: `backoffSleepIncrement` more each, up to `maxBackoffSleep`.
pub(super) struct BackOff {
    increment: Duration,
    most: Duration,
    failures: u32,
}

impl BackOff {
    pub(super) fn new(increment: Millis, most: Millis) -> Self {
        BackOff {
            increment: increment.0,
            most: most.0,
            failures: 0,
        }
    }

    /// Something went well.
    pub(super) fn reset(&mut self, cx: &SourceContext) {
        self.failures = 0;
        cx.state.running();
    }

    /// Publishes the failure and waits, but not beyond a stop.
    pub(super) async fn pause(&mut self, cx: &SourceContext, error: &PutError) {
        self.failures = self.failures.saturating_add(1);
        let pause = self.increment.saturating_mul(self.failures).min(self.most);
        cx.state.failing(error, pause);
        tokio::select! {
            () = sleep(pause) => {}
            () = cx.stop.requested() => {}
        }
    }
}

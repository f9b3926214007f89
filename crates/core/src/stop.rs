//! The request to finish.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering::SeqCst},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};

/// How far a stop has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// No stop.
    Run,
    /// Sources finish; sinks deliver what channels in memory still hold, then finish.
    Drain,
    /// Finish after the step under way; what is not delivered stays in its channel.
    Halt,
}

/// What a component looks at. Cheap to clone, and to look at with every batch.
#[derive(Clone)]
pub struct Stop(Arc<Request>);

/// What makes the request. Dropping it is a request to halt.
pub struct Switch(Arc<Request>);

#[derive(Default)]
struct Request {
    /// A [`Phase`]; it only grows.
    phase: AtomicU8,
    moved: Notify,
    closed_by: Mutex<Option<Instant>>,
}

impl Stop {
    /// The request and the switch that makes it.
    pub fn new() -> (Switch, Stop) {
        let request = Arc::<Request>::default();
        (Switch(request.clone()), Stop(request))
    }

    /// How far it has gone.
    pub fn phase(&self) -> Phase {
        match self.0.phase.load(SeqCst) {
            0 => Phase::Run,
            1 => Phase::Drain,
            _ => Phase::Halt,
        }
    }

    /// Whether it was made.
    pub fn is_requested(&self) -> bool {
        self.phase() > Phase::Run
    }

    /// Says that nothing is left but to close, which takes at most `limit`.
    pub fn closing(&self, limit: Duration) {
        *self.0.closed_by.lock() = Instant::now().checked_add(limit);
    }

    /// Waits for the request.
    pub async fn requested(&self) {
        self.beyond(Phase::Run).await;
    }

    /// Sleeps for `pause`, or until the stop goes one phase further. Returns at once when it has reached the last.
    pub async fn sleep(&self, pause: Duration) {
        let phase = self.phase();
        if phase == Phase::Halt {
            return;
        }
        tokio::select! {
            () = sleep(pause) => {}
            () = self.beyond(phase) => {}
        }
    }

    /// Waits until it has gone further than `phase`; for ever after the last.
    pub async fn beyond(&self, phase: Phase) {
        loop {
            // Made before the look, so that a step between look and wait is not missed.
            let moved = self.0.moved.notified();
            if self.phase() > phase {
                return;
            }
            moved.await;
        }
    }
}

impl Switch {
    /// When everything will be closed at the latest; `None` before it is being closed.
    pub fn closed_by(&self) -> Option<Instant> {
        *self.0.closed_by.lock()
    }

    /// Moves on to `phase`; never back.
    pub fn turn(&self, phase: Phase) {
        if self.0.phase.fetch_max(phase as u8, SeqCst) < phase as u8 {
            self.0.moved.notify_waiters();
        }
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        self.turn(Phase::Halt);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[tokio::test(start_paused = true)]
    async fn a_sleep_ends_with_the_pause_or_with_the_next_phase() {
        let (switch, stop) = Stop::new();
        let begin = Instant::now();
        stop.sleep(HOUR).await;
        assert_eq!(begin.elapsed(), HOUR);
        for phase in [Phase::Drain, Phase::Halt] {
            let sleeper = stop.clone();
            let asleep = tokio::spawn(async move { sleeper.sleep(HOUR).await });
            tokio::task::yield_now().await;
            switch.turn(phase);
            asleep.await.unwrap();
        }
        stop.sleep(HOUR).await;
        assert_eq!(begin.elapsed(), HOUR);
    }
}

//! The request to finish.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering::SeqCst},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

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

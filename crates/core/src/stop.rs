//! The request to finish.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{sync::watch, time::Instant};

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

/// What a component looks at. Cheap to clone.
#[derive(Clone)]
pub struct Stop(watch::Receiver<Phase>, Arc<Mutex<Option<Instant>>>);

/// What makes the request. Dropping it is a request to halt.
pub struct Switch(watch::Sender<Phase>, Arc<Mutex<Option<Instant>>>);

impl Stop {
    /// The request and the switch that makes it.
    pub fn new() -> (Switch, Stop) {
        let ((switch, stop), closed) = (watch::channel(Phase::Run), Arc::<Mutex<_>>::default());
        (Switch(switch, closed.clone()), Stop(stop, closed))
    }

    /// How far it has gone.
    pub fn phase(&self) -> Phase {
        if self.0.has_changed().is_err() { Phase::Halt } else { *self.0.borrow() }
    }

    /// Whether it was made.
    pub fn is_requested(&self) -> bool {
        self.phase() > Phase::Run
    }

    /// Says that nothing is left but to close, which takes at most `limit`.
    pub fn closing(&self, limit: Duration) {
        *self.1.lock() = Instant::now().checked_add(limit);
    }

    /// Waits for the request.
    pub async fn requested(&self) {
        self.beyond(Phase::Run).await;
    }

    /// Waits until it has gone further than `phase`; for ever after the last.
    pub async fn beyond(&self, phase: Phase) {
        if phase == Phase::Halt {
            std::future::pending::<()>().await;
        }
        let _ = self.0.clone().wait_for(|now| *now > phase).await;
    }
}

impl Switch {
    /// When everything will be closed at the latest; `None` before it is being closed.
    pub fn closed_by(&self) -> Option<Instant> {
        *self.1.lock()
    }

    /// Moves on to `phase`; never back.
    pub fn turn(&self, phase: Phase) {
        self.0.send_if_modified(|now| {
            let further = phase > *now;
            *now = phase.max(*now);
            further
        });
    }
}

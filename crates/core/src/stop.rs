//! The request to finish.

use tokio::sync::watch;

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
pub struct Stop(watch::Receiver<Phase>);

/// What makes the request. Dropping it is a request to halt.
pub struct Switch(watch::Sender<Phase>);

impl Stop {
    /// The request and the switch that makes it.
    pub fn new() -> (Switch, Stop) {
        let (switch, stop) = watch::channel(Phase::Run);
        (Switch(switch), Stop(stop))
    }

    /// How far it has gone.
    pub fn phase(&self) -> Phase {
        if self.0.has_changed().is_err() { Phase::Halt } else { *self.0.borrow() }
    }

    /// Whether it was made.
    pub fn is_requested(&self) -> bool {
        self.phase() > Phase::Run
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
    /// Moves on to `phase`; never back.
    pub fn turn(&self, phase: Phase) {
        self.0.send_if_modified(|now| {
            let further = phase > *now;
            *now = phase.max(*now);
            further
        });
    }
}

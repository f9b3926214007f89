//! What is wrong, as the channel's state says it.

use std::{io, time::Duration};

use flume_core::{
    StateHandle,
    metrics::{Gauge, Metrics},
};
use parking_lot::Mutex;

/// The state of an open channel: what its threads find wrong.
pub(crate) struct Health {
    state: StateHandle,
    unhealthy: Gauge,
    reasons: Mutex<[Option<String>; 3]>,
}

/// What can be wrong, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Nothing can be written.
    Write,
    /// What is on disk cannot be read.
    Read,
    /// The disk has no room for what is put.
    Full,
}

impl Health {
    /// Nothing is wrong yet.
    pub(crate) fn new(state: StateHandle, metrics: &Metrics) -> Self {
        let unhealthy = metrics.gauge("Unhealthy");
        unhealthy.set(0);
        Health {
            state,
            unhealthy,
            reasons: Mutex::default(),
        }
    }

    /// Something is wrong, or still; it is tried again after `pause`.
    pub(crate) fn begins(&self, trouble: Trouble, reason: String, pause: Duration) {
        let mut reasons = self.reasons.lock();
        if trouble == Trouble::Full && reasons[trouble as usize].is_none() {
            tracing::warn!("{reason}: puts are refused until there is more, takes go on");
        }
        reasons[trouble as usize] = Some(reason);
        self.publish(&reasons, pause);
    }

    /// It is over, if it ever was.
    pub(crate) fn ends(&self, trouble: Trouble) {
        let mut reasons = self.reasons.lock();
        if reasons[trouble as usize].take().is_some() {
            self.publish(&reasons, Duration::ZERO);
        }
    }

    fn publish(&self, [write, read, full]: &[Option<String>; 3], pause: Duration) {
        let failing = write.as_ref().or(read.as_ref());
        self.unhealthy.set(failing.is_some().into());
        match (failing, full) {
            (Some(reason), _) => self.state.failing(&io::Error::other(reason.clone()), pause),
            (None, Some(reason)) => self.state.waiting(reason),
            (None, None) => self.state.running(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_says_the_worst_of_what_is_wrong() {
        let state = StateHandle::new("c1");
        let metrics = Metrics::default();
        let health = Health::new(state.clone(), &metrics);
        let seen = || (state.get().0.to_string(), metrics.number("Unhealthy"));
        health.begins(Trouble::Full, "no room".into(), Duration::ZERO);
        assert_eq!(seen(), ("waiting: no room".into(), 0));
        health.begins(Trouble::Read, "no reading".into(), Duration::ZERO);
        assert_eq!(seen(), ("failing: no reading".into(), 1));
        health.begins(Trouble::Write, "no writing".into(), Duration::ZERO);
        health.ends(Trouble::Read);
        assert_eq!(seen(), ("failing: no writing".into(), 1));
        health.ends(Trouble::Write);
        assert_eq!(seen(), ("waiting: no room".into(), 0));
        health.ends(Trouble::Full);
        assert_eq!(seen(), ("running".into(), 0));
    }
}

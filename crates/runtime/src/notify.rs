//! What a service manager is told, as `sd_notify` has it: ready, reloading, stopping, and that the agent still turns.
//! Without `NOTIFY_SOCKET` nobody is told.

use std::time::Duration;

use sd_notify::NotifyState;

/// The agent runs, or runs again after a reload.
pub(crate) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// A reload begins.
pub(crate) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

/// The stop begins.
pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Feeds the watchdog, twice as often as it must be, as long as the runtime of the sources turns.
pub(crate) fn feed_watchdog() {
    let Some(limit) = sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero()) else {
        return;
    };
    tokio::spawn(async move {
        let mut every = tokio::time::interval((limit / 2).max(Duration::from_millis(1)));
        loop {
            every.tick().await;
            tell(&[NotifyState::Watchdog]);
        }
    });
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!("failed to tell the service manager {states:?}: {error}");
    }
}

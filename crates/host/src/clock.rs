//! Time as Flume writes it: milliseconds since 1970.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{SystemTime, UNIX_EPOCH},
};

/// Where the clock stands still; [`RUNS`]: it does not.
static STOPPED_AT: AtomicU64 = AtomicU64::new(RUNS);
const RUNS: u64 = u64::MAX;

/// Milliseconds since 1970, now.
pub fn now_ms() -> u64 {
    match STOPPED_AT.load(Relaxed) {
        RUNS => millis_since_1970(SystemTime::now()),
        stopped => stopped,
    }
}

/// As long as this lives, [`now_ms`] is the same in the whole process.
#[must_use]
pub struct StoppedClock(());

/// Stops the clock: for a process that runs pipeline tests, and nothing else.
pub fn stop_at(ms: u64) -> StoppedClock {
    STOPPED_AT.store(ms.min(RUNS - 1), Relaxed);
    StoppedClock(())
}

impl Drop for StoppedClock {
    fn drop(&mut self) {
        STOPPED_AT.store(RUNS, Relaxed);
    }
}

/// Milliseconds from 1970 to `time`; 0 for anything earlier.
pub fn millis_since_1970(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn time_counts_from_1970() {
        assert_eq!(millis_since_1970(UNIX_EPOCH), 0);
        assert_eq!(millis_since_1970(UNIX_EPOCH - Duration::from_secs(1)), 0);
        assert_eq!(
            millis_since_1970(UNIX_EPOCH + Duration::from_millis(1234)),
            1234
        );
        let stopped = stop_at(7);
        assert_eq!(now_ms(), 7);
        drop(stopped);
        assert!(now_ms() > 1_700_000_000_000);
    }
}

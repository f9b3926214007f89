//! Time as Flume writes it: milliseconds since 1970.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970, now.
pub fn now_ms() -> u64 {
    millis_since_1970(SystemTime::now())
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
        assert!(now_ms() > 1_700_000_000_000);
    }
}

//! Pauses between attempts that fail.

use std::time::Duration;

/// How long to wait after each failure in a row: first briefly, then longer, never longer than a limit.
#[derive(Clone, Debug)]
pub struct BackOff {
    first: Duration,
    longest: Duration,
    growth: Growth,
    failures: u32,
}

#[derive(Clone, Copy, Debug)]
enum Growth {
    /// Every pause is twice the one before.
    Double,
    /// Every pause is longer than the one before by the first.
    Linear,
}

/// More doublings than this exceed any limit.
const MAX_DOUBLINGS: u32 = 31;

impl BackOff {
    /// `first` after the first failure, then twice as long each time, at most `longest`.
    pub const fn doubling(first: Duration, longest: Duration) -> Self {
        Self::new(first, longest, Growth::Double)
    }

    /// `first` after the first failure, then longer by `first` each time, at most `longest`.
    pub const fn linear(first: Duration, longest: Duration) -> Self {
        Self::new(first, longest, Growth::Linear)
    }

    const fn new(first: Duration, longest: Duration, growth: Growth) -> Self {
        BackOff {
            first,
            longest,
            growth,
            failures: 0,
        }
    }

    /// Counts a failure and returns the pause before the next attempt.
    pub fn next_pause(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        self.after(self.failures)
    }

    /// Forgets the failures: an attempt has succeeded.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// The pause after so many failures in a row, for those who count themselves.
    pub fn after(&self, failures: u32) -> Duration {
        let factor = match self.growth {
            Growth::Double => 1 << failures.saturating_sub(1).min(MAX_DOUBLINGS),
            Growth::Linear => failures.max(1),
        };
        self.first.saturating_mul(factor).min(self.longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(mut back_off: BackOff, expected: &[u64]) {
        let pauses: Vec<_> = expected
            .iter()
            .map(|_| back_off.next_pause().as_secs())
            .collect();
        assert_eq!(pauses, expected);
        back_off.reset();
        assert_eq!(back_off.next_pause().as_secs(), expected[0]);
    }

    #[test]
    fn pauses_grow_up_to_the_limit_and_start_again_after_a_success() {
        let second = Duration::from_secs(1);
        check(BackOff::doubling(second, 5 * second), &[1, 2, 4, 5, 5]);
        check(BackOff::linear(second, 3 * second), &[1, 2, 3, 3]);
        check(BackOff::doubling(Duration::ZERO, second), &[0, 0, 0]);
    }

    #[test]
    fn no_number_of_failures_overflows() {
        let hour = Duration::from_secs(3600);
        assert_eq!(BackOff::doubling(hour, hour).after(u32::MAX), hour);
        assert_eq!(BackOff::linear(hour, hour).after(u32::MAX), hour);
    }
}

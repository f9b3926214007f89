//! What the log says about work that takes long.

use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_secs(5);

/// A line now and then.
pub(crate) struct Progress(Instant);

impl Progress {
    pub(crate) fn new() -> Self {
        Progress(Instant::now())
    }

    pub(crate) fn tell(&mut self, what: impl FnOnce() -> String) {
        if self.0.elapsed() >= INTERVAL {
            self.0 = Instant::now();
            tracing::info!("{}", what());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_comes_now_and_then() {
        let mut lines = 0;
        let mut tell = |progress: &mut Progress| {
            progress.tell(|| {
                lines += 1;
                String::new()
            });
        };
        let mut progress = Progress::new();
        tell(&mut progress);
        progress.0 -= INTERVAL;
        tell(&mut progress);
        tell(&mut progress);
        assert_eq!(lines, 1);
    }
}

//! `throttle`: at most so many events per second.

use std::{num::NonZeroU64, time::Duration};

use flume_core::{
    BuildError, Component, Config, Context, Event, InterceptError, Interceptor, Throttled,
    config::Choice, metrics::Counter,
};
use parking_lot::Mutex;
use tokio::time::Instant;

/// Longest wait of one batch; a reload waits for batches that wait here. A batch counts as what passes in this time at
/// most, so that the next ones pass, too.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// Lets through at most so many events per second, over all connections of the source. What comes above the rate waits,
/// and the sender with it, or is dropped. Events of a batch that a channel refuses count again when they come again. A
/// batch counts as what passes in 10 s at most, so a huge one passes and does not hold up others for longer. Not an interceptor of Flume.
#[derive(Clone, Config)]
pub(super) struct ThrottleConfig {
    /// Events per second, on average.
    #[prop("eventsPerSecond")]
    events_per_second: NonZeroU64,
    /// Events that may pass at once after a quiet time; unset: as many as in one second.
    #[prop("burst")]
    burst: Option<NonZeroU64>,
    /// What happens above the rate. `wait`: the source waits before the next batch; a batch that would wait for more
    /// than 10 s is refused, as by a full channel. `drop`: events are dropped; `ThrottleDroppedCount` counts them.
    #[prop("overflow", default = "wait")]
    overflow: Overflow,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Overflow {
    Wait,
    Drop,
}

impl Choice for Overflow {
    const CHOICES: &'static [(&'static str, Self)] =
        &[("wait", Overflow::Wait), ("drop", Overflow::Drop)];
}

pub(super) struct ThrottleInterceptor {
    rate: Rate,
    overflow: Overflow,
    bucket: Mutex<TokenBucket>,
    dropped: Counter,
    delayed: Counter,
}

struct Rate {
    events_per_second: f64,
    burst: f64,
}

/// Events that may pass now. Below zero: batches before have taken more than there was, and the next one waits.
struct TokenBucket {
    events: f64,
    filled: Instant,
}

impl Component for ThrottleInterceptor {
    type Config = ThrottleConfig;
    fn build(config: ThrottleConfig, cx: &Context) -> Result<Self, BuildError> {
        let burst = config.burst.unwrap_or(config.events_per_second).get() as f64;
        Ok(ThrottleInterceptor {
            rate: Rate {
                events_per_second: config.events_per_second.get() as f64,
                burst,
            },
            overflow: config.overflow,
            bucket: Mutex::new(TokenBucket {
                events: burst,
                filled: Instant::now(),
            }),
            dropped: cx.metrics.counter("ThrottleDroppedCount"),
            delayed: cx.metrics.counter("ThrottleDelayedCount"),
        })
    }
}

impl TokenBucket {
    fn fill(&mut self, rate: &Rate) {
        let now = Instant::now();
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.events = (self.events + passed * rate.events_per_second).min(rate.burst);
        self.filled = now;
    }
}

impl Interceptor for ThrottleInterceptor {
    fn intercept(&self, batch: &mut Vec<Event>) -> Result<(), InterceptError> {
        if self.overflow == Overflow::Wait {
            return Ok(());
        }
        let mut bucket = self.bucket.lock();
        bucket.fill(&self.rate);
        let passing = (bucket.events as usize).min(batch.len());
        bucket.events -= passing as f64;
        drop(bucket);
        self.dropped.add(batch.len() - passing);
        batch.truncate(passing);
        Ok(())
    }

    /// A batch waits for what the batches before it took, not for itself: so a batch of any size passes.
    fn wait(&self, batch: &[Event]) -> Result<Duration, Throttled> {
        if self.overflow == Overflow::Drop || batch.is_empty() {
            return Ok(Duration::ZERO);
        }
        let mut bucket = self.bucket.lock();
        bucket.fill(&self.rate);
        let debt = (-bucket.events).max(0.0);
        let wait = Duration::try_from_secs_f64(debt / self.rate.events_per_second)
            .unwrap_or(Duration::MAX);
        if wait > MAX_WAIT {
            let rate = self.rate.events_per_second;
            return Err(Throttled(format!(
                "the throttle of {rate} events per second is {debt:.0} events behind; raise `eventsPerSecond` or send \
                 smaller batches"
            )));
        }
        let most = self.rate.events_per_second * MAX_WAIT.as_secs_f64();
        bucket.events -= (batch.len() as f64).min(most);
        drop(bucket);
        if !wait.is_zero() {
            self.delayed.add(batch.len());
        }
        Ok(wait)
    }

    fn may_set(&self, _: &str) -> bool {
        false
    }
}

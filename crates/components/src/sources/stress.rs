//! `stress`: as many equal events as the channels accept.

use std::iter::repeat_with;

use async_trait::async_trait;
use flume_core::{
    BackOff, BuildError, Component, Config, Context, Event, Source, SourceContext, SourceError,
    config::Millis,
};
use tokio::time::{Duration, Instant, sleep_until};

/// What bodies are filled with: Java's largest byte.
const FILL: u8 = 0x7F;
/// Bodies that are shared and no larger than this are a part of it: nothing counts who holds them, as in Java.
static FILLED: [u8; 64 << 10] = [FILL; 64 << 10];

/// Puts equal events as fast as the channels accept them, to measure what is behind.
#[derive(Clone, Config)]
pub(super) struct StressConfig {
    /// Bytes of each body.
    #[prop("size", default = 500)]
    size: usize,
    /// Events per batch.
    #[prop("batchSize", default = 1)]
    batch_size: usize,
    /// Events after which the source is done, refused ones included; negative: never.
    #[prop("maxTotalEvents", default = -1)]
    max_total_events: i64,
    /// Accepted events after which the source is done; negative: never.
    #[prop("maxSuccessfulEvents", default = -1)]
    max_successful_events: i64,
    /// Most events per second; 0: no limit.
    #[prop("maxEventsPerSecond", default = 0)]
    max_events_per_second: i32,
    /// Whether each event has a body of its own in memory, as events from outside have. Not a property of Flume.
    #[prop("freshBodies", default = false)]
    fresh_bodies: bool,
    /// Milliseconds by which the pause grows with each refused batch in a row.
    #[prop("backoffSleepIncrement", default = 1000)]
    back_off_increment: Millis,
    /// Milliseconds that the pause does not exceed.
    #[prop("maxBackoffSleep", default = 5000)]
    back_off_most: Millis,
}

pub(super) struct StressSource {
    size: usize,
    batch_size: usize,
    fresh_bodies: bool,
    total_left: u64,
    successes_left: u64,
    pace: Option<EvenRate>,
    back_off: BackOff,
}

/// Permits at an even rate. What was not used in the last second may be used at once.
struct EvenRate {
    each: Duration,
    next: Instant,
}

impl Component for StressSource {
    type Config = StressConfig;
    fn build(config: StressConfig, _: &Context) -> Result<Self, BuildError> {
        if config.batch_size == 0 {
            return Err(BuildError::at("batchSize", "must be at least 1"));
        }
        let limit = |events: i64| u64::try_from(events).unwrap_or(u64::MAX);
        let rate = u32::try_from(config.max_events_per_second)
            .ok()
            .filter(|rate| *rate > 0);
        Ok(StressSource {
            size: config.size,
            batch_size: config.batch_size,
            fresh_bodies: config.fresh_bodies,
            total_left: limit(config.max_total_events),
            successes_left: limit(config.max_successful_events),
            pace: rate.map(|rate| EvenRate {
                each: Duration::from_secs(1) / rate,
                next: Instant::now(),
            }),
            back_off: BackOff::linear(config.back_off_increment.0, config.back_off_most.0),
        })
    }
}

#[async_trait]
impl Source for StressSource {
    async fn run(&mut self, cx: &SourceContext) -> Result<(), SourceError> {
        cx.ready(None);
        // Looked at before each batch, because a put that never waits leaves no other moment.
        while !cx.stop.is_requested() {
            let count = self
                .total_left
                .min(self.successes_left)
                .min(self.batch_size as u64);
            if count == 0 {
                break;
            }
            tokio::select! {
                biased;
                () = self.put(cx, count) => {}
                () = cx.stop.requested() => {}
            }
        }
        Ok(())
    }

    fn batch_size(&self) -> usize {
        self.batch_size
    }

    fn may_set(&self, _: &str) -> bool {
        false
    }
}

impl StressSource {
    async fn put(&mut self, cx: &SourceContext, count: u64) {
        if let Some(pace) = &mut self.pace {
            pace.wait(count).await;
        }
        // As in Java, a refused event is not put again: the next ones are equal.
        self.total_left -= count;
        match cx.out.put(self.batch(count as usize)).await {
            Ok(()) => {
                self.successes_left -= count;
                self.back_off.reset();
                cx.state.running();
            }
            Err(error) => cx.pause_after(&error, &mut self.back_off).await,
        }
    }

    /// The events of a batch share one body, unless they are to have their own.
    fn batch(&self, events: usize) -> Vec<Event> {
        let fresh = || Event::from(vec![FILL; self.size]);
        match FILLED.get(..self.size) {
            _ if self.fresh_bodies => repeat_with(fresh).take(events).collect(),
            Some(body) => vec![Event::from(body); events],
            None => vec![fresh(); events],
        }
    }
}

impl EvenRate {
    async fn wait(&mut self, events: u64) {
        let now = Instant::now();
        self.next = self
            .next
            .max(now.checked_sub(Duration::from_secs(1)).unwrap_or(now));
        sleep_until(self.next).await;
        self.next += self.each.mul_f64(events as f64);
    }
}

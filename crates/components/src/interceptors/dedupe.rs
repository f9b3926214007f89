//! `dedupe`: every event once.

use std::{
    collections::{HashSet, VecDeque},
    num::NonZeroUsize,
    sync::Arc,
    time::Duration,
};

use flume_core::{
    BuildError, Component, Config, Context, Event, InterceptError, Interceptor, OnceStored,
    config::Seconds, metrics::Counter,
};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

/// Largest window: an event takes some 70 bytes of memory.
const MAX_WINDOW_EVENTS: usize = 10_000_000;

/// Drops events that are equal to one that the channels already have; `DuplicateDroppedCount` counts them. Events are
/// equal if they have the same body, or the same header. What a channel refused does not count as seen, so it passes
/// when it comes again. Equal events pass if they come at the same time over different connections. Nothing is kept
/// over a restart, nor when the source's interceptors change. Not an interceptor of Flume.
#[derive(Clone, Config)]
pub(super) struct DedupeConfig {
    /// A header that events are compared by; an event without it passes. Unset: bodies are compared.
    #[prop("header")]
    header: Option<String>,
    /// How many of the latest events are remembered, at most 10000000. Each takes some 70 bytes.
    #[prop("windowEvents", default = 100000)]
    window_events: NonZeroUsize,
    /// Seconds for which an event is remembered, from when it was stored; 0: until `windowEvents` others have come.
    #[prop("windowSeconds", default = 3600)]
    window_seconds: Seconds,
}

pub(super) struct DedupeInterceptor {
    header: Option<String>,
    window: Arc<Mutex<SeenWindow>>,
    dropped: Counter,
}

/// The beginning of a SHA-256: nobody can make two events that share it.
type Fingerprint = [u8; 16];

/// The keys of stored events, and when they were stored, oldest first.
struct SeenWindow {
    known: HashSet<Fingerprint>,
    stored: VecDeque<(Fingerprint, Instant)>,
    max_events: usize,
    /// Zero: for good.
    lifetime: Duration,
}

impl SeenWindow {
    fn forget(&mut self, now: Instant) {
        let lifetime = self.lifetime;
        let is_old = |since: Instant| !lifetime.is_zero() && now - since >= lifetime;
        while let Some((key, since)) = self.stored.front()
            && (self.stored.len() > self.max_events || is_old(*since))
        {
            self.known.remove(key);
            self.stored.pop_front();
        }
    }

    fn remember(&mut self, keys: Vec<Fingerprint>) {
        let now = Instant::now();
        for key in keys {
            if self.known.insert(key) {
                self.stored.push_back((key, now));
            }
            self.forget(now);
        }
    }
}

impl Component for DedupeInterceptor {
    type Config = DedupeConfig;
    fn build(config: DedupeConfig, cx: &Context) -> Result<Self, BuildError> {
        let max_events = config.window_events.get();
        if max_events > MAX_WINDOW_EVENTS {
            let text = format!("must not exceed {MAX_WINDOW_EVENTS}");
            return Err(BuildError::at("windowEvents", text));
        }
        Ok(DedupeInterceptor {
            header: config.header,
            window: Arc::new(Mutex::new(SeenWindow {
                known: HashSet::new(),
                stored: VecDeque::new(),
                max_events,
                lifetime: config.window_seconds.0,
            })),
            dropped: cx.metrics.counter("DuplicateDroppedCount"),
        })
    }
}

impl DedupeInterceptor {
    fn key(&self, event: &Event) -> Option<Fingerprint> {
        let text = match &self.header {
            Some(name) => event.headers.get(name)?.as_bytes(),
            None => &event.body,
        };
        Sha256::digest(text).first_chunk().copied()
    }
}

impl Interceptor for DedupeInterceptor {
    fn intercept(&self, batch: &mut Vec<Event>) -> Result<(), InterceptError> {
        self.intercept_to_store(batch).map(drop)
    }

    fn intercept_to_store(
        &self,
        batch: &mut Vec<Event>,
    ) -> Result<Option<OnceStored>, InterceptError> {
        let keys: Vec<_> = batch.iter().map(|event| self.key(event)).collect();
        let before = batch.len();
        let mut window = self.window.lock();
        window.forget(Instant::now());
        let mut in_batch = HashSet::new();
        let mut passed = vec![];
        let mut keys = keys.into_iter();
        batch.retain(|_| {
            let Some(key) = keys.next().flatten() else {
                return true;
            };
            let passes = !window.known.contains(&key) && in_batch.insert(key);
            passed.extend(passes.then_some(key));
            passes
        });
        drop(window);
        self.dropped.add(before - batch.len());
        let window = self.window.clone();
        Ok(Some(Box::new(move || window.lock().remember(passed))))
    }

    fn may_set(&self, _: &str) -> bool {
        false
    }
}

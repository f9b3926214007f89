//! `sample`: one event of many.

use std::{
    num::NonZeroU64,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use flume_core::{
    BuildError, Component, Config, Context, Event, InterceptError, Interceptor, Str,
    metrics::Counter,
};

/// Keeps one event in so many and drops the others. `SampledOutCount` counts what is dropped. Not an interceptor of
/// Flume.
#[derive(Clone, Config)]
pub(super) struct SampleConfig {
    /// One event in so many is kept; 1 keeps all.
    #[prop("rate")]
    rate: NonZeroU64,
    /// A header whose value decides: events with equal values are all kept or all dropped, on every agent alike. An
    /// event without the header is kept. Unset: every `rate`-th event is kept.
    #[prop("header")]
    header: Option<String>,
    /// A header that tells the rate to readers, who multiply by it; unset: none.
    #[prop("rateHeader")]
    rate_header: Option<String>,
}

pub(super) struct SampleInterceptor {
    rate: u64,
    header: Option<String>,
    rate_header: Option<(Str, Str)>,
    seen: AtomicU64,
    dropped: Counter,
}

impl Component for SampleInterceptor {
    type Config = SampleConfig;
    fn build(config: SampleConfig, cx: &Context) -> Result<Self, BuildError> {
        let rate = config.rate.get();
        let value = Str::from(rate.to_string());
        Ok(SampleInterceptor {
            rate,
            header: config.header,
            rate_header: config.rate_header.map(|name| (name.into(), value)),
            seen: AtomicU64::new(0),
            dropped: cx.metrics.counter("SampledOutCount"),
        })
    }
}

impl SampleInterceptor {
    fn keeps(&self, event: &Event) -> bool {
        let number = match &self.header {
            None => self.seen.fetch_add(1, Relaxed),
            Some(name) => match event.headers.get(name) {
                None => return true,
                Some(value) => stable_hash(value.as_bytes()),
            },
        };
        number.is_multiple_of(self.rate)
    }
}

/// FNV-1a of 64 bits, then the finalizer of SplitMix64, because the low bits of FNV alone are not even. Agents must
/// agree on it, so it never changes.
fn stable_hash(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in bytes {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

impl Interceptor for SampleInterceptor {
    fn intercept(&self, batch: &mut Vec<Event>) -> Result<(), InterceptError> {
        let before = batch.len();
        batch.retain(|event| self.keeps(event));
        self.dropped.add(before - batch.len());
        if let Some((name, value)) = &self.rate_header {
            super::set_header(batch, name, value, false);
        }
        Ok(())
    }

    fn may_set(&self, name: &str) -> bool {
        let rate_header = self.rate_header.as_ref();
        rate_header.is_some_and(|(header, _)| &**header == name)
    }
}

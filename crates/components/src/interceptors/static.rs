//! `static`: the same header on every event.

use flume_core::{BuildError, Component, Config, Context, Event, Headers, InterceptError, Interceptor, Str};

/// Gives every event one header.
#[derive(Clone, Config)]
pub(super) struct StaticConfig {
    /// Whether a value that is already there stays.
    #[prop("preserveExisting", default = true)]
    preserve_existing: bool,
    /// Name of the header.
    #[prop("key", default = "key")]
    key: String,
    /// Value of the header.
    #[prop("value", default = "value")]
    value: String,
}

pub(super) struct StaticInterceptor {
    preserve_existing: bool,
    key: Str,
    value: Str,
    /// Shared by all events that come without headers, so they cost no allocation.
    alone: Headers,
}

impl Component for StaticInterceptor {
    type Config = StaticConfig;
    fn build(config: StaticConfig, _: &Context) -> Result<Self, BuildError> {
        let StaticConfig { preserve_existing, key, value } = config;
        let (key, value) = (Str::from(key), Str::from(value));
        let alone = Headers::from_iter([(key.clone(), value.clone())]);
        Ok(StaticInterceptor { preserve_existing, key, value, alone })
    }
}

impl Interceptor for StaticInterceptor {
    fn intercept(&self, batch: &mut Vec<Event>) -> Result<(), InterceptError> {
        for Event { headers, .. } in batch {
            if headers.is_empty() {
                *headers = self.alone.clone();
            } else if !self.preserve_existing || headers.get(&self.key).is_none() {
                headers.set(self.key.clone(), self.value.clone());
            }
        }
        Ok(())
    }
}

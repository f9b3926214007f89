//! `static`: the same header on every event.

use flume_core::{
    BuildError, Component, Config, Context, Event, InterceptError, Interceptor, Str,
    config::FreeText,
};

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
    value: FreeText,
}

pub(super) struct StaticInterceptor {
    preserve_existing: bool,
    key: Str,
    value: Str,
}

impl Component for StaticInterceptor {
    type Config = StaticConfig;
    fn build(config: StaticConfig, _: &Context) -> Result<Self, BuildError> {
        let StaticConfig {
            preserve_existing,
            key,
            value,
        } = config;
        Ok(StaticInterceptor {
            preserve_existing,
            key: key.into(),
            value: value.0.into(),
        })
    }
}

impl Interceptor for StaticInterceptor {
    fn intercept(&self, batch: &mut Vec<Event>) -> Result<(), InterceptError> {
        super::set_header(batch, &self.key, &self.value, self.preserve_existing);
        Ok(())
    }

    fn may_set(&self, header: &str) -> bool {
        &*self.key == header
    }
}

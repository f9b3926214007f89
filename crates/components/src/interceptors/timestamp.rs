//! `timestamp`: when an event came.

use flume_core::{BuildError, Component, Config, Context, Event, InterceptError, Interceptor, Str};
use flume_host::clock::now_ms;

/// Gives every event a header with the agent's clock, in milliseconds since 1970.
#[derive(Clone, Config)]
pub(super) struct TimestampConfig {
    /// Name of the header.
    #[prop("headerName", default = "timestamp")]
    header_name: String,
    /// Whether a value that is already there stays.
    #[prop("preserveExisting", default = false)]
    preserve_existing: bool,
}

pub(super) struct TimestampInterceptor {
    name: Str,
    preserve_existing: bool,
}

impl Component for TimestampInterceptor {
    type Config = TimestampConfig;
    fn build(config: TimestampConfig, _: &Context) -> Result<Self, BuildError> {
        let TimestampConfig {
            header_name,
            preserve_existing,
        } = config;
        Ok(TimestampInterceptor {
            name: header_name.into(),
            preserve_existing,
        })
    }
}

impl Interceptor for TimestampInterceptor {
    fn intercept(&self, batch: &mut Vec<Event>) -> Result<(), InterceptError> {
        super::set_header(
            batch,
            &self.name,
            &Str::from(now_ms().to_string()),
            self.preserve_existing,
        );
        Ok(())
    }

    fn may_set(&self, header: &str) -> bool {
        &*self.name == header
    }
}

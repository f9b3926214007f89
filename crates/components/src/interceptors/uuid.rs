//! `uuid`: a name for every event that no other has.

use flume_core::{BuildError, Component, Config, Context, Event, InterceptError, Interceptor, Str};
use uuid::Uuid;

/// Gives every event a header with a random UUID. A batch that is put again gets others.
#[derive(Clone, Config)]
pub(super) struct UuidConfig {
    /// Name of the header.
    #[prop("headerName", default = "id")]
    header_name: String,
    /// Whether a value that is already there stays.
    #[prop("preserveExisting", default = true)]
    preserve_existing: bool,
    /// What the value begins with.
    #[prop("prefix", default = "")]
    prefix: String,
}

pub(super) struct UuidInterceptor {
    name: Str,
    preserve_existing: bool,
    prefix: String,
}

impl Component for UuidInterceptor {
    type Config = UuidConfig;
    fn build(config: UuidConfig, _: &Context) -> Result<Self, BuildError> {
        Ok(UuidInterceptor {
            name: config.header_name.into(),
            preserve_existing: config.preserve_existing,
            prefix: config.prefix,
        })
    }
}

impl Interceptor for UuidInterceptor {
    fn intercept(&self, batch: &mut Vec<Event>) -> Result<(), InterceptError> {
        for event in batch {
            if !self.preserve_existing || event.headers.get(&self.name).is_none() {
                let value = format!("{}{}", self.prefix, Uuid::new_v4());
                event.headers.set(self.name.clone(), value.into());
            }
        }
        Ok(())
    }

    fn may_set(&self, header: &str) -> bool {
        &*self.name == header
    }
}

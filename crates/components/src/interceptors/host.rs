//! `host`: which agent received an event.

use std::sync::OnceLock;

use flume_core::{BuildError, Component, Config, Context, Event, InterceptError, Interceptor, Str};
use flume_host::names::{LocalHost, outgoing_address};

/// Gives every event a header with the agent's host.
#[derive(Clone, Config)]
pub(super) struct HostConfig {
    /// Whether a value that is already there stays.
    #[prop("preserveExisting", default = false)]
    preserve_existing: bool,
    /// The IP address rather than the canonical host name.
    #[prop("useIP", default = true)]
    use_ip: bool,
    /// Name of the header.
    #[prop("hostHeader", default = "host")]
    host_header: String,
}

pub(super) struct HostInterceptor {
    config: HostConfig,
    name: Str,
    /// Looked up with the first batch: building does no I/O.
    host: OnceLock<Str>,
}

impl Component for HostInterceptor {
    type Config = HostConfig;
    fn build(config: HostConfig, _: &Context) -> Result<Self, BuildError> {
        let name = Str::from(config.host_header.clone());
        Ok(HostInterceptor {
            config,
            name,
            host: OnceLock::new(),
        })
    }
}

impl Interceptor for HostInterceptor {
    fn intercept(&self, batch: &mut Vec<Event>) -> Result<(), InterceptError> {
        let host = self.host.get_or_init(|| header_value(self.config.use_ip));
        super::set_header(batch, &self.name, host, self.config.preserve_existing);
        Ok(())
    }

    fn may_set(&self, header: &str) -> bool {
        &*self.name == header
    }
}

/// As in Flume. When the host's name leads nowhere, Flume sets no header; here it is the address that this host would
/// send from, or the plain name.
fn header_value(use_ip: bool) -> Str {
    let host = LocalHost::look_up();
    let address = host.address.or_else(outgoing_address);
    match address {
        Some(address) if use_ip => Str::from(address.to_string()),
        _ => Str::from(host.canonical_name),
    }
}

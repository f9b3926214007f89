//! `host`: where an event came.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    sync::OnceLock,
};

use flume_core::{BuildError, Component, Config, Context, Event, InterceptError, Interceptor, Str};

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
    /// Looked up with the first batch: building does no I/O. None when the host has no name.
    host: OnceLock<Option<Str>>,
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
        let host = self
            .host
            .get_or_init(|| host(self.config.use_ip).map(Str::from));
        if let Some(host) = host {
            super::set_header(batch, &self.name, host, self.config.preserve_existing);
        }
        Ok(())
    }

    fn may_set(&self, header: &str) -> bool {
        &*self.name == header
    }
}

fn host(use_ip: bool) -> Option<String> {
    let name = gethostname::gethostname().into_string().ok()?;
    let addresses = dns_lookup::lookup_host(&name)
        .map(Iterator::collect::<Vec<_>>)
        .unwrap_or_default();
    // Java prefers IPv4, too.
    let address = addresses
        .iter()
        .find(|address| address.is_ipv4())
        .or(addresses.first())
        .copied();
    if use_ip {
        return address.or_else(outgoing).map(|address| address.to_string());
    }
    let canonical = address.and_then(|address| dns_lookup::lookup_addr(&address).ok());
    Some(
        canonical
            .filter(|name| name.parse::<IpAddr>().is_err())
            .unwrap_or(name),
    )
}

/// The address this host would send from, when its own name leads nowhere. Nothing is sent.
fn outgoing() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect(SocketAddr::from(([192, 0, 2, 1], 9))).ok()?;
    socket.local_addr().ok().map(|address| address.ip())
}

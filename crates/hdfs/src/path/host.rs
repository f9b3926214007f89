//! `%[localhost]`, `%[IP]`, `%[FQDN]`: the host the agent runs on.

use std::net::{IpAddr, Ipv4Addr};

/// What is written of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HostPart {
    /// `%[localhost]`: its name.
    Name,
    /// `%[IP]`: its address.
    Address,
    /// `%[FQDN]`: its name in full.
    FullName,
}

impl HostPart {
    pub(super) fn parse(word: &str) -> Result<Self, String> {
        let parts = [
            ("localhost", HostPart::Name),
            ("IP", HostPart::Address),
            ("FQDN", HostPart::FullName),
        ];
        let found = parts
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(word));
        found.map(|(_, part)| *part).ok_or_else(|| {
            format!("`%[{word}]` is no escape; there are `%[localhost]`, `%[IP]` and `%[FQDN]`")
        })
    }
}

/// The host, as `java.net.InetAddress` sees it.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    name: String,
    address: String,
    full_name: String,
}

impl Host {
    /// Asks the system, which may ask a name server: blocks.
    pub(crate) fn look_up() -> Host {
        let name = gethostname::gethostname().to_string_lossy().into_owned();
        let addresses = dns_lookup::lookup_host(&name)
            .map(Iterator::collect::<Vec<_>>)
            .unwrap_or_default();
        // Java prefers IPv4, too.
        let found = addresses
            .iter()
            .find(|address| address.is_ipv4())
            .or(addresses.first())
            .copied();
        let address = found.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let full_name = dns_lookup::lookup_addr(&address)
            .ok()
            .filter(|full| full.parse::<IpAddr>().is_err());
        Host {
            address: address.to_string(),
            full_name: full_name.unwrap_or_else(|| name.clone()),
            name,
        }
    }

    pub(super) fn part(&self, part: HostPart) -> &str {
        match part {
            HostPart::Name => &self.name,
            HostPart::Address => &self.address,
            HostPart::FullName => &self.full_name,
        }
    }
}

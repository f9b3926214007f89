//! `%[localhost]`, `%[IP]`, `%[FQDN]`: the host the agent runs on.

use std::net::{IpAddr, Ipv4Addr};

use flume_host::names::LocalHost;

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
            format!("`%[{word}]` is not an escape; the escapes are `%[localhost]`, `%[IP]` and `%[FQDN]`")
        })
    }
}

impl HostPart {
    /// What is written for it.
    pub(super) fn text(self, host: &LocalHost) -> String {
        match self {
            HostPart::Name => host.name.clone(),
            HostPart::Address => {
                let address = host.address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
                address.to_string()
            }
            HostPart::FullName => host.canonical_name.clone(),
        }
    }
}

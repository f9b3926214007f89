//! The name and address of this host, as `java.net.InetAddress` finds them. Everything here may ask a name server and
//! so may block for long.
//!
//! Java takes the first IPv4 address of the host's own name. The canonical name is the name of that address, but only
//! if that name leads back to the address; otherwise Java shows the address in its place.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

/// `AI_CANONNAME` of Linux's netdb.h: ask for the canonical name.
const AI_CANONNAME: i32 = 2;
/// An address that nobody has (TEST-NET-1). Nothing is sent to it.
const NOWHERE: ([u8; 4], u16) = ([192, 0, 2, 1], 9);

/// This host, as `InetAddress.getLocalHost()` sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalHost {
    /// `getHostName()`: what the kernel says.
    pub name: String,
    /// `getHostAddress()`; `None` when the name has no address, where Java throws an exception.
    pub address: Option<IpAddr>,
    /// `getCanonicalHostName()`; the plain name when that has no address.
    pub canonical_name: String,
}

impl LocalHost {
    /// Asks the system.
    pub fn look_up() -> LocalHost {
        let name = own_name();
        let address = address_of(&name);
        let canonical_name = address.map_or_else(|| name.clone(), name_of_address);
        LocalHost {
            name,
            address,
            canonical_name,
        }
    }
}

/// The name that the kernel has for this host; it may lack a domain.
pub fn own_name() -> String {
    gethostname::gethostname().to_string_lossy().into_owned()
}

/// The name of the user that this process runs as; the number if it has no name.
pub fn user_name() -> String {
    whoami::username().unwrap_or_else(|_| rustix::process::geteuid().as_raw().to_string())
}

/// The address of a host that Java would use: the first IPv4 address, else the first one.
pub fn address_of(host: &str) -> Option<IpAddr> {
    let addresses: Vec<IpAddr> = dns_lookup::lookup_host(host).ok()?.collect();
    let ipv4 = addresses.iter().find(|address| address.is_ipv4());
    ipv4.or(addresses.first()).copied()
}

/// The canonical name of a host; `None` if it has no address.
pub fn canonical_name(host: &str) -> Option<String> {
    address_of(host).map(name_of_address)
}

/// This host's canonical name: what `_HOST` in a principal stands for. The plain name if that has no address.
pub fn canonical_host_name() -> String {
    let name = own_name();
    canonical_name(&name).unwrap_or(name)
}

/// `InetAddress.getHostName()` of an address: its name, if that leads back to it, else the address.
pub fn name_of_address(address: IpAddr) -> String {
    let leads_back = |name: &String| {
        dns_lookup::lookup_host(name).is_ok_and(|mut found| found.any(|found| found == address))
    };
    let name = dns_lookup::lookup_addr(&address).ok().filter(leads_back);
    name.unwrap_or_else(|| address.to_string())
}

/// The fully qualified name, in lower case, as `hostname --fqdn` prints it: the host's own name if it has a domain,
/// else the canonical name that the resolver knows. `None` if neither has a domain.
pub fn qualified_name() -> Option<String> {
    let name = own_name();
    if name.contains('.') {
        return Some(name.to_ascii_lowercase());
    }
    let hints = dns_lookup::AddrInfoHints {
        flags: AI_CANONNAME,
        ..Default::default()
    };
    let mut found = dns_lookup::getaddrinfo(Some(&name), None, Some(hints)).ok()?;
    let canonical = found.find_map(|info| info.ok()?.canonname)?;
    canonical
        .contains('.')
        .then(|| canonical.to_ascii_lowercase())
}

/// The address this host would send from, for a host whose own name leads nowhere. Nothing is sent.
pub fn outgoing_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect(SocketAddr::from(NOWHERE)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_host_has_a_name_and_the_canonical_one_leads_back() {
        let host = LocalHost::look_up();
        assert_eq!(host.name, own_name());
        if let Some(address) = host.address {
            let back = address_of(&host.canonical_name);
            assert!(
                back.is_some(),
                "{host:?} is called by a name that leads nowhere"
            );
            assert!(address.is_ipv4() || back.is_some_and(|back| back.is_ipv6()));
        }
    }

    #[test]
    fn an_unknown_host_has_no_name() {
        assert_eq!(canonical_name("no-such-host.invalid"), None);
        assert_eq!(address_of("127.0.0.1"), Some(Ipv4Addr::LOCALHOST.into()));
    }
}

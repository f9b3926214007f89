//! Where sources listen.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use flume_core::SourceError;
use tokio::net::lookup_host;

/// What to listen on, the first that can be had: of several addresses of a host, the first of IPv4. Every
/// address of the system means IPv6 too, if it has that. Both as in Java.
pub(super) async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, SourceError> {
    let found = lookup_host((host, port)).await;
    let found: Vec<_> = found
        .map_err(SourceError::at(format!("resolve `{host}`")))?
        .collect();
    let chosen = found
        .iter()
        .find(|address| address.is_ipv4())
        .or(found.first())
        .copied();
    let any = chosen.is_some_and(|address| address.ip() == Ipv4Addr::UNSPECIFIED);
    let any = any.then_some(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)));
    Ok(any.into_iter().chain(chosen).collect())
}

/// As Java shows the address of a peer: `/127.0.0.1:4711`, `/[0:0:0:0:0:0:0:1]:4711`.
pub(super) fn java_address(peer: SocketAddr) -> String {
    match peer.ip().to_canonical() {
        IpAddr::V4(ip) => format!("/{ip}:{}", peer.port()),
        IpAddr::V6(ip) => {
            let segments = ip.segments().map(|segment| format!("{segment:x}"));
            format!("/[{}]:{}", segments.join(":"), peer.port())
        }
    }
}

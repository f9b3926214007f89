//! Where sources listen.

use std::net::{IpAddr, SocketAddr};

use flume_core::SourceError;
use tokio::net::lookup_host;

/// The address a host and port stand for: of several, the first of IPv4, as Java prefers it.
pub(super) async fn resolve(host: &str, port: u16) -> Result<SocketAddr, SourceError> {
    let found = lookup_host((host, port)).await;
    let found: Vec<_> = found.map_err(SourceError::at(format!("resolve `{host}`")))?.collect();
    let chosen = found.iter().find(|address| address.is_ipv4()).or(found.first());
    chosen.copied().ok_or_else(|| SourceError::at(format!("resolve `{host}`"))("it has no address"))
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

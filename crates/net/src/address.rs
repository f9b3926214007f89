//! Names and addresses as Java sees them.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use flume_host::{limited::on_peer_thread, names::name_of_address};
use tokio::net::lookup_host;

/// How long a name service may take to find the name of an address.
const REVERSE_LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// What to listen on, in the order to try: the first IPv4 address of the host, else its first address. The IPv4
/// address that stands for all means IPv6 as well, if the system has that. Both are as in Java.
///
/// # Errors
/// When the host has no address.
pub async fn to_listen_on(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let found: Vec<_> = lookup_host((host, port)).await?.collect();
    let ipv4 = found.iter().find(|address| address.is_ipv4());
    let chosen = ipv4.or(found.first()).copied();
    let is_any = chosen.is_some_and(|address| address.ip() == Ipv4Addr::UNSPECIFIED);
    let any_ipv6 = is_any.then_some(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)));
    Ok(any_ipv6.into_iter().chain(chosen).collect())
}

/// The address of a peer as Java shows it: `/127.0.0.1:4711`, `/[0:0:0:0:0:0:0:1]:4711`.
pub fn java_socket_address(peer: SocketAddr) -> String {
    match peer.ip().to_canonical() {
        IpAddr::V4(ip) => format!("/{ip}:{}", peer.port()),
        ip @ IpAddr::V6(_) => format!("/[{}]:{}", java_address(ip), peer.port()),
    }
}

/// `InetAddress.getHostAddress()`: `127.0.0.1`, `0:0:0:0:0:0:0:1`.
pub fn java_address(ip: IpAddr) -> String {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => {
            let segments = ip.segments().map(|segment| format!("{segment:x}"));
            segments.join(":")
        }
    }
}

/// `InetAddress.getHostName()`: the name of an address, or the address itself when it has none, or when the name
/// service is slow.
pub async fn java_host_name(ip: IpAddr) -> String {
    let ip = ip.to_canonical();
    match on_peer_thread(REVERSE_LOOKUP_TIMEOUT, move || name_of_address(ip)).await {
        Ok(name) if name != ip.to_string() => name,
        _ => java_address(ip),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_look_as_in_java() {
        let shown = |text: &str| java_socket_address(text.parse().expect("an address"));
        assert_eq!(shown("127.0.0.1:4711"), "/127.0.0.1:4711");
        assert_eq!(shown("[::1]:4711"), "/[0:0:0:0:0:0:0:1]:4711");
        assert_eq!(shown("[::ffff:10.0.0.1]:1"), "/10.0.0.1:1");
    }

    #[tokio::test]
    async fn all_addresses_of_ipv4_mean_ipv6_as_well() {
        let chosen = to_listen_on("0.0.0.0", 80).await.expect("an address");
        let expected: Vec<SocketAddr> = ["[::]:80", "0.0.0.0:80"]
            .map(|text| text.parse().expect("an address"))
            .into();
        assert_eq!(chosen, expected);
    }
}

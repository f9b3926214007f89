//! `_HOST` in principals, as Hadoop's `SecurityUtil` has it.

use std::net::IpAddr;

/// What stands for the host.
const HOST_PLACEHOLDER: &str = "_HOST";

/// `service/_HOST@REALM` with this host's canonical name, in lower case; anything else as it is. Blocks.
pub fn resolve_host(principal: &str) -> String {
    resolve_with(principal, canonical_host_name)
}

/// The same for another host: a server's principal, as seen from its address. Blocks.
pub fn resolve_for(principal: &str, host: &str) -> String {
    resolve_with(principal, || {
        canonical_name(host).unwrap_or_else(|| host.into())
    })
}

fn resolve_with(principal: &str, name: impl FnOnce() -> String) -> String {
    let parts: Vec<_> = principal.split(['/', '@']).collect();
    match parts[..] {
        [service, HOST_PLACEHOLDER, realm] => {
            format!("{service}/{}@{realm}", name().to_lowercase())
        }
        _ => principal.to_string(),
    }
}

/// This host's name in full, as Java's `getCanonicalHostName` finds it: the name of the address of the host's name,
/// if that name leads back to the address; the address itself otherwise. Blocks.
pub fn canonical_host_name() -> String {
    let name = gethostname::gethostname().to_string_lossy().into_owned();
    canonical_name(&name).unwrap_or(name)
}

/// The canonical name of a host; `None` if it has no address. Blocks.
fn canonical_name(host: &str) -> Option<String> {
    let addresses: Vec<IpAddr> = dns_lookup::lookup_host(host).ok()?.collect();
    // Java prefers IPv4, too.
    let address = addresses
        .iter()
        .find(|address| address.is_ipv4())
        .or(addresses.first())?;
    let full = dns_lookup::lookup_addr(address).ok();
    let leads_back = |full: &String| {
        dns_lookup::lookup_host(full)
            .is_ok_and(|mut addresses| addresses.any(|found| found == *address))
    };
    Some(
        full.filter(leads_back)
            .unwrap_or_else(|| address.to_string()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_filled_into_principals_of_three_parts() {
        let check = |principal: &str, expected: &str| {
            assert_eq!(
                resolve_with(principal, || "Node7.Example.COM".into()),
                expected
            );
        };
        check(
            "flume/_HOST@EXAMPLE.COM",
            "flume/node7.example.com@EXAMPLE.COM",
        );
        check("flume/host@EXAMPLE.COM", "flume/host@EXAMPLE.COM");
        check("flume/_HOST", "flume/_HOST");
        check("flume/_host@R", "flume/_host@R");
        check("flume/a_HOST@R", "flume/a_HOST@R");
        check("flume@R", "flume@R");
        check("", "");
    }

    #[test]
    fn this_host_has_a_name() {
        assert!(!canonical_host_name().is_empty());
        assert_eq!(canonical_name("no.such.host.invalid"), None);
    }
}

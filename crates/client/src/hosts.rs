//! Where events are sent: `hosts = h1 h2`, `hosts.h1 = collector:41414`.

use std::collections::BTreeMap;

use flume_core::{
    Code,
    config::{Property, PropertyValue},
    props::Props,
};

/// The peers in their order, each with its port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hosts(pub Vec<(String, u16)>);

impl PropertyValue for Hosts {
    const TYPE: &'static str = "hosts";
    const OPTIONAL: bool = true;

    fn read(props: &mut Props<'_>, row: &Property) -> Option<Self> {
        let addresses: BTreeMap<_, _> = props.claim(&format!("{}.", row.key));
        if !props.is_set(row) {
            return Some(Hosts::default());
        }
        let aliases = props.text(row)?;
        let mut hosts = vec![];
        let mut wrong = false;
        for alias in aliases.split_whitespace() {
            let key = format!("{}.{alias}", row.key);
            let Some(setting) = addresses.get(alias) else {
                props.problem(
                    &key,
                    "required but not set: the address of a host in `hosts`",
                );
                wrong = true;
                continue;
            };
            match parse_address(setting.text.trim()) {
                Some(address) => hosts.push(address),
                None => {
                    let text = format!("expected host:port, found `{}`", setting.text);
                    props.problem(&key, &text);
                    wrong = true;
                }
            }
        }
        let is_listed = |alias: &str| aliases.split_whitespace().any(|listed| listed == alias);
        for (alias, setting) in addresses.iter().filter(|(alias, _)| !is_listed(alias)) {
            let key = format!("{}.{alias}", row.key);
            let text = format!("`{alias}` is not listed in `{}`", row.key);
            props.report_at(
                Code::PartNotListed,
                setting.key_place.clone(),
                &key,
                &text,
                None,
            );
        }
        (!wrong).then_some(Hosts(hosts))
    }
}

/// `host:port`; an IPv6 address stands in brackets.
pub(crate) fn parse_address(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok()?;
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let host = bare.unwrap_or(host);
    let is_ambiguous = bare.is_none() && host.contains(':');
    (!host.is_empty() && !is_ambiguous).then(|| (host.into(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        let parsed = |text| parse_address(text);
        assert_eq!(parsed("h.example:41414"), Some(("h.example".into(), 41414)));
        assert_eq!(parsed("[::1]:1"), Some(("::1".into(), 1)));
        for wrong in ["", "h", "h:", ":1", "h:x", "h:70000", "::1:1", "h:1:2"] {
            assert_eq!(parsed(wrong), None, "{wrong}");
        }
    }
}

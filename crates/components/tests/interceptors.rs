//! Headers that interceptors set.

use std::net::IpAddr;

use flume_components::REGISTRY;
use flume_core::{Context, Event, Interceptor};
use flume_testkit::parts::build;

/// The headers of an event that has `old = 1`, after the interceptor.
fn headers(name: &str, text: &str) -> Vec<(String, String)> {
    let interceptor: Box<dyn Interceptor> = build(
        &REGISTRY,
        name,
        text,
        &Context::new("a1.sources.r1", &["c1"]),
    );
    let mut batch = vec![Event::from("bare"), Event::from("body")];
    batch[1].headers.set("old".into(), "1".into());
    interceptor.intercept(&mut batch).unwrap();
    assert!(batch[0].headers.iter().count() <= 1);
    batch[1]
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect()
}

fn check(name: &str, text: &str, expected: &[(&str, &str)]) {
    let seen = headers(name, text);
    let seen: Vec<_> = seen
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    assert_eq!(seen, expected, "{name} {text}");
}

#[test]
fn a_static_header_keeps_what_is_there_unless_told() {
    check("static", "", &[("key", "value"), ("old", "1")]);
    check(
        "static",
        "key = dc\nvalue = x",
        &[("dc", "x"), ("old", "1")],
    );
    check("static", "key = old\nvalue = x", &[("old", "1")]);
    check(
        "static",
        "key = old\nvalue = x\npreserveExisting = false",
        &[("old", "x")],
    );
}

#[test]
fn a_timestamp_is_milliseconds_and_replaces_unless_told() {
    let seen = headers("timestamp", "");
    assert_eq!((seen[1].0.as_str(), seen[1].1.len()), ("timestamp", 13));
    assert_eq!(headers("timestamp", "headerName = old")[0].1.len(), 13);
    check(
        "timestamp",
        "headerName = old\npreserveExisting = true",
        &[("old", "1")],
    );
}

#[test]
fn a_host_is_an_address_or_a_name() {
    let address = headers("host", "");
    assert_eq!(address[0].0, "host");
    address[0].1.parse::<IpAddr>().unwrap();
    let name = headers("host", "useIP = false\nhostHeader = where");
    assert_eq!(name[1].0, "where");
    assert!(name[1].1.parse::<IpAddr>().is_err() && !name[1].1.is_empty());
    check(
        "host",
        "hostHeader = old\npreserveExisting = true",
        &[("old", "1")],
    );
}

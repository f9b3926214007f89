//! Headers that interceptors set.

use std::net::IpAddr;

use flume_components::REGISTRY;
use flume_core::{Context, Event, Interceptor};
use flume_testkit::parts::{build, try_build};

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

/// Bodies after the interceptor, and a number of its.
fn bodies(name: &str, text: &str, bodies: &[&str], counter: &str) -> (Vec<String>, u64) {
    let cx = Context::new("a1.sources.r1", &["c1"]);
    let interceptor: Box<dyn Interceptor> = build(&REGISTRY, name, text, &cx);
    let mut batch: Vec<_> = bodies
        .iter()
        .map(|body| Event::from(body.to_string()))
        .collect();
    interceptor.intercept(&mut batch).unwrap();
    let left = batch
        .iter()
        .map(|event| String::from_utf8_lossy(&event.body).into_owned());
    (left.collect(), cx.metrics.number(counter))
}

#[test]
fn a_filter_keeps_or_drops_what_matches_anywhere() {
    let check = |text: &str, expected: &[&str]| {
        let lines = ["ERROR a", "INFO b", "an ERROR", ""];
        let (left, _) = bodies("regex_filter", text, &lines, "");
        assert_eq!(left, expected, "{text}");
    };
    check("", &["ERROR a", "INFO b", "an ERROR", ""]);
    check("regex = ERROR", &["ERROR a", "an ERROR"]);
    check("regex = ^ERROR", &["ERROR a"]);
    check("regex = ERROR\nexcludeEvents = true", &["INFO b", ""]);
    check("regex = ^(?!.*ERROR)", &["INFO b", ""]);
}

#[test]
fn a_pattern_that_takes_for_ever_counts_as_not_matching() {
    let long = "a".repeat(60);
    let text = r"regex = ^(?>a?)(a|aa)+\1b$";
    let (left, given_up) = bodies("regex_filter", text, &["x", &long], "RegexGivenUpCount");
    assert_eq!((left.len(), given_up), (0, 1));
}

#[test]
fn matches_in_bodies_are_replaced() {
    let check = |text: &str, expected: &str| {
        let (left, _) = bodies("search_replace", text, &["card 1234-5678, card 9"], "");
        assert_eq!(left, [expected], "{text}");
    };
    check(r"searchPattern = \d{4}-(\d{4})", "card , card 9");
    check(
        "searchPattern = \\d{4}-(\\d{4})\nreplaceString = X-$1",
        "card X-5678, card 9",
    );
    check(
        "searchPattern = ^card\nreplaceString = \\$",
        "$ 1234-5678, card 9",
    );
    check(
        "searchPattern = nothing\nreplaceString = x",
        "card 1234-5678, card 9",
    );
    let latin = "searchPattern = \u{e9}\nreplaceString = e\ncharset = ISO-8859-1";
    let interceptor: Box<dyn Interceptor> = build(
        &REGISTRY,
        "search_replace",
        latin,
        &Context::new("a1.sources.r1", &["c1"]),
    );
    let mut batch = vec![Event::from(b"caf\xe9 \xff".to_vec())];
    interceptor.intercept(&mut batch).unwrap();
    assert_eq!(batch[0].body, &b"cafe \xff"[..]);
}

/// The headers of one event with this body, after a `regex_extractor`.
fn extracted(text: &str, body: &str) -> Vec<(String, String)> {
    let cx = Context::new("a1.sources.r1", &["c1"]);
    let interceptor: Box<dyn Interceptor> = build(&REGISTRY, "regex_extractor", text, &cx);
    let mut batch = vec![Event::from(body.to_string())];
    interceptor.intercept(&mut batch).unwrap();
    let headers = batch[0].headers.iter();
    headers
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect()
}

#[test]
fn groups_become_headers() {
    let check = |text: &str, body: &str, expected: &[(&str, &str)]| {
        let seen = extracted(text, body);
        let seen: Vec<_> = seen
            .iter()
            .map(|(name, value)| (&name[..], &value[..]))
            .collect();
        assert_eq!(seen, expected, "{text} on {body}");
    };
    let three = "regex = (\\d):(\\d)(:\\d)?\nserializers = a b\nserializers.a.name = one\nserializers.b.name = two";
    check(three, "1:2:3.4foobar5", &[("one", "1"), ("two", "2")]);
    check(three, "none", &[]);
    let optional =
        "regex = (x)?y\nserializers = a\nserializers.a.name = one\nserializers.a.type = default";
    check(optional, "y", &[]);
    let date = "regex = ^(\\S+ \\S+)\nserializers = t\nserializers.t.name = timestamp\n\
        serializers.t.type = org.apache.flume.interceptor.RegexExtractorInterceptorMillisSerializer\n\
        serializers.t.pattern = yyyy-MM-dd HH:mmZ";
    check(
        date,
        "2012-10-17 14:34+0000 line",
        &[("timestamp", "1350484440000")],
    );
    check(date, "yesterday at noon", &[]);
}

#[test]
fn what_an_extractor_lacks_is_named() {
    let check = |text: &str, expected: &str| {
        let cx = Context::new("a1.sources.r1", &["c1"]);
        let built = try_build::<dyn Interceptor>(&REGISTRY, "regex_extractor", text, &cx);
        let error = built
            .err()
            .unwrap_or_else(|| panic!("{text} builds"))
            .to_string();
        assert!(error.starts_with(expected), "{error}");
    };
    check(
        "regex = a\nserializers = s\nserializers.s.name = h",
        "regex: it has no group",
    );
    check("regex = (a)\nserializers = s", "serializers.s.name: ");
    check(
        "regex = (a)\nserializers = s\nserializers.s.name = h\nserializers.s.typ = x",
        "serializers.s.typ: ",
    );
    check(
        "regex = (a)\nserializers = s\nserializers.s.name = h\nserializers.s.type = x",
        "serializers.s.type: ",
    );
    check(
        "regex = (a)\nserializers = s t\nserializers.s.name = h\nserializers.t.name = i",
        "serializers: there are 2 for 1",
    );
}

#[test]
fn headers_are_removed_by_name_list_and_pattern() {
    let check = |text: &str, expected: &str| {
        let cx = Context::new("a1.sources.r1", &["c1"]);
        let interceptor: Box<dyn Interceptor> = build(&REGISTRY, "remove_header", text, &cx);
        let mut batch = vec![Event::default()];
        for name in ["a", "b", "c1", "c2"] {
            batch[0].headers.set(name.into(), "1".into());
        }
        interceptor.intercept(&mut batch).unwrap();
        let names: Vec<_> = batch[0]
            .headers
            .iter()
            .map(|(name, _)| name.to_string())
            .collect();
        assert_eq!(names.join(" "), expected, "{text}");
    };
    check("", "a b c1 c2");
    check("withName = a", "b c1 c2");
    check("fromList = a , c2,,x", "b c1");
    check("fromList = a;b\nfromListSeparator = ;", "c1 c2");
    check(r"matching = c\d", "a b");
    check("matching = c", "a b c1 c2");
    check("withName = a\nfromList = b\nmatching = c1", "c2");
}

#[test]
fn every_event_gets_a_uuid_of_its_own() {
    let seen = headers("uuid", "prefix = x-");
    assert_eq!((seen[0].0.as_str(), seen[0].1.len()), ("id", 38));
    assert!(seen[0].1.starts_with("x-"));
    assert_ne!(seen[0].1, headers("uuid", "prefix = x-")[0].1);
    check("uuid", "headerName = old", &[("old", "1")]);
    assert_eq!(
        headers("uuid", "headerName = old\npreserveExisting = false")[0]
            .1
            .len(),
        36
    );
}

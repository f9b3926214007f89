use std::{fs, path::Path};

use flume_core::{Event, Headers};
use jiff::tz::TimeZone;
use serde_json::Value;

use super::{
    classic::ClassicParser,
    stream::{StreamDialect, SyslogStream},
    *,
};

/// What Java Flume 1.11 made of messages; `golden/README.md` tells how it was captured.
fn captured() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/syslog.json");
    serde_json::from_slice(&fs::read(path).expect("test data")).expect("JSON")
}

fn clock() -> Clock {
    let now: jiff::Timestamp = "2025-06-15T12:00:00Z".parse().expect("a time");
    Clock {
        now: now.as_millisecond(),
        zone: TimeZone::UTC,
    }
}

/// Timestamps that differ from Flume's, on purpose (`docs/differences.md`): part of the message, ours.
const TIMES_OF_OURS: &[(&str, &str)] = &[
    // With a fraction Flume ignores the zone, and takes `.5` for 5 milliseconds.
    ("2003-08-24T05:14:15.000003-07:00", "1061727255000"),
    ("2012-08-16T08:24:04.5+05:30", "1345085644500"),
    ("2012-08-16T08:24:04.12Z", "1345105444120"),
];

/// The same for `multiport_syslogtcp`, which takes dates more than a month away into 1999 or 2001.
const DATES_OF_OURS: &[(&str, &str)] = &[
    ("Apr  1 13:14:04", "1743513244000"),
    ("Apr 11 13:14:04", "1744377244000"),
    ("Dec 31 23:59:59", "1735689599000"),
    ("Jul 16 13:00:00", "1721134800000"),
    ("May  1 00:00:00", "1746057600000"),
    ("Jan  1 00:00:00", "1735689600000"),
    // It exists in some years, and runs over into March in this one.
    ("Feb 29 13:14:04", "1740834844000"),
];

fn shown(headers: &Headers, body: &[u8]) -> Value {
    let headers: serde_json::Map<String, Value> = headers
        .iter()
        .map(|(name, value)| (name.to_string(), Value::from(&value[..])))
        .collect();
    let body: String = body.iter().map(|byte| *byte as char).collect();
    serde_json::json!({ "headers": headers, "body_latin1": body })
}

fn with_times_of_ours(message: &str, mut expected: Value, tables: &[&[(&str, &str)]]) -> Value {
    let ours = tables.iter().flat_map(|table| table.iter());
    for (_, time) in ours.filter(|(part, _)| message.contains(part)) {
        if expected["headers"].get("timestamp").is_some() {
            expected["headers"]["timestamp"] = Value::from(*time);
        }
    }
    expected
}

/// The message of a vector, as bytes.
fn message(vector: &Value) -> String {
    vector["input"].as_str().expect("a message").into()
}

#[test]
fn messages_are_read_as_syslogtcp_and_syslogudp_read_them() {
    let mut compared = 0;
    for vector in captured()["single"].as_array().expect("vectors") {
        let message = message(vector);
        for (key, expected) in vector.as_object().expect("a vector") {
            let keep = key
                .strip_prefix("tcp/keep=")
                .or(key.strip_prefix("udp/keep="));
            let Some(keep) = keep else { continue };
            let mut parser = ClassicParser::new(KeptFields::parse(keep));
            // Twice: the second time it may be remembered.
            for _ in 0..2 {
                let event = parser.parse(message.as_bytes(), false, &clock());
                let expected = with_times_of_ours(&message, expected.clone(), &[TIMES_OF_OURS]);
                assert_eq!(
                    shown(&event.headers, &event.body),
                    expected,
                    "{message} {key}"
                );
            }
            compared += 1;
        }
    }
    assert!(compared > 200, "{compared}");
}

#[test]
fn messages_are_read_as_multiport_syslogtcp_reads_them() {
    let mut compared = 0;
    for vector in captured()["single"].as_array().expect("vectors") {
        let message = message(vector);
        for (key, expected) in vector.as_object().expect("a vector") {
            let Some(keep) = key.strip_prefix("multiport/keep=") else {
                continue;
            };
            let parsed = strict::parse(&message, KeptFields::parse(keep), &clock());
            compared += 1;
            if let Some(exception) = expected.as_str() {
                assert!(parsed.is_err(), "{message}: {exception}");
                continue;
            }
            let parsed = parsed.unwrap_or_else(|error| panic!("{message}: {error}"));
            let mut expected = with_times_of_ours(&message, expected.clone(), &[DATES_OF_OURS]);
            if parsed
                .headers
                .get("timestamp")
                .is_some_and(|time| *time == clock().now.to_string())
            {
                // The clock of Java's parser was not set for messages without a time.
                expected["headers"]["timestamp"] = Value::from(clock().now.to_string());
            }
            assert_eq!(
                shown(&parsed.headers, parsed.body.as_bytes()),
                expected,
                "{message} {key}"
            );
        }
    }
    assert!(compared > 200, "{compared}");
}

fn read_stream(stream: &mut SyslogStream, chunks: &[&[u8]]) -> Vec<Event> {
    let mut parser = ClassicParser::new(KeptFields::default());
    let mut events = vec![];
    for chunk in chunks {
        stream.feed(chunk);
        while let Some(message) = stream.next_message() {
            events.push(parser.parse(message.bytes, message.is_cut, &clock()));
        }
        stream.settle();
    }
    events
}

#[test]
fn streams_are_cut_as_syslogtcp_cuts_them() {
    for vector in captured()["streams"].as_array().expect("vectors") {
        let chunks: Vec<&str> = vector["chunks"]
            .as_array()
            .expect("chunks")
            .iter()
            .map(|chunk| chunk.as_str().expect("text"))
            .collect();
        let whole = chunks.concat();
        let single: Vec<&[u8]> = whole.as_bytes().chunks(1).collect();
        let chunks: Vec<&[u8]> = chunks.iter().map(|chunk| chunk.as_bytes()).collect();
        for (key, expected) in vector.as_object().expect("a vector") {
            let Some(size) = key.strip_prefix("eventSize=") else {
                continue;
            };
            let size = size.parse().expect("a number");
            for chunks in [&chunks, &single] {
                let mut stream = SyslogStream::new(StreamDialect::Classic, size);
                let events = read_stream(&mut stream, chunks);
                let seen: Vec<_> = events
                    .iter()
                    .map(|event| shown(&event.headers, &event.body))
                    .collect();
                let expected = expected.as_array().expect("events").to_vec();
                assert_eq!(
                    seen,
                    expected.into_iter().map(without_stale).collect::<Vec<_>>(),
                    "{whole:?} {key}"
                );
            }
        }
    }
}

/// Flume keeps priority and version of the message before; a message that fits no format has none of its own.
fn without_stale(mut event: Value) -> Value {
    let headers = event["headers"].as_object_mut().expect("headers");
    if !headers.contains_key("host") {
        headers.remove("priority");
        headers.remove("version");
    }
    event
}

#[test]
fn messages_may_be_counted() {
    let check = |max: usize, sent: &str, expected: &[(&str, bool)]| {
        for size in [1, 3, sent.len()] {
            let mut stream = SyslogStream::new(StreamDialect::Classic, max);
            let mut seen = vec![];
            for chunk in sent.as_bytes().chunks(size) {
                stream.feed(chunk);
                while let Some(message) = stream.next_message() {
                    let text = String::from_utf8_lossy(message.bytes).into_owned();
                    seen.push((text, message.is_cut));
                }
            }
            let expected: Vec<_> = expected
                .iter()
                .map(|(text, cut)| (text.to_string(), *cut))
                .collect();
            assert_eq!(seen, expected, "{sent:?} by {size}");
        }
    };
    check(
        99,
        "9 <13>a\nb c6 <14>dd<15>e\n",
        &[("<13>a\nb c", false), ("<14>dd", false), ("<15>e", false)],
    );
    check(
        99,
        "6 <13>a\n<14>b\n",
        &[("<13>a", false), ("<14>b", false)],
    );
    check(5, "9 <13>abcde<14>\n", &[("<13>a", true), ("<14>", false)]);
    // Without a priority behind the blank, digits are text.
    check(99, "12 monkeys\n", &[("12 monkeys", false)]);
}

#[test]
fn a_line_feed_counts_in_the_strict_dialect() {
    let mut stream = SyslogStream::new(StreamDialect::Strict, 4);
    stream.feed(b"abc\n\nabcdef\n");
    let mut seen = vec![];
    while let Some(message) = stream.next_message() {
        seen.push((message.bytes.to_vec(), message.is_cut));
    }
    let expected = [(&b"abc"[..], false), (b"abcd", true), (b"ef", false)];
    assert_eq!(seen, expected.map(|(bytes, cut)| (bytes.to_vec(), cut)));
}

//! Serializers of Avro container files, read back by a reader of the file format.

use std::{collections::BTreeMap, io::Read};

use flume_components::REGISTRY;
use flume_core::{Config, Context, Event, EventSerializer, config::Nested};
use flume_testkit::parts;

const AVRO_BODY: &str = "org.apache.flume.sink.hdfs.AvroEventSerializer$Builder";
const INT: &str = r#"{"type":"int"}"#;

fn build(name: &str, text: &str) -> Box<dyn EventSerializer> {
    parts::build(
        &REGISTRY,
        name,
        text,
        &Context::new("a1.sinks.k1.serializer", &["c1"]),
    )
}

fn event(body: impl Into<Vec<u8>>, headers: &[(&str, &str)]) -> Event {
    let mut event = Event::from(body.into());
    for (name, value) in headers {
        event
            .headers
            .set(name.to_string().into(), value.to_string().into());
    }
    event
}

/// A container file: its header, and its blocks as counts and raw bytes.
struct Container {
    header: BTreeMap<String, String>,
    blocks: Vec<(i64, Vec<u8>)>,
}

fn container(mut bytes: &[u8]) -> Container {
    assert_eq!(take(&mut bytes, 4), b"Obj\x01");
    let mut header = BTreeMap::new();
    for _ in 0..long(&mut bytes) {
        let name = String::from_utf8(sized(&mut bytes).into()).expect("UTF-8");
        header.insert(
            name,
            String::from_utf8(sized(&mut bytes).into()).expect("UTF-8"),
        );
    }
    assert_eq!(long(&mut bytes), 0);
    let sync = take(&mut bytes, 16);
    let mut blocks = vec![];
    while !bytes.is_empty() {
        let count = long(&mut bytes);
        let block = sized(&mut bytes);
        assert_eq!(take(&mut bytes, 16), sync);
        blocks.push((count, raw(&header["avro.codec"], block)));
    }
    Container { header, blocks }
}

fn raw(codec: &str, block: &[u8]) -> Vec<u8> {
    let mut raw = vec![];
    match codec {
        "null" => raw = block.to_vec(),
        "deflate" => drop(
            flate2::read::DeflateDecoder::new(block)
                .read_to_end(&mut raw)
                .expect("deflate"),
        ),
        "bzip2" => drop(
            bzip2::read::BzDecoder::new(block)
                .read_to_end(&mut raw)
                .expect("bzip2"),
        ),
        "zstandard" => drop(
            zstd::Decoder::new(block)
                .expect("zstd")
                .read_to_end(&mut raw)
                .expect("zstd"),
        ),
        "snappy" => {
            let (compressed, sum) = block.split_at(block.len() - 4);
            raw = snap::raw::Decoder::new()
                .decompress_vec(compressed)
                .expect("snappy");
            assert_eq!(sum, crc32fast::hash(&raw).to_be_bytes());
        }
        other => panic!("{other}"),
    }
    raw
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(length);
    *bytes = rest;
    taken
}

fn long(bytes: &mut &[u8]) -> i64 {
    let mut number = 0u64;
    let mut shift = 0;
    loop {
        let byte = take(bytes, 1)[0];
        number |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte < 0x80 {
            return (number >> 1) as i64 ^ -((number & 1) as i64);
        }
    }
}

fn sized<'a>(bytes: &mut &'a [u8]) -> &'a [u8] {
    let length = long(bytes) as usize;
    take(bytes, length)
}

fn events_of(file: &Container) -> Vec<Event> {
    let mut events = vec![];
    for (count, block) in &file.blocks {
        let mut bytes = &block[..];
        for _ in 0..*count {
            let mut read = Event::default();
            loop {
                let pairs = long(&mut bytes);
                if pairs == 0 {
                    break;
                }
                for _ in 0..pairs {
                    let pair = [sized(&mut bytes), sized(&mut bytes)]
                        .map(|text| String::from_utf8_lossy(text).into_owned());
                    let [name, value] = pair;
                    read.headers.set(name.into(), value.into());
                }
            }
            read.body = sized(&mut bytes).to_vec().into();
            events.push(read);
        }
        assert!(bytes.is_empty());
    }
    events
}

#[test]
fn avro_event_holds_headers_and_bodies_with_every_codec() {
    let events: Vec<_> = (0..1000)
        .map(|number| match number % 3 {
            0 => event("", &[]),
            1 => event(
                b"\x00\xff\n".repeat(number),
                &[("timestamp", "1700000000000")],
            ),
            _ => event(
                format!("line {number}"),
                &[("a", ""), ("ä", "ö"), ("host", "h1")],
            ),
        })
        .collect();
    for codec in ["null", "deflate", "snappy", "bzip2", "zstandard"] {
        let text = format!("compressionCodec = {codec}\nsyncIntervalBytes = 100000");
        let mut serializer = build("avro_event", &text);
        let mut out = vec![];
        serializer.begin(&mut out);
        for (half, number) in events.chunks(500).zip(1..) {
            half.iter()
                .for_each(|event| serializer.write(event, &mut out).expect("written"));
            serializer.flush(&mut out);
            let file = container(&out);
            assert!(events_of(&file) == events[..500 * number], "{codec}");
            assert!(file.blocks.len() > 1, "blocks end by themselves, too");
        }
        let length = out.len();
        serializer.end(&mut out);
        assert_eq!(length, out.len(), "{codec}");
        assert_eq!(container(&out).header["avro.codec"], codec);
    }
}

/// A component with a serializer.
#[derive(Clone, Config)]
struct Outer {
    /// The serializer.
    #[prop("serializer")]
    serializer: Nested<dyn EventSerializer>,
}

#[test]
fn a_codec_that_avro_does_not_have_is_none_with_a_warning() {
    let text = "serializer = avro_event\nserializer.compressionCodec = lzma";
    let (outer, problems) = parts::read::<Outer>(&REGISTRY, "a1.sinks.k1", text);
    assert!(
        problems.len() == 1 && problems[0].contains("expected one of `null`"),
        "{problems:?}"
    );
    let cx = Context::new("a1.sinks.k1.serializer", &["c1"]);
    let mut serializer = outer.expect("read").serializer.create(&cx).expect("built");
    let mut out = vec![];
    serializer.begin(&mut out);
    assert_eq!(container(&out).header["avro.codec"], "null");
}

#[test]
fn avro_body_takes_its_schema_from_url_before_literal_before_property() {
    let mut serializer = build(AVRO_BODY, "schemaURL = /schemas/int.avsc");
    let mut out = vec![];
    let by_url = event(
        *b"\x02",
        &[
            ("flume.avro.schema.url", "hdfs://nn/s.avsc"),
            ("flume.avro.schema.literal", "{"),
        ],
    );
    let by_literal = event(*b"\x04", &[("flume.avro.schema.literal", "\"int\"")]);
    let by_property = event(*b"\x06", &[]);
    serializer.begin(&mut out);
    assert!(out.is_empty(), "the header waits for the first event");
    for (event, url) in [
        (&by_url, Some("hdfs://nn/s.avsc")),
        (&by_literal, None),
        (&by_property, Some("/schemas/int.avsc")),
    ] {
        assert_eq!(serializer.lacks(event).as_deref(), url);
        if let Some(url) = url {
            serializer.supply(url, INT.as_bytes());
            assert_eq!(serializer.lacks(event), None);
        }
        serializer.write(event, &mut out).expect("written");
    }
    serializer.flush(&mut out);
    let file = container(&out);
    assert_eq!(file.header["avro.schema"], INT);
    assert_eq!(file.blocks, [(3, vec![2, 4, 6])]);
}

#[test]
fn avro_body_refuses_events_that_do_not_fit_and_goes_on() {
    let mut serializer = build(AVRO_BODY, "compressionCodec = snappy");
    let mut out = vec![];
    let literal = |schema: &str| event(*b"\x02", &[("flume.avro.schema.literal", schema)]);
    let refused = |serializer: &mut Box<dyn EventSerializer>, event: &Event, part: &str| {
        let mut out = vec![];
        let reason = serializer.write(event, &mut out).expect_err(part);
        assert!(reason.contains(part) && out.is_empty(), "{reason}");
    };
    refused(&mut serializer, &event("", &[]), "neither header");
    refused(&mut serializer, &literal("{"), "not JSON");
    serializer.write(&literal(INT), &mut out).expect("written");
    refused(
        &mut serializer,
        &literal("\"long\""),
        "the first event fixed",
    );
    refused(&mut serializer, &event("", &[]), "neither header");
    let http = event(
        "",
        &[("flume.avro.schema.url", "http://example.com/s.avsc")],
    );
    assert_eq!(serializer.lacks(&http), None);
    refused(&mut serializer, &http, "not by http");
    serializer
        .write(&literal("\"int\""), &mut out)
        .expect("written");
    serializer.end(&mut out);
    assert_eq!(container(&out).blocks, [(2, vec![2, 2])]);
}

#[test]
fn properties_out_of_bounds_are_refused() {
    let cx = Context::new("a1.sinks.k1.serializer", &["c1"]);
    let refused = |name: &str, text: &str, part: &str| {
        let error = parts::try_build::<dyn EventSerializer>(&REGISTRY, name, text, &cx).err();
        let error = error.map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains(part), "{error}");
    };
    refused(
        "avro_event",
        "syncIntervalBytes = 31",
        "expected 32 to 1073741824 bytes",
    );
    refused(
        AVRO_BODY,
        "schemaURL = https://example.com/a.avsc",
        "not by https",
    );
}

//! What a declaration is good for: one struct that uses the whole catalogue.

use std::{cell::Cell, path::PathBuf};

use flume_core::{
    Component, Config, Context, Event, EventSerializer, Registration, Registry,
    component::find,
    config::{Nested, Scalar},
    props::{Props, reference},
};

thread_local! {
    static PARSED: Cell<usize> = const { Cell::new(0) };
}

/// A scalar a component defines for itself.
#[derive(Clone)]
struct Separator(u8);

impl Scalar for Separator {
    const TYPE: &'static str = "string";
    fn parse(text: &str) -> Result<Self, &'static str> {
        PARSED.set(PARSED.get() + 1);
        if let [byte] = text.as_bytes() { Ok(Separator(*byte)) } else { Err("one character") }
    }
}

/// Joins bodies.
#[derive(Clone, Config)]
struct JoinConfig {
    /// What stands between two bodies.
    #[prop("separator", default = ",")]
    separator: Separator,
}

struct Join(u8);

impl Component for Join {
    type Config = JoinConfig;
    fn build(config: JoinConfig, _: &Context) -> Result<Self, String> {
        Ok(Join(config.separator.0))
    }
}

impl EventSerializer for Join {
    fn write(&mut self, event: &Event, out: &mut Vec<u8>) {
        out.extend_from_slice(&event.body);
        out.push(self.0);
    }
}

/// Everything a property can be.
#[derive(Clone, Config)]
struct Sample {
    /// Where.
    #[prop("directory")]
    directory: PathBuf,
    /// How many.
    #[prop("batchSize", default = 100, alias = "batch-size")]
    batch_size: usize,
    /// A default written as text.
    #[prop("fallback", default = "/tmp")]
    fallback: PathBuf,
    /// Maybe a limit.
    #[prop("limit")]
    limit: Option<u64>,
    /// Maybe a component.
    #[prop("extra")]
    extra: Option<Nested<dyn EventSerializer>>,
    /// A component, by default a known one.
    #[prop("serializer", default = "JOIN")]
    serializer: Nested<dyn EventSerializer>,
}

static REGISTRY: Registry = Registry {
    serializers: &[Registration::serializer::<Join>("JOIN", "org.example.Join$Builder")],
    sources: &[],
    channels: &[],
    sinks: &[],
    interceptors: &[],
    selectors: &[],
};

fn props(text: &str) -> Props<'static> {
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    Props::new(&REGISTRY, "a1.k1", pairs.map(|(k, v)| (k.trim().into(), v.trim().into())).collect())
}

fn check(text: &str, problems: &[&str], warnings: &[&str]) -> Option<Sample> {
    let mut props = props(text);
    let sample = Sample::parse(&mut props);
    props.warn_unread(&Sample::properties());
    assert_eq!((&props.problems[..], &props.warnings[..]), (&owned(problems)[..], &owned(warnings)[..]));
    sample
}

fn owned(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|line| line.to_string()).collect()
}

#[test]
fn defaults_and_options() {
    let sample = check("directory = /var/log", &[], &[]).unwrap();
    assert_eq!((sample.directory, sample.fallback), ("/var/log".into(), "/tmp".into()));
    assert_eq!((sample.batch_size, sample.limit), (100, None));
    assert!(sample.extra.is_none());
    let sample = check("directory = /\nlimit = 7\nextra = join\nextra.separator = ;", &[], &[]).unwrap();
    assert_eq!(sample.limit, Some(7));
    assert!(sample.extra.is_some());
}

#[test]
fn all_problems_in_one_pass() {
    let sample = check(
        "directroy = /\nbatchSize = ten\nlimit = -1\nextra = JION\nserializer = org.example.Join$Builder\n\
         serializer.separator = ab\nserializer.seperator = x",
        &[
            "a1.k1.directory: required but not set",
            "a1.k1.batchSize: expected a whole number from 0, found `ten`",
            "a1.k1.limit: expected a whole number from 0, found `-1`",
            "a1.k1.extra: `JION` is unknown, did you mean `JOIN`?",
            "a1.k1.serializer.separator: expected one character, found `ab`",
        ],
        &[
            "a1.k1.serializer.seperator: unknown property, did you mean `separator`?",
            "a1.k1.directroy: unknown property, did you mean `directory`?",
        ],
    );
    assert!(sample.is_none());
}

#[test]
fn former_names_warn() {
    let sample =
        check("directory = /\nbatch-size = 7", &[], &["a1.k1.batch-size: is now called `batchSize`"]);
    assert_eq!(sample.unwrap().batch_size, 7);
}

#[test]
fn a_nested_component_is_parsed_once_and_created_often() {
    let cx = Context::new("a1.sinks.k1", &[]);
    let sample = check("directory = /\nserializer.separator = ;", &[], &[]).unwrap();
    let parsed = PARSED.get();
    let mut out = Vec::new();
    for body in ["a", "b"] {
        sample.serializer.create(&cx).unwrap().write(&Event::from(body), &mut out);
    }
    assert_eq!(out, b"a;b;");
    assert_eq!(PARSED.get(), parsed);
}

#[test]
fn an_unknown_name_far_from_all_lists_them() {
    let error = find(REGISTRY.serializers, "AVRO_EVENT").err();
    assert_eq!(error.as_deref(), Some("unknown, known are JOIN"));
}

#[test]
fn the_reference_shows_real_defaults() {
    let page = reference("sample", "org.example.Sample", Sample::DOC, &Sample::properties());
    for row in [
        "| `directory` | **required** | Where. |",
        "| `batchSize` | `100` | How many. |",
        "| `limit` |  | Maybe a limit. |",
        "| `serializer` | `JOIN` | A component, by default a known one. |",
    ] {
        assert!(page.contains(row), "{row} not in {page}");
    }
}

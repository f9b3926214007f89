//! What a declaration is good for: one struct that uses every kind of property.

use std::{cell::Cell, path::PathBuf, time::Duration};

use flume_core::{
    BuildError, Component, Config, Context, Event, EventSerializer, InterceptError, Interceptor,
    Registration, Registry, Span,
    config::{
        Chain, Choice, Ignored, Millis, Names, Nested, OrDefault, Prefix, Property, Scalar,
        Seconds, Secret,
    },
    props::{Props, Section, Setting, reference},
    registry::Known,
};

thread_local! {
    static PARSED: Cell<usize> = const { Cell::new(0) };
}

/// A scalar a component defines for itself.
#[derive(Clone)]
struct Separator(u8);

impl Scalar for Separator {
    const TYPE: &'static str = "character";
    fn parse(text: &str) -> Result<Self, String> {
        PARSED.set(PARSED.get() + 1);
        if let [byte] = text.as_bytes() {
            Ok(Separator(*byte))
        } else {
            Err("one character".into())
        }
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
    fn build(config: JoinConfig, _: &Context) -> Result<Self, BuildError> {
        match config.separator.0 {
            b'!' => Err(BuildError::at("separator", "must not shout")),
            separator => Ok(Join(separator)),
        }
    }
}

impl EventSerializer for Join {
    fn write(&mut self, event: &Event, out: &mut Vec<u8>) -> Result<(), String> {
        out.extend_from_slice(&event.body);
        out.push(self.0);
        Ok(())
    }
}

impl Interceptor for Join {
    fn intercept(&self, batch: &mut Vec<Event>) -> Result<(), InterceptError> {
        batch
            .iter_mut()
            .for_each(|event| event.body = [&event.body[..], &[self.0]].concat().into());
        Ok(())
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Colour {
    Red,
    Green,
}

impl Choice for Colour {
    const CHOICES: &'static [(&'static str, Self)] =
        &[("red", Colour::Red), ("green", Colour::Green)];
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
    /// Falls back.
    #[prop("lenient", default = 7)]
    lenient: OrDefault<u64>,
    /// Yes or no.
    #[prop("flag", default = false)]
    flag: bool,
    /// One of two.
    #[prop("colour", default = "green")]
    colour: Colour,
    /// Names.
    #[prop("names", default = "a b")]
    names: Names,
    /// A pause.
    #[prop("pause", default = 250)]
    pause: Millis,
    /// A longer one.
    #[prop("age", default = 3)]
    age: Seconds,
    /// A password.
    #[prop("password")]
    password: Option<Secret>,
    /// Has no meaning here.
    #[prop("threads")]
    _threads: Ignored,
    /// Whatever the client library understands.
    #[prop("client")]
    client: Prefix<u32>,
    /// Maybe a component.
    #[prop("extra")]
    extra: Option<Nested<dyn EventSerializer>>,
    /// A component, by default a known one.
    #[prop("serializer", default = "JOIN")]
    serializer: Nested<dyn EventSerializer>,
    /// Components in a row.
    #[prop("interceptors")]
    interceptors: Chain<dyn Interceptor>,
}

static REGISTRY: Registry = Registry {
    serializers: &[Registration::serializer::<Join>(
        "JOIN",
        "org.example.Join$Builder",
    )],
    interceptors: &[Registration::interceptor::<Join>(
        "join",
        "org.example.JoinInterceptor$Builder",
    )],
    known: &[Known {
        kind: "serializer",
        name: "avro",
        class: "",
        status: "rare",
        required: &[],
        gone: "",
    }],
    ..Registry::EMPTY
};

/// `key = value` lines, each on its own line of a file; values begin in column 10.
fn props(text: &str) -> Props<'static> {
    let place = |line: usize, column, text: &str| Span {
        file: "f".into(),
        line: line as u32 + 1,
        column,
        width: text.chars().count() as u32,
    };
    let mut section = Section {
        name: "a1.k1".into(),
        home: place(0, 1, "x"),
        ..Section::default()
    };
    for (line, (key, value)) in text
        .lines()
        .filter_map(|line| line.split_once('='))
        .enumerate()
    {
        let key = key.trim();
        let value = value.trim();
        let setting = Setting {
            text: value.into(),
            key_place: place(line, 1, key),
            value_place: place(line, 10, value),
        };
        section.settings.insert(key.into(), setting);
    }
    Props::new(&REGISTRY, section)
}

fn check(text: &str, expected: &[&str]) -> Option<Sample> {
    let mut props = props(text);
    let sample = Sample::parse(&mut props);
    props.warn_unread(&Sample::properties());
    let found: Vec<_> = props.diagnostics.iter().map(ToString::to_string).collect();
    assert_eq!(found, expected, "{text}");
    sample
}

#[test]
fn defaults_and_options() {
    let sample = check("directory = /var/log", &[]).unwrap();
    assert_eq!(
        (sample.directory, sample.fallback),
        ("/var/log".into(), "/tmp".into())
    );
    assert_eq!(
        (sample.batch_size, sample.limit, sample.lenient.0),
        (100, None, 7)
    );
    assert_eq!((sample.flag, sample.colour), (false, Colour::Green));
    assert_eq!(sample.names.texts().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(
        (sample.pause.0, sample.age.0),
        (Duration::from_millis(250), Duration::from_secs(3))
    );
    assert!(sample.extra.is_none() && sample.password.is_none() && sample.client.0.is_empty());
    let text = "directory = /\nlimit = 7\nextra = join\nextra.separator = ;\ncolour = RED\nclient.a.b = 1\npassword = x";
    let sample = check(text, &[]).unwrap();
    assert_eq!(
        (sample.limit, sample.colour, sample.client.0["a.b"]),
        (Some(7), Colour::Red, 1)
    );
    assert!(sample.extra.is_some());
    assert_eq!(format!("{:?}", sample.password.unwrap()), "***");
}

#[test]
fn all_problems_in_one_pass() {
    let sample = check(
        "directroy = /\nbatchSize = ten\nlimit = -1\nextra = JION\nserializer = org.example.Join$Builder\n\
         serializer.separator = ab\nserializer.seperator = x\nclient.a = b\ncolour = blue",
        &[
            "f:1:1: error: a1.k1.directory: required but not set",
            "f:2:10: error: a1.k1.batchSize: expected a whole number from 0, found `ten`",
            "f:3:10: error: a1.k1.limit: expected a whole number from 0, found `-1`",
            "f:9:10: error: a1.k1.colour: expected one of `red`, `green`, found `blue`",
            "f:8:10: error: a1.k1.client.a: expected a whole number from 0, found `b`",
            "f:4:10: error: a1.k1.extra: there is no serializer type `JION` (did you mean `JOIN`?)",
            "f:6:10: error: a1.k1.serializer.separator: expected one character, found `ab`",
            "f:7:1: warning: a1.k1.serializer.seperator: unknown property, it has no effect (did you mean `separator`?)",
            "f:1:1: warning: a1.k1.directroy: unknown property, it has no effect (did you mean `directory`?)",
        ],
    );
    assert!(sample.is_none());
}

#[test]
fn what_is_only_doubtful_is_taken() {
    let text = "directory = /\nbatch-size = 7\nlenient = x\nflag = yes\nnames = a, b\nthreads = 3";
    let found = [
        "f:2:10: warning: a1.k1.batch-size: is now called `batchSize`",
        "f:3:10: warning: a1.k1.lenient: expected a whole number from 0, found `x`; the default 7 is used",
        "f:4:10: warning: a1.k1.flag: `yes` counts as false, only `true` is true",
        "f:5:11: warning: a1.k1.names: a comma is not a separator in Flume, it would be part of the name (separate names by spaces)",
        "f:6:10: note: a1.k1.threads: has no effect: Has no meaning here.",
    ];
    let sample = check(text, &found).unwrap();
    assert_eq!(
        (sample.batch_size, sample.lenient.0, sample.flag),
        (7, 7, false)
    );
    assert_eq!(sample.names.texts().collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn an_old_name_counts_unless_the_present_one_is_set() {
    let read = |text: &str| {
        let settings = text.split_whitespace().map(|pair| {
            let (key, value) = pair.split_once('=').unwrap();
            let setting = Setting {
                text: value.into(),
                ..Setting::default()
            };
            (key.to_string(), setting)
        });
        let section = Section {
            settings: settings.collect(),
            ..Section::default()
        };
        let mut props = Props::new(&Registry::EMPTY, section);
        props.rename("enableSSL", "ssl");
        let row = Property::new::<String>("ssl", &[], "", None);
        (props.text(&row).unwrap(), props.diagnostics.len())
    };
    assert_eq!(read("enableSSL=true"), ("true".into(), 1));
    assert_eq!(read("enableSSL=true ssl=false"), ("false".into(), 0));
}

#[test]
fn a_component_of_flume_that_is_not_built_is_an_error_and_no_value() {
    let found = [
        "f:2:10: error: a1.k1.extra: `AVRO` is a serializer of Flume that this build does not have",
    ];
    assert!(check("directory = /\nextra = AVRO\nextra.codec = null", &found).is_none());
}

#[test]
fn a_nested_component_is_parsed_once_and_created_often() {
    let cx = Context::new("a1.sinks.k1", &[]);
    let sample = check("directory = /\nserializer.separator = ;", &[]).unwrap();
    let parsed = PARSED.get();
    let mut out = Vec::new();
    for body in ["a", "b"] {
        sample
            .serializer
            .create(&cx)
            .unwrap()
            .write(&Event::from(body), &mut out)
            .unwrap();
    }
    assert_eq!(out, b"a;b;");
    assert_eq!(PARSED.get(), parsed);
}

#[test]
fn a_chain_keeps_its_order_and_names_its_members() {
    let cx = Context::new("a1.k1", &[]);
    let text = "directory = /\ninterceptors = i2 i1\ninterceptors.i1.type = join\n\
                interceptors.i2.type = join\ninterceptors.i2.separator = ;";
    let mut batch = vec![Event::from("a")];
    for interceptor in check(text, &[])
        .unwrap()
        .interceptors
        .create("interceptors", &cx)
        .unwrap()
    {
        interceptor.intercept(&mut batch).unwrap();
    }
    assert_eq!(batch[0].body, "a;,");
    let shouting = check(&text.replace(';', "!"), &[]).unwrap();
    let error = shouting
        .interceptors
        .create("interceptors", &cx)
        .err()
        .unwrap();
    assert_eq!(
        error.to_string(),
        "interceptors.i2.separator: must not shout"
    );
    let found = [
        "f:2:10: error: a1.k1.interceptors.i1.type: required but not set (nothing at all is set for `a1.k1.interceptors.i1`)",
        "f:3:1: warning: a1.k1.interceptors.i9.type: `i9` is not listed in `interceptors`",
    ];
    assert!(
        check(
            "directory = /\ninterceptors = i1\ninterceptors.i9.type = join",
            &found
        )
        .is_none()
    );
}

#[test]
fn an_unknown_name_far_from_all_lists_them() {
    for (name, text, hint) in [
        (
            "snappy",
            "there is no serializer type `snappy`",
            Some("types are JOIN"),
        ),
        (
            "com.acme.Serializer$Builder",
            "the class `com.acme.Serializer$Builder` is not part of Flume",
            None,
        ),
    ] {
        let unknown = REGISTRY.find::<dyn EventSerializer>(name).err().unwrap();
        assert_eq!(
            (unknown.text.as_str(), unknown.hint.as_deref()),
            (text, hint)
        );
    }
}

#[test]
fn the_reference_shows_real_defaults() {
    let page = reference(
        "sample",
        "org.example.Sample",
        Sample::DOC,
        &Sample::properties(),
    );
    for row in [
        "| `directory` | path | **required** | Where. |",
        "| `batchSize` | integer | `100` | How many. |",
        "| `limit` | integer |  | Maybe a limit. |",
        "| `pause` | milliseconds | `250` | A pause. |",
        "| `serializer` | serializer | `JOIN` | A component, by default a known one. |",
    ] {
        assert!(page.contains(row), "{row} not in {page}");
    }
}

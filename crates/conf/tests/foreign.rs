//! Classes that nobody knows at build time: a foreign host takes them, with whatever properties they have.

use async_trait::async_trait;
use flume_conf::{Document, Plan};
use flume_core::{
    BuildError, Component, Context, Delivered, Event, EventSerializer, InterceptError, Interceptor,
    Registration, Registry, Sink, SinkError, Source, SourceContext, SourceError, Want,
    foreign::{ForeignConfig, ForeignHost, Hosting},
    registry::{Known, Presence},
};

/// A component of every kind, which tells what it was configured by.
struct Hosted;

impl Component for Hosted {
    type Config = ForeignConfig;
    fn build(config: ForeignConfig, cx: &Context) -> Result<Self, BuildError> {
        let properties: Vec<_> = config
            .properties
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        let text = format!("{}: {}", config.class, properties.join(" "));
        cx.metrics.text("Configuration").set(text);
        Ok(Hosted)
    }
}

#[async_trait]
impl Source for Hosted {
    async fn run(&mut self, _: &SourceContext) -> Result<(), SourceError> {
        Ok(())
    }
}

#[async_trait]
impl Sink for Hosted {
    fn want(&self) -> Want {
        Want::events(1)
    }

    async fn deliver(&mut self, _: &[Event]) -> Result<Delivered, SinkError> {
        Ok(Delivered::default())
    }
}

impl Interceptor for Hosted {
    fn intercept(&self, _: &mut Vec<Event>) -> Result<(), InterceptError> {
        Ok(())
    }
}

impl EventSerializer for Hosted {
    fn write(&mut self, _: &Event, _: &mut Vec<u8>) -> Result<(), String> {
        Ok(())
    }
}

/// Takes classes of `com.acme` and Flume's sinks; classes of `com.later` once somebody installs something.
const HOST: ForeignHost = ForeignHost {
    name: "a JVM",
    takes: |class| {
        if class.starts_with("com.acme.") || class.starts_with("org.apache.flume.sink.") {
            return Hosting::Takes;
        }
        if class.starts_with("com.later.") {
            return Hosting::Unavailable("install Java".into());
        }
        Hosting::Refuses
    },
    components: &Registry {
        sources: &[Registration::source::<Hosted>("", "")],
        sinks: &[Registration::sink::<Hosted>("", "")],
        interceptors: &[Registration::interceptor::<Hosted>("", "")],
        ..Registry::EMPTY
    },
};

const HIVE: Known = Known {
    kind: "sink",
    name: "hive",
    class: "org.apache.flume.sink.hive.HiveSink",
    status: "rare",
    required: &["hive.metastore"],
    gone: "",
};

const JDBC: Known = Known {
    kind: "channel",
    name: "jdbc",
    class: "org.apache.flume.channel.jdbc.JdbcChannel",
    status: "dead",
    required: &[],
    gone: "",
};

static REGISTRY: Registry = Registry {
    includes: &[&flume_components::REGISTRY],
    hosts: &[HOST],
    known: &[HIVE, JDBC],
    ..Registry::EMPTY
};

const FLOW: &str = "
a1.sources = r1
a1.channels = c1
a1.sinks = k1
a1.channels.c1.type = memory
a1.sources.r1.type = seq
a1.sources.r1.channels = c1
a1.sinks.k1.channel = c1
";

fn plan(lines: &str) -> Plan {
    let mut document = Document::default();
    document.add("flume.conf", format!("{FLOW}{lines}").as_bytes());
    document.plan("a1", &REGISTRY)
}

/// What the sink of the plan is configured by.
fn sink_configuration(mut plan: Plan) -> String {
    let cx = Context::new("a1.sinks.k1", &["c1"]);
    let sink = &mut plan.groups[0].sinks[0];
    assert!(sink.recipe.try_out(cx.clone()).is_ok());
    cx.metrics.text("Configuration").get()
}

fn check_diagnostics(lines: &str, expected: &[&str]) {
    let found = plan(lines).diagnostics;
    let texts: Vec<_> = found
        .iter()
        .map(|found| match &found.hint {
            Some(hint) => format!("{}: {} ({hint})", found.key, found.text),
            None => format!("{}: {}", found.key, found.text),
        })
        .collect();
    assert_eq!(texts, expected, "{lines}");
}

#[test]
fn a_class_of_the_host_gets_its_name_and_every_property() {
    let lines = "a1.sinks.k1.type = com.acme.Sink\na1.sinks.k1.any.thing = at all\n";
    check_diagnostics(lines, &[]);
    assert_eq!(
        sink_configuration(plan(lines)),
        "com.acme.Sink: any.thing=at all channel=c1 type=com.acme.Sink"
    );
}

#[test]
fn parts_of_our_components_run_in_the_host_too() {
    check_diagnostics(
        "a1.sinks.k1.type = null\na1.sources.r1.interceptors = i1\n\
         a1.sources.r1.interceptors.i1.type = com.acme.Interceptor$Builder\na1.sources.r1.interceptors.i1.deep.key = 1\n",
        &[],
    );
}

#[test]
fn a_component_of_flume_that_is_not_built_here_runs_in_the_host() {
    let lines = "a1.sinks.k1.type = hive\n";
    check_diagnostics(lines, &[]);
    assert_eq!(
        sink_configuration(plan(lines)),
        "org.apache.flume.sink.hive.HiveSink: channel=c1 type=hive"
    );
}

/// The host has no row for serializers, so Flume's own sink has to run there.
#[test]
fn a_foreign_part_takes_the_component_around_it_along() {
    let lines =
        "a1.sinks.k1.type = file_roll\na1.sinks.k1.sink.serializer = com.acme.Serializer$Builder\n";
    check_diagnostics(
        lines,
        &[
            "a1.sinks.k1.type: runs outside this program, as `org.apache.flume.sink.RollingFileSink`, because of `com.acme.Serializer$Builder`",
        ],
    );
    assert_eq!(
        sink_configuration(plan(lines)),
        "org.apache.flume.sink.RollingFileSink: channel=c1 sink.serializer=com.acme.Serializer$Builder type=file_roll"
    );
}

#[test]
fn what_the_host_cannot_run_is_said_with_the_remedy() {
    check_diagnostics(
        "a1.sinks.k1.type = com.later.Sink\n",
        &["a1.sinks.k1.type: the class `com.later.Sink` is not part of Flume (install Java)"],
    );
    let selector = "a1.sinks.k1.type = null\na1.sources.r1.selector.type = com.acme.Selector\n";
    let found = plan(selector).diagnostics;
    assert_eq!(
        found[0].text,
        "a JVM runs `com.acme.Selector`, but not as a channel selector of a component outside it"
    );
}

/// Both would decide about sinks that run here.
#[test]
fn sink_groups_with_classes_from_outside_are_refused_with_the_reason() {
    let group = "a1.sinks.k1.type = null\na1.sinkgroups = g1\na1.sinkgroups.g1.sinks = k1\n";
    check_diagnostics(
        &format!("{group}a1.sinkgroups.g1.processor.type = com.acme.Processor\n"),
        &[
            "a1.sinkgroups.g1.processor.type: a JVM runs `com.acme.Processor`, but not as a sink processor of a component outside it (types are default, failover, load_balance)",
        ],
    );
    check_diagnostics(
        &format!(
            "{group}a1.sinkgroups.g1.processor.type = load_balance\n\
             a1.sinkgroups.g1.processor.selector = com.acme.Selector\n"
        ),
        &[
            "a1.sinkgroups.g1.processor.selector: expected one of `round_robin`, `random`, found `com.acme.Selector`",
        ],
    );
}

#[test]
fn absent_and_hosted_elsewhere_are_different() {
    assert_eq!(REGISTRY.presence(&HIVE), Presence::Hosted("a JVM"));
    assert_eq!(REGISTRY.presence(&JDBC), Presence::Absent);
    let memory = Known {
        name: "memory",
        class: "org.apache.flume.channel.MemoryChannel",
        ..JDBC
    };
    assert_eq!(REGISTRY.presence(&memory), Presence::Built);
}

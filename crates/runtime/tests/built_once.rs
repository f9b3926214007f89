//! A start builds each component once: what was checked is what runs.

use std::{collections::BTreeMap, future::pending, sync::Arc, time::Duration};

use flume_conf::{Document, Plan};
use flume_core::{
    AgentInfo, BuildError, Component, Config, Context, Event, InterceptError, Interceptor, Recipe,
    Registration, Registry,
};
use flume_runtime::{Agent, Flows, check};
use parking_lot::Mutex;

/// How often each component was built, by its full name.
static BUILT: Mutex<BTreeMap<String, usize>> = Mutex::new(BTreeMap::new());

fn count(cx: &Context) {
    *BUILT.lock().entry(cx.name.to_string()).or_default() += 1;
}

#[derive(Clone, Config)]
struct CountedConfig {}

struct Counted;

impl Component for Counted {
    type Config = CountedConfig;
    fn build(_: CountedConfig, cx: &Context) -> Result<Self, BuildError> {
        count(cx);
        Ok(Counted)
    }
}

impl Interceptor for Counted {
    fn intercept(&self, _: &mut Vec<Event>) -> Result<(), InterceptError> {
        Ok(())
    }
}

static REGISTRY: Registry = Registry {
    interceptors: &[Registration::interceptor::<Counted>("counted", "")],
    includes: &[&flume_components::REGISTRY],
    ..Registry::EMPTY
};

fn count_builds<K: ?Sized + 'static>(recipe: &mut Recipe<K>) {
    let build = recipe.constructor();
    *recipe = Recipe::new(Arc::new(move |cx| {
        count(cx);
        build(cx)
    }));
}

fn plan(more: &str) -> Plan {
    let text = "a1.sources = r1\na1.channels = c1\na1.sinks = k1 k2\na1.sinkgroups = g1\n\
                a1.sources.r1.type = seq\na1.sources.r1.totalEvents = 10\na1.sources.r1.channels = c1\n\
                a1.sources.r1.interceptors = i1\na1.sources.r1.interceptors.i1.type = counted\n\
                a1.channels.c1.type = memory\na1.sinks.k1.type = null\na1.sinks.k1.channel = c1\n\
                a1.sinks.k2.type = null\na1.sinks.k2.channel = c1\na1.sinkgroups.g1.sinks = k1 k2\n\
                a1.sinkgroups.g1.processor.type = failover\n";
    let mut document = Document::default();
    document.add("flume.conf", format!("{text}{more}").as_bytes());
    let mut plan = document.plan("a1", &REGISTRY);
    for channel in &mut plan.channels {
        count_builds(&mut channel.recipe);
    }
    for source in &mut plan.sources {
        count_builds(&mut source.recipe);
    }
    for group in &mut plan.groups {
        count_builds(&mut group.processor);
        for sink in &mut group.sinks {
            count_builds(&mut sink.recipe);
        }
    }
    let plan = check(plan, &info(), Flows::Whole);
    assert!(plan.refused.is_empty(), "{:#?}", plan.diagnostics);
    plan
}

fn info() -> Arc<AgentInfo> {
    Arc::new(AgentInfo {
        name: "a1".into(),
        ..AgentInfo::default()
    })
}

/// Waits until the sinks have delivered so many events.
async fn delivered(agent: &Agent, events: u64) {
    let board = agent.board();
    for _ in 0..20_000 {
        let components = flume_monitor::status(&board).components;
        let drained = components
            .iter()
            .filter_map(|component| component.metrics.get("EventDrainSuccessCount"));
        if drained.sum::<u64>() == events {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("waited in vain for {events} events");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_checked_runs() {
    let mut agent = Agent::new(info());
    agent.apply(plan("")).await.unwrap();
    delivered(&agent, 10).await;
    let names = [
        "a1.channels.c1",
        "a1.sinkgroups.g1",
        "a1.sinks.k1",
        "a1.sinks.k2",
        "a1.sources.r1",
        "a1.sources.r1.interceptors.i1",
    ];
    let times = |times: usize| names.map(|name| (name.to_string(), times)).into();
    assert_eq!(*BUILT.lock(), times(1));
    // A reload checks every component, and runs those of a changed group.
    agent
        .apply(plan("a1.sinks.k1.batchSize = 7\n"))
        .await
        .unwrap();
    assert_eq!(*BUILT.lock(), times(2));
    agent.stop(Duration::from_secs(5), pending()).await;
}

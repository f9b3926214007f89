//! Runs the tests of a file on a plan.

use std::{
    collections::{BTreeMap, BTreeSet},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use flume_conf::{Plan, SourcePlan};
use flume_core::{
    AgentInfo, ChannelHandle, Context, Event, EventSerializer, Outlet, Registry, Sink, Wiring,
    component::{Panicked, short_name},
    config::{Nested, PropertyValue},
    props::{Props, Section},
    with_causes,
};
use flume_host::clock;
use jiff::Timestamp;

use crate::{
    coverage::{Branches, Route, interceptors, is_named, routes},
    file::{Expected, PipelineTest, TestFile},
    stage::{ListChannel, Taken, WatchedInterceptor, WatchedSelector},
};

/// When everything happens, unless a file says otherwise: 2026-01-01T00:00:00Z.
const DEFAULT_TIME_MS: i64 = 1_767_225_600_000;

/// What came of the tests of a file.
pub struct Rehearsal {
    /// In the order of the file.
    pub outcomes: Vec<Outcome>,
    /// Routes that no test took.
    pub untaken: Vec<Route>,
    /// How many routes there are.
    pub routes: usize,
}

/// What came of one test.
pub struct Outcome {
    /// The test's name.
    pub name: String,
    /// Everything that differs from what was expected; none: it passed.
    pub differences: Vec<String>,
    /// How long it ran.
    pub took: Duration,
}

/// Runs every test. `plan` was checked.
pub fn rehearse(
    file: &TestFile,
    plan: &Plan,
    registry: &Registry,
    info: &Arc<AgentInfo>,
) -> Rehearsal {
    let taken = Taken::default();
    let stage = Stage {
        plan,
        registry,
        info,
        taken: taken.clone(),
    };
    let run = |test: &PipelineTest| {
        let began = Instant::now();
        let time = test
            .time
            .or(file.time)
            .map_or(DEFAULT_TIME_MS, Timestamp::as_millisecond);
        let _stopped = clock::stop_at(u64::try_from(time).unwrap_or(0));
        let run = || stage.run(test).unwrap_or_else(|why| vec![why]);
        let differences = catch_unwind(AssertUnwindSafe(run));
        Outcome {
            name: test.name().into(),
            differences: differences
                .unwrap_or_else(|payload| vec![Panicked::new(&*payload).to_string()]),
            took: began.elapsed(),
        }
    };
    let outcomes = file.tests.iter().map(run).collect();
    let all = routes(plan);
    let taken = taken.lock();
    Rehearsal {
        outcomes,
        untaken: all.difference(&taken).cloned().collect(),
        routes: all.len(),
    }
}

/// What the tests run on.
struct Stage<'a> {
    plan: &'a Plan,
    registry: &'a Registry,
    info: &'a Arc<AgentInfo>,
    taken: Taken,
}

impl Stage<'_> {
    /// Every difference; an error is a test that could not be run.
    fn run(&self, test: &PipelineTest) -> Result<Vec<String>, String> {
        let source = self.source(test.source.as_deref())?;
        let lists: BTreeMap<String, ListChannel> = source
            .frame
            .channels
            .texts()
            .map(|name| (name.to_string(), ListChannel::default()))
            .collect();
        let outlet = self.outlet(source, &lists)?;
        let events = test.events.iter().map(|event| event.event());
        let batch = events.collect::<Result<Vec<Event>, _>>()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build();
        let runtime = runtime.map_err(|error| format!("failed to start: {error}"))?;
        let put = runtime.block_on(outlet.put(batch));
        let mut found = vec![];
        match (put, &test.refused) {
            (Ok(()), None) => {}
            (Ok(()), Some(text)) => found.push(format!(
                "expected that the batch is refused with {}, and it was accepted",
                text.shown()
            )),
            (Err(error), Some(text)) => {
                let said = with_causes(&error);
                if !text.fits(said.as_bytes()) {
                    found.push(format!(
                        "the batch was refused\n    expected {}\n    got      {said:?}",
                        text.shown()
                    ));
                }
            }
            (Err(error), None) => {
                found.push(format!("the batch was refused: {}", with_causes(&error)))
            }
        }
        let mut named = BTreeSet::new();
        for (name, expected) in &test.channels {
            let list = lists
                .get(name)
                .ok_or_else(|| self.no_channel(source, name))?;
            named.insert(name.clone());
            found.extend(expected.differences(&format!("channel {name}"), &list.events(), None));
        }
        for (name, expected) in &test.sinks {
            let channel = self.channel_of(name)?;
            let events = lists
                .get(&channel)
                .map(ListChannel::events)
                .unwrap_or_default();
            named.insert(channel);
            let bytes = self.bytes(name, expected, &events)?;
            found.extend(expected.differences(&format!("sink {name}"), &events, bytes.as_deref()));
        }
        if test.nothing_elsewhere {
            for (name, list) in lists.iter().filter(|(name, _)| !named.contains(*name)) {
                let got = list.events().len();
                if got > 0 {
                    found.push(format!(
                        "channel {name}: expected nothing, got {got} events"
                    ));
                }
            }
        }
        Ok(found)
    }

    fn source(&self, name: Option<&str>) -> Result<&SourcePlan, String> {
        let sources = &self.plan.sources;
        let names = || {
            let names: Vec<_> = sources
                .iter()
                .map(|source| short_name(&source.section.name))
                .collect();
            names.join(", ")
        };
        let Some(name) = name else {
            let prefix = format!("{}.sources.", self.plan.agent);
            let refused = self
                .plan
                .refused
                .iter()
                .filter_map(|refused| refused.name.strip_prefix(&prefix));
            let refused: Vec<_> = refused.collect();
            return match (&sources[..], &refused[..]) {
                ([one], []) => Ok(one),
                ([], [one]) => Err(self.refused("sources", one).unwrap_or_default()),
                _ => Err(format!(
                    "name the source, `source = ...`; those that run are: {}",
                    names()
                )),
            };
        };
        sources
            .iter()
            .find(|source| is_named(source, name))
            .ok_or_else(|| {
                let refused = self.refused("sources", name);
                refused.unwrap_or_else(|| {
                    format!(
                        "there is no source `{name}`; those that run are: {}",
                        names()
                    )
                })
            })
    }

    /// Why a component cannot run.
    fn refused(&self, kind: &str, name: &str) -> Option<String> {
        let full = format!("{}.{kind}.{name}", self.plan.agent);
        let refused = self
            .plan
            .refused
            .iter()
            .find(|refused| refused.name == full)?;
        Some(format!(
            "{}: {full} cannot run: {}",
            refused.place, refused.reason
        ))
    }

    fn no_channel(&self, source: &SourcePlan, name: &str) -> String {
        let channels: Vec<_> = source.frame.channels.texts().collect();
        let refused = self.refused("channels", name);
        refused.unwrap_or_else(|| {
            format!(
                "the source has no channel `{name}`; it has: {}",
                channels.join(", ")
            )
        })
    }

    fn outlet(
        &self,
        source: &SourcePlan,
        lists: &BTreeMap<String, ListChannel>,
    ) -> Result<Outlet, String> {
        let name = &source.section.name;
        let channels: Vec<String> = source.frame.channels.texts().map(String::from).collect();
        let cx = Context::of_agent(name, channels.clone(), self.info.clone());
        let wires = source.frame.wire(&cx);
        let wires = wires.map_err(|error| format!("{name}: {error}"))?;
        let watched = wires
            .interceptors
            .into_iter()
            .zip(interceptors(source))
            .map(|(inner, interceptor)| {
                let route = Route::changed(name, &interceptor);
                let watched = WatchedInterceptor {
                    inner,
                    route,
                    taken: self.taken.clone(),
                };
                Box::new(watched) as Box<dyn flume_core::Interceptor>
            });
        let handles = channels.iter().map(|channel| {
            let full = format!("{}.channels.{channel}", self.plan.agent);
            let cx = Context::of_agent(&full, vec![], self.info.clone());
            ChannelHandle::new(Box::new(lists[channel].clone()), cx)
        });
        let wiring = Wiring {
            interceptors: watched.collect(),
            channels: handles.collect(),
            selector: Box::new(WatchedSelector {
                inner: wires.selector,
                source: name.clone(),
                channels,
                branches: Branches::of(source),
                taken: self.taken.clone(),
            }),
        };
        Ok(Outlet::new(wiring, &cx))
    }

    /// The channel that a sink alone drains, or its group.
    fn channel_of(&self, sink: &str) -> Result<String, String> {
        let planned = self.plan.groups.iter().flat_map(|group| &group.sinks);
        let planned: Vec<_> = planned
            .map(|sink| (short_name(&sink.section.name), sink.channel.as_str()))
            .collect();
        let prefix = format!("{}.sinks.", self.plan.agent);
        // Also one that cannot run here drains its channel where it can.
        let refused = self.plan.refused.iter();
        let refused = refused
            .filter_map(|sink| Some((sink.name.strip_prefix(&prefix)?, sink.channel.as_deref()?)));
        let all: Vec<_> = planned.into_iter().chain(refused).collect();
        let Some((_, channel)) = all.iter().find(|(name, _)| *name == sink) else {
            let names: Vec<_> = all.iter().map(|(name, _)| *name).collect();
            return Err(format!(
                "there is no sink `{sink}`, the sinks are: {}",
                names.join(", ")
            ));
        };
        let rivals: Vec<_> = all
            .iter()
            .filter(|(_, other)| other == channel)
            .map(|(name, _)| *name)
            .collect();
        if rivals.len() > 1 {
            return Err(format!(
                "the sinks {} share channel {channel}, so nobody knows which of them gets an event; expect the events in [test.channels.{channel}]",
                rivals.join(", ")
            ));
        }
        Ok(channel.to_string())
    }

    /// What the sink's serializer makes of the events, if that is asked.
    fn bytes(
        &self,
        sink: &str,
        expected: &Expected,
        events: &[Event],
    ) -> Result<Option<Vec<u8>>, String> {
        if !expected.has_bytes() {
            return Ok(None);
        }
        let planned = self.plan.groups.iter().flat_map(|group| &group.sinks);
        let planned = planned
            .into_iter()
            .find(|planned| short_name(&planned.section.name) == sink);
        let Some(planned) = planned else {
            let refused = self.refused("sinks", sink);
            return Err(refused.unwrap_or_else(|| format!("sink {sink} cannot run")));
        };
        let mut serializer = self.serializer(&planned.section)?;
        let mut out = vec![];
        serializer.begin(&mut out);
        let prepared = serializer.prepare(&mut events.iter());
        prepared.map_err(|why| format!("sink {sink}: the serializer fails: {why}"))?;
        for event in events {
            if let Some(document) = serializer.lacks(event) {
                return Err(format!(
                    "sink {sink}: the serializer needs the document {document}, which a test does not read"
                ));
            }
            let written = serializer.write(event, &mut out);
            written
                .map_err(|why| format!("sink {sink}: the serializer refuses an event: {why}"))?;
        }
        serializer.flush(&mut out);
        serializer.end(&mut out);
        Ok(Some(out))
    }

    /// The serializer that the sink declares among its properties.
    fn serializer(&self, section: &Section) -> Result<Box<dyn EventSerializer>, String> {
        let kind = <Nested<dyn EventSerializer> as PropertyValue>::TYPE;
        let found = self.registry.find::<dyn Sink>(section.type_name());
        let rows = found
            .map(|found| (found.row.properties)())
            .unwrap_or_default();
        let Some(row) = rows.iter().find(|row| row.ty == kind) else {
            return Err(format!(
                "{}: a sink of type {} has no serializer",
                section.name,
                section.type_name()
            ));
        };
        let mut props = Props::new(self.registry, section.clone());
        let nested: Option<Nested<dyn EventSerializer>> = PropertyValue::read(&mut props, row);
        let nested =
            nested.ok_or_else(|| format!("{}.{}: it cannot be read", section.name, row.key))?;
        let cx = Context::of_agent(&section.name, vec![], self.info.clone());
        nested
            .create(&cx)
            .map_err(|error| format!("{}.{}: {error}", section.name, row.key))
    }
}

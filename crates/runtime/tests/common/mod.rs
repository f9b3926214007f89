//! An agent in this process, made of scripted components around real memory channels.
#![allow(dead_code, reason = "not every test needs every helper")]

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use async_trait::async_trait;
use flume_conf::{Document, Plan};
use flume_core::{
    AgentInfo, BuildError, Cause, Channel, ChannelError, ChannelStats, Component, Config, Context,
    Delivered, Event, EventStore, Registration, Registry, Rejected, Sink, SinkError, Source,
    SourceContext, SourceError, Take, Want,
};
use flume_runtime::{Agent, Flows, check};
use flume_testkit::parts;
use parking_lot::Mutex;

/// What the sinks of all tests were given, by the sink's `log` property.
static DELIVERED: LazyLock<Mutex<Vec<(String, String)>>> = LazyLock::new(Mutex::default);

/// Attempts so far, by the script's text: a component that panicked is built anew and must not begin again.
static ATTEMPTS: LazyLock<Mutex<BTreeMap<String, usize>>> = LazyLock::new(Mutex::default);

fn attempt(script: &str) -> usize {
    let mut attempts = ATTEMPTS.lock();
    let attempt = attempts.entry(script.into()).or_default();
    *attempt += 1;
    *attempt - 1
}

/// Puts numbered events, then stays; `fail` runs fail first, `panics` panic first.
#[derive(Clone, Config)]
pub(crate) struct CountConfig {
    /// What each body begins with.
    #[prop("text", default = "e")]
    text: String,
    /// How many events it puts.
    #[prop("events", default = 0)]
    events: usize,
    /// Runs that fail before the first that works.
    #[prop("fail", default = 0)]
    fail: usize,
    /// Runs that panic before the first that works.
    #[prop("panics", default = 0)]
    panics: usize,
}

pub(crate) struct Count(CountConfig);

impl Component for Count {
    type Config = CountConfig;
    fn build(config: CountConfig, _: &Context) -> Result<Self, BuildError> {
        Ok(Count(config))
    }
}

#[async_trait]
impl Source for Count {
    async fn run(&mut self, cx: &SourceContext) -> Result<(), SourceError> {
        let run = if self.0.fail + self.0.panics > 0 {
            attempt(&self.0.text)
        } else {
            usize::MAX
        };
        assert!(run >= self.0.panics, "scripted panic {run}");
        if run < self.0.panics + self.0.fail {
            return Err(SourceError::new("do its work", "scripted"));
        }
        cx.ready(None);
        for number in 0..std::mem::take(&mut self.0.events) {
            let event = Event::from(format!("{}{number}", self.0.text));
            cx.out
                .put(vec![event])
                .await
                .map_err(SourceError::at("put an event"))?;
        }
        cx.stop.requested().await;
        Ok(())
    }
}

/// Notes what it is given under its `log`.
#[derive(Clone, Config)]
pub(crate) struct NoteConfig {
    /// Where it notes.
    #[prop("log")]
    log: String,
    /// Deliveries that fail before the first that works.
    #[prop("fail", default = 0)]
    fail: usize,
    /// Deliveries that panic before the first that works.
    #[prop("panics", default = 0)]
    panics: usize,
    /// Rejects what it would deliver.
    #[prop("rejects", default = false)]
    rejects: bool,
    /// Never delivers.
    #[prop("stuck", default = false)]
    stuck: bool,
    /// Seconds that it takes to close.
    #[prop("closes", default = 0)]
    closes: u64,
}

pub(crate) struct Note(NoteConfig);

impl Component for Note {
    type Config = NoteConfig;
    fn build(config: NoteConfig, _: &Context) -> Result<Self, BuildError> {
        Ok(Note(config))
    }
}

#[async_trait]
impl Sink for Note {
    fn want(&self) -> Want {
        Want::events(10)
    }

    async fn deliver(&mut self, batch: &[Event]) -> Result<Delivered, SinkError> {
        if self.0.stuck {
            return Err(SinkError::new("deliver", "stuck"));
        }
        if self.0.fail + self.0.panics > 0 {
            let delivery = attempt(&self.0.log);
            assert!(delivery >= self.0.panics, "scripted panic {delivery}");
            if delivery < self.0.panics + self.0.fail {
                return Err(SinkError::new("deliver", "scripted"));
            }
        }
        if self.0.rejects {
            let rejected = |index| Rejected {
                index,
                cause: Cause::Malformed,
                reason: "scripted".into(),
            };
            return Ok(Delivered {
                rejected: (0..batch.len()).map(rejected).collect(),
                ..Delivered::default()
            });
        }
        let bodies = batch
            .iter()
            .map(|event| String::from_utf8_lossy(&event.body).into_owned());
        DELIVERED
            .lock()
            .extend(bodies.map(|body| (self.0.log.clone(), body)));
        Ok(Delivered::default())
    }

    async fn close(&mut self) -> Result<(), SinkError> {
        tokio::time::sleep(Duration::from_secs(self.0.closes)).await;
        Ok(())
    }

    fn close_timeout(&self) -> Duration {
        Duration::from_secs(self.0.closes + 5)
    }
}

/// A channel in memory whose puts fail as told, and which may say that its events are in a directory.
#[derive(Clone, Config)]
pub(crate) struct FrailConfig {
    /// Puts that succeed before the first that fails.
    #[prop("puts", default = 0)]
    puts: usize,
    /// Where it says that its events are.
    #[prop("directory")]
    directory: Option<PathBuf>,
}

pub(crate) struct Frail {
    real: Box<dyn Channel>,
    puts_left: AtomicUsize,
    directory: Option<PathBuf>,
}

impl Component for Frail {
    type Config = FrailConfig;
    fn build(config: FrailConfig, cx: &Context) -> Result<Self, BuildError> {
        let properties = "capacity = 1000\ntransactionCapacity = 10";
        Ok(Frail {
            real: parts::build(&flume_components::REGISTRY, "memory", properties, cx),
            puts_left: config.puts.into(),
            directory: config.directory,
        })
    }
}

#[async_trait]
impl Channel for Frail {
    async fn put(&self, batch: Vec<Event>) -> Result<(), ChannelError> {
        let one_less = |left: usize| left.checked_sub(1);
        match self.puts_left.fetch_update(Relaxed, Relaxed, one_less) {
            Ok(_) => self.real.put(batch).await,
            Err(_) => Err(ChannelError::Storage("scripted".into())),
        }
    }

    async fn take(&self, want: Want, wait: Duration) -> Result<Box<dyn Take>, ChannelError> {
        self.real.take(want, wait).await
    }

    fn stats(&self) -> ChannelStats {
        self.real.stats()
    }

    fn durable(&self) -> bool {
        self.directory.is_some()
    }

    fn store(&self) -> EventStore {
        match &self.directory {
            None => EventStore::Memory,
            Some(directory) => EventStore::Directories {
                data: [directory.join("data")].into(),
                checkpoint: directory.join("checkpoint"),
            },
        }
    }
}

pub(crate) static REGISTRY: Registry = Registry {
    sources: &[Registration::source::<Count>("count", "")],
    sinks: &[Registration::sink::<Note>("note", "")],
    channels: &[Registration::channel::<Frail>("frail", "")],
    includes: &[&flume_components::REGISTRY, &flume_file_channel::REGISTRY],
    ..Registry::EMPTY
};

pub(crate) fn info() -> Arc<AgentInfo> {
    Arc::new(AgentInfo {
        name: "a1".into(),
        ..AgentInfo::default()
    })
}

/// The plan of `a1` in a text whose keys may leave the agent's name out.
pub(crate) fn plan(text: &str) -> Plan {
    let mut document = Document::default();
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let text: String = lines.map(|line| format!("a1.{line}\n")).collect();
    document.add("flume.conf", text.as_bytes());
    check(document.plan("a1", &REGISTRY), &info(), Flows::Halves)
}

/// An agent that runs the text.
pub(crate) async fn start(text: &str) -> Agent {
    let mut agent = Agent::new(info());
    let plan = plan(text);
    assert!(plan.refused.is_empty(), "{:#?}", plan.diagnostics);
    agent.apply(plan).await.expect("a first plan applies");
    agent
}

/// What was delivered under `log`, in order, once there are so many.
pub(crate) async fn delivered(log: &str, count: usize) -> Vec<String> {
    let seen = || -> Vec<String> {
        let delivered = DELIVERED.lock();
        delivered
            .iter()
            .filter(|(to, _)| to == log)
            .map(|(_, body)| body.clone())
            .collect()
    };
    wait_for(&format!("{count} events under {log}"), || {
        Some(seen()).filter(|seen| seen.len() >= count)
    })
    .await
}

/// Looks until there is an answer; the components run on threads and clocks of their own.
pub(crate) async fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    for _ in 0..20_000 {
        if let Some(found) = look() {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("waited in vain for {what}");
}

/// The state of a component by its short name.
pub(crate) fn state(agent: &Agent, name: &str) -> String {
    let board = agent.board();
    let entries = board.entries();
    let entry = entries.iter().find(|entry| entry.name == name);
    entry.map_or("absent".into(), |entry| entry.state.get().0.to_string())
}

/// `r1` → `c1` → `k1`, with some more lines.
pub(crate) fn flow(log: &str, more: &str) -> String {
    format!(
        "sources = r1
         channels = c1
         sinks = k1
         sources.r1.type = count
         sources.r1.channels = c1
         channels.c1.type = memory
         sinks.k1.type = note
         sinks.k1.channel = c1
         sinks.k1.log = {log}
         {more}"
    )
}

/// Events of a channel, with those that sinks have.
pub(crate) fn held(agent: &Agent, channel: &str) -> usize {
    let status = flume_monitor::status(&agent.board());
    let found = status
        .components
        .iter()
        .find(|component| component.name == channel);
    let channel = found.and_then(|component| component.channel.clone());
    channel.map_or(0, |channel| channel.events + channel.in_flight)
}

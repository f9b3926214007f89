//! Random reloads under load: whatever a channel becomes, no acknowledged event is lost.
//!
//! Four clients put numbered events. The channel changes its type, settings, directories and name; some directories
//! cannot be opened; the sink is up or down; now and then the agent stops and another one starts. At the end every
//! acknowledged event was delivered, apart from those that a stop has counted as lost.
//!
//! `FLUME_STORM_SECONDS=600 cargo test -p flume-runtime --test reload_storm` goes on for ten minutes.

mod common;

use std::{
    collections::{BTreeMap, HashSet},
    env,
    future::pending,
    path::Path,
    sync::{
        LazyLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use common::info;
use flume_conf::{Document, Plan};
use flume_core::{
    BuildError, ChannelError, Component, Config, Context, Delivered, Event, PutError, Registration,
    Registry, Sink, SinkError, Source, SourceContext, SourceError, Want,
};
use flume_runtime::{Agent, Flows, Remained, check};
use parking_lot::Mutex;

const CLIENTS: usize = 4;
/// Reloads of the short run.
const SHORT_RELOADS: usize = 25;

/// What happened, in all agents.
#[derive(Default)]
struct Ledger {
    next: AtomicU64,
    puts: AtomicUsize,
    acknowledged: Mutex<HashSet<u64>>,
    delivered: Mutex<BTreeMap<u64, usize>>,
    /// What the reloads since the last start have said.
    reloads: Mutex<Vec<String>>,
    /// Errors other than a full channel.
    refused: Mutex<BTreeMap<String, usize>>,
    sinks_down: AtomicBool,
    sources_quiet: AtomicBool,
}

static LEDGER: LazyLock<Ledger> = LazyLock::new(Ledger::default);

/// Puts events from four tasks.
#[derive(Clone, Config)]
struct ClientsConfig {}

struct Clients;

impl Component for Clients {
    type Config = ClientsConfig;
    fn build(_: ClientsConfig, _: &Context) -> Result<Self, BuildError> {
        Ok(Clients)
    }
}

#[async_trait]
impl Source for Clients {
    async fn run(&mut self, cx: &SourceContext) -> Result<(), SourceError> {
        cx.ready(None);
        let mut clients = tokio::task::JoinSet::new();
        for _ in 0..CLIENTS {
            clients.spawn(client(cx.clone()));
        }
        while clients.join_next().await.is_some() {}
        Ok(())
    }
}

async fn client(cx: SourceContext) {
    while !cx.stop.is_requested() {
        if LEDGER.sources_quiet.load(Relaxed) {
            tokio::time::sleep(Duration::from_millis(1)).await;
            continue;
        }
        let first = LEDGER.next.fetch_add(3, Relaxed);
        let count = 1 + first % 3;
        let batch = (first..first + count)
            .map(|number| Event::from(number.to_string()))
            .collect();
        let outcome = cx.out.put(batch).await;
        LEDGER.puts.fetch_add(1, Relaxed);
        match outcome {
            Ok(()) => LEDGER.acknowledged.lock().extend(first..first + count),
            Err(PutError::Channel {
                source: ChannelError::Full { .. },
                ..
            }) => {}
            Err(error) => {
                let text = flume_core::with_causes(&error);
                *LEDGER.refused.lock().entry(text).or_default() += 1;
            }
        }
        tokio::time::sleep(Duration::from_micros(300)).await;
    }
}

/// Delivers to the ledger while sinks are up.
#[derive(Clone, Config)]
struct LedgerConfig {}

struct LedgerSink;

impl Component for LedgerSink {
    type Config = LedgerConfig;
    fn build(_: LedgerConfig, _: &Context) -> Result<Self, BuildError> {
        Ok(LedgerSink)
    }
}

#[async_trait]
impl Sink for LedgerSink {
    fn want(&self) -> Want {
        Want::events(100)
    }

    async fn deliver(&mut self, batch: &[Event]) -> Result<Delivered, SinkError> {
        if LEDGER.sinks_down.load(Relaxed) {
            return Err(SinkError::new("deliver", "down"));
        }
        let mut delivered = LEDGER.delivered.lock();
        for event in batch {
            let number = String::from_utf8_lossy(&event.body).parse();
            *delivered.entry(number.unwrap_or(u64::MAX)).or_default() += 1;
        }
        Ok(Delivered::default())
    }
}

static REGISTRY: Registry = Registry {
    sources: &[Registration::source::<Clients>("clients", "")],
    sinks: &[Registration::sink::<LedgerSink>("ledger", "")],
    includes: &[&flume_components::REGISTRY, &flume_file_channel::REGISTRY],
    ..Registry::EMPTY
};

struct Dice(fastrand::Rng);

impl Dice {
    fn below(&mut self, below: u64) -> u64 {
        self.0.u64(..below)
    }

    fn one_of<'a>(&mut self, texts: &[&'a str]) -> &'a str {
        self.0.choice(texts).expect("there are texts")
    }
}

fn store(dir: &Path, number: &str) -> String {
    let dir = dir.display();
    format!(
        "checkpointDir = {dir}/{number}/cp\ndataDirs = {dir}/{number}/data\nminimumRequiredSpace = 1\n\
         maxFileSize = 262144"
    )
}

/// The lines of a channel: a type, settings and directories by chance. A channel of a new name has no predecessor that
/// could stay in service, so its directories are good ones.
fn channel(dice: &mut Dice, dir: &Path, new_name: bool) -> String {
    // The last one is below a file, so it cannot be made.
    let directory = dice.one_of(&["d0", "d0", "d1", "blocker"]);
    let store = store(dir, if new_name { "d1" } else { directory });
    let capacity = 300 + 300 * dice.below(8);
    match dice.below(3) {
        0 => format!("type = memory\ncapacity = {capacity}\nkeep-alive = 1"),
        1 => format!(
            "type = file\n{store}\ncapacity = {capacity}\ntransactionCapacity = 50\nkeep-alive = 1"
        ),
        _ => {
            let memory = 100 * dice.below(4);
            let disk = if memory > 0 { 300 * dice.below(6) } else { 900 };
            format!(
                "type = spillablememory\n{store}\nmemoryCapacity = {memory}\noverflowCapacity = {disk}\n\
                 overflowTimeout = 0\ntransactionCapacity = 50"
            )
        }
    }
}

fn plan(channels: &[(&str, String)], source_to: Option<&str>) -> Plan {
    let names: Vec<_> = channels.iter().map(|(name, _)| *name).collect();
    let mut lines = vec![format!("channels = {}", names.join(" "))];
    let mut sinks = vec![];
    for (name, text) in channels {
        lines.extend(
            text.lines()
                .map(|line| format!("channels.{name}.{}", line.trim())),
        );
        sinks.push(format!("k-{name}"));
        lines.push(format!("sinks.k-{name}.type = ledger"));
        lines.push(format!("sinks.k-{name}.channel = {name}"));
    }
    lines.push(format!("sinks = {}", sinks.join(" ")));
    if let Some(name) = source_to {
        lines.push("sources = r1\nsources.r1.type = clients".into());
        lines.push(format!("sources.r1.channels = {name}"));
    }
    let mut document = Document::default();
    let text: String = lines
        .iter()
        .flat_map(|text| text.lines())
        .map(|line| format!("a1.{line}\n"))
        .collect();
    document.add("flume.conf", text.as_bytes());
    let plan = check(document.plan("a1", &REGISTRY), &info(), Flows::Halves);
    assert!(plan.refused.is_empty(), "{:#?}", plan.diagnostics);
    plan
}

fn lost(remained: &Remained) -> usize {
    assert_eq!(
        remained.unsaved,
        0,
        "a durable channel lost events: {remained:?}\n{:#?}",
        LEDGER.reloads.lock()
    );
    LEDGER.reloads.lock().clear();
    remained.count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_acknowledged_event_is_lost() {
    let seconds: Option<u64> = env::var("FLUME_STORM_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok());
    let seed = env::var("FLUME_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(7);
    let until = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("blocker"), "").unwrap();
    let mut dice = Dice(fastrand::Rng::with_seed(seed));
    let mut agent = Agent::new(info());
    let mut reloads = 0;
    let mut kept = 0;
    let mut restarts = 0;
    let mut volatile = 0;
    let memory = || "type = memory\ncapacity = 1000".to_string();
    let mut current = "c1";
    agent
        .apply(plan(&[(current, memory())], Some(current)))
        .await
        .unwrap();
    while until.map_or(reloads < SHORT_RELOADS, |until| Instant::now() < until) {
        LEDGER.sinks_down.store(dice.below(2) == 0, Relaxed);
        tokio::time::sleep(Duration::from_millis(dice.below(150))).await;
        let name = dice.one_of(&["c1", "c1", "c2"]);
        let text = channel(&mut dice, dir.path(), name != current);
        reloads += 1;
        let said = text.replace('\n', ", ");
        let refused = match agent.apply(plan(&[(name, text)], Some(name))).await {
            Ok(changes) => {
                current = name;
                LEDGER.reloads.lock().push(format!("{changes}: {said}"));
                !changes.failed.is_empty()
            }
            Err(error) => {
                LEDGER.reloads.lock().push(format!("{error}: {said}"));
                true
            }
        };
        kept += usize::from(refused);
        agent.settle_retired().await;
        if dice.below(12) == 0 {
            restarts += 1;
            volatile += lost(&agent.stop(Duration::from_millis(20), pending()).await);
            agent = Agent::new(info());
            current = "c1";
            agent
                .apply(plan(&[(current, memory())], Some(current)))
                .await
                .unwrap();
        }
    }
    LEDGER.sources_quiet.store(true, Relaxed);
    LEDGER.sinks_down.store(false, Relaxed);
    volatile += lost(&agent.stop(Duration::from_secs(20), pending()).await);
    drain(dir.path()).await;
    report(reloads, kept, restarts, volatile);
}

/// Delivers what is left in the directories.
async fn drain(dir: &Path) {
    let file = |number: &str| format!("type = file\n{}\ncapacity = 1000000", store(dir, number));
    let mut agent = Agent::new(info());
    agent
        .apply(plan(&[("c1", file("d0")), ("c2", file("d1"))], None))
        .await
        .unwrap();
    let board = agent.board();
    common::wait_for("empty channels", || {
        let status = flume_monitor::status(&board);
        let channels = status
            .components
            .iter()
            .filter_map(|it| it.channel.as_ref().map(|held| (it, held)));
        let mut open =
            channels.map(|(it, held)| it.state == "running" && held.events + held.in_flight == 0);
        open.all(|empty| empty).then_some(())
    })
    .await;
    assert!(
        agent
            .stop(Duration::from_secs(20), pending())
            .await
            .is_empty()
    );
}

#[expect(clippy::print_stdout, reason = "the figures of a long run")]
fn report(reloads: usize, kept: usize, restarts: usize, volatile: usize) {
    let acknowledged = LEDGER.acknowledged.lock();
    let delivered = LEDGER.delivered.lock();
    let refused = LEDGER.refused.lock();
    let missing = acknowledged
        .iter()
        .filter(|number| !delivered.contains_key(number))
        .count();
    let repeated = delivered.values().filter(|times| **times > 1).count();
    println!(
        "{reloads} reloads ({kept} kept the old settings), {restarts} restarts, {} puts, {} events acknowledged, \
         {} delivered, {repeated} more than once, {missing} missing, {volatile} counted as lost, refused: {refused:?}",
        LEDGER.puts.load(Relaxed),
        acknowledged.len(),
        delivered.len(),
    );
    assert!(acknowledged.len() > 1000, "the clients were hardly heard");
    assert!(
        missing <= volatile,
        "{missing} events are missing, and only {volatile} were counted"
    );
    assert!(
        refused.is_empty(),
        "puts were refused for a reload: {refused:?}"
    );
    let unknown = delivered
        .keys()
        .filter(|number| **number >= LEDGER.next.load(Relaxed))
        .count();
    assert_eq!(unknown, 0, "events that nobody put");
}

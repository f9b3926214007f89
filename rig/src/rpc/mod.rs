//! The hop between agents, beside Java Flume, over every protocol and layer: events are compared byte for byte.
//!
//! | row | way |
//! |---|---|
//! | `client` | our client → Java's source → Java's sink → our source |
//! | `sink` | our sink → Java's source → Java's sink → our source |
//! | `sdk` | Java's client SDK → our source |

pub mod bench;
mod events;
pub mod groups;
mod kerberos;
mod lane;
pub mod limits;
mod parts;
mod proxy;
mod sdk;
mod senders;
pub mod tiers;

use std::{
    collections::{HashSet, VecDeque},
    fmt::Write,
    hash::{DefaultHasher, Hash, Hasher},
    num::NonZeroUsize,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use flume_client::{ClientConfig, Event, FlumeClient};
use flume_cluster::free_port;
use flume_core::{Context as ComponentContext, Registry, Sink, Want};
use flume_testkit::{
    parts::{build, read},
    source::RunningSource,
};
use tokio::task::JoinSet;

use crate::{
    agents::{Maker, Running, install, install_java, java_dir, target},
    report::Report,
};
use events::EventMill;
use lane::{LANES, Lane};
use parts::settings;

static REGISTRY: Registry = Registry {
    includes: &[&flume_components::REGISTRY, &flume_rpc::REGISTRY],
    ..Registry::EMPTY
};

/// Events of a call of our client.
const PORTION: usize = 500;

/// Lines of the Java agent's log that a failure shows.
const LOG_LINES: usize = 30;
/// A lane is broken if nothing comes back for so long. On a busy machine Java's sink may need several attempts, and
/// waits up to 20 s for a connection, up to 20 s for an answer, and pauses between them.
const SILENCE: Duration = Duration::from_secs(300);
/// A lane is broken if it takes no event so long after its port is open.
const WARM_UP: Duration = Duration::from_secs(300);
/// Of a lane in the Java agent.
const JAVA_CHANNEL: &str =
    "type = memory\ncapacity = 10000\ntransactionCapacity = 1000\nkeep-alive = 10";
/// The body of events that are not counted.
const WARM_UP_BODY: &[u8] = b"warm-up";

/// Flume 1.11 and 1.9 in every lane.
pub fn show(report: &mut Report) -> Result<()> {
    versions(report, 100_000)
}

/// The same with few events.
pub fn slice(report: &mut Report) -> Result<()> {
    versions(report, 300)
}

/// Flume 1.11 compresses what TLS has encrypted, Flume 1.9 encrypts what was compressed: so both orders are seen.
fn versions(report: &mut Report, count: usize) -> Result<()> {
    let old = JavaFlume {
        version: "1.9",
        directory: java_1_9()?,
        // Netty 3, which Flume 1.9 has, breaks connections as a client of TLS 1.3. Java 8 does not offer that version.
        options: "-Xmx512m -Djdk.tls.client.protocols=TLSv1.2",
    };
    let runtime = runtime()?;
    for java in [&java_1_11()?, &old] {
        runtime.block_on(lanes(report, java, count))?;
        runtime.block_on(sdk::show(report, java, count))?;
    }
    Ok(())
}

/// Logins by Kerberos, which Flume 1.9 has as 1.11 does.
pub fn with_kerberos(report: &mut Report, count: usize) -> Result<()> {
    runtime()?.block_on(kerberos::show(report, &java_1_11()?, count))
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
}

/// A release of Java Flume.
pub struct JavaFlume {
    version: &'static str,
    directory: PathBuf,
    /// Of its JVM.
    options: &'static str,
}

impl JavaFlume {
    fn environment(&self) -> Result<[(String, String); 2]> {
        let directory = self.directory.canonicalize()?.display().to_string();
        Ok([
            ("JAVA_FLUME".into(), directory),
            ("JAVA_OPTS".into(), self.options.into()),
        ])
    }
}

fn java_1_11() -> Result<JavaFlume> {
    install_java()?;
    Ok(JavaFlume {
        version: "1.11",
        directory: java_dir(),
        options: "-Xmx512m",
    })
}

/// Where Flume 1.9 is.
fn java_1_9() -> Result<PathBuf> {
    let old = target().join("java-flume-1.9");
    install("java-flume", &[&old, &"1.9.0"])?;
    Ok(old)
}

/// Through a Java agent that has a source, a channel and a sink for each lane.
async fn lanes(report: &mut Report, java: &JavaFlume, count: usize) -> Result<()> {
    let mut configuration = String::new();
    for kind in ["sources = r", "channels = c", "sinks = k"] {
        let (key, letter) = kind.split_once(" = ").context("a key")?;
        let names: Vec<_> = (0..LANES.len())
            .map(|place| format!("{letter}{place}"))
            .collect();
        writeln!(configuration, "a1.{key} = {}", names.join(" "))?;
    }
    let mut ways = vec![];
    for (place, lane) in LANES.iter().enumerate() {
        let source = our_source(lane.kind, &lane.source_properties("server.pkcs12"));
        let port = free_port();
        let back = source.address().await.port();
        configuration += &java_lane(place, lane, port, back);
        ways.push((lane, port, source));
    }
    let mut agent = Running::start_with(Maker::Java, &configuration, &java.environment()?)?;
    // All at once: while a lane is idle, its Java sink makes its pauses longer.
    let mut travels = JoinSet::new();
    for (lane, port, source) in ways {
        agent.port = port;
        agent.wait_for_port()?;
        travels.spawn(async move {
            let mut outcomes = vec![];
            for by in [By::Client, By::Sink] {
                let travelled = travel(lane, by, port, &source, count).await;
                let is_broken = travelled.is_err();
                outcomes.push((by, travelled));
                if is_broken {
                    break;
                }
            }
            (lane, outcomes)
        });
    }
    while let Some(travelled) = travels.join_next().await {
        let (lane, outcomes) = travelled?;
        for (by, outcome) in outcomes {
            let item = format!("rpc.{}.{}.{}", java.version, lane.name, by.name());
            verdict(report, &item, count, &outcome);
            if outcome.is_err() {
                println!("the Java agent said last:\n{}", last_lines(&agent.log()));
            }
        }
    }
    Ok(())
}

/// How many events came out otherwise, or not at all.
fn verdict(report: &mut Report, item: &str, count: usize, outcome: &Result<usize>) {
    let item = format!("{item}.lost-or-changed");
    match outcome {
        Ok(wrong) => report.row(&item, wrong, &format!("0 of {count}"), *wrong == 0),
        Err(error) => report.row(&item, format!("{error:#}"), "0", false),
    }
}

/// A source of ours on a free port.
fn our_source(kind: &str, properties: &str) -> RunningSource {
    let text = format!("bind = 127.0.0.1\nport = 0\n{properties}");
    RunningSource::start(&REGISTRY, kind, &text)
}

fn last_lines(log: &str) -> String {
    let lines: Vec<_> = log.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}

/// A source, a channel and a sink of the Java agent.
fn java_lane(place: usize, lane: &Lane, port: u16, back: u16) -> String {
    let kind = lane.kind;
    let source = lane.source_properties("rsa.jks");
    let sink = lane.client_properties();
    [
        settings(
            &format!("a1.sources.r{place}"),
            &format!(
                "type = {kind}\nbind = 127.0.0.1\nport = {port}\nchannels = c{place}\n{source}"
            ),
        ),
        settings(&format!("a1.channels.c{place}"), JAVA_CHANNEL),
        settings(
            &format!("a1.sinks.k{place}"),
            &format!(
                "type = {kind}\nhostname = 127.0.0.1\nport = {back}\nchannel = c{place}\n{sink}"
            ),
        ),
    ]
    .concat()
}

/// What of ours sends.
#[derive(Clone, Copy, Debug)]
enum By {
    Client,
    Sink,
}

impl By {
    fn name(self) -> &'static str {
        match self {
            By::Client => "client",
            By::Sink => "sink",
        }
    }

    fn connect(self, lane: &Lane, port: u16) -> Result<Sender> {
        let properties = lane.trusting_properties();
        match self {
            By::Client => {
                let text = format!("{properties}\nclient.type = {}", lane.client_type());
                let (config, problems) = read::<ClientConfig>(&Registry::EMPTY, "client", &text);
                ensure!(problems.is_empty(), "{problems:?}");
                let config = config.context("no client")?;
                let cx = ComponentContext::new("client", &[]);
                let peer = Some(("127.0.0.1".into(), port));
                let client = config.build(peer, NonZeroUsize::MIN, &cx)?;
                Ok(Sender::Client(client))
            }
            By::Sink => {
                let text = format!("hostname = 127.0.0.1\nport = {port}\n{properties}");
                let cx = ComponentContext::new("a1.sinks.k1", &["c1"]);
                Ok(Sender::Sink(build(&REGISTRY, lane.kind, &text, &cx)))
            }
        }
    }
}

enum Sender {
    Client(FlumeClient),
    Sink(Box<dyn Sink>),
}

impl Sender {
    async fn send(&mut self, events: &[Event]) -> Result<()> {
        match self {
            Sender::Client(client) => client.append_batch(events).await?,
            Sender::Sink(sink) => {
                let delivered = sink.deliver(events).await?;
                ensure!(delivered.rejected.is_empty(), "the sink rejects events");
            }
        }
        Ok(())
    }
}

/// Sends events through the Java agent; how many came back otherwise. They come back while more are sent: Java's sink
/// pauses for seconds whenever its channel is empty.
async fn travel(
    lane: &Lane,
    by: By,
    port: u16,
    source: &RunningSource,
    count: usize,
) -> Result<usize> {
    let mut sender = by.connect(lane, port)?;
    let (_, wrong) = tokio::try_join!(send(&mut sender, count), receive(source, count))?;
    Ok(wrong)
}

/// Sends what a mill makes.
async fn send(sender: &mut Sender, count: usize) -> Result<()> {
    warm_up(sender).await?;
    let mut mill = EventMill::new(count as u64);
    let mut left = count;
    while left > 0 {
        let portion = mill.events(PORTION.min(left));
        sender.send(&portion).await?;
        left -= portion.len();
    }
    Ok(())
}

/// Takes what a mill made out of the channel of a source; how many events are not as they were made. An event that comes
/// again is none of them: on a busy machine an answer may take longer than its sender waits.
async fn receive(source: &RunningSource, count: usize) -> Result<usize> {
    let mut mill = EventMill::new(count as u64);
    let mut expected = VecDeque::new();
    let mut known = HashSet::new();
    let mut made = 0;
    let mut wrong = 0;
    while made < count || !expected.is_empty() {
        let portion = PORTION.min(count - made);
        expected.extend(mill.events(portion));
        made += portion;
        for event in take(source, expected.len().min(PORTION)).await? {
            let digest = digest(&event);
            if expected.front() == Some(&event) {
                known.insert(digest);
            } else if known.contains(&digest) {
                continue;
            } else {
                wrong += 1;
            }
            expected.pop_front();
        }
    }
    Ok(wrong)
}

fn digest(event: &Event) -> u64 {
    let mut hasher = DefaultHasher::new();
    for (name, value) in event.headers.iter() {
        (name.as_bytes(), value.as_bytes()).hash(&mut hasher);
    }
    event.body.hash(&mut hasher);
    hasher.finish()
}

/// Waits until the source takes an event. Netty closes a connection whose TLS handshake takes more than 10 s, and on a busy
/// machine a JVM that has just started needs longer for its first.
async fn warm_up(sender: &mut Sender) -> Result<()> {
    let began = Instant::now();
    let event = Event {
        body: WARM_UP_BODY.into(),
        ..Event::default()
    };
    while let Err(error) = sender.send(std::slice::from_ref(&event)).await {
        if began.elapsed() > WARM_UP {
            return Err(error).context("the source took no event");
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

/// The next events of the channel.
async fn take(source: &RunningSource, count: usize) -> Result<Vec<Event>> {
    let mut events = vec![];
    while events.len() < count {
        let want = Want::events(count - events.len());
        let take = source.channel.take(want, SILENCE).await?;
        let came = take.events().len();
        ensure!(
            came > 0,
            "nothing came back for {SILENCE:?}, {} of {count} events were there",
            events.len()
        );
        let counted = take
            .events()
            .iter()
            .filter(|event| event.body != WARM_UP_BODY);
        events.extend(counted.cloned());
        take.commit().await?;
    }
    Ok(events)
}

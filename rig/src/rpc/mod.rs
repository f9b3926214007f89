//! The hop between agents, beside Java Flume: events go from this program's client through a Java agent and back into this
//! program's sources, over every protocol and layer, and are compared byte for byte.
//!
//! Each lane therefore shows two things: that our client is understood by Java's source, and Java's sink by our source.

pub mod bench;
mod events;
pub mod groups;
pub mod limits;
mod proxy;
mod senders;
pub mod tiers;

use std::{
    fmt::Write,
    num::NonZeroUsize,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use flume_client::{ClientConfig, Event, FlumeClient};
use flume_cluster::free_port;
use flume_core::{Context as ComponentContext, Registry, Want};
use flume_testkit::{parts::read, source::RunningSource};
use tokio::task::JoinSet;

use crate::{
    agents::{Maker, Running, install_java, root, target},
    report::Report,
};
use events::EventMill;

static REGISTRY: Registry = Registry {
    includes: &[&flume_components::REGISTRY, &flume_rpc::REGISTRY],
    ..Registry::EMPTY
};

/// Events of a call of our client.
const PORTION: usize = 500;

/// Lines of the Java agent's log that a failure shows.
const LOG_LINES: usize = 30;
/// A lane is broken if nothing comes back for so long.
const SILENCE: Duration = Duration::from_secs(40);
/// A lane is broken if it takes no event so long after its port is open.
const WARM_UP: Duration = Duration::from_secs(60);
/// The body of events that are not counted.
const WARM_UP_BODY: &[u8] = b"warm-up";

/// One way through the Java agent and back.
struct Lane {
    name: &'static str,
    /// Of sources and sinks on both sides.
    kind: &'static str,
    /// Properties of all four ends.
    common: &'static str,
    /// Those of the sources.
    source: &'static str,
    /// Those of our client and of Java's sink.
    sink: &'static str,
    /// Whether the sources need a key store and the clients have to trust it.
    tls: bool,
}

#[rustfmt::skip]
const LANES: &[Lane] = &[
    lane("avro", "avro", ""),
    lane("avro-deflate", "avro", "compression-type = deflate"),
    lane("avro-ipfilter", "avro", "").with_source("ipFilter = true\nipFilterRules = allow:ip:127.*,deny:ip:*"),
    lane("avro-deflate-ipfilter", "avro", "compression-type = deflate").with_source("ipFilter = true\nipFilterRules = allow:name:localhost,deny:ip:*"),
    lane("avro-tls", "avro", "").with_tls(),
    lane("avro-tls-deflate", "avro", "compression-type = deflate").with_tls(),
    lane("thrift-compact", "thrift", "protocol = compact"),
    lane("thrift-binary", "thrift", "protocol = binary"),
    lane("thrift-tls", "thrift", "").with_tls(),
    lane("thrift-binary-tls", "thrift", "protocol = binary").with_tls(),
];

const fn lane(name: &'static str, kind: &'static str, common: &'static str) -> Lane {
    Lane {
        name,
        kind,
        common,
        source: "",
        sink: "batch-size = 37",
        tls: false,
    }
}

impl Lane {
    const fn with_tls(self) -> Lane {
        Lane { tls: true, ..self }
    }

    const fn with_source(self, source: &'static str) -> Lane {
        Lane { source, ..self }
    }

    fn source_properties(&self, keystore: &str) -> String {
        let tls = if self.tls {
            format!(
                "ssl = true\nkeystore = {}/{keystore}\nkeystore-password = storePassword",
                stores()
            )
        } else {
            String::new()
        };
        format!("{}\n{}\n{tls}\n", self.common, self.source)
    }

    fn client_properties(&self, truststore: &str) -> String {
        let tls = if self.tls {
            format!(
                "ssl = true\ntruststore = {}/{truststore}\ntruststore-type = PKCS12\ntruststore-password = storePassword",
                stores()
            )
        } else {
            String::new()
        };
        format!("{}\n{}\n{tls}\n", self.common, self.sink)
    }

    /// Our client of Java's source, which shows the certificate of `rsa.jks`; nobody has a store that trusts it.
    fn client(&self, port: u16) -> Result<FlumeClient> {
        let mut text = format!("{}\n{}\n", self.common, self.sink);
        if self.tls {
            text += "ssl = true\ntrust-all-certs = true\n";
        }
        if self.kind == "thrift" {
            text += "client.type = thrift\n";
        }
        let (config, problems) = read::<ClientConfig>(&Registry::EMPTY, "client", &text);
        ensure!(problems.is_empty(), "{problems:?}");
        let config = config.context("no client")?;
        let cx = ComponentContext::new("client", &[]);
        let peer = Some(("127.0.0.1".into(), port));
        Ok(config.build(peer, NonZeroUsize::MIN, &cx)?)
    }
}

fn stores() -> String {
    root()
        .join("crates/keystore/tests/data")
        .display()
        .to_string()
}

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
    install_java()?;
    lanes(report, "1.11", &[], count)?;
    // Netty 3, which Flume 1.9 has, breaks connections as a client of TLS 1.3. Java 8 does not offer that version.
    let options = "-Xmx512m -Djdk.tls.client.protocols=TLSv1.2";
    let environment = [java_1_9()?, ("JAVA_OPTS".into(), options.into())];
    lanes(report, "1.9", &environment, count)
}

/// Where Flume 1.9 is, for the environment of its agent.
fn java_1_9() -> Result<(String, String)> {
    let old = target().join("java-flume-1.9");
    let status = Command::new(root().join("rig/java-flume/install.sh"))
        .arg(&old)
        .arg("1.9.0")
        .status()?;
    ensure!(status.success(), "Java Flume 1.9 could not be installed");
    let old = old.canonicalize()?.display().to_string();
    Ok(("JAVA_FLUME".into(), old))
}

fn lanes(
    report: &mut Report,
    version: &str,
    environment: &[(String, String)],
    count: usize,
) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut sources = vec![];
        let mut ports = vec![];
        let mut configuration = String::new();
        for lane in LANES {
            let text = format!(
                "bind = 127.0.0.1\nport = 0\n{}",
                lane.source_properties("server.pkcs12")
            );
            let source = RunningSource::start(&REGISTRY, lane.kind, &text);
            let port = free_port();
            let back = source.address().await.port();
            write_lane(&mut configuration, lane, port, back)?;
            sources.push(source);
            ports.push(port);
        }
        let names = |prefix: &str| {
            let names = (0..LANES.len()).map(|lane| format!("{prefix}{lane}"));
            names.collect::<Vec<_>>().join(" ")
        };
        let heads = format!(
            "a1.sources = {}\na1.channels = {}\na1.sinks = {}\n",
            names("r"),
            names("c"),
            names("k")
        );
        let mut agent = Running::start_with(Maker::Java, &(heads + &configuration), environment)?;
        // All at once: while a lane is idle, its Java sink makes its pauses longer.
        let mut travels = JoinSet::new();
        for ((place, lane), source) in LANES.iter().enumerate().zip(sources) {
            agent.port = ports[place];
            agent.wait_for_port()?;
            let port = ports[place];
            travels.spawn(async move { (place, travel(lane, port, &source, count).await) });
        }
        while let Some(travelled) = travels.join_next().await {
            let (place, outcome) = travelled?;
            let item = format!("rpc.{version}.{}.lost-or-changed", LANES[place].name);
            match outcome {
                Ok(wrong) => report.row(&item, wrong, &format!("0 of {count}"), wrong == 0),
                Err(error) => {
                    println!("the Java agent said last:\n{}", last_lines(&agent.log()));
                    report.row(&item, format!("{error:#}"), "0", false);
                }
            }
        }
        Ok(())
    })
}

fn last_lines(log: &str) -> String {
    let lines: Vec<_> = log.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}

/// A source, a channel and a sink of the Java agent.
fn write_lane(out: &mut String, lane: &Lane, port: u16, back: u16) -> Result<()> {
    let place = LANES.iter().position(|other| other.name == lane.name);
    let place = place.context("a lane of the table")?;
    let source = lane.source_properties("rsa.jks");
    let sink = lane.client_properties("trust.pkcs12");
    let source = format!(
        "type = {}\nbind = 127.0.0.1\nport = {port}\nchannels = c{place}\n{source}",
        lane.kind
    );
    let sink = format!(
        "type = {}\nhostname = 127.0.0.1\nport = {back}\nchannel = c{place}\n{sink}",
        lane.kind
    );
    let channel = "type = memory\ncapacity = 10000\ntransactionCapacity = 1000\nkeep-alive = 10";
    for (prefix, text) in [
        (format!("a1.sources.r{place}"), source.as_str()),
        (format!("a1.channels.c{place}"), channel),
        (format!("a1.sinks.k{place}"), sink.as_str()),
    ] {
        for line in text.lines().filter(|line| !line.is_empty()) {
            writeln!(out, "{prefix}.{line}")?;
        }
    }
    Ok(())
}

/// Sends events through the Java agent; how many came back otherwise. They come back while more are sent: Java's sink
/// pauses for seconds whenever its channel is empty.
async fn travel(lane: &Lane, port: u16, source: &RunningSource, count: usize) -> Result<usize> {
    let mut client = lane.client(port)?;
    let send = async {
        warm_up(&mut client).await?;
        let mut mill = EventMill::new(count as u64);
        let mut left = count;
        while left > 0 {
            let portion = mill.events(PORTION.min(left));
            client.append_batch(&portion).await?;
            left -= portion.len();
        }
        client.append(&mill.events(1)[0]).await?;
        Ok::<_, anyhow::Error>(())
    };
    let receive = async {
        let mut mill = EventMill::new(count as u64);
        let mut wrong = 0;
        let mut left = count + 1;
        while left > 0 {
            let expected = mill.events(PORTION.min(left));
            let back = take(source, expected.len()).await?;
            wrong += expected.iter().zip(&back).filter(|(a, b)| a != b).count();
            left -= expected.len();
        }
        Ok(wrong)
    };
    let (_, wrong) = tokio::try_join!(send, receive)?;
    Ok(wrong)
}

/// Waits until the source takes an event. Netty closes a connection whose TLS handshake takes more than 10 s, and on a busy
/// machine a JVM that has just started needs longer for its first.
async fn warm_up(client: &mut FlumeClient) -> Result<()> {
    let began = Instant::now();
    let event = Event {
        body: WARM_UP_BODY.into(),
        ..Event::default()
    };
    while let Err(error) = client.append(&event).await {
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

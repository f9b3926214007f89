//! Events per second over RPC beside Java Flume: sources with 1, 10 and 100 clients, and two hops with file channels.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use flume_client::{Event, FlumeClient, PeerSettings, ThriftProtocol};
use tokio::task::JoinSet;

use super::parts;
use crate::{
    agents::{Maker, Running, install_java},
    report::Report,
};

const WARM_UP: Duration = Duration::from_secs(2);
const BODY_BYTES: usize = 500;
const CLIENTS: [usize; 3] = [1, 10, 100];
const BATCHES: [usize; 3] = [1, 100, 1000];

/// What was measured.
struct Measured {
    events_per_second: f64,
    cpu_seconds_per_million: f64,
    peak_mib: f64,
    p50: Duration,
    p99: Duration,
}

/// All rows, each so long for each of both.
pub fn show(report: &mut Report, duration: Duration) -> Result<()> {
    install_java()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    for kind in ["avro", "thrift"] {
        for clients in CLIENTS {
            for batch in BATCHES {
                let name = format!("{kind}, {clients} clients, batch {batch}");
                let channel = parts::memory_channel(100_000, 1000);
                let flow = flow(kind, &channel, parts::NULL_SINK);
                compare(report, &name, |maker| {
                    let mut agents = [Running::start(maker, &flow)?];
                    runtime.block_on(measure(&mut agents, kind, clients, batch, duration))
                })?;
            }
        }
    }
    compare(
        report,
        "two hops, file channels, 10 clients, batch 100",
        |maker| {
            let tail = flow("avro", parts::FILE_CHANNEL, parts::NULL_SINK);
            let mut tail = Running::start(maker, &tail)?;
            tail.wait_for_port()?;
            let sink = parts::avro_sink("k1", tail.port, "");
            let head = Running::start(maker, &flow("avro", parts::FILE_CHANNEL, &sink))?;
            runtime.block_on(measure(&mut [head, tail], "avro", 10, 100, duration))
        },
    )
}

fn flow(kind: &str, channel: &str, sink: &str) -> String {
    let source = parts::source(kind);
    [&parts::names(&["k1"]), &source, channel, sink].concat()
}

fn compare(report: &mut Report, name: &str, run: impl Fn(Maker) -> Result<Measured>) -> Result<()> {
    let ours = run(Maker::Ours)?;
    let java = run(Maker::Java)?;
    for (maker, measured) in [("ours", &ours), ("java", &java)] {
        println!(
            "{name}: {maker} {:.0} events/s, {:.2} CPU s per million, {:.0} MiB, p50 {:.2} ms, p99 {:.2} ms",
            measured.events_per_second,
            measured.cpu_seconds_per_million,
            measured.peak_mib,
            measured.p50.as_secs_f64() * 1e3,
            measured.p99.as_secs_f64() * 1e3
        );
    }
    let item = format!("rpc-bench.{name}.rate");
    report.at_least(&item, ours.events_per_second / java.events_per_second, 1.0);
    Ok(())
}

/// Loads the first agent; the rate is what the last one delivers.
async fn measure(
    agents: &mut [Running],
    kind: &str,
    clients: usize,
    batch: usize,
    duration: Duration,
) -> Result<Measured> {
    let first = agents.first_mut().context("an agent")?;
    first.wait_for_port()?;
    let port = first.port;
    let stop = Arc::new(AtomicBool::new(false));
    let mut load = JoinSet::new();
    for _ in 0..clients {
        let peer = match kind {
            "avro" => PeerSettings::avro("127.0.0.1", port),
            _ => PeerSettings::thrift("127.0.0.1", port, ThriftProtocol::Compact),
        };
        load.spawn(send(peer, batch, stop.clone()));
    }
    tokio::time::sleep(WARM_UP).await;
    let before = delivered(agents)?;
    let cpu_before = cpu(agents)?;
    let begun = Instant::now();
    tokio::time::sleep(duration).await;
    let events = delivered(agents)? - before;
    let seconds = begun.elapsed().as_secs_f64();
    let cpu_seconds = cpu(agents)? - cpu_before;
    stop.store(true, Relaxed);
    let mut times = vec![];
    while let Some(sent) = load.join_next().await {
        times.extend(sent??);
    }
    times.sort();
    let quantile = |part: f64| times.get((times.len() as f64 * part) as usize).copied();
    let mut peak_mib = 0.0;
    for agent in agents.iter() {
        peak_mib += agent.usage()?.peak_mib;
    }
    Ok(Measured {
        events_per_second: events as f64 / seconds,
        cpu_seconds_per_million: cpu_seconds / (events.max(1) as f64 / 1e6),
        peak_mib,
        p50: quantile(0.5).unwrap_or_default(),
        p99: quantile(0.99).unwrap_or_default(),
    })
}

fn delivered(agents: &mut [Running]) -> Result<u64> {
    let last = agents.last_mut().context("an agent")?;
    last.metric("CHANNEL.c1", "EventTakeSuccessCount")
}

fn cpu(agents: &[Running]) -> Result<f64> {
    agents.iter().map(|agent| Ok(agent.usage()?.cpu)).sum()
}

/// How long each batch took. A batch that is refused, because the channel has no room, is sent again.
async fn send(
    mut peer: PeerSettings,
    batch: usize,
    stop: Arc<AtomicBool>,
) -> Result<Vec<Duration>> {
    peer.batch_size = batch.try_into()?;
    let mut client = FlumeClient::peer(peer);
    let events = vec![Event::from(vec![b'x'; BODY_BYTES]); batch];
    let mut times = vec![];
    while !stop.load(Relaxed) {
        let begun = Instant::now();
        if client.append_batch(&events).await.is_ok() {
            times.push(begun.elapsed());
        } else {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    Ok(times)
}

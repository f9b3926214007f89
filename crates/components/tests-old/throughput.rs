//! Events per second on the way stress → `Outlet` → memory → `SinkRunner` → null, assembled from
//! the tables as an agent would: `cargo run --release --example throughput [seconds per run]`.

#[path = "../tests/common/mod.rs"]
mod common;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use common::{build, props};
use flume_core::{
    Channel, Config, Context, Event, Outlet, RunnerConfig, Single, SinkRunner, Source, SourceContext,
    SourceError, Stop, Wiring, metrics::Counter, run_sinks,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const RUNS: usize = 5;

#[expect(clippy::print_stdout, reason = "its output")]
fn main() {
    let seconds = std::env::args().nth(1).and_then(|arg| arg.parse().ok()).unwrap_or(1.0);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("runtime");
    for batch in [100, 1000] {
        for body in ["shared", "fresh"] {
            let rates: Vec<_> =
                (0..RUNS).map(|_| runtime.block_on(measure(batch, body, seconds)) / 1e6).collect();
            let best = rates.iter().copied().fold(0.0, f64::max);
            println!("batch {batch:4}, {body:6} body: best {best:5.1} of {rates:5.1?} M events/s");
        }
    }
}

async fn measure(batch: usize, body: &str, seconds: f64) -> f64 {
    let batch_size = format!("batchSize = {batch}");
    let capacity = "capacity = 100000\ntransactionCapacity = 10000";
    let channel: Arc<dyn Channel> =
        build::<dyn Channel>("memory", capacity, &Context::new("a1.channels.c1", &[])).into();
    let cx = Context::new("a1.sources.r1", &["c1"]);
    let mut source: Box<dyn Source> = match body {
        "fresh" => Box::new(Fresh(batch)),
        _ => build("stress", &batch_size, &cx),
    };
    let selector = build("replicating", "", &cx);
    let out = Outlet::new(Wiring {
        interceptors: vec![],
        selector,
        channels: vec![channel.clone()],
        lost_optional: Counter::default(),
    });
    let (switch, stop) = Stop::new();
    let source_cx = SourceContext::new(out, stop.clone(), cx.state.clone(), 64 << 20);
    let source = tokio::spawn(async move { source.run(&source_cx).await });

    let cx = Context::new("a1.sinks.k1", &["c1"]);
    let sink = build("null", &batch_size, &cx);
    let delivered = cx.metrics.counter("events.delivered");
    let runtime = tokio::runtime::Handle::current();
    let sinks = std::thread::spawn(move || {
        let config = RunnerConfig::parse(&mut props("a1.sinks.k1", "")).expect("all defaults");
        let mut runner = [SinkRunner::new(sink, channel, None, config, &cx, stop.clone())];
        runtime.block_on(run_sinks(&mut Single, &mut runner, &stop));
    });

    tokio::time::sleep(Duration::from_millis(300)).await;
    let (before, start) = (delivered.get(), Instant::now());
    tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
    let rate = (delivered.get() - before) as f64 / start.elapsed().as_secs_f64();
    switch.send_replace(true);
    source.await.expect("no panic").expect("no error");
    tokio::task::spawn_blocking(|| sinks.join()).await.expect("no panic").expect("no panic");
    rate
}

/// What a network source does: every body is new.
struct Fresh(usize);

#[async_trait]
impl Source for Fresh {
    async fn run(&mut self, cx: &SourceContext) -> Result<(), SourceError> {
        let line = [b'x'; 500];
        while !cx.stop.is_requested() {
            let batch = (0..self.0).map(|_| Event::from(line.to_vec())).collect();
            cx.out.put(batch).await.map_err(SourceError::at("put events"))?;
        }
        Ok(())
    }
}

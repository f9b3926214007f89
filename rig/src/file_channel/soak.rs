//! At full rate for a while, with a sink that stands still now and then until the channel is full: nothing lost, memory
//! and latency flat.

use std::{
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use flume_core::{Channel, Event, Want};
use parking_lot::Mutex;

use super::store::{Store, produce};
use crate::{agents::resident_mib, report::Report};

const CAPACITY: usize = 200_000;
const BATCH: usize = 100;
const PRODUCERS: usize = 4;
/// Memory and latency are looked at so often.
const PERIOD: Duration = Duration::from_millis(500);
/// Between two times that the sink stands still.
const FLOWING: Duration = Duration::from_millis(1500);

/// What was seen in a period.
struct Sample {
    resident_mib: f64,
    /// Of puts that found room at once; microseconds.
    p99: f64,
    full: bool,
}

/// Runs and judges.
pub fn run(report: &mut Report, dir: &Path, duration: Duration) -> Result<()> {
    let dir = tempfile::tempdir_in(dir)?;
    let properties = format!("capacity = {CAPACITY}\ntransactionCapacity = 10000\nkeep-alive = 1");
    let store = Store::open(dir.path(), &properties)?;
    let until = Instant::now() + duration;
    let latencies = Arc::new(Mutex::new(vec![]));
    let producers: Vec<_> = (0..PRODUCERS)
        .map(|_| {
            let batch = vec![Event::from(vec![b'x'; 500]); BATCH];
            let latencies = latencies.clone();
            let took = move |took: Duration| latencies.lock().push(took);
            store
                .runtime
                .spawn(produce(store.channel.clone(), batch, until, took))
        })
        .collect();
    let channel = store.channel.clone();
    let runtime = store.runtime.handle().clone();
    let consumer = thread::spawn(move || runtime.block_on(consume_with_pauses(&channel, until)));
    let mut samples = vec![];
    while Instant::now() < until {
        thread::sleep(PERIOD);
        let full = is_full(&*store.channel);
        let p99 = percentile(std::mem::take(&mut *latencies.lock()), 99);
        samples.push(Sample {
            resident_mib: resident_mib(std::process::id())?,
            p99,
            full,
        });
    }
    let mut put = 0;
    for producer in producers {
        put += store.runtime.block_on(producer)??;
    }
    let taken = consumer
        .join()
        .map_err(|_| anyhow::anyhow!("the consumer panicked"))??;
    store.close()?;
    judge(report, put, taken, &samples, duration)
}

fn judge(
    report: &mut Report,
    put: usize,
    taken: usize,
    samples: &[Sample],
    duration: Duration,
) -> Result<()> {
    println!(
        "file channel, soak: {:.0} events/s over {duration:?}",
        put as f64 / duration.as_secs_f64()
    );
    report.row(
        "file channel, soak: events lost",
        put.abs_diff(taken),
        "0",
        put == taken,
    );
    let times_full = samples
        .windows(2)
        .filter(|pair| !pair[0].full && pair[1].full)
        .count();
    let times_freed = samples
        .windows(2)
        .filter(|pair| pair[0].full && !pair[1].full)
        .count();
    let text = format!("{times_full} and {times_freed}");
    report.row(
        "file channel, soak: full, and freed again",
        text,
        "> 0",
        times_full > 0 && times_freed > 0,
    );
    let (first, second) = samples.split_at(samples.len() / 2);
    let most = |samples: &[Sample]| {
        samples
            .iter()
            .map(|sample| sample.resident_mib)
            .fold(0.0, f64::max)
    };
    let before = most(first);
    let after = most(second);
    println!("file channel, soak: {before:.0} MiB, then {after:.0} MiB");
    // What is cached fills up at first.
    report.at_most(
        "file channel, soak: MiB more in the second half",
        after - before,
        16f64.max(before / 5.0),
    );
    let flowing = |samples: &[Sample]| {
        let mut flowing: Vec<_> = samples
            .iter()
            .filter(|sample| !sample.full && sample.p99 > 0.0)
            .map(|sample| sample.p99)
            .collect();
        flowing.sort_by(f64::total_cmp);
        flowing
            .get(flowing.len() / 2)
            .copied()
            .context("the channel was full all the time")
    };
    let before = flowing(first)?;
    let after = flowing(second)?;
    println!(
        "file channel, soak: p99 of a put {before:.0} µs, then {after:.0} µs (medians of periods)"
    );
    Ok(())
}

/// Takes and commits; now and then stands still until the channel is full, and a little longer. How many events.
async fn consume_with_pauses(channel: &Arc<dyn Channel>, until: Instant) -> Result<usize> {
    let mut events = 0;
    let mut pause = Instant::now() + FLOWING;
    loop {
        if Instant::now() > pause {
            while !is_full(&**channel) && Instant::now() < until {
                tokio::time::sleep(PERIOD / 10).await;
            }
            tokio::time::sleep(PERIOD).await;
            pause = Instant::now() + FLOWING;
        }
        let take = channel.take(Want::events(BATCH), PERIOD / 2).await?;
        if take.events().is_empty() && Instant::now() > until + 2 * PERIOD {
            return Ok(events);
        }
        events += take.events().len();
        take.commit().await?;
    }
}

/// Whether puts wait for room, or soon will.
fn is_full(channel: &dyn Channel) -> bool {
    channel.stats().events + 2 * PRODUCERS * BATCH >= CAPACITY
}

/// In microseconds.
fn percentile(mut durations: Vec<Duration>, percent: usize) -> f64 {
    durations.sort();
    let at = durations.len() * percent / 100;
    durations
        .get(at)
        .map_or(0.0, |duration| duration.as_secs_f64() * 1e6)
}

//! The channel beside what its disk can do. Disks vary by a factor of ten within an hour, so only ratios count: slices
//! of 300 ms of the channel alternate with slices of bare `pwrite` and `fdatasync` of the same batches over blocks
//! that are written already. Both begin on a disk that rests, and take turns at going first. A few pairs say little:
//! the quartiles of their ratios show how much.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::Path,
    sync::{Arc, OnceLock},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use flume_core::Event;

use super::store::{Store, consume, produce};

const SLICE: Duration = Duration::from_millis(300);
/// An ack waits no longer for a put to go with.
const SETTLE: Duration = Duration::from_millis(150);
/// The channel makes segments ahead no longer than this.
const MOST_SETTLE: Duration = Duration::from_secs(10);
const EVENT_BYTES: usize = 500;
const BLOCK: usize = 4096;
const FILE_BYTES: usize = 64 << 20;

/// What is measured.
struct Case {
    name: &'static str,
    producers: usize,
    batch: usize,
    /// The least share of the ceiling of one writer.
    want: f64,
}

const CASES: &[Case] = &[
    Case {
        name: "1 producer, batch 100",
        producers: 1,
        batch: 100,
        want: 0.70,
    },
    Case {
        name: "1 producer, batch 1000",
        producers: 1,
        batch: 1000,
        want: 0.60,
    },
    Case {
        name: "8 producers, batch 100",
        producers: 8,
        batch: 100,
        want: 2.2,
    },
];

/// Medians over the pairs of slices.
pub struct Row {
    pub name: &'static str,
    /// Events per second through the channel, takes and their acks included.
    ours: f64,
    /// Events per second onto the bare disk.
    ceiling: f64,
    /// The median of the pairs' ratios.
    pub ratio: f64,
    /// Their quartiles.
    spread: [f64; 2],
    pub want: f64,
    /// CPU seconds of this process per million events.
    cpu: f64,
}

/// Measures and prints all cases.
pub fn table(dir: &Path, pairs: usize) -> Result<Vec<Row>> {
    println!(
        "{:34}{:>12}{:>12}{:>8}{:>14}{:>8}{:>10}",
        "file channel, takes included",
        "events/s",
        "ceiling",
        "ratio",
        "quartiles",
        "want",
        "CPU s/M"
    );
    let mut rows = vec![];
    for case in CASES {
        let row = measure(case, dir, pairs)?;
        let Row {
            name,
            ours,
            ceiling,
            ratio,
            spread: [low, high],
            want,
            cpu,
        } = &row;
        let spread = format!("{low:.2}-{high:.2}");
        println!("{name:34}{ours:12.0}{ceiling:12.0}{ratio:8.2}{spread:>14}{want:8.2}{cpu:10.2}");
        rows.push(row);
    }
    Ok(rows)
}

fn measure(case: &Case, dir: &Path, pairs: usize) -> Result<Row> {
    let dir = tempfile::tempdir_in(dir)?;
    let store = Store::open(
        dir.path(),
        "capacity = 1000000\ntransactionCapacity = 10000",
    )?;
    let mut disk = Bare::new(dir.path(), case.batch)?;
    let mut ours = vec![];
    let mut ceiling = vec![];
    let mut ratios = vec![];
    let mut cpu = 0.0;
    let mut total = 0.0;
    // The first pairs fill the pool of segments and are not counted.
    for pair in 0..pairs + 2 {
        let mut channel = 0.0;
        let mut bare = 0.0;
        for turn in 0..2 {
            settle()?;
            if turn == pair % 2 {
                let before = cpu_seconds()?;
                let events;
                (events, channel) = through(&store, case)?;
                if pair >= 2 {
                    (cpu, total) = (cpu + cpu_seconds()? - before, total + events);
                }
            } else {
                bare = disk.slice()? * case.batch as f64;
            }
        }
        if pair >= 2 {
            ratios.push(channel / bare);
            ours.push(channel);
            ceiling.push(bare);
        }
    }
    store.close()?;
    let spread = [0.25, 0.75].map(|share| quantile(&mut ratios, share));
    let [ours, ceiling, ratio] = [ours, ceiling, ratios].map(|mut all| quantile(&mut all, 0.5));
    Ok(Row {
        name: case.name,
        ours,
        ceiling,
        ratio,
        spread,
        want: case.want,
        cpu: cpu / total * 1e6,
    })
}

/// One slice: events, and events per second until the last was taken.
fn through(store: &Store, case: &Case) -> Result<(f64, f64)> {
    let batch = vec![Event::from(vec![b'x'; EVENT_BYTES]); case.batch];
    let began = Instant::now();
    let producers: Vec<_> = (0..case.producers)
        .map(|_| {
            store.runtime.spawn(produce(
                store.channel.clone(),
                batch.clone(),
                began + SLICE,
                |_| (),
            ))
        })
        .collect();
    // On a thread of its own, as a sink.
    let channel = store.channel.clone();
    let runtime = store.runtime.handle().clone();
    let most = case.batch;
    let all = Arc::new(OnceLock::new());
    let known = all.clone();
    let consumer = thread::spawn(move || runtime.block_on(consume(&channel, most, &known)));
    let mut put = 0;
    for producer in producers {
        put += store.runtime.block_on(producer)??;
    }
    all.get_or_init(|| put);
    let (taken, last) = consumer
        .join()
        .map_err(|_| anyhow::anyhow!("the consumer panicked"))??;
    ensure!(put == taken, "{put} events were put and {taken} taken");
    Ok((taken as f64, taken as f64 / (last - began).as_secs_f64()))
}

/// Waits until this process writes nothing more, so that the disk is left to the other.
fn settle() -> Result<()> {
    let began = Instant::now();
    let mut before = written()?;
    loop {
        thread::sleep(SETTLE);
        let now = written()?;
        if now == before || began.elapsed() > MOST_SETTLE {
            return Ok(());
        }
        before = now;
    }
}

/// Bytes that this process has sent to disks.
fn written() -> Result<u64> {
    let io = fs::read_to_string("/proc/self/io")?;
    let line = io
        .lines()
        .find_map(|line| line.strip_prefix("write_bytes: "));
    Ok(line.unwrap_or_default().parse()?)
}

/// A file that is written in a circle.
struct Bare {
    file: File,
    group: Vec<u8>,
    at: usize,
}

impl Bare {
    fn new(dir: &Path, batch: usize) -> Result<Bare> {
        let file = fs::File::options()
            .create_new(true)
            .write(true)
            .open(dir.join("bare"))?;
        for at in (0..FILE_BYTES).step_by(1 << 20) {
            file.write_all_at(&[0; 1 << 20], at as u64)?;
        }
        file.sync_all()?;
        let group = vec![b'x'; (batch * EVENT_BYTES).next_multiple_of(BLOCK)];
        Ok(Bare { file, group, at: 0 })
    }

    /// Groups per second over a slice.
    fn slice(&mut self) -> Result<f64> {
        let began = Instant::now();
        let mut groups = 0;
        while began.elapsed() < SLICE {
            if self.at + self.group.len() > FILE_BYTES {
                self.at = 0;
            }
            self.file.write_all_at(&self.group, self.at as u64)?;
            self.file.sync_data()?;
            self.at += self.group.len();
            groups += 1;
        }
        Ok(f64::from(groups) / began.elapsed().as_secs_f64())
    }
}

/// CPU seconds of this process, user and system.
fn cpu_seconds() -> Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ');
    // Fields 14 and 15 of the whole line, in ticks of a hundredth of a second.
    let ticks = fields
        .skip(11)
        .take(2)
        .map(str::parse::<u64>)
        .sum::<Result<u64, _>>()?;
    Ok(ticks as f64 / 100.0)
}

fn quantile(numbers: &mut [f64], share: f64) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers
        .get((numbers.len() as f64 * share) as usize)
        .copied()
        .unwrap_or(f64::NAN)
}

//! Measures the channel beside the disk under it, in slices that alternate: `measure DIRECTORY BATCH PRODUCERS PAIRS`.
//! The ceiling is one `pwrite` of a padded group and one `fdatasync`, over blocks that were written before.

use std::{
    fs::File,
    os::unix::fs::FileExt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use flume_core::{Channel, Component, Context, Event, Want, config::Config, props::Props};
use flume_file_channel::file::{FileChannel, FileConfig};

const SLICE: Duration = Duration::from_millis(300);
const BODY: usize = 500;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [directory, batch, producers, pairs] = &words[..] else {
        eprintln!("usage: measure DIRECTORY BATCH PRODUCERS PAIRS");
        return;
    };
    let (batch, producers) = (batch.parse().expect("a number"), producers.parse().expect("a number"));
    let pairs: usize = pairs.parse().expect("a number");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads");
    let channel: Arc<dyn Channel> = Arc::new(channel(directory));
    runtime.block_on(channel.open()).expect("an open channel");
    let ceiling = Ceiling::new(Path::new(directory), batch);
    let (mut ratios, mut rates, mut ceilings, mut cpu, mut disk_cpu) =
        (vec![], vec![], vec![], vec![], vec![]);
    for pair in 0..pairs + 3 {
        let start = cpu_seconds();
        let (disk, before) = (ceiling.slice(), cpu_seconds());
        let ours = slice(&runtime, &channel, batch, producers);
        let spent = cpu_seconds() - before;
        // The first ones warm up: segments are made then.
        if pair >= 3 {
            ratios.push(ours / disk);
            rates.push(ours);
            ceilings.push(disk);
            disk_cpu.push((before - start) / (disk * SLICE.as_secs_f64()) * 1e6);
            cpu.push(spent / (ours * SLICE.as_secs_f64()) * 1e6);
        }
    }
    runtime.block_on(channel.close()).expect("closed");
    eprintln!(
        "batch {batch}, {producers} producers: {:.0} events/s, ceiling {:.0}, ratio {:.2}, {:.2} CPU s per million, of the ceiling {:.2}",
        median(rates),
        median(ceilings),
        median(ratios),
        median(cpu),
        median(disk_cpu)
    );
}

fn channel(directory: &str) -> FileChannel {
    let text = [
        ("checkpointDir", format!("{directory}/checkpoint")),
        ("dataDirs", format!("{directory}/data")),
        ("capacity", "10000000".into()),
    ];
    let setting = |text: String| flume_core::props::Setting { text, ..Default::default() };
    let settings = text.into_iter().map(|(key, text)| (key.to_string(), setting(text))).collect();
    let section = flume_core::props::Section { name: "c1".into(), settings, ..Default::default() };
    let registry = flume_core::Registry::default();
    let mut props = Props::new(&registry, section);
    let config = FileConfig::parse(&mut props).expect("a configuration");
    FileChannel::build(config, &Context::new("a1.channels.c1", &[])).expect("a channel")
}

/// Events per second that were put and taken in a slice.
fn slice(
    runtime: &tokio::runtime::Runtime,
    channel: &Arc<dyn Channel>,
    batch: usize,
    producers: usize,
) -> f64 {
    let (stop, put) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let began = Instant::now();
    let tasks: Vec<_> = (0..producers)
        .map(|_| {
            let (channel, stop, put) = (channel.clone(), stop.clone(), put.clone());
            runtime.spawn(async move {
                let body = bytes::Bytes::from(vec![b'x'; BODY]);
                while !stop.load(Relaxed) {
                    let events: Vec<Event> = (0..batch).map(|_| Event::from(body.clone())).collect();
                    channel.put(events).await.expect("a put");
                    put.fetch_add(batch as u64, Relaxed);
                }
            })
        })
        .collect();
    let (taker, done) = (channel.clone(), stop.clone());
    let sink = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            loop {
                let take = taker.take(Want::events(batch), Duration::from_millis(5)).await.expect("a take");
                if take.events().is_empty() && done.load(Relaxed) {
                    return;
                }
                take.commit().await.expect("a commit");
            }
        })
    });
    std::thread::sleep(SLICE);
    stop.store(true, Relaxed);
    runtime.block_on(async {
        for task in tasks {
            task.await.expect("no panic");
        }
    });
    sink.join().expect("no panic");
    put.load(Relaxed) as f64 / began.elapsed().as_secs_f64()
}

struct Ceiling {
    file: File,
    group: Vec<u8>,
    batch: usize,
}

impl Ceiling {
    const BYTES: u64 = 64 << 20;

    fn new(directory: &Path, batch: usize) -> Self {
        let path = directory.join("ceiling");
        let file =
            File::options().read(true).write(true).create(true).truncate(true).open(path).expect("a file");
        file.write_all_at(&vec![0; Self::BYTES as usize], 0).expect("written");
        file.sync_all().expect("synced");
        let group = vec![b'x'; (batch * (BODY + 3) + 208).next_multiple_of(4096)];
        Ceiling { file, group, batch }
    }

    fn slice(&self) -> f64 {
        let (began, mut at, mut groups) = (Instant::now(), 0, 0);
        while began.elapsed() < SLICE {
            if at + self.group.len() as u64 > Self::BYTES {
                at = 0;
            }
            self.file.write_all_at(&self.group, at).expect("written");
            self.file.sync_data().expect("synced");
            at += self.group.len() as u64;
            groups += 1;
        }
        (groups * self.batch) as f64 / began.elapsed().as_secs_f64()
    }
}

/// CPU time of this process.
fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or_default()
}

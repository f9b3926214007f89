//! A channel with much in it: `backlog DIRECTORY fill EVENTS` puts small events and is killed, as it were;
//! `backlog DIRECTORY open` says how long it takes until the channel accepts again, and how much memory.

use std::{sync::Arc, time::Instant};

use flume_core::{Channel, Component, Context, Event, Registry, Want, config::Config, props};
use flume_file_channel::file::{FileChannel, FileConfig};

const BATCH: usize = 10_000;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads");
    match words[..] {
        [directory, "fill", events] => runtime.block_on(fill(directory, events.parse().expect("a number"))),
        [directory, "open"] => runtime.block_on(open(directory)),
        _ => eprintln!("usage: backlog DIRECTORY fill EVENTS | backlog DIRECTORY open"),
    }
}

async fn fill(directory: &str, events: usize) {
    let channel: Arc<dyn Channel> = Arc::new(channel(directory));
    channel.open().await.expect("an open channel");
    let began = Instant::now();
    for first in (0..events).step_by(BATCH) {
        let count = BATCH.min(events - first);
        let batch = (first..first + count).map(|number| Event::from(format!("event {number:032}"))).collect();
        channel.put(batch).await.expect("a put");
    }
    eprintln!("{events} events in {:?}; {} MiB of memory", began.elapsed(), peak_mib());
    // No destructor runs, nothing is closed: as after kill -9.
    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).expect("the end");
}

async fn open(directory: &str) {
    let channel = channel(directory);
    let began = Instant::now();
    channel.open().await.expect("an open channel");
    channel.put(vec![Event::from("one more")]).await.expect("a put");
    let accepted = began.elapsed();
    let take = channel.take(Want::events(100), std::time::Duration::from_secs(10)).await.expect("a take");
    eprintln!(
        "{} events: accepts after {accepted:?}, delivers {} after {:?}; {} MiB of memory",
        channel.stats().events,
        take.events().len(),
        began.elapsed(),
        peak_mib()
    );
}

fn channel(directory: &str) -> FileChannel {
    let text = [
        ("checkpointDir", format!("{directory}/checkpoint")),
        ("dataDirs", format!("{directory}/data")),
        ("capacity", "200000000".into()),
    ];
    let setting = |text: String| props::Setting { text, ..Default::default() };
    let settings = text.into_iter().map(|(key, text)| (key.to_string(), setting(text))).collect();
    let section = props::Section { name: "c1".into(), settings, ..Default::default() };
    let registry = Registry::default();
    let mut props = props::Props::new(&registry, section);
    let config = FileConfig::parse(&mut props).expect("a configuration");
    FileChannel::build(config, &Context::new("a1.channels.c1", &[])).expect("a channel")
}

/// The most memory this process had, from the kernel.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) / 1024
}

//! How long a channel with millions of queued events takes to accept again after its process was killed.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use flume_core::Event;

use super::store::Store;
use crate::agents::{Maker, Running, configuration};

/// Events of a batch.
const BATCH: usize = 10_000;
const LOADED: &str = "loaded";
/// A sink that throws events away takes millions in a second.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(300);

/// What was seen.
pub struct Opened {
    /// Events that were acknowledged before the kill.
    pub queued: u64,
    /// Of these, what the channel gave out again.
    pub held: u64,
    /// From exec of the agent to the acknowledgement of a new event.
    pub accepting: Duration,
    /// Greatest resident memory until then, while a sink drains.
    pub resident_mib: f64,
}

/// Fills a store from another process, kills that, and starts an agent on it.
pub fn after_kill(dir: &Path, events: u64) -> Result<Opened> {
    let dir = tempfile::tempdir_in(dir)?;
    let mut loader = Command::new(std::env::current_exe()?)
        .args([
            "load",
            &dir.path().display().to_string(),
            &events.to_string(),
        ])
        .stdout(Stdio::piped())
        .spawn()?;
    let began = Instant::now();
    let said = loader
        .stdout
        .take()
        .map(BufReader::new)
        .and_then(|lines| lines.lines().next());
    let loaded = matches!(&said, Some(Ok(line)) if line == LOADED);
    // SIGKILL, whatever happened.
    loader.kill()?;
    loader.wait()?;
    ensure!(loaded, "the loader ended early: {said:?}");
    println!(
        "{events} events of 10 bytes queued in {:.1} s",
        began.elapsed().as_secs_f64()
    );
    let text = configuration("file_channel_open.conf")?
        .replace("@STORE@", &dir.path().display().to_string());
    let mut agent = Running::start(Maker::Ours, &text)?;
    agent.wait_for_port()?;
    let mut client = TcpStream::connect(("127.0.0.1", agent.port))?;
    client.write_all(b"one more\n")?;
    let mut answer = String::new();
    BufReader::new(client).read_line(&mut answer)?;
    let accepting = agent.age();
    ensure!(
        answer == "OK\n",
        "the agent answered `{answer}`:\n{}",
        agent.log()
    );
    let resident_mib = agent.usage()?.peak_mib;
    // Size and takes are two numbers that are read one after the other, and between them is what a take has in its
    // hands. Only of an empty channel is it certain what it gave out: the queued events, and the new one.
    let begun = Instant::now();
    while agent.metric("CHANNEL.c1", "ChannelSize")? > 0 {
        ensure!(
            begun.elapsed() < DRAIN_TIMEOUT,
            "the channel does not become empty"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut taken = agent.metric("CHANNEL.c1", "EventTakeSuccessCount")?;
    // The last take is committed a moment after it emptied the channel.
    while taken <= events && begun.elapsed() < DRAIN_TIMEOUT {
        std::thread::sleep(Duration::from_millis(20));
        taken = agent.metric("CHANNEL.c1", "EventTakeSuccessCount")?;
    }
    Ok(Opened {
        queued: events,
        held: taken.saturating_sub(1),
        accepting,
        resident_mib,
    })
}

/// Puts so many small events, says so, and waits to be killed.
pub fn load(dir: &str, events: &str) -> Result<()> {
    let events: usize = events.parse().context("a number of events was expected")?;
    let store = Store::open(
        Path::new(dir),
        &format!(
            "capacity = {}\ntransactionCapacity = {BATCH}",
            2 * events.max(BATCH)
        ),
    )?;
    let producers = 4;
    let channel = store.channel.clone();
    let tasks: Vec<_> = (0..producers)
        .map(|_| {
            let channel = channel.clone();
            let batch = vec![Event::from("10 bytes .".to_string()); BATCH];
            store.runtime.spawn(async move {
                for _ in 0..events / BATCH / producers {
                    channel.put(batch.clone()).await?;
                }
                anyhow::Ok(())
            })
        })
        .collect();
    for task in tasks {
        store.runtime.block_on(task)??;
    }
    ensure!(fs::exists(dir)?);
    println!("{LOADED}");
    loop {
        std::thread::park();
    }
}

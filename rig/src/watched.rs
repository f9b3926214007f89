//! What it costs to look at a flow at full rate: pages, `top` and taps, and those who only pretend to look.

use std::{
    io::{Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::Result;

use crate::{
    agents::{Maker, Running, configuration, program},
    bench::median,
    report::Report,
};

/// Turns with and without those who look.
const ROUNDS: usize = 8;
/// How long each is measured.
const MEASURED: Duration = Duration::from_secs(4);
/// Until those who look have begun, and until those who have left are forgotten.
const SETTLE: Duration = Duration::from_secs(1);
/// Batches of this size make the most of the price of a batch.
const BATCH: &str = "100";
/// Clients that ask for the page's stream and never read.
const BESETTERS: usize = 1000;

/// What one turn brought.
#[derive(Clone, Copy)]
struct Turn {
    /// Events per second.
    rate: f64,
    /// Events per second of processor time. Depends less on what else runs.
    per_cpu: f64,
}

/// The price of each kind of looking, of all at once, and of abuse.
pub fn show(report: &mut Report) -> Result<()> {
    let flow = configuration("memory.conf")?.replace("@BATCH@", BATCH);
    let mut agent = Running::start(Maker::Ours, &flow)?;
    std::thread::sleep(Duration::from_secs(5));
    // Twice the same: what differs here is noise.
    compare(report, &mut agent, "nobody", |_| Ok(vec![]))?;
    compare(report, &mut agent, "three taps", taps)?;
    compare(report, &mut agent, "three pages and top", |agent| {
        let mut watchers = pages(agent)?;
        watchers.push(top(agent)?);
        Ok(watchers)
    })?;
    compare(
        report,
        &mut agent,
        "three pages, top, three taps",
        |agent| {
            let mut watchers = pages(agent)?;
            watchers.push(top(agent)?);
            watchers.extend(taps(agent)?);
            Ok(watchers)
        },
    )?;
    compare(
        report,
        &mut agent,
        "eight taps that nobody reads",
        |agent| (0..8).map(|_| unread_tap(agent)).collect(),
    )?;
    besieged(report, &mut agent)
}

/// Somebody who looks, until dropped.
enum Watcher {
    Process(Child),
    Reader(Arc<AtomicBool>, Option<JoinHandle<()>>),
    /// An open connection that is never read.
    Silent(#[expect(dead_code, reason = "held open")] UnixStream),
}

impl Drop for Watcher {
    fn drop(&mut self) {
        match self {
            Watcher::Process(child) => {
                let _ = child.kill();
                let _ = child.wait();
            }
            Watcher::Reader(ended, thread) => {
                ended.store(true, Relaxed);
                thread.take().map(JoinHandle::join);
            }
            Watcher::Silent(_) => {}
        }
    }
}

/// Measures in turn with and without them, in an order that changes, and judges the median of the ratios.
fn compare(
    report: &mut Report,
    agent: &mut Running,
    who: &str,
    watch: impl Fn(&Running) -> Result<Vec<Watcher>>,
) -> Result<()> {
    let mut rates = vec![];
    let mut per_cpu = vec![];
    for round in 0..ROUNDS {
        let first_alone = round % 2 == 0;
        let before = if first_alone {
            Some(turn(agent)?)
        } else {
            None
        };
        let watchers = watch(agent)?;
        std::thread::sleep(SETTLE);
        let watched = turn(agent)?;
        drop(watchers);
        std::thread::sleep(SETTLE);
        let alone = match before {
            Some(before) => before,
            None => turn(agent)?,
        };
        rates.push(watched.rate / alone.rate);
        per_cpu.push(watched.per_cpu / alone.per_cpu);
    }
    println!("{who}: ratios of the rates {rates:.3?}");
    println!("{who}: ratios of events per processor second {per_cpu:.3?}");
    let item = format!("{who}: rate with / without");
    report.at_least(&item, median(rates), 0.98);
    let item = format!("{who}: events per CPU second, likewise");
    report.at_least(&item, median(per_cpu), 0.98);
    Ok(())
}

fn turn(agent: &mut Running) -> Result<Turn> {
    let begun = Instant::now();
    let events = agent.metric("SINK.k1", "EventDrainSuccessCount")?;
    let cpu = agent.usage()?.cpu;
    std::thread::sleep(MEASURED);
    let events = (agent.metric("SINK.k1", "EventDrainSuccessCount")? - events) as f64;
    let cpu = agent.usage()?.cpu - cpu;
    Ok(Turn {
        rate: events / begun.elapsed().as_secs_f64(),
        per_cpu: events / cpu,
    })
}

fn taps(agent: &Running) -> Result<Vec<Watcher>> {
    let tap = |name: &&str| {
        let mut command = Command::new(program());
        command.args(["tap", name, "-n", "a1", "--state-dir", "state"]);
        process(agent, &mut command)
    };
    ["r1", "c1", "k1"].iter().map(tap).collect()
}

/// In a terminal of its own.
fn top(agent: &Running) -> Result<Watcher> {
    let command = format!("{} top -n a1 --state-dir state", program().display());
    process(
        agent,
        Command::new("script").args(["--quiet", "--command", &command, "/dev/null"]),
    )
}

fn process(agent: &Running, command: &mut Command) -> Result<Watcher> {
    let command = command.current_dir(agent.dir()).stdin(Stdio::null());
    let child = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    Ok(Watcher::Process(child))
}

fn pages(agent: &Running) -> Result<Vec<Watcher>> {
    (0..3).map(|_| page(agent)).collect()
}

/// A reader of the page's stream.
fn page(agent: &Running) -> Result<Watcher> {
    let mut stream = ask_for_stream(agent)?;
    stream.set_read_timeout(Some(SETTLE))?;
    let ended = Arc::new(AtomicBool::new(false));
    let seen = ended.clone();
    let thread = std::thread::spawn(move || {
        let mut part = [0; 65536];
        while !seen.load(Relaxed) && stream.read(&mut part).is_ok_and(|bytes| bytes > 0) {}
    });
    Ok(Watcher::Reader(ended, Some(thread)))
}

fn ask_for_stream(agent: &Running) -> Result<TcpStream> {
    let page = agent.page();
    let address = page.trim_start_matches("http://").trim_end_matches('/');
    let mut stream = TcpStream::connect(address)?;
    // A connection above the limit may be closed already.
    let _ = stream.write_all(b"GET /api/events HTTP/1.1\r\nHost: x\r\n\r\n");
    Ok(stream)
}

/// All that a tap may show, and no reader.
fn unread_tap(agent: &Running) -> Result<Watcher> {
    let mut stream = UnixStream::connect(agent.dir().join("state/a1/control.sock"))?;
    let request = r#"{"command":"tap","component":"k1","per_second":10000,"max_bytes":65536}"#;
    stream.write_all(format!("{request}\n").as_bytes())?;
    Ok(Watcher::Silent(stream))
}

/// A thousand clients that never read, beside the same flow without them; and how fast others are answered meanwhile.
fn besieged(report: &mut Report, agent: &mut Running) -> Result<()> {
    let mut ratios = vec![];
    let mut slowest = Duration::ZERO;
    let memory = agent.resident_mib()?;
    let mut most_memory = memory;
    for _ in 0..ROUNDS / 2 {
        let alone = turn(agent)?;
        let clients: Result<Vec<_>> = (0..BESETTERS).map(|_| ask_for_stream(agent)).collect();
        let clients = clients?;
        let begun = Instant::now();
        let beset = turn(agent)?;
        slowest = slowest.max(begun.elapsed().saturating_sub(MEASURED));
        most_memory = most_memory.max(agent.resident_mib()?);
        drop(clients);
        ratios.push(beset.rate / alone.rate);
        std::thread::sleep(SETTLE);
    }
    println!("1,000 clients that never read: ratios of the rates {ratios:.3?}");
    report.at_least("1,000 clients that never read: rate", median(ratios), 0.9);
    report.at_most(
        "seconds for two answers beside them",
        slowest.as_secs_f64(),
        5.0,
    );
    report.at_most("MiB that they cost", most_memory - memory, 32.0);
    Ok(())
}

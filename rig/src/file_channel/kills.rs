//! Processes that put and take, killed at any moment, and an oracle that has noted what they were told.
//!
//! A process prints what was acknowledged to it right after it was told, and what it was delivered right before it
//! commits that; what is in the pipe outlives it. Nothing that was printed as put may be lost; what was printed as
//! committed may come again only if no put that began later was acknowledged: an ack goes with the next group. All of
//! that holds when calls on the disk fail, too.

use std::{
    collections::{HashMap, HashSet},
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use flume_core::{Channel, Event, Want};

use super::{
    faults::{Environment, Faults},
    store::Store,
};

const PRODUCERS: usize = 3;
const CONSUMERS: usize = 2;
/// A process lives a little longer than the one before, up to so long after its channel is open.
const LONGEST_LIFE: Duration = Duration::from_millis(400);
/// The same with failing calls: after one that failed, the channel pauses for a second.
const LONGEST_FAILING_LIFE: Duration = Duration::from_millis(1600);
/// One write or sync of so many fails.
const FAULT_ONE_IN: u32 = 50;
/// An open that fails is tried so often, as the agent does.
const MOST_OPENS: usize = 100;
/// A producer that was refused waits so long.
const REFUSED_PAUSE: Duration = Duration::from_millis(2);

/// What was seen.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Events that were acknowledged.
    pub acknowledged: usize,
    /// Of these, never delivered.
    pub lost: usize,
    /// Deliveries of an event whose take had been committed before.
    pub repeated: usize,
    /// Such deliveries although a put that began after the commit had been acknowledged.
    pub undone: usize,
    /// The longest time between such a commit and the kill after it.
    pub oldest: Duration,
}

/// Kills so many processes on one store, in which calls on the disk may fail, then drains it.
pub fn run(
    dir: &Path,
    kills: usize,
    take_sync_millis: u64,
    faults: Option<&Faults>,
) -> Result<Outcome> {
    let dir = tempfile::tempdir_in(dir)?;
    let dir = dir.path().canonicalize()?;
    let at_random = |faults: &Faults| faults.at_random(&dir, FAULT_ONE_IN);
    let environment = faults.map(at_random).unwrap_or_default();
    let longest = faults.map_or(LONGEST_LIFE, |_| LONGEST_FAILING_LIFE);
    let mut oracle = Oracle::default();
    for round in 0..kills {
        let life = Life {
            round: round.to_string(),
            take_sync_millis,
            environment: environment.clone(),
            lasts: Some(longest * (round as u32 * 7 % 20 + 1) / 20),
        };
        oracle.live(&dir, &life)?;
    }
    let last = Life {
        round: DRAIN.into(),
        take_sync_millis,
        environment: vec![],
        lasts: None,
    };
    oracle.live(&dir, &last)?;
    Ok(oracle.judge())
}

/// One process.
struct Life {
    round: String,
    take_sync_millis: u64,
    environment: Environment,
    /// It is killed so long after its channel opened, or not at all.
    lasts: Option<Duration>,
}

const DRAIN: &str = "drain";

/// What processes said.
#[derive(Default)]
struct Oracle {
    acknowledged: Vec<String>,
    delivered: HashSet<String>,
    /// How long before the end of the process that committed it.
    committed: HashMap<String, Duration>,
    /// Committed before a put began that was acknowledged.
    settled: HashSet<String>,
    repeated: usize,
    undone: usize,
    oldest: Duration,
}

impl Oracle {
    /// One process, from its start to its end.
    fn live(&mut self, dir: &Path, life: &Life) -> Result<()> {
        let mut child = Command::new(std::env::current_exe()?)
            .args([
                "victim",
                &dir.display().to_string(),
                &life.round,
                &life.take_sync_millis.to_string(),
            ])
            .envs(life.environment.iter().map(|(name, value)| (name, value)))
            .stdout(Stdio::piped())
            .spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("no pipe")?).lines();
        let first = lines.next().transpose()?;
        ensure!(
            first.as_deref() == Some("open"),
            "the process said {first:?}"
        );
        let reader = thread::spawn(move || lines.map_while(Result::ok).collect::<Vec<String>>());
        if let Some(lasts) = life.lasts {
            thread::sleep(lasts);
            child.kill()?;
        }
        child.wait()?;
        let lines = reader
            .join()
            .map_err(|_| anyhow::anyhow!("the reader panicked"))?;
        self.note(&lines)
    }

    fn note(&mut self, lines: &[String]) -> Result<()> {
        let mut open = HashMap::new();
        let mut committed = vec![];
        let mut end = 0u64;
        // The last two puts of each producer: the last began after the line of the one before.
        let mut puts: HashMap<&str, (usize, usize)> = HashMap::new();
        // The last line may be torn.
        for (place, line) in lines
            .iter()
            .filter_map(|line| line.strip_suffix('.'))
            .enumerate()
        {
            let (what, rest) = line.split_once(' ').context("a line of one word")?;
            let (name, rest) = rest.split_once(' ').unwrap_or((rest, ""));
            match what {
                "put" => {
                    let (producer, first) = name.rsplit_once('-').context("no number")?;
                    let first: usize = first.parse()?;
                    let count: usize = rest.parse()?;
                    self.acknowledged
                        .extend((first..first + count).map(|it| format!("{producer}-{it}")));
                    let (_, last) = puts.get(producer).copied().unwrap_or_default();
                    puts.insert(producer, (last, place));
                }
                "delivered" => {
                    for event in rest.split(' ') {
                        self.deliver(event);
                    }
                    open.insert(name, rest);
                }
                "committed" => {
                    end = rest.parse()?;
                    committed.push((
                        place,
                        end,
                        open.remove(name).context("a commit of nothing")?,
                    ));
                }
                _ => bail!("a process said `{line}`"),
            }
        }
        let settled = puts
            .values()
            .map(|(before, _)| *before)
            .max()
            .unwrap_or_default();
        for (place, micros, events) in committed {
            if place < settled {
                self.settled.extend(events.split(' ').map(String::from));
            }
            let age = Duration::from_micros(end.saturating_sub(micros));
            self.committed
                .extend(events.split(' ').map(|event| (event.to_string(), age)));
        }
        Ok(())
    }

    fn deliver(&mut self, event: &str) {
        self.delivered.insert(event.into());
        if let Some(age) = self.committed.get(event) {
            self.repeated += 1;
            self.undone += usize::from(self.settled.contains(event));
            self.oldest = self.oldest.max(*age);
        }
    }

    fn judge(&self) -> Outcome {
        let lost = self
            .acknowledged
            .iter()
            .filter(|event| !self.delivered.contains(*event))
            .count();
        let acknowledged = self.acknowledged.len();
        let repeated = self.repeated;
        let undone = self.undone;
        let oldest = self.oldest;
        Outcome {
            acknowledged,
            lost,
            repeated,
            undone,
            oldest,
        }
    }
}

/// The process that is killed: puts and takes for ever, or takes until nothing is left.
pub fn victim(dir: &str, round: &str, take_sync: &str) -> Result<()> {
    let properties = format!(
        "capacity = 100000\ntransactionCapacity = 1000\nmaxFileSize = 1048576\ntakeSyncMillis = {take_sync}"
    );
    let store = open(Path::new(dir), &properties)?;
    say("open");
    let began = Instant::now();
    if round == DRAIN {
        store
            .runtime
            .block_on(take(store.channel.clone(), began, 0, true))?;
        return store.close();
    }
    for producer in 0..PRODUCERS {
        store
            .runtime
            .spawn(put(store.channel.clone(), format!("{round}-{producer}")));
    }
    let takers: Vec<_> = (0..CONSUMERS)
        .map(|taker| {
            store
                .runtime
                .spawn(take(store.channel.clone(), began, taker, false))
        })
        .collect();
    for taker in takers {
        store.runtime.block_on(taker)??;
    }
    Ok(())
}

fn open(dir: &Path, properties: &str) -> Result<Store> {
    let mut tries = 1;
    loop {
        match Store::open(dir, properties) {
            Err(_) if tries < MOST_OPENS => tries += 1,
            opened => return opened,
        }
    }
}

async fn put(channel: Arc<dyn Channel>, name: String) -> Result<()> {
    let mut next = 0;
    loop {
        let count = next % 37 + 1;
        let body = |number: usize| format!("{name}-{number} {}", "x".repeat(number * 31 % 300));
        let batch = (next..next + count)
            .map(|number| Event::from(body(number)))
            .collect();
        if channel.put(batch).await.is_ok() {
            say(&format!("put {name}-{next} {count}."));
        } else {
            tokio::time::sleep(REFUSED_PAUSE).await;
        }
        // The numbers of a refused batch are not used again: nobody knows whether it is there.
        next += count;
    }
}

async fn take(
    channel: Arc<dyn Channel>,
    began: Instant,
    taker: usize,
    to_the_end: bool,
) -> Result<()> {
    let wait = Duration::from_millis(if to_the_end { 2000 } else { 50 });
    for round in taker.. {
        let take = channel.take(Want::events(40), wait).await?;
        if take.events().is_empty() && to_the_end {
            break;
        }
        if take.events().is_empty() || (round % 5 == 0 && !to_the_end) {
            // Dropped: rolled back.
            continue;
        }
        let names: Vec<String> = take
            .events()
            .iter()
            .map(|event| name(&event.body))
            .collect();
        say(&format!("delivered {taker}-{round} {}.", names.join(" ")));
        take.commit().await?;
        say(&format!(
            "committed {taker}-{round} {}.",
            began.elapsed().as_micros()
        ));
    }
    Ok(())
}

fn name(body: &[u8]) -> String {
    let name = body.split(|byte| *byte == b' ').next().unwrap_or_default();
    String::from_utf8_lossy(name).into_owned()
}

/// One write, so that a line is whole but for the last.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(format!("{line}\n").as_bytes());
    let _ = out.flush();
}

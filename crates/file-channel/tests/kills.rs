//! Processes that put and take are killed at any moment: whatever was acknowledged comes out, whole; a commit that
//! waited for the disk is not undone, nor one before a put that was acknowledged. `FILE_CHANNEL_KILLS=200` for a long
//! run.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use flume_core::{Channel, Context, Event, Want};
use flume_file_channel::REGISTRY;
use flume_testkit::parts::build;

/// Tells the child where to work; it does nothing without.
const DIRECTORY: &str = "FILE_CHANNEL_DIRECTORY";
/// Which round it is: events are named after it.
const ROUND: &str = "FILE_CHANNEL_ROUND";
/// Milliseconds of `takeSyncMillis`.
const TAKE_SYNC: &str = "FILE_CHANNEL_TAKE_SYNC";
/// Whether it takes everything there is and ends.
const DRAIN: &str = "FILE_CHANNEL_DRAIN";

const PRODUCERS: u64 = 3;

/// A producer in a round, and the number of its event.
type Name = (u64, u64);

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Not a test by itself: what the killed processes do.
#[test]
fn child() {
    let Some(directory) = variable(DIRECTORY) else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(work(Path::new(&directory)));
}

async fn work(directory: &Path) {
    let root = directory.display();
    let take_sync = variable(TAKE_SYNC).unwrap();
    let text = format!(
        "checkpointDir = {root}/c\ndataDirs = {root}/d,{root}/e\nmaxFileSize = 262144\nminimumRequiredSpace = 0\n\
         takeSyncMillis = {take_sync}\ncheckpointInterval = 20\ncacheBytes = 20000\ncapacity = 5000\ntransactionCapacity = 100\nkeep-alive = 60"
    );
    let channel: Arc<dyn Channel> = build::<dyn Channel>(
        &REGISTRY,
        "file",
        &text,
        &Context::new("a1.channels.c1", &[]),
    )
    .into();
    channel.open().await.unwrap();
    // The test runner has begun a line.
    tell("\n");
    let drain = variable(DRAIN).is_some();
    let round: u64 = variable(ROUND).unwrap().parse().unwrap();
    let producers = if drain { 0 } else { PRODUCERS };
    for producer in 0..producers {
        tokio::spawn(produce(channel.clone(), round * PRODUCERS + producer));
    }
    loop {
        let take = channel
            .take(Want::events(50), Duration::from_millis(200))
            .await
            .unwrap();
        if take.events().is_empty() && drain {
            channel.close().await.unwrap();
            return;
        }
        let names: Vec<String> = take.events().iter().map(name).collect();
        let lines = |word: &str| {
            names
                .iter()
                .map(|name| format!("{word} {name}\n"))
                .collect::<String>()
        };
        tell(&lines("took"));
        take.commit().await.unwrap();
        tell(&lines("committed"));
    }
}

async fn produce(channel: Arc<dyn Channel>, producer: u64) {
    let mut next = 0;
    loop {
        let end = next + 1 + (next * 7 + producer) % 20;
        channel
            .put((next..end).map(|number| event(producer, number)).collect())
            .await
            .unwrap();
        let lines: String = (next..end)
            .map(|number| format!("put {producer} {number}\n"))
            .collect();
        tell(&format!("{lines}batch {producer} {end}\n"));
        next = end;
    }
}

fn event(producer: u64, number: u64) -> Event {
    Event::from(format!(
        "{producer} {number} {}",
        "x".repeat((number * 37 % 900) as usize)
    ))
}

/// What an event says it is, if it is whole.
fn name(event: &Event) -> String {
    let text = std::str::from_utf8(&event.body).expect("a whole event");
    let mut words = text.split(' ');
    let producer = words.next().expect("a producer");
    let number = words.next().expect("a number");
    assert_eq!(
        *event,
        self::event(producer.parse().unwrap(), number.parse().unwrap())
    );
    format!("{producer} {number}")
}

/// One write, so that what was said stays said when the process is killed.
fn tell(lines: &str) {
    std::io::stdout()
        .lock()
        .write_all(lines.as_bytes())
        .unwrap();
    std::io::stdout().lock().flush().unwrap();
}

#[derive(Default)]
struct Oracle {
    put: BTreeSet<Name>,
    took: BTreeMap<Name, u32>,
    committed: BTreeSet<Name>,
    redelivered: usize,
    commits_undone: usize,
    /// Lines heard from a child.
    lines: usize,
    /// Where the last two batches of each producer were told: the last was put after the one before was told.
    batches: BTreeMap<u64, (usize, usize)>,
    /// Where commits were told.
    commits: Vec<(usize, Name)>,
    /// Committed before the put of a batch that was acknowledged: the ack went to disk with it or before.
    settled: BTreeSet<Name>,
}

impl Oracle {
    fn hear(&mut self, line: &str) {
        // A line that the kill cut short was not said.
        let Some((word, rest)) = line
            .strip_suffix('\n')
            .and_then(|line| line.split_once(' '))
        else {
            return;
        };
        let Some((producer, number)) = rest.split_once(' ') else {
            return;
        };
        let (Ok(producer), Ok(number)) = (producer.parse(), number.parse()) else {
            return;
        };
        let name = (producer, number);
        self.lines += 1;
        match word {
            "batch" => {
                let (_, last) = self.batches.get(&producer).copied().unwrap_or_default();
                self.batches.insert(producer, (last, self.lines));
            }
            "put" => drop(self.put.insert(name)),
            "took" => {
                let times = self.took.entry(name).or_default();
                *times += 1;
                self.redelivered += usize::from(*times > 1);
                self.commits_undone += usize::from(self.committed.contains(&name));
                assert!(
                    !self.settled.contains(&name),
                    "{name:?} is repeated, committed before a later put"
                );
            }
            "committed" => {
                self.committed.insert(name);
                self.commits.push((self.lines, name));
            }
            _ => {}
        }
    }

    /// Runs a child; kills it after `patience`, or lets it come to its end.
    fn run(&mut self, directory: &Path, round: u64, take_sync: &str, patience: Option<Duration>) {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["child", "--exact", "--nocapture", "--test-threads=1"]);
        command
            .env(DIRECTORY, directory)
            .env(ROUND, round.to_string())
            .env(TAKE_SYNC, take_sync);
        if patience.is_none() {
            command.env(DRAIN, "1");
        }
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let killer = std::thread::spawn(move || {
            if let Some(patience) = patience {
                std::thread::sleep(patience);
                child.kill().unwrap();
            }
            child.wait().unwrap()
        });
        let mut line = String::new();
        while said.read_line(&mut line).unwrap() > 0 {
            self.hear(&line);
            line.clear();
        }
        let settled = self
            .batches
            .values()
            .map(|(before, _)| *before)
            .max()
            .unwrap_or_default();
        let commits = std::mem::take(&mut self.commits).into_iter();
        self.settled.extend(
            commits
                .filter(|(line, _)| *line < settled)
                .map(|(_, name)| name),
        );
        self.batches.clear();
        let status = killer.join().unwrap();
        assert_eq!(
            status.success(),
            patience.is_none(),
            "round {round}: {status}"
        );
    }
}

fn kills(take_sync: &str, seed: u64) -> Oracle {
    let rounds = variable("FILE_CHANNEL_KILLS").map_or(6, |text| text.parse().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let mut oracle = Oracle::default();
    let mut random = fastrand::Rng::with_seed(seed);
    for round in 0..rounds {
        let patience = Duration::from_millis(random.u64(100..500));
        oracle.run(directory.path(), round, take_sync, Some(patience));
    }
    oracle.run(directory.path(), rounds, take_sync, None);
    let lost: Vec<_> = oracle
        .put
        .iter()
        .filter(|name| !oracle.took.contains_key(name))
        .collect();
    eprintln!(
        "takeSyncMillis {take_sync}: {rounds} kills, {} events acknowledged, {} lost, {} delivered again, {} of them \
         after their commit had returned",
        oracle.put.len(),
        lost.len(),
        oracle.redelivered,
        oracle.commits_undone
    );
    assert!(!oracle.put.is_empty());
    assert!(lost.is_empty(), "{lost:?}");
    oracle
}

#[test]
fn no_kill_loses_what_was_acknowledged() {
    kills("100", 1);
}

#[test]
fn no_kill_undoes_a_commit_that_waited_for_the_disk() {
    assert_eq!(kills("0", 2).commits_undone, 0);
}

//! Clients that send numbered lines until they are told to stop, each line until it is acknowledged; and what came out.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle, sleep},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use crate::flow::send_numbered;

/// Lines that a client sends before it reads their acknowledgements.
const PORTION: u64 = 100;
/// Each client has numbers of its own.
const NUMBERS_OF_A_CLIENT: u64 = 1_000_000_000;
/// The pause after lines that were not acknowledged.
const RETRY_PAUSE: Duration = Duration::from_millis(100);
/// A client pauses so long after each portion: the machine has other work.
const PORTION_PAUSE: Duration = Duration::from_millis(5);

/// Missing lines of a client that are shown.
const SHOWN: usize = 3;

/// Running clients.
pub struct Senders {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<u64>>,
}

/// What a demonstration with faults ended with.
#[derive(Debug, Default)]
pub struct Tally {
    /// Lines that were acknowledged.
    pub acknowledged: u64,
    /// Of these, lines that did not come out.
    pub lost: u64,
    /// The first of them.
    pub missing: Vec<u64>,
    /// Lines that came out once more than necessary.
    pub duplicates: u64,
    /// Lines that nobody sent.
    pub damaged: u64,
}

impl Senders {
    /// Clients of a netcat source.
    pub fn start(address: &str, clients: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let clients = (0..clients).map(|client| {
            let stop = stop.clone();
            let address = address.to_string();
            thread::spawn(move || send(&address, client * NUMBERS_OF_A_CLIENT, &stop))
        });
        Senders {
            clients: clients.collect(),
            stop,
        }
    }

    /// Ends them: how many lines of each were acknowledged, which are its first.
    pub fn stop(self) -> Vec<u64> {
        self.stop.store(true, Relaxed);
        let clients = self.clients.into_iter();
        clients
            .map(|client| client.join().unwrap_or_default())
            .collect()
    }
}

fn send(address: &str, first: u64, stop: &AtomicBool) -> u64 {
    let mut acknowledged = 0;
    while !stop.load(Relaxed) {
        let from = first + acknowledged;
        match send_numbered(address, from..from + PORTION) {
            // Fewer, if the agent was killed meanwhile: then all are sent again.
            Ok(PORTION) => {
                acknowledged += PORTION;
                sleep(PORTION_PAUSE);
            }
            _ => sleep(RETRY_PAUSE),
        }
    }
    acknowledged
}

/// Waits until every acknowledged line is in a file of these directories, at most `patience`.
pub fn wait_for_all(
    acknowledged: &[u64],
    directories: &[PathBuf],
    patience: Duration,
) -> Result<Tally> {
    let deadline = Instant::now() + patience;
    loop {
        let tally = tally(acknowledged, directories)?;
        if tally.lost == 0 || Instant::now() > deadline {
            return Ok(tally);
        }
        sleep(Duration::from_millis(500));
    }
}

fn tally(acknowledged: &[u64], directories: &[PathBuf]) -> Result<Tally> {
    let mut seen: HashMap<u64, u32> = HashMap::new();
    let mut tally = Tally {
        acknowledged: acknowledged.iter().sum(),
        ..Tally::default()
    };
    for directory in directories {
        count_lines(directory, &mut seen, &mut tally.damaged)?;
    }
    for (client, count) in (0..).zip(acknowledged) {
        let first = client * NUMBERS_OF_A_CLIENT;
        let lost: Vec<_> = (first..first + count)
            .filter(|number| !seen.contains_key(number))
            .collect();
        tally.lost += lost.len() as u64;
        tally.missing.extend(lost.iter().take(SHOWN));
    }
    tally.duplicates = seen.values().map(|count| u64::from(count - 1)).sum();
    Ok(tally)
}

/// The last line of a file may be half written: its process was killed, or goes on writing.
fn count_lines(directory: &Path, seen: &mut HashMap<u64, u32>, damaged: &mut u64) -> Result<()> {
    for entry in fs::read_dir(directory).with_context(|| directory.display().to_string())? {
        // A file may be renamed between the listing and the reading; the next look finds it.
        let Ok(text) = fs::read_to_string(entry?.path()) else {
            continue;
        };
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        for line in whole.lines() {
            match line.parse() {
                Ok(number) => *seen.entry(number).or_default() += 1,
                Err(_) => *damaged += 1,
            }
        }
    }
    Ok(())
}

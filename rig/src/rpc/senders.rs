//! Clients that send numbered lines until they are told to stop, each line until it is acknowledged; and what came out.

use std::{
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
const PORTION_PAUSE: Duration = Duration::from_millis(20);

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

/// How often each number of each client came out.
struct Seen(Vec<Vec<u8>>);

impl Seen {
    /// The last portion of a client may have come out without an acknowledgement.
    fn new(acknowledged: &[u64]) -> Self {
        let clients = acknowledged.iter();
        Seen(
            clients
                .map(|count| vec![0; (count + PORTION) as usize])
                .collect(),
        )
    }

    /// Whether anybody may have sent it.
    fn count(&mut self, number: u64) -> bool {
        let client = self.0.get_mut((number / NUMBERS_OF_A_CLIENT) as usize);
        let place = (number % NUMBERS_OF_A_CLIENT) as usize;
        let Some(times) = client.and_then(|client| client.get_mut(place)) else {
            return false;
        };
        *times = times.saturating_add(1);
        true
    }
}

fn tally(acknowledged: &[u64], directories: &[PathBuf]) -> Result<Tally> {
    let mut seen = Seen::new(acknowledged);
    let mut tally = Tally {
        acknowledged: acknowledged.iter().sum(),
        ..Tally::default()
    };
    for directory in directories {
        count_lines(directory, &mut seen, &mut tally.damaged)?;
    }
    for (client, (count, times)) in (0..).zip(acknowledged.iter().zip(&seen.0)) {
        let first = client * NUMBERS_OF_A_CLIENT;
        let lost: Vec<_> = (0..*count)
            .filter(|place| times[*place as usize] == 0)
            .collect();
        tally.lost += lost.len() as u64;
        tally
            .missing
            .extend(lost.iter().take(SHOWN).map(|place| first + place));
        tally.duplicates += times
            .iter()
            .map(|times| u64::from(times.saturating_sub(1)))
            .sum::<u64>();
    }
    Ok(tally)
}

/// The last line of a file may be half written: its process was killed, or goes on writing.
fn count_lines(directory: &Path, seen: &mut Seen, damaged: &mut u64) -> Result<()> {
    for entry in fs::read_dir(directory).with_context(|| directory.display().to_string())? {
        // A file may be renamed between the listing and the reading; the next look finds it.
        let Ok(text) = fs::read_to_string(entry?.path()) else {
            continue;
        };
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        for line in whole.lines() {
            let is_known = line.parse().is_ok_and(|number| seen.count(number));
            *damaged += u64::from(!is_known);
        }
    }
    Ok(())
}

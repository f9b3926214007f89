//! Clients that send numbered lines until they are told to stop, each line until it is acknowledged; and what came out.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{BufRead, BufReader, Seek, SeekFrom},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle, sleep},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow};

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
    clients: Vec<JoinHandle<Sent>>,
}

/// What a client has sent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sent {
    /// Lines that were acknowledged, which are its first.
    pub acknowledged: u64,
    /// Lines that were sent again, because not all of their portion were acknowledged.
    pub again: u64,
}

/// What a demonstration with faults ended with.
#[derive(Debug, Default)]
pub struct Tally {
    /// Lines that were acknowledged.
    pub acknowledged: u64,
    /// Lines that their client sent again.
    pub again: u64,
    /// Lines that came out, however often.
    pub delivered: u64,
    /// Of the acknowledged lines, those that did not come out.
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

    /// Ends them.
    pub fn stop(self) -> Result<Vec<Sent>> {
        self.stop.store(true, Relaxed);
        let sent = self.clients.into_iter().map(JoinHandle::join);
        let sent: Result<_, _> = sent.collect();
        sent.map_err(|_| anyhow!("a client panicked"))
    }
}

fn send(address: &str, first: u64, stop: &AtomicBool) -> Sent {
    let mut sent = Sent::default();
    while !stop.load(Relaxed) {
        let from = first + sent.acknowledged;
        match send_numbered(address, from..from + PORTION) {
            // Fewer, if the agent was killed meanwhile: then all are sent again.
            Ok(PORTION) => {
                sent.acknowledged += PORTION;
                sleep(PORTION_PAUSE);
            }
            _ => {
                sent.again += PORTION;
                sleep(RETRY_PAUSE);
            }
        }
    }
    sent
}

/// Waits until every acknowledged line is in a file of these directories, as long as more come within `patience`.
pub fn wait_for_all(sent: &[Sent], directories: &[PathBuf], patience: Duration) -> Result<Tally> {
    let mut deadline = Instant::now() + patience;
    let mut fewest = u64::MAX;
    let mut seen = Seen::new(sent);
    loop {
        for directory in directories {
            seen.read_on(directory)?;
        }
        let tally = seen.tally(sent);
        if tally.lost == 0 || Instant::now() > deadline {
            return Ok(tally);
        }
        if tally.lost < fewest {
            fewest = tally.lost;
            deadline = Instant::now() + patience;
        }
        sleep(Duration::from_millis(500));
    }
}

/// How often each number of each client came out.
struct Seen {
    times: Vec<Vec<u8>>,
    damaged: u64,
    /// Up to where each file was read. A file may get another name; its inode stays.
    read: HashMap<u64, u64>,
}

impl Seen {
    /// The last portion of a client may have come out without an acknowledgement.
    fn new(sent: &[Sent]) -> Self {
        let times = |sent: &Sent| vec![0; (sent.acknowledged + PORTION) as usize];
        Seen {
            times: sent.iter().map(times).collect(),
            damaged: 0,
            read: HashMap::new(),
        }
    }

    /// Reads what has come into the files of a directory. The last line of a file may be half written: its process was
    /// killed, or goes on writing.
    fn read_on(&mut self, directory: &Path) -> Result<()> {
        for entry in fs::read_dir(directory).with_context(|| directory.display().to_string())? {
            // A file may be renamed between the listing and the reading; the next look finds it.
            let Ok(mut file) = File::open(entry?.path()) else {
                continue;
            };
            let inode = file.metadata()?.ino();
            let place = self.read.get(&inode).copied().unwrap_or_default();
            file.seek(SeekFrom::Start(place))?;
            let mut lines = BufReader::new(file);
            let mut line = vec![];
            let mut place = place;
            while lines.read_until(b'\n', &mut line)? > 0 && line.last() == Some(&b'\n') {
                place += line.len() as u64;
                self.count(line.trim_ascii_end());
                line.clear();
            }
            self.read.insert(inode, place);
        }
        Ok(())
    }

    fn count(&mut self, line: &[u8]) {
        let number = std::str::from_utf8(line)
            .ok()
            .and_then(|line| line.parse().ok());
        let times = number.and_then(|number: u64| {
            let client = self
                .times
                .get_mut((number / NUMBERS_OF_A_CLIENT) as usize)?;
            client.get_mut((number % NUMBERS_OF_A_CLIENT) as usize)
        });
        match times {
            Some(times) => *times = times.saturating_add(1),
            None => self.damaged += 1,
        }
    }

    fn tally(&self, sent: &[Sent]) -> Tally {
        let mut tally = Tally {
            damaged: self.damaged,
            ..Tally::default()
        };
        for (client, (sent, times)) in (0..).zip(sent.iter().zip(&self.times)) {
            let first = client * NUMBERS_OF_A_CLIENT;
            let lost = (0..sent.acknowledged).filter(|place| times[*place as usize] == 0);
            let lost: Vec<_> = lost.map(|place| first + place).collect();
            tally.acknowledged += sent.acknowledged;
            tally.again += sent.again;
            tally.lost += lost.len() as u64;
            tally.missing.extend(lost.iter().take(SHOWN));
            for times in times {
                tally.delivered += u64::from(*times);
                tally.duplicates += u64::from(times.saturating_sub(1));
            }
        }
        tally
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn lines_are_counted_once_whatever_their_file_is_called_meanwhile() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let sent = [Sent {
            acknowledged: 3,
            again: 100,
        }];
        let mut seen = Seen::new(&sent);
        let mut look = || {
            seen.read_on(dir.path()).unwrap();
            let Tally {
                delivered,
                lost,
                duplicates,
                damaged,
                ..
            } = seen.tally(&sent);
            [delivered, lost, duplicates, damaged]
        };
        fs::write(path("a.tmp"), "0\n1\n2").unwrap();
        assert_eq!(look(), [2, 1, 0, 0]);
        fs::rename(path("a.tmp"), path("a")).unwrap();
        let mut file = File::options().append(true).open(path("a")).unwrap();
        writeln!(file).unwrap();
        assert_eq!(look(), [3, 0, 0, 0]);
        // One without an acknowledgement, one twice, two that nobody sent.
        fs::write(path("b"), "3\n1\nx\n5000\n").unwrap();
        assert_eq!(look(), [5, 0, 1, 2]);
        assert_eq!(look(), [5, 0, 1, 2]);
    }
}

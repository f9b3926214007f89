//! Standard error and standard output, each written by a thread of its own: who reads it may stand still, and the agent must not.
//!
//! Log lines wait in a bounded queue. A reader that is only slow is waited for, so that it loses nothing. After it has
//! stood still for a while, lines are dropped without a wait and counted. The count is written when it reads again.

use std::{
    io::{self, Write},
    sync::{
        LazyLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

/// Lines that may wait.
const QUEUE_LINES: usize = 4096;
/// Their bytes.
const QUEUE_BYTES: usize = 8 << 20;
/// A reader that takes nothing for so long stands still.
const STUCK_AFTER: Duration = Duration::from_secs(2);
/// How long the end of the program waits for the last lines.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);
/// How often a full queue is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

static ERROR: LazyLock<Console> = LazyLock::new(|| Console::start(io::stderr));
static OUTPUT: LazyLock<Console> = LazyLock::new(|| Console::start(io::stdout));

/// A queue of lines and the thread that writes them.
struct Console {
    lines: SyncSender<Vec<u8>>,
    shared: &'static ConsoleState,
}

#[derive(Default)]
struct ConsoleState {
    /// Lines that are queued or being written.
    waiting: AtomicUsize,
    bytes: AtomicUsize,
    /// Lines that were dropped since the last one was written.
    lost: AtomicU64,
    is_stuck: AtomicBool,
}

/// Queues what is written through it, as one line.
pub(crate) struct ConsoleWriter(&'static LazyLock<Console>);

/// For log lines on standard error.
pub(crate) fn writer() -> ConsoleWriter {
    ConsoleWriter(&ERROR)
}

/// For log lines on standard output.
pub(crate) fn output_writer() -> ConsoleWriter {
    ConsoleWriter(&OUTPUT)
}

/// Waits for the last lines, but not for a reader that stands still.
pub(crate) fn flush() {
    for console in [&ERROR, &OUTPUT] {
        if let Some(console) = LazyLock::get(console) {
            console.flush(FLUSH_TIMEOUT);
        }
    }
}

impl Write for ConsoleWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.put(line.to_vec());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Console {
    fn start<W: Write>(out: impl FnOnce() -> W + Send + 'static) -> Self {
        let (lines, queue) = sync_channel(QUEUE_LINES);
        let shared: &'static ConsoleState = Box::leak(Box::default());
        let thread = thread::Builder::new().name("console".into());
        // Without the thread the queue has no reader, and lines are counted as lost.
        let _ = thread.spawn(move || write(&mut out(), &queue, shared));
        Console { lines, shared }
    }

    fn put(&self, mut line: Vec<u8>) {
        let shared = self.shared;
        let deadline = Instant::now() + STUCK_AFTER;
        let size = line.len();
        loop {
            let fits = shared.bytes.load(SeqCst) < QUEUE_BYTES;
            if fits {
                // Counted first: the thread may write it at once.
                shared.waiting.fetch_add(1, SeqCst);
                shared.bytes.fetch_add(size, SeqCst);
                line = match self.lines.try_send(line) {
                    Ok(()) => return,
                    Err(TrySendError::Full(line) | TrySendError::Disconnected(line)) => line,
                };
                shared.waiting.fetch_sub(1, SeqCst);
                shared.bytes.fetch_sub(size, SeqCst);
            }
            if shared.is_stuck.load(SeqCst) || Instant::now() >= deadline {
                shared.is_stuck.store(true, SeqCst);
                shared.lost.fetch_add(1, SeqCst);
                return;
            }
            thread::sleep(POLL_INTERVAL);
        }
    }

    fn flush(&self, limit: Duration) {
        let deadline = Instant::now() + limit;
        while self.shared.waiting.load(SeqCst) > 0 && Instant::now() < deadline {
            thread::sleep(POLL_INTERVAL);
        }
    }
}

fn write(out: &mut impl Write, queue: &Receiver<Vec<u8>>, shared: &ConsoleState) {
    while let Ok(line) = queue.recv() {
        // A closed stream loses what is written, as ever.
        let _ = out.write_all(&line);
        shared.is_stuck.store(false, SeqCst);
        shared.bytes.fetch_sub(line.len(), SeqCst);
        shared.waiting.fetch_sub(1, SeqCst);
        let lost = shared.lost.swap(0, SeqCst);
        if lost > 0 {
            let text = "log lines are missing here, because their reader stood still";
            let _ = writeln!(out, "{lost} {text}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Writes only while the test lets it.
    struct Gate {
        open: mpsc::Receiver<()>,
        written: mpsc::Sender<String>,
    }

    impl Write for Gate {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            let _ = self.open.recv();
            let _ = self
                .written
                .send(String::from_utf8_lossy(text).into_owned());
            Ok(text.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_stands_still_costs_lines_and_no_time() {
        let (let_through, open) = mpsc::channel();
        let (written, said) = mpsc::channel();
        let console = Console::start(move || Gate { open, written });
        let began = Instant::now();
        let all = QUEUE_LINES + 1000;
        for number in 0..all {
            console.put(format!("{number}\n").into_bytes());
        }
        // One wait for the reader that may be slow, and none after that.
        assert!(began.elapsed() < 3 * STUCK_AFTER, "{:?}", began.elapsed());
        console.flush(Duration::from_millis(50));
        drop(let_through);
        console.flush(Duration::from_secs(60));
        let text: String = said.try_iter().collect();
        let lines: Vec<_> = text.lines().collect();
        let kept: Vec<_> = lines
            .iter()
            .filter(|line| line.parse::<usize>().is_ok())
            .collect();
        let lost: usize = lines
            .iter()
            .filter_map(|line| {
                line.strip_suffix("stood still")?
                    .split(' ')
                    .next()?
                    .parse::<usize>()
                    .ok()
            })
            .sum();
        assert!(lost >= 900, "{lost}");
        assert_eq!(kept.len() + lost, all);
    }

    #[test]
    fn a_slow_reader_gets_everything_in_order() {
        let (let_through, open) = mpsc::channel();
        let (written, said) = mpsc::channel();
        let console = Console::start(move || Gate { open, written });
        let slow = thread::spawn(move || {
            for _ in 0..200 {
                thread::sleep(Duration::from_micros(200));
                let _ = let_through.send(());
            }
        });
        let all = QUEUE_LINES + 500;
        for number in 0..all {
            console.put(format!("{number}\n").into_bytes());
        }
        slow.join().unwrap();
        console.flush(Duration::from_secs(60));
        let text: String = said.try_iter().collect();
        let numbers = text.lines().map(|line| line.parse::<usize>());
        assert!(numbers.eq((0..all).map(Ok)));
    }
}

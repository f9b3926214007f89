//! SIGQUIT asks where everything stands, as it asks a JVM for its threads. The agent prints that and goes on.

use std::{
    fmt::Write as _,
    fs,
    io::{self, Write as _},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
};

use flume_monitor::{Board, ComponentStatus, ago, printable, status};
use jiff::{Timestamp, Zoned};
use tokio::{
    runtime::Handle,
    signal::unix::{SignalKind, signal},
};

/// Prints at each SIGQUIT. Other signals that would end the process by default, and that no operator means as an end,
/// are only noted.
pub(crate) fn on_request(board: Board) -> io::Result<()> {
    let mut quit = signal(SignalKind::quit())?;
    let mut first = signal(SignalKind::user_defined1())?;
    let mut second = signal(SignalKind::user_defined2())?;
    let mut alarm = signal(SignalKind::alarm())?;
    tokio::spawn(async move {
        // A reader of standard error that stands still must not collect one thread for each request.
        let is_printing = Arc::new(AtomicBool::new(false));
        loop {
            tokio::select! {
                _ = quit.recv() => print(&board, &is_printing),
                _ = first.recv() => tracing::debug!("SIGUSR1 has no effect"),
                _ = second.recv() => tracing::debug!("SIGUSR2 has no effect"),
                _ = alarm.recv() => tracing::debug!("SIGALRM has no effect"),
            }
        }
    });
    Ok(())
}

fn print(board: &Board, is_printing: &Arc<AtomicBool>) {
    if is_printing.swap(true, SeqCst) {
        return;
    }
    let text = dump(board);
    let printing = is_printing.clone();
    let printed = move || {
        // Whoever closed standard error does not want it.
        let _ = io::stderr().write_all(text.as_bytes());
        printing.store(false, SeqCst);
    };
    if thread::Builder::new()
        .name("dump".into())
        .spawn(printed)
        .is_err()
    {
        is_printing.store(false, SeqCst);
    }
}

/// Threads, tasks, and every component with its state and its numbers.
fn dump(board: &Board) -> String {
    let time = Zoned::now().strftime("%Y-%m-%d %H:%M:%S").to_string();
    let mut text = format!("{time} where everything stands\n");
    for line in threads() {
        let _ = writeln!(text, "thread {line}");
    }
    let tasks = Handle::current().metrics();
    let _ = writeln!(
        text,
        "tasks  {} alive on {} worker threads",
        tasks.num_alive_tasks(),
        tasks.num_workers()
    );
    let now = Timestamp::now();
    for component in status(board).components {
        describe(&component, now, &mut text);
    }
    text + "end of the dump; the agent goes on\n"
}

fn describe(component: &ComponentStatus, now: Timestamp, text: &mut String) {
    let ComponentStatus {
        kind,
        name,
        type_name,
        state,
        since,
        ..
    } = component;
    let age = ago(*since, now);
    let _ = write!(text, "{kind} {name} ({type_name}) {state} for {age}");
    if let Some(reason) = &component.reason {
        let _ = write!(text, ": {}", printable(reason));
    }
    if let Some(channel) = &component.channel {
        let events = channel.events;
        let capacity = channel.capacity;
        let _ = write!(
            text,
            "; {events}/{capacity} events, {} in flight",
            channel.in_flight
        );
    }
    text.push('\n');
    let numbers = component.metrics.iter().filter(|(_, value)| **value > 0);
    let numbers: Vec<_> = numbers
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    if !numbers.is_empty() {
        let _ = writeln!(text, "    {}", numbers.join(" "));
    }
}

/// Each thread: its number, name, state, where it waits in the kernel, and the processor time that it took.
fn threads() -> Vec<String> {
    let entries = fs::read_dir("/proc/self/task")
        .into_iter()
        .flatten()
        .flatten();
    let mut threads: Vec<_> = entries
        .filter_map(|entry| {
            let path = entry.path();
            let id: u32 = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(path.join("stat")).ok()?;
            let wait = fs::read_to_string(path.join("wchan")).unwrap_or_default();
            Some((id, thread_line(id, &stat, wait.trim())?))
        })
        .collect();
    threads.sort();
    threads.into_iter().map(|(_, line)| line).collect()
}

/// `stat` is `ID (NAME) STATE …`, with processor time in hundredths of a second in fields 14 and 15.
fn thread_line(id: u32, stat: &str, wait: &str) -> Option<String> {
    let (name, rest) = stat.split_once('(')?.1.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    let state = match *fields.first()? {
        "R" => "running",
        "S" => "waiting",
        "D" => "waiting for a device",
        "T" | "t" => "stopped",
        "Z" => "ended",
        other => other,
    };
    let hundredths = |at: usize| fields.get(at).and_then(|text| text.parse::<u64>().ok());
    let user = hundredths(11)?;
    let system = hundredths(12)?;
    let wait = if ["", "0"].contains(&wait) {
        String::new()
    } else {
        format!(" in {wait}")
    };
    let seconds = (user + system) as f64 / 100.0;
    Some(format!(
        "{id} {name}: {state}{wait}, {seconds:.2} s of processor time"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_with_any_name_is_described() {
        let stat = "41 (sink) (k1) S 1 41 41 0 -1 4194560 10 0 0 0 120 30 0 0 20 0 9 0";
        let line = thread_line(41, stat, "futex_wait_queue");
        assert_eq!(
            line.as_deref(),
            Some("41 sink) (k1: waiting in futex_wait_queue, 1.50 s of processor time")
        );
        assert_eq!(thread_line(1, "no stat", ""), None);
    }

    #[test]
    fn this_thread_is_among_them() {
        let name = thread::current()
            .name()
            .map(|name| name.chars().take(15).collect::<String>());
        let threads = threads();
        let name = name.unwrap();
        assert!(
            threads.iter().any(|line| line.contains(&name)),
            "{name}: {threads:#?}"
        );
    }
}

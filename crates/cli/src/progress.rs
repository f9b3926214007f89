//! How far a long command is, on standard error: a bar on a terminal, and elsewhere a line now and then. A command that
//! is done soon shows neither.

use std::{
    cell::RefCell,
    io::{self, IsTerminal, Write},
    time::{Duration, Instant},
};

/// A command that is done within this time shows nothing.
const QUIET: Duration = Duration::from_secs(1);
const BAR_INTERVAL: Duration = Duration::from_millis(200);
const LINE_INTERVAL: Duration = Duration::from_secs(10);
const BAR_CHARS: u64 = 30;
/// Back to the beginning of the line, and the line empty.
const WIPE: &str = "\r\x1b[K";

/// Shows how far one command is. Whatever it has drawn is wiped when it is dropped.
pub(crate) struct Progress<W: Write = io::Stderr> {
    /// What is done: `verified`, `sent`.
    verb: &'static str,
    terminal: bool,
    began: Instant,
    state: RefCell<Drawn<W>>,
}

struct Drawn<W> {
    out: W,
    /// When to draw again.
    due: Instant,
    has_bar: bool,
}

/// How much there is to do, as far as that is known.
#[derive(Clone, Copy)]
pub(crate) struct Extent {
    pub(crate) done: u64,
    pub(crate) total: Option<u64>,
}

impl Progress {
    /// On standard error.
    pub(crate) fn new(verb: &'static str) -> Self {
        Progress::to(io::stderr(), io::stderr().is_terminal(), verb)
    }
}

impl<W: Write> Progress<W> {
    fn to(out: W, terminal: bool, verb: &'static str) -> Self {
        let began = Instant::now();
        let due = began + if terminal { QUIET } else { LINE_INTERVAL };
        let state = RefCell::new(Drawn {
            out,
            due,
            has_bar: false,
        });
        Progress {
            verb,
            terminal,
            began,
            state,
        }
    }

    /// So many bytes are done. Cheap: call it as often as you like.
    pub(crate) fn bytes(&self, extent: Extent) {
        self.draw(|verb, took| bytes_text(verb, extent, took));
    }

    /// So many things are done, lines for example.
    pub(crate) fn count(&self, done: u64, what: &str) {
        self.draw(|verb, took| {
            let rate = done as f64 / took.as_secs_f64().max(0.001);
            format!("{verb} {done} {what}, {rate:.0}/s")
        });
    }

    fn draw(&self, text: impl FnOnce(&str, Duration) -> String) {
        let now = Instant::now();
        let mut state = self.state.borrow_mut();
        if now < state.due {
            return;
        }
        let text = text(self.verb, now - self.began);
        // A terminal that cannot be written to must not end the command.
        if self.terminal {
            let _ = write!(state.out, "{WIPE}{text}");
            state.has_bar = true;
            state.due = now + BAR_INTERVAL;
        } else {
            let _ = writeln!(state.out, "flume-ng: {text}");
            state.due = now + LINE_INTERVAL;
        }
        let _ = state.out.flush();
    }
}

impl<W: Write> Drop for Progress<W> {
    fn drop(&mut self) {
        let state = self.state.get_mut();
        if state.has_bar {
            let _ = write!(state.out, "{WIPE}");
            let _ = state.out.flush();
        }
    }
}

fn bytes_text(verb: &str, Extent { done, total }: Extent, took: Duration) -> String {
    let mut text = format!("{verb} {}", size(done));
    let Some(total) = total.filter(|total| *total > 0) else {
        return text;
    };
    let done = done.min(total);
    let full = done as u128 * u128::from(BAR_CHARS) / u128::from(total);
    let bar = "=".repeat(full as usize) + &" ".repeat(BAR_CHARS as usize - full as usize);
    let percent = u128::from(done) * 100 / u128::from(total);
    text = format!("[{bar}] {percent:3} % {text} of {}", size(total));
    if done > 0 {
        let left = took.as_secs_f64() * (total - done) as f64 / done as f64;
        text += &format!(", {left:.0} s left");
    }
    text
}

fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    let mut size = bytes as f64;
    let mut unit = "B";
    for larger in UNITS {
        if size < 1000.0 {
            break;
        }
        size /= 1000.0;
        unit = larger;
    }
    if unit == "B" {
        return format!("{bytes} B");
    }
    format!("{size:.1} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(terminal: bool, steps: &[u64]) -> String {
        let mut out = vec![];
        let progress = Progress::to(&mut out, terminal, "verified");
        for done in steps {
            progress.state.borrow_mut().due = Instant::now();
            progress.bytes(Extent {
                done: *done,
                total: Some(4000),
            });
            progress.bytes(Extent {
                done: 7,
                total: None,
            });
        }
        drop(progress);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_terminal_has_a_bar_that_vanishes_and_a_file_has_lines() {
        let bar = drawn(true, &[1000, 4000]);
        assert!(
            bar.starts_with(
                "\r\x1b[K[=======                       ]  25 % verified 1.0 kB of 4.0 kB, "
            ),
            "{bar:?}"
        );
        assert!(
            bar.contains("[==============================] 100 %") && bar.ends_with("\r\x1b[K"),
            "{bar:?}"
        );
        let lines = drawn(false, &[1000]);
        assert!(
            lines.starts_with("flume-ng: [=") && lines.ends_with("s left\n"),
            "{lines:?}"
        );
        assert!(!lines.contains('\x1b'));
    }

    #[test]
    fn a_short_command_shows_nothing() {
        let mut out = vec![];
        Progress::to(&mut out, true, "sent").count(5, "lines");
        assert!(out.is_empty());
    }

    #[test]
    fn sizes_and_extents_of_any_kind_are_shown() {
        assert_eq!(
            [size(999), size(1000), size(u64::MAX)],
            ["999 B", "1.0 kB", "18446744.1 TB"]
        );
        for (done, total) in [
            (0, Some(0)),
            (9, Some(3)),
            (u64::MAX, Some(u64::MAX)),
            (0, Some(u64::MAX)),
            (5, None),
        ] {
            bytes_text("x", Extent { done, total }, Duration::ZERO);
        }
    }
}

//! What commands leave running in the background, found by a variable in its environment.
//!
//! A process that a command started in the background has no parent here any more, and it may have a process group or a
//! session of its own (`setsid`, job control of a shell). But it has inherited the environment of its command. So each
//! command gets a variable with a value that nobody else has, and whatever has that value is what the command left.

use std::{
    fs,
    path::Path,
    process,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{clock::now_ms, environment::Environment};

/// The variable.
const MARK: &str = "FLUME_COMMAND_OF";
/// A process may start another one while it is looked for.
const MAX_ROUNDS: usize = 5;

static NEXT: AtomicU64 = AtomicU64::new(0);

/// What the commands of one owner have left running. Dropping it kills all of it. A process that has cleared its
/// environment is not found.
#[derive(Debug)]
pub struct Leftovers {
    value: String,
}

impl Default for Leftovers {
    fn default() -> Self {
        let number = NEXT.fetch_add(1, Relaxed);
        Leftovers {
            value: format!("{}-{}-{number}", process::id(), now_ms()),
        }
    }
}

impl Leftovers {
    /// The environment of a command whose background ends with this.
    #[must_use]
    pub fn mark(&self, environment: Environment) -> Environment {
        environment.with(MARK, &self.value)
    }

    fn find(&self) -> Vec<Pid> {
        let wanted = format!("{MARK}={}", self.value);
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            has_variable(&entry.path(), wanted.as_bytes()).then(|| Pid::from_raw(pid))?
        });
        pids.collect()
    }
}

/// A process whose environment may not be read belongs to somebody else. That of a zombie is empty.
fn has_variable(process: &Path, wanted: &[u8]) -> bool {
    fs::read(process.join("environ")).is_ok_and(|all| {
        all.split(|byte| *byte == 0)
            .any(|variable| variable == wanted)
    })
}

impl Drop for Leftovers {
    fn drop(&mut self) {
        for _ in 0..MAX_ROUNDS {
            let left = self.find();
            if left.is_empty() {
                return;
            }
            for pid in left {
                // An error means that it has ended.
                let _ = kill_process(pid, Signal::KILL);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        thread,
        time::{Duration, Instant},
    };

    use super::*;
    use crate::child::Program;

    #[test]
    fn all_that_is_left_ends_wherever_it_went() {
        let left = Leftovers::default();
        let other = Leftovers::default();
        let mark = |left: &Leftovers| {
            left.mark(Environment::minimal())
                .get(MARK)
                .unwrap()
                .to_owned()
        };
        let run = |left: &Leftovers, line: &str| {
            let program = Program::new("/bin/bash", &["-c", line]).env(MARK, mark(left));
            assert!(program.run().unwrap().ok());
        };
        let ways = [
            "sleep 600 </dev/null >/dev/null 2>&1 &",
            "set -m; sleep 600 </dev/null >/dev/null 2>&1 &",
            "setsid sleep 600 </dev/null >/dev/null 2>&1 & sleep 0.2",
            "(nohup sleep 600 </dev/null >/dev/null 2>&1 &)",
        ];
        for line in ways {
            run(&left, line);
        }
        run(&other, ways[0]);
        wait(|| left.find().len() == ways.len() && other.find().len() == 1);
        let copy = Leftovers {
            value: left.value.clone(),
        };
        drop(left);
        wait(|| copy.find().is_empty());
        assert_eq!(other.find().len(), 1);
    }

    fn wait(done: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !done() {
            assert!(Instant::now() < deadline, "waited in vain");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

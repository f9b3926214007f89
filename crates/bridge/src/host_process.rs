//! A child process that runs components, until its end. It is asked to end by the end of its input. If it does not, it
//! is killed with everything that it started, so nothing of it outlives the agent.

use std::{
    collections::BTreeMap,
    io,
    process::{Child, ExitStatus},
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc as blocking,
    },
    thread,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

/// How long a process may live after its input or its output has closed.
const END_TIMEOUT: Duration = Duration::from_secs(10);
const END_POLL: Duration = Duration::from_millis(20);
/// Most processes of one component at a time. A serializer has one for each open file.
pub(crate) const MAX_PROCESSES: usize = 256;

/// All that run, or have run.
static PROCESSES: Mutex<Vec<Weak<HostProcess>>> = Mutex::new(vec![]);
/// How many processes each component has.
static PLACES: Mutex<BTreeMap<String, usize>> = Mutex::new(BTreeMap::new());

/// A process that runs components.
pub(crate) struct HostProcess {
    leader: Mutex<Leader>,
    /// Frames for its input; `None` closes it.
    input: blocking::Sender<Option<Vec<u8>>>,
    is_asked_to_end: AtomicBool,
    _place: Option<Place>,
}

/// The child itself, first of its process group.
struct Leader {
    child: Child,
    /// Its number, and that of its group, may be another's by now.
    is_reaped: bool,
}

/// One of the processes that a component may have.
pub(crate) struct Place(String);

impl Place {
    /// `None`: the component has all that it may have.
    pub(crate) fn take(owner: &str) -> Option<Place> {
        let mut places = PLACES.lock();
        let taken = places.entry(owner.into()).or_default();
        if *taken >= MAX_PROCESSES {
            return None;
        }
        *taken += 1;
        Some(Place(owner.into()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = PLACES.lock();
        if let Some(taken) = places.get_mut(&self.0) {
            *taken -= 1;
        }
        places.retain(|_, taken| *taken > 0);
    }
}

impl HostProcess {
    /// Takes over a child that leads a process group. What it is sent comes out of the second part.
    pub(crate) fn new(
        child: Child,
        place: Option<Place>,
    ) -> (Arc<HostProcess>, blocking::Receiver<Option<Vec<u8>>>) {
        let (input, frames) = blocking::channel();
        let leader = Leader {
            child,
            is_reaped: false,
        };
        let process = Arc::new(HostProcess {
            leader: Mutex::new(leader),
            input,
            is_asked_to_end: AtomicBool::new(false),
            _place: place,
        });
        let mut processes = PROCESSES.lock();
        processes.retain(|process| process.strong_count() > 0);
        processes.push(Arc::downgrade(&process));
        (process, frames)
    }

    pub(crate) fn send(&self, frame: Vec<u8>) {
        // Without a reader the process has ended, which the answer says.
        let _ = self.input.send(Some(frame));
    }

    /// Whether its end is wanted.
    pub(crate) fn is_asked_to_end(&self) -> bool {
        self.is_asked_to_end.load(Relaxed)
    }

    /// Closes its input, after what was sent before.
    fn ask_to_end(&self) {
        self.is_asked_to_end.store(true, Relaxed);
        let _ = self.input.send(None);
    }

    /// Asks it to end, and sees to it without keeping the caller waiting.
    pub(crate) fn end_in_background(self: &Arc<Self>) {
        self.ask_to_end();
        if self.leader.lock().is_reaped {
            return;
        }
        let process = self.clone();
        let waits = thread::Builder::new()
            .name("host-end".into())
            .spawn(move || process.end());
        if waits.is_err() {
            let _ = self.kill();
        }
    }

    /// Waits for its end, and kills it when that takes too long.
    ///
    /// # Errors
    /// The system cannot wait for it.
    pub(crate) fn end(&self) -> io::Result<ExitStatus> {
        self.wait_until(Instant::now() + END_TIMEOUT);
        self.kill()
    }

    /// Kills it with everything that it started in its group, and waits for its end.
    ///
    /// # Errors
    /// The system cannot wait for it.
    pub(crate) fn kill(&self) -> io::Result<ExitStatus> {
        self.send_kill();
        loop {
            let mut leader = self.leader.lock();
            if let Some(status) = leader.child.try_wait()? {
                leader.is_reaped = true;
                return Ok(status);
            }
            drop(leader);
            thread::sleep(END_POLL);
        }
    }

    fn send_kill(&self) {
        let mut leader = self.leader.lock();
        if !leader.is_reaped {
            // An error means that all of it has ended.
            let _ = kill_process_group(Pid::from_child(&leader.child), Signal::KILL);
            let _ = leader.child.kill();
        }
    }

    fn wait_until(&self, deadline: Instant) {
        while !self.has_exited() && Instant::now() < deadline {
            thread::sleep(END_POLL);
        }
    }

    /// Whether its first process has exited. What that started may still run, so its number is kept.
    fn has_exited(&self) -> bool {
        let leader = self.leader.lock();
        let how = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let id = WaitId::Pid(Pid::from_child(&leader.child));
        leader.is_reaped || !matches!(waitid(id, how), Ok(None))
    }
}

/// Ends every process that runs components: at the end of the agent. Blocks for ten seconds at most.
pub fn end_processes() {
    let processes = PROCESSES.lock().clone();
    let processes: Vec<_> = processes.iter().filter_map(Weak::upgrade).collect();
    processes.iter().for_each(|process| process.ask_to_end());
    let deadline = Instant::now() + END_TIMEOUT;
    for process in processes {
        process.wait_until(deadline);
        process.send_kill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_has_so_many_processes() {
        let mut places: Vec<_> = (0..MAX_PROCESSES).map(|_| Place::take("a")).collect();
        assert!(places.iter().all(Option::is_some));
        assert!(Place::take("a").is_none());
        assert!(Place::take("b").is_some());
        places.pop();
        assert!(Place::take("a").is_some());
    }
}

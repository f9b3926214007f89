//! A server process that a test starts, stops, pauses and kills.

use std::{
    collections::BTreeSet,
    fs,
    hash::{BuildHasher, RandomState},
    net::TcpStream,
    ops::Range,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        LazyLock, Mutex, PoisonError,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::trouble::SlowDown;

/// A server is ready within this time, or the test fails.
const PATIENCE: Duration = Duration::from_secs(300);
const POLL: Duration = Duration::from_millis(50);

/// When a server is ready.
#[derive(Clone, Debug)]
pub enum Ready {
    /// Its port is open.
    Port(u16),
    /// It has logged this text that often since it was started.
    Logged(&'static str, usize),
}

/// A server process with a log. It is killed when dropped, and by the kernel when this process ends.
pub struct Daemon {
    name: String,
    log: PathBuf,
    command: Vec<String>,
    environment: Vec<(String, String)>,
    ready: Ready,
    child: Option<Child>,
    /// Length of the log when the process was started: what earlier ones said does not count.
    logged: usize,
}

impl Daemon {
    /// A server that does not run yet.
    pub fn new(name: &str, log: &Path, command: Vec<String>, ready: Ready) -> Daemon {
        let name = name.to_string();
        let log = log.to_path_buf();
        Daemon {
            name,
            log,
            command,
            environment: vec![],
            ready,
            child: None,
            logged: 0,
        }
    }

    /// The same with a variable in its environment.
    pub fn with_env(mut self, name: &str, value: &str) -> Daemon {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Its name: `nn1`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Starts it and waits until it is ready.
    pub fn up(&mut self) -> Result<()> {
        self.start()?;
        self.wait_until_ready()
    }

    /// Starts it, unless it runs.
    pub fn start(&mut self) -> Result<()> {
        if self.is_running() {
            return Ok(());
        }
        self.logged = self.text().len();
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.log)?;
        let mut command = crate::packages::command("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--"])
            .args(&self.command);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        self.child =
            Some(spawn(command).with_context(|| format!("failed to start {}", self.name))?);
        Ok(())
    }

    /// Waits until it is ready.
    pub fn wait_until_ready(&mut self) -> Result<()> {
        match self.ready {
            Ready::Port(port) => self.wait_for(&format!("port {port}"), |_| port_open(port)),
            Ready::Logged(text, times) => self.wait_for_log(text, times),
        }
    }

    /// Waits until it has logged a text so many times since it was started.
    pub fn wait_for_log(&mut self, text: &str, times: usize) -> Result<()> {
        self.wait_for(text, |daemon| daemon.log().matches(text).count() >= times)
    }

    fn wait_for(&mut self, what: &str, mut done: impl FnMut(&Daemon) -> bool) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !done(self) {
            if !self.is_running() || Instant::now() > deadline {
                bail!(
                    "{}: waited in vain for {what}, log:\n{}",
                    self.name,
                    tail(&self.log())
                );
            }
            thread::sleep(POLL);
        }
        Ok(())
    }

    /// Whether its process is there.
    pub fn is_running(&mut self) -> bool {
        self.child
            .as_mut()
            .is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// SIGKILL, and its end.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// SIGTERM, and its end.
    pub fn stop(&mut self) -> Result<()> {
        self.signal(Signal::TERM)?;
        if let Some(mut child) = self.child.take() {
            child.wait()?;
        }
        Ok(())
    }

    /// SIGSTOP: it keeps its connections and answers nothing.
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// SIGCONT.
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// It has little time to run, in pieces.
    pub fn slow_down(&self) -> Result<SlowDown> {
        Ok(SlowDown::start(self.pid()?))
    }

    /// Waits until it has ended by itself.
    pub fn wait_for_end(&mut self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while self.is_running() {
            ensure!(Instant::now() < deadline, "{} does not end", self.name);
            thread::sleep(POLL);
        }
        Ok(())
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        kill_process(self.pid()?, signal).with_context(|| format!("failed to signal {}", self.name))
    }

    fn pid(&self) -> Result<Pid> {
        let child = self
            .child
            .as_ref()
            .with_context(|| format!("{} does not run", self.name))?;
        Pid::from_raw(child.id().cast_signed()).context("no process id")
    }

    /// What it has logged since it was started.
    pub fn log(&self) -> String {
        self.text()
            .get(self.logged..)
            .unwrap_or_default()
            .to_string()
    }

    fn text(&self) -> String {
        fs::read(&self.log)
            .map(|log| String::from_utf8_lossy(&log).into_owned())
            .unwrap_or_default()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}

fn tail(log: &str) -> String {
    let lines: Vec<_> = log.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

/// Whether something listens there.
fn port_open(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

/// A port that nobody listens on, below those that outgoing connections and listeners of port 0 take. A process gets no
/// port twice.
///
/// Nothing is bound to find out. A process that is just being started still has every listener of this process, until
/// the kernel has closed them: who then waits for the port would reach the wrong listener.
pub fn free_port() -> u16 {
    port_among(20_000..32_000)
}

/// The same below 1024: only root may listen there, so that a client may trust who does.
pub(crate) fn privileged_port() -> u16 {
    port_among(512..1024)
}

fn port_among(range: Range<u16>) -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    loop {
        let at = RandomState::new().hash_one(0) % range.len() as u64;
        let port = range.start + at as u16;
        let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
        if !port_open(port) && given.insert(port) {
            return port;
        }
    }
}

/// Starts a process from a thread that lives as long as this process: the kernel would kill the child with the
/// thread that started it, and tests run in threads of their own.
pub(crate) fn spawn(command: Command) -> std::io::Result<Child> {
    type Answer = std::io::Result<Child>;
    static SPAWNER: LazyLock<Sender<(Command, Sender<Answer>)>> = LazyLock::new(|| {
        let (requests, received): (_, Receiver<(Command, Sender<Answer>)>) = channel();
        thread::spawn(move || {
            received
                .iter()
                .for_each(|(mut command, to)| drop(to.send(command.spawn())))
        });
        requests
    });
    let (to, answer) = channel();
    let gone = || std::io::Error::other("the thread that starts processes is gone");
    SPAWNER.send((command, to)).map_err(|_| gone())?;
    answer.recv().map_err(|_| gone())?
}

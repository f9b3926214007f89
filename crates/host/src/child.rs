//! Runs a program to its end: with a built environment, with what it reads from standard input, within a time limit.
//! It is a process group of its own. At the time limit the group is killed, so nothing that it started stays behind.

use std::{
    env,
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Read, Write},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::{
    environment::{Environment, USUAL_PATH},
    interrupt::interrupted,
};

/// How long a program may run when nobody says otherwise.
pub const DEFAULT_LIMIT: Duration = Duration::from_secs(30);
const POLL_INTERVAL: Duration = Duration::from_millis(10);
/// Most bytes kept of each of its outputs; the rest is read and dropped.
const MAX_OUTPUT_BYTES: usize = 16 << 20;
const READ_BYTES: usize = 8 << 10;

/// A program about to be run.
pub struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
    environment: Environment,
    input: Vec<u8>,
    limit: Duration,
    until_interrupted: bool,
    /// Whether `setsid` starts it.
    own_session: bool,
}

/// How it ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit status.
    pub status: ExitStatus,
    /// What it wrote to standard output.
    pub out: String,
    /// The same, byte by byte.
    pub out_bytes: Vec<u8>,
    /// What it wrote to standard error.
    pub err: String,
}

/// Why there is no end to report.
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    /// The system refused.
    #[error("failed to {doing} {}: {cause}", path.display())]
    Io {
        /// `start` or `wait for`.
        doing: &'static str,
        /// The program.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// It was killed at its time limit.
    #[error("{} did not end within {} s", path.display(), limit.as_secs())]
    Late {
        /// The program.
        path: PathBuf,
        /// The limit.
        limit: Duration,
    },
    /// It was killed because this process was asked to stop.
    #[error("interrupted while {} ran", path.display())]
    Interrupted {
        /// The program.
        path: PathBuf,
    },
}

impl Ended {
    /// Whether it succeeded.
    pub fn ok(&self) -> bool {
        self.status.success()
    }

    /// Its last line: what a message shows of a failure.
    pub fn last_line(&self) -> String {
        let last = |text: &str| {
            let mut lines = text.lines().rev().map(str::trim);
            lines.find(|line| !line.is_empty()).map(String::from)
        };
        last(&self.err)
            .or_else(|| last(&self.out))
            .unwrap_or_else(|| self.status.to_string())
    }
}

impl Program {
    /// A program with a minimal environment, no input and [`DEFAULT_LIMIT`].
    pub fn new<A: AsRef<OsStr>>(path: impl Into<PathBuf>, arguments: &[A]) -> Program {
        Program {
            path: path.into(),
            arguments: arguments.iter().map(|word| word.as_ref().into()).collect(),
            environment: Environment::minimal(),
            input: vec![],
            limit: DEFAULT_LIMIT,
            until_interrupted: false,
            own_session: false,
        }
    }

    /// Runs it in a session of its own: it has no terminal then, and cannot put words into the one of this process.
    /// For what runs as another user.
    ///
    /// # Errors
    /// The program `setsid` is not there.
    pub fn in_own_session(mut self) -> io::Result<Program> {
        let missing = || io::Error::new(io::ErrorKind::NotFound, "setsid is not there");
        let setsid = find("setsid").ok_or_else(missing)?;
        self.arguments.insert(0, self.path.into());
        self.path = setsid;
        self.own_session = true;
        Ok(self)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command
            .args(&self.arguments)
            .env_clear()
            .envs(self.environment.iter());
        // The leader of a group cannot begin a session, which is a group, too.
        if !self.own_session {
            command.process_group(0);
        }
        command
    }

    /// Replaces its environment.
    #[must_use]
    pub fn environment(mut self, environment: Environment) -> Program {
        self.environment = environment;
        self
    }

    /// Adds a variable to its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Program {
        self.environment = self.environment.with(name, value);
        self
    }

    /// What it reads from standard input.
    #[must_use]
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Program {
        self.input = bytes.into();
        self
    }

    /// How long it may take.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Program {
        self.limit = limit;
        self
    }

    /// Kill it when this process is asked to stop (see [`crate::interrupt`]). What cleans up must not use this.
    #[must_use]
    pub fn until_interrupted(mut self) -> Program {
        self.until_interrupted = true;
        self
    }

    /// Runs it to its end. A program that fails is not an error here: the caller looks at [`Ended::status`].
    ///
    /// # Errors
    /// It could not be started, took too long, or was interrupted.
    pub fn run(self) -> Result<Ended, ChildError> {
        let failed = |doing| {
            let path = self.path.clone();
            move |cause| ChildError::Io { doing, path, cause }
        };
        let mut command = self.command();
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().map_err(failed("start"))?;
        let input = self.input;
        let stdin = child.stdin.take();
        // A program that ends without reading is not our failure; its own words say why.
        thread::spawn(move || stdin.map(|mut stdin| stdin.write_all(&input)));
        let out = collect(child.stdout.take());
        let err = collect(child.stderr.take());
        let stop = || self.until_interrupted && interrupted();
        let deadline = Instant::now() + self.limit;
        let end = wait_until(&mut child, deadline, stop).map_err(failed("wait for"))?;
        let path = self.path;
        match end {
            WaitEnd::Ended(status) => {
                let until = |parts| gather(parts, || Instant::now() > deadline || stop());
                let (out_bytes, out_ended) = until(out);
                let (err, err_ended) = until(err);
                if !(out_ended && err_ended) {
                    // It left something behind that holds its outputs, and that could write for ever.
                    let _ = kill_group(&mut child);
                }
                Ok(Ended {
                    status,
                    out: String::from_utf8_lossy(&out_bytes).into_owned(),
                    out_bytes,
                    err: String::from_utf8_lossy(&err).into_owned(),
                })
            }
            WaitEnd::Late => Err(ChildError::Late {
                path,
                limit: self.limit,
            }),
            WaitEnd::Stopped => Err(ChildError::Interrupted { path }),
        }
    }
}

/// Starts a program that lives beside this one and talks to it through pipes: its three standard streams. It leads a
/// process group of its own, see [`kill_group`].
///
/// # Errors
/// It could not be started.
pub fn spawn_piped<A: AsRef<OsStr>>(
    program: impl AsRef<OsStr>,
    arguments: &[A],
    environment: &Environment,
) -> io::Result<Child> {
    Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(environment.iter())
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
}

impl Program {
    /// Starts it beside this process, in `directory`, with no input; what it writes goes into `output`.
    ///
    /// # Errors
    /// It could not be started.
    pub fn start(self, directory: &Path, output: &File) -> Result<Background, ChildError> {
        let failed = |cause| ChildError::Io {
            doing: "start",
            path: self.path.clone(),
            cause,
        };
        let child = self
            .command()
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(output.try_clone().map_err(failed)?)
            .stderr(output.try_clone().map_err(failed)?)
            .spawn()
            .map_err(failed)?;
        Ok(Background { child })
    }
}

/// A program that runs beside this one. Dropping it kills it with everything it started.
#[derive(Debug)]
pub struct Background {
    child: Child,
}

impl Background {
    /// Asks it to end.
    pub fn terminate(&self) {
        // An error means that it has ended.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// The system cannot tell.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Waits for its end; `None` when it still runs after `limit`.
    ///
    /// # Errors
    /// The system cannot wait for it.
    pub fn wait(&mut self, limit: Duration) -> io::Result<Option<ExitStatus>> {
        let deadline = Instant::now() + limit;
        loop {
            let ended = self.child.try_wait()?;
            if ended.is_some() || Instant::now() > deadline {
                return Ok(ended);
            }
            thread::sleep(POLL_INTERVAL);
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        let _ = kill_group(&mut self.child);
    }
}

enum WaitEnd {
    Ended(ExitStatus),
    Late,
    Stopped,
}

fn wait_until(
    child: &mut Child,
    deadline: Instant,
    stop: impl Fn() -> bool,
) -> io::Result<WaitEnd> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(WaitEnd::Ended(status));
        }
        let late = Instant::now() > deadline;
        if late || stop() {
            kill_group(child)?;
            return Ok(if late {
                WaitEnd::Late
            } else {
                WaitEnd::Stopped
            });
        }
        thread::sleep(POLL_INTERVAL);
    }
}

/// Kills a child that leads a process group of its own, and everything it started in that group.
///
/// # Errors
/// The child cannot be waited for.
pub fn kill_group(child: &mut Child) -> io::Result<()> {
    // An error means that all of it has ended, or that it has not begun its group yet.
    let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
    let _ = child.kill();
    child.wait().map(drop)
}

/// Reads a stream to its end on a thread of its own. The parts end where the stream does.
fn collect(stream: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
    let (sender, parts) = mpsc::channel();
    thread::spawn(move || {
        let Some(mut stream) = stream else { return };
        let mut left = MAX_OUTPUT_BYTES;
        let mut buffer = vec![0; READ_BYTES];
        loop {
            match stream.read(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // What was read before an error is all there is.
                Ok(0) | Err(_) => return,
                Ok(read) => {
                    let kept = read.min(left);
                    left -= kept;
                    if kept > 0 {
                        let _ = sender.send(buffer[..kept].to_vec());
                    }
                }
            }
        }
    });
    parts
}

/// What a stream had until its end, or until it is given up; and whether that was its end.
fn gather(parts: Receiver<Vec<u8>>, give_up: impl Fn() -> bool) -> (Vec<u8>, bool) {
    let mut bytes = vec![];
    loop {
        match parts.recv_timeout(POLL_INTERVAL) {
            Ok(part) => bytes.extend(part),
            Err(RecvTimeoutError::Disconnected) => return (bytes, true),
            Err(RecvTimeoutError::Timeout) => {}
        }
        if give_up() {
            bytes.extend(parts.try_iter().flatten());
            return (bytes, false);
        }
    }
}

/// The full path of a program: below `PATH`, else where administrators' programs usually are.
pub fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let usual = OsString::from(USUAL_PATH);
    let directories: Vec<PathBuf> = env::split_paths(&path)
        .chain(env::split_paths(&usual))
        .collect();
    directories
        .into_iter()
        .map(|directory| directory.join(name))
        .find(|path| is_program(path))
}

fn is_program(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}

#[cfg(test)]
mod tests;

//! A real agent: the program itself, started on a configuration text, watched through its control socket.

use std::{
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use flume_monitor::{ComponentStatus, ControlAnswer, ControlRequest, Status, ask};

/// What a test waits for must happen within this time.
pub const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(5);

/// A port that nobody listens on now.
///
/// # Panics
/// Without a port.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// A running agent, killed when dropped. Its configuration may use `@DIR@` for a directory of its own.
pub struct Agent {
    child: Child,
    dir: tempfile::TempDir,
    name: String,
}

impl Agent {
    /// Starts agent `a1` of a configuration text with some more arguments.
    pub fn start(
        program: impl AsRef<Path>,
        configuration: &str,
        arguments: &[&str],
    ) -> io::Result<Agent> {
        Agent::start_in(tempfile::tempdir()?, program, configuration, arguments)
    }

    /// The same in a directory that another agent left.
    pub fn start_in(
        dir: tempfile::TempDir,
        program: impl AsRef<Path>,
        configuration: &str,
        arguments: &[&str],
    ) -> io::Result<Agent> {
        Agent::start_with(dir, program, configuration, arguments, &[])
    }

    /// The same with variables in its environment.
    pub fn start_with(
        dir: tempfile::TempDir,
        program: impl AsRef<Path>,
        configuration: &str,
        arguments: &[&str],
        environment: &[(String, String)],
    ) -> io::Result<Agent> {
        let name = "a1".to_string();
        fs::write(
            dir.path().join("flume.conf"),
            with_dir(configuration, dir.path()),
        )?;
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(dir.path().join("log"))?;
        let child = Command::new(program.as_ref())
            .args([
                "agent",
                "--name",
                &name,
                "--conf-file",
                "flume.conf",
                "--state-dir",
                "state",
            ])
            .args(arguments)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        Ok(Agent { child, dir, name })
    }

    /// Its directory.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything it logged so far.
    pub fn log(&self) -> String {
        let mut text = String::new();
        let read = fs::File::open(self.dir().join("log"))
            .and_then(|mut file| file.read_to_string(&mut text));
        read.map_or_else(|error| error.to_string(), |_| text)
    }

    /// Replaces its configuration; it is not told.
    pub fn configure(&self, configuration: &str) -> io::Result<()> {
        fs::write(
            self.dir().join("flume.conf"),
            with_dir(configuration, self.dir()),
        )
    }

    /// Asks it.
    pub fn ask(&self, request: &ControlRequest) -> io::Result<ControlAnswer> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(ask(&self.state_dir(), request))
    }

    fn state_dir(&self) -> PathBuf {
        self.dir().join("state").join(&self.name)
    }

    /// Its state now.
    pub fn status(&self) -> io::Result<Status> {
        match self.ask(&ControlRequest::Status)? {
            ControlAnswer::Status(status) => Ok(*status),
            answer => Err(io::Error::other(format!("{answer:?}"))),
        }
    }

    /// The first status for which `wanted` has an answer.
    ///
    /// # Panics
    /// With the agent's log, when that takes longer than [`PATIENCE`] or the agent ends.
    pub fn wait_for<T>(&mut self, what: &str, mut wanted: impl FnMut(&Status) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = self.status();
            if let Some(answer) = status.as_ref().ok().and_then(&mut wanted) {
                return answer;
            }
            let ended = self.child.try_wait().ok().flatten();
            if ended.is_some() || Instant::now() > deadline {
                panic!(
                    "waited in vain for {what}; ended {ended:?}, status {status:#?}, log:\n{}",
                    self.log()
                );
            }
            std::thread::sleep(POLL);
        }
    }

    /// Where a source listens.
    pub fn address(&mut self, source: &str) -> String {
        self.wait_for("a listening source", |status| {
            component(status, source)?.address.clone()
        })
    }

    /// Waits until a component's metric reaches a value.
    pub fn wait_for_count(&mut self, name: &str, metric: &str, least: u64) {
        self.wait_for(&format!("{name} {metric} {least}"), |status| {
            component(status, name)?
                .metrics
                .get(metric)
                .filter(|count| **count >= least)
                .map(drop)
        });
    }

    /// Sends a signal: `TERM`, `HUP`, `KILL`.
    pub fn signal(&self, signal: &str) -> io::Result<()> {
        Command::new("kill")
            .arg(format!("-{signal}"))
            .arg(self.pid().to_string())
            .status()
            .map(drop)
    }

    /// SIGTERM, and its exit with the log.
    pub fn stop(mut self) -> io::Result<(ExitStatus, String)> {
        self.signal("TERM")?;
        self.ended()
    }

    /// SIGKILL; its directory is left for [`Agent::start_in`].
    pub fn kill(mut self) -> io::Result<tempfile::TempDir> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(std::mem::replace(&mut self.dir, tempfile::tempdir()?))
    }

    /// Waits for its end.
    pub fn ended(&mut self) -> io::Result<(ExitStatus, String)> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok((status, self.log()));
            }
            if Instant::now() > deadline {
                return Err(io::Error::other(format!(
                    "the agent does not end, log:\n{}",
                    self.log()
                )));
            }
            std::thread::sleep(POLL);
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// netcat `r1` → `c1` → `k1`. Each line of `channel` and of `sink` is a property without the name of the component.
pub fn flow(channel: &str, sink: &str) -> String {
    let part = |name: &str, text: &str| -> String {
        text.lines()
            .map(|line| format!("a1.{name}.{line}\n"))
            .collect()
    };
    [
        "a1.sources = r1\na1.channels = c1\na1.sinks = k1\n",
        &part(
            "sources.r1",
            "type = netcat\nbind = localhost\nport = 0\nchannels = c1",
        ),
        &part("channels.c1", channel),
        &part("sinks.k1", sink),
        &part("sinks.k1", "channel = c1"),
    ]
    .concat()
}

/// Sends lines to a netcat source, which answers each with `OK`.
///
/// # Panics
/// When a line is refused.
pub fn send_lines(address: &str, lines: &[&str]) {
    let mut stream = TcpStream::connect(address).expect("the source listens");
    let text = lines.join("\n") + "\n";
    stream
        .write_all(text.as_bytes())
        .expect("the source takes lines");
    let mut answers = BufReader::new(stream).lines();
    for line in lines {
        let answer = answers.next().and_then(Result::ok);
        assert_eq!(answer.as_deref(), Some("OK"), "{line}");
    }
}

/// A component of a status by its short name.
pub fn component<'a>(status: &'a Status, name: &str) -> Option<&'a ComponentStatus> {
    status
        .components
        .iter()
        .find(|component| component.name == name)
}

fn with_dir(configuration: &str, dir: &Path) -> String {
    configuration.replace("@DIR@", &dir.display().to_string())
}

//! An agent made for the check: the unit's own command, environment, user and umask, on a port that the system chooses,
//! in a directory of its own.
//!
//! ```text
//! /run/flume-check-…/            root's; everybody may enter, nobody else may write
//!                    flume.conf  root's, for the service's group to read
//!                    log         root's; the agent writes through the descriptor that it inherits
//!                    state/      the service's; root touches nothing in it by a path
//! ```

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use flume_host::{
    child::{Background, ChildError, Program},
    directory::{Ownership, PrivateDirectory, SafeDirectory},
    environment::{Environment, USUAL_PATH},
    interrupt::interrupted,
};
use rustix::process::{getegid, geteuid};
use serde_json::Value;

use crate::{
    Site,
    fault::Fault,
    files::Rights,
    install::{LOG_DIR, STATE_DIR},
    payload::PROGRAM,
    program::find,
    unit::Unit,
};

/// Its name, and that of its flow's parts.
const NAME: &str = "check";
/// How the name of its directory begins.
pub(crate) const PREFIX: &str = "flume-check-";
/// Everything that a well host does takes a fraction of this.
const STEP_TIMEOUT: Duration = Duration::from_secs(60);
/// A sink may fail for a while and then work: when a NameNode fails over, for example.
const FAILING_TIMEOUT: Duration = Duration::from_secs(15);
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// The lines of a check.
const LINES: usize = 10;
const MAX_LOG_BYTES: usize = 1 << 20;
const MAX_FILE_BYTES: u64 = 1 << 20;

/// What is sent.
pub(super) fn lines() -> String {
    (1..=LINES)
        .map(|number| format!("flume-ng provision check, line {number}\n"))
        .collect()
}

/// A sink of the made agent: its name, and its own properties.
pub(super) struct CheckSink {
    pub(super) name: String,
    pub(super) properties: Vec<(String, String)>,
}

/// A running one; killed, and its directory removed, when dropped.
pub(super) struct CheckAgent {
    /// Runs programs as the service.
    service: Service,
    running: Background,
    log: File,
    sinks: Vec<String>,
    // Last: removed when nothing runs in it any more.
    home: Home,
}

/// The directory of a check.
pub(super) struct Home {
    directory: PrivateDirectory,
    /// The service's user: whose files are in `state`.
    user: u32,
}

impl Home {
    /// The directory that the agent may write to.
    pub(super) fn state(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    /// The text of all files in it whose names begin so.
    pub(super) fn written(&self, prefix: &str) -> Result<String, Fault> {
        let state = SafeDirectory::open(&self.state())?;
        let mut text = String::new();
        for name in state.names()? {
            if name.to_string_lossy().starts_with(prefix)
                && let Some(bytes) = state.read(&name, &[self.user], MAX_FILE_BYTES)?
            {
                text += &String::from_utf8_lossy(&bytes);
            }
        }
        Ok(text)
    }
}

/// How to run a program as the service does.
struct Service {
    unit: Unit,
    environment: Environment,
    user: u32,
    group: u32,
    program: PathBuf,
}

impl Service {
    fn of(site: &Site) -> Result<Service, Fault> {
        let unit = Unit::of_this_host(NAME)?;
        let root = geteuid().is_root();
        let (user, group) = if root {
            ids(&unit)?
        } else {
            (geteuid().as_raw(), getegid().as_raw())
        };
        let installed = PathBuf::from(PROGRAM);
        let program = if installed.exists() {
            installed
        } else {
            site.program.clone()
        };
        // What systemd itself gives to a service.
        let mut environment = Environment::default()
            .with("PATH", USUAL_PATH)
            .with("HOME", STATE_DIR)
            .with("USER", &unit.user)
            .with("LOGNAME", &unit.user)
            .with("LOGS_DIRECTORY", LOG_DIR);
        for (name, value) in &unit.environment {
            environment = environment.with(name, value);
        }
        Ok(Service {
            unit,
            environment,
            user,
            group,
            program,
        })
    }

    /// Words that run `command` as the service's user, with its groups and umask; it ends when this process does.
    fn words(&self, command: Vec<OsString>) -> Result<(PathBuf, Vec<OsString>), Fault> {
        let mut words: Vec<OsString> = vec![];
        if geteuid().is_root() {
            for word in ["--init-groups", "--pdeathsig", "TERM"] {
                words.push(word.into());
            }
            words.push(format!("--reuid={}", self.user).into());
            words.push(format!("--regid={}", self.group).into());
            words.push("/bin/sh".into());
        }
        for word in ["-c", "umask \"$1\"; shift; exec \"$@\"", "sh"] {
            words.push(word.into());
        }
        words.push((&self.unit.umask).into());
        words.extend(command);
        let first = if geteuid().is_root() {
            find("setpriv").ok_or_else(|| {
                Fault::new("the program setpriv is not there", "install util-linux")
            })?
        } else {
            "/bin/sh".into()
        };
        Ok((first, words))
    }

    /// `command` as the service's user, in a session of its own: another user must not reach root's terminal.
    fn program(&self, command: Vec<OsString>) -> Result<Program, Fault> {
        let (first, words) = self.words(command)?;
        let program = Program::new(first, &words);
        if !geteuid().is_root() {
            return Ok(program);
        }
        program
            .in_own_session()
            .map_err(|error| Fault::new(error.to_string(), "install util-linux"))
    }

    /// The unit's command with one more argument: the configuration file in place of the service's own.
    fn agent(&self, configuration: &Path, state: &Path) -> Result<Program, Fault> {
        let used = self.program.display().to_string();
        let own = |word: &String| OsString::from(word.replace(PROGRAM, &used));
        let mut command: Vec<_> = self.unit.command.iter().map(own).collect();
        command.push(configuration.into());
        let environment = self.environment.clone().with("STATE_DIRECTORY", state);
        Ok(self.program(command)?.environment(environment))
    }

    fn status(&self, state: &Path) -> Option<Value> {
        let mut command: Vec<OsString> = vec![self.program.clone().into()];
        for word in ["status", "--format", "json", "--name", NAME, "--state-dir"] {
            command.push(word.into());
        }
        command.push(state.into());
        let ended = self.program(command).ok()?.run().ok()?;
        serde_json::from_str(&ended.out).ok()
    }
}

fn ids(unit: &Unit) -> Result<(u32, u32), Fault> {
    let rights = Rights {
        user: unit.user.clone(),
        group: unit.group.clone(),
        mode: 0,
    };
    let ownership = rights.ownership()?;
    Ok((ownership.user, ownership.group))
}

impl CheckAgent {
    /// Starts `netcat → memory → sinks`, each sink behind a channel of its own. A sink may name the agent's directory,
    /// which it gets.
    pub(super) fn start(
        site: &Site,
        sinks: impl FnOnce(&Home) -> Vec<CheckSink>,
    ) -> Result<CheckAgent, Fault> {
        let service = Service::of(site)?;
        let home = Home {
            directory: PrivateDirectory::make(PREFIX)?,
            user: service.user,
        };
        let sinks = sinks(&home);
        let log = prepare(home.directory.open()?, &service, &configuration(&sinks))?;
        let file = home.directory.path().join("flume.conf");
        let running = service
            .agent(&file, &home.state())?
            .start(&working_directory(&service.unit), &log)
            .map_err(start_fault)?;
        Ok(CheckAgent {
            service,
            running,
            log,
            sinks: sinks.into_iter().map(|sink| sink.name).collect(),
            home,
        })
    }

    /// Sends the lines; each is acknowledged, and taken by every sink.
    pub(super) fn pass_lines(&mut self) -> Result<(), Fault> {
        let address = self.wait_for("its port", |status| {
            let source = component(status, "r1")?;
            source["address"].as_str().map(String::from)
        })?;
        let failed = |error| {
            let cause = format!("failed to send lines to {address}: {error}");
            Fault::new(cause, "look at the loopback device")
        };
        send(&address).map_err(failed)?;
        for sink in self.sinks.clone() {
            self.wait_for(&format!("sink {sink}"), |status| {
                let metrics = &component(status, &sink)?["metrics"];
                let taken = metrics["EventDrainSuccessCount"].as_u64()?;
                (taken >= LINES as u64).then_some(())
            })?;
        }
        Ok(())
    }

    /// Asks it to stop, and waits until it has.
    pub(super) fn stop(mut self) -> Result<Home, Fault> {
        self.running.terminate();
        let ended = self.running.wait(STEP_TIMEOUT);
        match ended.map_err(Fault::io("wait for", &self.service.program))? {
            Some(status) if status.success() => Ok(self.home),
            Some(status) => {
                Err(self.fault(format!("the agent made for the check ended with {status}")))
            }
            None => Err(self.fault("the agent made for the check did not stop".into())),
        }
    }

    /// The first status for which `wanted` has an answer.
    fn wait_for<T>(
        &mut self,
        what: &str,
        wanted: impl Fn(&Value) -> Option<T>,
    ) -> Result<T, Fault> {
        let start = Instant::now();
        let mut failing: Option<Instant> = None;
        loop {
            if interrupted() {
                return Err(Fault::interrupted());
            }
            let status = self.service.status(&self.home.state());
            if let Some(answer) = status.as_ref().and_then(&wanted) {
                return Ok(answer);
            }
            match status.as_ref().and_then(trouble) {
                None => failing = None,
                Some(reason) => {
                    let since = *failing.get_or_insert_with(Instant::now);
                    if since.elapsed() > FAILING_TIMEOUT {
                        return Err(self.fault(reason));
                    }
                }
            }
            if let Ok(Some(status)) = self.running.ended() {
                let cause = format!("the agent made for the check ended with {status}");
                return Err(self.fault(cause));
            }
            if start.elapsed() > STEP_TIMEOUT {
                return Err(self.fault(format!("waited in vain for {what}")));
            }
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// What is wrong, with the last error that the agent logged.
    fn fault(&self, cause: String) -> Fault {
        let mut bytes = vec![0; MAX_LOG_BYTES];
        let read = self.log.read_at(&mut bytes, 0).unwrap_or_default();
        let log = String::from_utf8_lossy(&bytes[..read]);
        let mut lines = log.lines().rev();
        let error = lines.find(|line| line.contains("[ERROR")).map(|line| {
            let message = line.split_once("] ").map_or(line, |(_, message)| message);
            message.trim()
        });
        // A program that cannot even start its log says why without a level.
        let last = log.lines().rev().find(|line| !line.trim().is_empty());
        let cause = match error.or(last).filter(|message| !cause.contains(*message)) {
            Some(message) => format!("{cause}: {message}"),
            None => cause,
        };
        Fault::new(cause, "flume-ng doctor")
    }
}

/// Fills the directory and gives away what is the service's, the directory itself last. The open log.
fn prepare(
    directory: SafeDirectory,
    service: &Service,
    configuration: &str,
) -> Result<File, Fault> {
    let mode = |mode| Ownership {
        user: geteuid().as_raw(),
        group: getegid().as_raw(),
        mode,
    };
    let me = [geteuid().as_raw()];
    let readable = Ownership {
        group: service.group,
        ..mode(0o640)
    };
    let bytes = configuration.as_bytes();
    directory.replace(OsStr::new("flume.conf"), bytes, &me, readable)?;
    let log = directory.create_file(OsStr::new("log"))?;
    let state = directory.make_directory(OsStr::new("state"))?;
    state.give(Ownership {
        user: service.user,
        group: service.group,
        mode: 0o700,
    })?;
    directory.give(mode(0o711))?;
    Ok(log)
}

/// The unit's own directory, when it is there.
fn working_directory(unit: &Unit) -> PathBuf {
    let directory = PathBuf::from(&unit.directory);
    if directory.is_dir() {
        directory
    } else {
        "/".into()
    }
}

fn start_fault(error: ChildError) -> Fault {
    Fault::new(error.to_string(), "flume-ng provision install")
}

fn component<'v>(status: &'v Value, name: &str) -> Option<&'v Value> {
    let components = status["components"].as_array()?;
    components
        .iter()
        .find(|component| component["name"] == name)
}

/// Why a component does not work.
fn trouble(status: &Value) -> Option<String> {
    let bad =
        |component: &&Value| component["state"] == "failing" || component["state"] == "refused";
    let component = status["components"].as_array()?.iter().find(bad)?;
    let reason = component["reason"].as_str().unwrap_or("no reason");
    let kind = component["kind"].as_str()?;
    let name = component["name"].as_str()?;
    Some(format!("{kind} {name}: {reason}"))
}

fn send(address: &str) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(STEP_TIMEOUT))?;
    stream.write_all(lines().as_bytes())?;
    let mut answers = BufReader::new(stream).lines();
    for _ in 0..LINES {
        let answer = answers.next().transpose()?.unwrap_or_default();
        if answer != "OK" {
            return Err(std::io::Error::other(format!("answered with `{answer}`")));
        }
    }
    Ok(())
}

/// The flow as properties.
fn configuration(sinks: &[CheckSink]) -> String {
    let names = |letter: &str| {
        let names: Vec<_> = sinks
            .iter()
            .map(|sink| format!("{letter}{}", sink.name))
            .collect();
        names.join(" ")
    };
    let mut text = format!(
        "{NAME}.sources = r1\n{NAME}.channels = {}\n{NAME}.sinks = {}\n\
         {NAME}.sources.r1.type = netcat\n{NAME}.sources.r1.bind = 127.0.0.1\n{NAME}.sources.r1.port = 0\n\
         {NAME}.sources.r1.channels = {}\n",
        names("c-"),
        names(""),
        names("c-")
    );
    for CheckSink { name, properties } in sinks {
        text += &format!(
            "{NAME}.channels.c-{name}.type = memory\n{NAME}.sinks.{name}.channel = c-{name}\n"
        );
        for (key, value) in properties {
            text += &format!("{NAME}.sinks.{name}.{key} = {value}\n");
        }
    }
    text
}

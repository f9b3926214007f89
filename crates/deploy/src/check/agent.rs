//! An agent made for the check: the same program, as the service's user, on a port that the system chooses, in a
//! directory of its own.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use flume_host::child::wait;

use crate::{
    Site,
    accounts::{group_id, user},
    fault::Fault,
    files::Rights,
    payload::PROGRAM,
};

/// Its name, and that of its flow's parts.
const NAME: &str = "check";
/// Everything that a well host does takes a fraction of this.
const PATIENCE: Duration = Duration::from_secs(60);
/// A sink may fail once, and then work: a NameNode that fails over, say.
const FAILING_PATIENCE: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(50);
/// The lines of a check.
const LINES: usize = 10;

/// What is sent.
pub(super) fn lines() -> String {
    (1..=LINES)
        .map(|number| format!("flume-ng provision check, line {number}\n"))
        .collect()
}

/// A sink of the made agent: its name, and its own properties.
pub(super) struct Sink {
    pub(super) name: String,
    pub(super) properties: Vec<(String, String)>,
}

/// A running one; killed when dropped.
pub(super) struct Agent {
    /// The installed program if there is one: what the service runs.
    program: PathBuf,
    child: Child,
    dir: tempfile::TempDir,
    sinks: Vec<String>,
}

impl Agent {
    /// Starts `netcat → memory → sinks`, each sink behind a channel of its own.
    pub(super) fn start(site: &Site, sinks: &[Sink]) -> Result<Agent, Fault> {
        let dir = tempfile::Builder::new().prefix("flume-check-").tempdir();
        let dir = dir.map_err(Fault::io("make a directory in", &std::env::temp_dir()))?;
        let path = dir.path();
        let file = path.join("flume.conf");
        fs::write(&file, configuration(sinks)).map_err(Fault::io("write", &file))?;
        let log = fs::File::create(path.join("log")).map_err(Fault::io("write", path))?;
        let also = log.try_clone().map_err(Fault::io("write", path))?;
        let installed = PathBuf::from(PROGRAM);
        let program = if installed.exists() {
            installed
        } else {
            site.program.clone()
        };
        let mut command = Command::new(&program);
        command
            .args(["agent", "--name", NAME, "--no-reload-conf", "--conf"])
            .arg(site.node.conf_dir());
        command
            .arg("--conf-file")
            .arg(&file)
            .arg("--state-dir")
            .arg(path);
        command
            .current_dir(path)
            .stdin(Stdio::null())
            .stdout(also)
            .stderr(log);
        command
            .env_remove("NOTIFY_SOCKET")
            .env_remove("STATE_DIRECTORY");
        if let Some(directory) = site.node.hadoop_conf_dir() {
            command.env("HADOOP_CONF_DIR", directory);
        }
        if rustix::process::geteuid().is_root() {
            as_service(&mut command, site, path)?;
        }
        let child = command.spawn().map_err(Fault::io("start", &program))?;
        let sinks = sinks.iter().map(|sink| sink.name.clone()).collect();
        Ok(Agent {
            program,
            child,
            dir,
            sinks,
        })
    }

    /// Sends the lines; each is acknowledged, and taken by every sink.
    pub(super) fn pass_lines(&mut self) -> Result<(), Fault> {
        let address = self.wait_for("its port", |status| {
            let source = component(status, "r1")?;
            source["address"].as_str().map(String::from)
        })?;
        let failed = |error| {
            Fault::new(
                format!("failed to send lines to {address}: {error}"),
                "look at the loopback device",
            )
        };
        send(&address).map_err(failed)?;
        for sink in self.sinks.clone() {
            self.wait_for(&format!("sink {sink}"), |status| {
                let taken =
                    component(status, &sink)?["metrics"]["EventDrainSuccessCount"].as_u64()?;
                (taken >= LINES as u64).then_some(())
            })?;
        }
        Ok(())
    }

    /// Asks it to stop, and waits until it has.
    pub(super) fn stop(mut self) -> Result<tempfile::TempDir, Fault> {
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let ended =
            wait(&mut self.child, PATIENCE).map_err(Fault::io("wait for", &self.program))?;
        match ended {
            Some(status) if status.success() => {}
            Some(status) => {
                return Err(self.fault(format!("the agent made for the check ended with {status}")));
            }
            None => {
                return Err(self.fault("the agent made for the check did not stop".into()));
            }
        }
        let empty = tempfile::tempdir().map_err(Fault::io("make", &std::env::temp_dir()))?;
        Ok(std::mem::replace(&mut self.dir, empty))
    }

    /// The first status for which `wanted` has an answer.
    fn wait_for<T>(
        &mut self,
        what: &str,
        wanted: impl Fn(&Value) -> Option<T>,
    ) -> Result<T, Fault> {
        let start = Instant::now();
        let mut failing = None;
        loop {
            let status = self.status();
            if let Some(answer) = status.as_ref().and_then(&wanted) {
                return Ok(answer);
            }
            let reason = status.as_ref().and_then(trouble);
            failing = reason.map(|reason| {
                failing.map_or((Instant::now(), reason.clone()), |(since, _)| {
                    (since, reason)
                })
            });
            if let Some((_, reason)) =
                failing.take_if(|(since, _)| since.elapsed() > FAILING_PATIENCE)
            {
                return Err(self.fault(reason));
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(self.fault(format!("the agent made for the check ended with {status}")));
            }
            if start.elapsed() > PATIENCE {
                return Err(self.fault(format!("waited in vain for {what}")));
            }
            thread::sleep(POLL);
        }
    }

    fn status(&self) -> Option<Value> {
        let mut command = Command::new(&self.program);
        command
            .args(["status", "--format", "json", "--name", NAME, "--state-dir"])
            .arg(self.dir.path());
        let output = command
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output()
            .ok()?;
        serde_json::from_slice(&output.stdout).ok()
    }

    /// What is wrong, with the last error that the agent logged.
    fn fault(&self, cause: String) -> Fault {
        let log = fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
        let error = log.lines().rev().find(|line| line.contains("[ERROR"));
        let message = error
            .and_then(|line| line.split_once("] "))
            .map(|(_, message)| message.trim());
        let cause = match message.filter(|message| !cause.contains(message)) {
            Some(message) => format!("{cause}: {message}"),
            None => cause,
        };
        Fault::new(cause, "flume-ng doctor")
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// As the service's user, who must be able to use the directory.
fn as_service(command: &mut Command, site: &Site, dir: &Path) -> Result<(), Fault> {
    let absent = || {
        Fault::new(
            "the service's user or group is not there",
            "flume-ng provision install",
        )
    };
    let user = user(site.node.user())?.ok_or_else(absent)?;
    let group = group_id(site.node.group())?.ok_or_else(absent)?;
    command.uid(user.id).gid(group);
    let rights = |mode| Rights {
        user: site.node.user().into(),
        group: site.node.group().into(),
        mode,
    };
    rights(0o700).give(dir)?;
    rights(0o600).give(&dir.join("flume.conf"))
}

fn component<'v>(status: &'v Value, name: &str) -> Option<&'v Value> {
    status["components"]
        .as_array()?
        .iter()
        .find(|component| component["name"] == name)
}

/// Why a component does not work.
fn trouble(status: &Value) -> Option<String> {
    let bad =
        |component: &&Value| component["state"] == "failing" || component["state"] == "refused";
    let component = status["components"].as_array()?.iter().find(bad)?;
    let reason = component["reason"].as_str().unwrap_or("no reason");
    Some(format!(
        "{} {}: {reason}",
        component["kind"].as_str()?,
        component["name"].as_str()?
    ))
}

fn send(address: &str) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
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
fn configuration(sinks: &[Sink]) -> String {
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
    for Sink { name, properties } in sinks {
        text += &format!(
            "{NAME}.channels.c-{name}.type = memory\n{NAME}.sinks.{name}.channel = c-{name}\n"
        );
        for (key, value) in properties {
            text += &format!("{NAME}.sinks.{name}.{key} = {value}\n");
        }
    }
    text
}

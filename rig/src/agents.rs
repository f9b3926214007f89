//! Agents under measurement: this program, and the released Java Flume as its peer, started alike.

use std::{
    ffi::OsStr,
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use flume_cluster::{free_port, installing};
use serde_json::Value;

/// How long one wait may take: a JVM on a busy machine needs most of a minute to start.
const PATIENCE: Duration = Duration::from_secs(300);

/// Whose program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maker {
    /// This project's.
    Ours,
    /// Apache Flume 1.11.0.
    Java,
}

/// A running agent `a1`, killed when dropped.
pub struct Running {
    child: Child,
    maker: Maker,
    environment: Vec<(String, String)>,
    arguments: Vec<String>,
    dir: tempfile::TempDir,
    monitoring: u16,
    /// The port that `@PORT@` in its configuration stands for.
    pub port: u16,
    started: Instant,
}

/// What a process has used so far.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// CPU seconds, user and system.
    pub cpu: f64,
    /// Greatest resident memory, MiB.
    pub peak_mib: f64,
}

/// The root of the checkout.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map(Path::to_path_buf)
        .unwrap_or_default()
}

/// Where things are built.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// The program to measure, built like this one.
pub fn program() -> PathBuf {
    let beside = std::env::current_exe().map(|path| path.with_file_name("flume-ng"));
    beside.unwrap_or_else(|_| target().join("release/flume-ng"))
}

/// Where measurements keep files: on a disk, not in memory.
pub fn scratch() -> Result<PathBuf> {
    let base = target().join("rig");
    fs::create_dir_all(&base)?;
    Ok(base.canonicalize()?)
}

/// Makes the peer ready: its jars are downloaded once.
pub fn install_java() -> Result<()> {
    install("java-flume", &[&java_dir()])
}

/// Runs `install.sh` of a directory of the rig.
pub fn install(directory: &str, arguments: &[&dyn AsRef<OsStr>]) -> Result<()> {
    let _alone = installing()?;
    let script = root().join("rig").join(directory).join("install.sh");
    let mut command = Command::new(&script);
    for argument in arguments {
        command.arg(argument);
    }
    let status = command.status()?;
    ensure!(status.success(), "{} failed: {status}", script.display());
    Ok(())
}

/// Where the peer's jars are, below `lib`.
pub fn java_dir() -> PathBuf {
    target().join("java-flume")
}

/// A configuration of `rig/configs`.
pub fn configuration(name: &str) -> Result<String> {
    let path = root().join("rig/configs").join(name);
    fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))
}

impl Running {
    /// Starts an agent; `@PORT@`, `@DIR@` and `@ROOT@` in the configuration are filled in.
    pub fn start(maker: Maker, configuration: &str) -> Result<Running> {
        Running::prepare(maker, configuration, |_| Ok(()))
    }

    /// The same with what `files` puts into its directory before.
    pub fn prepare(
        maker: Maker,
        configuration: &str,
        files: impl FnOnce(&Path) -> std::io::Result<()>,
    ) -> Result<Running> {
        Running::launch(maker, configuration, files, &[], &[])
    }

    /// The same with variables in its environment.
    pub fn prepare_with(
        maker: Maker,
        configuration: &str,
        files: impl FnOnce(&Path) -> std::io::Result<()>,
        environment: &[(String, String)],
    ) -> Result<Running> {
        Running::launch(maker, configuration, files, environment, &[])
    }

    /// The same with variables in its environment; `HADOOP_CONF_DIR` and `KRB5_CONFIG` reach Java Flume, too.
    pub fn start_with(
        maker: Maker,
        configuration: &str,
        environment: &[(String, String)],
    ) -> Result<Running> {
        Running::launch(maker, configuration, |_| Ok(()), environment, &[])
    }

    /// The same with more arguments.
    pub fn start_as(
        maker: Maker,
        configuration: &str,
        environment: &[(String, String)],
        arguments: &[String],
    ) -> Result<Running> {
        Running::launch(maker, configuration, |_| Ok(()), environment, arguments)
    }

    fn launch(
        maker: Maker,
        configuration: &str,
        files: impl FnOnce(&Path) -> std::io::Result<()>,
        environment: &[(String, String)],
        arguments: &[String],
    ) -> Result<Running> {
        let dir = tempfile::tempdir_in(scratch()?)?;
        fs::create_dir(dir.path().join("files"))?;
        files(dir.path())?;
        let port = free_port();
        let monitoring = free_port();
        let text = configuration
            .replace("@PORT@", &port.to_string())
            .replace("@ROOT@", &root().display().to_string())
            .replace("@DIR@", &dir.path().display().to_string());
        fs::write(dir.path().join("flume.conf"), text)?;
        let started = Instant::now();
        let child = spawn(maker, dir.path(), monitoring, environment, arguments)?;
        Ok(Running {
            child,
            maker,
            environment: environment.to_vec(),
            arguments: arguments.to_vec(),
            dir,
            monitoring,
            port,
            started,
        })
    }

    /// SIGKILL, and a new start on what it left.
    pub fn kill_and_restart(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        self.started = Instant::now();
        let dir = self.dir.path();
        self.child = spawn(
            self.maker,
            dir,
            self.monitoring,
            &self.environment,
            &self.arguments,
        )?;
        Ok(())
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal: `STOP`, `CONT`.
    pub fn signal(&self, signal: &str) -> Result<()> {
        let pid = self.child.id().to_string();
        let status = Command::new("kill")
            .arg(format!("-{signal}"))
            .arg(pid)
            .status()?;
        ensure!(status.success(), "kill -{signal}: {status}");
        Ok(())
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The port that `@PORT@` stood for.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its directory.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Where its monitoring page is.
    pub fn page(&self) -> String {
        format!("http://127.0.0.1:{}/", self.monitoring)
    }

    /// What it logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir().join("log")).unwrap_or_default()
    }

    /// Waits until its source's port is open: the time since it was started.
    pub fn wait_for_port(&mut self) -> Result<Duration> {
        let begun = Instant::now();
        loop {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return Ok(self.started.elapsed());
            }
            self.alive("its port", begun)?;
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Time since it was started.
    pub fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// Fails if the process has ended, or if the wait that began at `begun` takes too long.
    fn alive(&mut self, what: &str, begun: Instant) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("the agent ended with {status}:\n{}", self.log());
        }
        ensure!(
            begun.elapsed() < PATIENCE,
            "waited in vain for {what}:\n{}",
            self.log()
        );
        Ok(())
    }

    /// An attribute of `/metrics`: `("CHANNEL.c1", "EventTakeSuccessCount")`.
    pub fn metric(&mut self, component: &str, attribute: &str) -> Result<u64> {
        let begun = Instant::now();
        loop {
            if let Ok(metrics) = get(self.monitoring, "/metrics") {
                let metrics: Value =
                    serde_json::from_str(&metrics).context("/metrics is not JSON")?;
                if let Some(value) = metrics[component][attribute].as_str() {
                    return Ok(value.parse()?);
                }
            }
            self.alive("/metrics", begun)?;
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// A text among the attributes of `/metrics`.
    pub fn fact(&mut self, component: &str, attribute: &str) -> Result<String> {
        let metrics: Value = serde_json::from_str(&get(self.monitoring, "/metrics")?)?;
        let text = metrics[component][attribute].as_str();
        Ok(text.with_context(|| format!("no {attribute}"))?.into())
    }

    /// The lines that `status` shows of a component.
    pub fn status(&self) -> Result<String> {
        let output = Command::new(program())
            .args(["status", "--state-dir", "state"])
            .current_dir(self.dir())
            .output()?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Waits until an attribute of `/metrics` has reached `count`.
    pub fn wait_for_count(&mut self, component: &str, attribute: &str, count: u64) -> Result<()> {
        let begun = Instant::now();
        while self.metric(component, attribute)? < count {
            self.alive(attribute, begun)?;
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Waits until it has logged this text.
    pub fn wait_for_log(&mut self, text: &str) -> Result<()> {
        let begun = Instant::now();
        while !self.log().contains(text) {
            self.alive(text, begun)?;
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// SIGTERM, and its end.
    pub fn stop(&mut self) -> Result<()> {
        Command::new("kill")
            .arg(self.child.id().to_string())
            .status()?;
        let begun = Instant::now();
        while self.child.try_wait()?.is_none() {
            ensure!(
                begun.elapsed() < PATIENCE,
                "it does not stop:\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Its resident memory.
    pub fn resident_mib(&self) -> Result<f64> {
        resident_mib(self.child.id())
    }

    /// What its process has used.
    pub fn usage(&self) -> Result<Usage> {
        let pid = self.child.id();
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let fields: Vec<_> = stat
            .rsplit(") ")
            .next()
            .unwrap_or_default()
            .split(' ')
            .collect();
        // Fields 14 and 15 of the whole line, in ticks of a hundredth of a second.
        let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let peak = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .context("no VmHWM")?;
        let kib: f64 = peak.trim().trim_end_matches("kB").trim().parse()?;
        Ok(Usage {
            cpu: ticks as f64 / 100.0,
            peak_mib: kib / 1024.0,
        })
    }
}

fn spawn(
    maker: Maker,
    dir: &Path,
    monitoring: u16,
    environment: &[(String, String)],
    arguments: &[String],
) -> Result<Child> {
    let log = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(dir.join("log"))?;
    let mut command = match maker {
        Maker::Ours => Command::new(program()),
        Maker::Java => Command::new(root().join("rig/java-flume/flume-ng")),
    };
    command.args(["agent", "--name", "a1", "--conf-file", "flume.conf"]);
    match maker {
        Maker::Ours => command.args(["--state-dir", "state", "-Dflume.root.logger=WARN,console"]),
        Maker::Java => command.env("JAVA_FLUME", java_dir().canonicalize()?),
    };
    if let Some((_, krb5)) = environment.iter().find(|(name, _)| name == "KRB5_CONFIG") {
        command.arg(format!("-Djava.security.krb5.conf={krb5}"));
    }
    command.args(arguments);
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    command
        .arg("-Dflume.monitoring.type=http")
        .arg(format!("-Dflume.monitoring.port={monitoring}"));
    command
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    command
        .spawn()
        .with_context(|| format!("failed to start {maker:?}"))
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The body of a page of the monitoring port.
fn get(port: u16, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
    ensure!(head.contains(" 200 "), "{head}");
    Ok(body.into())
}

/// Resident memory of a process.
pub fn resident_mib(pid: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .context("no VmRSS")?;
    Ok(kib.trim().trim_end_matches("kB").trim().parse::<f64>()? / 1024.0)
}

//! A configuration in a real ZooKeeper: read, watched, kept while the server is away, and read by Java Flume as well.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use flume_cluster::{Daemon, Ready, free_port};

use crate::{
    agents::{install_java, java_dir, program, root, scratch},
    report::Report,
};

/// Of the user `flume` at a server that asks.
const PASSWORD: &str = "flume-secret";
const SASL_PROVIDER: &str = "org.apache.zookeeper.server.auth.SASLAuthenticationProvider";
/// How long anything may take to show.
const WAIT: Duration = Duration::from_secs(60);

/// A server of the released version that Java Flume comes with.
pub struct Server {
    daemon: Daemon,
    /// Where it listens.
    pub address: String,
    /// Options of its JVM and of its clients' that say who logs in.
    login: Vec<String>,
}

impl Server {
    /// With its data below a directory.
    pub fn start(directory: &Path) -> Result<Server> {
        Server::start_with(directory, vec![])
    }

    /// A server that takes no session without a login by SASL's DIGEST-MD5.
    fn start_secured(directory: &Path) -> Result<Server> {
        let module = "org.apache.zookeeper.server.auth.DigestLoginModule required";
        let text = format!(
            "Server {{ {module} user_flume=\"{PASSWORD}\"; }};\n\
             Client {{ {module} username=\"flume\" password=\"{PASSWORD}\"; }};\n"
        );
        let file = directory.join("jaas.conf");
        fs::write(&file, text)?;
        let login = [
            format!("-Djava.security.auth.login.config={}", file.display()),
            "-Dzookeeper.sessionRequireClientSASLAuth=true".into(),
            format!("-Dzookeeper.authProvider.1={SASL_PROVIDER}"),
        ];
        Server::start_with(directory, login.to_vec())
    }

    fn start_with(directory: &Path, login: Vec<String>) -> Result<Server> {
        let port = free_port();
        let class_path = class_path()?;
        let port_text = port.to_string();
        let data = directory.join("data").display().to_string();
        let mut command = vec!["java", "-Xmx128m", "-Dzookeeper.admin.enableServer=false"];
        command.extend(login.iter().map(String::as_str));
        command.extend(["-cp", &class_path]);
        command.extend(["org.apache.zookeeper.server.ZooKeeperServerMain"]);
        command.extend([port_text.as_str(), &data]);
        let command = command.into_iter().map(String::from).collect();
        let log = directory.join("zookeeper.log");
        let mut daemon = Daemon::new("zookeeper", &log, command, Ready::Port(port));
        daemon.up()?;
        let server = Server {
            daemon,
            address: format!("127.0.0.1:{port}"),
            login,
        };
        // The port is open before the server takes sessions.
        ensure!(
            wait(|| server.run(&["ls", "/"]).is_ok()).is_some(),
            "ZooKeeper takes no session"
        );
        Ok(server)
    }

    /// Runs a command of ZooKeeper's own client.
    pub fn run(&self, arguments: &[&str]) -> Result<()> {
        let output = Command::new("java")
            .args(["-Xmx64m", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error"])
            .args(&self.login)
            .args(["-cp", &class_path()?, "org.apache.zookeeper.ZooKeeperMain"])
            .args(["-server", &self.address])
            .args(arguments)
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{arguments:?}: {said}");
        Ok(())
    }
}

fn class_path() -> Result<String> {
    Ok(format!("{}/lib/*", java_dir().canonicalize()?.display()))
}

fn flow(port: u16) -> String {
    format!(
        "a1.sources = r1\na1.channels = c1\na1.sinks = k1\na1.sources.r1.type = netcat\n\
         a1.sources.r1.bind = 127.0.0.1\na1.sources.r1.port = {port}\na1.sources.r1.channels = c1\n\
         a1.channels.c1.type = memory\na1.sinks.k1.type = null\na1.sinks.k1.channel = c1\n"
    )
}

fn wait(done: impl Fn() -> bool) -> Option<Duration> {
    let began = Instant::now();
    while !done() {
        if began.elapsed() > WAIT {
            return None;
        }
        thread::sleep(Duration::from_millis(50));
    }
    Some(began.elapsed())
}

/// Whether a netcat source there takes a line.
fn serves(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else {
        return false;
    };
    let mut answer = [0; 2];
    let asked = stream
        .write_all(b"x\n")
        .and_then(|()| stream.read_exact(&mut answer));
    asked.is_ok() && &answer == b"OK"
}

fn row(report: &mut Report, item: &str, took: Option<Duration>) {
    let value = took.map_or("not within a minute".into(), |took| {
        format!("after {:.1} s", took.as_secs_f64())
    });
    report.row(item, value, "so", took.is_some());
}

/// All of it.
pub fn show(report: &mut Report) -> Result<()> {
    install_java()?;
    let directory = tempfile::tempdir_in(scratch()?)?;
    let mut server = Server::start(directory.path())?;
    let first = free_port();
    let second = free_port();
    let third = free_port();
    server.run(&["create", "/flume"])?;
    server.run(&["create", "/flume/a1", &flow(first)])?;
    let state = directory.path().join("state").display().to_string();
    let arguments = [
        "agent",
        "-n",
        "a1",
        "-z",
        &server.address,
        "--state-dir",
        &state,
    ];
    let mut command = vec![program().display().to_string()];
    command.extend(arguments.map(String::from));
    let log = directory.path().join("agent.log");
    let mut agent = Daemon::new("flume-ng", &log, command, Ready::Port(first));
    agent.up()?;
    row(report, "an agent reads its node", wait(|| serves(first)));
    server.run(&["set", "/flume/a1", &flow(second)])?;
    row(
        report,
        "a change of the node is put into force",
        wait(|| serves(second)),
    );

    let status = || {
        let mut command = Command::new(program());
        let output = command
            .args(["status", "-n", "a1", "--state-dir", &state])
            .output();
        output.map_or(String::new(), |output| {
            String::from_utf8_lossy(&output.stdout).into_owned()
        })
    };
    let is_away = || status().contains("no look at the configuration");
    server.daemon.kill();
    row(report, "status says that the server is away", wait(is_away));
    let runs = serves(second);
    report.row("the agent runs on meanwhile", runs, "true", runs);
    server.daemon.up()?;
    row(
        report,
        "the agent finds the server again",
        wait(|| !is_away()),
    );
    server.run(&["set", "/flume/a1", "nonsense"])?;
    let refused = || status().contains("changed nothing: the configuration cannot be read");
    row(
        report,
        "a wrong node changes nothing, and status says so",
        wait(refused),
    );
    server.run(&["delete", "/flume/a1"])?;
    let missing = || status().contains("it does not exist");
    row(
        report,
        "a node that vanishes changes nothing",
        wait(missing),
    );
    let runs = serves(second);
    report.row("the agent runs on all the same", runs, "true", runs);
    server.run(&["create", "/flume/a1", &flow(third)])?;
    row(
        report,
        "a node that is there again is put into force",
        wait(|| serves(third)),
    );
    agent.kill();

    let script = root().join("rig/java-flume/flume-ng").display().to_string();
    let arguments = [&script, "agent", "-n", "a1", "-z", &server.address];
    let command = arguments.map(String::from).to_vec();
    let log = directory.path().join("java.log");
    let mut java = Daemon::new("java-flume", &log, command, Ready::Port(third)).with_env(
        "JAVA_FLUME",
        &java_dir().canonicalize()?.display().to_string(),
    );
    java.up()?;
    row(
        report,
        "Java Flume reads the same node",
        wait(|| serves(third)),
    );
    secured(report)
}

/// A server that asks who one is.
fn secured(report: &mut Report) -> Result<()> {
    let directory = tempfile::tempdir_in(scratch()?)?;
    let server = Server::start_secured(directory.path())?;
    let port = free_port();
    server.run(&["create", "/flume"])?;
    server.run(&["create", "/flume/a1", &flow(port)])?;
    let command = |more: &[String]| -> Vec<String> {
        let state = directory.path().join("state").display().to_string();
        let program = program().display().to_string();
        let words = [
            &program,
            "agent",
            "-n",
            "a1",
            "-z",
            &server.address,
            "--state-dir",
            &state,
        ];
        let words = words.iter().map(|word| word.to_string());
        words.chain(more.iter().cloned()).collect()
    };
    let log = directory.path().join("agent.log");
    let mut agent = Daemon::new("flume-ng", &log, command(&server.login), Ready::Port(port));
    agent.up()?;
    row(
        report,
        "an agent logs in by DIGEST-MD5 and reads its node",
        wait(|| serves(port)),
    );
    agent.kill();
    let command = command(&[]);
    let output = Command::new(&command[0]).args(&command[1..]).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    let told = !output.status.success() && said.contains("ZooKeeper");
    if !told {
        println!("{said}");
    }
    report.row("without a login it does not start", told, "true", told);
    Ok(())
}

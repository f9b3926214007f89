//! What an operator sees when something goes wrong: real agents, brought into trouble.

use std::{
    fs,
    net::TcpListener,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use anyhow::{Result, ensure};
use async_trait::async_trait;
use flume_conf::Document;
use flume_core::{
    AgentInfo, BuildError, Component, Config, Context, Delivered, Event, Registration, Registry,
    Sink, SinkError, Want,
};
use flume_testkit::agent::{Agent, component};

use crate::{
    agents::program,
    flow::{FLOW, numbers, send_numbered},
    report::Report,
};

/// One trouble.
struct Transcript {
    title: &'static str,
    /// The agent's log and status.
    text: String,
    /// Whether it was said, and nothing was lost.
    pass: bool,
}

/// Each trouble is told, and costs nothing. The transcripts of those that fail are printed, or of all.
pub fn show(report: &mut Report, print_all: bool) -> Result<()> {
    for transcript in all()? {
        if print_all || !transcript.pass {
            println!("--- {}\n{}", transcript.title, transcript.text);
        }
        report.row(transcript.title, "", "as said", transcript.pass);
    }
    Ok(())
}

fn all() -> Result<Vec<Transcript>> {
    Ok(vec![
        port_in_use()?,
        directory_missing()?,
        disk_full()?,
        broken_reload()?,
        panic()?,
    ])
}

/// A second agent cannot bind, says so, and binds as soon as the port is free.
fn port_in_use() -> Result<Transcript> {
    let holder = TcpListener::bind(("127.0.0.1", 0))?;
    let port = holder.local_addr()?.port();
    let mut agent = Agent::start(
        program(),
        &FLOW.replace("port = 0", &format!("port = {port}")),
        &[],
    )?;
    fs::create_dir(agent.dir().join("files"))?;
    let reason = failure(&mut agent, "r1");
    let status = show_status(&agent)?;
    drop(holder);
    let address = agent.address("r1");
    let acknowledged = send_numbered(&address, 0..10)?;
    finish(
        "a port in use",
        agent,
        status,
        reason.contains(&port.to_string()) && acknowledged == 10,
    )
}

/// A sink that fails until its directory exists: the channel keeps the events, all arrive.
fn directory_missing() -> Result<Transcript> {
    let mut agent = Agent::start(program(), FLOW, &[])?;
    let reason = failure(&mut agent, "k1");
    let address = agent.address("r1");
    send_numbered(&address, 0..1000)?;
    let status = show_status(&agent)?;
    let files = agent.dir().join("files");
    fs::create_dir(&files)?;
    agent.wait_for_count("k1", "EventDrainSuccessCount", 1000);
    let all = numbers(&files)?.into_iter().eq(0..1000);
    finish(
        "a sink that fails for a while",
        agent,
        status,
        all && reason.contains("sink.directory"),
    )
}

/// A file system of one MiB fills up: the sink says so, and delivers the rest when there is room, each line once.
fn disk_full() -> Result<Transcript> {
    let mut agent = Agent::start(program(), FLOW, &[])?;
    let files = agent.dir().join("files");
    fs::create_dir(&files)?;
    let mount = |arguments: &[&str]| Command::new("mount").args(arguments).arg(&files).status();
    ensure!(
        mount(&["-t", "tmpfs", "-o", "size=1m", "tmpfs"])?.success(),
        "a small file system needs root"
    );
    // The sink looked for its directory before the small one lay on it: both exist.
    let address = agent.address("r1");
    let lines = 200_000;
    let sender = {
        let address = address.clone();
        std::thread::spawn(move || send_numbered(&address, 0..lines))
    };
    let reason = failure(&mut agent, "k1");
    let status = show_status(&agent)?;
    ensure!(
        mount(&["-o", "remount,size=64m"])?.success(),
        "the file system cannot grow"
    );
    let sent = sender
        .join()
        .map_err(|_| anyhow::anyhow!("the client panicked"))?
        .unwrap_or(0);
    agent.wait_for_count("k1", "EventDrainSuccessCount", sent);
    let written = numbers(&files)?;
    let each_once =
        written.iter().copied().eq(0..written.len() as u64) && written.len() as u64 >= sent;
    let said = reason.contains("No space left");
    let transcript = finish("a full disk", agent, status, said && each_once && sent > 0);
    Command::new("umount").arg("-l").arg(&files).status()?;
    transcript
}

/// A reload with an error changes nothing and says where the error is.
fn broken_reload() -> Result<Transcript> {
    let mut agent = Agent::start(program(), FLOW, &[])?;
    let files = agent.dir().join("files");
    fs::create_dir(&files)?;
    let address = agent.address("r1");
    agent.configure(&FLOW.replace("batchSize = 100", "batchSize = many"))?;
    agent.signal("HUP")?;
    let error = agent.wait_for("a refused reload", |status| {
        status.last_reload.clone()?.error
    });
    let status = show_status(&agent)?;
    let acknowledged = send_numbered(&address, 0..10)?;
    agent.wait_for_count("k1", "EventDrainSuccessCount", 10);
    finish(
        "a reload with an error in it",
        agent,
        status,
        error.contains("flume.conf:14") && acknowledged == 10,
    )
}

/// A sink that panics: the agent lives, the sink is built again, its events are delivered.
fn panic() -> Result<Transcript> {
    let runtime = tokio::runtime::Runtime::new()?;
    let mut text = String::new();
    let delivered = runtime.block_on(async {
        let mut document = Document::default();
        let flow = "a1.sources = r1\na1.channels = c1\na1.sinks = k1\na1.sources.r1.type = seq\na1.sources.r1.totalEvents = 3\n\
                    a1.sources.r1.channels = c1\na1.channels.c1.type = memory\na1.sinks.k1.type = panicking\na1.sinks.k1.channel = c1\n";
        document.add("flume.conf", flow.as_bytes());
        let info = Arc::new(AgentInfo { name: "a1".into(), ..AgentInfo::default() });
        let mut agent = flume_runtime::Agent::new(info.clone());
        agent.apply(flume_runtime::check(
                document.plan("a1", &REGISTRY),
                &info,
                flume_runtime::Flows::Whole,
            )).await?;
        let board = agent.board();
        let mut last = String::new();
        for _ in 0..1000 {
            let status = flume_monitor::status(&board);
            let sink = component(&status, "k1").cloned();
            let Some(sink) = sink else { continue };
            let line = format!("sink k1 {} {}", sink.state, sink.reason.unwrap_or_default());
            if line != last {
                text += &format!("{line}\n");
                last = line;
            }
            if sink.metrics.get("EventDrainSuccessCount") == Some(&3) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let remained = agent.stop(Duration::from_secs(1), std::future::pending()).await;
        anyhow::Ok(remained.is_empty())
    })?;
    let pass = delivered && text.contains("panicked: the demonstration");
    Ok(Transcript {
        title: "a component that panics",
        text,
        pass,
    })
}

static REGISTRY: Registry = Registry {
    sinks: &[Registration::sink::<Panicking>("panicking", "")],
    includes: &[&flume_components::REGISTRY],
    ..Registry::EMPTY
};

/// Panics with its first batch.
#[derive(Clone, Config)]
struct PanickingConfig {}

struct Panicking;

static PANICKED: AtomicBool = AtomicBool::new(false);

impl Component for Panicking {
    type Config = PanickingConfig;
    fn build(_: PanickingConfig, _: &Context) -> Result<Self, BuildError> {
        Ok(Panicking)
    }
}

#[async_trait]
impl Sink for Panicking {
    fn want(&self) -> Want {
        Want::events(10)
    }

    async fn deliver(&mut self, _: &[Event]) -> Result<Delivered, SinkError> {
        assert!(PANICKED.swap(true, SeqCst), "the demonstration");
        Ok(Delivered::default())
    }
}

fn failure(agent: &mut Agent, name: &str) -> String {
    agent.wait_for("a failure", |status| {
        component(status, name)
            .filter(|component| component.state == "failing")?
            .reason
            .clone()
    })
}

fn show_status(agent: &Agent) -> Result<String> {
    let output = Command::new(program())
        .args(["status", "--state-dir"])
        .arg(agent.dir().join("state"))
        .output()?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn finish(title: &'static str, agent: Agent, status: String, pass: bool) -> Result<Transcript> {
    let (ended, log) = agent.stop()?;
    let text = format!("$ flume-ng status\n{status}$ log\n{log}");
    Ok(Transcript {
        title,
        text,
        pass: pass && ended.success(),
    })
}

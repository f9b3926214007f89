//! Java's client SDK in a JVM of its own, as clients of our sources in every lane.

use std::{
    fs,
    io::{BufRead, BufReader, BufWriter, Write},
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use flume_client::Event;
use tokio::task::{JoinSet, spawn_blocking};

use super::{
    JavaFlume, PORTION, events::EventMill, lane::LANES, last_lines, our_source, receive, verdict,
};
use crate::{
    agents::{root, scratch},
    report::Report,
};

/// A JVM that sends events over several clients.
pub struct JavaSdk {
    child: Child,
    dir: tempfile::TempDir,
}

impl JavaSdk {
    /// With a client for each text of properties.
    pub fn start(java: &JavaFlume, options: &[String], clients: &[String]) -> Result<Self> {
        let dir = tempfile::tempdir_in(scratch()?)?;
        let mut files = vec![];
        for (place, properties) in clients.iter().enumerate() {
            let file = dir.path().join(format!("client{place}.properties"));
            fs::write(&file, properties)?;
            files.push(file);
        }
        let mut child = Command::new("java")
            .args(java.options.split_whitespace())
            .args(options)
            .arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")
            .arg("-cp")
            .arg(java.directory.canonicalize()?.join("lib/*"))
            .arg(root().join("rig/java-flume/Sender.java"))
            .args(files)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(dir.path().join("log"))?)
            .spawn()
            .context("failed to start java")?;
        let out = child.stdout.take().context("standard output")?;
        let sdk = JavaSdk { child, dir };
        // A JVM on a busy machine takes its time; each connection has a time limit of its own.
        let mut said = String::new();
        BufReader::new(out).read_line(&mut said)?;
        ensure!(
            said.trim() == "connected",
            "the SDK does not start:\n{}",
            sdk.log()
        );
        Ok(sdk)
    }

    /// Feeds it the events of a mill, on a thread of its own.
    pub fn feed(&mut self, count: usize) -> Result<()> {
        let pipe = self.child.stdin.take().context("standard input")?;
        let mut out = BufWriter::new(pipe);
        spawn_blocking(move || {
            let mut mill = EventMill::new(count as u64);
            let mut left = count;
            while left > 0 {
                let events = mill.events(PORTION.min(left));
                left -= events.len();
                // Who receives says what is missing.
                if events
                    .iter()
                    .try_for_each(|event| write(&mut out, event))
                    .is_err()
                {
                    return;
                }
            }
        });
        Ok(())
    }

    /// What it said.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

impl Drop for JavaSdk {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// As `Sender.java` reads it.
fn write(out: &mut impl Write, event: &Event) -> std::io::Result<()> {
    let headers: Vec<_> = event.headers.iter().collect();
    out.write_all(&(headers.len() as u32).to_be_bytes())?;
    for (name, value) in headers {
        write_counted(out, name.as_bytes())?;
        write_counted(out, value.as_bytes())?;
    }
    write_counted(out, &event.body)
}

fn write_counted(out: &mut impl Write, bytes: &[u8]) -> std::io::Result<()> {
    out.write_all(&(bytes.len() as u32).to_be_bytes())?;
    out.write_all(bytes)
}

/// In every lane.
pub async fn show(report: &mut Report, java: &JavaFlume, count: usize) -> Result<()> {
    let mut sources = vec![];
    let mut clients = vec![];
    for lane in LANES {
        let source = our_source(lane.kind, &lane.source_properties("server.pkcs12"));
        let port = source.address().await.port();
        clients.push(format!(
            "client.type = {}\nhosts = h\nhosts.h = 127.0.0.1:{port}\n{}\n",
            lane.client_type(),
            lane.client_properties()
        ));
        sources.push(source);
    }
    let mut sdk = JavaSdk::start(java, &[], &clients)?;
    sdk.feed(count)?;
    let mut received = JoinSet::new();
    for (lane, source) in LANES.iter().zip(sources) {
        received.spawn(async move { (lane, receive(&source, count).await) });
    }
    while let Some(outcome) = received.join_next().await {
        let (lane, outcome) = outcome?;
        let item = format!("rpc.{}.{}.sdk", java.version, lane.name);
        verdict(report, &item, count, &outcome);
        if outcome.is_err() {
            println!("the SDK said last:\n{}", last_lines(&sdk.log()));
        }
    }
    Ok(())
}

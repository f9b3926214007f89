//! What an agent does on a Kerberized HDFS: as whom it writes, and what a crash leaves.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use flume_cluster::{Cluster, Layout, Protection};
use flume_testkit::agent::{Agent, component};

use crate::{
    agents::configuration,
    flow::send_numbered,
    hdfs::agent::{Feed, files, numbers, one_sink, open_files, start, start_in, wait_for_reason},
    hdfs::{client, identity},
    report::Report,
};

/// Within these an operator reads what is wrong.
const SOON: Duration = Duration::from_secs(20);

/// Privacy and encryption, as a careful platform has them.
fn platform() -> Result<Cluster> {
    Cluster::start(Layout::kerberos(3, Protection::Privacy, true))
}

/// Everything at length.
pub fn all(report: &mut Report) -> Result<()> {
    let mut cluster = platform()?;
    deployment(report, &cluster)?;
    refused(report, &cluster)?;
    identity::refusals(report, &mut cluster)?;
    identity::renewals(report, &mut cluster)?;
    crashes(report, &cluster, 20)?;
    kdc_at_start(report, &mut cluster)?;
    tickets(
        report,
        &mut cluster,
        Duration::from_secs(600),
        Duration::from_secs(300),
    )
}

/// The same within a few minutes.
pub fn slice(report: &mut Report) -> Result<()> {
    let mut cluster = platform()?;
    client::everybody(report, "", &cluster)?;
    deployment(report, &cluster)?;
    refused(report, &cluster)?;
    identity::refusals(report, &mut cluster)?;
    crashes(report, &cluster, 3)?;
    kdc_at_start(report, &mut cluster)?;
    tickets(
        report,
        &mut cluster,
        Duration::from_secs(60),
        Duration::from_secs(25),
    )
}

fn two_sinks(cluster: &Cluster, second: &str) -> Result<String> {
    let (_, keytab) = cluster.login("flume")?;
    let text = configuration("hdfs.conf")?;
    Ok(text
        .replace("@KEYTAB@", &keytab.display().to_string())
        .replace("@SECOND@", second))
}

/// One login, two sinks that act for alice and bob.
fn deployment(report: &mut Report, cluster: &Cluster) -> Result<()> {
    let start_time = Instant::now();
    let mut agent = start(cluster, &two_sinks(cluster, "bob")?)?;
    let address = agent.address("r1");
    // By default a file is complete with ten events.
    let acknowledged = send_numbered(&address, 0..200)?;
    for sink in ["k1", "k2"] {
        agent.wait_for_count(sink, "EventDrainSuccessCount", acknowledged);
    }
    report.row(
        "deployment: delivered within, s",
        format!("{:.1}", start_time.elapsed().as_secs_f64()),
        "< 30",
        true,
    );
    let (status, log) = agent.stop()?;
    report.row(
        "deployment: exit code",
        format!("{:?}", status.code()),
        "Some(0)",
        status.success(),
    );
    for user in ["alice", "bob"] {
        let path = format!("/user/{user}/flume");
        let found = numbers(cluster, &path)?;
        let each_once = found.len() == 200 && found.values().all(|times| *times == 1);
        report.row(
            &format!("deployment: lines of {user}, each once"),
            found.len(),
            "200",
            each_once,
        );
        let owners = cluster.admin(&["fs", "-stat", "%u", &format!("{path}/*")])?;
        let own = owners.lines().all(|owner| owner == user);
        report.row(
            &format!("deployment: owner of the files of {user}"),
            if own { user } else { &owners },
            user,
            own,
        );
        let left = files(cluster, &path)?
            .iter()
            .filter(|file| file.ends_with(".tmp"))
            .count();
        report.row(
            &format!("deployment: files of {user} in use"),
            left,
            "0",
            left == 0,
        );
    }
    let of_sinks = |line: &&str| {
        line.contains("(sink-") && (line.contains("[WARN") || line.contains("[ERROR"))
    };
    let said: Vec<_> = log
        .lines()
        .filter(of_sinks)
        .filter(|line| !line.contains("many small files"))
        .collect();
    let shown = if said.is_empty() {
        "small files".into()
    } else {
        said.join("\n")
    };
    report.row(
        "deployment: what sinks warn of",
        shown,
        "small files",
        said.is_empty(),
    );
    Ok(())
}

/// The NameNode does not let flume act for carol: that is said, and the other sink does not notice.
fn refused(report: &mut Report, cluster: &Cluster) -> Result<()> {
    let before = numbers(cluster, "/user/alice/flume")?.values().sum::<u64>();
    let mut agent = start(cluster, &two_sinks(cluster, "carol")?)?;
    let begun = Instant::now();
    let address = agent.address("r1");
    let reason = wait_for_reason(&agent, "k2", "impersonate carol", SOON);
    let took = begun.elapsed();
    let named = [
        "hadoop.proxyuser.flume.users",
        "hadoop.proxyuser.flume.hosts",
    ]
    .iter()
    .all(|key| reason.as_ref().is_some_and(|reason| reason.contains(key)));
    println!("k2: {}", reason.as_deref().unwrap_or("says nothing of it"));
    report.row(
        "carol: refused within, s",
        format!("{:.1}", took.as_secs_f64()),
        "< 20",
        reason.is_some(),
    );
    report.row("carol: the missing keys are named", named, "true", named);
    let acknowledged = send_numbered(&address, 0..100)?;
    agent.wait_for_count("k1", "EventDrainSuccessCount", acknowledged);
    let stopping = Instant::now();
    let (status, _) = agent.stop()?;
    let took = stopping.elapsed().as_secs_f64();
    report.row(
        "carol: SIGTERM ends within, s",
        format!("{took:.1}"),
        "< 20",
        took < 20.0,
    );
    report.row(
        "carol: exit code",
        format!("{:?}", status.code()),
        "Some(0)",
        status.success(),
    );
    let after = numbers(cluster, "/user/alice/flume")?.values().sum::<u64>();
    report.row(
        "carol: lines of the other sink",
        after - before,
        "100",
        after - before == 100,
    );
    Ok(())
}

/// SIGKILL after each commit, while the file is open.
fn crashes(report: &mut Report, cluster: &Cluster, rounds: u64) -> Result<()> {
    let path = "/user/flume/crashes";
    let text = one_sink(cluster, "flume", path, 0)?;
    let mut missing = 0;
    let mut dir = tempfile::tempdir()?;
    for round in 0..rounds {
        let mut agent = start_in(dir, cluster, &text)?;
        let address = agent.address("r1");
        let first = round * 100;
        let last = round * 100 + 100;
        send_numbered(&address, first..last)?;
        agent.wait_for_count("k1", "EventDrainSuccessCount", 100);
        dir = agent.kill()?;
        let found = numbers(cluster, path)?;
        missing += (0..last)
            .filter(|number| !found.contains_key(number))
            .count();
    }
    report.row(
        &format!("{rounds} × kill -9: committed lines not read at once"),
        missing,
        "0",
        missing == 0,
    );
    let mut agent = start_in(dir, cluster, &text)?;
    agent.address("r1");
    let done = wait_until(SOON * 3, || {
        Ok(open_files(cluster, path)? == 0
            && files(cluster, path)?
                .iter()
                .all(|file| !file.ends_with(".tmp")))
    })?;
    report.row(
        "restart: no file open or in use, within s",
        format!("{:.1}", done.as_secs_f64()),
        "< 60",
        done < SOON * 3,
    );
    agent.stop()?;
    let found = numbers(cluster, path)?;
    let each_once = found.len() as u64 == rounds * 100 && found.values().all(|times| *times == 1);
    report.row(
        "kill -9: lines, each once",
        found.len(),
        &(rounds * 100).to_string(),
        each_once,
    );
    Ok(())
}

/// How long it took until it was so; `limit`: it never was.
fn wait_until(limit: Duration, mut so: impl FnMut() -> Result<bool>) -> Result<Duration> {
    let start = Instant::now();
    while start.elapsed() < limit {
        if so()? {
            return Ok(start.elapsed());
        }
        sleep(Duration::from_millis(200));
    }
    Ok(limit)
}

/// An agent that finds no KDC waits for one and says so.
fn kdc_at_start(report: &mut Report, cluster: &mut Cluster) -> Result<()> {
    let path = "/user/flume/kdc";
    let text = one_sink(cluster, "flume", path, 0)?;
    cluster.kdc()?.server.kill();
    let begun = Instant::now();
    let mut agent = start(cluster, &text)?;
    let address = agent.address("r1");
    let reason = wait_for_reason(&agent, "k1", "KDC", SOON);
    println!("k1: {}", reason.as_deref().unwrap_or("says nothing of it"));
    let took = begun.elapsed().as_secs_f64();
    report.row(
        "no KDC at start: said within, s",
        format!("{took:.1}"),
        "< 20",
        reason.is_some(),
    );
    send_numbered(&address, 0..100)?;
    cluster.kdc()?.server.up()?;
    let up = Instant::now();
    agent.wait_for_count("k1", "EventDrainSuccessCount", 100);
    report.row(
        "KDC back: delivered within, s",
        format!("{:.1}", up.elapsed().as_secs_f64()),
        "< 30",
        true,
    );
    agent.stop()?;
    let found = numbers(cluster, path)?.len();
    report.row("no KDC at start: lines", found, "100", found == 100);
    Ok(())
}

/// Tickets that live for 20 seconds, meanwhile no KDC for a time: nothing fails.
fn tickets(
    report: &mut Report,
    cluster: &mut Cluster,
    lasting: Duration,
    without: Duration,
) -> Result<()> {
    let path = "/user/short/tickets";
    let text = one_sink(cluster, "short", path, 5)?;
    let mut agent = start(cluster, &text)?;
    let feed = Feed::start(agent.address("r1"), Duration::from_millis(500));
    let half = (lasting - without) / 2;
    sleep(half);
    cluster.kdc()?.server.kill();
    sleep(without);
    let delivered = drained(&agent)?;
    cluster.kdc()?.server.up()?;
    sleep(half);
    let acknowledged = feed.stop()?;
    agent.wait_for_count("k1", "EventDrainSuccessCount", acknowledged);
    let status = agent.status()?;
    let metrics = &component(&status, "k1").context("no k1")?.metrics;
    let failed = metrics.get("ConnectionFailedCount").copied().unwrap_or(0);
    let seconds = lasting.as_secs();
    report.row(
        &format!("20 s tickets for {seconds} s: failed calls"),
        failed,
        "0",
        failed == 0,
    );
    report.row(
        &format!("delivered when the KDC was away {} s", without.as_secs()),
        delivered,
        "> 0",
        delivered > 0,
    );
    agent.stop()?;
    let found = numbers(cluster, path)?;
    let each_once = found.len() as u64 == acknowledged && found.values().all(|times| *times == 1);
    report.row(
        "20 s tickets: lines, each once",
        found.len(),
        &acknowledged.to_string(),
        each_once,
    );
    Ok(())
}

fn drained(agent: &Agent) -> Result<u64> {
    let status = agent.status()?;
    let metrics = &component(&status, "k1").context("no k1")?.metrics;
    Ok(metrics.get("EventDrainSuccessCount").copied().unwrap_or(0))
}

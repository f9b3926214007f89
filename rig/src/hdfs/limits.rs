//! What a cluster refuses for a while, blocks that end in the middle of a batch, directories that are erasure coded, and
//! paths through a mount table.

use std::{
    fs,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use flume_cluster::{Cluster, Layout};
use flume_testkit::agent::Agent;

use crate::{
    agents::program,
    flow::send_numbered,
    hdfs::agent::{Feed, files, numbers, one_sink, start, wait_for_reason},
    report::Report,
};

/// So that some thousands of lines are several blocks.
const BLOCK_BYTES: u64 = 64 << 10;
/// An operator reads the reason within this time, and the flow is back within it.
const SOON: Duration = Duration::from_secs(60);
/// The NameNode is in safe mode at least so long.
const SAFE: Duration = Duration::from_secs(5);

/// Everything, on one small cluster.
pub fn all(report: &mut Report) -> Result<()> {
    let cluster =
        Cluster::start(Layout::simple(1).with("dfs.blocksize", &BLOCK_BYTES.to_string()))?;
    blocks(report, &cluster)?;
    safe_mode(report, &cluster)?;
    quota(report, &cluster)?;
    erasure_coded(report, &cluster)?;
    mounted(report, &cluster)
}

/// A file of several blocks is as one of a single block.
fn blocks(report: &mut Report, cluster: &Cluster) -> Result<()> {
    const LINES: u64 = 50_000;
    let path = "/user/flume/blocks";
    let mut agent = start(cluster, &one_sink(cluster, "flume", path, 0)?)?;
    let address = agent.address("r1");
    send_numbered(&address, 0..LINES)?;
    agent.wait_for_count("k1", "EventDrainSuccessCount", LINES);
    agent.stop()?;
    let file = files(cluster, path)?.pop().context("no file")?;
    let bytes: u64 = cluster
        .admin(&["fs", "-stat", "%b", &file])?
        .trim()
        .parse()?;
    let blocks = bytes.div_ceil(BLOCK_BYTES);
    report.row(
        "a file of several blocks: blocks",
        blocks,
        "> 3",
        blocks > 3,
    );
    each_once(report, cluster, "a file of several blocks", path, LINES)
}

/// The sink waits and says why; no file is begun meanwhile.
fn safe_mode(report: &mut Report, cluster: &Cluster) -> Result<()> {
    let path = "/user/flume/safe";
    let mut agent = start(cluster, &one_sink(cluster, "flume", path, 0)?)?;
    let feed = Feed::start(agent.address("r1"), Duration::from_millis(200));
    agent.wait_for_count("k1", "EventDrainSuccessCount", 100);
    cluster.admin(&["dfsadmin", "-safemode", "enter"])?;
    said(report, &agent, "safe mode", "safe mode")?;
    let before = files(cluster, path)?.len();
    sleep(SAFE);
    let begun = files(cluster, path)?.len() - before;
    report.row("safe mode: files begun in it", begun, "0", begun == 0);
    cluster.admin(&["dfsadmin", "-safemode", "leave"])?;
    let acknowledged = feed.stop()?;
    back(report, &mut agent, "safe mode", acknowledged)?;
    agent.stop()?;
    let found = numbers(cluster, path)?;
    let lost = (0..acknowledged)
        .filter(|number| !found.contains_key(number))
        .count();
    report.row(
        &format!("safe mode: lines lost of {acknowledged}"),
        lost,
        "0",
        lost == 0,
    );
    let twice: u64 = found.values().map(|times| times - 1).sum();
    println!(
        "safe mode: {twice} lines twice, {} files",
        files(cluster, path)?.len()
    );
    Ok(())
}

/// Files below an erasure-coded directory are replicated: the others cannot be flushed.
fn erasure_coded(report: &mut Report, cluster: &Cluster) -> Result<()> {
    const POLICY: &str = "XOR-2-1-1024k";
    let path = "/user/flume/coded";
    cluster.admin(&["fs", "-mkdir", "-p", path])?;
    cluster.admin(&["fs", "-chown", "flume", path])?;
    cluster.admin(&["ec", "-enablePolicy", "-policy", POLICY])?;
    cluster.admin(&["ec", "-setPolicy", "-path", path, "-policy", POLICY])?;
    let mut agent = start(cluster, &one_sink(cluster, "flume", path, 0)?)?;
    let address = agent.address("r1");
    send_numbered(&address, 0..1000)?;
    agent.wait_for_count("k1", "EventDrainSuccessCount", 1000);
    agent.stop()?;
    each_once(report, cluster, "an erasure-coded directory", path, 1000)?;
    let file = files(cluster, path)?.pop().context("no file")?;
    let of = |path: &str| cluster.admin(&["ec", "-getPolicy", "-path", path]);
    let coded = [of(path)?, of(&file)?].map(|said| said.contains(POLICY));
    report.row(
        "an erasure-coded directory: it, its file are",
        format!("{coded:?}"),
        "[true, false]",
        coded == [true, false],
    );
    Ok(())
}

/// One directory is full, the other one does not notice.
fn quota(report: &mut Report, cluster: &Cluster) -> Result<()> {
    let path = "/user/flume/quota";
    let full = format!("{path}/full");
    cluster.admin(&["fs", "-mkdir", "-p", &full])?;
    cluster.admin(&["fs", "-chown", "-R", "flume", path])?;
    cluster.admin(&["dfsadmin", "-setSpaceQuota", "1k", &full])?;
    let mut agent = start(cluster, &two_buckets(&one_sink(cluster, "flume", path, 0)?))?;
    for source in ["r1", "r2"] {
        let address = agent.address(source);
        send_numbered(&address, 0..1000)?;
    }
    agent.wait_for_count("k1", "EventDrainSuccessCount", 1000);
    each_once(
        report,
        cluster,
        "quota: the directory with room",
        &format!("{path}/free"),
        1000,
    )?;
    said(report, &agent, "quota", "quota")?;
    cluster.admin(&["dfsadmin", "-clrSpaceQuota", &full])?;
    back(report, &mut agent, "quota", 2000)?;
    agent.stop()?;
    each_once(
        report,
        cluster,
        "quota: the directory that was full",
        &full,
        1000,
    )
}

/// A second source; each writes its name into a header that the path has.
fn two_buckets(text: &str) -> String {
    let first: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("a1.sources.r1."))
        .collect();
    let mut text = text.replace(
        "hdfs.path = /user/flume/quota",
        "hdfs.path = /user/flume/quota/%{bucket}",
    );
    text += "\na1.sources = r1 r2\n";
    text.extend(first.iter().map(|line| line.replacen("r1", "r2", 1) + "\n"));
    for (source, bucket) in [("r1", "full"), ("r2", "free")] {
        let interceptor = format!("a1.sources.{source}.interceptors");
        text += &format!(
            "{interceptor} = i\n{interceptor}.i.type = static\n{interceptor}.i.key = bucket\n{interceptor}.i.value = {bucket}\n"
        );
    }
    text
}

/// A client whose default file system is a mount table.
fn mounted(report: &mut Report, cluster: &Cluster) -> Result<()> {
    let conf = tempfile::tempdir()?;
    fs::copy(
        cluster.client_conf().join("hdfs-site.xml"),
        conf.path().join("hdfs-site.xml"),
    )?;
    let property = |(key, value): (&str, &str)| {
        format!("<property><name>{key}</name><value>{value}</value></property>\n")
    };
    let target = format!("{}/user/flume/mounted", cluster.url()?);
    let settings = [
        ("fs.defaultFS", "viewfs://rig"),
        ("fs.viewfs.mounttable.rig.link./logs", &target),
    ];
    let text: String = settings.into_iter().map(property).collect();
    fs::write(
        conf.path().join("core-site.xml"),
        format!("<configuration>\n{text}</configuration>\n"),
    )?;
    let words = conf.path().display().to_string();
    let mut agent = Agent::start_with(
        tempfile::tempdir()?,
        program(),
        &one_sink(cluster, "flume", "/logs/web", 0)?,
        &["--conf", &words, "-Dflume.root.logger=INFO,console"],
        &[
            ("HADOOP_USER_NAME".into(), "flume".into()),
            ("HADOOP_CONF_DIR".into(), words.clone()),
        ],
    )?;
    let address = agent.address("r1");
    send_numbered(&address, 0..1000)?;
    agent.wait_for_count("k1", "EventDrainSuccessCount", 1000);
    agent.stop()?;
    each_once(
        report,
        cluster,
        "through a mount table",
        "/user/flume/mounted/web",
        1000,
    )
}

fn each_once(
    report: &mut Report,
    cluster: &Cluster,
    item: &str,
    path: &str,
    lines: u64,
) -> Result<()> {
    let found = numbers(cluster, path)?;
    let right = found.len() as u64 == lines && found.values().all(|times| *times == 1);
    report.row(
        &format!("{item}: lines, each once"),
        found.len(),
        &lines.to_string(),
        right,
    );
    Ok(())
}

/// The sink's state names the cause.
fn said(report: &mut Report, agent: &Agent, item: &str, words: &str) -> Result<()> {
    let begun = Instant::now();
    let reason = wait_for_reason(agent, "k1", words, SOON);
    println!("k1: {}", reason.as_deref().unwrap_or("says nothing of it"));
    let took = format!("{:.1}", begun.elapsed().as_secs_f64());
    report.row(
        &format!("{item}: said within, s"),
        took,
        "< 60",
        reason.is_some(),
    );
    Ok(())
}

/// The flow is back: so much was delivered.
fn back(report: &mut Report, agent: &mut Agent, item: &str, lines: u64) -> Result<()> {
    let begun = Instant::now();
    agent.wait_for_count("k1", "EventDrainSuccessCount", lines);
    let took = begun.elapsed();
    report.row(
        &format!("{item}: over, delivered within, s"),
        format!("{:.1}", took.as_secs_f64()),
        "< 60",
        took < SOON,
    );
    Ok(())
}

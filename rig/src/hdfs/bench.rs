//! Events per second, CPU and memory on a cluster beside Java Flume, in turn, with the same configuration.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::Result;
use flume_cluster::{Cluster, Layout, Protection};

use crate::{
    agents::{Maker, Running, configuration, install_java},
    bench::{Figures, with_sources},
    report::Report,
};

/// A JVM compiles meanwhile, and files are opened.
const WARM_UP: Duration = Duration::from_secs(10);
const MEASURED: Duration = Duration::from_secs(15);
/// Events in a batch.
const BATCH: usize = 1000;

/// With one replica and without Kerberos, with three and privacy; 1, 10 and 100 buckets, or 1 alone.
pub fn run(report: &mut Report, all: bool) -> Result<()> {
    install_java()?;
    let buckets: &[usize] = if all { &[1, 10, 100] } else { &[1] };
    on(report, "simple, 1 replica", Layout::simple(1), buckets)?;
    on(
        report,
        "privacy, 3 replicas",
        Layout::kerberos(3, Protection::Privacy, false),
        buckets,
    )
}

fn on(report: &mut Report, name: &str, layout: Layout, buckets: &[usize]) -> Result<()> {
    let cluster = Cluster::start(layout)?;
    println!(
        "{:34}{:>12}{:>12}{:>8}{:>10}{:>10}{:>8}{:>8}",
        "cluster", "events/s", "Java", "ratio", "CPU s/M", "Java", "RSS MiB", "Java"
    );
    for count in buckets {
        let ours = once(&cluster, Maker::Ours, *count)?;
        let java = once(&cluster, Maker::Java, *count)?;
        let item = format!("{name}, {count} buckets");
        println!(
            "{item:34}{:12.0}{:12.0}{:8.1}{:10.2}{:10.2}{:8.0}{:8.0}",
            ours.rate,
            java.rate,
            ours.rate / java.rate,
            ours.cpu,
            java.cpu,
            ours.rss,
            java.rss
        );
        report.at_least(
            &format!("{item}: events/s against Java"),
            ours.rate / java.rate,
            5.0,
        );
        report.at_most(
            &format!("{item}: CPU against Java"),
            ours.cpu / java.cpu,
            0.1,
        );
    }
    Ok(())
}

fn once(cluster: &Cluster, maker: Maker, buckets: usize) -> Result<Figures> {
    let who = match cluster.login("flume") {
        Ok((principal, keytab)) => format!(
            "a1.sinks.k1.hdfs.kerberosPrincipal = {principal}\na1.sinks.k1.hdfs.kerberosKeytab = {}\n",
            keytab.display()
        ),
        Err(_) => String::new(),
    };
    let text = configuration("cluster_bench.conf")?.replace("@WHO@", &who);
    let mut environment = cluster.environment();
    environment.push(("HADOOP_USER_NAME".into(), "flume".into()));
    let mut agent = Running::start_with(maker, &with_sources(&text, buckets, BATCH), &environment)?;
    let delivered = |agent: &mut Running| agent.metric("SINK.k1", "EventDrainSuccessCount");
    while delivered(&mut agent)? == 0 {
        sleep(Duration::from_millis(100));
    }
    sleep(WARM_UP);
    let events = delivered(&mut agent)?;
    let usage = agent.usage()?;
    let begun = Instant::now();
    sleep(MEASURED);
    let events = delivered(&mut agent)? - events;
    let elapsed = begun.elapsed().as_secs_f64();
    let used = agent.usage()?;
    drop(agent);
    cluster.admin(&["fs", "-rm", "-r", "-f", "-skipTrash", "/user/flume/bench"])?;
    Ok(Figures {
        rate: events as f64 / elapsed,
        cpu: (used.cpu - usage.cpu) / events as f64 * 1e6,
        rss: used.peak_mib,
    })
}

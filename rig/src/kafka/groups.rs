//! Agents that share a group, come and go, and brokers that die: nothing is lost, and an orderly change repeats nothing.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow};

use super::{
    brokers::{BrokerSetup, Brokers, Records},
    lost_and_repeated, numbers, numbers_in, until,
};
use crate::{
    agents::{Maker, Running},
    report::Report,
};

/// Events of a batch.
const BATCH: u64 = 100;

/// Events that come in between two pauses, while agents join and leave.
const PORTION: u64 = 200;
const PORTION_PAUSE: Duration = Duration::from_millis(100);

/// Drains a Kafka channel into files.
const DRAIN: &str = "
a1.channels = c1
a1.sinks = k1
a1.channels.c1.type = org.apache.flume.channel.kafka.KafkaChannel
a1.channels.c1.kafka.bootstrap.servers = @SERVERS@
a1.channels.c1.kafka.topic = @TOPIC@
a1.channels.c1.kafka.consumer.group.id = @TOPIC@
a1.channels.c1.parseAsFlumeEvent = false
a1.sinks.k1.type = file_roll
a1.sinks.k1.channel = c1
a1.sinks.k1.sink.directory = @DIR@/files
a1.sinks.k1.sink.rollInterval = 0
a1.sinks.k1.sink.batchSize = 100
";

fn drain(maker: Maker, brokers: &Brokers, topic: &str) -> Result<Running> {
    Running::start(
        maker,
        &DRAIN
            .replace("@SERVERS@", &brokers.servers(0))
            .replace("@TOPIC@", topic),
    )
}

fn written(agents: &[&Running]) -> Result<Vec<u64>> {
    let mut all = vec![];
    for agent in agents {
        all.extend(numbers(&agent.dir().join("files"))?);
    }
    Ok(all)
}

fn wait_until_drained(
    records: &mut Records,
    topic: &str,
    agents: &[&Running],
    events: u64,
) -> Result<()> {
    until("the group has caught up", || {
        let (lost, _) = lost_and_repeated(&written(agents)?, events);
        Ok(lost == 0 && records.lag(topic)? == 0)
    })
}

/// Agents of ours join and leave under load.
pub fn orderly(report: &mut Report, brokers: &Brokers, events: u64) -> Result<()> {
    let mut records = brokers.records()?;
    records.topic("orderly", 4, 1)?;
    let part = events / 4;
    let mut fill = |number: u64| {
        records.ask(&format!(
            "fill orderly {} {}",
            number * part,
            (number + 1) * part
        ))
    };
    fill(0)?;
    let mut first = drain(Maker::Ours, brokers, "orderly")?;
    first.wait_for_count("SINK.k1", "EventDrainSuccessCount", part / 2)?;
    fill(1)?;
    let mut second = drain(Maker::Ours, brokers, "orderly")?;
    until("the second has its share", || {
        Ok(second.metric("CHANNEL.c1", "KafkaPartitions")? == 2)
    })?;
    fill(2)?;
    first.stop()?;
    until("the second has all", || {
        Ok(second.metric("CHANNEL.c1", "KafkaPartitions")? == 4)
    })?;
    fill(3)?;
    wait_until_drained(&mut records, "orderly", &[&first, &second], events)?;
    second.stop()?;
    let (lost, repeated) = lost_and_repeated(&written(&[&first, &second])?, events);
    report.row("agents join and leave: events lost", lost, "0", lost == 0);
    report.row(
        "agents join and leave: events repeated",
        repeated,
        "0",
        repeated == 0,
    );
    Ok(())
}

/// Java's channel and ours in one group, each leaving the other its partitions.
pub fn with_java(report: &mut Report, brokers: &Brokers, events: u64) -> Result<()> {
    let mut records = brokers.records()?;
    records.topic("shared", 4, 1)?;
    let part = events / 4;
    let mut fill = |number: u64| {
        records.ask(&format!(
            "fill shared {} {}",
            number * part,
            (number + 1) * part
        ))
    };
    fill(0)?;
    let mut java = drain(Maker::Java, brokers, "shared")?;
    java.wait_for_count("SINK.k1", "EventDrainSuccessCount", part / 2)?;
    let mut ours = drain(Maker::Ours, brokers, "shared")?;
    until("both have their share", || {
        Ok(ours.metric("CHANNEL.c1", "KafkaPartitions")? == 2)
    })?;
    fill(1)?;
    java.stop()?;
    until("ours has all", || {
        Ok(ours.metric("CHANNEL.c1", "KafkaPartitions")? == 4)
    })?;
    fill(2)?;
    let mut again = drain(Maker::Java, brokers, "shared")?;
    until("both have their share again", || {
        Ok(ours.metric("CHANNEL.c1", "KafkaPartitions")? == 2)
    })?;
    ours.stop()?;
    fill(3)?;
    wait_until_drained(&mut records, "shared", &[&java, &ours, &again], events)?;
    again.stop()?;
    let (lost, repeated) = lost_and_repeated(&written(&[&java, &ours, &again])?, events);
    report.row("with Java in one group: events lost", lost, "0", lost == 0);
    // Java repeats the batch that is open when partitions go: three times here.
    let most = 3 * BATCH;
    report.row(
        "with Java in one group: events repeated",
        repeated,
        &format!("<= {most}, Java's"),
        repeated <= most,
    );
    Ok(())
}

/// For so long an agent joins, ours or Java's in turn, and the oldest of three leaves, while events come in.
pub fn churn(report: &mut Report, brokers: &Brokers, duration: Duration) -> Result<()> {
    let mut records = brokers.records()?;
    records.topic("churn", 4, 1)?;
    let stop = Arc::new(AtomicBool::new(false));
    let load = load(brokers.records()?, stop.clone());
    let begun = Instant::now();
    let mut joined = vec![];
    let mut left = 0;
    while begun.elapsed() < duration {
        let maker = [Maker::Ours, Maker::Java][joined.len() % 2];
        let mut agent = drain(maker, brokers, "churn")?;
        // It has a share, and delivers.
        agent.wait_for_count("SINK.k1", "EventDrainSuccessCount", BATCH)?;
        joined.push(agent);
        if joined.len() - left == 3 {
            joined[left].stop()?;
            left += 1;
        }
    }
    stop.store(true, Relaxed);
    let events = load.join().map_err(|_| anyhow!("the load panicked"))??;
    until("the group has caught up", || Ok(records.lag("churn")? == 0))?;
    joined[left..].iter_mut().try_for_each(Running::stop)?;
    let agents: Vec<_> = joined.iter().collect();
    let (lost, repeated) = lost_and_repeated(&written(&agents)?, events);
    let rebalances = joined.len() + left;
    println!(
        "{events} events, {} agents joined, {left} left",
        joined.len()
    );
    report.row(
        "ten minutes of joins and leaves: lost",
        lost,
        "0",
        lost == 0,
    );
    // Java repeats its open batch at each of them; at most two of the three are Java's.
    let most = 2 * BATCH * rebalances as u64;
    report.row(
        "ten minutes of joins and leaves: repeated",
        repeated,
        &format!("<= {most}, Java's"),
        repeated <= most,
    );
    Ok(())
}

/// Numbers that come into the topic until it is stopped; how many there were.
fn load(mut records: Records, stop: Arc<AtomicBool>) -> thread::JoinHandle<Result<u64>> {
    thread::spawn(move || {
        let mut filled = 0;
        while !stop.load(Relaxed) {
            let end = filled + PORTION;
            let fill = format!("fill churn {filled} {end}");
            records.ask(&fill).context("the load")?;
            filled = end;
            thread::sleep(PORTION_PAUSE);
        }
        Ok(filled)
    })
}

/// Brokers of three are killed in turn while the sink writes.
pub fn killed_brokers(report: &mut Report) -> Result<()> {
    const EVENTS: u64 = 200_000;
    let mut brokers = Brokers::start(3, &BrokerSetup::default())?;
    let mut records = brokers.records()?;
    records.topic("replicated", 3, 3)?;
    let text = format!(
        "a1.sources = r1\na1.channels = c1\na1.sinks = k1\n\
         a1.sources.r1.type = seq\na1.sources.r1.channels = c1\na1.sources.r1.totalEvents = {EVENTS}\n\
         a1.sources.r1.batchSize = 100\n\
         a1.channels.c1.type = memory\na1.channels.c1.capacity = 1000\na1.channels.c1.transactionCapacity = 1000\n\
         a1.channels.c1.keep-alive = 60\n\
         a1.sinks.k1.type = org.apache.flume.sink.kafka.KafkaSink\na1.sinks.k1.channel = c1\n\
         a1.sinks.k1.kafka.bootstrap.servers = {}\na1.sinks.k1.kafka.topic = replicated\n",
        brokers.servers(0)
    );
    let mut agent = Running::start(Maker::Ours, &text)?;
    for (node, at) in [(0, 20_000), (1, 80_000), (2, 140_000)] {
        until("events flow", || {
            Ok(agent.metric("SINK.k1", "EventDrainSuccessCount")? > at)
        })?;
        brokers.node(node).kill();
        std::thread::sleep(std::time::Duration::from_secs(3));
        brokers.node(node).up()?;
    }
    until("all are acknowledged", || {
        Ok(agent.metric("SINK.k1", "EventDrainSuccessCount")? >= EVENTS)
    })?;
    agent.stop()?;
    let seen = numbers_in(&records.ask("dump replicated")?)?;
    let (lost, repeated) = lost_and_repeated(&seen, EVENTS);
    report.row("three brokers killed in turn: lost", lost, "0", lost == 0);
    report.row(
        "three brokers killed in turn: repeated",
        repeated,
        "whole batches at most",
        true,
    );
    Ok(())
}

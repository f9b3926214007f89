//! Exactly once: from Kafka's channel to Kafka's sink in transactions, while the agent is killed.

use anyhow::Result;

use super::{brokers::Brokers, lost_and_repeated, numbers_in, until};
use crate::{
    agents::{Maker, Running},
    report::Report,
};

const FLOW: &str = "
a1.channels = c1
a1.sinks = k1
a1.channels.c1.type = org.apache.flume.channel.kafka.KafkaChannel
a1.channels.c1.kafka.bootstrap.servers = @SERVERS@
a1.channels.c1.kafka.topic = once-in
a1.channels.c1.kafka.consumer.group.id = once
a1.channels.c1.kafka.consumer.isolation.level = read_committed
a1.channels.c1.kafka.consumer.session.timeout.ms = 3000
a1.channels.c1.kafka.consumer.heartbeat.interval.ms = 500
a1.channels.c1.parseAsFlumeEvent = false
a1.sinks.k1.type = org.apache.flume.sink.kafka.KafkaSink
a1.sinks.k1.channel = c1
a1.sinks.k1.kafka.bootstrap.servers = @SERVERS@
a1.sinks.k1.kafka.topic = once-out
a1.sinks.k1.kafka.producer.transactional.id = flume
a1.sinks.k1.flumeBatchSize = 50
";

/// The agent is killed so often while it moves the events, each time somewhere in a batch.
pub fn show(report: &mut Report, brokers: &Brokers, events: u64, kills: u64) -> Result<()> {
    let mut records = brokers.records()?;
    records.topic("once-in", 2, 1)?;
    records.topic("once-out", 2, 1)?;
    records.ask(&format!("fill once-in 0 {events}"))?;
    let text = FLOW.replace("@SERVERS@", &brokers.servers(0));
    for kill in 0..kills {
        let mut agent = Running::start(Maker::Ours, &text)?;
        agent.wait_for_count("SINK.k1", "EventDrainSuccessCount", 500)?;
        std::thread::sleep(std::time::Duration::from_millis(7 * kill));
        // Dropped, it is killed.
    }
    let mut last = Running::start(Maker::Ours, &text)?;
    until("the group has caught up in both partitions", || {
        let known = records.ask("offsets once")?.len();
        Ok(known == 2 && records.lag("once")? <= 0)
    })?;
    let guarantee = last.fact("SINK.k1", "DeliveryGuarantee")?;
    let promised = guarantee == "exactly once: a batch and its offsets are one transaction";
    report.row(
        "exactly once is what `status` says",
        &guarantee,
        "exactly once",
        promised,
    );
    last.stop()?;
    let seen = numbers_in(&records.ask("dump once-out")?)?;
    let (lost, repeated) = lost_and_repeated(&seen, events);
    report.row(
        &format!("{kills} kills with transactions: lost"),
        lost,
        "0",
        lost == 0,
    );
    report.row(
        &format!("{kills} kills with transactions: repeated"),
        repeated,
        "0",
        repeated == 0,
    );
    Ok(())
}

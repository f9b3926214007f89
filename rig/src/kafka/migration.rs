//! Offsets in a real ZooKeeper, where groups kept them up to Kafka 0.8: ours begins where Java Flume begins.

use anyhow::{Context, Result};

use super::{
    brokers::{Brokers, Records},
    numbers, until,
};
use crate::{
    agents::{Maker, Running, scratch},
    report::Report,
    zookeeper::Server,
};

const EVENTS: u64 = 1000;
/// What the old consumer has left, by partition. It did not get to the third.
const OFFSETS: [(u64, u64); 2] = [(0, 100), (1, 250)];

const SOURCE: &str = "
a1.sources = r1
a1.channels = c1
a1.sinks = k1
a1.sources.r1.type = org.apache.flume.source.kafka.KafkaSource
a1.sources.r1.channels = c1
a1.sources.r1.kafka.bootstrap.servers = @SERVERS@
a1.sources.r1.kafka.topics = old
a1.sources.r1.kafka.consumer.group.id = @GROUP@
a1.sources.r1.kafka.consumer.auto.offset.reset = earliest
a1.sources.r1.zookeeperConnect = @ZOOKEEPER@
a1.channels.c1.type = memory
a1.channels.c1.capacity = 10000
a1.channels.c1.transactionCapacity = 1000
";

const CHANNEL: &str = "
a1.channels = c1
a1.sinks = k1
a1.channels.c1.type = org.apache.flume.channel.kafka.KafkaChannel
a1.channels.c1.kafka.bootstrap.servers = @SERVERS@
a1.channels.c1.kafka.topic = old
a1.channels.c1.kafka.consumer.group.id = @GROUP@
a1.channels.c1.parseAsFlumeEvent = false
a1.channels.c1.zookeeperConnect = @ZOOKEEPER@
";

const FILES: &str = "
a1.sinks.k1.type = file_roll
a1.sinks.k1.channel = c1
a1.sinks.k1.sink.directory = @DIR@/files
a1.sinks.k1.sink.rollInterval = 0
";

/// Both components, each beside Java's.
pub fn show(report: &mut Report, brokers: &Brokers) -> Result<()> {
    let dir = tempfile::tempdir_in(scratch()?)?;
    let zookeeper = Server::start(dir.path())?;
    zookeeper.run(&["create", "/consumers"])?;
    let mut records = brokers.records()?;
    records.topic("old", 3, 1)?;
    records.ask(&format!("fill old 0 {EVENTS}"))?;
    for (name, flow) in [("source", SOURCE), ("channel", CHANNEL)] {
        let mut seen = vec![];
        for maker in [Maker::Ours, Maker::Java] {
            let group = format!("{name}-{maker:?}");
            leave_offsets(&zookeeper, &group)?;
            let text = [flow, FILES]
                .concat()
                .replace("@SERVERS@", &brokers.servers(0))
                .replace("@GROUP@", &group)
                .replace("@ZOOKEEPER@", &zookeeper.address);
            seen.push(read_all(maker, &text, &mut records, &group)?);
        }
        let count = seen[0].len() as u64;
        let item = format!("offsets from ZooKeeper, {name}: events read");
        report.row(&item, count, &left().to_string(), count == left());
        let same = seen[0] == seen[1];
        let item = format!("offsets from ZooKeeper, {name}: those that Java reads");
        report.row(&item, same, "true", same);
    }
    Ok(())
}

/// Events that the old consumer has not read.
fn left() -> u64 {
    EVENTS - OFFSETS.iter().map(|(_, offset)| offset).sum::<u64>()
}

fn leave_offsets(zookeeper: &Server, group: &str) -> Result<()> {
    let mut path = format!("/consumers/{group}");
    zookeeper.run(&["create", &path])?;
    for part in ["offsets", "old"] {
        path = format!("{path}/{part}");
        zookeeper.run(&["create", &path])?;
    }
    for (partition, offset) in OFFSETS {
        let path = format!("{path}/{partition}");
        zookeeper.run(&["create", &path, &offset.to_string()])?;
    }
    Ok(())
}

/// Runs an agent until its group has read everything, and then once more, which reads nothing again.
fn read_all(maker: Maker, text: &str, records: &mut Records, group: &str) -> Result<Vec<u64>> {
    let mut seen = vec![];
    for _ in 0..2 {
        let mut agent = Running::start(maker, text)?;
        let caught_up = until("the group has caught up", || {
            let positions = records.ask(&format!("offsets {group}"))?.len();
            Ok(positions == 3 && records.lag(group)? == 0)
        });
        caught_up.with_context(|| agent.log())?;
        // What is in a channel in memory when Java Flume stops is gone.
        let files = agent.dir().join("files");
        until("all is in files", || {
            Ok((seen.len() + numbers(&files)?.len()) as u64 >= left())
        })?;
        agent.stop()?;
        seen.extend(numbers(&files)?);
    }
    seen.sort_unstable();
    Ok(seen)
}

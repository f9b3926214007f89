//! The same records through both agents: what is written is the same.

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use flume_wire::avro::DatumReader;

use super::{brokers::Brokers, until};
use crate::{
    agents::{Maker, Running},
    report::Report,
};

/// Raw records: key, header `h`, partition by header, time by header, a tombstone, an empty body, non-ASCII text.
const RECORDS: &[&str] = &[
    "put in 0 1700000000123 6b31 68656c6c6f h=c3a4",
    "put in 1 1700000000456 - 77c3b6726c64 h=31 h=32 other=33 p=31",
    "put in 0 1700000000789 6b32 - p=31",
    "put in 1 1700000000999 c3bc 00ff10 p=30 h=7a",
];

const RAW: &str = "
a1.sources = r1
a1.channels = c1
a1.sinks = k1
a1.sources.r1.type = org.apache.flume.source.kafka.KafkaSource
a1.sources.r1.channels = c1
a1.sources.r1.kafka.bootstrap.servers = @SERVERS@
a1.sources.r1.kafka.topics = @FROM@
a1.sources.r1.kafka.consumer.group.id = @GROUP@
a1.sources.r1.kafka.consumer.auto.offset.reset = earliest
a1.sources.r1.header.mine = h
a1.sources.r1.header.p = p
a1.sources.r1.batchSize = 50
a1.sources.r1.topicHeader = from
a1.channels.c1.type = memory
a1.sinks.k1.type = org.apache.flume.sink.kafka.KafkaSink
a1.sinks.k1.channel = c1
a1.sinks.k1.kafka.bootstrap.servers = @SERVERS@
a1.sinks.k1.kafka.topic = @TO@
a1.sinks.k1.partitionIdHeader = p
a1.sinks.k1.timestampHeader = timestamp
a1.sinks.k1.header.mine = again
@MORE@
";

/// Runs the rows.
pub fn show(report: &mut Report, brokers: &Brokers) -> Result<()> {
    let mut records = brokers.records()?;
    records.topic("in", 2, 1)?;
    for record in RECORDS {
        records.ask(record)?;
    }
    let mut through = |maker: Maker, from: &str, to: &str, more: &str| -> Result<Vec<String>> {
        records.topic(to, 2, 1)?;
        let text = RAW
            .replace("@SERVERS@", &brokers.servers(0))
            .replace("@FROM@", from)
            .replace("@TO@", to)
            .replace("@GROUP@", &format!("{maker:?}-{to}"))
            .replace("@MORE@", more);
        let mut agent = Running::start(maker, &text)?;
        let came = until("all records came through", || {
            Ok(agent.metric("SINK.k1", "EventDrainSuccessCount")? >= RECORDS.len() as u64)
        });
        came.with_context(|| {
            let drained = agent.metric("SINK.k1", "EventDrainSuccessCount");
            let received = agent.metric("SOURCE.r1", "EventReceivedCount");
            format!(
                "{maker:?} into {to}: received {received:?}, drained {drained:?}\n{}\n{}",
                agent.status().unwrap_or_default(),
                agent.log()
            )
        })?;
        agent.stop()?;
        let mut dump = records.ask(&format!("dump {to}"))?;
        dump.sort();
        ensure!(
            dump.len() == RECORDS.len(),
            "{maker:?} wrote into {to}: {dump:?}\n{}",
            agent.log()
        );
        Ok(dump)
    };
    let ours = through(Maker::Ours, "in", "raw-ours", "")?;
    let java = through(Maker::Java, "in", "raw-java", "")?;
    report.row(
        "raw records as Java Flume's",
        ours.len(),
        "byte by byte",
        ours == java,
    );
    if ours != java {
        println!("ours {ours:#?}\njava {java:#?}");
    }
    let flume = "a1.sinks.k1.useFlumeEventFormat = true";
    let ours = through(Maker::Ours, "in", "flume-ours", flume)?;
    let java = through(Maker::Java, "in", "flume-java", flume)?;
    let same = without_order(&ours)? == without_order(&java)?;
    report.row(
        "Flume's format as Java Flume's",
        ours.len(),
        "header by header",
        same,
    );
    if !same {
        println!("ours {ours:#?}\njava {java:#?}");
    }
    let read = "a1.sources.r1.useFlumeEventFormat = true\na1.sinks.k1.allowTopicOverride = false";
    let by_ours = through(Maker::Ours, "flume-java", "back-ours", read)?;
    let by_java = through(Maker::Java, "flume-ours", "back-java", read)?;
    report.row(
        "each reads the other's format",
        by_ours.len(),
        "the same events",
        by_ours == by_java,
    );
    if by_ours != by_java {
        println!("ours {by_ours:#?}\njava {by_java:#?}");
    }
    Ok(())
}

/// Dumped records with the headers in their values sorted; Java writes them in the order of a hash map.
fn without_order(dump: &[String]) -> Result<Vec<String>> {
    let mut lines = vec![];
    for line in dump {
        let words: Vec<_> = line.split(' ').collect();
        let hex = words[3];
        let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16);
        let value: Bytes = (0..hex.len())
            .step_by(2)
            .map(byte)
            .collect::<Result<Vec<_>, _>>()?
            .into();
        let event = DatumReader::new(value).event()?;
        // The topic differs: each agent has its own.
        lines.push(format!(
            "{} {} {} {:?} {}",
            words[0],
            words[1],
            words[2],
            event,
            words[4..].join(" ")
        ));
    }
    Ok(lines)
}

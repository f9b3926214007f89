//! Records and events that cannot be delivered: what the operator sees of each.

use anyhow::Result;

use super::{
    brokers::{Brokers, Records},
    until,
};
use crate::{
    agents::{Maker, Running},
    report::Report,
};

const SOURCE: &str = "
a1.sources = r1
a1.channels = c1
a1.sinks = k1
a1.sources.r1.type = org.apache.flume.source.kafka.KafkaSource
a1.sources.r1.channels = c1
a1.sources.r1.batchSize = 50
a1.sources.r1.kafka.bootstrap.servers = @SERVERS@
a1.sources.r1.kafka.topics = @TOPIC@
a1.sources.r1.kafka.consumer.group.id = @TOPIC@
a1.sources.r1.kafka.consumer.auto.offset.reset = earliest
@MORE@
a1.channels.c1.type = memory
a1.sinks.k1.type = null
a1.sinks.k1.channel = c1
";

const SINK: &str = "
a1.sources = r1
a1.channels = c1
a1.sinks = k1
a1.sources.r1.type = seq
a1.sources.r1.channels = c1
a1.sources.r1.totalEvents = 5
a1.channels.c1.type = memory
a1.sinks.k1.type = org.apache.flume.sink.kafka.KafkaSink
a1.sinks.k1.channel = c1
a1.sinks.k1.kafka.bootstrap.servers = @SERVERS@
a1.sinks.k1.kafka.topic = @TOPIC@
@MORE@
";

/// Runs the rows, and prints what `status` and the log say in each.
pub fn show(report: &mut Report, brokers: &Brokers) -> Result<()> {
    let mut records = brokers.records()?;
    let flume = "a1.sources.r1.useFlumeEventFormat = true";
    for (topic, value) in [("odd-poison", "ff"), ("odd-null", "-")] {
        records.topic(topic, 1, 1)?;
        records.ask(&format!("put {topic} 0 - - 000268"))?;
        records.ask(&format!("put {topic} 0 - - {value}"))?;
        let wanted = format!("{topic}-0 stands still at offset 1");
        seen(report, brokers, topic, SOURCE, flume, &wanted)?;
    }
    records.topic("odd-keys", 1, 1)?;
    records.ask("put odd-keys 0 - - 61")?;
    let mut agent = start(brokers, "odd-keys", SOURCE, "")?;
    agent.wait_for_count("SINK.k1", "EventDrainSuccessCount", 1)?;
    agent.stop()?;
    report.row("a record without a key", "delivered", "delivered", true);
    records.topic("odd-size", 1, 1)?;
    let small = "a1.sources.r1.interceptors = i1\na1.sources.r1.interceptors.i1.type = static\n\
                 a1.sources.r1.interceptors.i1.key = h\na1.sources.r1.interceptors.i1.value = @LONG@\n\
                 a1.sinks.k1.useFlumeEventFormat = true\na1.sinks.k1.kafka.producer.max.request.size = 1000";
    let small = small.replace("@LONG@", &"x".repeat(2000));
    seen(report, brokers, "odd-size", SINK, &small, "size too large")?;
    records.topic("odd-partition", 1, 1)?;
    let partition = "a1.sinks.k1.defaultPartitionId = 7";
    seen(
        report,
        brokers,
        "odd-partition",
        SINK,
        partition,
        "Unknown partition",
    )?;
    seen(report, brokers, "odd-missing", SINK, "", "odd-missing")?;
    deleted(report, brokers, &mut records)?;
    outrun(report, brokers, &mut records)
}

fn start(brokers: &Brokers, topic: &str, text: &str, more: &str) -> Result<Running> {
    let text = text
        .replace("@SERVERS@", &brokers.servers(0))
        .replace("@TOPIC@", topic)
        .replace("@MORE@", more);
    Running::start(Maker::Ours, &text)
}

/// Waits until the status or the log says `wanted`.
fn seen(
    report: &mut Report,
    brokers: &Brokers,
    topic: &str,
    text: &str,
    more: &str,
    wanted: &str,
) -> Result<()> {
    let mut agent = start(brokers, topic, text, more)?;
    judge(report, &mut agent, topic, wanted)
}

fn judge(report: &mut Report, agent: &mut Running, topic: &str, wanted: &str) -> Result<()> {
    let said = until(wanted, || {
        Ok(agent.status()?.contains(wanted) || agent.log().contains(wanted))
    });
    println!(
        "--- {topic}: status and log\n{}\n{}---",
        agent.status()?,
        agent.log()
    );
    let what = if said.is_ok() { "said" } else { "not said" };
    report.row(topic, what, wanted, said.is_ok());
    Ok(())
}

/// The topic vanishes while the source reads it.
fn deleted(report: &mut Report, brokers: &Brokers, records: &mut Records) -> Result<()> {
    records.topic("odd-deleted", 1, 1)?;
    records.ask("fill odd-deleted 0 10")?;
    let often = "a1.sources.r1.kafka.consumer.metadata.max.age.ms = 2000";
    let mut agent = start(brokers, "odd-deleted", SOURCE, often)?;
    agent.wait_for_count("SINK.k1", "EventDrainSuccessCount", 10)?;
    records.ask("delete odd-deleted")?;
    judge(report, &mut agent, "odd-deleted", "Unknown topic")
}

/// Records that the group has not read are removed, as retention does it.
fn outrun(report: &mut Report, brokers: &Brokers, records: &mut Records) -> Result<()> {
    records.topic("odd-outrun", 1, 1)?;
    records.ask("fill odd-outrun 0 10")?;
    let mut agent = start(brokers, "odd-outrun", SOURCE, "")?;
    agent.wait_for_count("SINK.k1", "EventDrainSuccessCount", 10)?;
    agent.stop()?;
    records.ask("fill odd-outrun 10 30")?;
    records.ask("truncate odd-outrun 0 20")?;
    seen(report, brokers, "odd-outrun", SOURCE, "", "out of range")?;
    let strict = SOURCE.replace("auto.offset.reset = earliest", "auto.offset.reset = none");
    records.ask("fill odd-outrun 30 60")?;
    records.ask("truncate odd-outrun 0 50")?;
    seen(
        report,
        brokers,
        "odd-outrun",
        &strict,
        "",
        "`auto.offset.reset` is `none`",
    )
}

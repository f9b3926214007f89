//! Events per second beside Java Flume on one broker, with all acknowledgements.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::Result;

use super::brokers::Brokers;
use crate::{
    agents::{Maker, Running},
    report::Report,
};

const BODY_BYTES: usize = 500;
/// A JVM compiles meanwhile.
const WARM_UP: Duration = Duration::from_secs(10);
const MEASURED: Duration = Duration::from_secs(15);
/// Records that are there for a source to read; one has to last for both times.
const RECORDS: usize = 8_000_000;

const STRESS: &str = "
a1.sources = r1
a1.channels = c1
a1.sinks = k1
a1.sources.r1.type = org.apache.flume.source.StressSource
a1.sources.r1.size = 500
a1.sources.r1.batchSize = 1000
a1.sources.r1.channels = c1
";

const MEMORY: &str = "
a1.channels.c1.type = memory
a1.channels.c1.capacity = 100000
a1.channels.c1.transactionCapacity = 10000
";

const NULL: &str = "
a1.sinks.k1.type = null
a1.sinks.k1.batchSize = 1000
a1.sinks.k1.channel = c1
";

const SINK: &str = "
a1.sinks.k1.type = org.apache.flume.sink.kafka.KafkaSink
a1.sinks.k1.channel = c1
a1.sinks.k1.kafka.bootstrap.servers = @SERVERS@
a1.sinks.k1.kafka.topic = @TOPIC@
a1.sinks.k1.kafka.producer.acks = all
a1.sinks.k1.flumeBatchSize = 1000
";

const CHANNEL: &str = "
a1.channels.c1.type = org.apache.flume.channel.kafka.KafkaChannel
a1.channels.c1.kafka.bootstrap.servers = @SERVERS@
a1.channels.c1.kafka.topic = @TOPIC@
a1.channels.c1.kafka.consumer.group.id = @TOPIC@
a1.channels.c1.kafka.producer.acks = all
";

const SOURCE: &str = "
a1.sources = r1
a1.channels = c1
a1.sinks = k1
a1.sources.r1.type = org.apache.flume.source.kafka.KafkaSource
a1.sources.r1.channels = c1
a1.sources.r1.kafka.bootstrap.servers = @SERVERS@
a1.sources.r1.kafka.topics = bulk
a1.sources.r1.kafka.consumer.group.id = @TOPIC@
a1.sources.r1.kafka.consumer.auto.offset.reset = earliest
a1.sources.r1.batchSize = 1000
";

/// A flow, and how many times Java's rate is claimed.
const FLOWS: &[(&str, &[&str], f64)] = &[
    ("sink", &[STRESS, MEMORY, SINK], 3.0),
    ("channel", &[STRESS, CHANNEL, NULL], 5.0),
    ("source", &[SOURCE, MEMORY, NULL], 2.0),
];

/// What was measured.
struct Measured {
    rate: f64,
    cpu_per_million: f64,
    peak_mib: f64,
}

/// All flows, each agent alone.
pub fn show(report: &mut Report, brokers: &Brokers) -> Result<()> {
    let mut records = brokers.records()?;
    records.topic("bulk", 1, 1)?;
    records.ask(&format!("bulk bulk {RECORDS} {BODY_BYTES}"))?;
    for (name, parts, claim) in FLOWS {
        let mut rates = vec![];
        for maker in [Maker::Ours, Maker::Java] {
            let topic = format!("{name}-{maker:?}");
            records.topic(&topic, 1, 1)?;
            let text = parts
                .concat()
                .replace("@SERVERS@", &brokers.servers(0))
                .replace("@TOPIC@", &topic);
            let measured = measure(maker, &text)?;
            println!(
                "kafka {name}: {maker:?} {:.0} events/s, {:.2} CPU s per million, {:.0} MiB",
                measured.rate, measured.cpu_per_million, measured.peak_mib
            );
            rates.push(measured.rate);
            records.ask(&format!("delete {topic}"))?;
        }
        let item = format!("kafka {name}: events/s against Java");
        report.at_least(&item, rates[0] / rates[1], *claim);
    }
    Ok(())
}

fn measure(maker: Maker, text: &str) -> Result<Measured> {
    let mut agent = Running::start(maker, text)?;
    let delivered = |agent: &mut Running| agent.metric("CHANNEL.c1", "EventTakeSuccessCount");
    agent.wait_for_count("CHANNEL.c1", "EventTakeSuccessCount", 1)?;
    sleep(WARM_UP);
    let before = delivered(&mut agent)?;
    let used_before = agent.usage()?;
    let begun = Instant::now();
    sleep(MEASURED);
    let events = delivered(&mut agent)? - before;
    let seconds = begun.elapsed().as_secs_f64();
    let used = agent.usage()?;
    Ok(Measured {
        rate: events as f64 / seconds,
        cpu_per_million: (used.cpu - used_before.cpu) / (events.max(1) as f64 / 1e6),
        peak_mib: used.peak_mib,
    })
}

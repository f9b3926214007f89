//! Kafka: the source, the sink and the channel, on librdkafka.
//!
//! | module | what belongs there |
//! |---|---|
//! | `source`, `sink`, `channel` | the three components, with their properties |
//! | `settings` | `kafka.consumer.*` and `kafka.producer.*` of Java's clients, for librdkafka |
//! | `intake` | reading as a member of a group: what the source and the channel's takes share |
//! | `migration` | offsets that were in ZooKeeper, copied once into a group |
//! | `publisher`, `outgoing` | writing and waiting for acknowledgements: what the sink and the channel's puts share |
//! | `transaction` | writing in transactions, with the offsets of what was read if it came from Kafka |
//! | `record` | from a record's value and key to an event |
//! | `watch` | what a client says about itself, as state and metrics |
//!
//! librdkafka's clients have threads of their own; beside them an intake has two and a publisher one. All of them block,
//! none of them belongs to the runtime.

mod bad_records;
mod channel;
mod intake;
mod migration;
mod outgoing;
mod publisher;
mod record;
mod settings;
mod sink;
mod source;
mod transaction;
mod watch;

use flume_core::{Registration, Registry};

/// For the fuzzer: reads a text as `sasl.jaas.config` and as a file of JAAS.
#[doc(hidden)]
pub fn read_jaas(text: &str) -> bool {
    settings::is_jaas(text)
}

/// Every component in this crate.
#[rustfmt::skip]
pub static REGISTRY: Registry = Registry {
    sources: &[Registration::source::<source::KafkaSource>("", "org.apache.flume.source.kafka.KafkaSource")],
    channels: &[Registration::channel::<channel::KafkaChannel>("", "org.apache.flume.channel.kafka.KafkaChannel")],
    sinks: &[Registration::sink::<sink::KafkaSink>("", "org.apache.flume.sink.kafka.KafkaSink")],
    ..Registry::EMPTY
};

//! What a client of Kafka says about itself, made visible: its log, its errors, its statistics.
//!
//! librdkafka reconnects for ever and says so in its log alone. Here the reason becomes the state of the component, and
//! the state ends when a broker answers again.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

use flume_core::{
    StateHandle,
    metrics::{Counter, Gauge, Metrics, Text},
};
use parking_lot::Mutex;
use rdkafka::{
    ClientContext, Statistics,
    config::RDKafkaLogLevel,
    error::{KafkaError, RDKafkaErrorCode},
};

/// How often a client reports statistics, and so how old the lag may be and how late a recovery is seen.
pub(crate) const STATISTICS_INTERVAL: Duration = Duration::from_secs(2);

/// Watches one client for its component.
pub(crate) struct ClientWatch {
    state: StateHandle,
    /// The last complaint in the log: the error that follows does not say more than "transport failure".
    complaint: Mutex<String>,
    /// Whether no broker could be reached.
    down: AtomicBool,
    errors: Counter,
    /// Jumps to where `auto.offset.reset` says, because the offset that was wanted does not exist.
    offset_resets: Counter,
    causes: Causes,
    lag: Gauge,
    lag_by_partition: Text,
}

/// How often each thing went wrong, as one text: `Local: Message timed out=3`.
#[derive(Clone)]
pub(crate) struct Causes {
    counts: std::sync::Arc<Mutex<BTreeMap<String, u64>>>,
    shown: Text,
}

/// No broker could be reached, or none let this client in.
#[derive(Debug, thiserror::Error)]
#[error("failed to reach a broker: {0}")]
struct BrokersUnreachable(String);

impl ClientWatch {
    pub(crate) fn new(metrics: &Metrics, state: &StateHandle) -> Self {
        ClientWatch {
            state: state.clone(),
            complaint: Mutex::default(),
            down: AtomicBool::new(false),
            errors: metrics.counter("KafkaClientErrorCount"),
            offset_resets: metrics.counter("KafkaOffsetResetCount"),
            causes: Causes::new(metrics.text("KafkaClientErrors")),
            lag: metrics.gauge("KafkaLag"),
            lag_by_partition: metrics.text("KafkaLagByPartition"),
        }
    }

    /// Something came from a broker or went to one.
    pub(crate) fn alive(&self) {
        if self.down.load(Relaxed) && self.down.swap(false, Relaxed) {
            self.complaint.lock().clear();
            self.state.running();
        }
    }

    fn unreachable(&self, text: &str) {
        self.down.store(true, Relaxed);
        let complaint = self.complaint.lock().clone();
        let text = if complaint.is_empty() {
            text.to_string()
        } else {
            format!("{text}; {complaint}")
        };
        self.state
            .failing(&BrokersUnreachable(text), STATISTICS_INTERVAL);
    }
}

impl ClientContext for ClientWatch {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // "[thrd:main]: " and the address in front of it differ for each thread and say nothing to an operator.
        let text = message.split_once("]: ").map_or(message, |(_, text)| text);
        match level {
            RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => tracing::debug!("{facility} {text}"),
            // Records that nobody has read are gone, or the group has no offset: an operator has to know.
            _ if facility == "OFFSET" => {
                self.offset_resets.add(1);
                tracing::warn!("{text}");
            }
            _ => {
                *self.complaint.lock() = text.into();
                tracing::debug!("{facility} {text}");
            }
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.errors.add(1);
        let code = error.rdkafka_error_code();
        self.causes
            .count(&code.map_or_else(|| error.to_string(), |code| code.to_string()));
        match code {
            Some(RDKafkaErrorCode::AllBrokersDown | RDKafkaErrorCode::Authentication) => {
                self.unreachable(reason);
            }
            Some(RDKafkaErrorCode::Resolve | RDKafkaErrorCode::SSL) => {
                *self.complaint.lock() = reason.into();
            }
            Some(RDKafkaErrorCode::BrokerTransportFailure) => {}
            _ => tracing::warn!("{error}: {reason}"),
        }
    }

    fn stats(&self, statistics: Statistics) {
        if statistics
            .brokers
            .values()
            .any(|broker| broker.state == "UP")
        {
            self.alive();
        }
        let mut total = 0;
        let mut by_partition = vec![];
        for topic in statistics.topics.values() {
            let mut partitions: Vec<_> = topic.partitions.values().collect();
            partitions.sort_by_key(|partition| partition.partition);
            for partition in partitions {
                if let Ok(lag) = u64::try_from(partition.consumer_lag) {
                    total += lag;
                    by_partition.push(format!("{}-{}={lag}", topic.topic, partition.partition));
                }
            }
        }
        self.lag.set(total as usize);
        self.lag_by_partition.set(by_partition.join(" "));
    }
}

impl Causes {
    pub(crate) fn new(shown: Text) -> Self {
        Causes {
            counts: Default::default(),
            shown,
        }
    }

    pub(crate) fn count(&self, cause: &str) {
        let mut counts = self.counts.lock();
        *counts.entry(cause.into()).or_default() += 1;
        let texts: Vec<_> = counts
            .iter()
            .map(|(cause, count)| format!("{cause}={count}"))
            .collect();
        self.shown.set(texts.join(", "));
    }
}

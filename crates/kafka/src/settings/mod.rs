//! `kafka.producer.*` and `kafka.consumer.*`: properties of Java's clients, for librdkafka.
//!
//! Each is translated, done here, or named in a warning at its place in the configuration; none is dropped in silence.

mod kept_login;
mod rules;
mod security;

use std::{collections::BTreeMap, time::Duration};

use flume_core::{
    Code, Context,
    config::{Property, PropertyValue},
    props::{Props, Setting},
};
use flume_java::jaas;
use rdkafka::{ClientConfig, config::RDKafkaLogLevel, error::KafkaError, types::RDKafkaConfRes};

use crate::watch::STATISTICS_INTERVAL;
use rules::Rule;
use security::Security;
pub(crate) use security::SecurityError;

/// Bytes that a consumer reads ahead, in kilobytes, over all its partitions.
const READ_AHEAD_KILOBYTES: u64 = 32 << 10;

/// The properties of a client.
#[derive(Clone, Default)]
pub(crate) struct ClientSettings {
    /// As librdkafka names and spells them.
    native: BTreeMap<String, String>,
    /// As they are written, for those that are done here.
    ours: BTreeMap<String, String>,
}

/// `kafka.consumer.*`
#[derive(Clone, Default)]
pub(crate) struct ConsumerSettings(pub(crate) ClientSettings);

/// `kafka.producer.*`
#[derive(Clone, Default)]
pub(crate) struct ProducerSettings(pub(crate) ClientSettings);

impl PropertyValue for ConsumerSettings {
    const TYPE: &'static str = "map";
    const OPTIONAL: bool = true;

    fn read(props: &mut Props<'_>, row: &Property) -> Option<Self> {
        ClientSettings::read(props, row, rules::CONSUMER).map(ConsumerSettings)
    }
}

impl PropertyValue for ProducerSettings {
    const TYPE: &'static str = "map";
    const OPTIONAL: bool = true;

    fn read(props: &mut Props<'_>, row: &Property) -> Option<Self> {
        ClientSettings::read(props, row, rules::PRODUCER).map(ProducerSettings)
    }
}

impl ClientSettings {
    fn read(props: &mut Props<'_>, row: &Property, table: &[(&str, Rule)]) -> Option<Self> {
        let mut settings = ClientSettings::default();
        let mut right = true;
        for (key, setting) in props.claim(&format!("{}.", row.key)) {
            let full = format!("{}.{key}", row.key);
            match settings.set(&key, setting.text.trim(), table) {
                Ok(()) => {}
                Err(Misfit::Warning(text)) => {
                    let Setting { key_place, .. } = setting;
                    props.report_at(Code::WrongSetting, key_place, &full, &text, None);
                }
                Err(Misfit::Error(text)) => {
                    right = false;
                    props.problem(&full, &text);
                }
            }
        }
        right.then_some(settings)
    }

    /// Takes a property of Java's.
    fn set(&mut self, key: &str, value: &str, table: &[(&str, Rule)]) -> Result<(), Misfit> {
        let found = table
            .iter()
            .chain(rules::COMMON)
            .find(|(known, _)| *known == key);
        let (name, value) = match found.map(|(_, rule)| *rule) {
            None => (key, value.to_string()),
            Some(Rule::Named(name)) => (name, value.to_string()),
            Some(Rule::Kilobytes(name)) => {
                let bytes: u64 = value.parse().map_err(|_| {
                    Misfit::Error(format!("expected a number of bytes, found `{value}`"))
                })?;
                (name, bytes.div_ceil(1024).to_string())
            }
            Some(Rule::Spelled(name, spellings)) => (name, spelled(value, spellings).to_string()),
            Some(Rule::Classes(name, classes)) => {
                let words = value.split(',').map(|class| spelled(class.trim(), classes));
                (name, words.collect::<Vec<_>>().join(","))
            }
            Some(Rule::Only(classes)) if classes.contains(&value) => return Ok(()),
            Some(Rule::Only(classes)) => {
                return Err(Misfit::Error(format!(
                    "a Java class cannot be loaded; known is {}",
                    classes.join(", ")
                )));
            }
            Some(Rule::Ours) => {
                self.ours.insert(key.into(), value.into());
                return Ok(());
            }
            Some(Rule::NoEffect(why)) => {
                return Err(Misfit::Warning(format!("has no effect: {why}")));
            }
            Some(Rule::Refused(why)) => return Err(Misfit::Error(why.into())),
        };
        check(name, &value)?;
        self.native.insert(name.into(), value);
        Ok(())
    }

    /// A property that is done here, as it is written.
    pub(crate) fn ours(&self, key: &str) -> Option<&str> {
        self.ours.get(key).map(String::as_str)
    }

    /// A property as librdkafka has it.
    pub(crate) fn native(&self, key: &str) -> Option<&str> {
        self.native.get(key).map(String::as_str)
    }

    /// The same brokers and security, for a client of another kind.
    fn common(&self, servers: &str, cx: &Context) -> Result<ClientConfig, SecurityError> {
        let mut config = ClientConfig::new();
        // The default follows a logger that this program does not use, and leaves warnings out.
        config.set_log_level(RDKafkaLogLevel::Info);
        config.set("bootstrap.servers", servers);
        config.set("client.id", &*cx.name);
        config.set(
            "statistics.interval.ms",
            STATISTICS_INTERVAL.as_millis().to_string(),
        );
        // Brokers close idle connections; that is no error.
        config.set("log.connection.close", "false");
        // As Java's clients: the default waits up to ten seconds for a broker that is back.
        config.set("reconnect.backoff.max.ms", "1000");
        self.security(cx)?.apply(&mut config)?;
        Ok(config)
    }

    fn security<'a>(&'a self, cx: &'a Context) -> Result<Security<'a>, SecurityError> {
        let mechanism = self
            .native("sasl.mechanism")
            .or(self.native("sasl.mechanisms"));
        Security::new(&self.ours, mechanism, &cx.agent)
    }

    /// Logs in by a keytab, if that is how the client does it, and keeps the tickets fresh.
    pub(crate) async fn log_in(&self, cx: &Context) -> Result<(), SecurityError> {
        match self.security(cx)?.keytab_login()? {
            Some(login) => Ok(kept_login::keep(&login).await?),
            None => Ok(()),
        }
    }

    /// A producer whose acknowledgement means that every replica in sync has the record.
    pub(crate) fn producer(
        &self,
        servers: &str,
        cx: &Context,
    ) -> Result<ClientConfig, SecurityError> {
        let mut config = self.common(servers, cx)?;
        let defaults = [
            // As Java's client chooses partitions.
            ("partitioner", "murmur2_random"),
            // As Java's: the largest record, the memory for records under way, the time to deliver one.
            ("message.max.bytes", "1048576"),
            ("queue.buffering.max.kbytes", "32768"),
            ("queue.buffering.max.messages", "1000000"),
            ("message.timeout.ms", "120000"),
            // Batches are complete when they come: waiting longer brings nothing, not at all makes many small requests.
            ("linger.ms", "1"),
        ];
        for (key, value) in defaults {
            config.set(key, value);
        }
        config.set("acks", self.acks());
        config.set("enable.idempotence", self.is_idempotent().to_string());
        config.extend(self.native.clone());
        Ok(config)
    }

    /// Who must have a record before it is acknowledged.
    pub(crate) fn acks(&self) -> &str {
        self.ours("acks").unwrap_or("all")
    }

    /// Takes the sink's former property, unless the present one is set.
    pub(crate) fn set_old_acks(&mut self, acks: &str) {
        self.ours
            .entry("acks".into())
            .or_insert_with(|| acks.into());
    }

    /// Whether records are written once and in order, whatever is sent again. It needs all acknowledgements.
    pub(crate) fn is_idempotent(&self) -> bool {
        let many = |key: &str, most: u32| {
            let value = self.native(key).and_then(|value| value.parse().ok());
            value.is_some_and(|value: u32| value > most)
        };
        let possible = matches!(self.acks(), "all" | "-1")
            && !many("max.in.flight.requests.per.connection", 5)
            && self.native("retries") != Some("0");
        match self.ours("enable.idempotence") {
            Some(wanted) => wanted.eq_ignore_ascii_case("true"),
            None => possible,
        }
    }

    /// How long a record may wait for room in the queue.
    pub(crate) fn max_block(&self) -> Duration {
        self.millis("max.block.ms", 60_000)
    }

    /// A member of a group, as Java's client would be one.
    pub(crate) fn consumer(
        &self,
        servers: &str,
        group: &str,
        offset_reset: &str,
        cx: &Context,
    ) -> Result<ClientConfig, SecurityError> {
        let mut config = self.common(servers, cx)?;
        let read_ahead = READ_AHEAD_KILOBYTES.to_string();
        let defaults = [
            ("auto.offset.reset", offset_reset),
            // As Java's client of that time.
            ("isolation.level", "read_uncommitted"),
            ("session.timeout.ms", "10000"),
            ("heartbeat.interval.ms", "3000"),
            ("partition.assignment.strategy", "range"),
            ("allow.auto.create.topics", "true"),
            ("check.crcs", "true"),
            ("queued.max.messages.kbytes", &read_ahead),
            // The default of a second makes a reader that was full stand still.
            ("fetch.queue.backoff.ms", "20"),
        ];
        for (key, value) in defaults {
            config.set(key, value);
        }
        config.extend(self.native.clone());
        config.set("group.id", group);
        config.set("enable.auto.commit", "false");
        config.set("enable.auto.offset.store", "false");
        Ok(config)
    }

    /// The producer of dead letters beside a consumer: it has the consumer's security.
    pub(crate) fn dead_letters(
        &self,
        servers: &str,
        cx: &Context,
    ) -> Result<ClientConfig, SecurityError> {
        let same = [
            "security.protocol",
            "sasl.mechanism",
            "sasl.mechanisms",
            "sasl.kerberos.service.name",
        ];
        let kept = |key: &String| same.contains(&key.as_str()) || key.starts_with("ssl.");
        let native = self.native.iter().filter(|(key, _)| kept(key));
        let native = native
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        ClientSettings {
            native,
            ours: self.ours.clone(),
        }
        .producer(servers, cx)
    }

    /// How often new topics are looked for.
    pub(crate) fn metadata_max_age(&self) -> Duration {
        let millis = self
            .native("metadata.max.age.ms")
            .and_then(|text| text.parse().ok());
        Duration::from_millis(millis.unwrap_or(300_000))
    }

    /// How long a rebalance waits for open batches: well below the time after which the group gives a member up.
    pub(crate) fn patience(&self) -> Duration {
        let millis = self
            .native("max.poll.interval.ms")
            .and_then(|text| text.parse().ok());
        Duration::from_millis(millis.unwrap_or(300_000u64) / 10)
    }

    fn millis(&self, key: &str, default: u64) -> Duration {
        let millis = self.ours(key).and_then(|text| text.parse().ok());
        Duration::from_millis(millis.unwrap_or(default))
    }
}

/// Whether a text is a login, or a file with one for Kafka.
pub(crate) fn is_jaas(text: &str) -> bool {
    let login = jaas::parse_one(text);
    let entry = jaas::parse_entry(text, "KafkaClient");
    login.is_ok() || matches!(entry, Ok(Some(_)))
}

/// What is wrong with a property.
enum Misfit {
    Warning(String),
    Error(String),
}

fn spelled<'a>(value: &'a str, spellings: &[(&'static str, &'static str)]) -> &'a str {
    let found = spellings.iter().find(|(java, _)| *java == value);
    found.map_or(value, |(_, native)| *native)
}

/// Whether librdkafka knows the name and takes the value.
fn check(name: &str, value: &str) -> Result<(), Misfit> {
    match ClientConfig::new().set(name, value).create_native_config() {
        Ok(_) => Ok(()),
        Err(KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..)) => Err(
            Misfit::Warning("has no effect: Kafka's clients have no such property".into()),
        ),
        Err(KafkaError::ClientConfig(_, said, ..)) => Err(Misfit::Error(said)),
        Err(error) => Err(Misfit::Error(error.to_string())),
    }
}

#[cfg(test)]
mod tests;

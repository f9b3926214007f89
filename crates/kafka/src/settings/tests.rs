use flume_core::{Config, Context};
use flume_testkit::parts::read;

use super::*;

/// Both kinds of client.
#[derive(Clone, Config)]
struct BothConfig {
    /// A consumer.
    #[prop("kafka.consumer")]
    consumer: ConsumerSettings,
    /// A producer.
    #[prop("kafka.producer")]
    producer: ProducerSettings,
}

fn parse(text: &str) -> (Option<BothConfig>, Vec<String>) {
    read::<BothConfig>(&flume_components::REGISTRY, "a1.sinks.k1", text)
}

fn producer(text: &str) -> ClientConfig {
    let (config, found) = parse(text);
    assert_eq!(found, [""; 0]);
    config
        .unwrap()
        .producer
        .0
        .producer("h:1", &Context::new("a1.sinks.k1", &[]))
        .unwrap()
}

fn consumer(text: &str) -> ClientConfig {
    let (config, found) = parse(text);
    assert_eq!(found, [""; 0]);
    let cx = Context::new("a1.sources.r1", &[]);
    config
        .unwrap()
        .consumer
        .0
        .consumer("h:1", "g", "latest", &cx)
        .unwrap()
}

#[test]
fn javas_names_and_units_are_translated() {
    let config = producer(
        "kafka.producer.buffer.memory = 1048577\nkafka.producer.max.request.size = 5000\n\
         kafka.producer.compression.type = zstd\nkafka.producer.delivery.timeout.ms = 7000\n\
         kafka.producer.send.buffer.bytes = -1\nkafka.producer.linger.ms = 20\n\
         kafka.producer.key.serializer = org.apache.kafka.common.serialization.StringSerializer",
    );
    for (key, value) in [
        ("queue.buffering.max.kbytes", "1025"),
        ("message.max.bytes", "5000"),
        ("compression.type", "zstd"),
        ("message.timeout.ms", "7000"),
        ("socket.send.buffer.bytes", "0"),
        ("linger.ms", "20"),
        ("partitioner", "murmur2_random"),
        ("client.id", "a1.sinks.k1"),
    ] {
        assert_eq!(config.get(key), Some(value), "{key}");
    }
    let config = consumer(
        "kafka.consumer.fetch.max.wait.ms = 9\nkafka.consumer.auto.offset.reset = none\n\
         kafka.consumer.session.timeout.ms = 30000\nkafka.consumer.request.timeout.ms = 8000\n\
         kafka.consumer.partition.assignment.strategy = org.apache.kafka.clients.consumer.RoundRobinAssignor, range",
    );
    for (key, value) in [
        ("fetch.wait.max.ms", "9"),
        ("auto.offset.reset", "error"),
        ("session.timeout.ms", "30000"),
        ("socket.timeout.ms", "8000"),
        ("partition.assignment.strategy", "roundrobin,range"),
        ("group.id", "g"),
        ("enable.auto.commit", "false"),
        ("isolation.level", "read_uncommitted"),
    ] {
        assert_eq!(config.get(key), Some(value), "{key}");
    }
}

#[test]
fn what_has_no_counterpart_is_named_once_at_its_place() {
    let (config, found) = parse(
        "kafka.producer.ssl.provider = t\nkafka.producer.no.such.thing = 1\n\
         kafka.consumer.enable.auto.commit = true\nkafka.consumer.ssl.protocol = TLS",
    );
    assert!(config.is_some());
    assert_eq!(found.len(), 4, "{found:?}");
    assert!(
        found
            .iter()
            .all(|text| text.starts_with("warning: ") && text.contains("has no effect: ")),
        "{found:?}"
    );
}

#[test]
fn wrong_values_and_classes_are_errors() {
    for text in [
        "kafka.producer.linger.ms = soon",
        "kafka.producer.compression.type = best",
        "kafka.producer.buffer.memory = much",
        "kafka.producer.value.serializer = com.example.Mine",
        "kafka.producer.partitioner.class = com.example.Mine",
        "kafka.consumer.auto.offset.reset = middle",
        "kafka.consumer.sasl.login.class = com.example.Mine",
    ] {
        let (config, found) = parse(text);
        assert!(config.is_none() && found.len() == 1, "{text}: {found:?}");
        assert!(found[0].starts_with("error: "), "{found:?}");
    }
}

#[test]
fn nothing_said_means_all_acknowledgements_and_idempotence() {
    let facts = |text: &str| {
        let config = producer(text);
        (
            config.get("acks").unwrap().to_string(),
            config.get("enable.idempotence").unwrap() == "true",
        )
    };
    assert_eq!(facts(""), ("all".into(), true));
    assert_eq!(facts("kafka.producer.acks = -1"), ("-1".into(), true));
    assert_eq!(facts("kafka.producer.acks = 1"), ("1".into(), false));
    assert_eq!(
        facts("kafka.producer.enable.idempotence = false"),
        ("all".into(), false)
    );
    assert_eq!(facts("kafka.producer.retries = 0"), ("all".into(), false));
    assert_eq!(
        facts("kafka.producer.max.in.flight.requests.per.connection = 9"),
        ("all".into(), false)
    );
}

/// Whatever is not done here must be known to librdkafka, or clients could not be made.
#[test]
fn defaults_are_known_to_the_library() {
    for config in [producer(""), consumer("")] {
        config.create_native_config().unwrap();
    }
}

#[test]
fn logins_of_jaas_become_names_and_passwords() {
    let config = producer(
        "kafka.producer.security.protocol = SASL_SSL\nkafka.producer.sasl.mechanism = SCRAM-SHA-512\n\
         kafka.producer.ssl.disableTLSHostnameVerification = true\n\
         kafka.producer.sasl.jaas.config = org.apache.kafka.common.security.scram.ScramLoginModule required username=\"u\" password=\"p\";",
    );
    for (key, value) in [
        ("security.protocol", "SASL_SSL"),
        ("sasl.mechanism", "SCRAM-SHA-512"),
        ("sasl.username", "u"),
        ("sasl.password", "p"),
        ("ssl.endpoint.identification.algorithm", "none"),
    ] {
        assert_eq!(config.get(key), Some(value), "{key}");
    }
    config.create_native_config().unwrap();
}

fn context(properties: &[(&str, &str)]) -> Context {
    let properties = properties
        .iter()
        .map(|(key, value)| (key.to_string(), value.to_string()));
    let agent = flume_core::AgentInfo {
        system_properties: properties.collect(),
        ..Default::default()
    };
    Context::of_agent("a1.sinks.k1", vec![], std::sync::Arc::new(agent))
}

fn secured(text: &str, cx: &Context) -> Result<ClientConfig, SecurityError> {
    let (config, found) = parse(text);
    assert_eq!(found, [""; 0]);
    config.unwrap().producer.0.producer("h:1", cx)
}

#[test]
fn logins_come_from_a_file_of_jaas_that_the_command_line_names() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("jaas.conf");
    let entry = "KafkaClient {\n  org.apache.kafka.common.security.plain.PlainLoginModule required\n  \
                 username=\"flume\" password=\"secret\";\n};\n";
    std::fs::write(&file, entry).unwrap();
    let cx = context(&[("java.security.auth.login.config", file.to_str().unwrap())]);
    let text =
        "kafka.producer.security.protocol = SASL_PLAINTEXT\nkafka.producer.sasl.mechanism = PLAIN";
    let config = secured(text, &cx).unwrap();
    assert_eq!(
        (config.get("sasl.username"), config.get("sasl.password")),
        (Some("flume"), Some("secret"))
    );
    let error = secured(text, &context(&[])).err().unwrap().to_string();
    assert!(error.contains("PLAIN needs a user"), "{error}");
    let gone = context(&[("java.security.auth.login.config", "/nowhere/jaas.conf")]);
    let error = secured(text, &gone).err().unwrap().to_string();
    assert_eq!(error, "failed to read /nowhere/jaas.conf");
}

#[test]
fn a_keytab_of_jaas_is_used_without_a_program() {
    let text = "kafka.producer.security.protocol = SASL_SSL\n\
                kafka.producer.sasl.jaas.config = com.sun.security.auth.module.Krb5LoginModule required \
                useKeyTab=true keyTab=\"/k.keytab\" principal=\"flume/h@R\" serviceName=\"kafka2\";";
    let cx = context(&[]);
    let config = secured(text, &cx).unwrap();
    assert_eq!(config.get("sasl.kerberos.service.name"), Some("kafka2"));
    assert_eq!(
        config.get("sasl.kerberos.min.time.before.relogin"),
        Some("0")
    );
    config.create_native_config().unwrap();
    let (parsed, _) = parse(text);
    let login = parsed
        .unwrap()
        .producer
        .0
        .security(&cx)
        .unwrap()
        .keytab_login()
        .unwrap()
        .unwrap();
    assert_eq!(
        (login.principal.as_str(), login.keytab.to_str()),
        ("flume/h@R", Some("/k.keytab"))
    );
}

/// The stores of the crate that reads them: what comes out is what librdkafka takes.
#[test]
fn stores_of_java_become_pem() {
    let stores = concat!(env!("CARGO_MANIFEST_DIR"), "/../keystore/tests/data/");
    let text = |trust: &str, key: &str, key_password: &str| {
        format!(
            "kafka.producer.security.protocol = SSL\n\
             kafka.producer.ssl.truststore.location = {stores}{trust}\n\
             kafka.producer.ssl.truststore.password = storePassword\n\
             kafka.producer.ssl.keystore.location = {stores}{key}\n\
             kafka.producer.ssl.keystore.password = storePassword\n\
             {key_password}"
        )
    };
    for (trust, key, key_password) in [
        (
            "trust.jks",
            "server.jks",
            "kafka.producer.ssl.key.password = keyPassword",
        ),
        ("trust.pkcs12", "server.pkcs12", ""),
    ] {
        let config = secured(&text(trust, key, key_password), &context(&[])).unwrap();
        assert!(
            config
                .get("ssl.ca.pem")
                .unwrap()
                .starts_with("-----BEGIN CERTIFICATE-----\n"),
            "{trust}"
        );
        assert!(
            config.get("ssl.key.pem").unwrap().contains("PRIVATE KEY"),
            "{key}"
        );
        let certificates = config.get("ssl.certificate.pem").unwrap();
        assert!(
            certificates.ends_with("-----END CERTIFICATE-----\n"),
            "{key}"
        );
        let client: rdkafka::producer::BaseProducer = config.create().unwrap();
        drop(client);
    }
    let all = context(&[
        ("javax.net.ssl.trustStore", &format!("{stores}trust.jks")),
        ("javax.net.ssl.trustStorePassword", "storePassword"),
    ]);
    let config = secured("kafka.producer.security.protocol = SSL", &all).unwrap();
    assert!(config.get("ssl.ca.pem").is_some());
    let config = secured("", &all).unwrap();
    assert!(config.get("ssl.ca.pem").is_none());
}

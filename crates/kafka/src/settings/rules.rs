//! What becomes of each property of Java's clients that librdkafka knows by another name, in another unit or not at
//! all. What is not listed here has the same name and meaning in both.

/// What becomes of a property.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// The same under this name.
    Named(&'static str),
    /// The same under this name, in kilobytes.
    Kilobytes(&'static str),
    /// Another spelling of some values, under this name; others are as they are.
    Spelled(&'static str, &'static [(&'static str, &'static str)]),
    /// A list of class names, under this name.
    Classes(&'static str, &'static [(&'static str, &'static str)]),
    /// One of these classes, which is what happens here anyway.
    Only(&'static [&'static str]),
    /// Read by this crate.
    Ours,
    /// Without a meaning here, for this reason.
    NoEffect(&'static str),
    /// Refused, for this reason.
    Refused(&'static str),
}

use Rule::{Classes, Kilobytes, Named, NoEffect, Only, Ours, Refused, Spelled};

const STRING_OR_BYTES: Rule = Only(&[
    "org.apache.kafka.common.serialization.StringSerializer",
    "org.apache.kafka.common.serialization.ByteArraySerializer",
    "org.apache.kafka.common.serialization.StringDeserializer",
    "org.apache.kafka.common.serialization.ByteArrayDeserializer",
]);
const JAVA_METRICS: Rule = NoEffect("the metrics are those of this agent");
const JAVA_TLS: Rule = NoEffect("TLS is OpenSSL's here, which chooses by itself");
const JAVA_LOGIN: Rule = NoEffect("there is no Java login to adjust");
const JAVA_CLASS: Rule = Refused("a Java class cannot be loaded");

/// Of all clients.
pub(super) const COMMON: &[(&str, Rule)] = &[
    ("auto.include.jmx.reporter", JAVA_METRICS),
    (
        "bootstrap.servers",
        NoEffect("`kafka.bootstrap.servers` is what counts, as in Flume"),
    ),
    ("config.providers", NoEffect("values are taken as they are")),
    (
        "default.api.timeout.ms",
        NoEffect("calls have their own limits here"),
    ),
    (
        "interceptor.classes",
        NoEffect("a Java class cannot be loaded"),
    ),
    ("key.deserializer", STRING_OR_BYTES),
    ("key.serializer", STRING_OR_BYTES),
    (
        "metadata.max.idle.ms",
        NoEffect("topics that are not used are forgotten after a time of the client's own"),
    ),
    ("metric.reporters", JAVA_METRICS),
    ("metrics.num.samples", JAVA_METRICS),
    ("metrics.recording.level", JAVA_METRICS),
    ("metrics.sample.window.ms", JAVA_METRICS),
    (
        "receive.buffer.bytes",
        Spelled("socket.receive.buffer.bytes", &[("-1", "0")]),
    ),
    ("request.timeout.ms", Named("socket.timeout.ms")),
    ("sasl.client.callback.handler.class", JAVA_CLASS),
    ("sasl.jaas.config", Ours),
    (
        "sasl.kerberos.kinit.cmd",
        NoEffect("no program is run to log in"),
    ),
    ("sasl.kerberos.min.time.before.relogin", JAVA_LOGIN),
    ("sasl.kerberos.ticket.renew.jitter", JAVA_LOGIN),
    (
        "sasl.kerberos.ticket.renew.window.factor",
        NoEffect("tickets are renewed after four fifths of their life"),
    ),
    ("sasl.login.callback.handler.class", JAVA_CLASS),
    ("sasl.login.class", JAVA_CLASS),
    ("sasl.login.connect.timeout.ms", JAVA_LOGIN),
    ("sasl.login.read.timeout.ms", JAVA_LOGIN),
    ("sasl.login.refresh.buffer.seconds", JAVA_LOGIN),
    ("sasl.login.refresh.min.period.seconds", JAVA_LOGIN),
    ("sasl.login.refresh.window.factor", JAVA_LOGIN),
    ("sasl.login.refresh.window.jitter", JAVA_LOGIN),
    ("sasl.login.retry.backoff.max.ms", JAVA_LOGIN),
    ("sasl.login.retry.backoff.ms", JAVA_LOGIN),
    ("security.protocol", Ours),
    ("security.providers", JAVA_TLS),
    (
        "send.buffer.bytes",
        Spelled("socket.send.buffer.bytes", &[("-1", "0")]),
    ),
    (
        "socket.connection.setup.timeout.max.ms",
        NoEffect("every attempt to connect has the same limit"),
    ),
    (
        "ssl.cipher.suites",
        NoEffect("suites have other names in OpenSSL, which chooses by itself"),
    ),
    ("ssl.disableTLSHostnameVerification", Ours),
    ("ssl.enabled.protocols", JAVA_TLS),
    (
        "ssl.endpoint.identification.algorithm",
        Spelled("ssl.endpoint.identification.algorithm", &[("", "none")]),
    ),
    ("ssl.engine.factory.class", JAVA_CLASS),
    ("ssl.key.password", Ours),
    ("ssl.keymanager.algorithm", JAVA_TLS),
    ("ssl.keystore.certificate.chain", Ours),
    ("ssl.keystore.key", Ours),
    ("ssl.keystore.location", Ours),
    ("ssl.keystore.password", Ours),
    ("ssl.keystore.type", Ours),
    ("ssl.protocol", JAVA_TLS),
    ("ssl.provider", JAVA_TLS),
    ("ssl.secure.random.implementation", JAVA_TLS),
    ("ssl.trustmanager.algorithm", JAVA_TLS),
    ("ssl.truststore.certificates", Ours),
    ("ssl.truststore.location", Ours),
    ("ssl.truststore.password", Ours),
    ("ssl.truststore.type", Ours),
    ("value.deserializer", STRING_OR_BYTES),
    ("value.serializer", STRING_OR_BYTES),
];

/// Of consumers.
pub(super) const CONSUMER: &[(&str, Rule)] = &[
    (
        "auto.commit.interval.ms",
        NoEffect("offsets are committed after the events were delivered"),
    ),
    (
        "auto.offset.reset",
        Spelled("auto.offset.reset", &[("none", "error")]),
    ),
    (
        "enable.auto.commit",
        NoEffect("offsets are committed after the events were delivered, as in Flume"),
    ),
    (
        "exclude.internal.topics",
        NoEffect("topics whose names begin with `__` match no pattern"),
    ),
    ("fetch.max.wait.ms", Named("fetch.wait.max.ms")),
    (
        "max.poll.records",
        NoEffect("what is read ahead is bounded by its bytes"),
    ),
    (
        "partition.assignment.strategy",
        Classes(
            "partition.assignment.strategy",
            &[
                ("org.apache.kafka.clients.consumer.RangeAssignor", "range"),
                (
                    "org.apache.kafka.clients.consumer.RoundRobinAssignor",
                    "roundrobin",
                ),
                (
                    "org.apache.kafka.clients.consumer.CooperativeStickyAssignor",
                    "cooperative-sticky",
                ),
            ],
        ),
    ),
];

/// Of producers.
pub(super) const PRODUCER: &[(&str, Rule)] = &[
    ("acks", Ours),
    ("buffer.memory", Kilobytes("queue.buffering.max.kbytes")),
    ("compression.gzip.level", Named("compression.level")),
    ("compression.lz4.level", Named("compression.level")),
    ("compression.zstd.level", Named("compression.level")),
    // Two names of one setting: the order in which a client takes them is not defined.
    ("delivery.timeout.ms", Named("message.timeout.ms")),
    ("enable.idempotence", Ours),
    ("max.block.ms", Ours),
    ("max.request.size", Named("message.max.bytes")),
    (
        "partitioner.adaptive.partitioning.enable",
        NoEffect("records without a key are spread evenly"),
    ),
    (
        "partitioner.availability.timeout.ms",
        NoEffect("records without a key are spread evenly"),
    ),
    (
        "partitioner.class",
        Only(&[
            "org.apache.kafka.clients.producer.internals.DefaultPartitioner",
            "org.apache.kafka.clients.producer.internals.BuiltInPartitioner",
        ]),
    ),
    (
        "partitioner.ignore.keys",
        NoEffect("records with the same key go to the same partition"),
    ),
    ("transactional.id", Ours),
];

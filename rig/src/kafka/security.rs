//! Every way to log in, from property files as Java Flume takes them: JKS stores, a JAAS file, `sasl.jaas.config`.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use flume_cluster::{Kdc, REALM};

use super::{
    brokers::{BrokerSetup, Brokers},
    lost_and_repeated, numbers, numbers_in, until,
};
use crate::{
    agents::{Maker, Running, root, scratch},
    report::Report,
};

const PASSWORD: &str = "secret-of-the-rig";
const EVENTS: u64 = 200;

/// Fifteen times as long as a ticket lives.
const WITHOUT_KDC: Duration = Duration::from_secs(300);

/// In the order of the brokers' ports, after PLAINTEXT.
const LISTENERS: &[&str] = &["SSL", "MTLS=SSL", "SASL_PLAINTEXT", "SASL_SSL"];

const BROKER: &str = "
ssl.keystore.type=JKS
ssl.keystore.location=@KEYS@/server.jks
ssl.keystore.password=@PASSWORD@
ssl.key.password=@PASSWORD@
ssl.truststore.type=JKS
ssl.truststore.location=@KEYS@/trust.jks
ssl.truststore.password=@PASSWORD@
ssl.client.auth=none
listener.name.mtls.ssl.client.auth=required
sasl.enabled.mechanisms=GSSAPI,PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
sasl.kerberos.service.name=kafka
connections.max.reauth.ms=15000
";

const BROKER_LOGINS: &str = r#"
listener.name.@NAME@.gssapi.sasl.jaas.config=com.sun.security.auth.module.Krb5LoginModule required useKeyTab=true storeKey=true keyTab="@KEYTAB@" principal="kafka/localhost@@REALM@";
listener.name.@NAME@.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_flume="@PASSWORD@";
listener.name.@NAME@.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.@NAME@.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
"#;

/// A counter's numbers go into a topic, and from the topic into files.
const FLOW: &str = "
a1.sources = r1 r2
a1.channels = c1 c2
a1.sinks = k1 k2
a1.sources.r1.type = seq
a1.sources.r1.channels = c1
a1.sources.r1.totalEvents = @EVENTS@
a1.channels.c1.type = memory
a1.channels.c2.type = memory
a1.sinks.k1.type = org.apache.flume.sink.kafka.KafkaSink
a1.sinks.k1.channel = c1
a1.sinks.k1.kafka.topic = @TOPIC@
a1.sinks.k1.kafka.bootstrap.servers = @SERVERS@
@PRODUCER@
a1.sources.r2.type = org.apache.flume.source.kafka.KafkaSource
a1.sources.r2.channels = c2
a1.sources.r2.batchSize = 100
a1.sources.r2.kafka.topics = @TOPIC@
a1.sources.r2.kafka.bootstrap.servers = @SERVERS@
a1.sources.r2.kafka.consumer.group.id = @TOPIC@
a1.sources.r2.kafka.consumer.auto.offset.reset = earliest
@CONSUMER@
a1.sinks.k2.type = file_roll
a1.sinks.k2.channel = c2
a1.sinks.k2.sink.directory = @DIR@/files
a1.sinks.k2.sink.rollInterval = 0
";

/// Lines that come in go into a topic.
const LINES: &str = "
a1.sources = r1
a1.channels = c1
a1.sinks = k1
a1.sources.r1.type = netcat
a1.sources.r1.bind = 127.0.0.1
a1.sources.r1.port = @PORT@
a1.sources.r1.channels = c1
a1.channels.c1.type = memory
a1.channels.c1.capacity = 100000
a1.sinks.k1.type = org.apache.flume.sink.kafka.KafkaSink
a1.sinks.k1.channel = c1
a1.sinks.k1.kafka.topic = away
a1.sinks.k1.kafka.bootstrap.servers = @SERVERS@
@PRODUCER@
";

/// Where a login is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In `sasl.jaas.config`.
    Property,
    /// In a file that `-Djava.security.auth.login.config` names.
    File,
}

/// A way to log in.
struct Way {
    name: &'static str,
    /// Of the brokers' ports.
    listener: usize,
    /// `security.protocol`
    protocol: &'static str,
    /// With a certificate of its own.
    certificate: bool,
    /// `sasl.mechanism`, and where the login is.
    sasl: Option<(&'static str, Place)>,
}

const fn way(
    name: &'static str,
    listener: usize,
    protocol: &'static str,
    certificate: bool,
    sasl: Option<(&'static str, Place)>,
) -> Way {
    Way {
        name,
        listener,
        protocol,
        certificate,
        sasl,
    }
}

const WAYS: &[Way] = &[
    way("PLAINTEXT", 0, "PLAINTEXT", false, None),
    way("SSL", 1, "SSL", false, None),
    way("mTLS", 2, "SSL", true, None),
    way(
        "SASL_PLAINTEXT PLAIN",
        3,
        "SASL_PLAINTEXT",
        false,
        Some(("PLAIN", Place::Property)),
    ),
    way(
        "SASL_PLAINTEXT SCRAM-SHA-256",
        3,
        "SASL_PLAINTEXT",
        false,
        Some(("SCRAM-SHA-256", Place::File)),
    ),
    way(
        "SASL_PLAINTEXT SCRAM-SHA-512",
        3,
        "SASL_PLAINTEXT",
        false,
        Some(("SCRAM-SHA-512", Place::Property)),
    ),
    way(
        "SASL_PLAINTEXT GSSAPI",
        3,
        "SASL_PLAINTEXT",
        false,
        Some(("GSSAPI", Place::File)),
    ),
    way(
        "SASL_SSL PLAIN",
        4,
        "SASL_SSL",
        false,
        Some(("PLAIN", Place::File)),
    ),
    way(
        "SASL_SSL SCRAM-SHA-256",
        4,
        "SASL_SSL",
        false,
        Some(("SCRAM-SHA-256", Place::Property)),
    ),
    way(
        "SASL_SSL SCRAM-SHA-512",
        4,
        "SASL_SSL",
        false,
        Some(("SCRAM-SHA-512", Place::File)),
    ),
    way(
        "SASL_SSL GSSAPI",
        4,
        "SASL_SSL",
        false,
        Some(("GSSAPI", Place::Property)),
    ),
];

/// A cluster that knows all of them.
struct Guarded {
    dir: tempfile::TempDir,
    kdc: Kdc,
    brokers: Brokers,
}

/// Runs the rows.
pub fn show(report: &mut Report) -> Result<()> {
    let mut guarded = Guarded::start()?;
    let mut records = guarded.brokers.records()?;
    for (number, way) in WAYS.iter().enumerate() {
        let topic = format!("way-{number}");
        records.topic(&topic, 2, 1)?;
        let (arrived, log) = guarded.through(way, &topic)?;
        report.row(
            way.name,
            arrived,
            &format!("{EVENTS} there and back"),
            arrived == EVENTS,
        );
        if arrived != EVENTS {
            println!("{log}");
        }
    }
    records.topic("away", 1, 1)?;
    guarded.without_kdc(report, WITHOUT_KDC)?;
    let seen = numbers_in(&records.ask("dump away")?)?;
    let (lost, _) = lost_and_repeated(&seen, seen.iter().max().map_or(1, |most| most + 1));
    report.row(
        "five minutes without KDC: lost",
        lost,
        "0",
        lost == 0 && seen.len() as u64 > WITHOUT_KDC.as_secs(),
    );
    Ok(())
}

/// librdkafka finds GSSAPI as a plug-in of the SASL library.
fn install_sasl() -> Result<()> {
    let there = [
        "/usr/lib/sasl2",
        "/usr/lib/x86_64-linux-gnu/sasl2",
        "/usr/lib/aarch64-linux-gnu/sasl2",
    ];
    if there
        .iter()
        .any(|dir| fs::exists(format!("{dir}/libgssapiv2.so")).unwrap_or(false))
    {
        return Ok(());
    }
    let package = "libsasl2-modules-gssapi-mit";
    let status = Command::new("apt-get")
        .args(["install", "-y", "-qq", package])
        .status()?;
    ensure!(
        status.success(),
        "please run: sudo apt-get install -y {package}"
    );
    Ok(())
}

impl Guarded {
    fn start() -> Result<Guarded> {
        install_sasl()?;
        let dir = tempfile::tempdir_in(scratch()?)?;
        let kdc = Kdc::start(&dir.path().join("kdc"))?;
        let keytab = kdc.add("kafka", &["kafka/localhost"])?;
        kdc.add("flume", &["flume/localhost"])?;
        let keys = dir.path().join("keys");
        let made = Command::new(root().join("rig/kafka/keys.sh"))
            .arg(&keys)
            .arg(PASSWORD)
            .status()?;
        ensure!(made.success(), "the keys could not be made");
        let mut more = BROKER.to_string();
        for name in ["sasl_plaintext", "sasl_ssl"] {
            more += &BROKER_LOGINS.replace("@NAME@", name);
        }
        let more = more
            .replace("@KEYS@", &keys.display().to_string())
            .replace("@KEYTAB@", &keytab.display().to_string())
            .replace("@PASSWORD@", PASSWORD)
            .replace("@REALM@", REALM);
        let mut format = vec![];
        for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
            format.push("--add-scram".to_string());
            format.push(format!("{mechanism}=[name=flume,password={PASSWORD}]"));
        }
        let java = [format!(
            "-Djava.security.krb5.conf={}",
            kdc.krb5_conf().display()
        )];
        let setup = BrokerSetup {
            listeners: LISTENERS,
            more: &more,
            format: &format,
            java: &java,
            ..BrokerSetup::default()
        };
        let brokers = Brokers::start(1, &setup)?;
        Ok(Guarded { dir, kdc, brokers })
    }

    /// How many of the events came back, and what the agent logged.
    fn through(&self, way: &Way, topic: &str) -> Result<(u64, String)> {
        let text = FLOW
            .replace("@TOPIC@", topic)
            .replace("@EVENTS@", &EVENTS.to_string());
        let mut agent = self.agent(way, &text)?;
        let files = agent.dir().join("files");
        let mut arrived = 0;
        let outcome = until(way.name, || {
            arrived = numbers(&files)?.len() as u64;
            agent.metric("SINK.k2", "EventDrainSuccessCount")?;
            Ok(arrived >= EVENTS)
        });
        if outcome.is_ok() {
            agent.stop()?;
        }
        Ok((arrived, agent.log()))
    }

    fn agent(&self, way: &Way, text: &str) -> Result<Running> {
        let jaas = self.dir.path().join("jaas.conf");
        let mut arguments = vec![];
        if let Some((mechanism, Place::File)) = way.sasl {
            fs::write(
                &jaas,
                format!("KafkaClient {{\n  {}\n}};\n", self.login(mechanism)),
            )?;
            arguments.push(format!(
                "-Djava.security.auth.login.config={}",
                jaas.display()
            ));
        }
        let text = text
            .replace(
                "@PRODUCER@",
                &self.properties(way, "a1.sinks.k1.kafka.producer"),
            )
            .replace(
                "@CONSUMER@",
                &self.properties(way, "a1.sources.r2.kafka.consumer"),
            )
            .replace("@SERVERS@", &self.brokers.servers(way.listener));
        // Each agent has tickets of its own, so none lives on those of an earlier one.
        let mut environment = self.kdc.environment();
        if let Some((_, cache)) = environment
            .iter_mut()
            .find(|(name, _)| name == "KRB5CCNAME")
        {
            cache.push_str(&format!("-{}", fastrand::u32(..)));
        }
        Running::start_as(Maker::Ours, &text, &environment, &arguments)
    }

    /// As the guide of Flume writes them.
    fn properties(&self, way: &Way, prefix: &str) -> String {
        let keys = self.dir.path().join("keys");
        let keys = keys.display();
        let mut lines = vec![format!("security.protocol = {}", way.protocol)];
        if way.protocol.ends_with("SSL") {
            lines.push(format!("ssl.truststore.location = {keys}/trust.jks"));
            lines.push(format!("ssl.truststore.password = {PASSWORD}"));
        }
        if way.certificate {
            lines.push(format!("ssl.keystore.location = {keys}/client.jks"));
            lines.push(format!("ssl.keystore.password = {PASSWORD}"));
            lines.push(format!("ssl.key.password = {PASSWORD}"));
        }
        if let Some((mechanism, place)) = way.sasl {
            lines.push(format!("sasl.mechanism = {mechanism}"));
            if mechanism == "GSSAPI" {
                lines.push("sasl.kerberos.service.name = kafka".into());
            }
            if place == Place::Property {
                lines.push(format!("sasl.jaas.config = {}", self.login(mechanism)));
            }
        }
        let lines = lines.iter().map(|line| format!("{prefix}.{line}"));
        lines.collect::<Vec<_>>().join("\n")
    }

    fn login(&self, mechanism: &str) -> String {
        let password = format!("required username=\"flume\" password=\"{PASSWORD}\";");
        let package = "org.apache.kafka.common.security";
        match mechanism {
            "GSSAPI" => format!(
                "com.sun.security.auth.module.Krb5LoginModule required useKeyTab=true storeKey=true \
                 keyTab=\"{}\" principal=\"flume/localhost@{REALM}\";",
                self.kdc.keytab("flume").display()
            ),
            "PLAIN" => format!("{package}.plain.PlainLoginModule {password}"),
            _ => format!("{package}.scram.ScramLoginModule {password}"),
        }
    }

    /// Tickets live for 20 seconds, and brokers ask for a new login every 15. Lines come in all the time.
    fn without_kdc(&mut self, report: &mut Report, away: Duration) -> Result<()> {
        for principal in ["flume/localhost", "kafka/localhost"] {
            self.kdc
                .admin(&format!("modprinc -maxlife \"20 seconds\" {principal}"))?;
        }
        let gssapi = WAYS.last().context("no way")?;
        let mut agent = self.agent(gssapi, LINES)?;
        agent.wait_for_port()?;
        let mut lines = Lines::connect(agent.port)?;
        lines.send_for(Duration::from_secs(25))?;
        self.kdc.server.kill();
        lines.send_for(away)?;
        let seen = agent.status()?;
        println!("{seen}");
        self.kdc.server.up()?;
        lines.send_for(Duration::from_secs(5))?;
        let sent = lines.sent;
        until("all lines are delivered", || {
            Ok(agent.metric("SINK.k1", "EventDrainSuccessCount")? >= sent)
        })?;
        report.row(
            "five minutes without KDC: delivered after",
            sent,
            "all",
            true,
        );
        agent.stop()
    }
}

/// Sends numbers as lines.
struct Lines {
    out: TcpStream,
    answers: BufReader<TcpStream>,
    sent: u64,
}

impl Lines {
    fn connect(port: u16) -> Result<Lines> {
        let out = TcpStream::connect(("127.0.0.1", port))?;
        let answers = BufReader::new(out.try_clone()?);
        Ok(Lines {
            out,
            answers,
            sent: 0,
        })
    }

    fn send_for(&mut self, time: Duration) -> Result<()> {
        let begun = std::time::Instant::now();
        while begun.elapsed() < time {
            writeln!(self.out, "{}", self.sent)?;
            let mut answer = String::new();
            self.answers.read_line(&mut answer)?;
            ensure!(answer.trim() == "OK", "the agent said `{answer}`");
            self.sent += 1;
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }
}

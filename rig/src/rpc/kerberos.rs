//! Thrift with logins by Kerberos, on a real KDC, beside Java Flume. Kerberos takes its configuration from the environment
//! of a process, so ours is an agent, too:
//!
//! ```text
//! rig ─ avro ─► ours ─ Kerberos ─► Java ─ Kerberos ─► ours ─ avro ─► rig
//! Java's SDK ─────────── Kerberos ──────────────────► ours ─ avro ─► rig
//! ```

use anyhow::{Context, Result};
use flume_client::{FlumeClient, PeerSettings};
use flume_cluster::{Kdc, REALM, free_port};
use flume_testkit::source::RunningSource;

use super::{
    By, JAVA_CHANNEL, JavaFlume, Sender, lane::Lane, last_lines, our_source, parts::settings,
    receive, sdk::JavaSdk, send, verdict,
};
use crate::{
    agents::{Maker, Running, scratch},
    report::Report,
};

/// Of our source.
const OURS: &str = "collector/localhost";
/// Of Java's source, and of all clients.
const JAVAS: &str = "flume/localhost";

/// The realm of the demonstration.
struct Realm {
    kdc: Kdc,
    _dir: tempfile::TempDir,
}

impl Realm {
    fn start() -> Result<Self> {
        let dir = tempfile::tempdir_in(scratch()?)?;
        let kdc = Kdc::start(dir.path())?;
        kdc.add("ours", &[OURS])?;
        kdc.add("javas", &[JAVAS])?;
        Ok(Realm { kdc, _dir: dir })
    }

    fn source(&self, principal: &str, keytab: &str) -> String {
        let keytab = self.kdc.keytab(keytab).display().to_string();
        format!("kerberos = true\nagent-principal = {principal}@{REALM}\nagent-keytab = {keytab}\n")
    }

    fn client(&self, server: &str) -> String {
        let keytab = self.kdc.keytab("javas").display().to_string();
        format!(
            "kerberos = true\nclient-principal = {JAVAS}@{REALM}\nclient-keytab = {keytab}\n\
             server-principal = {server}@{REALM}\n"
        )
    }
}

/// Plain and within TLS, then logins that must fail.
pub async fn show(report: &mut Report, java: &JavaFlume, count: usize) -> Result<()> {
    let realm = Realm::start()?;
    for lane in [
        Lane::new("thrift-kerberos", "thrift", "protocol = compact"),
        Lane::new("thrift-kerberos-tls", "thrift", "protocol = binary").with_tls(),
    ] {
        show_lane(report, &realm, java, &lane, count).await?;
    }
    refusals(report, &realm).await
}

async fn show_lane(
    report: &mut Report,
    realm: &Realm,
    java: &JavaFlume,
    lane: &Lane,
    count: usize,
) -> Result<()> {
    let end = our_source("avro", "");
    let back = free_port();
    let javas = free_port();
    let mut ours = ours(realm, lane, javas, back, &end).await?;
    let environment = [&realm.kdc.environment()[..], &java.environment()?].concat();
    let configuration = java_agent(realm, lane, javas, back);
    let mut agent = Running::start_with(Maker::Java, &configuration, &environment)?;
    agent.port = javas;
    agent.wait_for_port()?;
    ours.wait_for_port()?;
    let peer = PeerSettings::avro("127.0.0.1", ours.port);
    let mut sender = Sender::Client(FlumeClient::peer(peer));
    let outcome = tokio::try_join!(send(&mut sender, count), receive(&end, count));
    let outcome = outcome.map(|(_, wrong)| wrong);
    let item = format!("rpc.{}.{}.{}", java.version, lane.name, By::Sink.name());
    verdict(report, &item, count, &outcome);
    if outcome.is_err() {
        println!("the Java agent said last:\n{}", last_lines(&agent.log()));
        println!("ours said last:\n{}", last_lines(&ours.log()));
    }
    let client = format!(
        "client.type = thrift\nhosts = h\nhosts.h = 127.0.0.1:{back}\n{}\n{}",
        lane.client_properties(),
        realm.client(OURS)
    );
    let krb5 = realm.kdc.krb5_conf().display().to_string();
    let options = [format!("-Djava.security.krb5.conf={krb5}")];
    let mut sdk = JavaSdk::start(java, &options, &[client])?;
    sdk.feed(count)?;
    let outcome = receive(&end, count).await;
    let item = format!("rpc.{}.{}.sdk", java.version, lane.name);
    verdict(report, &item, count, &outcome);
    if outcome.is_err() {
        println!("the SDK said last:\n{}", last_lines(&sdk.log()));
    }
    Ok(())
}

/// Our agent: one flow to Java's source, and one from Java's sink to the end.
async fn ours(
    realm: &Realm,
    lane: &Lane,
    javas: u16,
    back: u16,
    end: &RunningSource,
) -> Result<Running> {
    let end = end.address().await.port();
    let trusting = lane.trusting_properties();
    let login = realm.client(JAVAS);
    let source = lane.source_properties("server.pkcs12");
    let keys = realm.source(OURS, "ours");
    let configuration = [
        "a1.sources = r1 r2\na1.channels = c1 c2\na1.sinks = k1 k2\n".into(),
        settings(
            "a1.sources.r1",
            "type = avro\nbind = 127.0.0.1\nport = @PORT@\nchannels = c1",
        ),
        settings("a1.channels.c1", JAVA_CHANNEL),
        settings(
            "a1.sinks.k1",
            &format!("type = thrift\nhostname = 127.0.0.1\nport = {javas}\nchannel = c1\n{trusting}\n{login}"),
        ),
        settings(
            "a1.sources.r2",
            &format!("type = thrift\nbind = 127.0.0.1\nport = {back}\nchannels = c2\n{source}\n{keys}"),
        ),
        settings("a1.channels.c2", JAVA_CHANNEL),
        settings(
            "a1.sinks.k2",
            &format!("type = avro\nhostname = 127.0.0.1\nport = {end}\nchannel = c2"),
        ),
    ]
    .concat();
    Running::start_with(Maker::Ours, &configuration, &realm.kdc.environment())
}

fn java_agent(realm: &Realm, lane: &Lane, javas: u16, back: u16) -> String {
    let source = lane.source_properties("rsa.jks");
    let keys = realm.source(JAVAS, "javas");
    let sink = lane.client_properties();
    let login = realm.client(OURS);
    [
        "a1.sources = r1\na1.channels = c1\na1.sinks = k1\n".into(),
        settings(
            "a1.sources.r1",
            &format!(
                "type = thrift\nbind = 127.0.0.1\nport = {javas}\nchannels = c1\n{source}\n{keys}"
            ),
        ),
        settings("a1.channels.c1", JAVA_CHANNEL),
        settings(
            "a1.sinks.k1",
            &format!(
                "type = thrift\nhostname = 127.0.0.1\nport = {back}\nchannel = c1\n{sink}\n{login}"
            ),
        ),
    ]
    .concat()
}

/// A ticket for somebody else, and a principal that nobody knows: the sink says why, and so does the source where it
/// can know.
async fn refusals(report: &mut Report, realm: &Realm) -> Result<()> {
    let back = free_port();
    let mut configuration = [
        "a1.sources = r1 r2 r3\na1.channels = c1 c2 c3\na1.sinks = k1 k2 k3\n".into(),
        settings(
            "a1.sources.r1",
            &format!(
                "type = thrift\nbind = 127.0.0.1\nport = {back}\nchannels = c1\n{}",
                realm.source(OURS, "ours")
            ),
        ),
        settings("a1.channels.c1", JAVA_CHANNEL),
        settings("a1.sinks.k1", "type = null\nchannel = c1"),
    ]
    .concat();
    for (place, server) in [(2, JAVAS), (3, "nobody/localhost")] {
        configuration += &[
            settings(
                &format!("a1.sources.r{place}"),
                &format!("type = seq\ntotalEvents = 1\nchannels = c{place}"),
            ),
            settings(&format!("a1.channels.c{place}"), JAVA_CHANNEL),
            settings(
                &format!("a1.sinks.k{place}"),
                &format!(
                    "type = thrift\nhostname = 127.0.0.1\nport = {back}\nchannel = c{place}\n{}",
                    realm.client(server)
                ),
            ),
        ]
        .concat();
    }
    let environment = realm.kdc.environment();
    let mut agent = Running::start_with(Maker::Ours, &configuration, &environment)?;
    agent.port = back;
    agent.wait_for_port()?;
    for (who, want) in [
        (
            "the sink with another's ticket",
            format!("the login at {JAVAS}@{REALM} failed"),
        ),
        ("the source", format!("the login at {OURS}@{REALM} failed")),
        (
            "the sink of nobody",
            format!("there is no ticket for nobody/localhost@{REALM}"),
        ),
        ("its hint", "`server-principal` must be".into()),
    ] {
        let said = agent.wait_for_log(&want);
        let item = format!("rpc.kerberos.refusal.{}", who.replace(' ', "-"));
        report.row(&item, said.is_ok(), &want, said.is_ok());
        said.context("a line of the log")?;
    }
    Ok(())
}

//! The sinks against the sources: contract, TLS and compression in every combination, and what goes wrong.

use std::time::Duration;

use flume_core::{ChannelHandle, Context, Event, Registry, Sink, Want};
use flume_testkit::{
    parts::{build, events, try_build, words},
    sink_contract::SinkUnderTest,
    source::{RunningSource, within},
};
use tokio::net::{TcpListener, TcpStream};

static REGISTRY: Registry = Registry {
    includes: &[&flume_components::REGISTRY, &flume_rpc::REGISTRY],
    ..Registry::EMPTY
};

const HERE: &str = "bind = 127.0.0.1\nport = 0\n";
const STORES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../keystore/tests/data");

fn sink(name: &str, port: u16, text: &str) -> (Box<dyn Sink>, Context) {
    let cx = Context::new("a1.sinks.k1", &["c1"]);
    let text = format!("hostname = 127.0.0.1\nport = {port}\n{text}");
    (build(&REGISTRY, name, &text, &cx), cx)
}

/// A sink with its source, which runs on a thread of its own.
fn under_test(name: &'static str) -> SinkUnderTest {
    let (address_sender, address) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        runtime().block_on(async {
            let source = RunningSource::start(&REGISTRY, name, HERE);
            let address = source.address().await;
            let channel = source.channel.clone();
            address_sender.send((address, channel)).expect("a test");
            // As long as the test takes.
            tokio::time::sleep(Duration::from_secs(30)).await;
        });
    });
    let (address, channel) = address.recv().expect("an address");
    let (sink, cx) = sink(name, address.port(), "");
    let seen = std::sync::Mutex::new(vec![]);
    let delivered = move || {
        let mut seen = seen.lock().expect("no panic");
        // A test is inside of a runtime and may not block; another thread may.
        std::thread::scope(|scope| {
            let take = scope.spawn(|| runtime().block_on(take_all(&channel)));
            let bodies = take.join().expect("no panic");
            seen.extend(bodies.split_whitespace().map(String::from));
        });
        seen.clone()
    };
    SinkUnderTest {
        sink,
        cx,
        delivered: Some(Box::new(delivered)),
        holds: Box::new(()),
    }
}

fn runtime() -> tokio::runtime::Runtime {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().expect("a runtime")
}

async fn take_all(channel: &ChannelHandle) -> String {
    let take = channel.take(Want::events(1000), Duration::ZERO).await;
    let take = take.expect("a take");
    let bodies = words(take.events());
    take.commit().await.expect("a commit");
    bodies
}

fn avro() -> SinkUnderTest {
    under_test("avro")
}

fn thrift() -> SinkUnderTest {
    under_test("thrift")
}

mod avro_contract {
    flume_testkit::sink_contract!(super::avro);
}

mod thrift_contract {
    flume_testkit::sink_contract!(super::thrift);
}

const PLAIN: &str = "";
const DEFLATE: &str = "compression-type = deflate\n";

fn server_tls() -> String {
    format!("ssl = true\nkeystore = {STORES}/server.pkcs12\nkeystore-password = storePassword\n")
}

const CLIENT_TLS: &str = "ssl = true\ntrust-all-certs = true\n";

async fn one_batch_passes(name: &str, source: &str, text: &str) {
    let source = RunningSource::start(&REGISTRY, name, &format!("{HERE}{source}"));
    let (mut sink, cx) = sink(name, source.address().await.port(), text);
    let batch: Vec<_> = (0..100).map(|n| Event::from(vec![n; 10_000])).collect();
    for _ in 0..2 {
        within(sink.deliver(&batch)).await.unwrap();
        assert_eq!(source.take(100).await, batch, "{text}");
    }
    assert_eq!(cx.metrics.number("ConnectionCreatedCount"), 1);
    sink.close().await.unwrap();
    assert_eq!(cx.metrics.number("ConnectionClosedCount"), 1);
    within(source.stop()).await.unwrap();
}

#[tokio::test]
async fn every_layer_passes() {
    one_batch_passes("avro", PLAIN, "pipelineDepth = 3\nbatch-size = 7").await;
    one_batch_passes("avro", DEFLATE, &format!("{DEFLATE}compression-level = 9")).await;
    let tls = server_tls();
    one_batch_passes("avro", &tls, CLIENT_TLS).await;
    let trust = format!(
        "ssl = true\ntruststore = {STORES}/trust.pkcs12\ntruststore-password = storePassword"
    );
    one_batch_passes("avro", &tls, &trust).await;
    one_batch_passes("thrift", &tls, CLIENT_TLS).await;
    for protocol in ["compact", "binary"] {
        let protocol = format!("protocol = {protocol}\n");
        one_batch_passes("thrift", &protocol, &protocol).await;
    }
}

#[tokio::test]
async fn both_orders_of_compression_and_tls_pass() {
    let source = format!("{DEFLATE}{}", server_tls());
    for order in ["auto", "encrypt-then-compress", "compress-then-encrypt"] {
        let text = format!("{DEFLATE}{CLIENT_TLS}compressionOrder = {order}");
        one_batch_passes("avro", &source, &text).await;
    }
}

#[tokio::test]
async fn a_sink_learns_the_order_from_the_first_refusal() {
    // TLS alone: what Flume 1.9 does first. The compressed frames inside are not understood, so nothing is delivered, but
    // the sink has found out what the peer does.
    let source = RunningSource::start(&REGISTRY, "avro", &format!("{HERE}{}", server_tls()));
    let text = format!("{DEFLATE}{CLIENT_TLS}request-timeout = 1000");
    let (mut sink, cx) = sink("avro", source.address().await.port(), &text);
    let error = within(sink.deliver(&events("a"))).await.unwrap_err();
    let said = flume_core::with_causes(&error);
    assert!(said.contains("broke"), "{said}");
    assert_eq!(cx.metrics.number("ConnectionCreatedCount"), 1);
}

/// What becomes of a connection.
enum Fate {
    Pass,
    Close,
    /// Nobody answers.
    Hold,
}

/// Stands in front of a source, and lets some connections through: `fate` is asked with their number and first byte. What
/// each begins with is sent to the test.
async fn gate(
    source: std::net::SocketAddr,
    fate: fn(usize, u8) -> Fate,
) -> (u16, tokio::sync::mpsc::UnboundedReceiver<u8>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (beginnings, seen) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut held = vec![];
        for number in 0.. {
            let (mut client, _) = listener.accept().await.unwrap();
            let mut first = [0];
            client.peek(&mut first).await.unwrap();
            let _ = beginnings.send(first[0]);
            match fate(number, first[0]) {
                Fate::Close => drop(client),
                Fate::Hold => held.push(client),
                Fate::Pass => {
                    let mut server = TcpStream::connect(source).await.unwrap();
                    tokio::spawn(async move {
                        tokio::io::copy_bidirectional(&mut client, &mut server).await
                    });
                }
            }
        }
    });
    (port, seen)
}

#[tokio::test]
async fn an_order_that_was_learned_from_a_passing_fault_is_forgotten_again() {
    const ZLIB: u8 = 0x78;
    const TLS: u8 = 0x16;
    let source = format!("{HERE}{DEFLATE}{}", server_tls());
    let source = RunningSource::start(&REGISTRY, "avro", &source);
    // The first connection breaks. After the second, the peer is one that understands only what Flume 1.11 does.
    let fate = |number, first| match (number, first) {
        (0, _) => Fate::Close,
        (1, _) | (_, ZLIB) => Fate::Pass,
        _ => Fate::Close,
    };
    let (port, mut seen) = gate(source.address().await, fate).await;
    let (mut sink, _) = sink("avro", port, &format!("{DEFLATE}{CLIENT_TLS}"));
    for word in ["a", "b", "c"] {
        within(sink.deliver(&events(word))).await.unwrap();
        assert_eq!(source.bodies(1).await, [word]);
        sink.close().await.unwrap();
    }
    for expected in [ZLIB, TLS, TLS, ZLIB, ZLIB] {
        assert_eq!(seen.recv().await, Some(expected));
    }
}

#[tokio::test]
async fn a_peer_that_falls_silent_is_tried_the_other_way() {
    let source = format!("{HERE}{DEFLATE}{}", server_tls());
    let source = RunningSource::start(&REGISTRY, "avro", &source);
    let fate = |number, _| match number {
        0 => Fate::Hold,
        _ => Fate::Pass,
    };
    let (port, _seen) = gate(source.address().await, fate).await;
    let text = format!("{DEFLATE}{CLIENT_TLS}connect-timeout = 1000");
    let (mut sink, _) = sink("avro", port, &text);
    // On a busy machine the second way may take longer than a second, too.
    while within(sink.deliver(&events("a"))).await.is_err() {}
    assert_eq!(source.bodies(1).await, ["a"]);
}

#[tokio::test]
async fn a_peer_that_cannot_be_reached_is_not_tried_the_other_way() {
    // A listener that accepts nobody and has room for one: the system answers nobody else.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let _waiting = TcpStream::connect(address).await.unwrap();
    let text = format!("{DEFLATE}{CLIENT_TLS}connect-timeout = 1000");
    let (mut sink, _) = sink("avro", address.port(), &text);
    let error = within(sink.deliver(&events("a"))).await.unwrap_err();
    let said = flume_core::with_causes(&error);
    assert!(said.contains("no answer within 1s"), "{said}");
    assert!(!said.contains("neither order"), "{said}");
}

#[tokio::test]
async fn what_is_wrong_is_said() {
    let gone = RunningSource::start(&REGISTRY, "avro", HERE);
    let port = gone.address().await.port();
    within(gone.stop()).await.unwrap();
    let (mut sink, cx) = sink("avro", port, "");
    let error = within(sink.deliver(&events("a"))).await.unwrap_err();
    let said = flume_core::with_causes(&error);
    let expected =
        format!("failed to deliver to 127.0.0.1:{port}: connecting to 127.0.0.1:{port} failed");
    assert!(
        said.starts_with(&expected) && said.contains("refused"),
        "{said}"
    );
    assert!(error.pause);
    assert_eq!(cx.metrics.number("ConnectionFailedCount"), 1);
}

#[tokio::test]
async fn a_keytab_that_is_missing_is_told_before_the_source_is_bothered() {
    let text = "kerberos = true\nserver-principal = flume/h@R\nclient-principal = flume@R\n\
                client-keytab = /nowhere/flume.keytab";
    let (mut sink, _) = sink("thrift", 1, text);
    let error = within(sink.deliver(&events("a"))).await.unwrap_err();
    let said = flume_core::with_causes(&error);
    assert!(
        said.contains("/nowhere/flume.keytab does not exist"),
        "{said}"
    );
}

#[tokio::test]
async fn who_speaks_something_else_is_told_apart() {
    let source = RunningSource::start(&REGISTRY, "thrift", HERE);
    let (mut sink, _) = sink("avro", source.address().await.port(), "");
    let error = within(sink.deliver(&events("a"))).await.unwrap_err();
    let said = flume_core::with_causes(&error);
    assert!(said.contains("broke"), "{said}");
}

#[test]
fn properties_that_cannot_be_are_errors() {
    for (name, text, key) in [
        (
            "avro",
            "compression-type = deflate\ncompression-level = 11",
            "compression-level",
        ),
        ("avro", "client.type = default_loadbalance", "hosts"),
        ("thrift", "kerberos = true", "server-principal"),
        (
            "thrift",
            "kerberos = true\nserver-principal = flume/h@R\nclient-principal = flume@R",
            "client-keytab",
        ),
    ] {
        let cx = Context::new("a1.sinks.k1", &["c1"]);
        let text = format!("hostname = h\nport = 1\n{text}");
        let built = try_build::<dyn Sink>(&REGISTRY, name, &text, &cx);
        let error = built.err().expect("an error");
        assert_eq!(error.key, key, "{error}");
    }
}

#[tokio::test]
async fn a_sink_with_several_hosts_goes_to_the_next() {
    let gone = RunningSource::start(&REGISTRY, "avro", HERE);
    let gone_at = gone.address().await;
    within(gone.stop()).await.unwrap();
    let source = RunningSource::start(&REGISTRY, "avro", HERE);
    let there = source.address().await;
    let text = format!(
        "client.type = default_failover\nhosts = h1 h2\nhosts.h1 = {gone_at}\nhosts.h2 = {there}"
    );
    let (mut sink, _) = sink("avro", 1, &text);
    within(sink.deliver(&events("a b"))).await.unwrap();
    assert_eq!(source.bodies(2).await, ["a", "b"]);
}

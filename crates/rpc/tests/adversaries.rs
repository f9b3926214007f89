//! Clients that never come to an end: each is sent away within a bounded time.

use flume_core::{Registry, State};
use flume_testkit::source::RunningSource;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

static REGISTRY: Registry = Registry {
    includes: &[&flume_components::REGISTRY, &flume_rpc::REGISTRY],
    ..Registry::EMPTY
};

const STORES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../keystore/tests/data");

fn start(name: &str, text: &str) -> RunningSource {
    let text = format!("bind = 127.0.0.1\nport = 0\n{text}");
    RunningSource::start(&REGISTRY, name, &text)
}

fn tls() -> String {
    format!("ssl = true\nkeystore = {STORES}/server.pkcs12\nkeystore-password = storePassword\n")
}

/// The clock jumps to the next time limit whenever nothing happens, so a test hangs only if there is no limit.
async fn is_sent_away(source: &RunningSource, bytes: &[u8]) {
    let mut stream = TcpStream::connect(source.address().await).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = vec![];
    let _ = stream.read_to_end(&mut answer).await;
    assert!(answer.len() < 100, "{answer:?}");
    assert_eq!(source.state(), State::Running);
}

#[tokio::test(start_paused = true)]
async fn handshakes_that_never_end_do() {
    // The beginning of a TLS record, plain and compressed.
    let hello = [0x16, 0x03, 0x01, 0x02, 0x00, 0x01];
    let compressed = [0x78, 0x9c, 0x12, 0x63, 0x66, 0x64];
    let source = start("avro", &tls());
    is_sent_away(&source, &[]).await;
    is_sent_away(&source, &hello).await;
    let source = start("avro", &format!("compression-type = deflate\n{}", tls()));
    is_sent_away(&source, &hello).await;
    is_sent_away(&source, &compressed).await;
    is_sent_away(&source, b"neither").await;
    let source = start("thrift", &tls());
    is_sent_away(&source, &hello).await;
}

#[tokio::test(start_paused = true)]
async fn calls_that_never_end_do() {
    let half_avro = [0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 1, 0, 9];
    is_sent_away(&start("avro", ""), &half_avro).await;
    is_sent_away(&start("avro", ""), &half_avro[..3]).await;
    is_sent_away(&start("thrift", ""), &[0, 0, 1, 0, 0x82]).await;
    let name = "org.apache.flume.source.thriftLegacy.ThriftLegacySource";
    let text = "host = 127.0.0.1\nport = 0";
    let source = RunningSource::start(&REGISTRY, name, text);
    is_sent_away(&source, b"\x80\x01\0\x04\0\0\0\x06app").await;
    let name = "org.apache.flume.source.avroLegacy.AvroLegacySource";
    let source = RunningSource::start(&REGISTRY, name, text);
    is_sent_away(&source, b"POST / HT").await;
}

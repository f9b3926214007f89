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

/// A keytab with a key of `flume/h@R`.
fn keytab() -> Vec<u8> {
    let mut entry = vec![0, 2];
    for text in ["R", "flume", "h"] {
        entry.extend((text.len() as u16).to_be_bytes());
        entry.extend(text.as_bytes());
    }
    let kind_time_version = [0, 0, 0, 1, 0, 0, 0, 0, 1];
    let aes256_32_bytes = [0, 18, 0, 32];
    entry.extend([&kind_time_version[..], &aes256_32_bytes, &[7; 32]].concat());
    let length = (entry.len() as u32).to_be_bytes();
    [&[5, 2][..], &length, &entry].concat()
}

/// What a source with Kerberos sends to a client before it closes the connection.
async fn answer_to(source: &RunningSource, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(source.address().await).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = vec![];
    let _ = stream.read_to_end(&mut answer).await;
    assert_eq!(source.state(), State::Running);
    answer
}

#[tokio::test]
async fn logins_that_are_none_or_never_end_do() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("flume.keytab");
    std::fs::write(&path, keytab()).unwrap();
    let path = path.display();
    let text = format!("kerberos = true\nagent-principal = flume/h@R\nagent-keytab = {path}");
    let source = start("thrift", &text);
    source.address().await;
    tokio::time::pause();
    let start = b"\x01\0\0\0\x06GSSAPI";
    // It begins and goes no further; it claims 4 GiB; it is a call without a login; it is something else.
    for bytes in [
        &start[..],
        &start[..3],
        &[&start[..], &[2, 0xff, 0xff, 0xff, 0xff]].concat(),
        &[0, 0, 1, 0, 0x82],
        b"GET / HTTP/1.1\r\n\r\n",
        &[&start[..], b"\x03\0\0\0\x02no"].concat(),
    ] {
        let answer = answer_to(&source, bytes).await;
        assert!(answer.is_empty(), "{bytes:?}: {answer:?}");
    }
    // These are told why: another mechanism, no ticket, an end too early.
    for bytes in [
        &b"\x01\0\0\0\x05PLAIN"[..],
        &[&start[..], b"\x02\0\0\0\x06ticket"].concat(),
        &[&start[..], b"\x05\0\0\0\0"].concat(),
        &[&start[..], &start[..]].concat(),
    ] {
        let answer = answer_to(&source, bytes).await;
        assert_eq!(answer.first(), Some(&3), "{answer:?}");
        assert!(answer.len() < 500, "{}", String::from_utf8_lossy(&answer));
    }
}

#[tokio::test]
async fn a_source_without_its_keys_says_so() {
    let text = "kerberos = true\nagent-principal = flume/h@R\nagent-keytab = /nowhere/x.keytab";
    let error = start("thrift", text).ended().await.unwrap_err();
    let said = flume_core::with_causes(&error);
    assert!(said.contains("flume/h@R"), "{said}");
    assert!(said.contains("/nowhere/x.keytab does not exist"), "{said}");
}

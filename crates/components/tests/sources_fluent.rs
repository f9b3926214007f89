//! The `fluent` source as its senders see it.

use std::time::Duration;

use flume_components::REGISTRY;
use flume_testkit::source::{RunningSource, within};
use sha2::{Digest, Sha512};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

async fn start(text: &str, channel: &str) -> (RunningSource, TcpStream) {
    let text = format!("bind = localhost\nport = 0\n{text}");
    let source = RunningSource::with_channel(&REGISTRY, "fluent", &text, channel);
    let stream = TcpStream::connect(source.address().await).await.unwrap();
    (source, stream)
}

const ROOM: &str = "capacity = 1000\ntransactionCapacity = 100";

/// `["t", [[1, {"k": n}], …], {"chunk": "c"}]`
fn chunk(records: u8) -> Vec<u8> {
    let mut message = vec![0x93, 0xa1, b't', 0xdc, 0, records];
    for n in 0..records {
        message.extend_from_slice(&[0x92, 1, 0x81, 0xa1, b'k', n]);
    }
    message.extend_from_slice(b"\x81\xa5chunk\xa1c");
    message
}

const ACK: &[u8] = b"\x81\xa3ack\xdb\0\0\0\x01c";

async fn read(stream: &mut TcpStream, bytes: usize) -> Vec<u8> {
    let mut answer = vec![0; bytes];
    within(stream.read_exact(&mut answer)).await.unwrap();
    answer
}

async fn is_silent(stream: &mut TcpStream) -> bool {
    let pause = Duration::from_millis(200);
    timeout(pause, stream.read(&mut [0; 1])).await.is_err()
}

#[tokio::test]
async fn a_chunk_is_acknowledged_once_all_of_it_is_stored() {
    let (source, mut stream) = start(
        "",
        "capacity = 110\ntransactionCapacity = 10\nkeep-alive = 1",
    )
    .await;
    stream.write_all(&chunk(100)).await.unwrap();
    assert_eq!(read(&mut stream, ACK.len()).await, ACK);
    stream.write_all(&chunk(50)).await.unwrap();
    assert!(is_silent(&mut stream).await, "the channel has room for ten");
    let events = source.take(150).await;
    assert_eq!(events[149].body, "{\"k\":49}");
    assert_eq!(events[0].headers.get("tag").unwrap(), "t");
    assert_eq!(events[0].headers.get("timestamp").unwrap(), "1000");
    assert_eq!(read(&mut stream, ACK.len()).await, ACK);
    assert_eq!(source.number("EventLostCount"), 0);
    source.stop().await.unwrap();
}

#[tokio::test]
async fn a_chunk_that_can_never_fit_is_not_acknowledged() {
    let (source, mut stream) = start(
        "",
        "capacity = 100\ntransactionCapacity = 100\nbyteCapacity = 1\nkeep-alive = 0",
    )
    .await;
    stream.write_all(&chunk(2)).await.unwrap();
    assert!(is_silent(&mut stream).await);
    assert_eq!(
        source.number("EventLostCount"),
        0,
        "its sender still has it"
    );
    source.stop().await.unwrap();
}

#[tokio::test]
async fn what_asks_for_nothing_gets_no_answer() {
    let (source, mut stream) = start("", ROOM).await;
    let single = [0x93, 0xa1, b't', 2, 0x81, 0xa1, b'k', 3];
    stream.write_all(&single.repeat(30)).await.unwrap();
    assert_eq!(source.bodies(30).await, vec!["{\"k\":3}"; 30]);
    let mixed = [&single[..], &chunk(1), &single, &[0xc0]].concat();
    stream.write_all(&mixed).await.unwrap();
    assert_eq!(source.take(3).await.len(), 3);
    assert_eq!(read(&mut stream, ACK.len()).await, ACK);
    assert!(is_silent(&mut stream).await);
    source.stop().await.unwrap();
}

#[tokio::test]
async fn a_chunk_without_events_is_acknowledged() {
    let (source, mut stream) = start("", ROOM).await;
    stream.write_all(&chunk(0)).await.unwrap();
    assert_eq!(read(&mut stream, ACK.len()).await, ACK);
    source.stop().await.unwrap();
}

#[tokio::test]
async fn a_stranger_is_cut_off() {
    let (source, mut stream) = start("maxMessageBytes = 1000", ROOM).await;
    stream.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    assert_eq!(within(stream.read(&mut [0; 9])).await.unwrap(), 0);
    assert_eq!(source.number("EventReadFail"), 1);
    source.stop().await.unwrap();
}

/// `["PING", "me", salt, digest, "", ""]`
fn ping(nonce: &[u8], key: &str) -> Vec<u8> {
    let mut digest = Sha512::new();
    for part in [b"salt", b"me" as &[u8], nonce, key.as_bytes()] {
        digest.update(part);
    }
    let digest: String = digest
        .finalize()
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    let mut ping = b"\x96\xa4PING\xa2me\xa4salt\xd9\x80".to_vec();
    ping.extend_from_slice(digest.as_bytes());
    ping.extend_from_slice(b"\xa0\xa0");
    ping
}

/// What the source says first; its nonce.
async fn nonce(stream: &mut TcpStream) -> Vec<u8> {
    let hello = read(stream, 68).await;
    let text = String::from_utf8_lossy(&hello);
    assert!(
        text.contains("HELO") && text.contains("keepalive"),
        "{text}"
    );
    let begin = hello.windows(5).position(|it| it == b"nonce").unwrap() + 7;
    hello[begin..begin + 16].to_vec()
}

#[tokio::test]
async fn only_who_knows_the_key_may_send() {
    let (source, mut stream) = start("sharedKey = secret", ROOM).await;
    let first = nonce(&mut stream).await;
    stream.write_all(&ping(&first, "secret")).await.unwrap();
    let pong = read(&mut stream, 12).await;
    assert_eq!(&pong[..11], b"\x95\xdb\0\0\0\x04PONG\xc3");
    stream.write_all(&chunk(1)).await.unwrap();
    assert_eq!(source.bodies(1).await, ["{\"k\":0}"]);

    for bad in [
        ping(&first, "secret"),
        ping(&first, "guess"),
        chunk(1),
        vec![0xc0],
    ] {
        let mut stream = TcpStream::connect(source.address().await).await.unwrap();
        let second = nonce(&mut stream).await;
        assert_ne!(first, second);
        stream.write_all(&bad).await.unwrap();
        stream.write_all(&chunk(1)).await.unwrap();
        let mut rest = vec![];
        within(stream.read_to_end(&mut rest)).await.unwrap();
        assert!(rest.is_empty() || rest.windows(8).any(|it| it == b"mismatch"));
    }
    assert_eq!(source.number("EventReceivedCount"), 1);
    assert_eq!(source.number("EventReadFail"), 4);
    source.stop().await.unwrap();
}

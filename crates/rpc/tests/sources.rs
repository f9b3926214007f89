//! The sources against the client, and against clients that break every rule.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use flume_client::{
    ClientError, CompressionOrder, CompressionSettings, Event, FlumeClient, PeerSettings,
    ThriftProtocol,
};
use flume_core::{Registry, State};
use flume_testkit::source::{RunningSource, within};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

static REGISTRY: Registry = Registry {
    includes: &[&flume_components::REGISTRY, &flume_rpc::REGISTRY],
    ..Registry::EMPTY
};

const HERE: &str = "bind = 127.0.0.1\nport = 0\n";

fn start(name: &str, text: &str) -> RunningSource {
    RunningSource::start(&REGISTRY, name, &format!("{HERE}{text}"))
}

fn avro(address: SocketAddr) -> PeerSettings {
    PeerSettings::avro("127.0.0.1", address.port())
}

/// Events with everything that may be in one.
fn mixed_events() -> Vec<Event> {
    let many: Vec<_> = (0..10_000)
        .map(|n| {
            (
                format!("header {n}").into(),
                "\u{1f600}".repeat(n % 5).into(),
            )
        })
        .collect();
    let large: Vec<u8> = (0..1_000_000u32)
        .map(|n| (n.wrapping_mul(n) >> 7) as u8)
        .collect();
    vec![
        Event::default(),
        Event::from("text"),
        Event {
            headers: [("".into(), "".into()), ("k".into(), "v".into())]
                .into_iter()
                .collect(),
            body: vec![0, 0xff, 0x0a].into(),
        },
        Event {
            headers: many.into_iter().collect(),
            body: large.into(),
        },
    ]
}

async fn all_arrive(source: RunningSource, mut client: FlumeClient) {
    let events = mixed_events();
    within(client.append(&events[2])).await.unwrap();
    within(client.append_batch(&events)).await.unwrap();
    let many: Vec<_> = (0..777)
        .map(|n| Event::from(format!("event {n}")))
        .collect();
    within(client.append_batch(&many)).await.unwrap();
    assert_eq!(source.take(1).await[0], events[2]);
    assert_eq!(source.take(events.len()).await, events);
    assert_eq!(source.take(many.len()).await, many);
    assert_eq!(source.state(), State::Running);
    assert_eq!(source.number("AppendAcceptedCount"), 1);
    let batches = source.number("AppendBatchAcceptedCount");
    assert!((2..=9).contains(&batches), "{batches}");
    drop(client);
    source.stop().await.unwrap();
}

#[tokio::test]
async fn avro_takes_events_as_they_are() {
    let source = start("avro", "");
    let client = FlumeClient::peer(avro(source.address().await));
    all_arrive(source, client).await;
}

#[tokio::test]
async fn avro_takes_calls_in_a_row_in_their_order() {
    let source = start("avro", "");
    let mut peer = avro(source.address().await);
    peer.pipeline_depth = 8.try_into().unwrap();
    all_arrive(source, FlumeClient::peer(peer)).await;
}

#[tokio::test]
async fn avro_takes_compressed_events() {
    let source = start("avro", "compression-type = deflate");
    let mut peer = avro(source.address().await);
    peer.compression = Some(CompressionSettings {
        level: 1,
        order: CompressionOrder::Auto,
    });
    all_arrive(source, FlumeClient::peer(peer)).await;
}

#[tokio::test]
async fn thrift_takes_events_as_they_are() {
    for (name, protocol) in [
        ("compact", ThriftProtocol::Compact),
        ("binary", ThriftProtocol::Binary),
    ] {
        let source = start("thrift", &format!("protocol = {name}"));
        let port = source.address().await.port();
        let peer = PeerSettings::thrift("127.0.0.1", port, protocol);
        all_arrive(source, FlumeClient::peer(peer)).await;
    }
}

#[tokio::test]
async fn a_full_channel_is_an_answer_and_nothing_of_the_batch_is_kept() {
    for name in ["avro", "thrift"] {
        let channel = "capacity = 4\ntransactionCapacity = 4\nkeep-alive = 0";
        let source = RunningSource::with_channel(&REGISTRY, name, HERE, channel);
        let port = source.address().await.port();
        let peer = match name {
            "avro" => PeerSettings::avro("127.0.0.1", port),
            _ => PeerSettings::thrift("127.0.0.1", port, ThriftProtocol::Compact),
        };
        let mut client = FlumeClient::peer(peer);
        let events = vec![Event::from("x"); 3];
        within(client.append_batch(&events)).await.unwrap();
        for _ in 0..2 {
            let error = within(client.append_batch(&events)).await.unwrap_err();
            assert!(
                matches!(
                    error,
                    ClientError::Refused {
                        status: "FAILED",
                        ..
                    }
                ),
                "{error}"
            );
        }
        let reason = State::Waiting {
            reason: "channel a1.channels.c1 has no room".into(),
        };
        assert_eq!(source.state(), reason);
        assert_eq!(source.channel.stats().events, 3);
        source.take(3).await;
        within(client.append_batch(&events)).await.unwrap();
        assert_eq!(source.state(), State::Running);
    }
}

#[tokio::test]
async fn a_client_notices_that_its_source_was_restarted_before_it_sends() {
    let source = start("avro", "");
    let port = source.address().await.port();
    let mut client = FlumeClient::peer(PeerSettings::avro("127.0.0.1", port));
    within(client.append(&Event::from("a"))).await.unwrap();
    source.stop().await.unwrap();
    let text = format!("bind = 127.0.0.1\nport = {port}");
    let source = RunningSource::start(&REGISTRY, "avro", &text);
    source.address().await;
    within(client.append(&Event::from("b"))).await.unwrap();
    assert_eq!(source.bodies(1).await, ["b"]);
}

/// Sends bytes that are no call; the source closes the connection, without a word, and soon.
async fn is_closed_after(source: &RunningSource, bytes: &[u8]) {
    let mut stream = TcpStream::connect(source.address().await).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = vec![];
    let _ = within(stream.read_to_end(&mut answer)).await;
    assert_eq!(answer, b"", "{bytes:?}");
}

#[tokio::test]
async fn strangers_are_sent_away() {
    let source = start("avro", "");
    for bytes in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0x16, 0x03, 0x01, 0x00, 0x7a, 0x02, 0x00, 0x00],
        &[0x78, 0x9c, 0x12, 0x63, 0x66, 0x66, 0xdc, 0xcc],
        &[0, 0, 0, 1, 0, 0, 0, 0],
        &[0, 0, 0, 1, 0, 0, 0, 1, 0x7f, 0xff, 0xff, 0xff],
        &[0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 3, 1, 2, 3],
    ] {
        is_closed_after(&source, bytes).await;
    }
    let source = start("thrift", "");
    for bytes in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0x80, 0, 0, 0],
        &[0, 0, 0, 1, 0],
    ] {
        is_closed_after(&source, bytes).await;
    }
    assert_eq!(source.state(), State::Running);
}

#[tokio::test]
async fn a_bomb_of_zeros_takes_no_more_than_a_frame() {
    let source = start(
        "avro",
        "compression-type = deflate\nmaxFrameBytes = 1000000",
    );
    let mut stream = TcpStream::connect(source.address().await).await.unwrap();
    // A frame of a gigabyte, which is refused by its head; then one that has no end of empty buffers.
    for head in [
        [0, 0, 0, 1, 0, 0, 0, 1, 0x40, 0, 0, 0],
        [0, 0, 0, 1, 0, 0x0f, 0, 0, 0, 0, 0, 0],
    ] {
        let mut bomb = flume_client::transport::ZlibStream::new(&mut stream, 9);
        let mut zeros = head.to_vec();
        zeros.resize(8 << 20, 0);
        let _ = within(async {
            bomb.write_all(&zeros).await?;
            bomb.flush().await
        })
        .await;
        let _ = within(stream.read_to_end(&mut vec![])).await;
        stream = TcpStream::connect(source.address().await).await.unwrap();
    }
    assert_eq!(source.state(), State::Running);
}

#[tokio::test]
async fn a_client_that_says_half_a_call_holds_no_other_up() {
    let source = start("avro", "");
    let address = source.address().await;
    let mut held = vec![];
    for _ in 0..100 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // Sixty megabytes are claimed by each.
        stream
            .write_all(&[0, 0, 0, 1, 0, 0, 0, 1, 3, 0x80, 0, 0, 9])
            .await
            .unwrap();
        held.push(stream);
    }
    let mut client = FlumeClient::peer(avro(address));
    let events = mixed_events();
    within(client.append_batch(&events)).await.unwrap();
    assert_eq!(source.take(events.len()).await, events);
    within(source.stop()).await.unwrap();
}

#[tokio::test]
async fn a_stop_answers_what_is_under_way() {
    let channel = "capacity = 1\ntransactionCapacity = 1\nkeep-alive = 10";
    let source = RunningSource::with_channel(&REGISTRY, "avro", HERE, channel);
    let mut client = FlumeClient::peer(avro(source.address().await));
    within(client.append(&Event::from("a"))).await.unwrap();
    let channel = source.channel.clone();
    let send = tokio::spawn(async move { client.append(&Event::from("b")).await });
    while source.number("AppendReceivedCount") < 2 {
        tokio::task::yield_now().await;
    }
    let stop = tokio::spawn(source.stop());
    let take = channel
        .take(flume_core::Want::events(1), Duration::from_secs(10))
        .await
        .unwrap();
    take.commit().await.unwrap();
    within(send).await.unwrap().unwrap();
    within(stop).await.unwrap().unwrap();
    assert_eq!(channel.stats().events, 1);
}

#[tokio::test]
async fn scribe_lines_are_taken() {
    let source = RunningSource::start(
        &REGISTRY,
        "org.apache.flume.source.scribe.ScribeSource",
        "port = 0",
    );
    let port = source.address().await.port();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let call = b"\0\0\0\x36\0\0\0\x03Log\x01\0\0\0\x05\x0f\0\x01\x0c\0\0\0\x02\x0b\0\x01\0\0\0\x03cat\x0b\0\x02\0\0\0\x05msg1\n\0\x0b\0\x02\0\0\0\x02m2\0\0";
    stream.write_all(call).await.unwrap();
    let mut answer = [0; 24];
    within(stream.read_exact(&mut answer)).await.unwrap();
    assert_eq!(
        &answer,
        b"\0\0\0\x14\0\0\0\x03Log\x02\0\0\0\x05\x08\0\0\0\0\0\0\0"
    );
    let events = source.take(2).await;
    assert_eq!(events[0].body, "msg1\n");
    assert_eq!(events[0].headers.get("category").unwrap(), "cat");
    assert_eq!(events[1], Event::from("m2"));
}

#[tokio::test]
async fn flume_0_9_over_thrift_is_taken() {
    let name = "org.apache.flume.source.thriftLegacy.ThriftLegacySource";
    let source = RunningSource::start(&REGISTRY, name, "host = 127.0.0.1\nport = 0");
    let mut stream = TcpStream::connect(source.address().await).await.unwrap();
    let append = b"\x80\x01\0\x04\0\0\0\x06append\0\0\0\x01\x0c\0\x01\x0b\0\x03\0\0\0\x04body\x0b\0\x05\0\0\0\x02me\0\0";
    let close = b"\x80\x01\0\x01\0\0\0\x05close\0\0\0\x02\0";
    stream.write_all(&append[..20]).await.unwrap();
    stream
        .write_all(&[&append[20..], append, close].concat())
        .await
        .unwrap();
    let mut answer = [0; 18];
    within(stream.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"\x80\x01\0\x02\0\0\0\x05close\0\0\0\x02\0");
    let events = source.take(2).await;
    assert_eq!(events[0].body, "body");
    assert_eq!(events[1].headers.get("host").unwrap(), "me");
}

/// A request of Flume 0.9 with an event `body`, as it was captured.
const LEGACY_CALL: &str = "0000004684f26a5a74af5726d8bc68105669c9960084f26a5a74af5726d8bc68105669c9960200000c617070656e649693d89fee470608626f6479c6010c6d79686f737402026b02760000000000";

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    digits
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// The status line and the body of the answer to a request whose body comes in two pieces.
async fn post(address: SocketAddr, method: &str, length: usize, body: &[u8]) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "{method} /any HTTP/1.1\r\nHost: h\r\nContent-Type: avro/binary\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
    );
    let (first, second) = body.split_at(body.len() / 2);
    stream
        .write_all(&[head.as_bytes(), first].concat())
        .await
        .unwrap();
    tokio::task::yield_now().await;
    let _ = stream.write_all(second).await;
    let mut answer = vec![];
    let _ = within(stream.read_to_end(&mut answer)).await;
    let end = answer
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap();
    let text = String::from_utf8_lossy(&answer[..end]);
    let status = text.lines().next().unwrap_or_default().to_string();
    (status, answer[end + 4..].to_vec())
}

#[tokio::test]
async fn flume_0_9_over_avro_is_taken() {
    let name = "org.apache.flume.source.avroLegacy.AvroLegacySource";
    let channel = "capacity = 1\ntransactionCapacity = 1\nkeep-alive = 0";
    let text = "host = 127.0.0.1\nport = 0";
    let source = RunningSource::with_channel(&REGISTRY, name, text, channel);
    let address = source.address().await;
    let call = unhex(LEGACY_CALL);
    let (status, answer) = post(address, "POST", call.len(), &call).await;
    assert!(status.contains("200"), "{status}");
    assert_eq!(
        answer,
        unhex("00000004000000000000000100000000010000000000")
    );
    // The channel is full: the answer is an error, and the agent may send the event again.
    let (status, answer) = post(address, "POST", call.len(), &call).await;
    assert!(
        status.contains("200") && answer.len() > 30,
        "{status} {answer:?}"
    );
    let events = source.take(1).await;
    assert_eq!(events[0].body, "body");
    assert_eq!(events[0].headers.get("host").unwrap(), "myhost");
    assert_eq!(events[0].headers.get("k").unwrap(), "v");
    post(address, "POST", call.len(), &call).await;
    source.take(1).await;
    for (method, length, body, expected) in [
        ("GET", 0, &b""[..], "405"),
        ("POST", 7, b"no call", "400"),
        ("POST", 2 << 20, &vec![0; 2 << 20], "413"),
    ] {
        let (status, _) = post(address, method, length, body).await;
        assert!(status.contains(expected), "{status}");
    }
    assert_eq!(source.channel.stats().events, 0);
    within(source.stop()).await.unwrap();
}

#[tokio::test]
async fn a_call_larger_than_the_memory_of_its_source_is_taken() {
    let source = start("avro", "maxFrameBytes = 200000000");
    let mut client = FlumeClient::peer(avro(source.address().await));
    // The budget of a source is 64 MiB.
    let event = Event::from(vec![7; 80 << 20]);
    within(client.append(&event)).await.unwrap();
    assert!(source.take(1).await[0] == event);
}

#[tokio::test]
async fn an_event_keeps_nothing_of_what_came_beside_it() {
    let source = start("avro", "");
    let mut stream = TcpStream::connect(source.address().await).await.unwrap();
    // A handshake, `append` with an event `x`, and a mebibyte behind it that means nothing.
    let mut message =
        unhex("86aadae2c45474c0fe93ffd0f2350a650086aadae2c45474c0fe93ffd0f2350a65020000");
    message.extend(b"\x0cappend\x00\x02x");
    message.resize(message.len() + (1 << 20), 0);
    let mut frame = unhex("0000000100000001");
    frame.extend((message.len() as u32).to_be_bytes());
    frame.extend(message);
    stream.write_all(&frame).await.unwrap();
    let event = source.take(1).await.remove(0);
    assert_eq!(event, Event::from("x"));
    let body = event.body.try_into_mut().expect("nobody else holds it");
    assert!(body.capacity() < 100, "{}", body.capacity());
}

#[tokio::test]
async fn a_client_goes_to_the_next_peer_and_stays_there() {
    let first = start("avro", "");
    let second = start("avro", "");
    let gone = start("avro", "");
    let gone_address = gone.address().await;
    gone.stop().await.unwrap();
    let peers = vec![
        avro(gone_address),
        avro(first.address().await),
        avro(second.address().await),
    ];
    let mut client = FlumeClient::failover(peers, 3);
    within(client.append(&Event::from("a"))).await.unwrap();
    within(client.append(&Event::from("b"))).await.unwrap();
    assert_eq!(first.bodies(2).await, ["a", "b"]);
    first.stop().await.unwrap();
    within(client.append(&Event::from("c"))).await.unwrap();
    assert_eq!(second.bodies(1).await, ["c"]);
}

#[tokio::test]
async fn properties_of_the_sdk_make_a_client() {
    let first = start("avro", "");
    let second = start("avro", "");
    let mut properties = BTreeMap::new();
    let mut set = |key: &str, value: String| properties.insert(key.to_string(), value);
    set("client.type", "default_loadbalance".into());
    set("hosts", "h1 h2".into());
    set("hosts.h1", first.address().await.to_string());
    set("hosts.h2", second.address().await.to_string());
    set("backoff", "true".into());
    let (mut client, found) = FlumeClient::from_properties(&properties).unwrap();
    assert!(found.is_empty(), "{found:?}");
    for body in ["a", "b", "c", "d"] {
        within(client.append(&Event::from(body))).await.unwrap();
    }
    assert_eq!(first.bodies(2).await, ["a", "c"]);
    assert_eq!(second.bodies(2).await, ["b", "d"]);
    // One is gone: everything goes to the other.
    first.stop().await.unwrap();
    for body in ["e", "f"] {
        within(client.append(&Event::from(body))).await.unwrap();
    }
    assert_eq!(second.bodies(2).await, ["e", "f"]);
    let wrong = BTreeMap::from([("hosts".to_string(), "h1".to_string())]);
    let error = FlumeClient::from_properties(&wrong)
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("hosts.h1"), "{error}");
}

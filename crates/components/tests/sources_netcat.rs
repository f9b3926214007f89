//! `netcat` as its clients see it.

use std::net::{IpAddr, SocketAddr};

use flume_components::REGISTRY;
use flume_core::{Event, State};
use flume_testkit::source::{RunningSource, within};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const FULL: &str = "FAILED: Space for commit to queue couldn't be acquired. Sinks are likely not keeping up with sources, or the buffer size is too tight\n";

fn netcat(text: &str) -> RunningSource {
    RunningSource::start(
        &REGISTRY,
        "netcat",
        &format!("bind = localhost\nport = 0\n{text}"),
    )
}

fn netcat_into(channel: &str, text: &str) -> RunningSource {
    let text = format!("bind = localhost\nport = 0\n{text}");
    RunningSource::with_channel(&REGISTRY, "netcat", &text, channel)
}

/// What a client gets for `sent` until the connection is closed, its own side closed after sending.
async fn exchange(address: SocketAddr, sent: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(sent).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answers = vec![];
    within(stream.read_to_end(&mut answers)).await.unwrap();
    answers
}

/// A source with these properties answers `sent` with `answers` and puts `bodies`.
async fn check(
    properties: &str,
    sent: impl AsRef<[u8]>,
    answers: impl AsRef<[u8]>,
    bodies: &[&str],
) {
    let source = netcat(properties);
    let seen = exchange(source.address().await, sent.as_ref()).await;
    let shown = String::from_utf8_lossy(&seen);
    assert_eq!(seen, answers.as_ref(), "{properties}: {shown}");
    assert_eq!(source.bodies(bodies.len()).await, bodies, "{properties}");
    assert_eq!(
        source.channel.stats().events,
        0,
        "{properties}: nothing more"
    );
    source.stop().await.unwrap();
}

/// A Python bytes literal.
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = text.bytes();
    let mut out = vec![];
    while let Some(byte) = bytes.next() {
        out.push(
            match (byte, if byte == b'\\' { bytes.next() } else { None }) {
                (_, Some(b'n')) => b'\n',
                (_, Some(b'r')) => b'\r',
                (_, Some(b'x')) => {
                    let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
                    u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
                }
                _ => byte,
            },
        );
    }
    out
}

/// Captured from Flume 1.11, `name [b'sent'] -> b'answers<EOF>'`: `max-line-length` 16, and no answers where the name says so.
#[tokio::test]
async fn answers_as_flume_does() {
    let captured = include_str!("golden/netcat-tcp.txt");
    let mut exchanges = 0;
    for line in captured.lines() {
        let (name, rest) = line.split_once(" [b'").unwrap();
        let (sent, answers) = rest.split_once("'] -> b'").unwrap();
        let Some(answers) = answers.strip_suffix("<EOF>'") else {
            continue;
        };
        let source = netcat(&format!(
            "max-line-length = 16\nack-every-event = {}",
            name != "noack"
        ));
        let seen = exchange(source.address().await, &unescape(sent)).await;
        assert_eq!(seen, unescape(answers), "{name}");
        source.stop().await.unwrap();
        exchanges += 1;
    }
    assert_eq!(exchanges, 11);
}

#[tokio::test]
async fn lines_end_at_line_feeds_alone() {
    check("", "a\r\n\nb c\n", "OK\nOK\nOK\n", &["a\r", "", "b c"]).await;
    check("", "one\npartial", "OK\n", &["one"]).await;
    check("ack-every-event = false", "a\nb\n", "", &["a", "b"]).await;
}

#[tokio::test]
async fn a_long_line_ends_the_connection_after_those_before_it() {
    let refusal = |most: usize| {
        format!("FAILED: Event exceeds the maximum length ({most} chars, including newline)\n")
    };
    let fits = "x".repeat(511);
    let long = "x".repeat(512);
    check("", format!("{fits}\n"), "OK\n", &[&fits]).await;
    check(
        "",
        format!("a\n{long}\nb\n"),
        format!("OK\n{}", refusal(512)),
        &["a"],
    )
    .await;
    check(
        "ack-every-event = false",
        format!("{long}\n"),
        refusal(512),
        &[],
    )
    .await;
    // Told as soon as it is certain, not only at the end of the line.
    check("max-line-length = 4", "abcd", refusal(4), &[]).await;
    // Counted as Java counts: a character outside the first plane is two.
    check(
        "max-line-length = 4",
        "\u{1f600}x\n",
        "OK\n",
        &["\u{1f600}x"],
    )
    .await;
    check(
        "max-line-length = 4",
        "\u{1f600}\u{1f600}\n",
        refusal(4),
        &[],
    )
    .await;
}

#[tokio::test]
async fn encodings_of_lines_and_answers() {
    check(
        "encoding = ISO-8859-1",
        b"caf\xe9 \x80\n",
        "OK\n",
        &["caf\u{e9} \u{80}"],
    )
    .await;
    check("encoding = windows-1252", b"\x80\n", "OK\n", &["\u{20ac}"]).await;
    check(
        "encoding = UTF-16",
        b"\0a\0\n\x20\xac\0\n",
        b"\xfe\xff\0O\0K\0\n\0O\0K\0\n",
        &["a", "\u{20ac}"],
    )
    .await;
    check("encoding = UTF-16LE", b"a\0\n\0", b"O\0K\0\n\0", &["a"]).await;
    check("encoding = US-ASCII", b"a\nb\x80\nc\n", "OK\n", &["a"]).await;
    check("", b"good\nb\xff\nnever\n", "OK\n", &["good"]).await;
}

#[tokio::test]
async fn characters_and_lines_across_reads() {
    let source = netcat("");
    let mut stream = TcpStream::connect(source.address().await).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let mut answer = [0; 3];
    for (first, second) in [("split ", "line\n"), ("\u{e9}", "x\n")] {
        // Each half is certainly read by itself: a whole line before it was answered.
        let (head, tail) = first.as_bytes().split_at(1);
        stream
            .write_all(&[b"whole\n", head].concat())
            .await
            .unwrap();
        stream.read_exact(&mut answer).await.unwrap();
        stream
            .write_all(&[tail, second.as_bytes()].concat())
            .await
            .unwrap();
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"OK\n");
    }
    assert_eq!(
        source.bodies(4).await,
        ["whole", "split line", "whole", "\u{e9}x"]
    );
    source.stop().await.unwrap();
}

#[tokio::test]
async fn what_does_not_fit_is_refused_line_by_line() {
    let source = netcat_into("capacity = 3\ntransactionCapacity = 3\nkeep-alive = 0", "");
    let answers = exchange(source.address().await, b"1\n2\n3\n4\n5\n").await;
    assert_eq!(
        String::from_utf8(answers).unwrap(),
        format!("OK\nOK\nOK\n{FULL}{FULL}")
    );
    assert!(
        matches!(source.state(), State::Waiting { .. }),
        "{}",
        source.state()
    );
    assert_eq!(source.bodies(3).await, ["1", "2", "3"]);
    // The connection lives on in Flume, and so does the source.
    let answers = exchange(source.address().await, b"6\n7\n8\n9\n").await;
    assert_eq!(
        String::from_utf8(answers).unwrap(),
        format!("OK\nOK\nOK\n{FULL}")
    );
    assert_eq!(source.bodies(3).await, ["6", "7", "8"]);
    source.stop().await.unwrap();
}

#[tokio::test]
async fn a_line_too_large_for_the_channel_is_refused_alone() {
    let source = netcat_into(
        "byteCapacity = 1000\nkeep-alive = 0",
        "max-line-length = 5000",
    );
    let sent = format!("a\n{}\nb\n", "x".repeat(4000));
    let answers = exchange(source.address().await, sent.as_bytes()).await;
    let answers = String::from_utf8(answers).unwrap();
    let lines: Vec<_> = answers.lines().collect();
    assert!(
        matches!(lines[..], ["OK", refused, "OK"] if refused.starts_with("FAILED: ")),
        "{answers}"
    );
    assert_eq!(source.bodies(2).await, ["a", "b"]);
    source.stop().await.unwrap();
}

#[tokio::test]
async fn many_connections_at_once_lose_nothing() {
    let source = netcat_into("capacity = 1000000\ntransactionCapacity = 100", "");
    let address = source.address().await;
    let client = |client: usize| async move {
        let sent: String = (0..2000).map(|line| format!("{client} {line}\n")).collect();
        let answers = exchange(address, sent.as_bytes()).await;
        assert_eq!(answers, b"OK\n".repeat(2000));
    };
    let clients: Vec<_> = (0..8).map(|number| tokio::spawn(client(number))).collect();
    for client in clients {
        client.await.unwrap();
    }
    let mut next = [0; 8];
    for body in source.bodies(16_000).await {
        let (client, line) = body.split_once(' ').unwrap();
        let next = &mut next[client.parse::<usize>().unwrap()];
        assert_eq!(line.parse(), Ok(*next), "in order");
        *next += 1;
    }
    assert_eq!(next, [2000; 8]);
    assert_eq!(
        (
            source.number("EventReceivedCount"),
            source.number("EventAcceptedCount")
        ),
        (16_000, 16_000)
    );
    source.stop().await.unwrap();
}

#[tokio::test]
async fn connections_are_counted_and_limited() {
    let source = netcat("maxConnections = 2");
    let address = source.address().await;
    let mut answer = [0; 3];
    let mut open = vec![];
    for _ in 0..2 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"a\n").await.unwrap();
        within(stream.read_exact(&mut answer)).await.unwrap();
        open.push(stream);
    }
    assert_eq!(source.number("OpenConnectionCount"), 2);
    // The third is served once the first has gone.
    let mut third = TcpStream::connect(address).await.unwrap();
    third.write_all(b"b\n").await.unwrap();
    open[1].write_all(b"c\n").await.unwrap();
    within(open[1].read_exact(&mut answer)).await.unwrap();
    assert_eq!(source.bodies(3).await, ["a", "a", "c"]);
    drop(open.remove(0));
    within(third.read_exact(&mut answer)).await.unwrap();
    assert_eq!(source.number("OpenConnectionCount"), 2);
    source.stop().await.unwrap();
}

#[tokio::test]
async fn a_stop_closes_connections_and_the_port() {
    let source = netcat_into(
        "capacity = 1\ntransactionCapacity = 1\nkeep-alive = 3600",
        "",
    );
    let address = source.address().await;
    let mut idle = TcpStream::connect(address).await.unwrap();
    let mut waiting = TcpStream::connect(address).await.unwrap();
    waiting.write_all(b"a\nb\n").await.unwrap();
    let mut answers = [0; 3];
    within(waiting.read_exact(&mut answers)).await.unwrap();
    within(source.stop()).await.unwrap();
    let mut rest = vec![];
    within(idle.read_to_end(&mut rest)).await.unwrap();
    // What was not put is not acknowledged; the connection may end in a reset.
    let _ = within(waiting.read_to_end(&mut rest)).await;
    assert!(rest.is_empty());
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_port_in_use_is_an_error_that_names_it() {
    let first = netcat("");
    let port = first.address().await.port();
    let second = RunningSource::start(
        &REGISTRY,
        "netcat",
        &format!("bind = 127.0.0.1\nport = {port}"),
    );
    let error = second.ended().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("failed to listen on 127.0.0.1:{port}")
    );
    first.stop().await.unwrap();
}

#[tokio::test]
async fn every_address_means_both_families() {
    let source = RunningSource::start(&REGISTRY, "netcat", "bind = 0.0.0.0\nport = 0");
    let listens = source.address().await;
    let mut hosts = vec!["127.0.0.1"];
    // Where the system has no IPv6 there is nothing to try.
    hosts.extend(listens.is_ipv6().then_some("::1"));
    for host in hosts {
        assert_eq!(
            exchange(
                SocketAddr::new(host.parse::<IpAddr>().unwrap(), listens.port()),
                b"a\n"
            )
            .await,
            b"OK\n"
        );
    }
    source.stop().await.unwrap();
}

#[tokio::test]
async fn bodies_keep_nothing_else_alive() {
    let source = netcat("max-line-length = 100000");
    let address = source.address().await;
    let sent = format!("small\n{}\n", "x".repeat(50_000));
    assert_eq!(exchange(address, sent.as_bytes()).await, b"OK\nOK\n");
    let small: Event = source.take(1).await.remove(0);
    // A body that is alone in its memory can be had without a copy.
    assert_eq!(small.body.try_into_mut().map(|body| body.capacity()), Ok(5));
    source.stop().await.unwrap();
}

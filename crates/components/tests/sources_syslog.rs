//! The syslog sources as their senders see them.

use std::time::Duration;

use flume_components::REGISTRY;
use flume_core::{Event, State, Want};
use flume_testkit::source::{RunningSource, within};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpStream, UdpSocket},
};

const MESSAGE: &str = "<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - failed";

async fn connect(source: &RunningSource) -> TcpStream {
    TcpStream::connect(source.address().await)
        .await
        .expect("connected")
}

fn header<'e>(event: &'e Event, name: &str) -> &'e str {
    event.headers.get(name).map_or("", |value| value)
}

fn syslogtcp(text: &str) -> RunningSource {
    let text = format!("host = localhost\nport = 0\n{text}");
    RunningSource::start(&REGISTRY, "syslogtcp", &text)
}

#[tokio::test]
async fn lines_and_counted_messages_become_events() {
    let source =
        syslogtcp("keepFields = hostname\nclientIPHeader = ip\nclientHostnameHeader = name");
    let mut stream = connect(&source).await;
    let sent = format!("{MESSAGE}\n{} {MESSAGE}no priority\n", MESSAGE.len());
    stream.write_all(sent.as_bytes()).await.expect("sent");
    let events = source.take(3).await;
    for event in &events[..2] {
        assert_eq!(event.body, "mymachine.example.com su - ID47 - failed");
        assert_eq!(header(event, "timestamp"), "1065910455003");
        assert_eq!(header(event, "host"), "mymachine.example.com");
        assert_eq!(header(event, "ip"), "127.0.0.1");
        assert!(!header(event, "name").is_empty());
    }
    assert_eq!(events[2].body, "no priority");
    assert_eq!(header(&events[2], "flume.syslog.status"), "Invalid");
    source.stop().await.expect("stopped");
}

#[tokio::test]
async fn a_long_message_is_cut() {
    let source = syslogtcp("eventSize = 10");
    let mut stream = connect(&source).await;
    stream.write_all(b"<13>0123456789\n").await.expect("sent");
    let events = source.take(2).await;
    assert_eq!(events[0].body, "<13>012345");
    assert_eq!(header(&events[0], "flume.syslog.status"), "Incomplete");
    assert_eq!(events[1].body, "6789");
    source.stop().await.expect("stopped");
}

/// A sender hears nothing of a full channel, so nothing may be lost there.
#[tokio::test]
async fn a_full_channel_stops_the_reading_and_loses_nothing() {
    let text = "host = localhost\nport = 0";
    let channel = "capacity = 100\ntransactionCapacity = 100\nkeep-alive = 0";
    let source = RunningSource::with_channel(&REGISTRY, "syslogtcp", text, channel);
    let mut stream = connect(&source).await;
    const LINES: usize = 50_000;
    let sender = tokio::spawn(async move {
        for number in 0..LINES {
            let line = format!("<13>Oct 11 22:14:15 host line {number}\n");
            stream.write_all(line.as_bytes()).await.expect("sent");
        }
        stream.shutdown().await.expect("closed");
    });
    while !matches!(
        source.state(),
        State::Waiting { .. } | State::Failing { .. }
    ) {
        tokio::task::yield_now().await;
    }
    let mut next = 0;
    while next < LINES {
        let take = source
            .channel
            .take(Want::events(100), Duration::from_secs(20))
            .await;
        let take = take.expect("a take");
        assert!(!take.events().is_empty(), "{next} of {LINES} lines came");
        for event in take.events() {
            assert_eq!(event.body, format!("line {next}"));
            next += 1;
        }
        take.commit().await.expect("committed");
    }
    within(sender).await.expect("all sent");
    assert_eq!(source.number("EventLostCount"), 0);
    source.stop().await.expect("stopped");
}

#[tokio::test]
async fn datagrams_become_events() {
    let text = "host = localhost\nport = 0\nclientIPHeader = ip";
    let source = RunningSource::start(&REGISTRY, "syslogudp", text);
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("bound");
    let large = format!("<13>Oct 11 22:14:15 host {}", "x".repeat(5000));
    for datagram in [
        "",
        "\n",
        MESSAGE,
        "<13>Oct 11 22:14:15 host a\nrest",
        "none",
        &large,
    ] {
        let to = source.address().await;
        socket.send_to(datagram.as_bytes(), to).await.expect("sent");
    }
    let events = source.take(4).await;
    let bodies: Vec<_> = events.iter().map(|event| event.body.clone()).collect();
    assert_eq!(bodies[..3], ["su - ID47 - failed", "a", "none"]);
    assert_eq!(bodies[3].len(), 5000);
    assert!(
        events
            .iter()
            .all(|event| header(event, "ip") == "127.0.0.1")
    );
    source.stop().await.expect("stopped");
}

#[tokio::test]
async fn each_port_has_its_character_set() {
    let text = "host = localhost\nports = 0\ncharset.port.0 = ISO-8859-1\nportHeader = port";
    let source = RunningSource::start(&REGISTRY, "multiport_syslogtcp", text);
    let address = source.address().await;
    let mut stream = connect(&source).await;
    stream
        .write_all(b"<13>Oct 11 22:14:15 h\xf6st b\xf6dy\nbad\n\n")
        .await
        .expect("sent");
    let events = source.take(2).await;
    assert_eq!(header(&events[0], "host"), "h\u{f6}st");
    assert_eq!(&events[0].body[..], b"b\xf6dy");
    assert_eq!(header(&events[0], "Priority"), "13");
    assert_eq!(header(&events[0], "port"), address.port().to_string());
    assert_eq!(events[1].body, "bad");
    assert_eq!(header(&events[1], "flume.syslog.status"), "Invalid");
    source.stop().await.expect("stopped");
}

#[tokio::test]
async fn bytes_that_are_no_text_are_an_invalid_message() {
    let text = "host = localhost\nports = 0";
    let source = RunningSource::start(&REGISTRY, "multiport_syslogtcp", text);
    let mut stream = connect(&source).await;
    stream
        .write_all(b"<13>Oct 11 22:14:15 host \xff\n")
        .await
        .expect("sent");
    let event = source.take(1).await.remove(0);
    assert_eq!(header(&event, "flume.syslog.status"), "Invalid");
    assert_eq!(event.headers.iter().count(), 1);
    source.stop().await.expect("stopped");
}

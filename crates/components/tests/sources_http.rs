//! The `http` source as its clients see it.

use std::time::Duration;

use flume_components::REGISTRY;
use flume_core::Event;
use flume_testkit::{
    parts::headers,
    source::{RunningSource, within},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

fn http(text: &str) -> RunningSource {
    let text = format!("bind = localhost\nport = 0\n{text}");
    RunningSource::start(&REGISTRY, "http", &text)
}

/// Sends bytes on a connection of their own and returns all that is answered.
async fn exchange(source: &RunningSource, sent: &[u8]) -> String {
    let mut stream = TcpStream::connect(source.address().await)
        .await
        .expect("connected");
    stream.write_all(sent).await.expect("sent");
    let mut answer = vec![];
    within(stream.read_to_end(&mut answer))
        .await
        .expect("an answer");
    String::from_utf8(answer).expect("text")
}

/// The status and the text of the answer to a request.
async fn ask(source: &RunningSource, request: &str, kind: &str, body: &[u8]) -> (u16, String) {
    let kind = if kind.is_empty() {
        String::new()
    } else {
        format!("Content-Type: {kind}\r\n")
    };
    let length = body.len();
    let head = format!(
        "{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{kind}Content-Length: {length}\r\n\r\n"
    );
    let answer = exchange(source, &[head.as_bytes(), body].concat()).await;
    let status = answer
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    let text = answer.split_once("\r\n\r\n").map(|(_, text)| text);
    (status.expect("a status"), text.unwrap_or_default().into())
}

/// An event as Flume's vectors show it: headers and body.
fn shown(event: &Event) -> String {
    format!(
        "{{{}}} {}",
        headers(event),
        String::from_utf8_lossy(&event.body)
    )
}

/// Requests, what the released Flume 1.11 answered them, and the events that it made. The recipe is in
/// `golden/http/README.md`.
#[tokio::test]
async fn every_request_is_answered_as_flume_answers() {
    #[rustfmt::skip]
    let exchanges: &[(&str, &str, &str, u16, &[&str])] = &[
        ("POST /", "application/json", r#"[{"headers":{"a":"b"},"body":"hello"}]"#, 200, &["{a=b} hello"]),
        ("POST /", "application/x-www-form-urlencoded", r#"[{"body":"x"}]"#, 200, &["{} x"]),
        ("POST /", "", "[{\"body\":\"noct h\u{e9}\"}]", 200, &["{} noct hÃ©"]),
        ("POST /", "text/json", "[{\"body\":\"tj h\u{e9}\"}]", 200, &["{} tj h\u{e9}"]),
        ("POST /", "application/json", r#"[{"headers":{"q":"w"}}]"#, 200, &["{q=w} "]),
        ("POST /", "application/json", "[]", 200, &[]),
        ("POST /", "application/json", "", 500, &[]),
        ("POST /", "application/json", "null", 500, &[]),
        ("POST /", "application/json", r#"{"body":"x"}"#, 400, &[]),
        ("POST /", "application/json", "[{", 400, &[]),
        ("POST /", "application/json", r#"[{"body":"x"}] x"#, 400, &[]),
        ("POST /", "application/json", r#"[{"body":"x"},]"#, 500, &[]),
        ("POST /", "application/json", r#"[{"headers":{"n":1,"b":true,"z":null},"body":12.50}]"#, 200, &["{b=true, n=1} 12.50"]),
        ("POST /", "application/json", r#"[{"body":{"a":1}}]"#, 400, &[]),
        ("POST /", "application/json", r#"[{"headers":[["k","v"]],"body":"x"}]"#, 200, &["{k=v} x"]),
        ("POST /", "application/json", r#"[{"headers":{"a":"1","a":"2"},"body":"x"}]"#, 400, &[]),
        ("POST /", "application/json; charset=iso-8859-1", r#"[{"body":"x"}]"#, 500, &[]),
        ("POST /", "application/json", "[null]", 500, &[]),
        ("GET /", "application/json", r#"[{"body":"viaget"}]"#, 200, &["{} viaget"]),
        ("PUT /", "application/json", r#"[{"body":"x"}]"#, 405, &[]),
        ("DELETE /", "application/json", "", 405, &[]),
        ("PATCH /", "application/json", r#"[{"body":"x"}]"#, 501, &[]),
        ("OPTIONS /", "application/json", "", 403, &[]),
        ("TRACE /", "application/json", "", 403, &[]),
        ("HEAD /", "application/json", "", 500, &[]),
        ("POST /other/path?x=y", "application/json", r#"[{"body":"p"}]"#, 200, &["{} p"]),
        ("POST /", "application/json", r#"[{"headers":{"h":"1"},"body":"e1"},{"body":"e2"}]"#, 200, &["{h=1} e1", "{} e2"]),
    ];
    let source = http("");
    for (request, kind, body, status, events) in exchanges {
        let (answered, text) = ask(&source, request, kind, body.as_bytes()).await;
        assert_eq!(answered, *status, "{request} {kind} {body}: {text}");
        assert_eq!(
            text.is_empty(),
            [200, 403, 405, 501].contains(status) || request.starts_with("HEAD")
        );
        let found: Vec<_> = source.take(events.len()).await.iter().map(shown).collect();
        assert_eq!(found, *events, "{request} {kind} {body}");
    }
    assert_eq!(source.channel.stats().events, 0, "nothing else was stored");
    assert_eq!(source.number("AppendBatchAcceptedCount"), 11);
    source.stop().await.expect("stopped");
}

#[tokio::test]
async fn a_blob_is_an_event_with_the_parameters_as_headers() {
    let source = http(
        "handler = org.apache.flume.source.http.BLOBHandler\nhandler.mandatoryParameters = x,y",
    );
    let body: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    assert_eq!(
        ask(&source, "POST /p?x=1&y=2", "text/plain", &body).await.0,
        200
    );
    let event = &source.take(1).await[0];
    assert_eq!(event.body, body);
    assert_eq!(event.headers.iter().count(), 2);
    let (status, text) = ask(&source, "POST /p?y=2", "", b"").await;
    assert_eq!((status, text.contains("`x`")), (500, true), "{text}");
    source.stop().await.expect("stopped");
}

#[tokio::test]
async fn a_full_channel_is_told_with_a_time_to_come_back() {
    let text = "bind = localhost\nport = 0";
    let channel = "capacity = 2\ntransactionCapacity = 2\nkeep-alive = 0";
    let source = RunningSource::with_channel(&REGISTRY, "http", text, channel);
    let two = r#"[{"body":"a"},{"body":"b"}]"#;
    let length = two.len();
    let request = format!(
        "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{two}"
    );
    assert!(
        exchange(&source, request.as_bytes())
            .await
            .starts_with("HTTP/1.1 200")
    );
    let refused = exchange(&source, request.as_bytes()).await;
    assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
    assert!(
        refused.to_ascii_lowercase().contains("retry-after: 1\r\n"),
        "{refused}"
    );
    // Three never fit: to come back is of no use.
    let three = r#"[{"body":"a"},{"body":"b"},{"body":"c"}]"#;
    let (status, text) = ask(&source, "POST /", "application/json", three.as_bytes()).await;
    assert_eq!(
        (status, text.contains("can never fit")),
        (503, true),
        "{text}"
    );
    assert_eq!(source.bodies(2).await, ["a", "b"]);
    assert!(
        exchange(&source, request.as_bytes())
            .await
            .starts_with("HTTP/1.1 200")
    );
    assert_eq!(source.number("ChannelWriteFail"), 2);
    source.stop().await.expect("stopped");
}

#[tokio::test]
async fn a_connection_carries_many_requests_and_chunks() {
    let source = http("");
    let mut stream = TcpStream::connect(source.address().await)
        .await
        .expect("connected");
    let plain = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 14\r\n\r\n[{\"body\":\"1\"}]";
    let chunked = "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n\
                   5\r\n[{\"bo\r\n9\r\ndy\":\"2\"}]\r\n0\r\n\r\n";
    stream
        .write_all(format!("{plain}{plain}{chunked}").as_bytes())
        .await
        .expect("sent");
    let mut answers = String::new();
    within(stream.read_to_string(&mut answers))
        .await
        .expect("answers");
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 3, "{answers}");
    assert_eq!(source.bodies(3).await, ["1", "1", "2"]);
    source.stop().await.expect("stopped");
}

#[tokio::test]
async fn bodies_beyond_the_limit_and_nonsense_cost_a_connection_and_nothing_else() {
    let source = http("maxRequestBytes = 1000");
    let long = format!("[{{\"body\":\"{}\"}}]", "x".repeat(1000));
    let (status, text) = ask(&source, "POST /", "application/json", long.as_bytes()).await;
    assert_eq!((status, text.contains("1000 bytes")), (413, true), "{text}");
    for nonsense in [
        "\r\n\r\n\r\n",
        "GET\r\n\r\n",
        "\0\u{1}\u{2}\r\n\r\n",
        "POST / HTTP/9.9\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(source.address().await)
            .await
            .expect("connected");
        stream.write_all(nonsense.as_bytes()).await.expect("sent");
        stream.shutdown().await.expect("half closed");
        // It may be reset, too.
        let _ = within(stream.read_to_end(&mut vec![])).await;
    }
    // A client that goes away in the middle of a body.
    let mut stream = TcpStream::connect(source.address().await)
        .await
        .expect("connected");
    stream
        .write_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n[")
        .await
        .expect("sent");
    drop(stream);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(
        ask(&source, "POST /", "", br#"[{"body":"y"}]"#).await.0,
        200
    );
    assert_eq!(source.bodies(1).await, ["y"]);
    source.stop().await.expect("stopped");
}

/// `nc -N` and simple scripts close their half of the connection behind the request.
#[tokio::test]
async fn a_client_that_closes_its_half_is_answered() {
    let channel = "capacity = 1\ntransactionCapacity = 1\nkeep-alive = 30";
    let text = "bind = localhost\nport = 0";
    let source = RunningSource::with_channel(&REGISTRY, "http", text, channel);
    assert_eq!(
        ask(&source, "POST /", "", br#"[{"body":"first"}]"#).await.0,
        200
    );
    let mut stream = TcpStream::connect(source.address().await)
        .await
        .expect("connected");
    let request = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 14\r\n\r\n[{\"body\":\"2\"}]";
    stream.write_all(request).await.expect("sent");
    stream.shutdown().await.expect("half closed");
    // The put waits for room by now.
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(source.bodies(1).await, ["first"]);
    let mut answer = String::new();
    within(stream.read_to_string(&mut answer))
        .await
        .expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(source.bodies(1).await, ["2"]);
    source.stop().await.expect("stopped");
}

#[test]
fn settings_of_jetty_are_accepted() {
    let text = "port = 0\nQueuedThreadPool.maxThreads = 5\nServerConnector.idleTimeout = 300";
    let cx = flume_core::Context::new("a1.sources.r1", &["c1"]);
    flume_testkit::parts::build::<dyn flume_core::Source>(&REGISTRY, "http", text, &cx);
}

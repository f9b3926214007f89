//! The `otlp` source as OpenTelemetry's senders see it.

use std::{io::Write, sync::Arc};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use flume_components::REGISTRY;
use flume_core::Context;
use flume_net::tls::TlsClientConfig;
use flume_testkit::{
    parts::read,
    source::{RunningSource, within},
};
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Written by OpenTelemetry's own classes: six records.
const PROTOBUF: &[u8] = include_bytes!("../../wire/tests/golden/otlp/logs.pb");
const JSON: &[u8] = include_bytes!("../../wire/tests/golden/otlp/logs.json");
const EXPORT: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";

fn start(text: &str, channel: &str) -> RunningSource {
    let text = format!("bind = localhost\nport = 0\n{text}");
    RunningSource::with_channel(&REGISTRY, "otlp", &text, channel)
}

const ROOM: &str = "capacity = 1000\ntransactionCapacity = 100";
const SIX: &str = "capacity = 6\ntransactionCapacity = 6\nkeep-alive = 0";

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(vec![], Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The head and the body of the answer to a request over HTTP/1.1.
async fn post(source: &RunningSource, path: &str, headers: &str, body: &[u8]) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(source.address().await).await.unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    );
    let sent = [head.as_bytes(), body].concat();
    stream.write_all(&sent).await.unwrap();
    let mut answer = vec![];
    within(stream.read_to_end(&mut answer)).await.unwrap();
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    let body = answer.split_off(end.expect("a head") + 4);
    (String::from_utf8(answer).unwrap(), body)
}

/// What a call ended with.
#[derive(Debug)]
struct Called {
    status: String,
    text: String,
    details: Option<String>,
    message: Vec<u8>,
}

/// A message with its head.
fn framed(flag: u8, message: &[u8]) -> Vec<u8> {
    let length = message.len() as u32;
    [&[flag][..], &length.to_be_bytes(), message].concat()
}

/// A call over a connection of its own.
async fn call(source: &RunningSource, path: &str, encoding: &str, body: Vec<u8>) -> Called {
    let stream = TcpStream::connect(source.address().await).await.unwrap();
    call_over(stream, path, encoding, body).await
}

async fn call_over(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    path: &str,
    encoding: &str,
    body: Vec<u8>,
) -> Called {
    let connected = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let (mut sender, connection) = connected.unwrap();
    let driver = tokio::spawn(connection);
    let request = Request::post(format!("http://x{path}"))
        .header("content-type", "application/grpc+proto")
        .header("grpc-encoding", encoding)
        .header("te", "trailers")
        .body(Full::new(Bytes::from(body)));
    let answer = within(sender.send_request(request.unwrap())).await.unwrap();
    let called = called(answer).await;
    driver.abort();
    called
}

async fn called(answer: Response<Incoming>) -> Called {
    assert_eq!(answer.status(), 200);
    let mut headers = answer.headers().clone();
    assert_eq!(headers["content-type"], "application/grpc");
    let collected = within(answer.into_body().collect()).await.unwrap();
    headers.extend(collected.trailers().cloned().unwrap_or_default());
    let text = |name: &str| {
        headers
            .get(name)
            .map(|text| text.to_str().unwrap().to_string())
    };
    Called {
        status: text("grpc-status").expect("a status"),
        text: text("grpc-message").unwrap_or_default(),
        details: text("grpc-status-details-bin"),
        message: collected.to_bytes().to_vec(),
    }
}

#[tokio::test]
async fn logs_come_over_grpc() {
    let source = start("", ROOM);
    for (encoding, body) in [
        ("identity", framed(0, PROTOBUF)),
        ("gzip", framed(1, &gzip(PROTOBUF))),
        ("gzip", framed(0, PROTOBUF)),
    ] {
        let called = call(&source, EXPORT, encoding, body).await;
        assert_eq!(called.status, "0", "{called:?}");
        assert_eq!(called.message, [0; 5], "an empty answer");
        assert_eq!(source.bodies(6).await[5], "bare");
    }
    assert_eq!(source.number("AppendBatchAcceptedCount"), 3);
    source.stop().await.unwrap();
}

/// A connection with TLS whose client offers these protocols, and the one that the source chose.
async fn encrypted(
    source: &RunningSource,
    protocols: &[&str],
) -> (TlsStream<TcpStream>, Option<String>) {
    let text = "ssl = true\ntrust-all-certs = true";
    let (config, _) = read::<TlsClientConfig>(&REGISTRY, "client", text);
    let cx = Context::new("client", &[]);
    let settings = config.unwrap().build(&cx).unwrap().expect("TLS");
    let mut config = (**settings.connector().unwrap().config()).clone();
    config.alpn_protocols = protocols
        .iter()
        .map(|name| name.as_bytes().into())
        .collect();
    let stream = TcpStream::connect(source.address().await).await.unwrap();
    let name = "localhost".try_into().unwrap();
    let connected = TlsConnector::from(Arc::new(config)).connect(name, stream);
    let stream = within(connected).await.unwrap();
    let chosen = stream.get_ref().1.alpn_protocol();
    let chosen = chosen.map(|name| String::from_utf8(name.to_vec()).unwrap());
    (stream, chosen)
}

/// Senders choose the version of HTTP while they agree on TLS.
#[tokio::test]
async fn logs_come_over_tls() {
    let stores = concat!(env!("CARGO_MANIFEST_DIR"), "/../keystore/tests/data");
    let text =
        format!("ssl = true\nkeystore = {stores}/server.pkcs12\nkeystore-password = storePassword");
    let source = start(&text, ROOM);
    let (stream, chosen) = encrypted(&source, &["h2", "http/1.1"]).await;
    assert_eq!(chosen.as_deref(), Some("h2"));
    let called = call_over(stream, EXPORT, "identity", framed(0, PROTOBUF)).await;
    assert_eq!(called.status, "0", "{called:?}");
    assert_eq!(source.bodies(6).await[5], "bare");
    let (mut stream, chosen) = encrypted(&source, &["http/1.1"]).await;
    assert_eq!(chosen.as_deref(), Some("http/1.1"));
    let head = format!(
        "POST /v1/logs HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        JSON.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(JSON).await.unwrap();
    let mut answer = vec![];
    // The source ends the connection without a farewell of TLS after `Connection: close`.
    let _ = within(stream.read_to_end(&mut answer)).await;
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{answer:?}");
    assert_eq!(source.bodies(6).await[5], "bare");
    source.stop().await.unwrap();
}

#[tokio::test]
async fn logs_come_over_http() {
    let source = start("", ROOM);
    let gzipped = gzip(PROTOBUF);
    for (headers, body, answer) in [
        ("Content-Type: application/x-protobuf\r\n", PROTOBUF, ""),
        (
            "Content-Type: application/x-protobuf\r\nContent-Encoding: gzip\r\n",
            &gzipped,
            "",
        ),
        (
            "Content-Type: application/json; charset=utf-8\r\n",
            JSON,
            "{}",
        ),
    ] {
        let (head, body) = post(&source, "/v1/logs", headers, body).await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert_eq!(body, answer.as_bytes());
        let events = source.take(6).await;
        assert_eq!(events[0].headers.get("service.name").unwrap(), "shop");
        assert_eq!(events[0].body, "it fäils");
    }
}

/// Larger than what is decoded at once on the thread of the connection. Messages of protobuf join by being joined.
#[tokio::test]
async fn a_large_request_is_one_request() {
    let times = (300 << 10) / PROTOBUF.len() + 1;
    let body = PROTOBUF.repeat(times);
    let source = start("", "capacity = 100000\ntransactionCapacity = 100000");
    for (encoding, body) in [
        ("identity", framed(0, &body)),
        ("gzip", framed(1, &gzip(&body))),
    ] {
        let called = call(&source, EXPORT, encoding, body).await;
        assert_eq!(called.status, "0", "{called:?}");
        assert_eq!(source.bodies(6 * times).await.len(), 6 * times);
    }
    let wrong = [&body[..], b"\xff"].concat();
    let called = call(&source, EXPORT, "identity", framed(0, &wrong)).await;
    assert_eq!(called.status, "3", "{called:?}");
    source.stop().await.unwrap();
}

#[tokio::test]
async fn a_full_channel_asks_the_sender_to_come_again() {
    let source = start("", SIX);
    let kind = "Content-Type: application/json\r\n";
    assert!(
        post(&source, "/v1/logs", kind, JSON)
            .await
            .0
            .contains(" 200 ")
    );
    let (head, body) = post(&source, "/v1/logs", kind, JSON).await;
    assert!(head.starts_with("HTTP/1.1 503"), "{head}");
    assert!(head.contains("retry-after: 1"), "{head}");
    let body = String::from_utf8(body).unwrap();
    assert!(
        body.contains("\"code\":14") && body.contains("is full"),
        "{body}"
    );
    let refused = call(&source, EXPORT, "identity", framed(0, PROTOBUF)).await;
    assert_eq!(refused.status, "14", "{refused:?}");
    assert!(refused.text.contains("is full"), "{refused:?}");
    assert!(refused.details.is_some(), "RetryInfo");
    source.take(6).await;
    let taken = call(&source, EXPORT, "identity", framed(0, PROTOBUF)).await;
    assert_eq!(taken.status, "0");
}

/// Larger requests than the channel takes at once come in parts; a record that never fits is rejected alone.
#[tokio::test]
async fn a_record_that_never_fits_is_rejected_alone() {
    let channel = "capacity = 1000\ntransactionCapacity = 2\nbyteCapacity = 700\n\
                   byteCapacityBufferPercentage = 0\nkeep-alive = 0";
    let source = start("", channel);
    let long = "x".repeat(1000);
    let record = |body: &str| format!(r#"{{"body":{{"stringValue":"{body}"}}}}"#);
    let records = [record("a"), record(&long), record("b")].join(",");
    let request = format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{records}]}}]}}]}}"#);
    let kind = "Content-Type: application/json\r\n";
    let (head, body) = post(&source, "/v1/logs", kind, request.as_bytes()).await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let body = String::from_utf8(body).unwrap();
    assert!(body.contains(r#""rejectedLogRecords":"1""#), "{body}");
    assert!(body.contains("can never fit"), "{body}");
    assert_eq!(source.bodies(2).await, ["a", "b"]);
}

#[tokio::test]
async fn what_is_no_request_for_logs_is_refused() {
    let source = start("maxRequestBytes = 2000", ROOM);
    let bomb = gzip(&[0; 5000]);
    let kind = "Content-Type: application/x-protobuf\r\n";
    let json = "Content-Type: application/json\r\n";
    for (path, headers, body, status) in [
        ("/v1/traces", kind, &b""[..], 404),
        ("/v1/logs", "Content-Type: text/plain\r\n", b"x", 415),
        ("/v1/logs", kind, b"\xff", 400),
        ("/v1/logs", json, b"[", 400),
        ("/v1/logs", kind, &[0; 3000], 413),
        (
            "/v1/logs",
            &format!("{kind}Content-Encoding: gzip\r\n"),
            &bomb,
            413,
        ),
        (
            "/v1/logs",
            &format!("{kind}Content-Encoding: gzip\r\n"),
            b"x",
            400,
        ),
        (
            "/v1/logs",
            &format!("{kind}Content-Encoding: br\r\n"),
            b"x",
            415,
        ),
    ] {
        let (head, _) = post(&source, path, headers, body).await;
        assert!(
            head.starts_with(&format!("HTTP/1.1 {status}")),
            "{path} {headers}: {head}"
        );
        assert!(!head.contains("retry-after"), "{head}");
    }
    let traces = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
    for (path, encoding, body, status) in [
        (traces, "identity", framed(0, b""), "12"),
        (EXPORT, "identity", framed(0, b"\xff"), "3"),
        (EXPORT, "identity", framed(2, b""), "3"),
        (EXPORT, "identity", b"\0\0".to_vec(), "3"),
        (EXPORT, "snappy", framed(1, b"x"), "12"),
        (EXPORT, "identity", vec![0; 3000], "8"),
    ] {
        let called = call(&source, path, encoding, body).await;
        assert_eq!(called.status, status, "{called:?}");
        assert!(
            called.details.is_some() && !called.text.is_empty(),
            "{called:?}"
        );
    }
    assert_eq!(
        source.number("EventReadFail"),
        13,
        "all but the unknown type"
    );
}

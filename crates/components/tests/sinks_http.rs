//! The http sink, and a web server that answers what a test tells it.

use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use flume_components::REGISTRY;
use flume_core::{Context, Delivered, Event, Sink, SinkError};
use flume_testkit::{
    parts::{build, events, try_build},
    sink_contract::SinkUnderTest,
};

/// What the server got, and what it will answer.
#[derive(Default)]
struct Exchanges {
    /// Bodies of the requests, in order.
    bodies: Vec<String>,
    /// Their `Content-Type` and `Accept`.
    types: Vec<String>,
    connections: usize,
    /// Statuses and bodies of the next answers; 200 without a body behind them.
    answers: VecDeque<(u16, String)>,
    /// What stands behind each answer and belongs to none.
    stray: &'static str,
    /// Closes the connection after each answer, without having said so.
    hangs_up: bool,
}

#[derive(Clone)]
struct Server {
    port: u16,
    exchanges: Arc<Mutex<Exchanges>>,
}

impl Server {
    fn start(answers: &[u16]) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let answers = answers.iter().map(|status| (*status, String::new()));
        let server = Server {
            port: listener.local_addr().unwrap().port(),
            exchanges: Arc::new(Mutex::new(Exchanges {
                answers: answers.collect(),
                ..Exchanges::default()
            })),
        };
        let serving = server.clone();
        thread::spawn(move || {
            for connection in listener.incoming() {
                let serving = serving.clone();
                thread::spawn(move || serving.serve(connection.unwrap()));
            }
        });
        server
    }

    fn serve(&self, mut connection: TcpStream) -> Option<()> {
        self.exchanges.lock().unwrap().connections += 1;
        let mut requests = BufReader::new(connection.try_clone().unwrap());
        loop {
            let head = head_of(&mut requests)?;
            let length = field(&head, "content-length").parse().unwrap_or(0);
            let mut body = vec![0; length];
            requests.read_exact(&mut body).ok()?;
            let mut exchanges = self.exchanges.lock().unwrap();
            exchanges.bodies.push(String::from_utf8(body).unwrap());
            let types = format!(
                "{} {}",
                field(&head, "content-type"),
                field(&head, "accept")
            );
            exchanges.types.push(types);
            let (status, body) = exchanges
                .answers
                .pop_front()
                .unwrap_or((200, String::new()));
            let answer = format!(
                "HTTP/1.1 {status} -\r\nContent-Length: {}\r\n\r\n{body}{}",
                body.len(),
                exchanges.stray
            );
            connection.write_all(answer.as_bytes()).ok()?;
            if exchanges.hangs_up {
                return None;
            }
        }
    }

    fn sink(&self, more: &str) -> Box<dyn Sink> {
        let text = format!("endpoint = http://127.0.0.1:{}/in\n{more}", self.port);
        build(
            &REGISTRY,
            "http",
            &text,
            &Context::new("a1.sinks.k1", &["c1"]),
        )
    }

    fn bodies(&self) -> Vec<String> {
        self.exchanges.lock().unwrap().bodies.clone()
    }
}

/// The lines of the next request's head.
fn head_of(requests: &mut impl BufRead) -> Option<Vec<String>> {
    let mut head = vec![];
    loop {
        let mut line = String::new();
        if requests.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => return Some(head),
            line => head.push(line.to_string()),
        }
    }
}

fn field(head: &[String], name: &str) -> String {
    let fields = head.iter().filter_map(|line| line.split_once(':'));
    let mut values = fields.filter(|(field, _)| field.eq_ignore_ascii_case(name));
    values
        .next()
        .map_or(String::new(), |(_, value)| value.trim().into())
}

/// Accepts what the server accepts.
const USUAL: &str = "rollback.2XX = false\nbackoff.2XX = false\nincrementMetrics.200 = true\n";

async fn deliver(sink: &mut Box<dyn Sink>, words: &str) -> Result<Delivered, SinkError> {
    sink.deliver(&events(words)).await
}

fn http() -> SinkUnderTest {
    let server = Server::start(&[]);
    SinkUnderTest {
        sink: server.sink(USUAL),
        cx: Context::new("a1.sinks.k1", &["c1"]),
        delivered: Some(Box::new(move || server.bodies())),
        holds: Box::new(()),
    }
}

mod contract {
    flume_testkit::sink_contract!(super::http);
}

#[tokio::test]
async fn the_status_decides_what_becomes_of_an_event() {
    const AGAIN: Option<bool> = None;
    let rows: &[(&str, u16, Option<bool>)] = &[
        // Settings, status, whether the sink pauses after what it keeps.
        ("", 200, AGAIN),
        (USUAL, 200, Some(false)),
        (USUAL, 204, Some(false)),
        (USUAL, 503, AGAIN),
        ("defaultRollback = false", 404, Some(true)),
        (
            "defaultRollback = false\ndefaultBackoff = false",
            404,
            Some(false),
        ),
        ("rollback.4XX = false\nrollback.404 = true", 404, AGAIN),
        (
            "rollback.4XX = false\nbackoff.4XX = false",
            400,
            Some(false),
        ),
        ("defaultRollback = false", 302, Some(true)),
    ];
    for (settings, status, expected) in rows {
        let server = Server::start(&[*status]);
        let delivered = deliver(&mut server.sink(settings), "a").await;
        let pauses = delivered.ok().map(|delivered| delivered.pause);
        assert_eq!(pauses, *expected, "{status} with {settings}");
        assert_eq!(server.bodies(), ["a"]);
    }
}

#[tokio::test]
async fn what_was_accepted_of_a_batch_is_not_sent_again() {
    let server = Server::start(&[200, 503]);
    server.exchanges.lock().unwrap().answers[1].1 = "too\nbusy".into();
    let delivered = deliver(&mut server.sink(USUAL), "a b c").await.unwrap();
    let kept = delivered.kept.expect("the rest");
    assert_eq!(kept.from, 1);
    let why = flume_core::with_causes(&kept.why);
    assert!(
        why.contains("answered 503 Service Unavailable: too\\nbusy"),
        "{why}"
    );
    assert_eq!(server.bodies(), ["a", "b"]);
}

#[tokio::test]
async fn the_headers_are_as_configured() {
    let server = Server::start(&[]);
    let mut sink = server.sink(&format!(
        "{USUAL}contentTypeHeader = application/json\nacceptHeader = */*"
    ));
    deliver(&mut sink, "a").await.unwrap();
    assert_eq!(
        server.exchanges.lock().unwrap().types,
        ["application/json */*"]
    );
}

#[tokio::test]
async fn a_connection_is_used_again_and_replaced_when_the_server_has_closed_it() {
    for hangs_up in [false, true] {
        let server = Server::start(&[]);
        server.exchanges.lock().unwrap().hangs_up = hangs_up;
        let mut sink = server.sink(USUAL);
        for word in ["a", "b", "c"] {
            deliver(&mut sink, word).await.unwrap();
        }
        assert_eq!(server.bodies(), ["a", "b", "c"]);
        let connections = server.exchanges.lock().unwrap().connections;
        assert_eq!(connections, if hangs_up { 3 } else { 1 });
    }
}

#[tokio::test]
async fn an_answer_counts_whatever_follows_it() {
    let server = Server::start(&[]);
    server.exchanges.lock().unwrap().stray = "HTTP/1.0 what";
    let mut sink = server.sink(USUAL);
    for word in ["a", "b", "c"] {
        deliver(&mut sink, word).await.unwrap();
    }
    assert_eq!(server.bodies(), ["a", "b", "c"]);
}

#[tokio::test]
async fn a_long_answer_is_an_answer() {
    let server = Server::start(&[200]);
    server.exchanges.lock().unwrap().answers[0].1 = "x".repeat(1 << 20);
    let mut sink = server.sink(USUAL);
    deliver(&mut sink, "a").await.unwrap();
    deliver(&mut sink, "b").await.unwrap();
    assert_eq!(server.bodies(), ["a", "b"]);
}

#[tokio::test]
async fn nobody_listens() {
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let text = format!("endpoint = http://user:secret@127.0.0.1:{port}/in");
    let cx = Context::new("a1.sinks.k1", &["c1"]);
    let mut sink: Box<dyn Sink> = build(&REGISTRY, "http", &text, &cx);
    let error = deliver(&mut sink, "a").await.unwrap_err();
    let said = flume_core::with_causes(&error);
    assert!(
        said.contains("refused") && !said.contains("secret"),
        "{said}"
    );
}

#[tokio::test]
async fn an_event_without_a_body_is_left_out() {
    let server = Server::start(&[]);
    let mut sink = server.sink(USUAL);
    sink.deliver(&[Event::default()]).await.unwrap();
    assert!(server.bodies().is_empty());
}

#[test]
fn what_cannot_be_meant_is_said() {
    let server = Server::start(&[]);
    let remarks = |settings: &str| -> Vec<String> {
        let remarks = server.sink(settings).remarks(&|_| true);
        remarks.into_iter().map(|remark| remark.key).collect()
    };
    assert_eq!(remarks(""), ["rollback.200"]);
    assert_eq!(
        remarks("rollback.2xx = false"),
        ["rollback.2xx", "rollback.200"]
    );
    assert_eq!(remarks(USUAL), [""; 0]);
    let cx = Context::new("a1.sinks.k1", &["c1"]);
    for (text, key) in [
        ("endpoint = nowhere", "endpoint"),
        ("endpoint = ftp://h/", "endpoint"),
        ("endpoint = http://h/\nconnectTimeout = 0", "connectTimeout"),
        ("endpoint = http://h/\nrequestTimeout = 0", "requestTimeout"),
    ] {
        let built = try_build::<dyn Sink>(&REGISTRY, "http", text, &cx);
        assert_eq!(built.err().expect(text).key, key);
    }
}

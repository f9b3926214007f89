//! What clients of the HTTP server may do, and what they may not.

use std::time::Duration;

use bytes::Bytes;
use flume_core::{Phase, Stop, Switch, metrics::Gauge};
use flume_net::{
    Listener, ListenerSettings,
    http::{BodyError, HttpLimits, Incoming, Request, Response, StatusCode, read_body, serve},
};
use flume_testkit::source::within;
use http_body_util::Full;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
};

const MAX_CONNECTIONS: usize = 4;

struct EchoServer {
    port: u16,
    open_connections: Gauge,
    switch: Switch,
    task: JoinHandle<()>,
}

impl EchoServer {
    async fn start(limits: HttpLimits) -> EchoServer {
        EchoServer::start_with(limits, move |request| answer(request, limits)).await
    }

    async fn start_with<H, F>(limits: HttpLimits, answer: H) -> EchoServer
    where
        H: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
        F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
    {
        let settings = ListenerSettings::plain(MAX_CONNECTIONS);
        let open_connections = settings.open_connections.clone();
        let listener = Listener::bind("127.0.0.1", 0, &settings)
            .await
            .expect("bound");
        let port = listener.address().expect("an address").port();
        let (switch, stop) = Stop::new();
        let task = tokio::spawn(async move { serve(listener, &stop, limits, answer).await });
        EchoServer {
            port,
            open_connections,
            switch,
            task,
        }
    }

    async fn connect(&self) -> TcpStream {
        within(TcpStream::connect(("127.0.0.1", self.port)))
            .await
            .expect("connected")
    }

    /// Everything that comes back until the server closes.
    async fn exchange(&self, sent: &[u8]) -> String {
        let mut stream = self.connect().await;
        // The server may have closed before it has everything.
        let _ = stream.write_all(sent).await;
        let mut received = vec![];
        let _ = within(stream.read_to_end(&mut received)).await;
        String::from_utf8_lossy(&received).into_owned()
    }

    /// Without a wait for clients that do not read.
    async fn stop_now(self) {
        self.task.abort();
    }

    async fn stop(self) {
        self.switch.turn(Phase::Halt);
        within(self.task).await.expect("no panic");
    }
}

async fn answer(request: Request<Incoming>, limits: HttpLimits) -> Response<Full<Bytes>> {
    let (status, body) = match read_body(request.into_body(), limits).await {
        Ok(body) => (StatusCode::OK, body),
        Err(BodyError::TooLarge(_)) => (StatusCode::PAYLOAD_TOO_LARGE, Bytes::new()),
        Err(BodyError::TooSlow(_)) => (StatusCode::REQUEST_TIMEOUT, Bytes::new()),
        Err(BodyError::Broken(_)) => (StatusCode::BAD_REQUEST, Bytes::new()),
    };
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response
}

const LIMITS: HttpLimits = HttpLimits {
    header_timeout: Duration::from_millis(200),
    max_header_bytes: 8192,
    body_timeout: Duration::from_millis(200),
    max_body_bytes: 100,
    write_timeout: Duration::from_millis(200),
    make_room: false,
    http2: false,
};

const REQUEST: &str = "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n";

#[tokio::test]
async fn silent_clients_do_not_keep_others_out() {
    let server = EchoServer::start(LIMITS).await;
    let mut silent = vec![];
    for number in 0..10 * MAX_CONNECTIONS {
        let mut stream = server.connect().await;
        if number % 2 == 0 {
            stream
                .write_all(b"GET / HTTP/1.1\r\nX-Slow: ")
                .await
                .expect("sent");
        }
        silent.push(stream);
        assert!(server.open_connections.get() <= MAX_CONNECTIONS as u64);
    }
    let request = format!("{REQUEST}Content-Length: 4\r\n\r\nbody");
    let answer = server.exchange(request.as_bytes()).await;
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.ends_with("body"),
        "{answer}"
    );
    server.stop().await;
}

#[tokio::test]
async fn silent_clients_have_their_time_in_each_version() {
    let server = EchoServer::start(HttpLimits {
        http2: true,
        ..LIMITS
    })
    .await;
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let settings = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
    let begun_headers = &[0, 0, 99, 1, 4, 0, 0, 0, 1, 0x82];
    for sent in [
        &b""[..],
        b"PRI * HT",
        b"GET / HTTP/1.1\r\nX-Slow: ",
        preface,
        &[&preface[..], settings].concat(),
        &[&preface[..], settings, begun_headers].concat(),
    ] {
        // Returns when the server closes.
        server.exchange(sent).await;
    }
    let request = format!("{REQUEST}Content-Length: 4\r\n\r\nbody");
    let answer = server.exchange(request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    server.stop().await;
}

#[tokio::test]
async fn headers_and_bodies_have_limits() {
    let generous = HttpLimits {
        header_timeout: Duration::from_secs(60),
        ..LIMITS
    };
    let server = EchoServer::start(generous).await;
    let check = async |sent: String, expected: &str| {
        let answer = server.exchange(sent.as_bytes()).await;
        assert!(answer.starts_with(expected), "{answer}");
    };
    check(
        format!("{REQUEST}X-Long: {}\r\n\r\n", "x".repeat(20_000)),
        "HTTP/1.1 431",
    )
    .await;
    let long = "x".repeat(101);
    check(
        format!("{REQUEST}Content-Length: 101\r\n\r\n{long}"),
        "HTTP/1.1 413",
    )
    .await;
    check(
        format!("{REQUEST}Content-Length: 10\r\n\r\nslow"),
        "HTTP/1.1 408",
    )
    .await;
    check("no request at all\r\n\r\n".into(), "HTTP/1.1 400").await;
    server.stop().await;
}

#[tokio::test]
async fn a_stop_closes_idle_connections() {
    let server = EchoServer::start(HttpLimits::default()).await;
    let mut idle = server.connect().await;
    let request = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nok";
    idle.write_all(request.as_bytes()).await.expect("sent");
    let mut first = [0; 12];
    within(idle.read_exact(&mut first))
        .await
        .expect("an answer");
    server.stop().await;
    let mut rest = vec![];
    within(idle.read_to_end(&mut rest)).await.expect("closed");
}

const LAST_REQUEST: &str = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";

/// A client that asks for much and reads nothing loses its connection; one that does nothing makes room for others.
#[tokio::test]
async fn clients_that_do_not_read_keep_nobody_out() {
    let limits = HttpLimits {
        header_timeout: Duration::from_secs(60),
        write_timeout: Duration::from_secs(60),
        make_room: true,
        ..LIMITS
    };
    let server = start_large(limits).await;
    let mut idle = vec![];
    for number in 0..3 * MAX_CONNECTIONS {
        let mut stream = server.connect().await;
        // Half of them say nothing at all.
        if number % 2 == 0 {
            let request = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
            let _ = stream.write_all(request.as_bytes()).await;
        }
        idle.push(stream);
        let answer = server.exchange(LAST_REQUEST.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{number}: {answer:.80}");
        assert!(server.open_connections.get() <= MAX_CONNECTIONS as u64);
    }
    server.stop_now().await;
}

#[tokio::test]
async fn an_answer_that_is_not_read_has_its_time() {
    let limits = HttpLimits {
        header_timeout: Duration::from_secs(60),
        ..LIMITS
    };
    let server = start_large(limits).await;
    let mut stuck = vec![];
    for _ in 0..MAX_CONNECTIONS {
        let mut stream = server.connect().await;
        let request = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
        stream.write_all(request.as_bytes()).await.expect("sent");
        stuck.push(stream);
    }
    let answer = server.exchange(LAST_REQUEST.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer:.80}");
    server.stop_now().await;
}

/// More than the buffers of a connection take.
const LARGE_BYTES: usize = 16 << 20;

async fn start_large(limits: HttpLimits) -> EchoServer {
    EchoServer::start_with(limits, |_| async {
        Response::new(Full::new(Bytes::from(vec![b'x'; LARGE_BYTES])))
    })
    .await
}

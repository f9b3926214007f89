//! Listener and dialer with each other: limits, address filter, TLS, the end.

use std::{io, sync::Arc, time::Duration};

use flume_core::{Context, Phase, Registry, Stop, Switch};
use flume_net::{Connection, Dialer, DialerConfig, Listener, ListenerConfig, ListenerSettings};
use flume_testkit::{parts::read, source::within};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Semaphore,
    task::{JoinHandle, JoinSet},
};

const STORES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../keystore/tests/data");

/// A listener that echoes until the client closes or a stop is requested.
struct Echo {
    port: u16,
    switch: Switch,
    task: JoinHandle<()>,
}

impl Echo {
    async fn start(properties: &str) -> Echo {
        let cx = Context::new("a1.sources.r1", &[]);
        let (config, problems) = read::<ListenerConfig>(&Registry::EMPTY, &cx.name, properties);
        assert_eq!(problems, [""; 0]);
        let settings = config.expect("a configuration").build(&cx).expect("built");
        Echo::serve(&settings).await
    }

    async fn serve(settings: &ListenerSettings) -> Echo {
        let listener = Listener::bind("localhost", 0, settings)
            .await
            .expect("bound");
        let port = listener.address().expect("an address").port();
        let (switch, stop) = Stop::new();
        let task = tokio::spawn(async move {
            let echoes = stop.clone();
            let echo = move |connection| echo(connection, echoes.clone());
            listener.serve(&stop, echo).await;
        });
        Echo { port, switch, task }
    }

    async fn stop(self) {
        self.switch.turn(Phase::Halt);
        within(self.task).await.expect("no panic");
    }
}

/// By the calls that sources use.
async fn echo(mut connection: Connection, stop: Stop) {
    let mut echoed = async || -> io::Result<()> {
        loop {
            connection.readable().await?;
            let mut received = Vec::with_capacity(1 << 10);
            match connection.try_read(&mut received) {
                Ok(0) => return connection.farewell().await,
                Ok(_) => connection.write_all(&received).await?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            connection.flush().await?;
        }
    };
    tokio::select! {
        _ = echoed() => {}
        () = stop.requested() => {}
    }
}

fn dialer(port: u16, properties: &str) -> Dialer {
    let cx = Context::new("a1.sinks.k1", &[]);
    let (config, problems) = read::<DialerConfig>(&Registry::EMPTY, &cx.name, properties);
    assert_eq!(problems, [""; 0]);
    let config = config.expect("a configuration");
    config.build("localhost", port, &cx).expect("built")
}

/// What comes back for a megabyte, read whole.
async fn round_trip(port: u16, properties: &str) -> io::Result<()> {
    let mut connection = within(dialer(port, properties).connect()).await?;
    let sent: Vec<u8> = (0..1u32 << 18).flat_map(u32::to_be_bytes).collect();
    let mut received = vec![];
    let (mut from, mut to) = tokio::io::split(&mut connection);
    let write = async {
        to.write_all(&sent).await?;
        to.shutdown().await
    };
    let (written, read) =
        within(async { tokio::join!(write, from.read_to_end(&mut received)) }).await;
    written?;
    read?;
    assert!(received == sent, "{} bytes came back", received.len());
    Ok(())
}

fn server(store: &str) -> String {
    format!("ssl = true\nkeystore = {STORES}/{store}\nkeystore-password = storePassword")
}

fn client(store: &str) -> String {
    format!("ssl = true\ntruststore = {STORES}/{store}\ntruststore-password = storePassword")
}

#[tokio::test]
async fn bytes_come_back_with_and_without_tls() {
    let plain = Echo::start("").await;
    round_trip(plain.port, "").await.expect("a round trip");
    plain.stop().await;
    for (store, trust) in [("rsa.jks", "rsa.jks"), ("server.pkcs12", "trust.pkcs12")] {
        let echo = Echo::start(&server(store)).await;
        round_trip(echo.port, &client(trust))
            .await
            .expect("a round trip");
        let verified = format!("{}\nverify-hostname = true", client(trust));
        round_trip(echo.port, &verified)
            .await
            .expect("for localhost");
        let all = "ssl = true\ntrust-all-certs = true";
        round_trip(echo.port, all).await.expect("a round trip");
        let stranger = round_trip(echo.port, &client("trust.jks")).await;
        stranger.expect_err("a certificate that nobody vouches for");
        echo.stop().await;
    }
}

#[tokio::test]
async fn protocols_have_to_meet() {
    let old = Echo::start(&format!(
        "{}\nexclude-protocols = TLSv1.3",
        server("rsa.jks")
    ))
    .await;
    round_trip(old.port, &client("rsa.jks"))
        .await
        .expect("by TLS 1.2");
    let new = format!("{}\ninclude-protocols = TLSv1.3", client("rsa.jks"));
    round_trip(old.port, &new)
        .await
        .expect_err("no protocol in common");
    old.stop().await;
}

#[tokio::test]
async fn a_client_that_is_refused_gets_nothing() {
    let echo = Echo::start("ipFilter = true\nipFilterRules = deny:ip:127.*,deny:ip:0:0:*").await;
    let mut connection = within(dialer(echo.port, "").connect())
        .await
        .expect("connected");
    let mut received = vec![];
    let _ = within(connection.read_to_end(&mut received)).await;
    assert!(received.is_empty());
    echo.stop().await;
}

/// Clients of sources must leave descriptors to whoever asks the agent what is going on.
#[tokio::test]
async fn listeners_that_share_a_limit_wait_for_each_other_and_leave_the_rest_alone() {
    let shared = ListenerSettings {
        shared_room: Some(Arc::new(Semaphore::new(2))),
        ..ListenerSettings::plain(10)
    };
    let first = Echo::serve(&shared).await;
    let second = Echo::serve(&shared).await;
    let apart = Echo::serve(&ListenerSettings::plain(10)).await;
    let connect = async |echo: &Echo| {
        let mut stream = within(TcpStream::connect(("localhost", echo.port)))
            .await
            .expect("connected");
        stream.write_all(b"x").await.expect("sent");
        stream
    };
    let answer = async |stream: &mut TcpStream| within(stream.read_u8()).await.expect("echoed");
    let mut held = [connect(&first).await, connect(&second).await];
    for stream in &mut held {
        answer(stream).await;
    }
    let mut waiting = connect(&second).await;
    answer(&mut connect(&apart).await).await;
    let early = tokio::time::timeout(Duration::from_millis(200), waiting.read_u8()).await;
    assert!(early.is_err(), "{early:?}");
    let [one, other] = held;
    drop(one);
    answer(&mut waiting).await;
    drop((other, waiting));
    for echo in [first, second, apart] {
        echo.stop().await;
    }
}

/// Of all the listeners that wait for one place, one gets it when it becomes free.
#[tokio::test]
async fn a_place_that_becomes_free_is_taken_once() {
    let shared = ListenerSettings {
        shared_room: Some(Arc::new(Semaphore::new(1))),
        ..ListenerSettings::plain(10)
    };
    let mut echoes = vec![];
    for _ in 0..5 {
        echoes.push(Echo::serve(&shared).await);
    }
    let connect = async |echo: &Echo| {
        let mut stream = within(TcpStream::connect(("localhost", echo.port)))
            .await
            .expect("connected");
        stream.write_all(b"x").await.expect("sent");
        stream
    };
    let mut served = connect(&echoes[0]).await;
    within(served.read_u8()).await.expect("echoed");
    let mut answered = JoinSet::new();
    for echo in echoes.iter().chain(&echoes) {
        let mut stream = connect(echo).await;
        answered.spawn(async move {
            stream.read_u8().await.expect("echoed");
            stream
        });
    }
    while !answered.is_empty() {
        let early = tokio::time::timeout(Duration::from_millis(50), answered.join_next()).await;
        assert!(early.is_err(), "two have the only place");
        drop(served);
        let next = within(answered.join_next()).await.expect("one waits");
        served = next.expect("no panic");
    }
    drop(served);
    for echo in echoes {
        echo.stop().await;
    }
}

#[tokio::test]
async fn a_silent_client_does_not_keep_a_listener_from_stopping() {
    let echo = Echo::start(&server("rsa.jks")).await;
    let _silent = within(dialer(echo.port, "").connect())
        .await
        .expect("connected");
    round_trip(echo.port, &client("rsa.jks"))
        .await
        .expect("others are served");
    echo.stop().await;
}

#[tokio::test]
async fn limits_of_time_are_kept() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("bound");
    let port = silent.local_addr().expect("an address").port();
    let mut dialer = dialer(port, "ssl = true");
    dialer.host = "127.0.0.1".into();
    dialer.connect_timeout = Duration::from_millis(50);
    let error = within(dialer.connect())
        .await
        .err()
        .expect("nobody shakes hands");
    assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
    dialer.request_timeout = Duration::from_millis(50);
    let request = dialer.request(std::future::pending::<io::Result<()>>());
    let error = within(request).await.expect_err("no answer");
    assert_eq!(error.to_string(), "no answer within 50ms");
}

//! `netcatudp`: datagrams become events.

use std::net::SocketAddr;

use flume_components::REGISTRY;
use flume_testkit::source::RunningSource;
use tokio::net::UdpSocket;

/// Sends a datagram; from where it was sent.
async fn send(source: &RunningSource, datagram: &[u8]) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let port = source.address().await.port();
    socket.send_to(datagram, ("127.0.0.1", port)).await.unwrap();
    socket.local_addr().unwrap()
}

#[tokio::test]
async fn a_datagram_is_an_event_up_to_its_first_line_feed() {
    let source = RunningSource::start(&REGISTRY, "netcatudp", "bind = localhost\nport = 0");
    let large = [b'x'; 5000];
    let cases: [(&[u8], &[u8]); 5] = [
        (b"line\nrest\n", b"line"),
        (b"no end", b"no end"),
        (b"", b""),
        (b"cr\r\n", b"cr\r"),
        (&large, &large),
    ];
    for (datagram, body) in cases {
        send(&source, datagram).await;
        let event = source.take(1).await.remove(0);
        assert_eq!(event.body, body);
        assert!(event.headers.is_empty());
    }
    source.stop().await.unwrap();
}

#[tokio::test]
async fn the_sender_can_be_a_header() {
    for key in ["remoteAddress", "bind = 127.0.0.1\nremoteAddress"] {
        let source =
            RunningSource::start(&REGISTRY, "netcatudp", &format!("port = 0\n{key} = from"));
        let sender = send(&source, b"a").await;
        let event = source.take(1).await.remove(0);
        assert_eq!(
            event.headers.get("from").unwrap(),
            &format!("/127.0.0.1:{}", sender.port())
        );
        source.stop().await.unwrap();
    }
}

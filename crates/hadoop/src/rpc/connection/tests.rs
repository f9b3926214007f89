//! Connections to a server that says what it is told.

use tokio::net::TcpListener;

use super::*;
use crate::rpc::{
    frame::tests::{answer, exception},
    messages::{GetFileInfoRequest, SaslAuth},
};

fn settings(user: RpcUser) -> ConnectionSettings {
    let demands = SaslDemands {
        protection: vec![Protection::Authentication],
        ..SaslDemands::default()
    };
    ConnectionSettings {
        user,
        proxy_user: Some("carol".into()),
        demands,
        client_id: [7; 16],
    }
}

/// A server that sends this once it has read so many bytes, and hangs up.
async fn server(reads: usize, says: Vec<u8>) -> NameNode {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.read_exact(&mut vec![0; reads]).await.unwrap();
        stream.write_all(&says).await.unwrap();
        // So that hanging up does not reset what was sent.
        let _ =
            tokio::time::timeout(Duration::from_millis(200), stream.read_to_end(&mut vec![])).await;
    });
    NameNode {
        host: "127.0.0.1".into(),
        port,
    }
}

async fn ask(namenode: NameNode, user: RpcUser, seconds: u64) -> Result<Bytes, RpcError> {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    let mut connection = RpcConnection::open(&namenode, settings(user), deadline).await?;
    connection
        .call(
            "getFileInfo",
            &GetFileInfoRequest { path: "/".into() },
            deadline,
        )
        .await
}

fn simple() -> RpcUser {
    RpcUser::Simple("flume".into())
}

#[tokio::test]
async fn an_answer_is_that_of_the_call() {
    let says = [answer(7, b"another's"), answer(0, b"ours")].concat();
    assert_eq!(
        ask(server(7, says).await, simple(), 10).await.unwrap(),
        &b"ours"[..]
    );
}

#[tokio::test]
async fn a_refused_context_is_the_answer_to_the_call() {
    let says = exception(
        frame::CONTEXT_CALL,
        "a.AuthorizationException",
        "User: flume is not allowed to impersonate carol",
    );
    match ask(server(7, says).await, simple(), 10).await {
        Err(RpcError::Remote { class, message }) => {
            assert_eq!(
                (&*class, &*message),
                (
                    "a.AuthorizationException",
                    "User: flume is not allowed to impersonate carol"
                )
            );
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_is_no_namenode_is_said() {
    let http = b"HTTP/1.1 404 Not Found\r\n\r\n".to_vec();
    assert!(matches!(
        ask(server(7, http).await, simple(), 10).await,
        Err(RpcError::Protocol(_))
    ));
    assert!(matches!(
        ask(server(7, vec![]).await, simple(), 10).await,
        Err(RpcError::Network(_))
    ));
    let nobody = NameNode {
        host: "127.0.0.1".into(),
        port: 1,
    };
    assert!(matches!(
        ask(nobody, simple(), 10).await,
        Err(RpcError::Network(_))
    ));
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_has_a_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let namenode = NameNode {
        host: "127.0.0.1".into(),
        port: listener.local_addr().unwrap().port(),
    };
    assert!(matches!(
        ask(namenode, RpcUser::Tickets, 5).await,
        Err(RpcError::TimedOut(5))
    ));
}

#[tokio::test]
async fn a_server_without_kerberos_is_refused() {
    let simple = Sasl {
        state: state::NEGOTIATE,
        auths: vec![SaslAuth {
            method: "SIMPLE".into(),
            ..SaslAuth::default()
        }],
        ..Sasl::default()
    };
    let says = answer(frame::SASL_CALL, &simple.encode_length_delimited_to_vec());
    assert!(matches!(
        ask(server(7, says).await, RpcUser::Tickets, 10).await,
        Err(RpcError::Negotiation(_))
    ));
}

//! Many calls at once on one connection. A task owns the connection; answers come in any order and find their call by
//! its id.

use std::{collections::HashMap, io};

use prost::bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::{RpcConnection, RpcError, frame::RpcAnswer};

/// Calls that wait to be sent. More wait for room here.
const MAX_QUEUED_CALLS: usize = 64;

type Reply = oneshot::Sender<Result<Bytes, RpcError>>;

/// A connection that many callers share. It ends with its last handle, and with the first error of the connection,
/// which every call under way gets.
pub struct RpcMux {
    calls: mpsc::Sender<QueuedCall>,
}

struct QueuedCall {
    id: i32,
    retries: i32,
    method: &'static str,
    request: Bytes,
    reply: Reply,
}

impl RpcMux {
    /// Starts the connection's task on the runtime of the caller.
    pub fn start(connection: RpcConnection) -> RpcMux {
        let (calls, queue) = mpsc::channel(MAX_QUEUED_CALLS);
        tokio::spawn(serve(connection, queue));
        RpcMux { calls }
    }

    /// Whether calls can still be made.
    pub fn is_open(&self) -> bool {
        !self.calls.is_closed()
    }

    /// Calls a method; `request` is preceded by its length. The caller sets the time limit.
    ///
    /// # Errors
    /// The server's exception; the end of the connection.
    pub async fn call(
        &self,
        id: i32,
        retries: i32,
        method: &'static str,
        request: Bytes,
    ) -> Result<Bytes, RpcError> {
        let (reply, answer) = oneshot::channel();
        let call = QueuedCall {
            id,
            retries,
            method,
            request,
            reply,
        };
        let gone = || RpcError::Network(ended());
        self.calls.send(call).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

async fn serve(mut connection: RpcConnection, mut queue: mpsc::Receiver<QueuedCall>) {
    let mut waiting: HashMap<i32, Reply> = HashMap::new();
    let error = loop {
        tokio::select! {
            call = queue.recv() => {
                let Some(QueuedCall { id, retries, method, request, reply }) = call else { return };
                waiting.retain(|_, reply| !reply.is_closed());
                waiting.insert(id, reply);
                let frame = connection.call_frame(id, retries, method, &request);
                if let Err(error) = connection.send(&frame).await {
                    break error;
                }
            }
            answer = connection.receive() => match answer {
                Err(error) => break error,
                Ok(answer) => {
                    if let Some(error) = settle(&mut waiting, answer) {
                        break error;
                    }
                }
            }
        }
    };
    queue.close();
    while let Some(call) = queue.recv().await {
        waiting.insert(call.id, call.reply);
    }
    for (_, reply) in waiting {
        let _ = reply.send(Err(copy(&error)));
    }
}

/// Gives an answer to its call. An error ends the connection.
fn settle(waiting: &mut HashMap<i32, Reply>, answer: RpcAnswer) -> Option<RpcError> {
    let fatal = answer.fatal;
    let about_connection = answer.call_id < 0;
    match (waiting.remove(&answer.call_id), answer.body()) {
        (_, Err(error)) if fatal || about_connection => Some(error),
        (Some(reply), body) => {
            let _ = reply.send(body);
            None
        }
        // Nobody waits for it any more.
        (None, _) => None,
    }
}

fn ended() -> io::Error {
    io::Error::new(
        io::ErrorKind::ConnectionAborted,
        "the connection to the NameNode has ended",
    )
}

/// The same error for each call.
fn copy(error: &RpcError) -> RpcError {
    match error {
        RpcError::Network(error) => {
            RpcError::Network(io::Error::new(error.kind(), error.to_string()))
        }
        RpcError::Remote { class, message } => RpcError::Remote {
            class: class.clone(),
            message: message.clone(),
        },
        RpcError::Protocol(text) => RpcError::Protocol(text.clone()),
        RpcError::Kerberos(error) => RpcError::Kerberos(error.clone()),
        RpcError::Negotiation(refusal) => RpcError::Negotiation(refusal.clone()),
        RpcError::TimedOut(seconds) => RpcError::TimedOut(*seconds),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
        time::Instant,
    };

    use super::*;
    use crate::{
        conf::NameNode,
        rpc::{ConnectionSettings, RpcUser, frame::tests::answer, sasl::SaslDemands},
    };

    /// A connection to a server that sends this after the first byte of a call, and hangs up.
    async fn mux(says: Vec<u8>) -> RpcMux {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.read_exact(&mut [0; 8]).await.unwrap();
            stream.write_all(&says).await.unwrap();
            let wait = Duration::from_millis(300);
            let _ = tokio::time::timeout(wait, stream.read_to_end(&mut vec![])).await;
        });
        let namenode = NameNode {
            host: "127.0.0.1".into(),
            port,
        };
        let settings = ConnectionSettings {
            user: RpcUser::Simple("flume".into()),
            proxy_user: None,
            demands: SaslDemands::default(),
            client_id: [7; 16],
        };
        let deadline = Instant::now() + Duration::from_secs(30);
        RpcMux::start(
            RpcConnection::open(&namenode, settings, deadline)
                .await
                .unwrap(),
        )
    }

    #[tokio::test]
    async fn answers_find_their_calls_in_any_order_and_the_end_finds_the_rest() {
        let mux = mux([
            answer(3, b"three"),
            answer(9, b"nobody's"),
            answer(1, b"one"),
        ]
        .concat())
        .await;
        let call = |id| mux.call(id, 0, "m", Bytes::from_static(&[0]));
        let (one, two, three) = tokio::join!(call(1), call(2), call(3));
        assert_eq!(one.unwrap(), &b"one"[..]);
        assert_eq!(three.unwrap(), &b"three"[..]);
        assert!(matches!(two, Err(RpcError::Network(_))));
        assert!(matches!(call(4).await, Err(RpcError::Network(_))));
        assert!(!mux.is_open());
    }
}

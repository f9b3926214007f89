//! The NameNodes of a cluster as one service: one connection to each at most, shared by all files of a client.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI32, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use flume_kerberos::Identity;
use prost::{Message, bytes::Bytes};
use tokio::{
    runtime::Handle,
    sync::Mutex,
    time::{Instant, sleep, timeout_at},
};

use super::exceptions::{CallVerdict, decide};
use crate::{
    conf::{ClientSettings, NameNode},
    probe::connect_as,
    rpc::{RpcError, RpcMux},
};

/// A NameNode that takes longer to answer is asked last; the call goes to the next one.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// The same for a connection with all that belongs to it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The NameNodes that a client calls, as one user.
pub struct NameNodes {
    addresses: Vec<NameNode>,
    identity: Identity,
    client: ClientSettings,
    client_id: [u8; 16],
    next_call: AtomicI32,
    /// One connection for each address.
    connections: Vec<Mutex<Option<Arc<RpcMux>>>>,
    /// Who answered last.
    active: AtomicUsize,
    /// Where connections live.
    runtime: Handle,
}

impl NameNodes {
    /// Asks nobody yet. Connections are served by `runtime`.
    pub fn new(
        addresses: Vec<NameNode>,
        identity: Identity,
        client: ClientSettings,
        runtime: Handle,
    ) -> NameNodes {
        NameNodes {
            connections: addresses.iter().map(|_| Mutex::default()).collect(),
            addresses,
            identity,
            client,
            client_id: fastrand::u128(..).to_be_bytes(),
            next_call: AtomicI32::new(0),
            active: AtomicUsize::new(0),
            runtime,
        }
    }

    /// Calls a method until it is answered. A call that is sent again keeps its id, so that the NameNode does it once.
    ///
    /// # Errors
    /// The NameNode's refusal; at `deadline` the last thing that stood in the way.
    pub async fn call<M: Message + Default>(
        &self,
        method: &'static str,
        request: &impl Message,
        deadline: Instant,
    ) -> Result<M, RpcError> {
        let request = Bytes::from(request.encode_length_delimited_to_vec());
        let id = self.next_call.fetch_add(1, Relaxed) & i32::MAX;
        let count = self.addresses.len().max(1);
        let mut tries = 0;
        let mut at = self.active.load(Relaxed);
        loop {
            let start = Instant::now();
            let limit = deadline.min(start + ANSWER_TIMEOUT);
            let call = self.ask(at, id, tries, method, request.clone());
            let error = match timeout_at(limit, call).await {
                Ok(Ok(body)) => {
                    self.active.store(at, Relaxed);
                    return M::decode_length_delimited(body)
                        .map_err(|error| RpcError::protocol(error.to_string()));
                }
                Ok(Err(error)) => error,
                Err(_) => {
                    self.hang_up(at).await;
                    RpcError::timed_out(start.elapsed())
                }
            };
            tries += 1;
            let pause = match decide(&error, tries.cast_unsigned()) {
                CallVerdict::Fail => return Err(error),
                CallVerdict::Again(pause) => pause,
                CallVerdict::Reconnect => {
                    self.hang_up(at).await;
                    Duration::ZERO
                }
                CallVerdict::Next(pause) => {
                    at = (at + 1) % count;
                    // Each is asked once before anybody waits.
                    if (tries.cast_unsigned() as usize).is_multiple_of(count) {
                        pause
                    } else {
                        Duration::ZERO
                    }
                }
            };
            // Clients that lost the same NameNode must not come back in step.
            let pause = pause.mul_f64(0.75 + 0.5 * fastrand::f64());
            if Instant::now() + pause >= deadline {
                return Err(error);
            }
            sleep(pause).await;
        }
    }

    async fn ask(
        &self,
        at: usize,
        id: i32,
        retries: i32,
        method: &'static str,
        request: Bytes,
    ) -> Result<Bytes, RpcError> {
        let connection = self.connection(at).await?;
        connection.call(id, retries, method, request).await
    }

    async fn connection(&self, at: usize) -> Result<Arc<RpcMux>, RpcError> {
        let (Some(seat), Some(address)) = (self.connections.get(at), self.addresses.get(at)) else {
            return Err(RpcError::protocol("a cluster without NameNodes"));
        };
        let mut seat = seat.lock().await;
        if let Some(open) = seat.as_ref().filter(|open| open.is_open()) {
            return Ok(open.clone());
        }
        let address = address.clone();
        let identity = self.identity.clone();
        let client = self.client.clone();
        let client_id = self.client_id;
        // On the client's own threads: the caller's may end before the connection does.
        let opened = self.runtime.spawn(async move {
            let connection =
                connect_as(&address, &identity, &client, client_id, CONNECT_TIMEOUT).await?;
            Ok::<_, RpcError>(Arc::new(RpcMux::start(connection)))
        });
        let opened = opened
            .await
            .map_err(|error| RpcError::protocol(error.to_string()))??;
        *seat = Some(opened.clone());
        Ok(opened)
    }

    /// Forgets a connection that does not answer.
    async fn hang_up(&self, at: usize) {
        if let Some(seat) = self.connections.get(at) {
            // Whoever connects right now has a limit of their own.
            if let Ok(mut seat) = seat.try_lock() {
                *seat = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
        sync::mpsc,
    };

    use super::*;
    use crate::{
        conf::Hadoop,
        namenode::messages::{BooleanResponse, PathRequest},
        rpc::{
            frame::tests::{answer, exception},
            messages::RequestHeader,
        },
    };

    /// What a NameNode of a test does with a call.
    #[derive(Clone, Copy)]
    enum Script {
        Answers,
        HangsUp,
        IsStandby,
    }

    /// A NameNode that treats one call after the other as the script says, and tells each call's id and retries.
    async fn namenode(
        script: &'static [Script],
    ) -> (NameNode, mpsc::UnboundedReceiver<(i32, i32)>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (tell, told) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let mut script = script.iter();
            let mut current = script.next();
            while current.is_some() {
                let (mut stream, _) = listener.accept().await.unwrap();
                stream.read_exact(&mut [0; 7]).await.unwrap();
                while let Ok(length) = stream.read_u32().await {
                    let mut frame = vec![0; length as usize];
                    stream.read_exact(&mut frame).await.unwrap();
                    let header = RequestHeader::decode_length_delimited(&frame[..]).unwrap();
                    if header.call_id < 0 {
                        continue;
                    }
                    let Some(step) = current else { return };
                    tell.send((header.call_id, header.retry_count.unwrap()))
                        .unwrap();
                    current = script.next();
                    let yes = BooleanResponse { result: Some(true) };
                    let bytes = match step {
                        Script::HangsUp => break,
                        Script::Answers => {
                            answer(header.call_id, &yes.encode_length_delimited_to_vec())
                        }
                        Script::IsStandby => {
                            let class = "org.apache.hadoop.ipc.StandbyException";
                            exception(header.call_id, class, "standby")
                        }
                    };
                    stream.write_all(&bytes).await.unwrap();
                }
            }
        });
        let namenode = NameNode {
            host: "127.0.0.1".into(),
            port,
        };
        (namenode, told)
    }

    #[tokio::test]
    async fn a_call_is_sent_again_under_its_number_until_an_active_namenode_answers() {
        let (first, mut asked_first) = namenode(&[Script::HangsUp]).await;
        let (second, mut asked_second) =
            namenode(&[Script::IsStandby, Script::Answers, Script::Answers]).await;
        let client = ClientSettings::of(&Hadoop::default()).unwrap();
        let addresses = vec![first, second];
        let namenodes = NameNodes::new(addresses, Identity::default(), client, Handle::current());
        let request = PathRequest { path: "/".into() };
        for _ in 0..2 {
            let deadline = Instant::now() + Duration::from_secs(60);
            let answer: BooleanResponse = namenodes
                .call("recoverLease", &request, deadline)
                .await
                .unwrap();
            assert_eq!(answer.result, Some(true));
        }
        assert_eq!(asked_first.recv().await, Some((0, 0)));
        assert_eq!(asked_second.recv().await, Some((0, 1)));
        let (id, retries) = asked_second.recv().await.unwrap();
        assert!(id == 0 && retries > 1);
        // The next call goes to who answered last.
        assert_eq!(asked_second.recv().await, Some((1, 0)));
    }
}

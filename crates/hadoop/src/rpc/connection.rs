//! A connection to a NameNode: one call at a time, each within a time limit.

use std::time::Duration;

use flume_kerberos::gss::{GssCredential, GssError};
use flume_kerberos::{Login, Stuck, on_thread, sasl::SecurityContext};
use prost::{Message, bytes::Bytes};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout_at},
};

use super::{
    RpcError, frame,
    messages::{CallHeader, ConnectionContext, Sasl, UserInformation, state},
    sasl::{SaslAgreement, SaslDemands, SaslNegotiation, SaslNext, opener},
};
use crate::conf::{NameNode, Protection};

/// The interface of NameNodes for clients, and its version.
const PROTOCOL: (&str, u64) = ("org.apache.hadoop.hdfs.protocol.ClientProtocol", 1);
/// What is read at once.
const READ_BYTES: usize = 8 << 10;

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RpcUser {
    /// Whoever this says, without proof.
    Simple(String),
    /// Who proves it by a keytab.
    Keytab(Login),
    /// Who proves it by tickets that this process' user has.
    Tickets,
}

/// How a connection is made.
#[derive(Clone, Debug)]
pub struct ConnectionSettings {
    /// Who calls.
    pub user: RpcUser,
    /// On whose behalf, where that is another.
    pub proxy_user: Option<String>,
    /// What is insisted on with Kerberos.
    pub demands: SaslDemands,
    /// The client's own sixteen bytes: with the id of a call the server recognises a call that comes again.
    pub client_id: [u8; 16],
}

/// A connection that is ready for calls.
pub struct RpcConnection {
    stream: TcpStream,
    client_id: [u8; 16],
    calls: i32,
    layer: Option<Box<dyn SecurityContext>>,
    /// What was agreed on for each frame.
    pub protection: Protection,
    /// Who the server has proved to be.
    pub server: Option<String>,
    /// Bytes as they came.
    raw: Vec<u8>,
    /// Bytes from under the layer.
    plain: Vec<u8>,
}

impl RpcConnection {
    /// Connects and authenticates. Whether the server lets `proxy_user` be acted for shows with the first call: it
    /// answers then.
    ///
    /// # Errors
    /// What stood in the way, at `deadline` at the latest.
    pub async fn open(
        namenode: &NameNode,
        settings: ConnectionSettings,
        deadline: Instant,
    ) -> Result<RpcConnection, RpcError> {
        let start = Instant::now();
        let opened = timeout_at(deadline, RpcConnection::begin(namenode, settings, deadline)).await;
        opened.unwrap_or_else(|_| Err(late(start)))
    }

    async fn begin(
        namenode: &NameNode,
        settings: ConnectionSettings,
        deadline: Instant,
    ) -> Result<RpcConnection, RpcError> {
        let host = namenode.host.trim_matches(['[', ']']);
        let stream = TcpStream::connect((host, namenode.port)).await?;
        stream.set_nodelay(true)?;
        let mut connection = RpcConnection {
            stream,
            client_id: settings.client_id,
            calls: 0,
            layer: None,
            protection: Protection::Authentication,
            server: None,
            raw: vec![],
            plain: vec![],
        };
        let ConnectionSettings {
            user,
            proxy_user,
            demands,
            client_id: _,
        } = settings;
        let with_sasl = !matches!(user, RpcUser::Simple(_));
        connection
            .stream
            .write_all(&frame::preamble(with_sasl))
            .await?;
        let user_name = if let RpcUser::Simple(name) = &user {
            Some(name.clone())
        } else {
            None
        };
        if with_sasl {
            connection.authenticate(user, demands, deadline).await?;
        }
        // With Kerberos the server knows the real user from the negotiation.
        let information = match (proxy_user, user_name) {
            (None, None) => None,
            (Some(proxied), real) => Some(UserInformation {
                effective: Some(proxied),
                real,
            }),
            (None, user) => Some(UserInformation {
                effective: user,
                real: None,
            }),
        };
        let context = ConnectionContext {
            user: information,
            protocol: Some(PROTOCOL.0.into()),
        };
        let message = context.encode_length_delimited_to_vec();
        connection
            .send(&frame::request(
                frame::CONTEXT_CALL,
                0,
                &connection.client_id,
                &[&message],
            ))
            .await?;
        Ok(connection)
    }

    /// Calls a method, and waits for its answer: the bytes of a message.
    ///
    /// # Errors
    /// The server's exception, also one about the connection itself; no answer at `deadline`.
    pub async fn call(
        &mut self,
        method: &str,
        request: &impl Message,
        deadline: Instant,
    ) -> Result<Bytes, RpcError> {
        let start = Instant::now();
        let answer = timeout_at(
            deadline,
            self.exchange(method, request.encode_length_delimited_to_vec()),
        )
        .await;
        answer.unwrap_or_else(|_| Err(late(start)))
    }

    /// A call as a frame. `request` is preceded by its length.
    pub(super) fn call_frame(
        &self,
        call_id: i32,
        retries: i32,
        method: &str,
        request: &[u8],
    ) -> Vec<u8> {
        let header = CallHeader {
            method: method.into(),
            protocol: PROTOCOL.0.into(),
            version: PROTOCOL.1,
        };
        let messages: [&[u8]; 2] = [&header.encode_length_delimited_to_vec(), request];
        frame::request(call_id, retries, &self.client_id, &messages)
    }

    async fn exchange(&mut self, method: &str, request: Vec<u8>) -> Result<Bytes, RpcError> {
        let call_id = self.calls;
        self.calls += 1;
        let call = self.call_frame(call_id, 0, method, &request);
        // The server may have answered to the context and hung up: then its answer says why.
        let sent = self.send(&call).await;
        loop {
            let answer = match (self.receive().await, &sent) {
                (Err(RpcError::Network(_)), Err(_)) => break,
                (answer, _) => answer?,
            };
            if answer.call_id == call_id || answer.outcome.is_err() {
                return answer.body();
            }
        }
        sent.map(|()| Bytes::new())
    }

    async fn authenticate(
        &mut self,
        user: RpcUser,
        demands: SaslDemands,
        deadline: Instant,
    ) -> Result<(), RpcError> {
        let credential = move || match user {
            RpcUser::Keytab(login) => GssCredential::from_keytab(&login.principal, &login.keytab),
            RpcUser::Tickets | RpcUser::Simple(_) => GssCredential::of_user(),
        };
        let (mut negotiation, first) = SaslNegotiation::begin(demands, opener(credential));
        self.stream.write_all(&frame::sasl(&first)).await?;
        loop {
            let message = self.receive().await?.sasl()?;
            let limit = deadline.saturating_duration_since(Instant::now());
            match step(&mut negotiation, message, limit).await? {
                SaslNext::Send(message) => self.stream.write_all(&frame::sasl(&message)).await?,
                SaslNext::Agreed(SaslAgreement {
                    server,
                    protection,
                    layer,
                }) => {
                    (self.server, self.protection, self.layer) = (server, protection, layer);
                    return Ok(());
                }
            }
        }
    }

    pub(super) async fn send(&mut self, frame: &[u8]) -> Result<(), RpcError> {
        match &mut self.layer {
            None => self.stream.write_all(frame).await?,
            Some(layer) => {
                let token = Some(layer.wrap(frame, self.protection == Protection::Privacy)?);
                let message = Sasl {
                    state: state::WRAP,
                    token,
                    ..Sasl::default()
                };
                self.stream.write_all(&frame::sasl(&message)).await?;
            }
        }
        Ok(())
    }

    /// The next answer, from under the layer. Dropped half way, it loses nothing.
    pub(super) async fn receive(&mut self) -> Result<frame::RpcAnswer, RpcError> {
        loop {
            if let Some(frame) = frame::cut(&mut self.plain)? {
                return frame::RpcAnswer::decode(frame);
            }
            let answer = self.receive_raw().await?;
            match &mut self.layer {
                Some(layer) if answer.call_id == frame::SASL_CALL => {
                    let wrapped = answer.sasl()?;
                    let (plain, encrypted) =
                        layer.unwrap(wrapped.token.as_deref().unwrap_or_default())?;
                    if self.protection == Protection::Privacy && !encrypted {
                        return Err(RpcError::protocol("an answer that is not encrypted"));
                    }
                    self.plain.extend(plain);
                }
                // An exception may be about the layer itself; anything else has to come under it.
                Some(_) if answer.outcome.is_err() => return Ok(answer),
                Some(_) => return Err(RpcError::protocol("an answer beside the security layer")),
                None => return Ok(answer),
            }
        }
    }

    async fn receive_raw(&mut self) -> Result<frame::RpcAnswer, RpcError> {
        loop {
            if let Some(frame) = frame::cut(&mut self.raw)? {
                return frame::RpcAnswer::decode(frame);
            }
            let mut bytes = [0; READ_BYTES];
            match self.stream.read(&mut bytes).await? {
                0 => {
                    let text = "the server closed the connection without an answer";
                    return Err(std::io::Error::new(std::io::ErrorKind::UnexpectedEof, text).into());
                }
                count => self.raw.extend(&bytes[..count]),
            }
        }
    }
}

/// A step on a thread of its own, for it may ask a KDC.
async fn step(
    negotiation: &mut SaslNegotiation,
    message: Sasl,
    limit: Duration,
) -> Result<SaslNext, RpcError> {
    let mut moved = std::mem::take(negotiation);
    let done = on_thread(limit, move || {
        let next = moved.take(&message);
        (moved, next)
    });
    match done.await {
        Ok((moved, next)) => {
            *negotiation = moved;
            next
        }
        Err(Stuck::Late) => Err(RpcError::TimedOut(limit.as_secs())),
        Err(stuck) => Err(GssError {
            major: 0,
            minor: 0,
            text: format!("the Kerberos library: {stuck:?}"),
        }
        .into()),
    }
}

fn late(start: Instant) -> RpcError {
    RpcError::timed_out(start.elapsed())
}

#[cfg(test)]
mod tests;

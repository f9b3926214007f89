//! Clients that log in by Kerberos before their first call.

use std::time::Duration;

use flume_client::transport::{BoxedStream, ExchangeError, FrameExchange};
use flume_core::SourceError;
use flume_kerberos::{
    LOGIN_TIMEOUT, Login,
    check::check,
    gss::{GssContext, GssCredential, GssStep},
    on_thread, resolve_host,
    sasl::{GssapiError, GssapiServer},
};
use flume_wire::thrift::{SaslFrameDecoder, SaslMessage, SaslStatus, write_sasl_message};
use tokio::{task::spawn_blocking, time::timeout};

use crate::conversation::Ending;

/// The only mechanism.
const MECHANISM: &[u8] = b"GSSAPI";
/// How long a client may take for its login.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Lets clients in that have a ticket for this source.
#[derive(Clone)]
pub(super) struct Doorkeeper {
    /// `_HOST` is resolved.
    login: Login,
}

impl Doorkeeper {
    /// Looks at the keytab. No KDC is asked: clients bring what is needed.
    pub(super) async fn new(login: &Login) -> Result<Self, SourceError> {
        let doing = format!("prepare logins at {}", login.principal);
        let login = login.clone();
        let look = move || {
            let login = Login {
                principal: resolve_host(&login.principal),
                ..login
            };
            let checked = check(&login).map_err(|error| error.to_string())?;
            let keys = GssCredential::of_service(&login.principal, &login.keytab);
            keys.map_err(|error| error.to_string())?;
            for warning in checked.warnings {
                tracing::warn!("{}: {warning}", login.principal);
            }
            Ok(Doorkeeper { login })
        };
        let looked = on_thread(LOGIN_TIMEOUT, look).await;
        let looked = looked.unwrap_or_else(|_| Err(format!("no answer within {LOGIN_TIMEOUT:?}")));
        looked.map_err(SourceError::at(doing))
    }

    /// Lets a client prove who it is, and proves to it who this side is.
    pub(super) async fn admit(&self, stream: BoxedStream) -> Result<BoxedStream, Ending> {
        let admitted = timeout(HANDSHAKE_TIMEOUT, self.negotiate(stream)).await;
        admitted.unwrap_or_else(|_| {
            let text = format!("no login by Kerberos within {HANDSHAKE_TIMEOUT:?}");
            Err(Ending::Fault(text))
        })
    }

    async fn negotiate(&self, stream: BoxedStream) -> Result<BoxedStream, Ending> {
        let mut exchange = FrameExchange::new(stream, SaslFrameDecoder::default());
        let outcome = self.converse(&mut exchange).await;
        if let Err(Refusal::Told(text)) = &outcome {
            // The client may be gone.
            let _ = exchange
                .send(|out| write_sasl_message(SaslStatus::Bad, text.as_bytes(), out))
                .await;
        }
        outcome?;
        Ok(exchange.into_stream()?)
    }

    async fn converse(
        &self,
        exchange: &mut FrameExchange<SaslFrameDecoder>,
    ) -> Result<(), Refusal> {
        let SaslMessage { status, payload } = exchange.next_frame().await?;
        if status != SaslStatus::Start || payload != MECHANISM {
            let text = "only logins by GSSAPI are accepted";
            return Err(Refusal::Told(text.into()));
        }
        let mut step = GssStep::default();
        let mut server = None;
        while !step.ready {
            let SaslMessage { status, payload } = exchange.next_frame().await?;
            match status {
                SaslStatus::Ok | SaslStatus::Complete => {}
                SaslStatus::Bad | SaslStatus::Error => {
                    let text = String::from_utf8_lossy(&payload);
                    let text = format!("the client gave its login up: {}", text.escape_debug());
                    return Err(Refusal::Silent(text));
                }
                SaslStatus::Start => {
                    let text = "a login began within another";
                    return Err(Refusal::Told(text.into()));
                }
            }
            let login = self.login.clone();
            // The library reads the keytab, and notes each ticket in a file lest somebody shows it again.
            let answer = move || answer(server, &login, &payload);
            let answered = spawn_blocking(answer).await;
            let answered =
                answered.map_err(|_| Refusal::Silent("the Kerberos library failed".into()))?;
            let (moved, next) = answered.map_err(|error| {
                let principal = &self.login.principal;
                Refusal::Told(format!("the login at {principal} failed: {error}"))
            })?;
            server = Some(moved);
            step = next;
            if status == SaslStatus::Complete && !step.ready {
                let text = "the client ended its login before it had proved who it is";
                return Err(Refusal::Told(text.into()));
            }
            let status = if step.ready {
                SaslStatus::Complete
            } else {
                SaslStatus::Ok
            };
            exchange
                .send(|out| write_sasl_message(status, &step.token, out))
                .await?;
        }
        if let Some(Ok(client)) = server.as_ref().map(GssapiServer::client) {
            tracing::debug!("{client} has logged in at {}", self.login.principal);
        }
        Ok(())
    }
}

/// A step of the library. The first begins with the keytab as it is now.
fn answer(
    server: Option<GssapiServer>,
    login: &Login,
    token: &[u8],
) -> Result<(GssapiServer, GssStep), GssapiError> {
    let mut server = match server {
        Some(server) => server,
        None => {
            let keys = GssCredential::of_service(&login.principal, &login.keytab)?;
            GssapiServer::new(Box::new(GssContext::accept(keys)))
        }
    };
    let step = server.answer(token)?;
    Ok((server, step))
}

/// Why a client is not let in.
enum Refusal {
    /// It is told so.
    Told(String),
    /// It is gone, or knows.
    Silent(String),
    Exchange(ExchangeError),
}

impl From<ExchangeError> for Refusal {
    fn from(error: ExchangeError) -> Self {
        Refusal::Exchange(error)
    }
}

impl From<Refusal> for Ending {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Told(text) | Refusal::Silent(text) => Ending::Fault(text),
            Refusal::Exchange(error) => error.into(),
        }
    }
}

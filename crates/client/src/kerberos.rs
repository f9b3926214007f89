//! A login by Kerberos at a source `thrift`, which comes before the first call.

use std::{io, sync::Arc};

use flume_core::{BuildError, Config};
use flume_kerberos::{
    KerberosSession, LOGIN_TIMEOUT, Login, Stuck,
    gss::{GssContext, GssCredential, GssFlags, GssService, code},
    on_thread, resolve_for, resolve_host,
    sasl::{GssapiClient, GssapiError, Protection},
};
use flume_wire::thrift::{SaslFrameDecoder, SaslStatus, write_sasl_message};

use crate::transport::{BoxedStream, ExchangeError, FrameExchange};

/// Whether and as whom a client logs in.
#[derive(Clone, Config)]
pub struct KerberosConfig {
    /// Whether both sides prove who they are by Kerberos. Only Thrift has that.
    #[prop("kerberos", default = false)]
    kerberos: bool,
    /// With `kerberos = true`: the principal to log in as. `_HOST` in it stands for this host.
    #[prop("client-principal")]
    client_principal: Option<String>,
    /// With `kerberos = true`: the file with the keys of the principal.
    #[prop("client-keytab")]
    client_keytab: Option<String>,
    /// With `kerberos = true`: the source's principal, its `agent-principal`. `_HOST` in it stands for the source's host.
    #[prop("server-principal")]
    server_principal: Option<String>,
}

/// As whom a client logs in, and at whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KerberosSettings {
    /// Who logs in; `_HOST` in it stands for this host.
    pub login: Login,
    /// Who the source must be: `flume/host@REALM`; `_HOST` in it stands for its host.
    pub server: String,
}

impl KerberosConfig {
    pub(crate) fn is_on(&self) -> bool {
        self.kerberos
    }

    /// `None`: nobody has to prove anything.
    ///
    /// # Errors
    /// When a principal or the keytab is missing.
    pub fn build(&self) -> Result<Option<KerberosSettings>, BuildError> {
        if !self.kerberos {
            return Ok(None);
        }
        Ok(Some(KerberosSettings {
            server: required_by_kerberos("server-principal", &self.server_principal)?,
            login: Login {
                principal: required_by_kerberos("client-principal", &self.client_principal)?,
                keytab: required_by_kerberos("client-keytab", &self.client_keytab)?.into(),
            },
        }))
    }
}

/// The value of a property that `kerberos = true` needs.
///
/// # Errors
/// When it is not set, or empty.
pub fn required_by_kerberos(key: &str, value: &Option<String>) -> Result<String, BuildError> {
    match value.as_deref().map(str::trim) {
        None | Some("") => {
            let text = "required with `kerberos = true`, but not set";
            Err(BuildError::at(key, text))
        }
        Some(value) => Ok(value.into()),
    }
}

/// A login, again and again.
pub(crate) struct KerberosLogin {
    settings: KerberosSettings,
    /// From the first login on.
    session: Option<Arc<KerberosSession>>,
}

impl KerberosLogin {
    pub(crate) fn new(settings: KerberosSettings) -> Self {
        KerberosLogin {
            settings,
            session: None,
        }
    }

    /// Fetches a ticket for the source on `host`.
    pub(crate) async fn ticket(&mut self, host: &str) -> io::Result<Ticket> {
        let KerberosSettings { login, server } = self.settings.clone();
        let host = host.to_owned();
        let names = move || {
            let principal = resolve_host(&login.principal);
            (Login { principal, ..login }, resolve_for(&server, &host))
        };
        let names = on_thread(LOGIN_TIMEOUT, names).await;
        let (login, server) = names.map_err(|stuck| stuck_in("the name service", stuck))?;
        self.log_in(&login).await?;
        let wanted = service(&server);
        let begin = move || {
            let credential = GssCredential::from_keytab(&login.principal, &login.keytab)?;
            let context = GssContext::initiate(credential, &wanted, GssFlags::default())?;
            GssapiClient::begin(Box::new(context), vec![Protection::Authentication])
        };
        let begun = on_thread(LOGIN_TIMEOUT, begin).await;
        let begun = begun.map_err(|stuck| stuck_in("the KDC", stuck))?;
        let (client, first) = begun.map_err(|error| no_ticket(&server, &error))?;
        Ok(Ticket {
            client,
            first,
            server,
        })
    }

    /// Says best what is wrong with a keytab, or why the KDC does not accept it.
    async fn log_in(&mut self, login: &Login) -> io::Result<()> {
        let session = KerberosSession::of(login);
        let is_first = self.session.replace(session.clone()).is_none();
        let warnings = session.open().await.map_err(io::Error::other)?;
        for warning in warnings.iter().filter(|_| is_first) {
            tracing::warn!("{}: {warning}", login.principal);
        }
        Ok(())
    }
}

/// A ticket for a source.
pub(crate) struct Ticket {
    client: GssapiClient,
    /// What the source is shown first.
    first: Vec<u8>,
    server: String,
}

impl Ticket {
    /// Proves to the source who this side is, and lets it prove who it is.
    pub(crate) async fn show(self, stream: BoxedStream) -> io::Result<BoxedStream> {
        let server = self.server.clone();
        let shown = self.negotiate(stream).await;
        shown.map_err(|error| {
            use io::ErrorKind::{ConnectionReset, UnexpectedEof};
            let hint = match &error {
                ExchangeError::Io(cause)
                    if matches!(cause.kind(), ConnectionReset | UnexpectedEof) =>
                {
                    "; has the source `kerberos = true`?"
                }
                _ => "",
            };
            io::Error::other(format!("the login at {server} failed: {error}{hint}"))
        })
    }

    async fn negotiate(mut self, stream: BoxedStream) -> Result<BoxedStream, ExchangeError> {
        let mut exchange = FrameExchange::new(stream, SaslFrameDecoder::default());
        exchange
            .send(|out| {
                write_sasl_message(SaslStatus::Start, b"GSSAPI", out);
                write_sasl_message(SaslStatus::Ok, &self.first, out);
            })
            .await?;
        loop {
            let message = exchange.next_frame().await?;
            match message.status {
                SaslStatus::Ok => {}
                SaslStatus::Complete if self.client.chosen().is_some() => {
                    return exchange.into_stream();
                }
                SaslStatus::Bad | SaslStatus::Error => {
                    let text = String::from_utf8_lossy(&message.payload);
                    let text = format!("the source says: {}", text.escape_debug());
                    return Err(ExchangeError::Protocol(text));
                }
                SaslStatus::Start | SaslStatus::Complete => {
                    let text = format!("the source says {:?} out of turn", message.status);
                    return Err(ExchangeError::Protocol(text));
                }
            }
            let answer = match self.client.answer(&message.payload) {
                Ok(answer) => answer,
                Err(error) => {
                    let text = error.to_string();
                    exchange
                        .send(|out| write_sasl_message(SaslStatus::Bad, text.as_bytes(), out))
                        .await?;
                    return Err(ExchangeError::Protocol(text));
                }
            };
            let status = match self.client.chosen() {
                Some(_) => SaslStatus::Complete,
                None => SaslStatus::Ok,
            };
            exchange
                .send(|out| write_sasl_message(status, &answer, out))
                .await?;
        }
    }
}

/// A principal with a realm, or a service on a host whose realm `krb5.conf` knows.
fn service(server: &str) -> GssService {
    match server.split_once('/') {
        Some((service, host)) if !host.contains('@') => {
            GssService::OnHost(format!("{service}@{host}"))
        }
        _ => GssService::Principal(server.into()),
    }
}

fn no_ticket(server: &str, error: &GssapiError) -> io::Error {
    let hint = match error {
        GssapiError::Gss(error) if error.minor == code::SERVICE_UNKNOWN => {
            "; `server-principal` must be the source's `agent-principal`"
        }
        _ => "",
    };
    io::Error::other(format!("there is no ticket for {server}: {error}{hint}"))
}

fn stuck_in(whom: &str, stuck: Stuck) -> io::Error {
    let text = match stuck {
        Stuck::Late => format!("{whom} does not answer within {LOGIN_TIMEOUT:?}"),
        Stuck::Full => format!("{whom} has not answered many before"),
        Stuck::Failed => "the Kerberos library failed".into(),
    };
    io::Error::other(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_needs_both_principals_and_the_keytab() {
        let config = KerberosConfig {
            kerberos: true,
            client_principal: Some("flume/_HOST@R".into()),
            client_keytab: Some("/k".into()),
            server_principal: Some("flume/h@R".into()),
        };
        let settings = config.build().unwrap().unwrap();
        assert_eq!(settings.login.principal, "flume/_HOST@R");
        assert_eq!(settings.server, "flume/h@R");
        let off = KerberosConfig {
            kerberos: false,
            ..config.clone()
        };
        assert_eq!(off.build().unwrap(), None);
        let without = KerberosConfig {
            client_keytab: Some(" ".into()),
            ..config
        };
        let error = without.build().unwrap_err().to_string();
        assert!(error.contains("kerberos = true"), "{error}");
    }

    #[test]
    fn a_service_has_a_realm_or_a_host() {
        let principal = GssService::Principal("flume/h@R".into());
        assert_eq!(service("flume/h@R"), principal);
        assert_eq!(service("flume/h"), GssService::OnHost("flume@h".into()));
        assert_eq!(service("flume@R"), GssService::Principal("flume@R".into()));
    }
}

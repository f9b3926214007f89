//! Connects to a peer, within time limits.

use std::{
    io,
    time::{Duration, Instant},
};

use flume_core::{BuildError, Config, Context, config::OrDefault};
use rustls::pki_types::ServerName;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{TlsConnector, TlsStream};

use crate::{
    Connection,
    tls::{TlsClientConfig, TlsClientSettings},
};

/// Flume's default for both time limits; it also stands in for limits below a second.
const DEFAULT_TIMEOUT_MILLIS: u64 = 20_000;
const MIN_TIMEOUT_MILLIS: u64 = 1_000;

/// The properties that everything that connects to one peer has in common.
#[derive(Clone, Config)]
pub struct DialerConfig {
    /// How long connecting may take, in milliseconds, the TLS handshake included. Below 1000 the default is used.
    #[prop("connect-timeout", default = DEFAULT_TIMEOUT_MILLIS)]
    connect_timeout: OrDefault<u64>,
    /// How long the peer may take for an answer, in milliseconds. Below 1000 the default is used.
    #[prop("request-timeout", default = DEFAULT_TIMEOUT_MILLIS)]
    request_timeout: OrDefault<u64>,
    /// After how many seconds a connection is replaced by a new one, so that a load balancer can choose again; 0 or less: never.
    #[prop("reset-connection-interval", default = 0)]
    reset_connection_interval: i64,
    #[prop(flatten)]
    tls: TlsClientConfig,
}

/// Connects to one peer, again and again. Its name is looked up each time.
#[derive(Clone)]
pub struct Dialer {
    /// Name or address of the peer.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long the peer may take for an answer.
    pub request_timeout: Duration,
    /// How old a connection may get.
    pub max_age: Option<Duration>,
    /// TLS, if the peer has to be spoken to with it.
    pub tls: Option<TlsClientSettings>,
    connector: Option<TlsConnector>,
    connected: Option<Instant>,
}

impl DialerConfig {
    /// What connects to `host` and `port`. Looks at no file.
    ///
    /// # Errors
    /// When properties do not go together.
    pub fn build(&self, host: &str, port: u16, cx: &Context) -> Result<Dialer, BuildError> {
        let reset = Duration::from_secs(self.reset_connection_interval.max(0).unsigned_abs());
        Ok(Dialer {
            connect_timeout: limit(self.connect_timeout.0),
            request_timeout: limit(self.request_timeout.0),
            max_age: Some(reset).filter(|age| !age.is_zero()),
            tls: self.tls.build(cx)?,
            ..Dialer::new(host, port)
        })
    }
}

fn limit(millis: u64) -> Duration {
    let is_usable = millis >= MIN_TIMEOUT_MILLIS;
    Duration::from_millis(if is_usable {
        millis
    } else {
        DEFAULT_TIMEOUT_MILLIS
    })
}

impl Dialer {
    /// A dialer with the default limits and without TLS.
    pub fn new(host: &str, port: u16) -> Self {
        Dialer {
            host: host.into(),
            port,
            connect_timeout: Duration::from_millis(DEFAULT_TIMEOUT_MILLIS),
            request_timeout: Duration::from_millis(DEFAULT_TIMEOUT_MILLIS),
            max_age: None,
            tls: None,
            connector: None,
            connected: None,
        }
    }

    /// A new connection. Each address of the host is tried in turn.
    ///
    /// # Errors
    /// `TimedOut` after the connect timeout; otherwise what the system, the name service or TLS said.
    pub async fn connect(&mut self) -> io::Result<Connection> {
        let connection = within(self.connect_timeout, self.connect_slowly()).await?;
        self.connected = Some(Instant::now());
        Ok(connection)
    }

    /// The same without TLS, for who puts another layer between: [`tls_connector`](Self::tls_connector) adds it then.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn connect_plain(&mut self) -> io::Result<Connection> {
        let stream = TcpStream::connect((self.host.as_str(), self.port));
        let stream = within(self.connect_timeout, stream).await?;
        self.connected = Some(Instant::now());
        Connection::plain(stream)
    }

    /// What adds TLS to a stream, and the name that the peer must have; `None` without TLS. Trust stores are read once.
    ///
    /// # Errors
    /// When a store cannot be read. It is read again the next time.
    pub fn tls_connector(&mut self) -> io::Result<Option<(TlsConnector, ServerName<'static>)>> {
        let Some(tls) = &self.tls else {
            return Ok(None);
        };
        let connector = match &self.connector {
            Some(connector) => connector.clone(),
            None => tls.connector().map_err(io::Error::other)?,
        };
        self.connector = Some(connector.clone());
        let name = ServerName::try_from(self.host.clone()).map_err(io::Error::other)?;
        Ok(Some((connector, name)))
    }

    /// Runs one request within the request timeout.
    ///
    /// # Errors
    /// `TimedOut` after the request timeout; otherwise the request's own error.
    pub async fn request<T>(&self, request: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        within(self.request_timeout, request).await
    }

    /// Whether the last connection is due to be replaced.
    pub fn is_reset_due(&self) -> bool {
        match (self.max_age, self.connected) {
            (Some(max_age), Some(connected)) => connected.elapsed() >= max_age,
            _ => false,
        }
    }

    async fn connect_slowly(&mut self) -> io::Result<Connection> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        let Some((connector, name)) = self.tls_connector()? else {
            return Connection::plain(stream);
        };
        let stream = connector.connect(name, stream).await?;
        Connection::tls(TlsStream::Client(stream))
    }
}

async fn within<T>(limit: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match timeout(limit, work).await {
        Ok(outcome) => outcome,
        Err(_) => {
            let text = format!("no answer within {limit:?}");
            Err(io::Error::new(io::ErrorKind::TimedOut, text))
        }
    }
}

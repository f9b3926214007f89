//! Accepts connections, within limits, until it is asked to stop.

use std::{
    io,
    net::SocketAddr,
    num::NonZeroUsize,
    sync::{Arc, LazyLock},
    time::Duration,
};

use flume_core::{BuildError, Config, Context, SourceError, Stop, metrics::Gauge};
use rustix::process::{Resource, getrlimit};
use tokio::{
    net::{TcpListener, TcpStream, UdpSocket},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, TlsStream};

use crate::{
    AddressFilter, Complaints, Connection,
    address::to_listen_on,
    tls::{TlsError, TlsServerConfig, TlsServerSettings},
};

/// The pause after a connection could not be accepted: there are no more file descriptors, say.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a client may take for its TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// The properties that everything that listens for connections has in common.
#[derive(Clone, Config)]
pub struct ListenerConfig {
    /// Most connections at a time; further ones wait until one is closed. Not a property of Flume.
    #[prop("maxConnections", default = 10000)]
    max_connections: NonZeroUsize,
    /// Whether `ipFilterRules` decide who may connect.
    #[prop("ipFilter", default = false)]
    ip_filter: bool,
    /// Rules such as `allow:ip:10.*,allow:name:localhost,deny:ip:*`. The first that matches decides; without a match
    /// the client is allowed. `*` stands for any characters and `?` for one.
    #[prop("ipFilterRules")]
    ip_filter_rules: Option<String>,
    #[prop(flatten)]
    tls: TlsServerConfig,
}

/// The share of a process' descriptors that clients of sources may have. The rest is for files, for sinks, for
/// monitoring and for the control socket: whoever looks for the reason must still be let in.
const SHARE_OF_CLIENTS: u64 = 3;
const SHARES: u64 = 4;

/// The connections of clients of all sources together.
static ROOM_OF_PROCESS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| {
    let most = getrlimit(Resource::Nofile)
        .current
        .map_or(u64::MAX, |most| (most / SHARES * SHARE_OF_CLIENTS).max(1));
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)))
});

/// How to accept connections.
#[derive(Clone)]
pub struct ListenerSettings {
    /// Most connections at a time, at least 1.
    pub max_connections: usize,
    /// What several listeners have together, if they share a limit.
    pub shared_room: Option<Arc<Semaphore>>,
    /// Who may connect.
    pub filter: AddressFilter,
    /// TLS, if clients have to use it.
    pub tls: Option<TlsServerSettings>,
    /// Counts open connections.
    pub open_connections: Gauge,
    /// What is said about clients.
    pub complaints: Complaints,
}

/// A bound port.
pub struct Listener {
    listener: TcpListener,
    room: Arc<Semaphore>,
    shared_room: Option<Arc<Semaphore>>,
    max_connections: usize,
    filter: Arc<AddressFilter>,
    tls: Option<TlsAcceptor>,
    open_connections: Gauge,
    complaints: Complaints,
}

/// Why a port could not be bound.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The host has no address.
    #[error("resolve `{host}`")]
    Resolve {
        /// Its name.
        host: String,
        /// What the name service said.
        source: io::Error,
    },
    /// The system refused the address.
    #[error("listen on {host}:{port}")]
    Bind {
        /// As it is configured.
        host: String,
        /// As it is configured.
        port: u16,
        /// What the system said.
        source: io::Error,
    },
    /// TLS cannot be offered.
    #[error("prepare TLS")]
    Tls(#[from] TlsError),
}

impl ListenError {
    fn bind(host: &str, port: u16) -> impl FnOnce(io::Error) -> Self {
        let host = host.into();
        move |source| ListenError::Bind { host, port, source }
    }
}

impl From<ListenError> for SourceError {
    fn from(error: ListenError) -> Self {
        let doing = error.to_string();
        match error {
            ListenError::Resolve { source, .. } | ListenError::Bind { source, .. } => {
                SourceError::at(doing)(source)
            }
            ListenError::Tls(source) => SourceError::at(doing)(source),
        }
    }
}

impl ListenerConfig {
    /// Checks what can be checked without a look at files. Counts connections as `OpenConnectionCount`.
    ///
    /// # Errors
    /// When properties do not go together.
    pub fn build(&self, cx: &Context) -> Result<ListenerSettings, BuildError> {
        let max_connections = self.max_connections.get();
        if max_connections > Semaphore::MAX_PERMITS {
            let text = format!("must not exceed {}", Semaphore::MAX_PERMITS);
            return Err(BuildError::at("maxConnections", text));
        }
        let filter = match (&self.ip_filter_rules, self.ip_filter) {
            (_, false) => AddressFilter::default(),
            (None, true) => {
                return Err(BuildError::at(
                    "ipFilterRules",
                    "required with ipFilter = true",
                ));
            }
            (Some(rules), true) => {
                AddressFilter::parse(rules).map_err(|text| BuildError::at("ipFilterRules", text))?
            }
        };
        Ok(ListenerSettings {
            max_connections,
            shared_room: Some(ROOM_OF_PROCESS.clone()),
            filter,
            tls: self.tls.build(cx)?,
            open_connections: cx.metrics.gauge("OpenConnectionCount"),
            complaints: Complaints::new(cx.name.clone()),
        })
    }
}

impl ListenerSettings {
    /// Plain connections from anywhere, so many at a time.
    pub fn plain(max_connections: usize) -> Self {
        ListenerSettings {
            max_connections: max_connections.clamp(1, Semaphore::MAX_PERMITS),
            shared_room: None,
            filter: AddressFilter::default(),
            tls: None,
            open_connections: Gauge::default(),
            complaints: Complaints::new("listener".into()),
        }
    }

    /// Lets clients with TLS choose HTTP/2.
    pub fn offer_http2(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.offer_http2();
        }
    }

    /// Takes TLS out, for a protocol that has to put something between the connection and TLS.
    pub fn take_tls(&mut self) -> Option<TlsServerSettings> {
        self.tls.take()
    }
}

impl Listener {
    /// Binds a port; port 0 takes a free one. Reads the key store if there is TLS.
    ///
    /// # Errors
    /// See [`ListenError`].
    pub async fn bind(
        host: &str,
        port: u16,
        settings: &ListenerSettings,
    ) -> Result<Self, ListenError> {
        let bound = TcpListener::bind(&resolved(host, port).await?[..]).await;
        let listener = bound.map_err(ListenError::bind(host, port))?;
        let tls = settings.tls.as_ref().map(TlsServerSettings::acceptor);
        Ok(Listener {
            listener,
            room: Arc::new(Semaphore::new(settings.max_connections)),
            shared_room: settings.shared_room.clone(),
            max_connections: settings.max_connections,
            filter: Arc::new(settings.filter.clone()),
            tls: tls.transpose()?,
            open_connections: settings.open_connections.clone(),
            complaints: settings.complaints.clone(),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> Option<SocketAddr> {
        self.listener.local_addr().ok()
    }

    /// Most connections at a time.
    pub fn max_connections(&self) -> usize {
        self.max_connections
    }

    /// Runs `handle` for each connection, in a task of its own, until a stop is requested. Then nobody is accepted
    /// any more, and it returns when all connections have ended: `handle` has to look at `stop`, too.
    ///
    /// It never ends because a connection could not be accepted.
    pub async fn serve<H, F>(self, stop: &Stop, handle: H)
    where
        H: Fn(Connection) -> F + Clone + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let mut connections = JoinSet::new();
        // It lasts while connections end: what it has accepted already waits for room in it.
        let mut next = Box::pin(self.accept());
        loop {
            tokio::select! {
                () = stop.requested() => break,
                Some(ended) = connections.join_next() => report_panic(ended),
                (stream, permits) = &mut next => {
                    next.set(self.accept());
                    let held = self.open_connections.hold();
                    let stop = stop.clone();
                    let filter = self.filter.clone();
                    let complaints = self.complaints.clone();
                    let admission = admit(stream, filter, self.tls.clone(), complaints);
                    let handle = handle.clone();
                    connections.spawn(async move {
                        let _held = (permits, held);
                        let admitted = tokio::select! {
                            admitted = admission => admitted,
                            () = stop.requested() => None,
                        };
                        if let Some(connection) = admitted {
                            handle(connection).await;
                        }
                    });
                }
            }
        }
        drop(next);
        drop(self.listener);
        while let Some(ended) = connections.join_next().await {
            report_panic(ended);
        }
    }

    /// The next connection, and the room for it. What several listeners share is taken for a connection that is there:
    /// nothing of it is held while nobody connects, and each listener has at most one connection that waits for it.
    async fn accept(&self) -> (TcpStream, [Option<OwnedSemaphorePermit>; 2]) {
        let permit = self.room.clone().acquire_owned().await.ok();
        let stream = self.accept_stream().await;
        (stream, [permit, self.shared_permit().await])
    }

    async fn shared_permit(&self) -> Option<OwnedSemaphorePermit> {
        let room = self.shared_room.clone()?;
        if room.available_permits() == 0 {
            self.complaints.complain(
                "clients of the sources have all connections that this process can spare; further ones wait until one \
                 is closed, see `ulimit -n`, or LimitNOFILE of the unit",
            );
        }
        room.acquire_owned().await.ok()
    }

    async fn accept_stream(&self) -> TcpStream {
        let mut failures = 0u64;
        loop {
            let error = match self.listener.accept().await {
                Ok((stream, _)) => {
                    if failures > 0 {
                        tracing::info!("accepted a connection again after {failures} failures");
                    }
                    return stream;
                }
                Err(error) => error,
            };
            if failures == 0 {
                tracing::warn!("failed to accept a connection: {error}; retrying");
            }
            failures += 1;
            sleep(ACCEPT_PAUSE).await;
        }
    }
}

/// Binds a UDP port; port 0 takes a free one.
///
/// # Errors
/// See [`ListenError`].
pub async fn bind_udp(host: &str, port: u16) -> Result<UdpSocket, ListenError> {
    let bound = UdpSocket::bind(&resolved(host, port).await?[..]).await;
    bound.map_err(ListenError::bind(host, port))
}

async fn resolved(host: &str, port: u16) -> Result<Vec<SocketAddr>, ListenError> {
    let addresses = to_listen_on(host, port).await;
    addresses.map_err(|source| ListenError::Resolve {
        host: host.into(),
        source,
    })
}

/// Whether the client may stay, and TLS with it.
async fn admit(
    stream: TcpStream,
    filter: Arc<AddressFilter>,
    tls: Option<TlsAcceptor>,
    complaints: Complaints,
) -> Option<Connection> {
    let peer = stream.peer_addr().ok()?;
    if !filter.allows(peer.ip()).await {
        tracing::debug!("a connection from {peer} is refused by ipFilterRules");
        return None;
    }
    let Some(acceptor) = tls else {
        return Connection::plain(stream).ok();
    };
    // In a box: a plain connection, which may idle for days, does not pay for what a handshake needs.
    let handshake = Box::pin(acceptor.accept(stream));
    let reason = match timeout(HANDSHAKE_TIMEOUT, handshake).await {
        Ok(Ok(stream)) => return Connection::tls(TlsStream::Server(stream)).ok(),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("nothing for {HANDSHAKE_TIMEOUT:?}"),
    };
    complaints.complain(&format!("the TLS handshake with {peer} failed: {reason}"));
    None
}

fn report_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!("serving a connection panicked: {error}");
    }
}

//! From a port to conversations: what the sources of this crate have in common.

use std::{io, net::SocketAddr, time::Duration};

use flume_client::transport::{BoxedStream, RewoundStream, ZlibStream};
use flume_core::{BuildError, Config, Context, ListenPort, SourceContext, SourceError};
use flume_kerberos::Login;
use flume_net::{
    Complaints, Connection, Listener, ListenerConfig, ListenerSettings, tls::TlsServerSettings,
};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::kerberos::Doorkeeper;
use crate::conversation::{Dialogue, Ending, converse};

/// The level at which Java Flume's source compresses.
const COMPRESSION_LEVEL: u32 = 6;
/// How long a client may take for its TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Where a source listens.
pub(crate) struct Port {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) listener: ListenerSettings,
    pub(crate) layer: PortLayer,
}

/// Where a source for Flume 0.9 listens.
#[derive(Clone, Config)]
pub(crate) struct LegacyPortConfig {
    /// Host name or address to listen on.
    #[prop("host")]
    host: String,
    /// Port to listen on; 0 takes a free one.
    #[prop("port")]
    port: u16,
    #[prop(flatten)]
    listener: ListenerConfig,
}

impl LegacyPortConfig {
    pub(crate) fn build(self, cx: &Context) -> Result<Port, BuildError> {
        Ok(Port {
            listener: self.listener.build(cx)?,
            host: self.host,
            port: self.port,
            layer: PortLayer::None,
        })
    }
}

/// What a source adds to its connections.
pub(crate) enum PortLayer {
    None,
    /// Compression.
    Zlib,
    /// Clients log in at this principal, by Kerberos.
    Kerberos(Login),
}

impl Port {
    pub(crate) fn listen_port(&self) -> ListenPort {
        ListenPort::tcp(&self.host, self.port)
    }
}

/// What comes between a connection and its frames.
#[derive(Clone)]
enum Layers {
    /// Nothing, or TLS, which the listener adds.
    None,
    /// Compression.
    Zlib,
    /// A login.
    Kerberos(Doorkeeper),
    /// Compression and TLS. Flume 1.10 and 1.11 compress what was encrypted, older ones encrypt what was compressed.
    ZlibAndTls(TlsAcceptor),
}

impl Port {
    /// Accepts clients until the source stops. `dialogue` makes what a connection needs.
    pub(crate) async fn serve<D, N>(&self, cx: &SourceContext, new: N) -> Result<(), SourceError>
    where
        D: Dialogue + 'static,
        N: Fn() -> (D::Framing, D) + Clone + Send + Sync + 'static,
    {
        let mut settings = self.listener.clone();
        let layers = match &self.layer {
            PortLayer::None => Layers::None,
            PortLayer::Zlib => Layers::compressed(settings.take_tls())?,
            PortLayer::Kerberos(login) => Layers::Kerberos(Doorkeeper::new(login).await?),
        };
        let listener = Listener::bind(&self.host, self.port, &settings).await?;
        cx.ready(listener.address());
        let source = cx.clone();
        let complaints = self.listener.complaints.clone();
        let serve = move |connection: Connection| {
            let layers = layers.clone();
            let source = source.clone();
            let complaints = complaints.clone();
            let new = new.clone();
            async move {
                let peer = connection.peer();
                let outcome = talk(connection, layers, &source, new).await;
                if let Err(ending) = outcome {
                    report(peer, &ending, &complaints);
                }
            }
        };
        listener.serve(&cx.stop, serve).await;
        Ok(())
    }
}

async fn talk<D, N>(
    connection: Connection,
    layers: Layers,
    cx: &SourceContext,
    new: N,
) -> Result<(), Ending>
where
    D: Dialogue,
    N: Fn() -> (D::Framing, D),
{
    let mut stream = tokio::select! {
        stream = layers.over(connection) => stream?,
        () = cx.stop.requested() => return Ok(()),
    };
    let (framing, mut dialogue) = new();
    converse(&mut stream, framing, &mut dialogue, cx).await
}

fn report(peer: SocketAddr, ending: &Ending, complaints: &Complaints) {
    match ending {
        Ending::Io(error) => tracing::debug!("the connection from {peer} broke: {error}"),
        Ending::Fault(text) => {
            complaints.complain(&format!("the connection from {peer} was closed: {text}"));
        }
    }
}

impl Layers {
    fn compressed(tls: Option<TlsServerSettings>) -> Result<Self, SourceError> {
        let Some(tls) = tls else {
            return Ok(Layers::Zlib);
        };
        let acceptor = tls.acceptor().map_err(SourceError::at("prepare TLS"))?;
        Ok(Layers::ZlibAndTls(acceptor))
    }

    async fn over(self, mut connection: Connection) -> Result<BoxedStream, Ending> {
        let acceptor = match self {
            Layers::None => return Ok(Box::new(connection)),
            Layers::Zlib => return Ok(Box::new(ZlibStream::new(connection, COMPRESSION_LEVEL))),
            // A client that says nothing yet costs no more than any other: there is nothing to time.
            Layers::Kerberos(doorkeeper) => {
                connection.readable().await?;
                return Box::pin(doorkeeper.admit(Box::new(connection))).await;
            }
            Layers::ZlibAndTls(acceptor) => acceptor,
        };
        connection.readable().await?;
        let handshake = Box::pin(zlib_and_tls(connection, acceptor));
        let handshake = timeout(HANDSHAKE_TIMEOUT, handshake).await;
        let slow = |_| Ending::Fault(format!("no TLS handshake within {HANDSHAKE_TIMEOUT:?}"));
        handshake.map_err(slow)?
    }
}

/// TLS and compression in the order that the client has chosen: the first byte tells.
async fn zlib_and_tls(
    connection: Connection,
    acceptor: TlsAcceptor,
) -> Result<BoxedStream, Ending> {
    let (first, stream) = RewoundStream::look_at(connection, 1).await?;
    let failed = |error: io::Error| Ending::Fault(format!("the TLS handshake failed: {error}"));
    match first.first() {
        Some(0x78) => {
            let compressed = ZlibStream::new(stream, COMPRESSION_LEVEL);
            let encrypted = acceptor.accept(compressed).await.map_err(failed)?;
            Ok(Box::new(encrypted))
        }
        Some(0x16) => {
            let encrypted = acceptor.accept(stream).await.map_err(failed)?;
            Ok(Box::new(ZlibStream::new(encrypted, COMPRESSION_LEVEL)))
        }
        Some(_) => {
            let text = "the client neither compresses nor encrypts, and this source does both";
            Err(Ending::Fault(text.into()))
        }
        None => Err(Ending::Io(io::ErrorKind::UnexpectedEof.into())),
    }
}

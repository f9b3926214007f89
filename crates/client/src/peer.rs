//! A client of one peer.

use std::{io, num::NonZeroUsize, time::Duration};

use flume_core::Event;
use flume_net::{Connection, Dialer};
use flume_wire::thrift::ThriftProtocol;
use tokio::time::timeout;

use crate::{
    ClientError, CompressionOrder, CompressionSettings,
    avro::AvroConnection,
    error::CallError,
    kerberos::{KerberosLogin, KerberosSettings},
    thrift::ThriftConnection,
    transport::{BoxedStream, ZlibStream, is_closed},
};

/// Most bytes of an answer. The longest has the protocol of an Avro server, with the licence in front of it.
pub(crate) const MAX_ANSWER_BYTES: usize = 1 << 20;
/// Flume's default for the events of a call.
const DEFAULT_BATCH_SIZE: NonZeroUsize = NonZeroUsize::new(100).expect("100 is not 0");

/// How to reach a peer.
#[derive(Clone)]
pub struct PeerSettings {
    /// Where it is, its time limits, and TLS.
    pub dialer: Dialer,
    /// What it speaks.
    pub protocol: RpcProtocol,
    /// Most events of a call; a longer batch is several calls.
    pub batch_size: NonZeroUsize,
    /// Most calls without an answer. With more than one, sources of this program take them in order; Java Flume does
    /// not.
    pub pipeline_depth: NonZeroUsize,
    /// Whether the connection is compressed.
    pub compression: Option<CompressionSettings>,
    /// How this side proves who it is, with Thrift.
    pub kerberos: Option<KerberosSettings>,
}

/// The protocol of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RpcProtocol {
    /// Of a source `avro`.
    Avro,
    /// Of a source `thrift`.
    Thrift(ThriftProtocol),
}

/// Sends to one peer, over one connection, which is made when there is something to send.
pub struct PeerClient {
    settings: PeerSettings,
    /// With compression and TLS: which of both came first when the peer accepted it last.
    encrypts_first: bool,
    kerberos: Option<KerberosLogin>,
    name: String,
    connection: Option<PeerConnection>,
}

enum PeerConnection {
    Avro(AvroConnection),
    Thrift(ThriftConnection),
}

impl PeerSettings {
    /// A source `avro`, without TLS and compression.
    pub fn avro(host: &str, port: u16) -> Self {
        PeerSettings {
            dialer: Dialer::new(host, port),
            protocol: RpcProtocol::Avro,
            batch_size: DEFAULT_BATCH_SIZE,
            pipeline_depth: NonZeroUsize::MIN,
            compression: None,
            kerberos: None,
        }
    }

    /// A source `thrift`, without TLS.
    pub fn thrift(host: &str, port: u16, protocol: ThriftProtocol) -> Self {
        PeerSettings {
            protocol: RpcProtocol::Thrift(protocol),
            ..PeerSettings::avro(host, port)
        }
    }
}

impl RpcProtocol {
    fn name(self) -> &'static str {
        match self {
            RpcProtocol::Avro => "Avro RPC",
            RpcProtocol::Thrift(ThriftProtocol::Compact) => "Thrift RPC (compact)",
            RpcProtocol::Thrift(ThriftProtocol::Binary) => "Thrift RPC (binary)",
        }
    }
}

impl PeerClient {
    /// Connects to nothing yet.
    pub fn new(settings: PeerSettings) -> Self {
        let Dialer { host, port, .. } = &settings.dialer;
        let name = if host.contains(':') {
            format!("[{host}]:{port}")
        } else {
            format!("{host}:{port}")
        };
        PeerClient {
            kerberos: settings.kerberos.clone().map(KerberosLogin::new),
            settings,
            encrypts_first: true,
            name,
            connection: None,
        }
    }

    /// Host and port.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Connects, if there is no connection.
    ///
    /// # Errors
    /// [`ClientError::Connect`].
    pub async fn connect(&mut self) -> Result<(), ClientError> {
        if let Some(connection) = &mut self.connection
            && !self.settings.dialer.is_reset_due()
            && !is_closed(connection.stream()).await
        {
            return Ok(());
        }
        self.close();
        let stream = self.dial().await.map_err(|source| ClientError::Connect {
            peer: self.name.clone(),
            source,
        })?;
        self.connection = Some(match self.settings.protocol {
            RpcProtocol::Avro => PeerConnection::Avro(AvroConnection::new(stream)),
            RpcProtocol::Thrift(protocol) => {
                PeerConnection::Thrift(ThriftConnection::new(stream, protocol))
            }
        });
        Ok(())
    }

    /// Sends one event.
    ///
    /// # Errors
    /// See [`ClientError`]. The connection is given up.
    pub async fn append(&mut self, event: &Event) -> Result<(), ClientError> {
        self.connect().await?;
        let limit = self.settings.dialer.request_timeout;
        // Taken out meanwhile: a caller that gives up leaves half a message on it.
        let Some(mut connection) = self.connection.take() else {
            return Ok(());
        };
        let outcome = within(limit, connection.append(event)).await;
        self.connection = Some(connection);
        self.settle(outcome)
    }

    /// Sends events, at most `batch_size` in a call.
    ///
    /// # Errors
    /// See [`ClientError`]. Earlier calls of several may have been accepted. The connection is given up.
    pub async fn append_batch(&mut self, events: &[Event]) -> Result<(), ClientError> {
        if events.is_empty() {
            return Ok(());
        }
        self.connect().await?;
        let limit = self.settings.dialer.request_timeout;
        let batch_size = self.settings.batch_size.get();
        let depth = self.settings.pipeline_depth.get();
        let Some(mut connection) = self.connection.take() else {
            return Ok(());
        };
        let mut outcome = Ok(());
        for batch in events.chunks(batch_size) {
            outcome = within(limit, connection.append_batch(batch, depth)).await;
            if outcome.is_err() {
                break;
            }
        }
        if outcome.is_ok() {
            outcome = within(limit, connection.settle()).await;
        }
        self.connection = Some(connection);
        self.settle(outcome)
    }

    /// Gives the connection up; the next call makes another.
    pub fn close(&mut self) {
        self.connection = None;
    }

    /// As in Flume, a connection over which something failed is not used again: another one may lead to another server.
    fn settle(&mut self, outcome: Result<(), CallError>) -> Result<(), ClientError> {
        outcome.map_err(|error| {
            self.close();
            error.of(&self.name, self.settings.protocol.name())
        })
    }

    /// A new connection with its layers, ready for calls.
    async fn dial(&mut self) -> io::Result<BoxedStream> {
        let Some(kerberos) = &mut self.kerberos else {
            return self.dial_layers().await;
        };
        // Before the connection is made: a source waits for no KDC.
        let ticket = kerberos.ticket(&self.settings.dialer.host).await?;
        let stream = self.dial_layers().await?;
        let limit = self.settings.dialer.connect_timeout;
        let logged_in = timeout(limit, ticket.show(stream)).await;
        logged_in.map_err(|_| timed_out(limit))?
    }

    async fn dial_layers(&mut self) -> io::Result<BoxedStream> {
        let Some(CompressionSettings { level, order }) = self.settings.compression else {
            return Ok(Box::new(self.settings.dialer.connect().await?));
        };
        let connection = self.settings.dialer.connect_plain().await?;
        if self.settings.dialer.tls.is_none() {
            return Ok(Box::new(ZlibStream::new(connection, level)));
        }
        match order {
            CompressionOrder::EncryptThenCompress => self.add_layers(connection, true, level).await,
            CompressionOrder::CompressThenEncrypt => {
                self.add_layers(connection, false, level).await
            }
            CompressionOrder::Auto => self.add_layers_in_any_order(connection, level).await,
        }
    }

    /// In the order that the peer accepted last, or in the other. Only what a peer does with the layers says something
    /// about the order: a connection that does not come about says nothing.
    async fn add_layers_in_any_order(
        &mut self,
        connection: Connection,
        level: u32,
    ) -> io::Result<BoxedStream> {
        let encrypts_first = self.encrypts_first;
        let refusal = match self.add_layers(connection, encrypts_first, level).await {
            Err(error) if is_refusal(&error) => error,
            outcome => return outcome,
        };
        let connection = self.settings.dialer.connect_plain().await?;
        let other_way = self.add_layers(connection, !encrypts_first, level).await;
        let stream = other_way.map_err(|error| {
            let text = format!(
                "neither order of compression and TLS is accepted: {refusal}; and the other way round: {error}"
            );
            io::Error::new(error.kind(), text)
        })?;
        self.encrypts_first = !encrypts_first;
        let order = if self.encrypts_first {
            "encrypts before it compresses, as Flume 1.11 does"
        } else {
            "compresses before it encrypts, as Flume 1.9 does"
        };
        tracing::info!("{} {order}", self.name);
        Ok(stream)
    }

    /// TLS and compression. Flume 1.10 and 1.11 compress what was encrypted, Flume up to 1.9 encrypts what was compressed.
    async fn add_layers(
        &mut self,
        connection: Connection,
        encrypts_first: bool,
        level: u32,
    ) -> io::Result<BoxedStream> {
        let dialer = &mut self.settings.dialer;
        let limit = dialer.connect_timeout;
        let connector = dialer.tls_connector()?;
        let (connector, name) = connector.ok_or_else(|| io::Error::other("there is no TLS"))?;
        let add = async {
            if encrypts_first {
                let compressed = ZlibStream::new(connection, level);
                let stream = connector.connect(name, compressed).await?;
                return io::Result::Ok(Box::new(stream) as BoxedStream);
            }
            let encrypted = connector.connect(name, connection).await?;
            Ok(Box::new(ZlibStream::new(encrypted, level)) as BoxedStream)
        };
        timeout(limit, add).await.map_err(|_| timed_out(limit))?
    }
}

impl PeerConnection {
    fn stream(&mut self) -> &mut BoxedStream {
        match self {
            PeerConnection::Avro(connection) => &mut connection.exchange.stream,
            PeerConnection::Thrift(connection) => &mut connection.exchange.stream,
        }
    }

    async fn append(&mut self, event: &Event) -> Result<(), CallError> {
        match self {
            PeerConnection::Avro(connection) => connection.append(event).await,
            PeerConnection::Thrift(connection) => connection.append(event).await,
        }
    }

    async fn append_batch(&mut self, events: &[Event], depth: usize) -> Result<(), CallError> {
        match self {
            PeerConnection::Avro(connection) => connection.append_batch(events, depth).await,
            PeerConnection::Thrift(connection) => connection.append_batch(events, depth).await,
        }
    }

    /// Waits for the answers that are still to come.
    async fn settle(&mut self) -> Result<(), CallError> {
        match self {
            PeerConnection::Avro(connection) => connection.settle_to(0).await,
            PeerConnection::Thrift(connection) => connection.settle_to(0).await,
        }
    }
}

async fn within(
    limit: Duration,
    call: impl Future<Output = Result<(), CallError>>,
) -> Result<(), CallError> {
    let outcome = timeout(limit, call).await;
    outcome.unwrap_or_else(|_| Err(timed_out(limit).into()))
}

/// Whether a peer may have wanted the other order. That of Flume 1.9 falls silent when it does not understand.
fn is_refusal(error: &io::Error) -> bool {
    use io::ErrorKind::{
        BrokenPipe, ConnectionAborted, ConnectionReset, InvalidData, TimedOut, UnexpectedEof,
    };
    matches!(
        error.kind(),
        BrokenPipe | ConnectionAborted | ConnectionReset | InvalidData | TimedOut | UnexpectedEof
    )
}

fn timed_out(limit: Duration) -> io::Error {
    let text = format!("no answer within {limit:?}");
    io::Error::new(io::ErrorKind::TimedOut, text)
}

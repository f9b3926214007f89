//! The properties of a client, which are those of the sink `avro`, too.

use std::{collections::BTreeMap, num::NonZeroUsize};

use flume_core::{
    BuildError, Config, Context, Diagnostic, Registry, RotationOrder,
    config::{Choice, Ignored, Millis, OrDefault},
    props::{Props, Section, Setting},
};
use flume_net::DialerConfig;

use crate::{
    ClientError, FlumeClient, Hosts, KerberosConfig, PeerSettings, RpcProtocol, ThriftProtocol,
};

/// Flume's longest pause of a peer that failed.
const MAX_BACK_OFF: std::time::Duration = std::time::Duration::from_millis(30_000);

/// How a client reaches its peers.
#[derive(Clone, Config)]
pub struct ClientConfig {
    /// What is done with several peers: `default` sends to the first, `default_failover` to one as long as it works,
    /// `default_loadbalance` to each in turn; `thrift` speaks Thrift to the first.
    #[prop("client.type", default = "default")]
    client_type: ClientType,
    /// Names of peers; the address of each is `hosts.NAME = host:port`.
    #[prop("hosts")]
    hosts: Hosts,
    /// With `default_loadbalance`: `round_robin` or `random`.
    #[prop("host-selector", default = "round_robin")]
    host_selector: RotationOrder,
    /// With `default_loadbalance`: whether a peer that failed is left out for a while, 2 s, doubling with each failure.
    #[prop("backoff", default = false)]
    backoff: bool,
    /// Longest time in milliseconds that a failed peer is left out; 0 means 30000.
    #[prop("maxBackoff", default = 0)]
    max_backoff: OrDefault<Millis>,
    /// With `default_failover`: peers that are tried before a call fails; 0: each of them once.
    #[prop("max-attempts", default = 0)]
    max_attempts: OrDefault<usize>,
    /// Most events of a call.
    #[prop("batch-size", default = 100)]
    batch_size: OrDefault<NonZeroUsize>,
    /// With `client.type = thrift`: `compact` or `binary`.
    #[prop("protocol", default = "compact")]
    protocol: OrDefault<ThriftProtocolName>,
    #[prop(flatten)]
    compression: CompressionConfig,
    /// There is one connection to a peer.
    #[prop("maxConnections")]
    _max_connections: Ignored,
    /// There are no threads to limit.
    #[prop("maxIoWorkers")]
    _max_io_workers: Ignored,
    #[prop(flatten)]
    kerberos: KerberosConfig,
    #[prop(flatten)]
    dialer: DialerConfig,
}

/// Whether and how a connection is compressed.
#[derive(Clone, Config)]
pub struct CompressionConfig {
    /// `deflate` compresses the connection in both directions, which both ends must be told; `none` does not.
    #[prop("compression-type", default = "none")]
    compression_type: OrDefault<CompressionType>,
    /// From 0, none, to 9, best. -1 means 6.
    #[prop("compression-level", default = 6)]
    compression_level: OrDefault<i32>,
    /// What comes first with `compression-type = deflate` and `ssl = true`: `encrypt-then-compress` is what Flume 1.10 and
    /// 1.11 understand, `compress-then-encrypt` is for Flume up to 1.9. `auto` begins with the first and changes over
    /// when the peer refuses it. Not a property of Flume.
    #[prop("compressionOrder", default = "auto")]
    order: CompressionOrder,
}

/// How a connection is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompressionSettings {
    /// From 0, none, to 9, best.
    pub level: u32,
    /// What comes first when there is TLS, too.
    pub order: CompressionOrder,
}

/// What comes first with compression and TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CompressionOrder {
    /// The first, and the other when the peer refuses it.
    #[default]
    Auto,
    /// Flume 1.10 and 1.11 compress what TLS has encrypted.
    EncryptThenCompress,
    /// Flume up to 1.9 encrypts what was compressed.
    CompressThenEncrypt,
}

impl Choice for CompressionOrder {
    const CHOICES: &'static [(&'static str, Self)] = &[
        ("auto", CompressionOrder::Auto),
        (
            "encrypt-then-compress",
            CompressionOrder::EncryptThenCompress,
        ),
        (
            "compress-then-encrypt",
            CompressionOrder::CompressThenEncrypt,
        ),
    ];
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum CompressionType {
    None,
    Deflate,
}

impl Choice for CompressionType {
    const CHOICES: &'static [(&'static str, Self)] = &[
        ("none", CompressionType::None),
        ("deflate", CompressionType::Deflate),
    ];
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ClientType {
    Default,
    Failover,
    LoadBalance,
    Thrift,
}

impl Choice for ClientType {
    const CHOICES: &'static [(&'static str, Self)] = &[
        ("default", ClientType::Default),
        ("default_failover", ClientType::Failover),
        ("default_loadbalance", ClientType::LoadBalance),
        ("thrift", ClientType::Thrift),
        (
            "org.apache.flume.api.NettyAvroRpcClient",
            ClientType::Default,
        ),
        (
            "org.apache.flume.api.FailoverRpcClient",
            ClientType::Failover,
        ),
        (
            "org.apache.flume.api.LoadBalancingRpcClient",
            ClientType::LoadBalance,
        ),
        ("org.apache.flume.api.ThriftRpcClient", ClientType::Thrift),
    ];
}

/// `compact` or `binary`.
#[derive(Clone, Copy)]
pub struct ThriftProtocolName(pub ThriftProtocol);

impl Choice for ThriftProtocolName {
    const CHOICES: &'static [(&'static str, Self)] = &[
        ("compact", ThriftProtocolName(ThriftProtocol::Compact)),
        ("binary", ThriftProtocolName(ThriftProtocol::Binary)),
    ];
}

impl CompressionConfig {
    /// `None`: the connection is not compressed.
    ///
    /// # Errors
    /// When the level is none.
    pub fn build(&self) -> Result<Option<CompressionSettings>, BuildError> {
        if self.compression_type.0 == CompressionType::None {
            return Ok(None);
        }
        let level = match self.compression_level.0 {
            -1 => 6,
            level @ 0..=9 => level as u32,
            level => {
                let text = format!("expected a level from 0 to 9, found `{level}`");
                return Err(BuildError::at("compression-level", text));
            }
        };
        Ok(Some(CompressionSettings {
            level,
            order: self.order,
        }))
    }
}

impl ClientConfig {
    /// A client of `hosts`, or of this peer when there are none. Looks at no file.
    ///
    /// # Errors
    /// When properties do not go together.
    pub fn build(
        &self,
        default_host: Option<(String, u16)>,
        pipeline_depth: NonZeroUsize,
        cx: &Context,
    ) -> Result<FlumeClient, BuildError> {
        let mut addresses = self.hosts.0.clone();
        if addresses.is_empty() {
            addresses.extend(default_host);
        }
        let peers: Result<Vec<_>, _> = addresses
            .iter()
            .map(|(host, port)| self.peer(host, *port, pipeline_depth, cx))
            .collect();
        let peers = peers?;
        let Some(first) = peers.first().cloned() else {
            return Err(BuildError::at("hosts", "required but not set"));
        };
        match self.client_type {
            ClientType::Default | ClientType::Thrift => Ok(FlumeClient::peer(first)),
            ClientType::Failover => {
                let attempts = match self.max_attempts.0 {
                    0 => peers.len(),
                    attempts => attempts,
                };
                Ok(FlumeClient::failover(peers, attempts))
            }
            ClientType::LoadBalance if peers.len() < 2 => {
                let text = "default_loadbalance needs at least two hosts";
                Err(BuildError::at("hosts", text))
            }
            ClientType::LoadBalance => {
                let longest = match self.max_backoff.0.0 {
                    pause if pause.is_zero() => MAX_BACK_OFF,
                    pause => pause,
                };
                let longest = self.backoff.then_some(longest);
                Ok(FlumeClient::balancing(peers, self.host_selector, longest))
            }
        }
    }

    /// Whether a login is wanted that the protocol does not have.
    pub fn ignores_kerberos(&self) -> bool {
        self.kerberos.is_on() && self.client_type != ClientType::Thrift
    }

    /// Most events of a call.
    pub fn batch_size(&self) -> NonZeroUsize {
        self.batch_size.0
    }

    fn peer(
        &self,
        host: &str,
        port: u16,
        pipeline_depth: NonZeroUsize,
        cx: &Context,
    ) -> Result<PeerSettings, BuildError> {
        let protocol = match self.client_type {
            ClientType::Thrift => RpcProtocol::Thrift(self.protocol.0.0),
            _ => RpcProtocol::Avro,
        };
        Ok(PeerSettings {
            dialer: self.dialer.build(host, port, cx)?,
            protocol,
            batch_size: self.batch_size.0,
            pipeline_depth,
            compression: self.compression.build()?,
            kerberos: match protocol {
                RpcProtocol::Avro => None,
                RpcProtocol::Thrift(_) => self.kerberos.build()?,
            },
        })
    }
}

impl FlumeClient {
    /// A client as the properties of Flume's client SDK describe it, with what is doubtful about them.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn from_properties(
        properties: &BTreeMap<String, String>,
    ) -> Result<(Self, Vec<Diagnostic>), ClientError> {
        let settings = properties.iter().map(|(key, value)| {
            let setting = Setting {
                text: value.clone(),
                ..Setting::default()
            };
            (key.clone(), setting)
        });
        let section = Section {
            name: "client".into(),
            settings: settings.collect(),
            ..Section::default()
        };
        let registry = Registry::EMPTY;
        let mut props = Props::new(&registry, section);
        let config = ClientConfig::parse(&mut props);
        props.warn_unread(&ClientConfig::properties());
        let diagnostics = props.diagnostics;
        let Some(config) = config else {
            let mut wrong = diagnostics.into_iter();
            let first = wrong.find(|found| found.is_error());
            let (key, text) = first
                .map(|found| (found.key, found.text))
                .unwrap_or_default();
            return Err(BuildError::at(key.trim_start_matches("client."), text).into());
        };
        let client = config.build(None, NonZeroUsize::MIN, &Context::new("client", &[]))?;
        Ok((client, diagnostics))
    }
}

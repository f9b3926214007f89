//! What files ask of DataNodes while they are written.

use std::{
    io::ErrorKind,
    time::{Duration, SystemTime},
};

use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};

use super::ClientCore;
use crate::{
    namenode::{
        exceptions::said,
        messages::{
            DataEncryptionKey, DataEncryptionKeyResponse, EmptyRequest, ExtendedBlock,
            ServerDefaultsResponse, Token,
        },
    },
    rpc::RpcError,
    writer::{NodeAnswer, PipelineNode, SetUpFailure, SetUpRequest, TransferRequest},
    xfer::{
        handshake::HandshakeError,
        messages::{
            BaseHeader, CachingStrategy, OperationHeader, RequestedChecksum, TransferBlockRequest,
            WriteBlockRequest, opcode, operation, status,
        },
        socket::{DataSocket, DialError},
    },
};

/// A pipeline whose nodes live is set up in milliseconds; one with a dead node behind a live one reports it.
const SET_UP_TIMEOUT: Duration = Duration::from_secs(30);
/// A copy of a block's part that takes longer is not worth the wait: the block goes on with the nodes that are left.
pub(super) const TRANSFER_TIMEOUT: Duration = Duration::from_secs(10);
/// A live node answers a question in milliseconds.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the NameNode's defaults are believed.
const DEFAULTS_LIFETIME: Duration = Duration::from_secs(3600);
/// A key is replaced so long before it expires.
const KEY_MARGIN_MILLIS: u64 = 60_000;

/// What encrypts connections to DataNodes, where the cluster wants that.
#[derive(Default)]
pub(super) struct KeyCache(Mutex<KnownKey>);

#[derive(Default)]
struct KnownKey {
    /// Whether data is encrypted, and when the NameNode said so.
    encrypts: Option<(bool, Instant)>,
    key: Option<DataEncryptionKey>,
}

impl ClientCore {
    /// Connects to a DataNode. A key that it does not know is replaced, once.
    pub(super) async fn dial(
        &self,
        node: &PipelineNode,
        token: &Token,
    ) -> Result<DataSocket, DialError> {
        let key = self.data_key().await?;
        let socket = DataSocket::connect(&node.id, token, &self.data, key.as_ref()).await;
        match socket {
            Err(DialError::Handshake(HandshakeError::UnknownKey)) => {
                self.keys.0.lock().await.key = None;
                let key = self.data_key().await?;
                DataSocket::connect(&node.id, token, &self.data, key.as_ref()).await
            }
            other => other,
        }
    }

    /// The key that encrypts data; `None`: the cluster does not want it.
    async fn data_key(&self) -> Result<Option<DataEncryptionKey>, DialError> {
        let mut known = self.keys.0.lock().await;
        let failed = |error: RpcError| {
            let text = format!(
                "the NameNode does not say how data is encrypted: {}",
                said(&error)
            );
            DialError::Handshake(HandshakeError::Refused(text))
        };
        let encrypts = match known.encrypts {
            Some((encrypts, since)) if since.elapsed() < DEFAULTS_LIFETIME => encrypts,
            _ => {
                let asked = self.ask("getServerDefaults", &EmptyRequest {}).await;
                let answer: ServerDefaultsResponse = asked.map_err(failed)?;
                let encrypts = answer.defaults.encrypt_data_transfer == Some(true);
                known.encrypts = Some((encrypts, Instant::now()));
                encrypts
            }
        };
        if !encrypts {
            return Ok(None);
        }
        let now = SystemTime::UNIX_EPOCH
            .elapsed()
            .map_or(0, |now| now.as_millis() as u64);
        let fresh = |key: &&DataEncryptionKey| key.expiry_date > now + KEY_MARGIN_MILLIS;
        if let Some(key) = known.key.as_ref().filter(fresh) {
            return Ok(Some(key.clone()));
        }
        let asked = self.ask("getDataEncryptionKey", &EmptyRequest {}).await;
        let answer: DataEncryptionKeyResponse = asked.map_err(failed)?;
        known.key = answer.key;
        Ok(known.key.clone())
    }

    /// Sets a pipeline up: the connection to its first node.
    pub(super) async fn set_up(&self, request: &SetUpRequest) -> Result<DataSocket, SetUpFailure> {
        let _permit = self.set_ups.acquire().await;
        match timeout(SET_UP_TIMEOUT, self.try_set_up(request)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(SetUpFailure {
                silent: true,
                text: format!("no pipeline within {} s", SET_UP_TIMEOUT.as_secs()),
                ..SetUpFailure::default()
            }),
        }
    }

    async fn try_set_up(&self, request: &SetUpRequest) -> Result<DataSocket, SetUpFailure> {
        let [first, rest @ ..] = &request.nodes[..] else {
            return Err(SetUpFailure {
                text: "a pipeline without DataNodes".into(),
                ..SetUpFailure::default()
            });
        };
        let failed = |error: DialError| SetUpFailure {
            bad_link: None,
            token: matches!(error, DialError::Handshake(HandshakeError::Token(_))),
            silent: matches!(error, DialError::TimedOut(_)),
            text: error.to_string(),
        };
        let mut socket = self.dial(first, &request.token).await.map_err(failed)?;
        let message = WriteBlockRequest {
            header: self.header(&request.block, &request.token),
            targets: rest.iter().map(|node| node.info.clone()).collect(),
            stage: request.stage,
            pipeline_size: request.nodes.len() as u32,
            min_bytes: request.min_bytes,
            max_bytes: request.max_bytes,
            latest_generation: request.new_generation,
            checksum: RequestedChecksum {
                kind: self.write.checksum.number(),
                bytes_per_checksum: self.write.bytes_per_checksum as u32,
            },
            caching: Some(CachingStrategy {}),
            storage_type: Some(first.storage_type),
            target_storage_types: rest.iter().map(|node| node.storage_type).collect(),
            storage_id: Some(first.storage_id.clone()),
            target_storage_ids: storage_ids(rest),
        };
        let bytes = operation(opcode::WRITE_BLOCK, &message);
        socket.send(&bytes).await.map_err(failed)?;
        let response = socket.response().await.map_err(failed)?;
        if response.status == status::SUCCESS {
            return Ok(socket);
        }
        let said = response.message.unwrap_or_default();
        Err(SetUpFailure {
            bad_link: response.bad_link.filter(|link| !link.is_empty()),
            token: response.status == status::ACCESS_TOKEN,
            silent: false,
            text: format!("it answers with status {}: {said}", response.status),
        })
    }

    /// Lets a DataNode copy a block to another.
    pub(super) async fn transfer(&self, request: &TransferRequest) -> Result<(), String> {
        let copy = async {
            let mut socket = self.dial(&request.source, &request.token).await?;
            let bytes = self.transfer_bytes(
                &request.block,
                &request.token,
                std::slice::from_ref(&request.target),
            );
            socket.send(&bytes).await?;
            socket.response().await
        };
        match timeout(TRANSFER_TIMEOUT, copy).await {
            Ok(Ok(response)) if response.status == status::SUCCESS => Ok(()),
            Ok(Ok(response)) => Err(response.message.unwrap_or_default()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("it took too long".into()),
        }
    }

    /// Whether a DataNode answers, whatever it says: it is asked to copy the block to nobody.
    pub(super) async fn probe(
        &self,
        node: &PipelineNode,
        block: &ExtendedBlock,
        token: &Token,
    ) -> NodeAnswer {
        let ask = async {
            let mut socket = self.dial(node, token).await?;
            socket.send(&self.transfer_bytes(block, token, &[])).await?;
            socket.response().await
        };
        match timeout(PROBE_TIMEOUT, ask).await {
            Err(_) | Ok(Err(DialError::TimedOut(_))) => NodeAnswer::Silent,
            Ok(Err(DialError::Network(error))) => match error.kind() {
                ErrorKind::ConnectionRefused => NodeAnswer::Gone,
                ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset => NodeAnswer::Answers,
                _ => NodeAnswer::Silent,
            },
            Ok(_) => NodeAnswer::Answers,
        }
    }

    fn transfer_bytes(
        &self,
        block: &ExtendedBlock,
        token: &Token,
        targets: &[PipelineNode],
    ) -> Vec<u8> {
        let message = TransferBlockRequest {
            header: self.header(block, token),
            targets: targets.iter().map(|node| node.info.clone()).collect(),
            storage_types: targets.iter().map(|node| node.storage_type).collect(),
            storage_ids: storage_ids(targets),
        };
        operation(opcode::TRANSFER_BLOCK, &message)
    }

    pub(super) fn header(&self, block: &ExtendedBlock, token: &Token) -> OperationHeader {
        OperationHeader {
            base: BaseHeader {
                block: block.clone(),
                token: Some(token.clone()),
            },
            client_name: self.name.clone(),
        }
    }
}

pub(super) fn storage_ids(nodes: &[PipelineNode]) -> Vec<String> {
    nodes.iter().map(|node| node.storage_id.clone()).collect()
}

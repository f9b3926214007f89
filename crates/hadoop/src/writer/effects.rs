//! What a [`FileMachine`](super::FileMachine) asks its driver for, and the answers.

use std::time::Duration;

use prost::{Message, bytes::Bytes};

use crate::{
    fs::FsErrorKind,
    namenode::messages::{DatanodeId, DatanodeInfoHead, ExtendedBlock, LocatedBlock, Token},
    xfer::{XferError, packet::ChecksumKind},
};

/// How files are written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WriteSettings {
    /// Bytes of a full block; a multiple of `bytes_per_checksum`.
    pub block_bytes: u64,
    /// Data of a full packet, in bytes; a multiple of `bytes_per_checksum`.
    pub packet_data_bytes: usize,
    /// Bytes that each checksum covers.
    pub bytes_per_checksum: usize,
    /// How data are checked.
    pub checksum: ChecksumKind,
    /// Replicas of each block.
    pub replication: usize,
    /// Whether a lost DataNode is replaced while its block is written.
    pub replace_nodes: bool,
    /// The longest that a flush or a close may take before the file is given up.
    pub patience: Duration,
}

/// A DataNode of a pipeline.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PipelineNode {
    /// Which one.
    pub id: DatanodeId,
    /// Its `DatanodeInfoProto` as the NameNode sent it.
    pub info: Bytes,
    /// The kind of its storage.
    pub storage_type: i32,
    /// The name of its storage.
    pub storage_id: String,
}

impl PipelineNode {
    /// The DataNodes of a block, in the order of its pipeline.
    ///
    /// # Errors
    /// What is no `DatanodeInfoProto`.
    pub fn all_of(located: &LocatedBlock) -> Result<Vec<PipelineNode>, XferError> {
        let node = |(at, info): (usize, &Bytes)| {
            let head = DatanodeInfoHead::decode(info.clone())
                .map_err(|error| XferError(error.to_string()))?;
            Ok(PipelineNode {
                id: head.id,
                info: info.clone(),
                storage_type: located.storage_types.get(at).copied().unwrap_or(1),
                storage_id: located.storage_ids.get(at).cloned().unwrap_or_default(),
            })
        };
        located.locations.iter().enumerate().map(node).collect()
    }
}

/// What the driver is to do. `op` comes back with the answer; the answer to an old one is ignored.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::large_enum_variant, reason = "few exist at a time")]
pub enum Effect {
    /// Call the NameNode.
    Call {
        /// For the answer.
        op: u64,
        /// Which call.
        call: BlockCall,
    },
    /// Connect to the first DataNode and set the pipeline up.
    SetUp(SetUpRequest),
    /// Let one DataNode copy the block to another.
    Transfer(TransferRequest),
    /// Find out which DataNodes answer.
    Probe {
        /// For the answer.
        op: u64,
        /// Whom to ask.
        nodes: Vec<PipelineNode>,
        /// The block.
        block: ExtendedBlock,
        /// What allows to ask.
        token: Token,
    },
    /// Close the connection to the first DataNode.
    HangUp,
    /// Other files should leave this DataNode alone for a while.
    Blame {
        /// Which one.
        node: PipelineNode,
        /// Why.
        cause: String,
    },
    /// A flush is done.
    Flushed {
        /// Which one.
        ticket: u64,
    },
    /// The file is complete and closed.
    Closed,
    /// The file cannot be written any more.
    Failed(WriteFailure),
}

/// A call of the NameNode.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum BlockCall {
    /// A new block, after this one, on none of these DataNodes.
    AddBlock {
        /// With its final length.
        previous: Option<ExtendedBlock>,
        /// `DatanodeInfoProto`s.
        exclude: Vec<Bytes>,
    },
    /// A block that was never written is not wanted.
    Abandon {
        /// Which.
        block: ExtendedBlock,
    },
    /// One more DataNode for a block.
    AdditionalDatanode {
        /// The block.
        block: ExtendedBlock,
        /// Who has it.
        existing: Vec<PipelineNode>,
        /// `DatanodeInfoProto`s of those who must not get it.
        exclude: Vec<Bytes>,
    },
    /// A new generation stamp for a block.
    NewGeneration {
        /// The block.
        block: ExtendedBlock,
    },
    /// The pipeline has changed.
    UpdatePipeline {
        /// The block as it was.
        old: ExtendedBlock,
        /// With its new generation and the acknowledged length.
        new: ExtendedBlock,
        /// Who has it now.
        nodes: Vec<PipelineNode>,
    },
    /// Remember the block and its length.
    Fsync {
        /// Acknowledged bytes of the block.
        length: u64,
    },
    /// Close the file.
    Complete {
        /// The last block with its final length.
        last: Option<ExtendedBlock>,
    },
}

/// The NameNode's answer.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "few exist at a time")]
pub enum CallAnswer {
    /// It is done.
    Done,
    /// A block.
    Located(LocatedBlock),
    /// Whether the file is closed.
    Complete(bool),
}

/// The NameNode's refusal, or that it did not answer in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallFailure {
    /// What can be done about it.
    pub kind: FsErrorKind,
    /// Why.
    pub text: String,
}

/// A pipeline to set up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SetUpRequest {
    /// For the answer.
    pub op: u64,
    /// Its DataNodes.
    pub nodes: Vec<PipelineNode>,
    /// The block with its present generation.
    pub block: ExtendedBlock,
    /// What allows it.
    pub token: Token,
    /// One of [`stage`](crate::xfer::messages::stage).
    pub stage: i32,
    /// The new generation, in a recovery.
    pub new_generation: u64,
    /// What each node must have.
    pub min_bytes: u64,
    /// What each node may have.
    pub max_bytes: u64,
}

/// A copy of a block.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TransferRequest {
    /// For the answer.
    pub op: u64,
    /// Who has it.
    pub source: PipelineNode,
    /// Who gets it.
    pub target: PipelineNode,
    /// The block.
    pub block: ExtendedBlock,
    /// What allows it.
    pub token: Token,
}

/// Why a pipeline is not set up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SetUpFailure {
    /// `address:port` of the node that failed, if the first one knows it.
    pub bad_link: Option<String>,
    /// Whether a new token may help.
    pub token: bool,
    /// Whether nobody answered in time, which is no proof against a node.
    pub silent: bool,
    /// Why.
    pub text: String,
}

/// What a probe found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeAnswer {
    /// It answered, whatever it said.
    Answers,
    /// It said nothing in time.
    Silent,
    /// Nobody listens there any more.
    Gone,
}

/// Why a file cannot be written any more.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WriteFailure {
    /// What can be done about it.
    pub kind: FsErrorKind,
    /// Why.
    pub text: String,
}

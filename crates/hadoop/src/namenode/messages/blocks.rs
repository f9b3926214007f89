//! Blocks, the DataNodes they are on, and calls about them.

use prost::{Message, bytes::Bytes};

/// `TokenProto`: what proves to a DataNode that the NameNode allows an operation.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct Token {
    /// What it says, in the issuer's own format.
    #[prost(bytes = "bytes", required, tag = "1")]
    pub identifier: Bytes,
    /// The issuer's signature, which serves as a password.
    #[prost(bytes = "bytes", required, tag = "2")]
    pub password: Bytes,
    /// `HDFS_BLOCK_TOKEN`.
    #[prost(string, required, tag = "3")]
    pub kind: String,
    /// Whom it is for.
    #[prost(string, required, tag = "4")]
    pub service: String,
}

/// `ExtendedBlockProto`: a block, its generation and its length.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct ExtendedBlock {
    /// The block pool, one for each namespace.
    #[prost(string, required, tag = "1")]
    pub pool_id: String,
    /// The block's number within the pool.
    #[prost(uint64, required, tag = "2")]
    pub block_id: u64,
    /// Its generation stamp: it grows with each recovery, and replicas of an older one are void.
    #[prost(uint64, required, tag = "3")]
    pub generation_stamp: u64,
    /// Its length in bytes.
    #[prost(uint64, optional, tag = "4")]
    pub num_bytes: Option<u64>,
}

/// `DatanodeIDProto`: a DataNode and how it is reached.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct DatanodeId {
    /// Its address.
    #[prost(string, required, tag = "1")]
    pub ip_addr: String,
    /// Its name.
    #[prost(string, required, tag = "2")]
    pub host_name: String,
    /// Who it is, wherever it listens.
    #[prost(string, required, tag = "3")]
    pub uuid: String,
    /// The port for data.
    #[prost(uint32, required, tag = "4")]
    pub xfer_port: u32,
    /// The port of its web page.
    #[prost(uint32, required, tag = "5")]
    pub info_port: u32,
    /// The port for RPC.
    #[prost(uint32, required, tag = "6")]
    pub ipc_port: u32,
    /// The port of its web page with TLS.
    #[prost(uint32, optional, tag = "7")]
    pub info_secure_port: Option<u32>,
}

impl DatanodeId {
    /// `address:port` as `firstBadLink` names a DataNode.
    pub fn address(&self) -> String {
        format!("{}:{}", self.ip_addr, self.xfer_port)
    }
}

/// The one part of `DatanodeInfoProto` that is read.
#[derive(Clone, PartialEq, Message)]
pub struct DatanodeInfoHead {
    /// Which one.
    #[prost(message, required, tag = "1")]
    pub id: DatanodeId,
}

/// `LocatedBlockProto`. The DataNodes stay bytes, so that what is unknown here goes back to Hadoop unchanged.
#[derive(Clone, PartialEq, Message)]
pub struct LocatedBlock {
    /// The block.
    #[prost(message, required, tag = "1")]
    pub block: ExtendedBlock,
    /// Where it begins in the file.
    #[prost(uint64, required, tag = "2")]
    pub offset: u64,
    /// `DatanodeInfoProto`s.
    #[prost(bytes = "bytes", repeated, tag = "3")]
    pub locations: Vec<Bytes>,
    /// Whether no good replica is known.
    #[prost(bool, required, tag = "4")]
    pub corrupt: bool,
    /// For the next operation on the block.
    #[prost(message, required, tag = "5")]
    pub token: Token,
    /// The storage of each location, such as disk or SSD.
    #[prost(int32, repeated, packed = "false", tag = "7")]
    pub storage_types: Vec<i32>,
    /// The storage's name, for each location.
    #[prost(string, repeated, tag = "8")]
    pub storage_ids: Vec<String>,
}

/// `AddBlockRequestProto`.
#[derive(Clone, PartialEq, Message)]
pub struct AddBlockRequest {
    /// The path.
    #[prost(string, required, tag = "1")]
    pub path: String,
    /// Who holds the lease.
    #[prost(string, required, tag = "2")]
    pub client_name: String,
    /// The block before, with its final length: this commits it.
    #[prost(message, optional, tag = "3")]
    pub previous: Option<ExtendedBlock>,
    /// `DatanodeInfoProto`s that the block must not be on.
    #[prost(bytes = "bytes", repeated, tag = "4")]
    pub exclude: Vec<Bytes>,
    /// The file's number.
    #[prost(uint64, optional, tag = "5")]
    pub file_id: Option<u64>,
}

/// Answers with one located block.
#[derive(Clone, PartialEq, Message)]
pub struct LocatedBlockResponse {
    /// The block.
    #[prost(message, required, tag = "1")]
    pub block: LocatedBlock,
}

/// `AbandonBlockRequestProto`.
#[derive(Clone, PartialEq, Message)]
pub struct AbandonBlockRequest {
    /// The block.
    #[prost(message, required, tag = "1")]
    pub block: ExtendedBlock,
    /// The path.
    #[prost(string, required, tag = "2")]
    pub path: String,
    /// Who holds the lease.
    #[prost(string, required, tag = "3")]
    pub holder: String,
    /// The file's number.
    #[prost(uint64, optional, tag = "4")]
    pub file_id: Option<u64>,
}

/// `GetAdditionalDatanodeRequestProto`.
#[derive(Clone, PartialEq, Message)]
pub struct AdditionalDatanodeRequest {
    /// The path.
    #[prost(string, required, tag = "1")]
    pub path: String,
    /// The block.
    #[prost(message, required, tag = "2")]
    pub block: ExtendedBlock,
    /// DataNodes that have it.
    #[prost(bytes = "bytes", repeated, tag = "3")]
    pub existing: Vec<Bytes>,
    /// DataNodes that must not get it.
    #[prost(bytes = "bytes", repeated, tag = "4")]
    pub exclude: Vec<Bytes>,
    /// How many are wanted.
    #[prost(uint32, required, tag = "5")]
    pub count: u32,
    /// Who holds the lease.
    #[prost(string, required, tag = "6")]
    pub client_name: String,
    /// Storages of the existing ones.
    #[prost(string, repeated, tag = "7")]
    pub existing_storage_ids: Vec<String>,
    /// The file's number.
    #[prost(uint64, optional, tag = "8")]
    pub file_id: Option<u64>,
}

/// `UpdateBlockForPipelineRequestProto`.
#[derive(Clone, PartialEq, Message)]
pub struct NewGenerationRequest {
    /// The block.
    #[prost(message, required, tag = "1")]
    pub block: ExtendedBlock,
    /// Who holds the lease.
    #[prost(string, required, tag = "2")]
    pub client_name: String,
}

/// `UpdatePipelineRequestProto`.
#[derive(Clone, PartialEq, Message)]
pub struct UpdatePipelineRequest {
    /// Who holds the lease.
    #[prost(string, required, tag = "1")]
    pub client_name: String,
    /// The block as it was.
    #[prost(message, required, tag = "2")]
    pub old_block: ExtendedBlock,
    /// The block with its new generation and the acknowledged length.
    #[prost(message, required, tag = "3")]
    pub new_block: ExtendedBlock,
    /// Who has it now.
    #[prost(message, repeated, tag = "4")]
    pub new_nodes: Vec<DatanodeId>,
    /// Their storages.
    #[prost(string, repeated, tag = "5")]
    pub storage_ids: Vec<String>,
}

/// `FsyncRequestProto`.
#[derive(Clone, PartialEq, Message)]
pub struct FsyncRequest {
    /// The path.
    #[prost(string, required, tag = "1")]
    pub path: String,
    /// Who holds the lease.
    #[prost(string, required, tag = "2")]
    pub client_name: String,
    /// Bytes of the last block; -1: unknown.
    #[prost(sint64, optional, tag = "3")]
    pub last_block_length: Option<i64>,
    /// The file's number.
    #[prost(uint64, optional, tag = "4")]
    pub file_id: Option<u64>,
}

/// `CompleteRequestProto`.
#[derive(Clone, PartialEq, Message)]
pub struct CompleteRequest {
    /// The path.
    #[prost(string, required, tag = "1")]
    pub path: String,
    /// Who holds the lease.
    #[prost(string, required, tag = "2")]
    pub client_name: String,
    /// The last block with its final length; absent: the file is empty.
    #[prost(message, optional, tag = "3")]
    pub last: Option<ExtendedBlock>,
    /// The file's number.
    #[prost(uint64, optional, tag = "4")]
    pub file_id: Option<u64>,
}

/// `GetBlockLocationsRequestProto`.
#[derive(Clone, PartialEq, Message)]
pub struct BlockLocationsRequest {
    /// The path.
    #[prost(string, required, tag = "1")]
    pub path: String,
    /// From this byte.
    #[prost(uint64, required, tag = "2")]
    pub offset: u64,
    /// So many bytes.
    #[prost(uint64, required, tag = "3")]
    pub length: u64,
}

/// `GetBlockLocationsResponseProto`; nothing is in it when there is no such file.
#[derive(Clone, PartialEq, Message)]
pub struct BlockLocationsResponse {
    /// The file's blocks.
    #[prost(message, optional, tag = "1")]
    pub located: Option<LocatedBlocks>,
}

/// `LocatedBlocksProto`.
#[derive(Clone, PartialEq, Message)]
pub struct LocatedBlocks {
    /// Bytes of the file.
    #[prost(uint64, required, tag = "1")]
    pub file_length: u64,
    /// Its blocks.
    #[prost(message, repeated, tag = "2")]
    pub blocks: Vec<LocatedBlock>,
    /// Whether somebody writes it.
    #[prost(bool, required, tag = "3")]
    pub under_construction: bool,
    /// Whether the last block is complete.
    #[prost(bool, required, tag = "5")]
    pub last_block_complete: bool,
    /// `FileEncryptionInfoProto`.
    #[prost(bytes = "bytes", optional, tag = "6")]
    pub encryption: Option<Bytes>,
}

//! Messages of `ClientNamenodeProtocol.proto`, `hdfs.proto` and `Security.proto`, with the fields that are used.
//! Enumerations are numbers with constants; repeated numbers are not packed, as in Hadoop.

mod blocks;

pub use blocks::{
    AbandonBlockRequest, AddBlockRequest, AdditionalDatanodeRequest, BlockLocationsRequest,
    BlockLocationsResponse, CompleteRequest, DatanodeId, DatanodeInfoHead, ExtendedBlock,
    FsyncRequest, LocatedBlock, LocatedBlockResponse, LocatedBlocks, NewGenerationRequest, Token,
    UpdatePipelineRequest,
};
use prost::{Message, bytes::Bytes};

/// `HdfsFileStatusProto`.
#[derive(Clone, PartialEq, Message)]
pub struct FileStatus {
    /// 1: a directory, 2: a file, 3: a symbolic link.
    #[prost(int32, required, tag = "1")]
    pub file_type: i32,
    /// The name within the directory; empty: the file that was asked for.
    #[prost(bytes = "bytes", required, tag = "2")]
    pub name: Bytes,
    /// Its length in bytes, as the NameNode knows it.
    #[prost(uint64, required, tag = "3")]
    pub length: u64,
    /// Whose it is.
    #[prost(string, required, tag = "5")]
    pub owner: String,
    /// Replicas of each block.
    #[prost(uint32, optional, tag = "10")]
    pub replication: Option<u32>,
    /// Bytes of a full block.
    #[prost(uint64, optional, tag = "11")]
    pub block_size: Option<u64>,
    /// Its number: names change, this does not.
    #[prost(uint64, optional, tag = "13")]
    pub file_id: Option<u64>,
    /// `FileEncryptionInfoProto`; not empty: the file is in an encryption zone.
    #[prost(bytes = "bytes", optional, tag = "15")]
    pub encryption: Option<Bytes>,
    /// `ErasureCodingPolicyProto`; not empty: the file is striped.
    #[prost(bytes = "bytes", optional, tag = "17")]
    pub erasure_coding: Option<Bytes>,
    /// The namespace, behind a router.
    #[prost(string, optional, tag = "19")]
    pub namespace: Option<String>,
}

/// Value of [`FileStatus::file_type`].
pub const DIRECTORY_TYPE: i32 = 1;
/// Value of [`FileStatus::file_type`].
pub const SYMLINK_TYPE: i32 = 3;

/// `FsPermissionProto`.
#[derive(Clone, PartialEq, Message)]
pub struct Permission {
    /// Unix permission bits.
    #[prost(uint32, required, tag = "1")]
    pub mode: u32,
}

/// `CreateRequestProto`.
#[derive(Clone, PartialEq, Message)]
pub struct CreateRequest {
    /// The path.
    #[prost(string, required, tag = "1")]
    pub path: String,
    /// What is left of the permissions after the umask.
    #[prost(message, required, tag = "2")]
    pub masked: Permission,
    /// Who holds the lease.
    #[prost(string, required, tag = "3")]
    pub client_name: String,
    /// [`CREATE_FLAG`] and others.
    #[prost(uint32, required, tag = "4")]
    pub flags: u32,
    /// Whether missing parents are created.
    #[prost(bool, required, tag = "5")]
    pub create_parent: bool,
    /// Replicas of each block.
    #[prost(uint32, required, tag = "6")]
    pub replication: u32,
    /// Bytes of a full block.
    #[prost(uint64, required, tag = "7")]
    pub block_size: u64,
    /// The permissions before the umask, for directories with default ACLs.
    #[prost(message, optional, tag = "9")]
    pub unmasked: Option<Permission>,
}

/// Create, never overwrite.
pub const CREATE_FLAG: u32 = 1;
/// Replicate, also where the directory is erasure coded.
pub const SHOULD_REPLICATE_FLAG: u32 = 128;

/// `CreateResponseProto`, `GetFileInfoResponseProto`: nothing is in it when there is no such file.
#[derive(Clone, PartialEq, Message)]
pub struct FileStatusResponse {
    /// The file.
    #[prost(message, optional, tag = "1")]
    pub status: Option<FileStatus>,
}

/// `RenewLeaseRequestProto`.
#[derive(Clone, PartialEq, Message)]
pub struct RenewLeaseRequest {
    /// Who holds the leases.
    #[prost(string, required, tag = "1")]
    pub client_name: String,
    /// The namespaces it has files in, behind a router.
    #[prost(string, repeated, tag = "2")]
    pub namespaces: Vec<String>,
}

/// `RecoverLeaseRequestProto`.
#[derive(Clone, PartialEq, Message)]
pub struct RecoverLeaseRequest {
    /// The path.
    #[prost(string, required, tag = "1")]
    pub path: String,
    /// Who asks.
    #[prost(string, required, tag = "2")]
    pub client_name: String,
}

/// A request about a path and nothing else.
#[derive(Clone, PartialEq, Message)]
pub struct PathRequest {
    /// The path.
    #[prost(string, required, tag = "1")]
    pub path: String,
}

/// `TruncateRequestProto`.
#[derive(Clone, PartialEq, Message)]
pub struct TruncateRequest {
    /// The path.
    #[prost(string, required, tag = "1")]
    pub path: String,
    /// Bytes to keep.
    #[prost(uint64, required, tag = "2")]
    pub new_length: u64,
    /// Who asks.
    #[prost(string, required, tag = "3")]
    pub client_name: String,
}

/// `Rename2RequestProto`.
#[derive(Clone, PartialEq, Message)]
pub struct RenameRequest {
    /// The path now.
    #[prost(string, required, tag = "1")]
    pub from: String,
    /// The path then.
    #[prost(string, required, tag = "2")]
    pub to: String,
    /// Whether a file there is replaced.
    #[prost(bool, required, tag = "3")]
    pub overwrite: bool,
}

/// `GetListingRequestProto`.
#[derive(Clone, PartialEq, Message)]
pub struct GetListingRequest {
    /// The directory.
    #[prost(string, required, tag = "1")]
    pub path: String,
    /// Entries after this one; empty: from the first.
    #[prost(bytes = "vec", required, tag = "2")]
    pub after: Vec<u8>,
    /// Whether the places of blocks are wanted.
    #[prost(bool, required, tag = "3")]
    pub locations: bool,
}

/// `GetListingResponseProto`; nothing is in it when there is no such directory.
#[derive(Clone, PartialEq, Message)]
pub struct GetListingResponse {
    /// The directory.
    #[prost(message, optional, tag = "1")]
    pub listing: Option<DirectoryListing>,
}

/// `DirectoryListingProto`.
#[derive(Clone, PartialEq, Message)]
pub struct DirectoryListing {
    /// What is in it.
    #[prost(message, repeated, tag = "1")]
    pub entries: Vec<FileStatus>,
}

/// `DeleteRequestProto`.
#[derive(Clone, PartialEq, Message)]
pub struct DeleteRequest {
    /// The path.
    #[prost(string, required, tag = "1")]
    pub path: String,
    /// Whether a directory goes with all that is in it.
    #[prost(bool, required, tag = "2")]
    pub recursive: bool,
}

/// `SetOwnerRequestProto`.
#[derive(Clone, PartialEq, Message)]
pub struct SetOwnerRequest {
    /// The path.
    #[prost(string, required, tag = "1")]
    pub path: String,
    /// The new group.
    #[prost(string, optional, tag = "3")]
    pub group: Option<String>,
}

/// Answers that are yes or no, and answers that say nothing.
#[derive(Clone, PartialEq, Message)]
pub struct BooleanResponse {
    /// The answer.
    #[prost(bool, optional, tag = "1")]
    pub result: Option<bool>,
}

/// Requests without content.
#[derive(Clone, PartialEq, Message)]
pub struct EmptyRequest {}

/// `GetServerDefaultsResponseProto`.
#[derive(Clone, PartialEq, Message)]
pub struct ServerDefaultsResponse {
    /// The defaults.
    #[prost(message, required, tag = "1")]
    pub defaults: ServerDefaults,
}

/// `FsServerDefaultsProto`, as far as it concerns a writer.
#[derive(Clone, PartialEq, Message)]
pub struct ServerDefaults {
    /// Whether connections to DataNodes are encrypted.
    #[prost(bool, optional, tag = "6")]
    pub encrypt_data_transfer: Option<bool>,
}

/// `GetDataEncryptionKeyResponseProto`.
#[derive(Clone, PartialEq, Message)]
pub struct DataEncryptionKeyResponse {
    /// The key; absent: data is not encrypted.
    #[prost(message, optional, tag = "1")]
    pub key: Option<DataEncryptionKey>,
}

/// `DataEncryptionKeyProto`.
#[derive(Clone, PartialEq, Message)]
pub struct DataEncryptionKey {
    /// Which key of the block pool it is made of.
    #[prost(uint32, required, tag = "1")]
    pub key_id: u32,
    /// The block pool.
    #[prost(string, required, tag = "2")]
    pub pool_id: String,
    /// What makes it this client's.
    #[prost(bytes = "bytes", required, tag = "3")]
    pub nonce: Bytes,
    /// The key.
    #[prost(bytes = "bytes", required, tag = "4")]
    pub encryption_key: Bytes,
    /// When it expires: milliseconds since 1970.
    #[prost(uint64, required, tag = "5")]
    pub expiry_date: u64,
    /// `3des`, `rc4`; absent: whatever both sides know.
    #[prost(string, optional, tag = "6")]
    pub algorithm: Option<String>,
}

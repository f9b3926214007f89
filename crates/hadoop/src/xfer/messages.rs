//! Messages of `datatransfer.proto`, with the fields that are used.

use prost::{Message, bytes::Bytes};

use crate::namenode::messages::{ExtendedBlock, Token};

/// `BaseHeaderProto`.
#[derive(Clone, PartialEq, Message)]
pub struct BaseHeader {
    /// The block.
    #[prost(message, required, tag = "1")]
    pub block: ExtendedBlock,
    /// What allows the operation.
    #[prost(message, optional, tag = "2")]
    pub token: Option<Token>,
}

/// `ClientOperationHeaderProto`.
#[derive(Clone, PartialEq, Message)]
pub struct OperationHeader {
    /// The block and its token.
    #[prost(message, required, tag = "1")]
    pub base: BaseHeader,
    /// Who asks.
    #[prost(string, required, tag = "2")]
    pub client_name: String,
}

/// `ChecksumProto`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct RequestedChecksum {
    /// 0: none, 1: CRC32, 2: CRC32C.
    #[prost(int32, required, tag = "1")]
    pub kind: i32,
    /// Bytes that each checksum covers.
    #[prost(uint32, required, tag = "2")]
    pub bytes_per_checksum: u32,
}

/// `CachingStrategyProto`; empty: the DataNode's own.
#[derive(Clone, PartialEq, Message)]
pub struct CachingStrategy {}

/// `OpWriteBlockProto`.
#[derive(Clone, PartialEq, Message)]
pub struct WriteBlockRequest {
    /// The block and who writes it.
    #[prost(message, required, tag = "1")]
    pub header: OperationHeader,
    /// `DatanodeInfoProto`s of all nodes but the first.
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub targets: Vec<Bytes>,
    /// One of [`stage`].
    #[prost(int32, required, tag = "4")]
    pub stage: i32,
    /// How many nodes the pipeline has.
    #[prost(uint32, required, tag = "5")]
    pub pipeline_size: u32,
    /// The least that each node must have, in a recovery.
    #[prost(uint64, required, tag = "6")]
    pub min_bytes: u64,
    /// The most that a node may have, in a recovery.
    #[prost(uint64, required, tag = "7")]
    pub max_bytes: u64,
    /// The block's new generation, in a recovery.
    #[prost(uint64, required, tag = "8")]
    pub latest_generation: u64,
    /// How packets are checked.
    #[prost(message, required, tag = "9")]
    pub checksum: RequestedChecksum,
    /// What the page cache keeps.
    #[prost(message, optional, tag = "10")]
    pub caching: Option<CachingStrategy>,
    /// The first node's storage.
    #[prost(int32, optional, tag = "11")]
    pub storage_type: Option<i32>,
    /// The others' storages.
    #[prost(int32, repeated, packed = "false", tag = "12")]
    pub target_storage_types: Vec<i32>,
    /// The name of the first node's storage.
    #[prost(string, optional, tag = "16")]
    pub storage_id: Option<String>,
    /// The names of the others' storages.
    #[prost(string, repeated, tag = "17")]
    pub target_storage_ids: Vec<String>,
}

/// Values of [`WriteBlockRequest::stage`].
pub mod stage {
    /// A pipeline that lost a node goes on.
    pub const STREAMING_RECOVERY: i32 = 3;
    /// A pipeline that lost a node while the block ended.
    pub const CLOSE_RECOVERY: i32 = 5;
    /// A new block.
    pub const CREATE: i32 = 6;
}

/// `OpTransferBlockProto`.
#[derive(Clone, PartialEq, Message)]
pub struct TransferBlockRequest {
    /// The block and who writes it.
    #[prost(message, required, tag = "1")]
    pub header: OperationHeader,
    /// `DatanodeInfoProto`s of those who get a copy.
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub targets: Vec<Bytes>,
    /// Their storages.
    #[prost(int32, repeated, packed = "false", tag = "3")]
    pub storage_types: Vec<i32>,
    /// The names of their storages.
    #[prost(string, repeated, tag = "4")]
    pub storage_ids: Vec<String>,
}

/// `OpReadBlockProto`.
#[derive(Clone, PartialEq, Message)]
pub struct ReadBlockRequest {
    /// The block and who reads it.
    #[prost(message, required, tag = "1")]
    pub header: OperationHeader,
    /// From this byte.
    #[prost(uint64, required, tag = "2")]
    pub offset: u64,
    /// So many bytes.
    #[prost(uint64, required, tag = "3")]
    pub length: u64,
    /// Whether checksums are wanted.
    #[prost(bool, optional, tag = "4")]
    pub checksums: Option<bool>,
}

/// `BlockOpResponseProto`.
#[derive(Clone, PartialEq, Message)]
pub struct BlockOpResponse {
    /// One of [`status`].
    #[prost(int32, required, tag = "1")]
    pub status: i32,
    /// `address:port` of the node that failed.
    #[prost(string, optional, tag = "2")]
    pub bad_link: Option<String>,
    /// How what is read is checked.
    #[prost(message, optional, tag = "4")]
    pub read_checksum: Option<ReadChecksum>,
    /// What went wrong.
    #[prost(string, optional, tag = "5")]
    pub message: Option<String>,
}

/// `ReadOpChecksumInfoProto`.
#[derive(Clone, PartialEq, Message)]
pub struct ReadChecksum {
    /// How packets are checked.
    #[prost(message, required, tag = "1")]
    pub checksum: RequestedChecksum,
    /// Where the first packet begins.
    #[prost(uint64, required, tag = "2")]
    pub chunk_offset: u64,
}

/// `ClientReadStatusProto`.
#[derive(Clone, PartialEq, Message)]
pub struct ReadStatus {
    /// One of [`status`].
    #[prost(int32, required, tag = "1")]
    pub status: i32,
}

/// Values of Hadoop's `Status`.
pub mod status {
    /// It worked.
    pub const SUCCESS: i32 = 0;
    /// The token is expired or wrong.
    pub const ACCESS_TOKEN: i32 = 5;
    /// What was read is as it was written.
    pub const CHECKSUM_OK: i32 = 6;
    /// The DataNode restarts and will be back.
    pub const OOB_RESTART: i32 = 8;
}

/// `PipelineAckProto`.
#[derive(Clone, PartialEq, Message)]
pub struct PipelineAck {
    /// Of which packet; [`HEARTBEAT_SEQNO`], [`OUT_OF_BAND_SEQNO`].
    #[prost(sint64, required, tag = "1")]
    pub seqno: i64,
    /// One status for each node, the first node first.
    #[prost(int32, repeated, packed = "false", tag = "2")]
    pub replies: Vec<i32>,
    /// The same with more: the status is in the lowest four bits.
    #[prost(uint32, repeated, tag = "4")]
    pub flags: Vec<u32>,
}

/// The acknowledgement of a heartbeat.
pub const HEARTBEAT_SEQNO: i64 = -1;
/// News that nobody asked for.
pub const OUT_OF_BAND_SEQNO: i64 = -2;
/// An acknowledgement of hundreds of nodes is shorter.
pub const MAX_ACK_BYTES: usize = 16 << 10;
/// No other message of a DataNode is longer.
pub const MAX_MESSAGE_BYTES: usize = 1 << 20;

impl PipelineAck {
    /// The last node that reports a failure, and its status.
    pub fn failure(&self) -> Option<(usize, i32)> {
        let statuses: Vec<i32> = if self.flags.is_empty() {
            self.replies.clone()
        } else {
            self.flags
                .iter()
                .map(|flag| (flag & 15).cast_signed())
                .collect()
        };
        statuses
            .iter()
            .rposition(|reply| *reply != status::SUCCESS)
            .map(|at| (at, statuses[at]))
    }
}

/// Opcodes.
pub mod opcode {
    /// Writes a block.
    pub const WRITE_BLOCK: u8 = 80;
    /// Reads one.
    pub const READ_BLOCK: u8 = 81;
    /// Copies one that is being written to another node.
    pub const TRANSFER_BLOCK: u8 = 86;
}

/// The bytes that begin an operation: version 28, opcode, message.
pub fn operation(opcode: u8, message: &impl Message) -> Vec<u8> {
    let mut bytes = vec![0, 28, opcode];
    bytes.extend(message.encode_length_delimited_to_vec());
    bytes
}

/// `DataTransferEncryptorMessageProto`: a step of the handshake.
#[derive(Clone, PartialEq, Message)]
pub struct HandshakeMessage {
    /// 0: go on, 1: unknown key, 2: an error.
    #[prost(int32, required, tag = "1")]
    pub status: i32,
    /// What DIGEST-MD5 says.
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub payload: Option<Bytes>,
    /// What went wrong.
    #[prost(string, optional, tag = "3")]
    pub message: Option<String>,
    /// Ciphers besides those of DIGEST-MD5, with keys in the server's last message.
    #[prost(message, repeated, tag = "4")]
    pub ciphers: Vec<CipherOption>,
    /// Whether the token is what is wrong.
    #[prost(bool, optional, tag = "6")]
    pub token_error: Option<bool>,
}

/// `CipherOptionProto`.
#[derive(Clone, PartialEq, Message)]
pub struct CipherOption {
    /// [`AES_CTR`].
    #[prost(int32, required, tag = "1")]
    pub suite: i32,
    /// What the client writes with.
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub in_key: Option<Bytes>,
    /// Its first counter.
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub in_iv: Option<Bytes>,
    /// What the client reads with.
    #[prost(bytes = "bytes", optional, tag = "4")]
    pub out_key: Option<Bytes>,
    /// Its first counter.
    #[prost(bytes = "bytes", optional, tag = "5")]
    pub out_iv: Option<Bytes>,
}

/// AES in counter mode.
pub const AES_CTR: i32 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes of Hadoop 3.4.3 for "seqno 5, three times SUCCESS".
    #[test]
    fn an_acknowledgement_of_hadoop_is_read() {
        let bytes = [8, 10, 16, 0, 16, 0, 16, 0, 24, 0xe8, 7, 34, 3, 0, 0, 0];
        let ack = PipelineAck::decode(&bytes[..]).unwrap();
        assert_eq!((ack.seqno, ack.failure()), (5, None));
        let bad = PipelineAck {
            seqno: OUT_OF_BAND_SEQNO,
            replies: vec![0, 0, 1],
            flags: vec![],
        };
        assert_eq!(bad.failure(), Some((2, 1)));
        let flags = PipelineAck {
            flags: vec![0x10, 0x18],
            ..bad
        };
        assert_eq!(flags.failure(), Some((1, status::OOB_RESTART)));
    }
}

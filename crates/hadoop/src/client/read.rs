//! Reading a small closed file: a schema.

use std::time::Duration;

use prost::{
    Message,
    bytes::{Bytes, BytesMut},
};
use tokio::time::timeout;

use super::ClientCore;
use crate::{
    fs::{FsError, FsErrorKind},
    namenode::messages::{BlockLocationsRequest, BlockLocationsResponse, LocatedBlock},
    writer::PipelineNode,
    xfer::{
        XferError,
        messages::{ReadBlockRequest, ReadStatus, opcode, operation, status},
        packet::{ChecksumKind, ReceivedPacket},
        socket::DialError,
    },
};

/// A schema is no larger.
const MAX_READ_BYTES: u64 = 16 << 20;
/// A DataNode sends a block of a schema sooner.
const BLOCK_TIMEOUT: Duration = Duration::from_secs(20);

/// The whole content of a file.
pub(super) async fn read(core: &ClientCore, path: &str) -> Result<Bytes, FsError> {
    let doing = format!("read {path}");
    let request = BlockLocationsRequest {
        path: path.into(),
        offset: 0,
        length: MAX_READ_BYTES,
    };
    let answer: BlockLocationsResponse = core
        .call("getBlockLocations", &request, doing.clone())
        .await?;
    let Some(located) = answer.located else {
        return Err(FsError::at(FsErrorKind::Gone, doing)(
            "there is no such file",
        ));
    };
    if located.file_length > MAX_READ_BYTES {
        let cause = format!(
            "{} bytes are more than {MAX_READ_BYTES}",
            located.file_length
        );
        return Err(FsError::at(FsErrorKind::Unsupported, doing)(cause));
    }
    if located
        .encryption
        .is_some_and(|encryption| !encryption.is_empty())
    {
        let cause = "it is in an encryption zone, which this client does not read";
        return Err(FsError::at(FsErrorKind::Unsupported, doing)(cause));
    }
    let mut content = Vec::with_capacity(located.file_length as usize);
    for block in &located.blocks {
        let bytes = read_block(core, block).await;
        content.extend(bytes.map_err(FsError::at(FsErrorKind::Retry, doing.clone()))?);
    }
    content.truncate(located.file_length as usize);
    Ok(content.into())
}

/// From the first DataNode that has it as it was written.
async fn read_block(core: &ClientCore, block: &LocatedBlock) -> Result<Vec<u8>, String> {
    let nodes = PipelineNode::all_of(block).map_err(|error| error.to_string())?;
    let mut causes = vec![];
    for node in &nodes {
        let address = node.id.address();
        match timeout(BLOCK_TIMEOUT, read_from(core, block, node)).await {
            Ok(Ok(bytes)) => return Ok(bytes),
            Ok(Err(error)) => causes.push(format!("DataNode {address}: {error}")),
            Err(_) => causes.push(format!("DataNode {address}: no answer")),
        }
    }
    if causes.is_empty() {
        causes.push("no DataNode has the block".into());
    }
    Err(causes.join("; "))
}

async fn read_from(
    core: &ClientCore,
    block: &LocatedBlock,
    node: &PipelineNode,
) -> Result<Vec<u8>, DialError> {
    let length = block.block.num_bytes.unwrap_or(0);
    let mut socket = core.dial(node, &block.token).await?;
    let request = ReadBlockRequest {
        header: core.header(&block.block, &block.token),
        offset: 0,
        length,
        checksums: Some(true),
    };
    socket
        .send(&operation(opcode::READ_BLOCK, &request))
        .await?;
    let response = socket.response().await?;
    if response.status != status::SUCCESS {
        let said = response.message.unwrap_or_default();
        return Err(XferError(format!("status {}: {said}", response.status)).into());
    }
    let check = response.read_checksum.unwrap_or_default().checksum;
    let kind = ChecksumKind::of(check.kind);
    let mut bytes = vec![];
    loop {
        let packet = loop {
            if let Some(packet) = ReceivedPacket::cut(&mut socket.plain)? {
                break packet;
            }
            socket.fill().await?;
        };
        if packet.header.last {
            break;
        }
        let intact =
            kind.is_none_or(|kind| packet.is_intact(kind, check.bytes_per_checksum as usize));
        if !intact || bytes.len() as u64 + packet.data.len() as u64 > MAX_READ_BYTES {
            return Err(XferError("data that are not as they were written".into()).into());
        }
        bytes.extend_from_slice(&packet.data);
    }
    let done = ReadStatus {
        status: status::CHECKSUM_OK,
    };
    // The DataNode only takes note of it.
    let _ = socket.send(&done.encode_length_delimited_to_vec()).await;
    let _: BytesMut = socket.plain;
    Ok(bytes)
}

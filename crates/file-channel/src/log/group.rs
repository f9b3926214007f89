//! A group as it goes to disk: batches and acks become frames behind one header.

use std::io;

use super::Current;
use crate::{
    encryption::{FrameCipher, FramePlace},
    format::{
        BLOCK, FRAME_HEADER, FrameHeader, FrameKind, GROUP_HEADER, GroupHeader, encode_ranges,
        padded,
    },
    now_ms,
    ranges::Ranges,
    segment::Position,
};

/// An ack holds no more ranges, so that it fits into what is reserved for it.
pub(crate) const MAX_ACK_RANGES: usize = 1024;
/// The longest group of a single ack.
pub const MAX_ACK_GROUP_BYTES: u64 =
    padded((GROUP_HEADER + FRAME_HEADER + 16 * MAX_ACK_RANGES) as u64 + SEAL_BYTES);
/// What sealing adds to a body.
const SEAL_BYTES: u64 = crate::encryption::TAG_BYTES as u64;

/// A put as it goes to disk.
#[derive(Debug, Default)]
pub struct Batch {
    /// Its events, encoded.
    pub body: Vec<u8>,
    /// CRC32C of `body`.
    pub crc: u32,
    /// How many events.
    pub count: u32,
    /// Bytes of their bodies and headers.
    pub bytes: u64,
    /// When they were put, in milliseconds since 1970.
    pub time_ms: u64,
}

/// Consumed sequence numbers that are not on disk yet.
#[derive(Debug, Default)]
pub struct Acks {
    /// The numbers.
    pub ranges: Ranges,
    /// Bytes of their events.
    pub bytes: u64,
}

impl Acks {
    /// Leaves no more ranges than a frame holds; returns the rest.
    pub(crate) fn split_rest(&mut self) -> Acks {
        if self.ranges.len() <= MAX_ACK_RANGES {
            return Acks::default();
        }
        let all = std::mem::take(&mut self.ranges);
        self.ranges = all.iter().take(MAX_ACK_RANGES).collect();
        let ranges: Ranges = all.iter().skip(MAX_ACK_RANGES).collect();
        Acks { ranges, bytes: 0 }
    }
}

/// What was made durable.
#[derive(Debug, PartialEq, Eq)]
pub struct Appended {
    /// So many of the batches, from the first.
    pub batches: usize,
    /// Sequence number of the first event; the others follow without gaps.
    pub first: u64,
    /// Where the group begins.
    pub start: Position,
    /// Where it ends.
    pub end: Position,
    /// Whether the acks are in it.
    pub acks: bool,
}

/// Why nothing was made durable.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// There is no room for another segment; nothing was written.
    #[error("there is no room on disk")]
    NoRoom,
    /// Writing or syncing failed: nobody knows what is on disk.
    #[error("failed to write the log")]
    Io(#[from] io::Error),
}

pub(crate) fn frame_bytes(batch: &Batch) -> u64 {
    (FRAME_HEADER + batch.body.len()) as u64 + SEAL_BYTES
}

pub(crate) fn ack_frame_bytes(acks: &Acks) -> u64 {
    FRAME_HEADER as u64 + 16 * acks.ranges.len() as u64 + SEAL_BYTES
}

pub(crate) fn encode_group(
    current: &Current,
    number: u64,
    first: u64,
    batches: &[&Batch],
    acks: Option<&Acks>,
    out: &mut Vec<u8>,
) -> io::Result<()> {
    let seed = current.segment.header.seed();
    out.clear();
    out.resize(GROUP_HEADER, 0);
    let mut header = FrameHeader {
        kind: FrameKind::Put,
        sealed: current.cipher.is_some(),
        group: number,
        index: 0,
        body_crc: 0,
        length: 0,
        count: 0,
        first,
        bytes: 0,
        time_ms: 0,
    };
    let mut frame = |header: &mut FrameHeader, body: &[u8], crc: Option<u32>| {
        let sealed = current
            .cipher
            .as_ref()
            .map(|cipher| seal(cipher, header, body))
            .transpose()?;
        let body = sealed.as_deref().unwrap_or(body);
        let crc = if sealed.is_some() { None } else { crc };
        header.body_crc = crc.unwrap_or_else(|| crc32c::crc32c(body));
        header.length = u32::try_from(body.len()).map_err(io::Error::other)?;
        header.encode(seed, out);
        out.extend_from_slice(body);
        header.index += 1;
        io::Result::Ok(())
    };
    for batch in batches {
        (header.count, header.bytes, header.time_ms) = (batch.count, batch.bytes, batch.time_ms);
        frame(&mut header, &batch.body, Some(batch.crc))?;
        header.first += u64::from(batch.count);
    }
    if let Some(acks) = acks {
        let mut body = vec![];
        let count = encode_ranges(acks.ranges.iter(), &mut body);
        (header.kind, header.count, header.first) = (FrameKind::Ack, count, 0);
        (header.bytes, header.time_ms) = (acks.bytes, now_ms());
        frame(&mut header, &body, None)?;
    }
    let frames = header.index;
    let length = padded(out.len() as u64);
    out.resize(length as usize, 0);
    let block = u32::try_from(current.at / BLOCK).map_err(io::Error::other)?;
    let mut head = Vec::with_capacity(GROUP_HEADER);
    GroupHeader {
        number,
        length,
        frames,
        block,
    }
    .encode(seed, &mut head);
    out[..GROUP_HEADER].copy_from_slice(&head);
    Ok(())
}

fn seal(cipher: &FrameCipher, header: &FrameHeader, body: &[u8]) -> io::Result<Vec<u8>> {
    let mut sealed = body.to_vec();
    let place = FramePlace {
        group: header.group,
        frame: header.index,
    };
    let tag = cipher
        .seal(place, &header.fields().0, &mut sealed)
        .map_err(io::Error::other)?;
    sealed.extend_from_slice(&tag);
    Ok(sealed)
}

//! Packets: a block's bytes in pieces with a checksum for each chunk.
//!
//! ```text
//! u32 4 + checksums + data   u16 header   header   checksums, 4 bytes each   data
//! ```

use prost::{
    Message,
    bytes::{Buf, Bytes, BytesMut},
};

use super::{XferError, messages::HEARTBEAT_SEQNO};

/// A DataNode takes no larger ones.
pub const MAX_PACKET_BYTES: usize = 16 << 20;
/// Length fields and the longest header.
pub const MAX_HEAD_BYTES: usize = 33;
/// Bytes of one checksum.
pub const CHECKSUM_BYTES: usize = 4;

/// `PacketHeaderProto`.
#[derive(Clone, PartialEq, Message)]
pub struct PacketHeader {
    /// Where its data begin in the block.
    #[prost(sfixed64, required, tag = "1")]
    pub offset: i64,
    /// Its number.
    #[prost(sfixed64, required, tag = "2")]
    pub seqno: i64,
    /// Whether the block ends with it; then it has no data.
    #[prost(bool, required, tag = "3")]
    pub last: bool,
    /// Bytes of data.
    #[prost(sfixed32, required, tag = "4")]
    pub data_length: i32,
    /// Whether everything so far goes to disk before it is acknowledged.
    #[prost(bool, optional, tag = "5")]
    pub sync: Option<bool>,
}

/// How data are checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ChecksumKind {
    /// CRC-32.
    Crc32,
    /// CRC-32C, which processors compute.
    #[default]
    Crc32c,
}

impl ChecksumKind {
    /// Its number in Hadoop's messages.
    pub fn number(self) -> i32 {
        match self {
            ChecksumKind::Crc32 => 1,
            ChecksumKind::Crc32c => 2,
        }
    }

    /// From its number.
    pub fn of(number: i32) -> Option<ChecksumKind> {
        [ChecksumKind::Crc32, ChecksumKind::Crc32c]
            .into_iter()
            .find(|kind| kind.number() == number)
    }

    /// The checksum of a chunk.
    pub fn sum(self, chunk: &[u8]) -> u32 {
        match self {
            ChecksumKind::Crc32 => crc32fast::hash(chunk),
            ChecksumKind::Crc32c => crc32c::crc32c(chunk),
        }
    }
}

/// Everything of a packet before its data.
pub fn head(
    header: &PacketHeader,
    data: &[u8],
    kind: ChecksumKind,
    bytes_per_checksum: usize,
) -> Vec<u8> {
    let chunks = data.chunks(bytes_per_checksum);
    let length = 4 + CHECKSUM_BYTES * chunks.len() + data.len();
    let mut bytes = Vec::with_capacity(MAX_HEAD_BYTES + CHECKSUM_BYTES * chunks.len());
    bytes.extend((length as u32).to_be_bytes());
    bytes.extend((header.encoded_len() as u16).to_be_bytes());
    bytes.extend(header.encode_to_vec());
    for chunk in chunks {
        bytes.extend(kind.sum(chunk).to_be_bytes());
    }
    bytes
}

/// A packet that keeps an idle pipeline alive.
pub fn heartbeat() -> Vec<u8> {
    let header = PacketHeader {
        seqno: HEARTBEAT_SEQNO,
        ..PacketHeader::default()
    };
    head(&header, &[], ChecksumKind::Crc32c, 512)
}

/// A packet as it came.
#[derive(Clone, Debug, PartialEq)]
pub struct ReceivedPacket {
    /// Its header.
    pub header: PacketHeader,
    /// Checksums, 4 bytes each.
    pub checksums: Bytes,
    /// Its data.
    pub data: Bytes,
}

impl ReceivedPacket {
    /// Cuts a packet off `buffer`; `None`: more bytes have to come.
    ///
    /// # Errors
    /// Lengths that no packet has, and a header that is none.
    pub fn cut(buffer: &mut BytesMut) -> Result<Option<ReceivedPacket>, XferError> {
        let Some(([a, b, c, d, e, f], _)) = buffer.split_first_chunk::<6>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        let header_length = usize::from(u16::from_be_bytes([*e, *f]));
        if !(4..=MAX_PACKET_BYTES).contains(&length) {
            return Err(XferError::new(format!("a packet of {length} bytes")));
        }
        let total = 6 + header_length + length - 4;
        if buffer.len() < total {
            return Ok(None);
        }
        let mut packet = buffer.split_to(total).freeze();
        packet.advance(6);
        let header = packet.split_to(header_length);
        let header =
            PacketHeader::decode(header).map_err(|error| XferError::new(error.to_string()))?;
        let data_length = usize::try_from(header.data_length).unwrap_or(usize::MAX);
        if data_length > packet.len() || header.offset < 0 {
            return Err(XferError::new(format!(
                "{data_length} bytes of data in a packet of {length}"
            )));
        }
        let data = packet.split_off(packet.len() - data_length);
        Ok(Some(ReceivedPacket {
            header,
            checksums: packet,
            data,
        }))
    }

    /// Whether each chunk has its checksum.
    pub fn is_intact(&self, kind: ChecksumKind, bytes_per_checksum: usize) -> bool {
        let chunks = self.data.chunks(bytes_per_checksum.max(1));
        let sums = self.checksums.chunks(CHECKSUM_BYTES);
        chunks.len() == sums.len()
            && chunks
                .zip(sums)
                .all(|(chunk, sum)| kind.sum(chunk).to_be_bytes() == sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Bytes that DataNodes of Hadoop 3.4.3 took.
    #[test]
    fn packets_have_hadoops_bytes() {
        let header = PacketHeader {
            data_length: 3,
            ..PacketHeader::default()
        };
        let abc = head(&header, b"abc", ChecksumKind::Crc32c, 512);
        let expected = "0000000b00190900000000000000001100000000000000001800250300000036\
                        4b3fb7";
        assert_eq!(hex(&abc), expected);
        let expected = "00000004001909000000000000000011ffffffffffffffff18002500000000";
        assert_eq!(hex(&heartbeat()), expected);
        let sync = PacketHeader {
            offset: 3,
            seqno: 2,
            sync: Some(true),
            ..PacketHeader::default()
        };
        let expected = "00000004001b090300000000000000110200000000000000180025000000002801";
        assert_eq!(hex(&head(&sync, &[], ChecksumKind::Crc32c, 512)), expected);
    }

    #[test]
    fn a_packet_is_read_as_it_was_written_and_refused_otherwise() {
        let data = vec![7; 1000];
        let header = PacketHeader {
            offset: 512,
            seqno: 9,
            data_length: 1000,
            ..PacketHeader::default()
        };
        let mut bytes = head(&header, &data, ChecksumKind::Crc32, 512);
        bytes.extend(&data);
        let mut short = BytesMut::from(&bytes[..bytes.len() - 1]);
        assert_eq!(ReceivedPacket::cut(&mut short).unwrap(), None);
        let packet = ReceivedPacket::cut(&mut BytesMut::from(&bytes[..]))
            .unwrap()
            .unwrap();
        assert!(packet.header == header && packet.data == data);
        assert!(packet.is_intact(ChecksumKind::Crc32, 512));
        assert!(!packet.is_intact(ChecksumKind::Crc32c, 512));
        for seed in 0..2000 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut bytes = bytes[..random.usize(..bytes.len())].to_vec();
            for _ in 0..random.usize(..4) {
                if let Some(byte) = random.choice(&mut bytes) {
                    *byte = seed as u8;
                }
            }
            let mut buffer = BytesMut::from(&bytes[..]);
            while let Ok(Some(_)) = ReceivedPacket::cut(&mut buffer) {}
        }
    }
}

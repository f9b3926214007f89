//! Any bytes at all from a DataNode that is read from, or that answers: no panic.
#![no_main]

use bytes::BytesMut;
use flume_hadoop::xfer::{
    cut_delimited,
    messages::{BlockOpResponse, MAX_MESSAGE_BYTES},
    packet::{ChecksumKind, ReceivedPacket},
};
use libfuzzer_sys::fuzz_target;
use prost::Message;

fuzz_target!(|bytes: &[u8]| {
    let mut buffer = BytesMut::from(bytes);
    while let Ok(Some(packet)) = ReceivedPacket::cut(&mut buffer) {
        packet.is_intact(ChecksumKind::Crc32c, 512);
    }
    let mut buffer = BytesMut::from(bytes);
    while let Ok(Some(message)) = cut_delimited(&mut buffer, MAX_MESSAGE_BYTES) {
        let _ = BlockOpResponse::decode(message);
    }
});

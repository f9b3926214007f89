//! Any bytes at all as parts of a file channel's store: no panic, and nothing larger than what was read.
#![no_main]

use bytes::Bytes;
use flume_file_channel::{
    checkpoint::Checkpoint,
    format::{FrameHeader, GroupHeader, SegmentHeader, decode_events, decode_ranges},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some(header) = SegmentHeader::decode(bytes) {
        assert_eq!(SegmentHeader::decode(&header.encode()), Some(header));
    }
    if let Some(checkpoint) = Checkpoint::decode(bytes) {
        assert_eq!(Checkpoint::decode(&checkpoint.encode()), Some(checkpoint));
    }
    let header = SegmentHeader {
        channel: [0; 16],
        id: 1,
        salt: [0; 16],
        last_good_group: 0,
        judged_group: 0,
        first_sequence: 1,
        created_ms: 0,
        key_alias: String::new(),
        key_check: [0; 16],
    };
    let _ = GroupHeader::decode(header.seed(), 1, bytes);
    let _ = FrameHeader::decode(header.seed(), 1, 0, bytes);
    let _ = decode_ranges(bytes, bytes.len() as u32 / 16);
    if let Ok(events) = decode_events(Bytes::copy_from_slice(bytes), bytes.first().copied().unwrap_or(0).into()) {
        assert!(events.iter().map(|event| event.size()).sum::<usize>() <= bytes.len());
    }
});

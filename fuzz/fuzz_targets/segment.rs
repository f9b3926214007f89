//! Any segment whose checksums are right and whose every number may be wrong, and any bytes between: it is walked over
//! to its end, and what its frames hold is decoded, without a panic.
#![no_main]

#[path = "../memory_disk.rs"]
mod memory_disk;

use std::path::Path;

use arbitrary::{Arbitrary, Result, Unstructured};
use flume_file_channel::{
    format::{BLOCK, FrameHeader, FrameKind, GroupHeader, SegmentHeader, decode_events, decode_ranges},
    segment::{Found, Segment, Walk},
};
use libfuzzer_sys::fuzz_target;
use memory_disk::Memory;

#[derive(Arbitrary, Debug)]
enum Part {
    /// Number, length in blocks, frames, and the block it says it is in; 0: the one it is in.
    Group(u8, u32, u8, u8),
    /// Whether it is a put, its group, its place there, its count, and its body with the length that it says.
    Frame(bool, u8, u8, u32, Vec<u8>, Option<u32>),
    Bytes(Vec<u8>),
    Pad,
}

fn segment(parts: Vec<Part>, header: &SegmentHeader) -> Vec<u8> {
    let mut file = header.encode();
    let seed = header.seed();
    for part in parts {
        match part {
            Part::Group(number, blocks, frames, block) => {
                let here = (file.len() as u64 / BLOCK) as u32;
                let block = if block == 0 { here } else { block.into() };
                let length = u64::from(blocks) * BLOCK;
                GroupHeader { number: number.into(), length, frames: frames.into(), block }.encode(seed, &mut file);
            }
            Part::Frame(put, group, index, count, body, length) => {
                let header = FrameHeader {
                    kind: if put { FrameKind::Put } else { FrameKind::Ack },
                    sealed: false,
                    group: group.into(),
                    index: index.into(),
                    body_crc: 0,
                    length: length.unwrap_or(body.len() as u32),
                    count,
                    first: count.into(),
                    bytes: 0,
                    time_ms: 0,
                };
                header.encode(seed, &mut file);
                file.extend_from_slice(&body);
            }
            Part::Bytes(bytes) => file.extend_from_slice(&bytes),
            Part::Pad => file.resize(file.len().next_multiple_of(BLOCK as usize), 0),
        }
    }
    file
}

fn walk(data: &[u8]) -> Result<()> {
    let mut input = Unstructured::new(data);
    let (limit, known, parts): (u8, bool, Vec<Part>) = input.arbitrary()?;
    let header = SegmentHeader {
        channel: [1; 16],
        id: 7,
        salt: [3; 16],
        key_check: [0; 16],
        last_good_group: 0,
        judged_group: 0,
        first_sequence: 1,
        created_ms: 0,
        key_alias: String::new(),
    };
    let file = segment(parts, &header);
    assert_eq!(SegmentHeader::decode(&file).as_ref(), Some(&header));
    let length = file.len() as u64;
    let segment = Segment { header, path: PathBuf::new(), length };
    let end = known.then_some(length);
    let mut walk = Walk::new(&Memory::new(file), segment, BLOCK, end, limit.into(), 8192).expect("memory does not fail");
    let mut steps = 0;
    while let Some(found) = walk.advance().expect("memory does not fail") {
        steps += 1;
        assert!(steps < 1_000_000, "no end");
        let Found::Frame(header, range) = found else { continue };
        assert!(range.end <= length, "a frame outside the segment");
        let body = walk.read(range).expect("memory does not fail");
        let _ = decode_ranges(&body, header.count);
        let _ = decode_events(body, header.count);
    }
    Ok(())
}

fuzz_target!(|data: &[u8]| {
    let _ = walk(data);
});

//! Any segment whose checksums are right and whose every number may be wrong, and any bytes between: it is walked over
//! to its end, and what its frames hold is decoded, without a panic.
#![no_main]

use std::{
    io,
    path::{Path, PathBuf},
};

use arbitrary::{Arbitrary, Result, Unstructured};
use flume_file_channel::{
    disk::{Disk, DiskFile},
    format::{BLOCK, FrameHeader, FrameKind, GroupHeader, SegmentHeader, decode_events, decode_ranges},
    segment::{Found, Segment, Walk},
};
use libfuzzer_sys::fuzz_target;

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
    let mut walk = Walk::new(&Memory(file), segment, BLOCK, end, limit.into(), 8192).expect("memory does not fail");
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

/// A disk with one file.
struct Memory(Vec<u8>);

impl Disk for Memory {
    fn open(&self, _: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(Memory(self.0.clone())))
    }
    fn create(&self, _: &Path) -> io::Result<Box<dyn DiskFile>> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        Ok(())
    }
    fn create_directory(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
    fn remove(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
    fn list(&self, _: &Path) -> io::Result<Vec<(PathBuf, u64)>> {
        Ok(vec![])
    }
    fn sync_directory(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
    fn free(&self, _: &Path) -> io::Result<u64> {
        Ok(0)
    }
}

impl DiskFile for Memory {
    fn write_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        Ok(())
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = self.0.get(offset as usize..).unwrap_or_default();
        let read = rest.len().min(buffer.len());
        buffer[..read].copy_from_slice(&rest[..read]);
        Ok(read)
    }
    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
    fn allocate(&self, _: u64) -> io::Result<()> {
        Ok(())
    }
    fn length(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }
}

//! The checkpoint: what recovery need not read the log for. Two are kept, the older may be needed when the newer is
//! damaged, so segments are reused only when the older of the two does not need them.

use std::{
    io,
    ops::Range,
    path::{Path, PathBuf},
};

use bytes::Buf;

use crate::{
    disk::Disk,
    format::{BLOCK, VERSION, decode_ranges, encode_ranges},
    segment::{Position, named, try_again},
};

const MAGIC: &[u8; 8] = b"FLUMECHK";
const FIXED: usize = 8 + 4 + 16 + 9 * 8 + 4 + 4;
const CONTENTS: usize = 6 * 8;
/// Room for a checkpoint of some hundred segments; one of more takes twice what the one before needed.
const RESERVE_BYTES: u64 = 16 << 10;
/// No checkpoint is longer: a million segments and as many ranges.
const MAX_BYTES: u64 = 64 << 20;

/// The state of the log after some group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// The channel it belongs to.
    pub channel: [u8; 16],
    /// Grows by one with each.
    pub number: u64,
    /// What recovery has to read begins here.
    pub position: Position,
    /// The next to be given.
    pub next_sequence: u64,
    /// Number of the last good group.
    pub last_group: u64,
    /// Events that are not consumed.
    pub events: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Frames that were put aside since the channel exists.
    pub quarantined: u64,
    /// When it was made, in milliseconds since 1970.
    pub time_ms: u64,
    /// Sequence numbers that will never be delivered again.
    pub consumed: Vec<Range<u64>>,
    /// Segments up to the position that hold events.
    pub segments: Vec<Contents>,
}

/// What a segment holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// The segment.
    pub id: u64,
    /// Lowest sequence number of its events.
    pub first: u64,
    /// One above the highest.
    pub end: u64,
    /// Events in it that are not consumed.
    pub live: u64,
    /// Where its last good group ends.
    pub length: u64,
    /// Number of that group.
    pub last_group: u64,
}

impl Contents {
    /// A segment whose first event will have this number.
    pub(crate) fn none(id: u64, first: u64) -> Self {
        Contents {
            id,
            first,
            end: first,
            length: BLOCK,
            ..Contents::default()
        }
    }

    /// Adds events with these numbers, which are above all in it.
    pub(crate) fn add(&mut self, numbers: Range<u64>) {
        if numbers.is_empty() {
            return;
        }
        if self.end <= self.first {
            self.first = numbers.start;
        }
        self.end = numbers.end;
        self.live += numbers.end - numbers.start;
    }
}

impl Checkpoint {
    /// As it is written.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(
            FIXED + CONTENTS * self.segments.len() + 16 * self.consumed.len() + 4,
        );
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&self.channel);
        let Position { segment, offset } = self.position;
        let numbers = [
            self.number,
            segment,
            offset,
            self.next_sequence,
            self.last_group,
        ];
        for number in
            numbers
                .into_iter()
                .chain([self.events, self.bytes, self.quarantined, self.time_ms])
        {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&(self.consumed.len() as u32).to_le_bytes());
        out.extend_from_slice(&(self.segments.len() as u32).to_le_bytes());
        encode_ranges(self.consumed.iter().cloned(), &mut out);
        for it in &self.segments {
            for number in [it.id, it.first, it.end, it.live, it.length, it.last_group] {
                out.extend_from_slice(&number.to_le_bytes());
            }
        }
        out.extend_from_slice(&crc32c::crc32c(&out).to_le_bytes());
        out
    }

    /// From what was read; anything behind its end is left over from an earlier, longer one.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut at = bytes.get(..FIXED)?;
        if at.get(..8)? != MAGIC {
            return None;
        }
        at.advance(8);
        (at.get_u32_le() == VERSION).then_some(())?;
        let mut channel = [0; 16];
        at.copy_to_slice(&mut channel);
        let number = at.get_u64_le();
        let position = Position {
            segment: at.get_u64_le(),
            offset: at.get_u64_le(),
        };
        let next_sequence = at.get_u64_le();
        let last_group = at.get_u64_le();
        let events = at.get_u64_le();
        let held = at.get_u64_le();
        let quarantined = at.get_u64_le();
        let time_ms = at.get_u64_le();
        let ranges = at.get_u32_le();
        let segments = at.get_u32_le();
        let ranges_end = FIXED.checked_add((ranges as usize).checked_mul(16)?)?;
        let end = ranges_end.checked_add((segments as usize).checked_mul(CONTENTS)?)?;
        let crc = bytes.get(end..)?.get(..4)?;
        if crc32c::crc32c(bytes.get(..end)?).to_le_bytes() != crc {
            return None;
        }
        let consumed = decode_ranges(bytes.get(FIXED..ranges_end)?, ranges).ok()?;
        let mut at = bytes.get(ranges_end..end)?;
        let mut contents = || Contents {
            id: at.get_u64_le(),
            first: at.get_u64_le(),
            end: at.get_u64_le(),
            live: at.get_u64_le(),
            length: at.get_u64_le(),
            last_group: at.get_u64_le(),
        };
        let segments = (0..segments).map(|_| contents()).collect();
        Some(Checkpoint {
            channel,
            number,
            position,
            next_sequence,
            last_group,
            events,
            bytes: held,
            quarantined,
            time_ms,
            consumed,
            segments,
        })
    }

    /// Makes it durable, in place of the one before the last. Its bytes.
    pub fn write(&self, disk: &dyn Disk, directory: &Path) -> io::Result<usize> {
        let bytes = self.encode();
        let draft = draft(directory);
        let file = match disk.open(&draft) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => disk.create(&draft)?,
            Err(error) => return Err(error),
        };
        file.write_at(&bytes, 0)?;
        file.sync()?;
        disk.rename(&draft, &path(directory, self.number))?;
        disk.sync_directory(directory)?;
        Self::reserve(disk, directory, 2 * bytes.len() as u64);
        Ok(bytes.len())
    }

    /// Takes room for the next one, of so many bytes if that is much, so that a disk that is full cannot keep it from
    /// being written.
    pub fn reserve(disk: &dyn Disk, directory: &Path, bytes: u64) {
        let bytes = bytes.max(RESERVE_BYTES);
        let reserved = disk
            .create(&draft(directory))
            .and_then(|file| file.allocate(bytes));
        if let Err(error) = reserved
            && error.kind() != io::ErrorKind::AlreadyExists
        {
            tracing::debug!("failed to reserve room for the next checkpoint: {error}");
        }
    }

    /// The valid ones of a directory, newest first.
    pub fn read(disk: &dyn Disk, directory: &Path) -> io::Result<Vec<Self>> {
        let mut found = vec![];
        for number in 0..2 {
            let path = path(directory, number);
            let file = match disk.open(&path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(named(&path, error)),
            };
            let read = try_again(|| {
                let mut bytes = vec![0; file.length()?.min(MAX_BYTES) as usize];
                let length = file.read_at(&mut bytes, 0)?;
                bytes.truncate(length);
                Ok(bytes)
            });
            // A disk reports most damage as an error.
            let other = "the other checkpoint is used";
            match read.map(|bytes| Self::decode(&bytes)) {
                Ok(Some(checkpoint)) => found.push(checkpoint),
                Ok(None) => tracing::warn!("{} is damaged; {other}", path.display()),
                Err(error) => tracing::warn!("failed to read {}; {other}: {error}", path.display()),
            }
        }
        found.sort_by_key(|checkpoint| std::cmp::Reverse(checkpoint.number));
        Ok(found)
    }
}

/// Where a checkpoint of that number is kept.
fn path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("channel-{}.checkpoint", number % 2))
}

fn draft(directory: &Path) -> PathBuf {
    directory.join("channel.checkpoint.tmp")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flipped_byte_is_noticed() {
        let checkpoint = Checkpoint {
            number: 3,
            next_sequence: 90,
            consumed: vec![1..5, 7..9],
            segments: vec![Contents {
                id: 1,
                first: 1,
                end: 90,
                live: 83,
                length: 8192,
                last_group: 4,
            }],
            ..Checkpoint::default()
        };
        let bytes = checkpoint.encode();
        assert_eq!(
            Checkpoint::decode(&[&bytes[..], b"left over"].concat()),
            Some(checkpoint)
        );
        for place in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[place] ^= 1;
            assert_eq!(Checkpoint::decode(&damaged), None);
            assert_eq!(Checkpoint::decode(&bytes[..place]), None);
        }
    }
}

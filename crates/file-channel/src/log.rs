//! The log as its one writer sees it. **Group k + 1 is never written before the sync of group k returned Ok**, because
//! both happen in [`Log::append`]; after a failure the segment has ended.

mod group;

use std::{collections::BTreeMap, io, ops::Range, path::Path, sync::Arc, time::Instant};

use flume_core::metrics::Histogram;

#[cfg(test)]
pub(crate) use self::group::MAX_ACK_RANGES;
pub use self::group::{Acks, AppendError, Appended, Batch, MAX_ACK_GROUP_BYTES};
use self::group::{ack_frame_bytes, encode_group, frame_bytes};
#[cfg(test)]
use crate::promises::{Broken, breaks};
use crate::{
    checkpoint::{Checkpoint, Contents},
    disk::{Disk, DiskFile},
    encryption::{FrameCipher, Keys},
    format::{BLOCK, GROUP_HEADER, KEY_CHECK_BYTES, SALT_BYTES, SegmentHeader, padded},
    now_ms,
    pool::{Blank, Need, Pool, ack_reserve, is_full},
    ranges::Ranges,
    segment::{Position, Segment},
};

/// A group holds no more, unless a single batch does.
pub const MAX_GROUP_BYTES: u64 = 8 << 20;
/// A group holds no more frames.
const MAX_GROUP_FRAMES: usize = 4096;
/// The log.
pub struct Log {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) pool: Arc<Pool>,
    pub(crate) keys: Option<Arc<Keys>>,
    pub(crate) channel: [u8; 16],
    /// Every segment that is not in the pool.
    pub(crate) kept: BTreeMap<u64, Kept>,
    pub(crate) current: Option<Current>,
    pub(crate) next_segment: u64,
    pub(crate) next_sequence: u64,
    pub(crate) next_group: u64,
    pub(crate) last_good_group: u64,
    /// The last group when the store was opened.
    pub(crate) judged_group: u64,
    /// What is never to be delivered again.
    pub(crate) consumed: Ranges,
    pub(crate) events: u64,
    pub(crate) bytes: u64,
    pub(crate) quarantined: u64,
    pub(crate) checkpoint_number: u64,
    /// Drained in the newest durable checkpoint; free when there is another.
    pub(crate) drained: Vec<u64>,
    /// Needed by neither checkpoint, but perhaps by the reader.
    pub(crate) free: Vec<u64>,
    pub(crate) buffer: Vec<u8>,
    pub(crate) sync_time: Histogram,
}

/// A segment with what is in it.
pub(crate) struct Kept {
    pub(crate) segment: Segment,
    pub(crate) contents: Contents,
}

/// The segment that is written.
pub(crate) struct Current {
    segment: Segment,
    file: Box<dyn DiskFile>,
    cipher: Option<FrameCipher>,
    at: u64,
}

impl Log {
    /// Writes one group of the acks and as many of the batches as go into it, and syncs it.
    pub fn append(
        &mut self,
        batches: &[&Batch],
        acks: Option<&Acks>,
    ) -> Result<Appended, AppendError> {
        let acks = acks.filter(|acks| !acks.ranges.is_empty());
        let ack_bytes = acks.map_or(0, ack_frame_bytes);
        let mut count = self.fitting(batches, ack_bytes);
        if let Some(first) = batches.first().filter(|_| count == 0) {
            let group = GROUP_HEADER as u64 + frame_bytes(first) + ack_bytes;
            match self.roll(self.need(), self.length_for(BLOCK + padded(group))) {
                Ok(()) => count = self.fitting(batches, ack_bytes),
                // Acks make room: they go on.
                Err(AppendError::NoRoom) if acks.is_some() => {}
                Err(error) => return Err(error),
            }
            if count == 0 && acks.is_none() {
                return Err(AppendError::NoRoom);
            }
        }
        if count == 0 && !self.has_room(padded(GROUP_HEADER as u64 + ack_bytes)) {
            self.roll(Need::Acks, BLOCK + padded(GROUP_HEADER as u64 + ack_bytes))?;
        }
        self.write_group(&batches[..count], acks)
    }

    /// How many of the batches fit into the current segment together with the acks.
    fn fitting(&self, batches: &[&Batch], ack_bytes: u64) -> usize {
        let Some(current) = &self.current else {
            return 0;
        };
        // An oversize segment holds one group and what is left of its last block.
        let usual = current.segment.length == self.pool.layout().segment_bytes;
        let reserve = if usual && self.pool.spares() == 0 {
            ack_reserve(current.segment.length)
        } else {
            0
        };
        let room = current.segment.length.saturating_sub(current.at + reserve);
        let mut length = GROUP_HEADER as u64 + ack_bytes;
        let mut count = 0;
        for batch in batches.iter().take(MAX_GROUP_FRAMES) {
            length += frame_bytes(batch);
            if padded(length) > room || (count > 0 && length > MAX_GROUP_BYTES) {
                break;
            }
            count += 1;
        }
        count
    }

    /// The length of a segment for a first group that ends at `end`. One that does not fit beside the reserve of a usual
    /// segment gets a segment of its own, which has none. So the group always fits into the segment that was begun
    /// for it, and no segment is begun in vain.
    fn length_for(&self, end: u64) -> u64 {
        let usual = self.pool.layout().segment_bytes;
        usual.max(end + ack_reserve(usual))
    }

    /// Whether events may have the last spare segment. That is for acks, which cannot come as long as the current
    /// segment holds nothing; those of earlier ones have the reserve of the new segment.
    fn need(&self) -> Need {
        if self.is_drained() {
            Need::LastSpare
        } else {
            Need::Puts
        }
    }

    /// Whether the current segment holds no event that was not consumed; or there is no current segment.
    fn is_drained(&self) -> bool {
        let current = self
            .current
            .as_ref()
            .map(|current| current.segment.header.id);
        let kept = current.and_then(|id| self.kept.get(&id));
        kept.is_none_or(|kept| kept.contents.live == 0)
    }

    /// For a disk without room: ends the current segment if that is drained, and gives back what is free. Whether
    /// checkpoints can free more.
    pub fn give_up_drained(&mut self) -> bool {
        if self.is_drained() {
            self.current = None;
        }
        self.release_free();
        let current = self
            .current
            .as_ref()
            .map(|current| current.segment.header.id);
        self.kept.iter().any(|(id, kept)| {
            kept.contents.live == 0 && Some(*id) != current && !self.free.contains(id)
        })
    }

    /// Gives back the files of free segments, but for those that the reader has not left yet.
    fn release_free(&mut self) {
        for id in std::mem::take(&mut self.free) {
            let Some(kept) = self.kept.get(&id) else {
                continue;
            };
            match self.pool.release(&kept.segment) {
                Ok(true) => drop(self.kept.remove(&id)),
                Ok(false) => self.free.push(id),
                Err(error) => {
                    self.free.push(id);
                    tracing::debug!("failed to remove {}: {error}", kept.segment.path.display());
                }
            }
        }
    }

    fn has_room(&self, length: u64) -> bool {
        self.current
            .as_ref()
            .is_some_and(|current| current.at + length <= current.segment.length)
    }

    /// Begins another segment with at least `length` bytes.
    fn roll(&mut self, need: Need, length: u64) -> Result<(), AppendError> {
        // Nothing of the group is written yet, so a disk that is full refuses it as a whole.
        let full = |error: io::Error| {
            if is_full(&error) {
                AppendError::NoRoom
            } else {
                AppendError::Io(error)
            }
        };
        let mut salt = [0; SALT_BYTES];
        random(&mut salt)?;
        let mut header = SegmentHeader {
            channel: self.channel,
            id: self.next_segment,
            salt,
            last_good_group: self.last_good_group,
            judged_group: self.judged_group,
            first_sequence: self.next_sequence,
            created_ms: now_ms(),
            key_alias: self
                .keys
                .as_ref()
                .map_or(String::new(), |keys| keys.active().into()),
            key_check: [0; KEY_CHECK_BYTES],
        };
        let cipher = cipher(self.keys.as_deref(), &header)?;
        header.key_check = cipher
            .as_ref()
            .map_or([0; KEY_CHECK_BYTES], FrameCipher::check);
        let Blank {
            path,
            file,
            length,
            new,
        } = self.pool.take(need, length).map_err(full)?;
        // Also after a failure: the number may be on disk.
        self.next_segment += 1;
        self.current = None;
        if let Err(error) = self.begin(&*file, &header, &path, new) {
            // Nobody knows what is on disk of it: it must not come back as a spare.
            let _ = self.disk.remove(&path);
            return Err(full(error));
        }
        let segment = Segment {
            header,
            path,
            length,
        };
        let contents = Contents::none(segment.header.id, self.next_sequence);
        self.kept.insert(
            contents.id,
            Kept {
                segment: segment.clone(),
                contents,
            },
        );
        self.current = Some(Current {
            segment,
            file,
            cipher,
            at: BLOCK,
        });
        Ok(())
    }

    fn begin(
        &self,
        file: &dyn DiskFile,
        header: &SegmentHeader,
        path: &Path,
        new: bool,
    ) -> io::Result<()> {
        file.write_at(&header.encode(), 0)?;
        file.sync()?;
        if new {
            self.disk.sync_directory(path.parent().unwrap_or(path))
        } else {
            Ok(())
        }
    }

    fn write_group(
        &mut self,
        batches: &[&Batch],
        acks: Option<&Acks>,
    ) -> Result<Appended, AppendError> {
        let number = self.next_group;
        let first = self.next_sequence;
        let Some(current) = &self.current else {
            return Err(AppendError::NoRoom);
        };
        let events: u64 = batches.iter().map(|batch| u64::from(batch.count)).sum();
        let mut buffer = std::mem::take(&mut self.buffer);
        let encoded = encode_group(current, number, first, batches, acks, &mut buffer);
        // Numbers are spent, whatever becomes of the group.
        self.next_group += 1;
        self.next_sequence += events;
        let written = encoded.and_then(|()| current.file.write_at(&buffer, current.at));
        let synced = written.and_then(|()| self.sync(current));
        let length = buffer.len() as u64;
        self.buffer = buffer;
        self.buffer.clear();
        if self.buffer.capacity() as u64 > MAX_GROUP_BYTES {
            self.buffer = Vec::new();
        }
        if let Err(error) = synced {
            // The segment ends at its last good group; the file is never synced again.
            let ended = self.current.take();
            self.drop_empty(ended);
            self.consumed.insert(first..first + events, |_| ());
            return Err(error.into());
        }
        let Some(current) = &mut self.current else {
            return Err(AppendError::NoRoom);
        };
        let id = current.segment.header.id;
        let start = Position {
            segment: id,
            offset: current.at,
        };
        current.at += length;
        let end = Position {
            segment: id,
            offset: current.at,
        };
        self.last_good_group = number;
        self.pool.readable(&current.segment, current.at);
        if let Some(Kept { contents, .. }) = self.kept.get_mut(&id) {
            contents.add(first..first + events);
            (contents.length, contents.last_group) = (end.offset, number);
        }
        self.events += events;
        self.bytes += batches.iter().map(|batch| batch.bytes).sum::<u64>();
        for acks in acks.iter() {
            acks.ranges.iter().for_each(|range| self.consume(range));
            self.bytes = if self.events == 0 {
                0
            } else {
                self.bytes.saturating_sub(acks.bytes)
            };
        }
        Ok(Appended {
            batches: batches.len(),
            first,
            start,
            end,
            acks: acks.is_some(),
        })
    }

    /// Removes the file of a segment in which no group became durable. A disk that fails again and again would
    /// otherwise fill up with them.
    fn drop_empty(&mut self, ended: Option<Current>) {
        let Some(Current {
            segment, file, at, ..
        }) = ended
        else {
            return;
        };
        drop(file);
        if at == BLOCK && self.disk.remove(&segment.path).is_ok() {
            self.kept.remove(&segment.header.id);
        }
    }

    fn sync(&self, current: &Current) -> io::Result<()> {
        #[cfg(test)]
        if breaks(Broken::WriteAhead) && self.next_group.is_multiple_of(2) {
            return Ok(());
        }
        let began = Instant::now();
        current.file.sync()?;
        self.sync_time.observe(began.elapsed());
        Ok(())
    }

    /// Notes that numbers will never be delivered again.
    pub(crate) fn consume(&mut self, range: Range<u64>) {
        let kept = &mut self.kept;
        let events = &mut self.events;
        self.consumed.insert(range, |fresh| {
            for Kept { contents, .. } in kept.values_mut() {
                if contents.first >= fresh.end {
                    break;
                }
                let inside = contents
                    .end
                    .min(fresh.end)
                    .saturating_sub(contents.first.max(fresh.start));
                let inside = inside.min(contents.live);
                contents.live -= inside;
                *events = events.saturating_sub(inside);
            }
        });
    }

    /// Where the log ends.
    pub fn end(&self) -> Position {
        match &self.current {
            Some(current) => Position {
                segment: current.segment.header.id,
                offset: current.at,
            },
            None => Position {
                segment: self.next_segment,
                offset: BLOCK,
            },
        }
    }

    /// What the next checkpoint says, to be written by anybody; then comes [`checkpointed`](Self::checkpointed).
    pub fn checkpoint(&self) -> Checkpoint {
        let current = self
            .current
            .as_ref()
            .map(|current| current.segment.header.id);
        let worth = |kept: &&Kept| kept.contents.live > 0 || Some(kept.contents.id) == current;
        Checkpoint {
            channel: self.channel,
            // One that fails is replaced by the next, so that the newest two are always there.
            number: self.checkpoint_number + 1,
            position: self.end(),
            next_sequence: self.next_sequence,
            last_group: self.last_good_group,
            events: self.events,
            bytes: self.bytes,
            quarantined: self.quarantined,
            time_ms: now_ms(),
            consumed: self.consumed.iter().collect(),
            segments: self
                .kept
                .values()
                .filter(worth)
                .map(|kept| kept.contents)
                .collect(),
        }
    }

    /// A checkpoint has become durable: neither it nor the one before needs what had been drained in that one.
    pub fn checkpointed(&mut self, checkpoint: &Checkpoint) {
        self.checkpoint_number = checkpoint.number;
        self.free.append(&mut self.drained);
        self.release_free();
        let needed = |id: &u64| {
            checkpoint
                .segments
                .iter()
                .any(|contents| contents.id == *id)
        };
        self.drained = self
            .kept
            .keys()
            .copied()
            .filter(|id| *id < checkpoint.position.segment && !needed(id))
            .filter(|id| !self.free.contains(id))
            .collect();
    }
}

/// What seals and opens the frames of a segment; none when they are not sealed.
pub(crate) fn cipher(
    keys: Option<&Keys>,
    header: &SegmentHeader,
) -> io::Result<Option<FrameCipher>> {
    if header.key_alias.is_empty() {
        return Ok(None);
    }
    let Some(keys) = keys else {
        let text = format!(
            "segment {} is sealed with key `{}`, and there is no encryption.keyProvider",
            header.id, header.key_alias
        );
        return Err(io::Error::other(text));
    };
    let check = header.key_check;
    let check = (check != [0; KEY_CHECK_BYTES]).then_some(check);
    keys.cipher(&header.key_alias, &header.salt, check)
        .map(Some)
        .map_err(|error| io::Error::other(format!("segment {}: {error}", header.id)))
}

/// Fills with random bytes.
pub(crate) fn random(bytes: &mut [u8]) -> io::Result<()> {
    let mut filled = 0;
    while filled < bytes.len() {
        filled +=
            rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty())?;
    }
    Ok(())
}

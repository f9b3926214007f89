//! Segments' files that wait for use, and the segments that may be read. Shared by the writer, the reader and the
//! housekeeper.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;

use crate::{
    disk::{Disk, DiskFile},
    format::BLOCK,
    log::MAX_ACK_GROUP_BYTES,
    quarantine::Quarantine,
    segment::{self, Segment},
};

/// Spare segments that are made ahead: one for the next puts, one that only acks may use.
pub const SPARES: usize = 2;
/// Spare segments that are kept once they are there; more are removed.
const MAX_SPARES: usize = 6;
/// Zeros are written in pieces of so many bytes.
const FILL_BYTES: usize = 1 << 20;

/// Where segments are, and how large.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Where checkpoints are.
    pub checkpoint_dir: PathBuf,
    /// Where segments are; new ones alternate between them.
    pub data_dirs: Vec<PathBuf>,
    /// Bytes of a segment.
    pub segment_bytes: u64,
    /// Bytes that stay free on each disk when segments are made.
    pub minimum_free: u64,
}

/// Who needs a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Events: the last spare is not for them.
    Puts,
    /// Events while no acks are to come: they may have the last spare, too.
    LastSpare,
    /// Acks alone: they make room, so they may use what is left.
    Acks,
}

/// A file for a segment.
pub struct Blank {
    /// Its path.
    pub path: PathBuf,
    /// Its file.
    pub file: Box<dyn DiskFile>,
    /// Its length.
    pub length: u64,
    /// Whether its directory does not have it for sure yet.
    pub new: bool,
}

/// All files of segments.
pub struct Pool {
    layout: Layout,
    disk: Arc<dyn Disk>,
    state: Mutex<PoolState>,
    quarantine: Quarantine,
}

#[derive(Default)]
struct PoolState {
    spares: VecDeque<PathBuf>,
    /// Segments that hold events, and where their last good group ends.
    readable: BTreeMap<u64, (Segment, u64)>,
    /// Segments from this one on may be read.
    reading: u64,
    next_number: u64,
    next_directory: usize,
    shortage: String,
}

impl Pool {
    /// An empty pool; files are numbered from `next_number`.
    pub fn new(layout: Layout, disk: Arc<dyn Disk>, next_number: u64) -> Self {
        Pool {
            layout,
            quarantine: Quarantine::new(disk.clone()),
            disk,
            state: Mutex::new(PoolState {
                next_number,
                ..PoolState::default()
            }),
        }
    }

    /// Where segments are, and how large.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Where copies of what is damaged go.
    pub fn quarantine(&self) -> &Quarantine {
        &self.quarantine
    }

    /// Spare segments.
    pub fn spares(&self) -> usize {
        self.state.lock().spares.len()
    }

    /// Adds a file of full length that holds nothing that is needed.
    pub fn add_spare(&self, path: PathBuf) {
        self.state.lock().spares.push_back(path);
    }

    /// A spare file, or a new one of at least `length` bytes. `StorageFull` when there is no room for one.
    pub fn take(&self, need: Need, length: u64) -> io::Result<Blank> {
        let usual = length <= self.layout.segment_bytes;
        let spare = {
            let mut state = self.state.lock();
            let keep = usize::from(need == Need::Puts);
            if usual && state.spares.len() > keep {
                state.spares.pop_front()
            } else {
                None
            }
        };
        if let Some(path) = spare {
            let opened = self.disk.open(&path);
            if opened.is_err() {
                // It is as good as before, and there may be no other.
                self.state.lock().spares.push_front(path.clone());
            }
            let file = opened?;
            return Ok(Blank {
                path,
                file,
                length: self.layout.segment_bytes,
                new: false,
            });
        }
        self.grow(need, length.max(self.layout.segment_bytes))
    }

    /// A new file with room for `length` bytes, in the next directory in which there is room.
    fn grow(&self, need: Need, length: u64) -> io::Result<Blank> {
        let mut refused = io::Error::from(io::ErrorKind::StorageFull);
        for _ in 0..self.layout.data_dirs.len() {
            let (path, directory) = self.next_path();
            match self.create(&path, &directory, need, length) {
                Ok(file) => {
                    return Ok(Blank {
                        path,
                        file,
                        length,
                        new: true,
                    });
                }
                Err(error) if is_full(&error) => {
                    let free = self.layout.minimum_free;
                    self.state.lock().shortage = format!(
                        "{} has no room for another file of {length} bytes beside the {free} of minimumRequiredSpace",
                        directory.display()
                    );
                    refused = error;
                }
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    fn create(
        &self,
        path: &Path,
        directory: &Path,
        need: Need,
        length: u64,
    ) -> io::Result<Box<dyn DiskFile>> {
        let reserve = if need == Need::Acks {
            0
        } else {
            self.layout.minimum_free
        };
        if self.disk.free(directory)? < length.saturating_add(reserve) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let file = self.disk.create(path)?;
        if let Err(error) = file.allocate(length) {
            drop(file);
            self.disk.remove(path)?;
            return Err(error);
        }
        Ok(file)
    }

    /// Why there was no room, the last time.
    pub fn shortage(&self) -> String {
        self.state.lock().shortage.clone()
    }

    /// Makes one spare file, written full once so that its blocks need no more bookkeeping. False if enough are there
    /// or there is no room.
    pub fn fill_one(&self) -> io::Result<bool> {
        if self.spares() >= SPARES {
            return Ok(false);
        }
        let blank = match self.grow(Need::Puts, self.layout.segment_bytes) {
            Ok(blank) => blank,
            Err(error) if is_full(&error) => return Ok(false),
            Err(error) => return Err(error),
        };
        let filled = (|| {
            let zeros = vec![0; FILL_BYTES.min(blank.length as usize)];
            let mut at = 0;
            while at < blank.length {
                let piece = zeros.len().min((blank.length - at) as usize);
                blank.file.write_at(&zeros[..piece], at)?;
                // Piece by piece, so that the syncs of the writer do not wait behind all of it.
                blank.file.sync()?;
                at += piece as u64;
            }
            let directory = blank.path.parent().unwrap_or(&blank.path);
            self.disk.sync_directory(directory)
        })();
        if let Err(error) = filled {
            self.disk.remove(&blank.path)?;
            return if is_full(&error) {
                Ok(false)
            } else {
                Err(error)
            };
        }
        self.add_spare(blank.path);
        Ok(true)
    }

    fn next_path(&self) -> (PathBuf, PathBuf) {
        let mut state = self.state.lock();
        let directory =
            self.layout.data_dirs[state.next_directory % self.layout.data_dirs.len()].clone();
        let path = segment::path(&directory, state.next_number);
        state.next_directory += 1;
        state.next_number += 1;
        (path, directory)
    }

    /// Groups of a segment up to `end` may be read.
    pub fn readable(&self, segment: &Segment, end: u64) {
        let mut state = self.state.lock();
        match state.readable.get_mut(&segment.header.id) {
            Some(known) => known.1 = end,
            None => drop(
                state
                    .readable
                    .insert(segment.header.id, (segment.clone(), end)),
            ),
        }
    }

    /// Where the readable part of a segment ends.
    pub fn end_of(&self, segment: u64) -> Option<u64> {
        self.state
            .lock()
            .readable
            .get(&segment)
            .map(|(_, end)| *end)
    }

    /// The first segment from `id` on that may be read, with the end of its last good group. It is kept until the
    /// next call.
    pub fn read_from(&self, id: u64) -> Option<(Segment, u64)> {
        let mut state = self.state.lock();
        let found = state
            .readable
            .range(id..)
            .next()
            .map(|(_, found)| found.clone());
        state.reading = found.as_ref().map_or(id, |(segment, _)| segment.header.id);
        found
    }

    /// Everything before this segment has been read.
    pub fn read_past(&self, id: u64) {
        let mut state = self.state.lock();
        state.reading = state.reading.max(id);
    }

    /// Gives back the file of a drained segment, unless it may still be read.
    pub fn release(&self, segment: &Segment) -> io::Result<bool> {
        let mut state = self.state.lock();
        if state.readable.contains_key(&segment.header.id) && segment.header.id >= state.reading {
            return Ok(false);
        }
        state.readable.remove(&segment.header.id);
        if segment.length == self.layout.segment_bytes && state.spares.len() < MAX_SPARES {
            state.spares.push_back(segment.path.clone());
            return Ok(true);
        }
        drop(state);
        self.disk.remove(&segment.path)?;
        Ok(true)
    }
}

/// Bytes of a segment that only acks may use while there is no spare segment.
pub fn ack_reserve(length: u64) -> u64 {
    (length / 16)
        .max(MAX_ACK_GROUP_BYTES)
        .next_multiple_of(BLOCK)
}

/// Whether a disk has no room, or none for this user.
pub fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

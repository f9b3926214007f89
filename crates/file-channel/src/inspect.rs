//! A store seen from outside: what is in it, and whether it is whole. Nothing is written, and no lock is taken, so an
//! agent may be working on it meanwhile.

mod export;
mod untouched;

use std::{
    fs, io,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use flume_core::metrics::Histogram;

pub use self::export::Exported;
pub(crate) use self::untouched::Untouched;

use crate::{
    checkpoint::Checkpoint,
    disk::{Disk, RealDisk},
    encryption::{FrameCipher, Keys},
    format::{BLOCK, FrameHeader, FrameKind, Malformed, decode_events, decode_ranges},
    frame::open_body,
    java::JavaError,
    log::{Kept, Log, cipher},
    pool::Layout,
    quarantine::{Quarantine, Reason},
    recovery,
    segment::{self, Found, Position, READ_AHEAD, Walk},
};

/// An agent that works on the store may change it between two looks; so often another look is taken.
const LOOKS: usize = 5;

/// What is in a store.
#[derive(Debug)]
pub struct Contents {
    /// Events that are not consumed.
    pub events: u64,
    /// Their bytes.
    pub bytes: u64,
    /// When the oldest of them was put.
    pub oldest: Option<SystemTime>,
    /// Number and time of the newest checkpoint; without one, consumed events may count as events.
    pub checkpoint: Option<(u64, SystemTime)>,
    /// Groups behind it.
    pub groups_behind: u64,
    /// Segments in use, oldest first.
    pub segments: Vec<SegmentContents>,
    /// Files that hold no segment now.
    pub spares: usize,
    /// Copies of damaged frames that were put aside.
    pub quarantined_files: usize,
    /// Their bytes.
    pub quarantined_bytes: u64,
    /// Frames and ranges of a last group that is torn, or being written.
    pub torn: usize,
    /// Frames and ranges whose headers are damaged, behind the checkpoint.
    pub damaged: usize,
}

/// A segment in use.
#[derive(Debug)]
pub struct SegmentContents {
    /// Its id.
    pub id: u64,
    /// Its file.
    pub path: PathBuf,
    /// Events in it that are not consumed.
    pub events: u64,
    /// Bytes of it that are used.
    pub used: u64,
    /// The alias of its key; empty: it is not sealed.
    pub key_alias: String,
}

/// What a reading of everything found.
#[derive(Debug, Default)]
pub struct Verified {
    /// Frames read.
    pub frames: u64,
    /// Events in them.
    pub events: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Frames that are sealed, of which only the checksum was looked at for lack of keys.
    pub sealed: u64,
    /// What is damaged.
    pub damage: Vec<Damage>,
}

/// A damaged part of the log.
#[derive(Debug)]
pub struct Damage {
    /// The file it is in.
    pub path: PathBuf,
    /// Where in the file.
    pub offset: u64,
    /// Bytes of it.
    pub length: u64,
    /// Events that are lost with it, if their header can be read.
    pub events: u32,
    /// What is wrong.
    pub why: String,
}

/// Why a store cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// Nothing of a channel is there.
    #[error(
        "there is no file channel in {0}; name its checkpointDir and its dataDirs, or a directory that holds them"
    )]
    Nothing(String),
    /// It cannot be opened.
    #[error(transparent)]
    Open(Box<dyn std::error::Error + Send + Sync>),
    /// The files of Java Flume in it cannot be read.
    #[error(transparent)]
    Java(#[from] JavaError),
    /// A directory cannot be read.
    #[error("failed to read {path}")]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// A segment cannot be read.
    #[error("failed to read a segment")]
    Segment(#[from] io::Error),
}

/// A store that was read by its headers.
pub struct Outside {
    disk: Arc<dyn Disk>,
    log: Log,
    keys: Option<Arc<Keys>>,
    checkpoint: Option<Checkpoint>,
    report: recovery::Recovered,
    files: usize,
    /// Told how many bytes of all that hold events were read.
    progress: Option<Box<dyn Fn(u64, u64)>>,
}

impl Outside {
    /// Reads the headers of a store in `directories`: its checkpointDir and dataDirs in any order, or directories right
    /// above them.
    pub fn read(directories: &[PathBuf], keys: Option<Arc<Keys>>) -> Result<Self, InspectError> {
        let mut look = 1;
        loop {
            match Self::look(directories, keys.clone()) {
                Ok(outside) if outside.report.corrupt == 0 || look == LOOKS => return Ok(outside),
                Err(error @ InspectError::Nothing(_)) => return Err(error),
                Err(error) if look == LOOKS => return Err(error),
                _ => look += 1,
            }
        }
    }

    fn look(directories: &[PathBuf], keys: Option<Arc<Keys>>) -> Result<Self, InspectError> {
        let disk: Arc<dyn Disk> = Arc::new(Untouched);
        let places = places(directories)?;
        let mut data_dirs = vec![];
        let mut checkpoint_dir = None;
        let mut checkpoint = None;
        let mut files = 0;
        for place in places {
            let found = disk.list(&place).map_err(|cause| InspectError::Directory {
                path: place.clone(),
                cause,
            })?;
            let segments = found
                .iter()
                .filter(|(path, _)| segment::number(path).is_some())
                .count();
            // Recovery refuses these by name.
            let foreign = found.iter().any(|(path, _)| begins(path, "log-"));
            files += segments;
            if segments > 0 || foreign {
                data_dirs.push(place.clone());
            }
            if let Some(newest) = Checkpoint::read(&*disk, &place)?.into_iter().next() {
                (checkpoint_dir, checkpoint) = (Some(place), Some(newest));
            }
        }
        let Some(checkpoint_dir) = checkpoint_dir.or_else(|| data_dirs.first().cloned()) else {
            let names: Vec<_> = directories
                .iter()
                .map(|path| path.display().to_string())
                .collect();
            return Err(InspectError::Nothing(names.join(", ")));
        };
        let layout = Layout {
            checkpoint_dir,
            data_dirs,
            segment_bytes: 0,
            minimum_free: 0,
        };
        let (log, report) =
            recovery::open(disk.clone(), layout, keys.clone(), Histogram::default())
                .map_err(|error| InspectError::Open(error.into()))?;
        Ok(Outside {
            disk,
            log,
            keys,
            checkpoint,
            report,
            files,
            progress: None,
        })
    }

    /// What is in it.
    pub fn contents(&self) -> Result<Contents, InspectError> {
        let in_use = self.log.kept.values().filter(|kept| kept.contents.live > 0);
        let segments: Vec<_> = in_use
            .map(|Kept { segment, contents }| SegmentContents {
                id: contents.id,
                path: segment.path.clone(),
                events: contents.live,
                used: contents.length,
                key_alias: segment.header.key_alias.clone(),
            })
            .collect();
        let mut quarantined_files = 0;
        let mut quarantined_bytes = 0;
        for directory in &self.log.pool.layout().data_dirs {
            let found = self.disk.list(directory)?.into_iter();
            for (_, length) in found.filter(|(path, _)| begins(path, "quarantine-")) {
                quarantined_files += 1;
                quarantined_bytes += length;
            }
        }
        let checkpoint = self.checkpoint.as_ref();
        Ok(Contents {
            events: self.log.events,
            bytes: self.log.bytes,
            oldest: self.oldest()?,
            checkpoint: checkpoint
                .map(|it| (it.number, UNIX_EPOCH + Duration::from_millis(it.time_ms))),
            groups_behind: self.report.groups,
            spares: self.files.saturating_sub(segments.len()),
            segments,
            quarantined_files,
            quarantined_bytes,
            torn: self.report.discarded,
            damaged: self.report.corrupt,
        })
    }

    /// When the first event that is not consumed was put.
    fn oldest(&self) -> Result<Option<SystemTime>, InspectError> {
        for kept in self.log.kept.values().filter(|kept| kept.contents.live > 0) {
            let mut walk = self.walk(kept)?;
            while let Some(found) = walk.advance()? {
                if let Found::Frame(header, _) = found
                    && header.kind == FrameKind::Put
                    && !self.log.consumed.covers(&numbers(&header))
                {
                    return Ok(Some(UNIX_EPOCH + Duration::from_millis(header.time_ms)));
                }
            }
        }
        Ok(None)
    }

    /// Tells `progress` the bytes that were read and those that there are, again and again, while everything is read.
    #[must_use]
    pub fn telling(self, progress: impl Fn(u64, u64) + 'static) -> Self {
        Outside {
            progress: Some(Box::new(progress)),
            ..self
        }
    }

    fn tell(&self, done: u64, total: u64) {
        if let Some(progress) = &self.progress {
            progress(done, total);
        }
    }

    fn length(&self) -> u64 {
        self.occupied().map(|(_, kept)| kept.contents.length).sum()
    }

    /// The segments that hold events, each with the bytes that are read before it.
    fn occupied(&self) -> impl Iterator<Item = (u64, &Kept)> {
        let occupied = self.log.kept.values().filter(|kept| kept.contents.live > 0);
        occupied.scan(0, |before, kept| {
            let start = *before;
            *before += kept.contents.length;
            Some((start, kept))
        })
    }

    /// Reads every frame of the segments that hold events.
    pub fn verify(&self) -> Result<Verified, InspectError> {
        let mut verified = Verified::default();
        for (before, kept) in self.occupied() {
            self.verify_segment(before, kept, &mut verified, &mut |_, _, _| ())?;
        }
        Ok(verified)
    }

    /// The same, with a copy of what is damaged put aside, as the channel does when it meets it. Whoever calls holds
    /// the locks of the directories.
    pub fn quarantine(&self) -> Result<Verified, InspectError> {
        let mut verified = Verified::default();
        let quarantine = Quarantine::new(Arc::new(RealDisk));
        for (before, kept) in self.occupied() {
            let directory = kept.segment.path.parent().unwrap_or(Path::new("."));
            self.verify_segment(
                before,
                kept,
                &mut verified,
                &mut |position, reason, bytes| {
                    quarantine.keep(directory, position, reason, bytes);
                },
            )?;
        }
        Ok(verified)
    }

    fn verify_segment(
        &self,
        before: u64,
        kept: &Kept,
        verified: &mut Verified,
        aside: &mut dyn FnMut(Position, Reason, &[u8]),
    ) -> Result<(), InspectError> {
        let seal = match &self.keys {
            Some(keys) => cipher(Some(keys), &kept.segment.header)?,
            None => None,
        };
        let total = self.length();
        let mut walk = self.walk(kept)?;
        while let Some(found) = walk.advance()? {
            if let Found::Frame(_, body) = &found {
                self.tell(before + body.start, total);
            }
            let (range, events, reason, why) = match found {
                Found::Group(_) => continue,
                Found::Damage(range) => (
                    range,
                    0,
                    Reason::CorruptHeader,
                    "no header can be read".into(),
                ),
                Found::Frame(header, body) => {
                    let stored = walk.read(body.clone())?;
                    verified.frames += 1;
                    verified.bytes += body.end - body.start;
                    verified.sealed += u64::from(header.sealed && seal.is_none());
                    match check(&header, stored, seal.as_ref()) {
                        Ok(events) => {
                            verified.events += u64::from(events);
                            continue;
                        }
                        Err(Malformed(why)) => {
                            let events = if header.kind == FrameKind::Put {
                                header.count
                            } else {
                                0
                            };
                            (body, events, Reason::CorruptBody, why.to_string())
                        }
                    }
                }
            };
            let bytes = walk.read(range.clone())?;
            aside(
                Position {
                    segment: kept.contents.id,
                    offset: range.start,
                },
                reason,
                &bytes,
            );
            let (path, Range { start: offset, end }) = (kept.segment.path.clone(), range);
            verified.damage.push(Damage {
                path,
                offset,
                length: end - offset,
                events,
                why,
            });
        }
        Ok(())
    }

    fn walk(&self, kept: &Kept) -> io::Result<Walk> {
        let segment = kept.segment.clone();
        let end = Some(kept.contents.length);
        let mut walk = Walk::new(&*self.disk, segment, BLOCK, end, u64::MAX, READ_AHEAD)?;
        walk.give_up_unreadable();
        Ok(walk)
    }
}

/// How many events a frame holds, if it is whole.
fn check(
    header: &FrameHeader,
    stored: bytes::Bytes,
    seal: Option<&FrameCipher>,
) -> Result<u32, Malformed> {
    if header.sealed && seal.is_none() {
        let whole = header.vouches_for(&stored);
        return if whole {
            Ok(events(header))
        } else {
            Err(Malformed("the checksum of the body is wrong"))
        };
    }
    let body = open_body(header, stored, seal).unwrap_or(Err(Malformed(
        "its seal is broken, or it was sealed with another key",
    )))?;
    match header.kind {
        FrameKind::Put => drop(decode_events(body, header.count)?),
        FrameKind::Ack => drop(decode_ranges(&body, header.count)?),
    }
    Ok(events(header))
}

fn events(header: &FrameHeader) -> u32 {
    if header.kind == FrameKind::Put {
        header.count
    } else {
        0
    }
}

/// The directories and those right below them, without what a take-over has put aside.
pub(crate) fn places(directories: &[PathBuf]) -> Result<Vec<PathBuf>, InspectError> {
    let mut places = vec![];
    for directory in directories {
        let failed = |cause| InspectError::Directory {
            path: directory.clone(),
            cause,
        };
        places.push(directory.clone());
        for entry in fs::read_dir(directory).map_err(failed)?.flatten() {
            let path = entry.path();
            if path.is_dir() && !begins(&path, "java-") {
                places.push(path);
            }
        }
    }
    Ok(places)
}

fn begins(path: &Path, prefix: &str) -> bool {
    path.file_name()
        .is_some_and(|name| name.as_encoded_bytes().starts_with(prefix.as_bytes()))
}

fn numbers(header: &FrameHeader) -> Range<u64> {
    header.first..header.first.saturating_add(header.count.into())
}

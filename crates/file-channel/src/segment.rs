//! Segments as files: where they are, how their headers and groups are read.

use std::{
    fmt, io,
    ops::Range,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;

use crate::{
    disk::{Disk, DiskFile},
    format::{BLOCK, FRAME_HEADER, FrameHeader, GROUP_HEADER, GroupHeader, SegmentHeader},
};

/// Bytes that a reader of bodies asks for at a time; a larger frame is read alone.
pub const READ_AHEAD: usize = 1 << 20;
/// Bytes that a reader of headers asks for at a time.
pub const HEADER_AHEAD: usize = 64 << 10;

/// What cannot be read is read so often before it is given up, with a pause between the tries.
const READ_TRIES: usize = 3;
const READ_RETRY_PAUSE: Duration = Duration::from_millis(if cfg!(test) { 0 } else { 100 });

const PREFIX: &str = "segment-";

/// A segment in use: its header and its file.
#[derive(Clone, Debug)]
pub struct Segment {
    /// Block 0.
    pub header: SegmentHeader,
    /// Its file.
    pub path: PathBuf,
    /// Length of the file.
    pub length: u64,
}

/// What a file of a data directory is.
pub enum FileKind {
    /// It has a valid header.
    Segment(SegmentHeader),
    /// Nothing was ever written to it.
    Blank,
    /// Its header is unreadable, and no group is behind it: the segment was being begun.
    Begun,
    /// Its header is unreadable, and something is behind it. With the error, if it was the disk that failed.
    Headless(Option<io::Error>),
}

/// The path of the file with that number.
pub fn path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{PREFIX}{number:08}"))
}

/// The number in a path, if it is that of a segment.
pub fn number(path: &Path) -> Option<u64> {
    path.file_name()?
        .to_str()?
        .strip_prefix(PREFIX)?
        .parse()
        .ok()
}

/// Reads block 0, and the block behind it if the first tells nothing. A block that the disk cannot read tells nothing,
/// either.
pub fn read_header(disk: &dyn Disk, path: &Path) -> io::Result<FileKind> {
    let named = |error: io::Error| named(path, error);
    let file = disk.open(path).map_err(named)?;
    let block = |at: u64| {
        try_again(|| {
            let mut block = vec![0; BLOCK as usize];
            let read = file.read_at(&mut block, at)?;
            block.truncate(read);
            Ok(block)
        })
        .map_err(named)
    };
    let is_blank = |block: &io::Result<Vec<u8>>| {
        block
            .as_ref()
            .is_ok_and(|block| block.iter().all(|&byte| byte == 0))
    };
    let first = block(0);
    if let Some(header) = first.as_deref().ok().and_then(SegmentHeader::decode) {
        return Ok(FileKind::Segment(header));
    }
    // The first group stands there. Looking further would mean to read all spare segments at each open.
    let second = block(BLOCK);
    if !is_blank(&second) {
        return Ok(FileKind::Headless(first.err()));
    }
    Ok(if is_blank(&first) {
        FileKind::Blank
    } else {
        FileKind::Begun
    })
}

/// Reads again after a failure that may pass.
pub(crate) fn try_again<T>(mut read: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    for _ in 1..READ_TRIES {
        if let Ok(read) = read() {
            return Ok(read);
        }
        std::thread::sleep(READ_RETRY_PAUSE);
    }
    read()
}

/// The error with the file that it is about.
pub(crate) fn named(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// A place in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The segment's id.
    pub segment: u64,
    /// The offset in it.
    pub offset: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "segment {} at {}", self.segment, self.offset)
    }
}

/// Walks over the groups and frames of one segment.
pub struct Walk {
    segment: Segment,
    window: Window,
    /// Where the next group begins.
    at: u64,
    /// Nothing is read from here on.
    end: u64,
    /// Whether the log is known to reach `end`.
    reaches_end: bool,
    /// The number of the group before, if it is known.
    previous: Option<u64>,
    /// Groups with a greater number were abandoned.
    last_good_group: u64,
    open: Option<OpenGroup>,
}

/// A group of which not all frames were seen.
struct OpenGroup {
    header: GroupHeader,
    start: u64,
    next_frame: u64,
    next_index: u32,
}

/// What a walk meets.
#[derive(Debug)]
pub enum Found {
    /// A group begins.
    Group(GroupHeader),
    /// A frame; its body stands at the range.
    Frame(FrameHeader, Range<u64>),
    /// No frame can be read in this range, although the log goes on behind it, or frames are missing from a group.
    Damage(Range<u64>),
}

impl Walk {
    /// From `at`, which must be the beginning of a group, to `end`, or to the last group when that is not known.
    pub fn new(
        disk: &dyn Disk,
        segment: Segment,
        at: u64,
        end: Option<u64>,
        last_good_group: u64,
        ahead: usize,
    ) -> io::Result<Self> {
        let file = disk.open(&segment.path)?;
        let length = file.length()?;
        let reaches_end = end.is_some();
        let end = end.unwrap_or(length);
        let path = segment.path.clone();
        let window = Window {
            path,
            file,
            length: end,
            ahead,
            start: 0,
            bytes: Bytes::new(),
            gives_up: false,
        };
        let at = at.max(BLOCK);
        Ok(Walk {
            segment,
            window,
            at,
            end,
            reaches_end,
            previous: None,
            last_good_group,
            open: None,
        })
    }

    /// Where the group after the last that was met whole begins.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// The segment that is walked over.
    pub fn segment(&self) -> &Segment {
        &self.segment
    }

    /// Groups up to `end` may be read now.
    pub fn extend(&mut self, end: u64) {
        self.end = self.end.max(end);
        self.window.length = self.window.length.max(end);
    }

    /// The next thing; `None` at the end of the log in this segment.
    pub fn advance(&mut self) -> io::Result<Option<Found>> {
        match self.next_frame()? {
            Some(found) => Ok(Some(found)),
            None => self.next_group(),
        }
    }

    /// From now on blocks that the disk cannot read are taken for zeros, so that they cost what is in them and nothing
    /// else.
    pub fn give_up_unreadable(&mut self) {
        self.window.gives_up = true;
    }

    /// The bytes at a range.
    pub fn read(&mut self, range: Range<u64>) -> io::Result<Bytes> {
        self.window.read(range)
    }

    fn next_frame(&mut self) -> io::Result<Option<Found>> {
        let Some(mut open) = self.open.take() else {
            return Ok(None);
        };
        if open.next_index == open.header.frames {
            return Ok(None);
        }
        let end = open.start + open.header.length;
        let body = open.next_frame + FRAME_HEADER as u64;
        let bytes = self.window.read(open.next_frame..body.min(end))?;
        let header = FrameHeader::decode(
            self.segment.header.seed(),
            open.header.number,
            open.next_index,
            &bytes,
        );
        let Some(header) = header.filter(|header| body + u64::from(header.length) <= end) else {
            let start = open.next_frame;
            let Some((at, index)) = self.frame_behind(&open, end)? else {
                return Ok(Some(Found::Damage(start..end)));
            };
            open.next_frame = at;
            open.next_index = index;
            self.open = Some(open);
            return Ok(Some(Found::Damage(start..at)));
        };
        open.next_frame = body + u64::from(header.length);
        open.next_index += 1;
        let body = body..open.next_frame;
        self.open = Some(open);
        Ok(Some(Found::Frame(header, body)))
    }

    /// Where a later frame of a group begins whose next header is unreadable, and its place in the group. The checksum
    /// of a header is seeded and covers the group and the place, so nothing else is taken for one.
    fn frame_behind(&mut self, open: &OpenGroup, end: u64) -> io::Result<Option<(u64, u32)>> {
        let seed = self.segment.header.seed();
        let start = open.next_frame;
        let bytes = self.window.read(start..end)?;
        for offset in 1..bytes.len() {
            let later = open.next_index + 1..open.header.frames;
            let group = open.header.number;
            let Some(header) = FrameHeader::decode_one(seed, group, later, &bytes[offset..]) else {
                continue;
            };
            // Either copy may be the damaged one: the body tells which was found.
            let is_whole = |at: usize| {
                let body = bytes.get(at + FRAME_HEADER..).unwrap_or_default();
                let body = body.get(..header.length as usize).unwrap_or_default();
                header.vouches_for(body)
            };
            let as_second = offset
                .checked_sub(FRAME_HEADER / 2)
                .filter(|at| is_whole(*at));
            let at = if is_whole(offset) {
                offset
            } else {
                as_second.unwrap_or(offset)
            };
            return Ok(Some((start + at as u64, header.index)));
        }
        Ok(None)
    }

    fn next_group(&mut self) -> io::Result<Option<Found>> {
        let mut at = self.at;
        while at + BLOCK <= self.end {
            if let Some(header) = self.group_at(at)? {
                if at > self.at {
                    let damage = self.at..at;
                    self.at = at;
                    return Ok(Some(Found::Damage(damage)));
                }
                self.at = at + header.length;
                self.previous = Some(header.number);
                let next_frame = at + GROUP_HEADER as u64;
                self.open = Some(OpenGroup {
                    header,
                    start: at,
                    next_frame,
                    next_index: 0,
                });
                return Ok(Some(Found::Group(header)));
            }
            at += BLOCK;
        }
        if self.reaches_end && self.at < self.end {
            let damage = self.at..self.end;
            self.at = self.end;
            return Ok(Some(Found::Damage(damage)));
        }
        Ok(None)
    }

    /// A group of this segment that may stand at `at`.
    fn group_at(&mut self, at: u64) -> io::Result<Option<GroupHeader>> {
        let Ok(block) = u32::try_from(at / BLOCK) else {
            return Ok(None);
        };
        let bytes = self.window.read(at..at + GROUP_HEADER as u64)?;
        let header = GroupHeader::decode(self.segment.header.seed(), block, &bytes);
        Ok(header.filter(|header| {
            at + header.length <= self.end
                && header.number <= self.last_good_group
                && self
                    .previous
                    .is_none_or(|previous| header.number > previous)
        }))
    }
}

/// Reads ahead: what was asked for and what is likely to be asked for next.
struct Window {
    path: PathBuf,
    file: Box<dyn DiskFile>,
    length: u64,
    ahead: usize,
    start: u64,
    bytes: Bytes,
    /// Whether blocks that cannot be read are taken for zeros.
    gives_up: bool,
}

impl Window {
    fn read(&mut self, range: Range<u64>) -> io::Result<Bytes> {
        let wanted = (range.end - range.start) as usize;
        let inside = range.start >= self.start && range.end <= self.start + self.bytes.len() as u64;
        if !inside {
            let most = self.length.saturating_sub(range.start);
            let most = usize::try_from(most).unwrap_or(usize::MAX);
            let loaded = match self.load(range.start, wanted.max(self.ahead).min(most)) {
                // What comes behind may be what cannot be read.
                Err(_) => match self.load(range.start, wanted.min(most)) {
                    Err(error) if self.gives_up => {
                        self.salvage(range.start, wanted.min(most), error)
                    }
                    loaded => loaded,
                },
                loaded => loaded,
            };
            (self.start, self.bytes) = (range.start, loaded?.into());
        }
        let skip = (range.start - self.start) as usize;
        // Shorter at the end of the file; whoever asked notices.
        Ok(self
            .bytes
            .slice(skip..(skip + wanted).min(self.bytes.len())))
    }

    /// The same, with zeros for the blocks that cannot be read, as long as a block near by can: a disk that is gone must
    /// not look like one of zeros.
    fn salvage(&self, start: u64, length: usize, error: io::Error) -> io::Result<Vec<u8>> {
        let first = start - start % BLOCK;
        let last = (start + length as u64).next_multiple_of(BLOCK);
        let mut bytes = vec![];
        let mut unreadable = vec![];
        let block = |at: u64| try_again(|| self.load(at, BLOCK as usize)).ok();
        for at in (first..last).step_by(BLOCK as usize) {
            let block = block(at).unwrap_or_else(|| {
                unreadable.push(at);
                vec![0; BLOCK as usize]
            });
            bytes.extend_from_slice(&block);
        }
        let reads = |at: u64| block(at).is_some_and(|block| !block.is_empty());
        let is_whole = (unreadable.len() as u64) < (last - first) / BLOCK;
        if !(is_whole || reads(last) || first.checked_sub(BLOCK).is_some_and(reads)) {
            return Err(error);
        }
        if let Some(bad) = unreadable.first() {
            let path = self.path.display();
            let count = unreadable.len();
            tracing::error!(
                "{path} at {bad}: giving up {count} blocks that cannot be read: {error}"
            );
        }
        let skip = (start - first) as usize;
        let end = bytes.len().min(skip + length);
        Ok(bytes[skip.min(end)..end].to_vec())
    }

    fn load(&self, start: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut buffer = vec![0; length];
        let read = self.file.read_at(&mut buffer, start).map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("{} at {start}: {error}", self.path.display()),
            )
        })?;
        buffer.truncate(read);
        Ok(buffer)
    }
}

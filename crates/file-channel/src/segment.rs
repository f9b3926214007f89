//! Segments as files: where they are, how their headers and groups are read.

use std::{
    fmt, io,
    ops::Range,
    path::{Path, PathBuf},
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
pub enum Kind {
    /// It has a valid header.
    Segment(SegmentHeader),
    /// Its block 0 was never written.
    Blank,
    /// Its block 0 is neither.
    Unreadable,
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

/// Reads block 0.
pub fn read_header(disk: &dyn Disk, path: &Path) -> io::Result<Kind> {
    let mut block = vec![0; BLOCK as usize];
    let read = disk.open(path)?.read_at(&mut block, 0)?;
    block.truncate(read);
    Ok(match SegmentHeader::decode(&block) {
        Some(header) => Kind::Segment(header),
        None if block.iter().all(|&byte| byte == 0) => Kind::Blank,
        None => Kind::Unreadable,
    })
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
            return Ok(Some(Found::Damage(open.next_frame..end)));
        };
        open.next_frame = body + u64::from(header.length);
        open.next_index += 1;
        let body = body..open.next_frame;
        self.open = Some(open);
        Ok(Some(Found::Frame(header, body)))
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
                Err(_) => self.load(range.start, wanted.min(most)),
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

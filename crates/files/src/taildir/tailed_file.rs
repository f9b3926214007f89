//! A file that is followed: bytes in, lines out.

use std::{
    collections::VecDeque,
    fs::File,
    io,
    os::unix::fs::{FileExt, MetadataExt},
    path::PathBuf,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use memchr::memchr;

use super::{
    fingerprint::Prints,
    position::{FileIdentity, FilePosition},
};
use crate::{
    multiline::{JoinedLines, LineJoiner, MultilineConfig},
    open::{FileFacts, open_regular},
};

/// Bytes that are read at once.
const CHUNK_BYTES: usize = 256 << 10;
/// A longer line becomes several events.
const MAX_LINE_BYTES: usize = 16 << 20;

/// Reads of which it is remembered what the file looked like.
const MAX_HISTORY: usize = 32;

/// A file that is followed.
pub(super) struct TailedFile {
    pub(super) path: PathBuf,
    pub(super) group: usize,
    pub(super) facts: FileFacts,
    file: Option<File>,
    /// Bytes whose events were committed.
    committed: u64,
    /// Bytes whose lines were given out: where the next event begins.
    given: u64,
    /// Bytes whose lines went into the joiner; the buffer begins here.
    split: u64,
    buffer: BytesMut,
    joiner: LineJoiner,
    multiline: MultilineConfig,
    /// What the bytes before the end of the buffer look like in the file.
    prints: Prints,
    /// The same for the ends of the last reads.
    history: VecDeque<(u64, Prints)>,
    /// How long it was when it was read to its end.
    seen_end: u64,
    /// When it last grew.
    grown: Instant,
    /// It was written while it was closed.
    pub(super) is_touched: bool,
    /// No name that matches leads to it any more.
    pub(super) is_gone: bool,
}

/// What was read of a file: a rotation copies it, and cuts the original.
#[derive(Clone, Debug)]
pub(super) struct ReadContent {
    pub(super) path: PathBuf,
    pub(super) read_to: u64,
    /// Bytes whose lines were given out.
    pub(super) given: u64,
    pub(super) prints: Prints,
    pub(super) history: VecDeque<(u64, Prints)>,
}

/// What reading brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TailRead {
    Grown,
    AtEnd,
    /// Something else is in the file now: it is read from its start.
    Replaced,
}

/// A line, or several that were joined.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TailEvent {
    pub(super) body: Bytes,
    /// Where in the file it begins.
    pub(super) start: u64,
    pub(super) end: u64,
}

impl TailedFile {
    /// Follows a file from `offset` on.
    pub(super) fn new(
        path: PathBuf,
        group: usize,
        facts: FileFacts,
        offset: u64,
        multiline: &MultilineConfig,
    ) -> Self {
        TailedFile {
            path,
            group,
            facts,
            file: None,
            committed: offset,
            given: offset,
            split: offset,
            buffer: BytesMut::new(),
            joiner: LineJoiner::new(multiline.clone()),
            multiline: multiline.clone(),
            prints: Prints::default(),
            history: VecDeque::new(),
            seen_end: offset,
            grown: Instant::now(),
            is_touched: false,
            is_gone: false,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.file.is_some()
    }

    /// Where reading goes on.
    pub(super) fn read_to(&self) -> u64 {
        self.split + self.buffer.len() as u64
    }

    /// Whether it is to be looked at: it is followed, has changed, or has a last line that was quiet for long enough.
    pub(super) fn needs_reading(&self, idle_timeout: Duration) -> bool {
        let has_rest = self.seen_end > self.read_to() && self.quiet() >= idle_timeout;
        self.is_open() || self.is_touched || has_rest || self.facts.length != self.seen_end
    }

    /// How long it has not grown.
    pub(super) fn quiet(&self) -> Duration {
        self.grown.elapsed()
    }

    /// Reads what is new, as far as it fits into a chunk.
    pub(super) fn read(&mut self) -> io::Result<TailRead> {
        if self.file.is_none() && !self.open()? {
            return Ok(TailRead::Replaced);
        }
        let Some(file) = &self.file else {
            return Ok(TailRead::AtEnd);
        };
        let at = self.read_to();
        self.buffer.reserve(CHUNK_BYTES);
        let start = self.buffer.len();
        self.buffer.resize(start + CHUNK_BYTES, 0);
        let read = file.read_at(&mut self.buffer[start..], at);
        self.buffer.truncate(start + *read.as_ref().unwrap_or(&0));
        let read = read?;
        // Looked at after reading: a file that was cut before, and has grown over this place again, is found out.
        let length = file.metadata()?.len();
        if length < at || (read > 0 && Prints::take(file, at)? != Some(self.prints)) {
            self.restart();
            return Ok(TailRead::Replaced);
        }
        if read == 0 {
            return Ok(TailRead::AtEnd);
        }
        if let Some(prints) = Prints::take(file, at + read as u64)? {
            self.prints = prints;
            self.history.push_back((at + read as u64, prints));
            if self.history.len() > MAX_HISTORY {
                self.history.pop_front();
            }
        } else {
            self.restart();
            return Ok(TailRead::Replaced);
        }
        if at + read as u64 > self.seen_end {
            self.seen_end = at + read as u64;
            self.grown = Instant::now();
        }
        Ok(TailRead::Grown)
    }

    /// Whether what was read is still in it. An error when its name leads to another file.
    fn open(&mut self) -> io::Result<bool> {
        let (file, facts) = open_regular(&self.path)?;
        if !facts.is_same_file(&self.facts) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let prints = Prints::take(&file, self.read_to())?;
        self.file = Some(file);
        self.is_touched = false;
        match prints {
            Some(prints) if prints == self.prints => Ok(true),
            _ => {
                self.restart();
                Ok(false)
            }
        }
    }

    /// Begins at the start of what is in the file now.
    fn restart(&mut self) {
        self.committed = 0;
        self.given = 0;
        self.split = 0;
        self.buffer.clear();
        self.joiner = LineJoiner::new(self.multiline.clone());
        self.history.clear();
        self.prints = Prints::empty();
        self.seen_end = 0;
        self.grown = Instant::now();
    }

    /// What was read of it.
    pub(super) fn content(&self) -> ReadContent {
        ReadContent {
            path: self.path.clone(),
            read_to: self.read_to(),
            given: self.given,
            prints: self.prints,
            history: self.history.clone(),
        }
    }

    /// Another descriptor of it, to look at its content.
    pub(super) fn peek(&self) -> Option<File> {
        match &self.file {
            Some(file) => file.try_clone().ok(),
            None => {
                let (file, facts) = open_regular(&self.path).ok()?;
                facts.is_same_file(&self.facts).then_some(file)
            }
        }
    }

    /// The next event of what was read.
    pub(super) fn next(&mut self) -> Option<TailEvent> {
        loop {
            let line = match memchr(b'\n', &self.buffer) {
                Some(length) => {
                    let line = self.buffer.split_to(length).freeze();
                    let _ = self.buffer.split_to(1);
                    self.split += length as u64 + 1;
                    line.strip_suffix(b"\r")
                        .map_or(line.clone(), |stripped| line.slice(..stripped.len()))
                }
                None if self.buffer.len() > MAX_LINE_BYTES => self.rest_of_line(),
                None => return None,
            };
            if let Some(joined) = self.joiner.push(line, self.split) {
                return Some(self.event(joined));
            }
        }
    }

    fn rest_of_line(&mut self) -> Bytes {
        let line = self.buffer.split().freeze();
        self.split += line.len() as u64;
        line
    }

    /// What waits for lines that do not come any more: lines that are to be joined.
    pub(super) fn flush_joined(&mut self) -> Option<TailEvent> {
        let joined = self.joiner.flush()?;
        Some(self.event(joined))
    }

    /// The same, and a last line without a line feed.
    pub(super) fn flush(&mut self) -> Option<TailEvent> {
        if !self.buffer.is_empty() {
            let line = self.rest_of_line();
            if let Some(joined) = self.joiner.push(line, self.split) {
                return Some(self.event(joined));
            }
        }
        self.flush_joined()
    }

    fn event(&mut self, joined: JoinedLines) -> TailEvent {
        let start = self.given;
        self.given = joined.offset;
        TailEvent {
            body: joined.text,
            start,
            end: joined.offset,
        }
    }

    /// The channels have the events before `end`, which were read from this content.
    pub(super) fn commit(&mut self, end: u64) {
        self.committed = end.min(self.given);
    }

    /// Whether the file itself was deleted: nobody can find what is written into it.
    pub(super) fn is_deleted(&self) -> bool {
        let links = self
            .file
            .as_ref()
            .and_then(|file| file.metadata().ok())
            .map(|metadata| metadata.nlink());
        links == Some(0)
    }

    /// Whether a whole line was read that was not given out.
    pub(super) fn has_line(&self) -> bool {
        memchr(b'\n', &self.buffer).is_some()
    }

    /// Whether it can be closed: all events that were given out are committed, and none waits for lines.
    pub(super) fn is_settled(&self) -> bool {
        self.committed == self.given && self.given == self.split
    }

    /// Closes a settled file. An unfinished line is read again, should the file grow.
    pub(super) fn close(&mut self) {
        if let Some(file) = self.file.take()
            && !self.buffer.is_empty()
        {
            // Cut meanwhile: then these bytes are not there again, and the file is read from its start.
            self.prints = Prints::take(&file, self.split)
                .ok()
                .flatten()
                .unwrap_or_default();
        }
        self.buffer = BytesMut::new();
    }

    /// Sets its place after a restart of the agent, or of a copy.
    pub(super) fn expect(&mut self, prints: Prints) {
        self.prints = prints;
    }

    /// For the position file.
    pub(super) fn position(&self) -> FilePosition {
        let prints = match &self.file {
            Some(file) => Prints::take(file, self.committed).ok().flatten(),
            None => Some(self.prints)
                .filter(|prints| self.read_to() == self.committed && *prints != Prints::default()),
        };
        FilePosition {
            inode: self.facts.inode,
            offset: self.committed,
            path: self.path.display().to_string(),
            identity: prints.map(|prints| FileIdentity {
                device: self.facts.device,
                prints,
            }),
        }
    }
}

impl ReadContent {
    /// Where reading of `copy` begins, which has `length` bytes, when it is a copy of this content: nothing is read
    /// twice, and what was not read of the original before it was cut is read here.
    pub(super) fn start_in_copy(&self, copy: &File, length: u64) -> Option<u64> {
        let print = |offset: u64| Prints::take(copy, offset).ok().flatten();
        if self.read_to <= length {
            return (print(self.read_to) == Some(self.prints)).then_some(self.given);
        }
        // The original grew after it had been copied.
        let (offset, prints) = self
            .history
            .iter()
            .rev()
            .find(|(offset, _)| *offset <= length)?;
        // Only so much is shown to be equal: what follows may be another file's.
        (print(*offset) == Some(*prints)).then_some(self.given.min(*offset))
    }
}

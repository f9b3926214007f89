//! All files that are followed: which there are, which is read next, what is remembered.

use std::{
    collections::{BTreeMap, VecDeque},
    fs::File,
    io::{self, ErrorKind},
    mem,
    path::Path,
    time::{Duration, Instant},
};

use flume_core::{
    Event, Headers, Str,
    metrics::{Counter, Gauge, Metrics},
};

use super::{
    discovery::{FileGroup, FoundFile, Look},
    fingerprint::Prints,
    position::{FilePosition, PositionFile},
    tailed_file::{ReadContent, TailEvent, TailRead, TailedFile},
};
use crate::{multiline::MultilineConfig, open::open_regular};

/// How long a content that was cut may turn up as a copy.
const COPY_TIME: Duration = Duration::from_secs(600);
/// Contents that are remembered for that.
const MAX_OLD_CONTENTS: usize = 1000;
/// With more open files than this, those that are at their ends are closed at once.
const MAX_OPEN_FILES: usize = 512;
const BYTE_OFFSET_HEADER: &str = "byteoffset";

/// Device and inode.
type FileKey = (u64, u64);

/// What the files are read by.
#[derive(Clone)]
pub(super) struct TailSettings {
    pub(super) batch_size: usize,
    pub(super) max_batch_count: u64,
    pub(super) skip_to_end: bool,
    pub(super) idle_timeout: Duration,
    pub(super) cache_directories: bool,
    pub(super) byte_offset_header: bool,
    /// Name of the header with the path.
    pub(super) file_header: Option<Str>,
    /// Headers of each group.
    pub(super) group_headers: Vec<Headers>,
    pub(super) multiline: MultilineConfig,
    pub(super) multiline_timeout: Duration,
}

/// The files.
pub(super) struct Tailer {
    settings: TailSettings,
    groups: Vec<FileGroup>,
    positions: PositionFile,
    /// What was saved of files that were not found yet, because of the first look, or of a directory that cannot be read.
    remembered: Vec<FilePosition>,
    files: BTreeMap<FileKey, TailedFile>,
    /// Files that are to be read, and batches that were read of the first.
    queue: VecDeque<FileKey>,
    batches: u64,
    /// Events of the first file of the queue that make no whole batch yet.
    pending: Vec<TailEvent>,
    old_contents: VecDeque<(Instant, ReadContent)>,
    open_files: usize,
    is_first_round: bool,
    is_dirty: bool,
    counters: TailCounters,
}

struct TailCounters {
    open: Gauge,
    followed: Gauge,
    /// Files and directories that cannot be looked at.
    unread: Gauge,
    replaced: Counter,
    read_failures: Counter,
    save_failures: Counter,
}

/// Events of one file.
pub(super) struct TailBatch {
    pub(super) events: Vec<Event>,
    key: FileKey,
    end: u64,
}

/// What to do with a file that was not known.
enum NewFile {
    ReadFrom(u64),
    /// A copy of what another file still holds.
    Ignore,
}

impl Tailer {
    pub(super) fn new(
        settings: TailSettings,
        groups: Vec<FileGroup>,
        positions: PositionFile,
        metrics: &Metrics,
    ) -> Self {
        Tailer {
            settings,
            groups,
            positions,
            remembered: vec![],
            files: BTreeMap::new(),
            queue: VecDeque::new(),
            batches: 0,
            pending: vec![],
            old_contents: VecDeque::new(),
            open_files: 0,
            is_first_round: true,
            is_dirty: false,
            counters: TailCounters {
                open: metrics.gauge("FilesOpenCount"),
                followed: metrics.gauge("FilesFollowedCount"),
                unread: metrics.gauge("PathsUnreadCount"),
                replaced: metrics.counter("FilesReplacedCount"),
                read_failures: metrics.counter("EventReadFail"),
                save_failures: metrics.counter("PositionSaveFailCount"),
            },
        }
    }

    /// Reads what was saved.
    pub(super) fn load(&mut self) -> io::Result<()> {
        self.remembered = self.positions.load()?;
        Ok(())
    }

    /// Looks which files there are, and queues those that have something to read.
    pub(super) fn discover(&mut self) -> io::Result<()> {
        let mut look = Look::default();
        for (place, group) in self.groups.iter_mut().enumerate() {
            group.find(place, self.settings.cache_directories, &mut look)?;
        }
        self.counters.unread.set(look.unread.len());
        for file in self.files.values_mut() {
            file.is_gone = !look.is_blind_to(&file.path);
        }
        let mut unknown = vec![];
        for file in mem::take(&mut look.files) {
            match self.files.get_mut(&key(&file)) {
                Some(known) => {
                    self.is_dirty |= known.path != file.path;
                    known.is_gone = false;
                    let is_written = known.facts.modified != file.facts.modified;
                    known.is_touched |= is_written && !known.is_open();
                    known.path = file.path;
                    known.facts = file.facts;
                }
                None => unknown.push(file),
            }
        }
        let fresh: Vec<_> = unknown
            .into_iter()
            .filter_map(|file| self.adopt(file))
            .collect();
        for file in fresh {
            self.files
                .insert((file.facts.device, file.facts.inode), file);
            self.is_dirty = true;
        }
        let before = self.files.len();
        self.files.retain(|_, file| !file.is_gone || file.is_open());
        self.is_dirty |= self.files.len() < before;
        self.is_first_round = false;
        // What cannot be looked at now may still be there later.
        self.remembered
            .retain(|known| look.is_blind_to(Path::new(&known.path)));
        self.queue_files();
        Ok(())
    }

    /// The file that was written longest ago comes first.
    fn queue_files(&mut self) {
        let front = if self.pending.is_empty() {
            None
        } else {
            self.queue.front().copied()
        };
        let mut ready: Vec<_> = self
            .files
            .iter()
            .filter(|(_, file)| file.needs_reading(self.settings.idle_timeout))
            .collect();
        // Of files of one time, those that were begun come first: a rotation has just made the others.
        ready
            .sort_by_key(|(_, file)| (file.facts.modified, file.read_to() == 0, file.path.clone()));
        let ready = ready
            .into_iter()
            .map(|(key, _)| *key)
            .filter(|key| Some(*key) != front);
        self.queue = front.into_iter().chain(ready).collect();
        self.batches = 0;
        self.open_files = self.files.values().filter(|file| file.is_open()).count();
        self.counters.open.set(self.open_files);
        self.counters.followed.set(self.files.len());
    }

    /// A file that was not known; `None` for a copy.
    fn adopt(&self, found: FoundFile) -> Option<TailedFile> {
        let NewFile::ReadFrom(offset) = self.start_of(&found) else {
            return None;
        };
        let FoundFile { path, group, facts } = found;
        // A file that is shorter is another one.
        let prints = prints_of(&path, offset);
        let offset = if prints.is_some() { offset } else { 0 };
        let mut file = TailedFile::new(path, group, facts, offset, &self.settings.multiline);
        file.expect(prints.unwrap_or(Prints::empty()));
        Some(file)
    }

    fn start_of(&self, found: &FoundFile) -> NewFile {
        let path = found.path.display().to_string();
        let same_inode = |known: &&FilePosition| known.inode == found.facts.inode;
        for known in self.remembered.iter().filter(same_inode) {
            let Some(identity) = known.identity else {
                if known.path == path {
                    return NewFile::ReadFrom(known.offset);
                }
                continue;
            };
            if identity.device == found.facts.device {
                let holds = prints_of(&found.path, known.offset) == Some(identity.prints);
                return NewFile::ReadFrom(if holds { known.offset } else { 0 });
            }
        }
        if let Some(start) = self.copy_of(found) {
            return start;
        }
        let skip = self.is_first_round && self.settings.skip_to_end;
        NewFile::ReadFrom(if skip { found.facts.length } else { 0 })
    }

    /// Whether a file is the copy that a rotation makes before it cuts the original.
    fn copy_of(&self, found: &FoundFile) -> Option<NewFile> {
        let length = found.facts.length;
        let mut copy = None;
        let originals = self
            .files
            .values()
            .filter(|file| is_rotation_name(&file.path, &found.path));
        for original in originals {
            if copy.is_none() {
                copy = Some(open_regular(&found.path).ok()?.0);
            }
            let copy = copy.as_ref()?;
            let print = |file: &File| Prints::take(file, length).ok().flatten();
            let still_there = original.peek().and_then(|file| print(&file));
            if still_there.is_some() && still_there == print(copy) {
                return Some(NewFile::Ignore);
            }
            if let Some(start) = original.content().start_in_copy(copy, length) {
                return Some(NewFile::ReadFrom(start));
            }
        }
        let olds = self.old_contents.iter().map(|(_, old)| old);
        for old in olds.filter(|old| is_rotation_name(&old.path, &found.path)) {
            if copy.is_none() {
                copy = Some(open_regular(&found.path).ok()?.0);
            }
            if let Some(start) = old.start_in_copy(copy.as_ref()?, length) {
                return Some(NewFile::ReadFrom(start));
            }
        }
        None
    }

    /// A whole batch of what was read already. `None`: more has to be read.
    pub(super) fn ready_batch(&mut self) -> Option<TailBatch> {
        let key = *self.queue.front()?;
        let file = self.files.get_mut(&key)?;
        while self.pending.len() < self.settings.batch_size {
            self.pending.push(file.next()?);
        }
        Some(self.batch(key))
    }

    /// The next batch, whole or not. `None`: there is nothing to read now.
    pub(super) fn read_batch(&mut self) -> Option<TailBatch> {
        while let Some(key) = self.queue.front().copied() {
            if let Some(batch) = self.ready_batch() {
                return Some(batch);
            }
            if self.batches < self.settings.max_batch_count && self.read_front(key) {
                continue;
            }
            self.finish_front(key);
            let batch = (!self.pending.is_empty()).then(|| self.batch(key));
            self.queue.pop_front();
            self.batches = 0;
            if batch.is_some() {
                return batch;
            }
        }
        None
    }

    /// Reads of the first file; whether it is to be read on.
    fn read_front(&mut self, key: FileKey) -> bool {
        let Some(file) = self.files.get_mut(&key) else {
            return false;
        };
        let content = file.content();
        let was_open = file.is_open();
        let read = file.read();
        self.open_files += usize::from(file.is_open() && !was_open);
        match read {
            Ok(TailRead::Grown) => true,
            Ok(TailRead::AtEnd) => false,
            Ok(TailRead::Replaced) => {
                tracing::info!(
                    "{} was cut or written anew; it is read from its start",
                    file.path.display()
                );
                self.counters.replaced.add(1);
                self.is_dirty = true;
                let now = Instant::now();
                self.old_contents
                    .retain(|(since, _)| now.duration_since(*since) < COPY_TIME);
                self.old_contents.truncate(MAX_OLD_CONTENTS - 1);
                self.old_contents.push_front((now, content));
                true
            }
            Err(error) => {
                if error.kind() == ErrorKind::NotFound {
                    // Its name leads elsewhere: the next look at the directory finds it under its new one.
                    return false;
                }
                tracing::warn!("failed to read {}: {error}", file.path.display());
                self.counters.read_failures.add(1);
                false
            }
        }
    }

    /// The first file is at its end: gives out what nothing follows, and closes it in time.
    fn finish_front(&mut self, key: FileKey) {
        let Some(file) = self.files.get_mut(&key) else {
            return;
        };
        if !file.is_open() || self.batches >= self.settings.max_batch_count {
            return;
        }
        let is_deleted = file.is_gone && file.is_deleted();
        if is_deleted || file.quiet() >= self.settings.idle_timeout {
            self.pending.extend(file.flush());
            if self.pending.is_empty() && file.is_settled() {
                file.close();
                self.open_files -= 1;
            }
            return;
        }
        if file.quiet() >= self.settings.multiline_timeout {
            self.pending.extend(file.flush_joined());
        }
        self.close_when_many(key);
    }

    /// With many open files, closes one that is at its end.
    fn close_when_many(&mut self, key: FileKey) {
        if self.open_files > MAX_OPEN_FILES
            && self.pending.is_empty()
            && let Some(file) = self.files.get_mut(&key)
            && file.is_open()
            && file.is_settled()
            && !file.has_line()
            && !file.is_gone
        {
            file.close();
            self.open_files -= 1;
        }
    }

    fn batch(&mut self, key: FileKey) -> TailBatch {
        self.batches += 1;
        let file = self.files.get(&key);
        let group = file.map_or(0, |file| file.group);
        let mut headers = self
            .settings
            .group_headers
            .get(group)
            .cloned()
            .unwrap_or_default();
        if let (Some(name), Some(file)) = (&self.settings.file_header, file) {
            headers.set(name.clone(), file.path.display().to_string().into());
        }
        let end = self.pending.last().map_or(0, |event| event.end);
        let with_offset = self.settings.byte_offset_header;
        let events = self.pending.drain(..).map(|event| {
            let mut headers = headers.clone();
            if with_offset {
                headers.set(
                    Str::from_static(BYTE_OFFSET_HEADER),
                    event.start.to_string().into(),
                );
            }
            Event {
                headers,
                body: event.body,
            }
        });
        TailBatch {
            events: events.collect(),
            key,
            end,
        }
    }

    /// The channels have a batch.
    pub(super) fn commit(&mut self, batch: &TailBatch) {
        if let Some(file) = self.files.get_mut(&batch.key) {
            file.commit(batch.end);
        }
        self.close_when_many(batch.key);
        self.is_dirty = true;
    }

    /// Whether some file may have something to give out without anybody writing.
    pub(super) fn has_open_files(&self) -> bool {
        self.files.values().any(TailedFile::is_open)
    }

    /// Saves the positions, when they have changed.
    pub(super) fn save(&mut self) {
        if !self.is_dirty {
            return;
        }
        let found = self.files.values().map(TailedFile::position);
        let positions: Vec<_> = found.chain(self.remembered.iter().cloned()).collect();
        match self.positions.save(&positions) {
            Ok(()) => self.is_dirty = false,
            Err(error) => {
                let path = self.positions.path().display();
                tracing::warn!(
                    "failed to save the positions in {path}: {error}; the old ones stay"
                );
                self.counters.save_failures.add(1);
            }
        }
    }

    /// The directories of all groups.
    pub(super) fn directories(&self) -> Vec<std::path::PathBuf> {
        self.groups
            .iter()
            .flat_map(FileGroup::directories)
            .collect()
    }
}

fn key(file: &FoundFile) -> FileKey {
    (file.facts.device, file.facts.inode)
}

fn prints_of(path: &Path, offset: u64) -> Option<Prints> {
    let (file, _) = open_regular(path).ok()?;
    Prints::take(&file, offset).ok().flatten()
}

/// Whether a rotation may have given `copy` its name: `app.log.1` or `app-20260101.log` of `app.log`.
fn is_rotation_name(original: &Path, copy: &Path) -> bool {
    let name = |path: &Path| {
        path.file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    };
    let original_name = name(original);
    let stem = original_name.split('.').next().unwrap_or_default();
    original.parent() == copy.parent() && original != copy && name(copy).starts_with(stem)
}

//! Which events are queued, and in which order: the checkpoint if it is whole, and the records behind it, from all logs
//! by their order. What is kept of an event is the place of its put: eight bytes, and at most four more for takes.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, HashMap},
    ops::Range,
    path::{Path, PathBuf},
};

use flume_core::Event;

use super::{
    JavaError, JavaFiles,
    checkpoint::{self, JavaCheckpoint, OpenTransactions},
    log::{Found, LogReader},
    record::{Action, Pointer, Record},
};
use crate::{disk::Disk, encryption::Keys, format::Malformed};

/// Bytes that all logs together are read ahead, at most this much and at least that much each.
const READ_AHEAD: u64 = 64 << 20;
const MOST_AHEAD: u64 = 1 << 20;
const LEAST_AHEAD: u64 = 64 << 10;
/// Takes wait until they are so many, or half as many as there are events.
const TAKES_AT_ONCE: usize = if cfg!(test) { 4 } else { 1 << 20 };

/// What is queued.
pub(crate) struct Replayed {
    /// In the order in which Flume would deliver them.
    queue: Vec<Pointer>,
    logs: BTreeMap<u32, Log>,
    /// What in the logs cannot be read.
    pub(crate) damage: Vec<LogDamage>,
    /// Why the checkpoint does not count, if it does not.
    pub(crate) without_checkpoint: Option<Malformed>,
}

/// A log that is being read, with the place of its directory in `dataDirs`.
struct Log {
    reader: LogReader,
    directory: usize,
}

/// A part of a log that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogDamage {
    /// The log.
    pub path: PathBuf,
    /// Where.
    pub range: Range<u64>,
    /// Whether it is the end of the last log of its directory: then the machine stopped while it was written, before
    /// anybody was told that it is stored.
    pub torn: bool,
}

impl Replayed {
    /// Reads what is queued. `progress` hears the bytes that were read, and those that there are.
    pub(crate) fn read(
        disk: &dyn Disk,
        files: &JavaFiles,
        checkpoint_dir: &Path,
        keys: Option<&Keys>,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Self, JavaError> {
        let ahead = READ_AHEAD / files.logs.len().max(1) as u64;
        let ahead = ahead.clamp(LEAST_AHEAD, MOST_AHEAD);
        let mut logs = BTreeMap::new();
        for log in &files.logs {
            if let Some(reader) = LogReader::open(disk, &log.path, log.id, keys, ahead)? {
                let directory = log.directory;
                logs.insert(log.id, Log { reader, directory });
            }
        }
        let (checkpoint, without) = match JavaCheckpoint::read(disk, checkpoint_dir)? {
            Ok(checkpoint) => (checkpoint, None),
            Err(why) => (JavaCheckpoint::default(), Some(why)),
        };
        none_missing(&checkpoint, &logs, checkpoint_dir)?;
        let order = checkpoint.order;
        let mut replay = Replay::behind(checkpoint);
        let damage = replay.run(&mut logs, order, progress)?;
        let is_doubtful = |put: &Pointer| {
            let directory = logs.get(&put.log()).map(|log| log.directory);
            damage
                .iter()
                .any(|(damaged, _)| Some(*damaged) == directory)
        };
        Ok(Replayed {
            queue: replay.finish(is_doubtful),
            logs,
            damage: damage.into_iter().map(|(_, damage)| damage).collect(),
            without_checkpoint: without,
        })
    }

    /// How many events there are.
    pub(crate) fn events(&self) -> usize {
        self.queue.len()
    }

    /// The logs that were read, and how many of the events are in each.
    pub(super) fn by_log(&self) -> impl Iterator<Item = (&LogReader, usize)> {
        let mut counts = BTreeMap::<u32, usize>::new();
        for pointer in &self.queue {
            *counts.entry(pointer.log()).or_default() += 1;
        }
        let count = move |id| counts.get(id).copied().unwrap_or(0);
        self.logs
            .iter()
            .map(move |(id, log)| (&log.reader, count(id)))
    }

    /// Reads an event. One that cannot be read is damage.
    pub(crate) fn event(&mut self, number: usize) -> Result<Result<Event, LogDamage>, JavaError> {
        let pointer = self.queue[number];
        let at = u64::from(pointer.offset());
        // Every log in the queue is there.
        let Some(log) = self.logs.get_mut(&pointer.log()) else {
            let path = PathBuf::from(format!("log-{}", pointer.log()));
            return Ok(Err(LogDamage {
                path,
                range: at..at,
                torn: false,
            }));
        };
        let path = log.reader.path().to_path_buf();
        let record = log.reader.record(at);
        match record.map_err(|cause| JavaError::Io {
            path: path.clone(),
            cause,
        })? {
            Ok(Record {
                action: Action::Put(event),
                ..
            }) => Ok(Ok(event)),
            _ => Ok(Err(LogDamage {
                path,
                range: at..at + 1,
                torn: false,
            })),
        }
    }
}

/// A log that is gone with events that the checkpoint knows is not passed over.
fn none_missing(
    checkpoint: &JavaCheckpoint,
    logs: &BTreeMap<u32, Log>,
    directory: &Path,
) -> Result<(), JavaError> {
    let queued = checkpoint
        .queue
        .iter()
        .chain(checkpoint.takes.values().flatten());
    let missing = |pointer: &&Pointer| !logs.contains_key(&pointer.log());
    let Some(first) = queued.clone().find(missing) else {
        return Ok(());
    };
    Err(JavaError::Missing {
        log: first.log(),
        events: queued
            .filter(|pointer| pointer.log() == first.log())
            .count(),
        checkpoint: directory.join(checkpoint::QUEUE),
    })
}

/// A transaction that is neither committed nor rolled back.
#[derive(Default)]
struct Open {
    puts: Vec<Pointer>,
    takes: Vec<Pointer>,
}

struct Replay {
    queue: JavaQueue,
    open: BTreeMap<i64, Open>,
    /// Takes that were open at the checkpoint, and are not committed since.
    unfinished_takes: OpenTransactions,
}

impl Replay {
    fn behind(checkpoint: JavaCheckpoint) -> Self {
        let with_puts = |(id, puts)| {
            let takes = vec![];
            (id, Open { puts, takes })
        };
        Replay {
            queue: JavaQueue {
                events: checkpoint.queue,
                taken: vec![],
            },
            open: checkpoint.puts.into_iter().map(with_puts).collect(),
            unfinished_takes: checkpoint.takes,
        }
    }

    /// Applies the records behind `checkpoint`; what is damaged, with its directory.
    fn run(
        &mut self,
        logs: &mut BTreeMap<u32, Log>,
        checkpoint: i64,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Vec<(usize, LogDamage)>, JavaError> {
        let total = logs.values().map(|log| log.reader.length()).sum();
        let mut done = 0;
        let mut merge = Merge::new(logs, checkpoint);
        for (id, log) in logs.iter_mut() {
            log.reader.seek(start(&log.reader, checkpoint));
            merge.advance(*id, log)?;
            done += log.reader.at();
        }
        while let Some((id, offset, record)) = merge.pop() {
            self.apply(Pointer::new(id, offset), record);
            if let Some(log) = logs.get_mut(&id) {
                let before = log.reader.at();
                merge.advance(id, log)?;
                done += log.reader.at() - before;
            }
            progress(done, total);
        }
        Ok(merge.damage)
    }

    fn apply(&mut self, at: Pointer, record: Record) {
        let id = record.transaction;
        match record.action {
            Action::Put(_) => self.open.entry(id).or_default().puts.push(at),
            Action::Take(log, offset) => {
                let taken = Pointer::new(log, offset);
                self.open.entry(id).or_default().takes.push(taken);
            }
            Action::Rollback => drop(self.open.remove(&id)),
            Action::CommitPuts => {
                let open = self.open.remove(&id).unwrap_or_default();
                self.queue.events.extend(open.puts);
            }
            Action::CommitTakes => {
                let open = self.open.remove(&id).unwrap_or_default();
                self.unfinished_takes.remove(&id);
                self.queue.take(open.takes);
            }
        }
    }

    /// What was taken and not committed comes first. What was put and not committed never was, unless the commit may be
    /// what cannot be read in that directory.
    fn finish(mut self, is_doubtful: impl Fn(&Pointer) -> bool) -> Vec<Pointer> {
        let doubtful = self.open.into_values().flat_map(|open| open.puts);
        self.queue.events.extend(doubtful.filter(is_doubtful));
        self.queue.settle();
        let first = self.unfinished_takes.into_values().flatten();
        self.queue.events.splice(0..0, first);
        self.queue.events
    }
}

/// The next record of each log, and the first of these.
struct Merge {
    checkpoint: i64,
    heads: BinaryHeap<Reverse<(i64, i64, u8, u32)>>,
    records: HashMap<u32, (u32, Record)>,
    /// The last log that is not empty, by directory.
    last: HashMap<usize, u32>,
    damage: Vec<(usize, LogDamage)>,
}

impl Merge {
    fn new(logs: &BTreeMap<u32, Log>, checkpoint: i64) -> Self {
        let written = logs.iter().filter(|(_, log)| log.reader.length() > 0);
        Merge {
            checkpoint,
            heads: BinaryHeap::new(),
            records: HashMap::new(),
            last: written.map(|(id, log)| (log.directory, *id)).collect(),
            damage: vec![],
        }
    }

    /// Reads the next record of a log behind the checkpoint.
    fn advance(&mut self, id: u32, log: &mut Log) -> Result<(), JavaError> {
        let mut end_is_damaged = false;
        while let Some(found) = log.reader.advance()? {
            end_is_damaged = false;
            match found {
                Found::Record(offset, record) if record.order > self.checkpoint => {
                    let rank = record.action.rank();
                    let place = (record.order, record.transaction, rank, id);
                    self.heads.push(Reverse(place));
                    self.records.insert(id, (offset, record));
                    return Ok(());
                }
                Found::Record(..) => {}
                Found::Damage(range) => {
                    let path = log.reader.path().into();
                    let damage = LogDamage {
                        path,
                        range,
                        torn: false,
                    };
                    self.damage.push((log.directory, damage));
                    end_is_damaged = true;
                }
            }
        }
        if end_is_damaged
            && self.last.get(&log.directory) == Some(&id)
            && let Some((_, damage)) = self.damage.last_mut()
        {
            damage.torn = true;
        }
        Ok(())
    }

    fn pop(&mut self) -> Option<(u32, u32, Record)> {
        let Reverse((.., id)) = self.heads.pop()?;
        let (offset, record) = self.records.remove(&id)?;
        Some((id, offset, record))
    }
}

/// Where the records behind the checkpoint begin.
fn start(log: &LogReader, checkpoint: i64) -> u64 {
    let meta = &log.meta;
    let backup = meta.backup_position.zip(meta.backup_checkpoint);
    let known = [Some((meta.position, meta.checkpoint)), backup];
    let usable = |&(position, order): &(i64, i64)| position > 0 && order <= checkpoint;
    let position = known.into_iter().flatten().find(usable);
    position.map_or(0, |(position, _)| position as u64)
}

/// Events in the order of their commits, and takes that wait to be found among them.
struct JavaQueue {
    events: Vec<Pointer>,
    taken: Vec<Pointer>,
}

impl JavaQueue {
    fn take(&mut self, taken: Vec<Pointer>) {
        self.taken.extend(taken);
        if self.taken.len() >= TAKES_AT_ONCE.max(self.events.len() / 2) {
            self.settle();
        }
    }

    /// Removes what was taken. What is not found was in a log that is gone.
    fn settle(&mut self) {
        self.taken.sort_unstable();
        let taken = std::mem::take(&mut self.taken);
        self.events
            .retain(|event| taken.binary_search(event).is_err());
    }
}

//! Java Flume's files on a model of a disk: whatever was done to the channel, and wherever the take-over stops, its events
//! are delivered once, in order.

use std::{
    collections::{BTreeSet, VecDeque},
    path::{Path, PathBuf},
    sync::Arc,
};

use flume_core::Event;

use super::{
    Random,
    crashes::survival,
    effort,
    model::ModelDisk,
    world::{Shape, World},
};
use crate::{
    disk::Disk,
    java::{Action, JavaFiles, Meta, Record, Replayed, append_record},
    takeover::{self, TakeOverError},
};

/// A channel of Java Flume, written record by record.
struct JavaChannel {
    disk: ModelDisk,
    logs: Vec<JavaLog>,
    next_log: u32,
    order: i64,
    transaction: i64,
    next_event: u64,
    /// What it would deliver.
    queue: VecDeque<(u64, u32, u32)>,
}

/// The log of a directory that is written.
struct JavaLog {
    directory: PathBuf,
    id: u32,
    bytes: Vec<u8>,
    /// Where each record begins.
    records: Vec<usize>,
}

impl JavaChannel {
    fn new(shape: &Shape) -> Self {
        let logs = shape.layout().data_dirs.into_iter().zip(1..);
        let logs = logs.map(|(directory, id)| JavaLog {
            directory,
            id,
            bytes: vec![],
            records: vec![],
        });
        let logs: Vec<_> = logs.collect();
        JavaChannel {
            disk: ModelDisk::default(),
            next_log: 1 + logs.len() as u32,
            logs,
            order: 0,
            transaction: 0,
            next_event: 1,
            queue: VecDeque::new(),
        }
    }

    /// A history of transactions: some roll back, some never end.
    fn with_history(shape: &Shape, random: &mut Random) -> Self {
        let mut channel = JavaChannel::new(shape);
        for _ in 0..5 + random.below(30) {
            channel.any(shape, random);
        }
        channel.finish();
        channel
    }

    fn any(&mut self, shape: &Shape, random: &mut Random) {
        self.transaction += 1;
        let place = self.transaction as usize % self.logs.len();
        let ends = random.below(4);
        if random.chance(2) {
            let mut puts = vec![];
            for _ in 0..1 + random.below(5) {
                let number = self.next_event;
                self.next_event += 1;
                let event = super::world::event(number, shape, random);
                let offset = self.append(place, Action::Put(event));
                puts.push((number, self.logs[place].id, offset));
            }
            match ends {
                0 => {}
                1 => drop(self.append(place, Action::Rollback)),
                _ => {
                    self.append(place, Action::CommitPuts);
                    self.queue.extend(puts);
                }
            }
        } else {
            let count = self.queue.len().min(1 + random.below(5) as usize);
            for number in 0..count {
                let (_, log, offset) = self.queue[number];
                self.append(place, Action::Take(log, offset));
            }
            match ends {
                0 => {}
                1 => drop(self.append(place, Action::Rollback)),
                _ => {
                    self.append(place, Action::CommitTakes);
                    self.queue.drain(..count);
                }
            }
        }
        if random.chance(10) {
            self.roll(place);
        }
    }

    fn append(&mut self, place: usize, action: Action) -> u32 {
        self.order += 1;
        let record = Record {
            transaction: self.transaction,
            order: self.order,
            action,
        };
        let log = &mut self.logs[place];
        let offset = log.bytes.len();
        log.records.push(offset);
        append_record(&record, &mut log.bytes);
        offset as u32
    }

    fn roll(&mut self, place: usize) {
        self.write(place);
        let log = &mut self.logs[place];
        log.id = self.next_log;
        (log.bytes, log.records) = (vec![], vec![]);
        self.next_log += 1;
    }

    /// The log with fill at its end, and its `.meta`.
    fn write(&self, place: usize) {
        let log = &self.logs[place];
        let path = log.directory.join(format!("log-{}", log.id));
        let mut bytes = log.bytes.clone();
        bytes.resize(bytes.len() + 700, 0x80);
        self.write_file(&path, &bytes);
        self.write_file(
            &path.with_extension("meta"),
            &Meta::new(log.id).encode_file(),
        );
        self.disk
            .sync_directory(&log.directory)
            .expect("a disk that works");
    }

    fn write_file(&self, path: &Path, bytes: &[u8]) {
        let file = self.disk.create(path).expect("a new file");
        file.write_at(bytes, 0)
            .and_then(|()| file.sync())
            .expect("a disk that works");
    }

    fn finish(&self) {
        (0..self.logs.len()).for_each(|place| self.write(place));
    }

    fn expected(&self) -> Vec<u64> {
        self.queue.iter().map(|(number, ..)| *number).collect()
    }
}

fn take_over(disk: &ModelDisk, shape: &Shape) -> Result<u64, TakeOverError> {
    let under: Arc<dyn Disk> = Arc::new(disk.clone());
    takeover::run(&under, &shape.layout(), shape.keys.as_ref())
}

/// What a channel delivers that takes over what is on the disk.
fn delivered(disk: &ModelDisk, shape: &Shape) -> Vec<u64> {
    take_over(disk, shape).expect("taken over");
    World::open(disk, shape)
        .expect("open")
        .drain()
        .expect("readable")
}

/// What Java Flume would deliver: nothing if it refuses to start.
fn left_to_java(disk: &ModelDisk, shape: &Shape) -> Option<Vec<u64>> {
    let layout = shape.layout();
    let files = JavaFiles::find(disk, &layout).expect("readable");
    if files.has_barrier {
        return None;
    }
    let read = Replayed::read(disk, &files, &layout.checkpoint_dir, None, &mut |_, _| ());
    let mut replayed = read.expect("readable");
    let events = 0..replayed.events();
    let number = |place| {
        let event: Event = replayed.event(place).expect("readable").expect("whole");
        super::world::number(&event).expect("whole")
    };
    Some(events.map(number).collect())
}

#[test]
fn every_history_is_taken_over_in_order() {
    for seed in 0..300 * effort() {
        let mut random = Random(seed);
        let shape = Shape::of(&mut random);
        let java = JavaChannel::with_history(&shape, &mut random);
        let found = delivered(&java.disk, &shape);
        assert_eq!(found, java.expected(), "seed {seed}");
        let names = java.disk.lengths();
        assert_eq!(take_over(&java.disk, &shape).expect("nothing to do"), 0);
        assert!(java.disk.lengths() == names, "seed {seed}");
    }
}

/// Once before the events are ours and once after it, or twice at any call.
#[test]
fn no_crash_loses_or_repeats_what_is_taken_over() {
    let mut states = 0;
    for seed in 0..6 * effort() {
        let mut random = Random(seed);
        let shape = Shape::of(&mut random);
        let java = JavaChannel::with_history(&shape, &mut random);
        let whole = java.disk.copy();
        let before = whole.calls();
        take_over(&whole, &shape).expect("taken over");
        for call in before + 1..=whole.calls() {
            let mut disk = java.disk.copy();
            let mut stop = call;
            for _ in 0..1 + random.below(2) {
                disk.stop_at(stop);
                let _ = take_over(&disk, &shape);
                disk = if random.chance(3) {
                    disk.kill()
                } else {
                    let survives = survival(&mut random);
                    disk.crash(survives, &mut random)
                };
                if let Some(left) = left_to_java(&disk, &shape) {
                    assert_eq!(left, java.expected(), "seed {seed}, call {call}");
                }
                stop = 1 + random.below(60) as usize;
                states += 1;
            }
            let found = delivered(&disk, &shape);
            assert_eq!(found, java.expected(), "seed {seed}, call {call}");
        }
    }
    eprintln!("{states} crash states of take-overs");
}

#[test]
fn a_full_disk_changes_nothing() {
    let mut refused = 0;
    for seed in 0..100 * effort() {
        let mut random = Random(seed);
        let shape = Shape::of(&mut random);
        let java = JavaChannel::with_history(&shape, &mut random);
        let names = java.disk.lengths();
        java.disk
            .limit(Some(java.disk.used() + random.below(40 << 10)));
        if let Err(error) = take_over(&java.disk, &shape) {
            refused += 1;
            let said = flume_core::with_causes(&error);
            assert!(said.contains("no room"), "seed {seed}: {said}");
            assert!(
                java.disk.lengths() == names,
                "seed {seed}: {:?}",
                java.disk.lengths()
            );
            assert_eq!(left_to_java(&java.disk, &shape), Some(java.expected()));
        }
        java.disk.limit(None);
        assert_eq!(
            delivered(&java.disk, &shape),
            java.expected(),
            "seed {seed}"
        );
    }
    assert!(refused > 10, "only {refused} disks were full");
}

fn plain() -> Shape {
    Shape {
        segment_bytes: 64 << 10,
        cache_bytes: 1 << 20,
        directories: 1,
        largest_body: 20,
        keys: None,
    }
}

/// A damaged byte of a body, a frame or a tag costs at most the record it is in; what is doubtful is delivered.
#[test]
fn a_damaged_record_costs_at_most_its_event() {
    let shape = plain();
    for seed in 0..effort() {
        let mut random = Random(seed);
        let java = JavaChannel::with_history(&shape, &mut random);
        let log = &java.logs[0];
        let path = log.directory.join(format!("log-{}", log.id));
        for (place, &start) in log.records.iter().enumerate() {
            let end = log
                .records
                .get(place + 1)
                .copied()
                .unwrap_or(log.bytes.len());
            // Nothing vouches for the numbers of transaction and order, for places, and for headers. A put ends with 8
            // bytes of its body at least, the checksum, and a zero.
            let is_put = log.bytes[start + 7] == 1;
            let tail = if is_put { end - 18 } else { end - 1 };
            let vouched = (start..start + 7).chain(tail..end);
            for offset in vouched {
                let disk = java.disk.copy();
                disk.flip(&path, offset, 1 << random.below(8));
                let at = format!(
                    "seed {seed}, byte {} of a record at {start}",
                    offset - start
                );
                let lost = take_over(&disk, &shape).expect("taken over");
                let found = World::open(&disk, &shape).expect("open").drain();
                let found: BTreeSet<_> = found.expect("whole").into_iter().collect();
                let missing = java
                    .expected()
                    .into_iter()
                    .filter(|number| !found.contains(number));
                let missing = missing.count();
                assert!(missing <= 1, "{at}: {missing} lost");
                assert!(missing == 0 || lost > 0, "{at}: lost in silence");
            }
        }
    }
}

/// A log that ends anywhere: everything that was committed before is there, in order.
#[test]
fn a_torn_end_costs_nothing_that_was_committed() {
    let shape = plain();
    let mut random = Random(7);
    let mut java = JavaChannel::new(&shape);
    let mut committed = vec![(0, vec![])];
    for _ in 0..12 {
        java.any(&shape, &mut random);
        committed.push((java.logs[0].bytes.len(), java.expected()));
    }
    let first = java.logs[0].id;
    let whole = java.logs[0].bytes.clone();
    for end in 0..whole.len() {
        java.disk = ModelDisk::default();
        java.logs[0].bytes = whole[..end].to_vec();
        java.finish();
        assert_eq!(java.logs[0].id, first, "this history fits into one log");
        let found = delivered(&java.disk, &shape);
        let before = committed.iter().rev().find(|(bytes, _)| *bytes <= end);
        let before = &before.expect("the beginning").1;
        assert!(
            found.starts_with(before),
            "{end}: {found:?} after {before:?}"
        );
    }
}

#[test]
fn a_store_that_was_half_filled_is_not_taken_for_whole() {
    let shape = plain();
    let java = JavaChannel::with_history(&shape, &mut Random(3));
    let mark = shape.layout().checkpoint_dir.join("taking-over");
    let file = java.disk.create(&mark).expect("a new file");
    file.sync().expect("a disk that works");
    for (path, _) in java.disk.lengths() {
        if path != mark {
            java.disk.remove(&path).expect("removed");
        }
    }
    let said = take_over(&java.disk, &shape)
        .expect_err("a refusal")
        .to_string();
    assert!(said.contains("taking-over says that events"), "{said}");
}

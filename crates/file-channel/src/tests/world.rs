//! A channel without threads: writer, reader and housekeeper step when the test says so, one system call after another.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use flume_core::{ChannelError, Event, StateHandle, Want, metrics::Metrics};
use tokio::sync::oneshot;

use super::{Random, model::ModelDisk, oracle::Oracle};
use crate::{
    chores::Chores,
    encryption::Keys,
    engine::{self, ReaderNumbers, encode},
    health::Health,
    inbox::{Inbox, Put},
    pool::{Layout, Pool},
    queue::{Limits, Queue, Taken},
    reader::Reader,
    recovery::{self, OpenError, Recovered},
    writer::Writer,
};

/// How the store under test looks.
#[derive(Clone)]
pub(super) struct Shape {
    pub(super) segment_bytes: u64,
    pub(super) cache_bytes: usize,
    pub(super) directories: u64,
    pub(super) largest_body: u64,
    pub(super) keys: Option<Arc<Keys>>,
}

impl Shape {
    /// Small segments, so that everything happens soon.
    pub(super) fn of(random: &mut Random) -> Self {
        Shape {
            segment_bytes: [32 << 10, 64 << 10][random.below(2) as usize],
            cache_bytes: [0, 4 << 10, 1 << 20][random.below(3) as usize],
            directories: 1 + random.below(2),
            largest_body: [50, 3000][random.below(2) as usize],
            keys: random.chance(4).then(keys),
        }
    }

    pub(super) fn layout(&self) -> Layout {
        Layout {
            checkpoint_dir: "/checkpoint".into(),
            data_dirs: (0..self.directories)
                .map(|number| PathBuf::from(format!("/data{number}")))
                .collect(),
            segment_bytes: self.segment_bytes,
            minimum_free: 0,
        }
    }
}

pub(super) struct World {
    pub(super) disk: ModelDisk,
    pub(super) queue: Arc<Queue>,
    pub(super) recovered: Recovered,
    pub(super) metrics: Metrics,
    pool: Arc<Pool>,
    writer: Writer,
    pub(super) inbox: Arc<Inbox>,
    chores: Arc<Chores>,
    reader: Reader,
    numbers: ReaderNumbers,
    held: Vec<Taken>,
}

impl World {
    pub(super) fn open(disk: &ModelDisk, shape: &Shape) -> Result<Self, OpenError> {
        let metrics = Metrics::default();
        let limits = Limits {
            events: 1 << 20,
            bytes: None,
            transaction: 1 << 20,
            keep_alive: Duration::ZERO,
            cache_bytes: shape.cache_bytes,
        };
        let under: Arc<dyn crate::disk::Disk> = Arc::new(disk.clone());
        let (log, recovered) = recovery::open(
            under.clone(),
            shape.layout(),
            shape.keys.clone(),
            metrics.histogram("SyncTime"),
        )?;
        let queue = Arc::new(engine::queue(&log, limits));
        let inbox = Arc::default();
        let chores = Arc::default();
        let pool = log.pool.clone();
        let reader = Reader::new(
            under,
            pool.clone(),
            shape.keys.clone(),
            log.consumed.clone(),
        );
        let writer = Writer::new(
            log,
            Arc::clone(&inbox),
            queue.clone(),
            Arc::clone(&chores),
            Duration::from_secs(3600),
            &metrics,
            Arc::new(Health::new(StateHandle::new("c1"), &metrics)),
        );
        let numbers = ReaderNumbers::new(&metrics);
        let disk = disk.clone();
        let held = vec![];
        Ok(World {
            disk,
            queue,
            recovered,
            metrics,
            pool,
            writer,
            inbox,
            chores,
            reader,
            numbers,
            held,
        })
    }

    /// Puts some batches at once: one group, if they fit.
    pub(super) fn put(&mut self, shape: &Shape, oracle: &mut Oracle, random: &mut Random) {
        let mut waiting = vec![];
        for _ in 0..1 + random.below(3) {
            let count = 1 + random.below(5);
            let first = oracle.begin(count);
            let events = (first..first + count)
                .map(|number| event(number, shape, random))
                .collect();
            waiting.push((first, self.send(events)));
        }
        self.step();
        // A put may wait for a checkpoint that commits before it need.
        self.chore();
        for (first, mut outcome) in waiting {
            match outcome.try_recv() {
                Ok(Ok(())) => {
                    oracle.acknowledged(first);
                    // All of them were before the put.
                    oracle.commits_are_durable();
                }
                Ok(Err(ChannelError::Full { .. })) => oracle.refused(first),
                _ => {}
            }
        }
    }

    pub(super) fn send(&self, events: Vec<Event>) -> oneshot::Receiver<Result<(), ChannelError>> {
        self.send_patient(events, Duration::ZERO)
    }

    /// The same for a put that waits for room.
    pub(super) fn send_patient(
        &self,
        events: Vec<Event>,
        patience: Duration,
    ) -> oneshot::Receiver<Result<(), ChannelError>> {
        let (reply, outcome) = oneshot::channel();
        let put = Put {
            batch: encode(&events),
            events,
            deadline: Instant::now() + patience,
            reply,
        };
        assert!(self.inbox.put(put), "nobody closed it");
        outcome
    }

    /// One step of the writer with what has come.
    pub(super) fn step(&mut self) {
        let mail = self.inbox.wait(Some(Instant::now()));
        self.writer.step(mail);
    }

    /// Reads until memory is full or everything is read.
    pub(super) fn read(&mut self) {
        let mut failures = 0;
        while let Some(wanted) = self.queue.read_wanted() {
            let queue = &self.queue;
            let inbox = &self.inbox;
            let numbers = &self.numbers;
            let read = engine::read_once(&mut self.reader, wanted, 1, queue, inbox, numbers);
            if read.is_err() {
                failures += 1;
                if failures > 30 {
                    return;
                }
            }
        }
    }

    /// Takes up to `count` events, and commits, returns or keeps them.
    pub(super) fn take(&mut self, oracle: &mut Oracle, random: &mut Random) -> Result<(), String> {
        self.read();
        let taken = self.grab(1 + random.below(8) as usize, oracle)?;
        if taken.events.is_empty() {
            return Ok(());
        }
        match random.below(8) {
            0 => self.queue.put_back(taken),
            1 => self.held.push(taken),
            _ => self.commit(taken, oracle),
        }
        if random.chance(4) && !self.held.is_empty() {
            let held = self
                .held
                .remove(random.below(self.held.len() as u64) as usize);
            if random.chance(2) {
                self.queue.put_back(held)
            } else {
                self.commit(held, oracle)
            }
        }
        Ok(())
    }

    /// What a consumer sees.
    pub(super) fn grab(&self, count: usize, oracle: &mut Oracle) -> Result<Taken, String> {
        let mut taken = Taken::default();
        let _ = self.queue.move_into(&mut taken, Want::events(count));
        for event in &taken.events {
            oracle.delivered(number(event)?)?;
        }
        Ok(taken)
    }

    pub(super) fn commit(&self, taken: Taken, oracle: &mut Oracle) {
        let ranges = taken.numbers.iter().map(|&number| number..number + 1);
        assert!(
            self.inbox
                .ack(ranges, taken.bytes as u64, Duration::from_secs(3600), None),
            "nobody closed it"
        );
        taken
            .events
            .iter()
            .for_each(|event| oracle.committed(number(event).unwrap_or_default()));
        self.queue.forget(taken.events.len(), taken.bytes);
    }

    /// Writes all acks.
    pub(super) fn flush(&mut self, oracle: &mut Oracle) {
        let (waiter, mut outcome) = oneshot::channel();
        assert!(
            self.inbox.ack([], 0, Duration::ZERO, Some(waiter)),
            "nobody closed it"
        );
        self.step();
        self.chore();
        if let Ok(Ok(())) = outcome.try_recv() {
            oracle.commits_are_durable();
        }
    }

    pub(super) fn checkpoint(&mut self) {
        self.writer.begin_checkpoint();
        self.chore();
    }

    pub(super) fn fill(&mut self) {
        self.chores.fill();
        self.chore();
    }

    /// Lets the threads do what they do by themselves until all of them rest. They must rest soon, whatever the disk says.
    pub(super) fn settle(&mut self) -> Result<(), String> {
        for _ in 0..30 {
            self.step();
            if !self.chores.step(&self.disk, &self.pool) {
                return Ok(());
            }
            self.inbox.chore_done();
        }
        Err("writer and housekeeper keep each other awake".into())
    }

    pub(super) fn chore(&mut self) {
        while self.chores.step(&self.disk, &self.pool) {
            self.inbox.chore_done();
        }
        self.step();
    }

    /// A clean stop.
    pub(super) fn close(mut self) {
        self.inbox.close();
        self.step();
        self.writer.finish(true);
        while self.chores.step(&self.disk, &self.pool) {}
    }

    /// A clean stop with `checkpointOnClose = false`.
    pub(super) fn close_without_checkpoint(mut self) {
        self.inbox.close();
        self.step();
        self.writer.finish(false);
        while self.chores.step(&self.disk, &self.pool) {}
    }

    /// Everything that can be taken, without committing it.
    pub(super) fn drain(&mut self) -> Result<Vec<u64>, String> {
        let mut all = vec![];
        loop {
            self.read();
            let mut taken = Taken::default();
            let _ = self.queue.move_into(&mut taken, Want::events(1000));
            if taken.events.is_empty() {
                break;
            }
            for event in &taken.events {
                all.push(number(event)?);
            }
            self.held.push(taken);
        }
        let stats = self.queue.stats();
        if (stats.events, stats.bytes) != (0, 0) {
            return Err(format!("{stats:?} after everything was taken"));
        }
        Ok(all)
    }

    /// A random step.
    pub(super) fn any(
        &mut self,
        shape: &Shape,
        oracle: &mut Oracle,
        random: &mut Random,
    ) -> Result<(), String> {
        match random.below(16) {
            0..6 => self.put(shape, oracle, random),
            6..12 => self.take(oracle, random)?,
            12..14 => self.flush(oracle),
            14 => self.checkpoint(),
            _ => self.fill(),
        }
        Ok(())
    }
}

/// Keys for a sealed store.
fn keys() -> Arc<Keys> {
    let key = zeroize::Zeroizing::new(vec![7; 32]);
    Arc::new(Keys::new("key".into(), [("key".into(), key)].into()))
}

/// An event that can be told from any other, and from a damaged one.
pub(super) fn event(number: u64, shape: &Shape, random: &mut Random) -> Event {
    let length = 8 + random.below(shape.largest_body) as usize;
    let mut body = number.to_le_bytes().to_vec();
    body.resize(length, number as u8);
    let mut event = Event::from(body);
    if number.is_multiple_of(3) {
        event
            .headers
            .set("number".into(), number.to_string().into());
    }
    event
}

/// Its number, if it is as it was put.
pub(super) fn number(event: &Event) -> Result<u64, String> {
    let damaged = || format!("a damaged event was delivered: {event:?}");
    let (head, rest) = event.body.split_first_chunk::<8>().ok_or_else(damaged)?;
    let number = u64::from_le_bytes(*head);
    let header = number.is_multiple_of(3).then(|| number.to_string());
    let whole = rest.iter().all(|&byte| byte == number as u8)
        && event.headers.get("number").map(|text| text.to_string()) == header;
    if whole { Ok(number) } else { Err(damaged()) }
}

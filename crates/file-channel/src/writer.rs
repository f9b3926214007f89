//! The one writer of a channel: everything that waits becomes a group, one write and one sync, and then all are
//! answered.

use std::{
    collections::VecDeque,
    io,
    sync::Arc,
    time::{Duration, Instant, UNIX_EPOCH},
};

use flume_core::{
    ChannelError,
    metrics::{Counter, Gauge, Metrics},
};
use tokio::sync::oneshot;

use crate::{
    chores::{Chore, Chores},
    health::{Health, Trouble},
    inbox::{Inbox, Mail, Put},
    log::{Acks, AppendError, Appended, Batch, Log},
    pool::{SPARES, is_full},
    queue::{Queue, Run},
};

/// After a failure of the disk nothing is tried for so long.
const RETRY_PAUSE: Duration = if cfg!(test) {
    Duration::ZERO
} else {
    Duration::from_secs(1)
};
/// How often a put that waits for room on disk looks again. What the channel itself gives back wakes it before.
const ROOM_POLL: Duration = Duration::from_millis(200);
/// When no spare segment could be made, the next attempt waits so long. Everything goes on without one.
const FILL_PAUSE: Duration = Duration::from_secs(5);

/// The writer.
pub(crate) struct Writer {
    log: Log,
    inbox: Arc<Inbox>,
    queue: Arc<Queue>,
    chores: Arc<Chores>,
    checkpoint_interval: Duration,
    waiting: VecDeque<Put>,
    acks: Acks,
    ack_waiters: Vec<Waiter>,
    acks_due: Option<Instant>,
    paused_until: Option<Instant>,
    no_fill_before: Option<Instant>,
    checkpoint: Checkpointing,
    health: Arc<Health>,
    numbers: Numbers,
}

/// When the next checkpoint is due.
struct Checkpointing {
    /// The next is made then, unless a segment is full before.
    due: Instant,
    /// The segment in which the last one ended; 0 before the first.
    segment: u64,
    /// Whether it would say anything new.
    dirty: bool,
    under_way: bool,
    /// Whether some acks are durable only with the next one, or with the one under way.
    next_has_acks: bool,
    has_acks: bool,
    /// Whether puts found no room since the last group was written: then files are given back at once.
    urgent: bool,
    /// Who waits for acks that found no room in the log: in the next checkpoint, and in the one under way.
    next_waiters: Vec<Waiter>,
    waiters: Vec<Waiter>,
}

/// Who waits for acks to be on disk.
type Waiter = oneshot::Sender<Result<(), ChannelError>>;

/// What monitoring sees of the writer.
struct Numbers {
    groups: Counter,
    group_puts: Counter,
    put_errors: Counter,
    checkpoint_errors: Counter,
    checkpoint_bytes: Counter,
    quarantined: Gauge,
    spares: Gauge,
}

impl Writer {
    /// A writer of `log`.
    pub(crate) fn new(
        log: Log,
        inbox: Arc<Inbox>,
        queue: Arc<Queue>,
        chores: Arc<Chores>,
        checkpoint_interval: Duration,
        metrics: &Metrics,
        health: Arc<Health>,
    ) -> Self {
        let numbers = Numbers {
            groups: metrics.counter("GroupCount"),
            group_puts: metrics.counter("GroupPutCount"),
            put_errors: metrics.counter("EventPutErrorCount"),
            checkpoint_errors: metrics.counter("CheckpointWriteErrorCount"),
            checkpoint_bytes: metrics.counter("CheckpointBytesWritten"),
            quarantined: metrics.gauge("QuarantinedFrames"),
            spares: metrics.gauge("SpareSegments"),
        };
        let checkpoint = Checkpointing {
            due: Instant::now() + checkpoint_interval,
            // The first segment after an open is in no checkpoint, so the first group makes one.
            segment: 0,
            dirty: false,
            under_way: false,
            next_has_acks: false,
            has_acks: false,
            urgent: false,
            next_waiters: vec![],
            waiters: vec![],
        };
        Writer {
            log,
            inbox,
            queue,
            chores,
            checkpoint_interval,
            waiting: VecDeque::new(),
            acks: Acks::default(),
            ack_waiters: vec![],
            acks_due: None,
            paused_until: None,
            no_fill_before: None,
            checkpoint,
            health,
            numbers,
        }
    }

    /// Works until the channel closes; then writes the last acks, and a checkpoint if `last_checkpoint`.
    pub(crate) fn run(mut self, last_checkpoint: bool) {
        loop {
            let mail = self.inbox.wait(self.wake_up());
            let closed = mail.closed;
            self.step(mail);
            if closed {
                return self.finish(last_checkpoint);
            }
        }
    }

    /// When something is to be done although nothing comes.
    fn wake_up(&self) -> Option<Instant> {
        let now = Instant::now();
        let retry = (!self.waiting.is_empty()).then(|| now + ROOM_POLL);
        let acks = self
            .acks_due
            .map(|due| self.paused_until.map_or(due, |paused| paused.max(due)));
        let checkpoint =
            (self.checkpoint.dirty && !self.checkpoint.under_way).then_some(self.checkpoint.due);
        [retry, acks, checkpoint].into_iter().flatten().min()
    }

    /// Does what has come.
    pub(crate) fn step(&mut self, mail: Mail) {
        self.waiting.extend(mail.puts);
        mail.acks
            .ranges
            .iter()
            .for_each(|range| self.acks.ranges.insert(range, |_| ()));
        self.acks.bytes += mail.acks.bytes;
        self.ack_waiters.extend(mail.ack_waiters);
        self.acks_due = [self.acks_due, mail.acks_due].into_iter().flatten().min();
        self.log.quarantined += mail.quarantined;
        self.collect_chore();
        self.write(mail.closed);
        if self.owes_acks() {
            self.refuse_overdue(Instant::now());
        }
        self.plan_chores();
    }

    /// Writes groups until nothing is left that can be written now. An answer to a put says that the commits before it
    /// are on disk, too. So a put goes no earlier than the last of their acks, and waits for those that are on their
    /// way in a checkpoint.
    fn write(&mut self, closing: bool) {
        if self
            .paused_until
            .is_some_and(|until| until > Instant::now())
        {
            self.refuse_waiting(&io::Error::other(
                "the disk failed a moment ago; the next try is made after a pause",
            ));
            return;
        }
        loop {
            let acks_due = closing || self.acks_due.is_some_and(|due| due <= Instant::now());
            let puts_go = !self.waiting.is_empty() && !self.owes_acks();
            if !puts_go && (self.acks.ranges.is_empty() || !acks_due) {
                return;
            }
            let rest = self.acks.split_rest();
            let puts_go = puts_go && rest.ranges.is_empty();
            let going = if puts_go { self.waiting.len() } else { 0 };
            let puts = self.waiting.iter().take(going);
            let batches: Vec<&Batch> = puts.map(|put| &put.batch).collect();
            let acks = std::mem::take(&mut self.acks);
            #[cfg(test)]
            self.publish_early();
            let outcome = self.log.append(&batches, Some(&acks));
            let acked = matches!(&outcome, Ok(appended) if appended.acks);
            if !acked {
                self.acks = acks;
            }
            rest.ranges
                .iter()
                .for_each(|range| self.acks.ranges.insert(range, |_| ()));
            self.acks.bytes += rest.bytes;
            match outcome {
                Ok(appended) => {
                    self.written(&appended);
                    // Only acks went although puts were to go, too: there was no room for them.
                    if appended.batches == 0 && puts_go {
                        return self.no_room();
                    }
                }
                Err(AppendError::NoRoom) => return self.no_room(),
                Err(AppendError::Io(error)) => return self.failed(&error),
            }
        }
    }

    fn written(&mut self, appended: &Appended) {
        let mut first = appended.first;
        let mut replies = Vec::with_capacity(appended.batches);
        let mut runs = Vec::with_capacity(appended.batches);
        for Put {
            batch,
            events,
            reply,
            ..
        } in self.waiting.drain(..appended.batches)
        {
            let put = UNIX_EPOCH + Duration::from_millis(batch.time_ms);
            let count = events.len() as u64;
            runs.push(Run {
                first,
                bytes: batch.bytes as usize,
                events: events.into(),
                put,
            });
            first += count;
            replies.push(reply);
        }
        #[cfg(test)]
        if crate::promises::breaks(crate::promises::Broken::EarlyTake) {
            runs.clear();
        }
        self.queue.publish(appended, runs, || {
            replies
                .into_iter()
                .for_each(|reply| drop(reply.send(Ok(()))))
        });
        if self.queue.is_read() {
            self.log.pool.read_past(appended.end.segment);
        }
        if self.acks.ranges.is_empty() {
            self.acks_due = None;
            self.answer_acks();
        }
        self.paused_until = None;
        self.checkpoint.dirty = true;
        self.checkpoint.urgent &= appended.batches == 0;
        self.numbers.groups.add(1);
        self.numbers.group_puts.add(appended.batches);
        self.health.ends(Trouble::Write);
        if appended.batches > 0 {
            self.health.ends(Trouble::Full);
        }
    }

    /// All acks are in the log, but for those that wait for a checkpoint. A commit is not said to be durable before those
    /// that came before it, so it waits for the same checkpoint. It asks for no other: else sinks that commit one after
    /// another would keep puts waiting as long as there is something to take.
    fn answer_acks(&mut self) {
        let answered = self.ack_waiters.drain(..);
        if self.checkpoint.next_has_acks {
            self.checkpoint.next_waiters.extend(answered);
        } else if self.checkpoint.has_acks {
            self.checkpoint.waiters.extend(answered);
        } else {
            answered.for_each(|waiter| drop(waiter.send(Ok(()))));
        }
    }

    /// Whether some acks are durable only with a checkpoint that is not.
    fn owes_acks(&self) -> bool {
        self.checkpoint.has_acks || self.checkpoint.next_has_acks
    }

    /// Breaks the promise that nothing can be taken before its sync.
    #[cfg(test)]
    fn publish_early(&self) {
        if crate::promises::breaks(crate::promises::Broken::EarlyTake) {
            let mut first = self.log.next_sequence;
            let end = self.log.end();
            let appended = Appended {
                batches: 0,
                first,
                start: end,
                end,
                acks: false,
            };
            let runs = self.waiting.iter().map(|put| {
                let events = put.events.clone().into();
                let run = Run {
                    first,
                    events,
                    bytes: put.batch.bytes as usize,
                    put: UNIX_EPOCH,
                };
                first += put.events.len() as u64;
                run
            });
            self.queue.publish(&appended, runs.collect(), || ());
        }
    }

    /// Puts wait for room until their deadline; acks have what was reserved for them.
    fn no_room(&mut self) {
        let now = Instant::now();
        self.health
            .begins(Trouble::Full, self.log.pool.shortage(), ROOM_POLL);
        self.refuse_overdue(now);
        if self.acks_due.is_some_and(|due| due <= now) {
            self.ack_by_checkpoint();
        }
        self.checkpoint.urgent = true;
    }

    fn refuse_overdue(&mut self, now: Instant) {
        for put in std::mem::take(&mut self.waiting) {
            if put.deadline > now {
                self.waiting.push_back(put);
            } else {
                let wanted = put.events.len();
                self.refuse(put, ChannelError::Full { wanted });
            }
        }
    }

    /// On a full disk, what is drained is given back at once: by the next two checkpoints, which need not wait for
    /// anything to change.
    fn hurry_checkpoint(&mut self) {
        let urgent = self.checkpoint.urgent && !self.checkpoint.under_way;
        if urgent && self.paused_until.is_none() && self.log.give_up_drained() {
            self.checkpoint.due = Instant::now();
            self.checkpoint.dirty = true;
        }
    }

    /// Acks for which the log has no room become durable with the next checkpoint, which has a room of its own.
    fn ack_by_checkpoint(&mut self) {
        let acks = std::mem::take(&mut self.acks);
        acks.ranges.iter().for_each(|range| self.log.consume(range));
        self.log.bytes = self.log.bytes.saturating_sub(acks.bytes);
        self.checkpoint.next_waiters.append(&mut self.ack_waiters);
        self.checkpoint.due = Instant::now();
        self.checkpoint.dirty = true;
        self.checkpoint.next_has_acks = true;
        self.acks_due = None;
    }

    fn failed(&mut self, error: &io::Error) {
        let reason = format!("failed to write the log: {error}; what is put is refused");
        self.health.begins(Trouble::Write, reason, RETRY_PAUSE);
        self.refuse_waiting(error);
        let until = Instant::now() + RETRY_PAUSE;
        self.paused_until = Some(until);
        if self.acks_due.is_some() && is_full(error) {
            // A file system that copies on write finds only now that it has no room. Acks make room.
            self.ack_by_checkpoint();
        } else if self.acks_due.is_some() {
            self.acks_due = Some(until);
        }
    }

    fn refuse_waiting(&mut self, error: &io::Error) {
        for put in std::mem::take(&mut self.waiting) {
            let copy = io::Error::new(error.kind(), error.to_string());
            self.refuse(put, ChannelError::Storage(Box::new(copy)));
        }
    }

    fn refuse(&self, put: Put, error: ChannelError) {
        self.numbers.put_errors.add(1);
        self.queue
            .release(put.events.len(), put.batch.bytes as usize);
        let _ = put.reply.send(Err(error));
    }

    /// What the housekeeper has finished.
    fn collect_chore(&mut self) {
        let Some((checkpoint, outcome)) = self.chores.finished() else {
            return;
        };
        let state = &mut self.checkpoint;
        state.under_way = false;
        match outcome {
            Ok(bytes) => {
                self.numbers.checkpoint_bytes.add(bytes);
                state.has_acks = false;
                let answered = state.waiters.drain(..);
                answered.for_each(|waiter| drop(waiter.send(Ok(()))));
                if self.queue.is_read() {
                    self.log.pool.read_past(self.log.end().segment);
                }
                self.log.checkpointed(&checkpoint);
            }
            Err(_) => {
                self.numbers.checkpoint_errors.add(1);
                state.next_waiters.append(&mut state.waiters);
                state.due = Instant::now() + RETRY_PAUSE;
                state.dirty = true;
                state.next_has_acks |= std::mem::take(&mut state.has_acks);
            }
        }
    }

    fn plan_chores(&mut self) {
        self.hurry_checkpoint();
        let end = self.log.end();
        let due = self.checkpoint.due <= Instant::now() || end.segment != self.checkpoint.segment;
        if self.checkpoint.dirty && due && !self.checkpoint.under_way {
            self.begin_checkpoint();
        }
        self.numbers.quarantined.set(self.log.quarantined as usize);
        self.numbers.spares.set(self.log.pool.spares());
        // A channel that hardly holds anything needs no spare segments.
        if self.chores.filled() == Some(false) {
            self.no_fill_before = Some(Instant::now() + FILL_PAUSE);
        }
        let few = self.log.pool.spares() < SPARES;
        let soon = end.offset > self.log.pool.layout().segment_bytes / 4;
        let paused = |until: Instant| until > Instant::now();
        if few && soon && !self.no_fill_before.is_some_and(paused) {
            self.chores.fill();
        }
    }

    /// Hands a checkpoint to the housekeeper.
    pub(crate) fn begin_checkpoint(&mut self) {
        let checkpoint = self.log.checkpoint();
        let state = &mut self.checkpoint;
        state.due = Instant::now() + self.checkpoint_interval;
        state.segment = checkpoint.position.segment;
        state.dirty = false;
        state.under_way = true;
        state.has_acks = std::mem::take(&mut state.next_has_acks);
        state.waiters.append(&mut state.next_waiters);
        self.chores.begin(Chore::Checkpoint(checkpoint));
    }

    /// The end: nothing comes any more.
    pub(crate) fn finish(mut self, last_checkpoint: bool) {
        self.refuse_all();
        // Acks that a full or failing disk kept out of the log are in this checkpoint alone.
        let owes_acks = !self.acks.ranges.is_empty() || self.owes_acks();
        if last_checkpoint || owes_acks {
            self.ack_by_checkpoint();
            self.begin_checkpoint();
        }
        self.chores.close();
    }

    /// Nobody may wait for a writer that is gone.
    fn refuse_all(&mut self) {
        for put in std::mem::take(&mut self.waiting) {
            self.refuse(put, ChannelError::Closed);
        }
        let Checkpointing {
            next_waiters,
            waiters,
            ..
        } = &mut self.checkpoint;
        let waiting = self
            .ack_waiters
            .drain(..)
            .chain(next_waiters.drain(..))
            .chain(waiters.drain(..));
        waiting.for_each(|waiter| drop(waiter.send(Err(ChannelError::Closed))));
    }
}

impl Drop for Writer {
    /// Also after a panic: what nobody reads any more is dropped, and who waits for an answer learns of it.
    fn drop(&mut self) {
        self.inbox.close();
        self.chores.close();
        drop(self.inbox.wait(None));
    }
}

//! What waits for the writer: puts, acks and what the housekeeper has done.

use std::{
    ops::Range,
    time::{Duration, Instant},
};

use flume_core::{ChannelError, Event};
use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use crate::log::{Acks, Batch};

/// A put on its way to disk.
pub(crate) struct Put {
    /// As it is written.
    pub(crate) batch: Batch,
    /// As it is delivered, when it need not be read from disk.
    pub(crate) events: Vec<Event>,
    /// It is refused when there is no room on disk until then.
    pub(crate) deadline: Instant,
    /// Where its outcome goes.
    pub(crate) reply: oneshot::Sender<Result<(), ChannelError>>,
}

/// The writer's inbox.
#[derive(Default)]
pub(crate) struct Inbox {
    mail: Mutex<Mail>,
    came: Condvar,
}

/// Everything that has come.
#[derive(Default)]
pub(crate) struct Mail {
    /// Puts, in order.
    pub(crate) puts: Vec<Put>,
    /// What was consumed.
    pub(crate) acks: Acks,
    /// Who waits for the acks to be on disk.
    pub(crate) ack_waiters: Vec<oneshot::Sender<Result<(), ChannelError>>>,
    /// When the acks are to be written at the latest.
    pub(crate) acks_due: Option<Instant>,
    /// Frames and ranges the reader put aside.
    pub(crate) quarantined: u64,
    /// A chore is done.
    pub(crate) chore_done: bool,
    /// The channel closes: no more comes.
    pub(crate) closed: bool,
}

impl Inbox {
    /// Leaves a put; false when the channel is closed.
    pub(crate) fn put(&self, put: Put) -> bool {
        let mut mail = self.mail.lock();
        if mail.closed {
            return false;
        }
        mail.puts.push(put);
        self.came.notify_one();
        true
    }

    /// Leaves what was consumed; it is written with the next put or after `delay`. With a `waiter`, at once.
    /// False when the channel is closed.
    pub(crate) fn ack(
        &self,
        numbers: impl IntoIterator<Item = Range<u64>>,
        bytes: u64,
        delay: Duration,
        waiter: Option<oneshot::Sender<Result<(), ChannelError>>>,
    ) -> bool {
        let mut mail = self.mail.lock();
        if mail.closed {
            return false;
        }
        numbers
            .into_iter()
            .for_each(|range| mail.acks.ranges.insert(range, |_| ()));
        mail.acks.bytes += bytes;
        let at_once = waiter.is_some();
        mail.ack_waiters.extend(waiter);
        let news = mail.acks_due.is_none() || at_once;
        let due = Instant::now() + if at_once { Duration::ZERO } else { delay };
        mail.acks_due = Some(mail.acks_due.map_or(due, |known| known.min(due)));
        if news {
            self.came.notify_one();
        }
        true
    }

    /// Tells of damage.
    pub(crate) fn quarantined(&self, count: u64) {
        self.mail.lock().quarantined += count;
    }

    /// A chore is done.
    pub(crate) fn chore_done(&self) {
        self.mail.lock().chore_done = true;
        self.came.notify_one();
    }

    /// No more is accepted.
    pub(crate) fn close(&self) {
        self.mail.lock().closed = true;
        self.came.notify_one();
    }

    /// Waits until something is to be done, at most until `deadline`, and takes it.
    pub(crate) fn wait(&self, deadline: Option<Instant>) -> Mail {
        let mut mail = self.mail.lock();
        loop {
            let now = Instant::now();
            let due = mail.acks_due.is_some_and(|due| due <= now);
            let late = deadline.is_some_and(|deadline| deadline <= now);
            if due || late || !mail.puts.is_empty() || mail.chore_done || mail.closed {
                return mail.take();
            }
            match [mail.acks_due, deadline].into_iter().flatten().min() {
                Some(wake) => drop(self.came.wait_until(&mut mail, wake)),
                None => self.came.wait(&mut mail),
            }
        }
    }
}

impl Mail {
    fn take(&mut self) -> Mail {
        let closed = self.closed;
        Mail {
            closed,
            ..std::mem::replace(
                self,
                Mail {
                    closed,
                    ..Mail::default()
                },
            )
        }
    }
}

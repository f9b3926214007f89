//! As `parking_lot::Mutex`, `tokio::sync::Notify` and `tokio::sync::Semaphore`, on loom's mutex: whatever happens in
//! one hold of the lock is one step.

use std::{
    future::{Future, poll_fn},
    mem::{forget, take},
    pin::Pin,
    task::{Context, Poll, Waker},
};

use loom::sync::MutexGuard;

#[derive(Default)]
pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

impl<T> Mutex<T> {
    fn new(value: T) -> Self {
        Mutex(loom::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().expect("no thread panicked")
    }
}

/// Who waits in a line.
struct Waiting {
    ticket: usize,
    waker: Waker,
    /// Permits it lacks; a notification is a permit, too.
    missing: usize,
}

#[derive(Default)]
struct Line {
    /// What nobody waits for.
    free: usize,
    tickets: usize,
    waiting: Vec<Waiting>,
    /// How often all were woken.
    rounds: usize,
    closed: bool,
}

impl Line {
    fn place(&mut self, ticket: usize) -> Option<&mut Waiting> {
        self.waiting
            .iter_mut()
            .find(|waiting| waiting.ticket == ticket)
    }

    /// Gives permits to those who wait, first come first served; what is left is free.
    fn give(&mut self, permits: usize) -> Vec<Waker> {
        let mut left = permits;
        let mut served = vec![];
        for waiting in self.waiting.iter_mut().filter(|it| it.missing > 0) {
            let given = waiting.missing.min(left);
            waiting.missing -= given;
            left -= given;
            if waiting.missing == 0 {
                served.push(waiting.waker.clone());
            }
        }
        self.free += left;
        served
    }
}

/// A wait for so many permits of a line. Dropped before its end, it gives back what it has.
struct Ticket<'l> {
    line: &'l Mutex<Line>,
    permits: usize,
    rounds: usize,
    number: Option<usize>,
    /// Whether it takes part of what it wants while it waits, or is woken by a round.
    is_notification: bool,
}

impl Ticket<'_> {
    /// `Err` when the line is closed.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ()>> {
        let mut line = self.line.lock();
        if line.closed {
            return Poll::Ready(Err(()));
        }
        let all_woken = self.is_notification && line.rounds != self.rounds;
        let Some(number) = self.number else {
            if all_woken {
                return Poll::Ready(Ok(()));
            }
            let had = line.free.min(self.permits);
            line.free -= had;
            if had == self.permits {
                return Poll::Ready(Ok(()));
            }
            let ticket = line.tickets;
            line.tickets += 1;
            let waker = cx.waker().clone();
            let missing = self.permits - had;
            line.waiting.push(Waiting {
                ticket,
                waker,
                missing,
            });
            self.number = Some(ticket);
            return Poll::Pending;
        };
        let place = line.place(number).expect("it stands in line");
        place.waker = cx.waker().clone();
        if place.missing > 0 && !all_woken {
            return Poll::Pending;
        }
        line.waiting.retain(|it| it.ticket != number);
        self.number = None;
        Poll::Ready(Ok(()))
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let Some(number) = self.number else {
            return;
        };
        let mut line = self.line.lock();
        let missing = line.place(number).map_or(0, |place| place.missing);
        line.waiting.retain(|it| it.ticket != number);
        let served = match (self.permits - missing, self.is_notification) {
            (0, _) => vec![],
            // A notification that nobody waits for is remembered once.
            (_, true) if line.free > 0 => vec![],
            (had, _) => line.give(had),
        };
        drop(line);
        served.into_iter().for_each(Waker::wake);
    }
}

#[derive(Default)]
pub(crate) struct Notify(Mutex<Line>);

pub(crate) struct Notified<'n>(Ticket<'n>);

impl Notify {
    pub(crate) fn notified(&self) -> Notified<'_> {
        Notified(Ticket {
            line: &self.0,
            permits: 1,
            rounds: self.0.lock().rounds,
            number: None,
            is_notification: true,
        })
    }

    pub(crate) fn notify_one(&self) {
        let mut line = self.0.lock();
        let served = if line.free > 0 { vec![] } else { line.give(1) };
        drop(line);
        served.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn notify_waiters(&self) {
        let mut line = self.0.lock();
        line.rounds += 1;
        let woken: Vec<Waker> = line.waiting.iter().map(|it| it.waker.clone()).collect();
        drop(line);
        woken.into_iter().for_each(Waker::wake);
    }
}

impl Future for Notified<'_> {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.poll(cx).map(|_| ())
    }
}

pub(crate) struct Semaphore(Mutex<Line>);

/// Given back when dropped.
pub(crate) struct Permits<'s> {
    semaphore: &'s Semaphore,
    count: usize,
}

#[derive(Debug)]
pub(crate) struct AcquireError;

impl Semaphore {
    pub(crate) const MAX_PERMITS: usize = usize::MAX >> 3;

    pub(crate) fn new(free: usize) -> Self {
        Semaphore(Mutex::new(Line {
            free,
            ..Line::default()
        }))
    }

    pub(crate) fn add_permits(&self, count: usize) {
        let served = self.0.lock().give(count);
        served.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn available_permits(&self) -> usize {
        self.0.lock().free
    }

    pub(crate) fn try_acquire_many(&self, count: u32) -> Result<Permits<'_>, AcquireError> {
        let mut line = self.0.lock();
        let count = count as usize;
        if line.closed || line.free < count {
            return Err(AcquireError);
        }
        line.free -= count;
        Ok(Permits {
            semaphore: self,
            count,
        })
    }

    pub(crate) async fn acquire_many(&self, count: u32) -> Result<Permits<'_>, AcquireError> {
        let count = count as usize;
        let mut ticket = Ticket {
            line: &self.0,
            permits: count,
            rounds: 0,
            number: None,
            is_notification: false,
        };
        poll_fn(|cx| ticket.poll(cx))
            .await
            .map_err(|()| AcquireError)?;
        Ok(Permits {
            semaphore: self,
            count,
        })
    }

    pub(crate) fn close(&self) {
        let mut line = self.0.lock();
        line.closed = true;
        let waiting = take(&mut line.waiting);
        drop(line);
        waiting.into_iter().for_each(|it| it.waker.wake());
    }
}

impl Permits<'_> {
    pub(crate) fn forget(self) {
        forget(self);
    }
}

impl Drop for Permits<'_> {
    fn drop(&mut self) {
        self.semaphore.add_permits(self.count);
    }
}

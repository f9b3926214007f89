//! How long clients keep a server waiting, and which of them makes room for another.

use std::{
    collections::BTreeMap,
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::Notify,
    time::{Instant, Sleep, sleep, sleep_until},
};

use crate::Connection;

/// What one client is doing.
pub(crate) struct Pace {
    /// Requests whose answers are not complete.
    requests: AtomicUsize,
    since: Mutex<Since>,
    /// When each answer began that is not sent yet.
    answers: Mutex<BTreeMap<u64, Instant>>,
    next_answer: AtomicU64,
    leave: Notify,
}

struct Since {
    /// Since when there is no request to answer.
    idle: Instant,
    /// Since when an answer waits for the client to read.
    blocked: Option<Instant>,
}

impl Default for Pace {
    fn default() -> Self {
        let idle = Instant::now();
        Pace {
            requests: AtomicUsize::new(0),
            since: Mutex::new(Since {
                idle,
                blocked: None,
            }),
            answers: Mutex::default(),
            next_answer: AtomicU64::new(0),
            leave: Notify::new(),
        }
    }
}

/// A request that is being answered.
pub(crate) struct Busy(Arc<Pace>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.since().idle = Instant::now();
        self.0.requests.fetch_sub(1, SeqCst);
    }
}

/// An answer that is being sent.
pub(crate) struct Sending {
    number: u64,
    busy: Busy,
}

impl Busy {
    /// The answer is known, and lies with the client until the guard is dropped.
    pub(crate) fn sending(self) -> Sending {
        let number = self.0.next_answer.fetch_add(1, SeqCst);
        self.0.answers().insert(number, Instant::now());
        Sending { number, busy: self }
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.busy.0.answers().remove(&self.number);
    }
}

impl Pace {
    /// A request is being answered as long as the guard lives.
    pub(crate) fn busy(self: &Arc<Self>) -> Busy {
        self.requests.fetch_add(1, SeqCst);
        Busy(self.clone())
    }

    /// Waits until this connection is to make room.
    pub(crate) async fn asked_to_leave(&self) {
        self.leave.notified().await;
    }

    /// Waits until there has been no request to answer for so long.
    pub(crate) async fn idle_for(&self, limit: Duration) {
        loop {
            let is_idle = self.requests.load(SeqCst) == 0;
            let since = if is_idle {
                self.since().idle
            } else {
                Instant::now()
            };
            if since.elapsed() >= limit {
                return;
            }
            sleep_until(since + limit).await;
        }
    }

    /// Waits until the client has not taken an answer for so long. A client of HTTP/2 can refuse one without a full
    /// connection.
    pub(crate) async fn overdue(&self, limit: Duration) {
        loop {
            let oldest = self.answers().values().min().copied();
            let oldest = oldest.unwrap_or_else(Instant::now);
            if oldest.elapsed() >= limit {
                return;
            }
            sleep_until(oldest + limit).await;
        }
    }

    fn answers(&self) -> MutexGuard<'_, BTreeMap<u64, Instant>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Since when the server has been waiting for the client; `None`: the client is served, or reads along.
    fn waiting_since(&self) -> Option<Instant> {
        let since = self.since();
        let is_idle = self.requests.load(SeqCst) == 0;
        since.blocked.or(is_idle.then_some(since.idle))
    }

    fn since(&self) -> MutexGuard<'_, Since> {
        self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All connections of a server.
#[derive(Clone)]
pub(crate) struct Crowd {
    members: Arc<Mutex<Vec<Arc<Pace>>>>,
    most: usize,
}

/// A connection's place among the others, left when it is dropped.
pub(crate) struct Member {
    crowd: Crowd,
    pace: Arc<Pace>,
}

impl Crowd {
    /// A server that has at most so many connections.
    pub(crate) fn new(most: usize) -> Self {
        let members = Arc::default();
        Crowd { members, most }
    }

    /// Takes a connection in. If it has the last place, the one that waits for its client for longest has to leave, so
    /// that the next is accepted at once.
    pub(crate) fn join(&self, pace: &Arc<Pace>) -> Member {
        let mut members = self.lock();
        if members.len() + 1 >= self.most {
            let waiting = members.iter();
            let waiting = waiting.filter_map(|other| Some((other.waiting_since()?, other)));
            if let Some((_, other)) = waiting.min_by_key(|(since, _)| *since) {
                other.leave.notify_one();
            }
        }
        members.push(pace.clone());
        drop(members);
        let crowd = self.clone();
        let pace = pace.clone();
        Member { crowd, pace }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Pace>>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut members = self.crowd.lock();
        members.retain(|other| !Arc::ptr_eq(other, &self.pace));
    }
}

/// A connection that breaks when its client does not read for too long.
pub(crate) struct Watched {
    connection: Connection,
    pace: Arc<Pace>,
    write_timeout: Duration,
    /// Runs while bytes wait for the client.
    patience: Option<Pin<Box<Sleep>>>,
}

impl Watched {
    pub(crate) fn new(connection: Connection, pace: Arc<Pace>, write_timeout: Duration) -> Self {
        Watched {
            connection,
            pace,
            write_timeout,
            patience: None,
        }
    }

    /// The client has not taken everything. Some progress does not help it: the clock runs until all is written.
    fn behind<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        let patience = self.patience.get_or_insert_with(|| {
            self.pace.since().blocked = Some(Instant::now());
            Box::pin(sleep(self.write_timeout))
        });
        patience.as_mut().poll(cx).map(|()| {
            let text = "the client does not read";
            Err(io::Error::new(io::ErrorKind::TimedOut, text))
        })
    }

    fn caught_up(&mut self) {
        if self.patience.take().is_some() {
            self.pace.since().blocked = None;
        }
    }

    /// What a poll of the connection means for the clock.
    fn noted<T>(
        &mut self,
        polled: Poll<io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if polled.is_pending() || self.patience.is_some() {
            let late = self.behind(cx);
            if late.is_ready() {
                return late;
            }
        }
        polled
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().connection).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.connection).poll_write(cx, bytes);
        this.noted(polled, cx)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.connection).poll_flush(cx);
        if polled.is_ready() {
            // Whoever flushes has written all that it had.
            this.caught_up();
            return polled;
        }
        this.noted(polled, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.connection).poll_shutdown(cx);
        this.noted(polled, cx)
    }
}

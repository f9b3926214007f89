//! Files that are complete, given up, or left by a crash, until they have their final name.
//!
//! Each is a task of its own that owns all it needs: its stream, its names, its retries. A file is renamed after the
//! file system has said that it is closed, never over another; what was given up has its lease recovered first.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use bytes::Bytes;
use flume_core::metrics::{Counter, Gauge, Held, Metrics};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep, timeout_at},
};

use super::{
    config::Retries,
    journal::{FileNames, Journal},
};
use flume_hadoop::fs::{FileSystem, FsError, FsErrorKind, OpenFile};

/// Recovering a lease takes the NameNode some seconds; it is asked at these intervals.
const FIRST_POLL_PAUSE: Duration = Duration::from_millis(200);
const MAX_POLL_PAUSE: Duration = Duration::from_secs(5);
/// Names in a row that an attempt tries.
const MAX_NAME_TRIES: u32 = 100;
/// An attempt asks at least so long, and otherwise as long as the time between attempts.
const MIN_POLLING_TIME: Duration = Duration::from_secs(30);

/// The tasks of one sink.
pub(super) struct Closer {
    tasks: JoinSet<()>,
    work: CloserWork,
    hurry: watch::Sender<bool>,
}

/// What every task needs.
#[derive(Clone)]
struct CloserWork {
    fs: Arc<dyn FileSystem>,
    journal: Option<Arc<Journal>>,
    file_system: String,
    retries: Retries,
    counters: CloserCounters,
}

#[derive(Clone)]
struct CloserCounters {
    closed: Counter,
    failed: Counter,
    abandoned: Counter,
    pending: Gauge,
}

/// A file on its way to its final name.
pub(super) struct Closing {
    state: ClosingStage,
    names: FileNames,
    /// The number in its name.
    number: u64,
    /// Bytes that were flushed, of a file that was given up; what is behind them comes again, so it is cut off.
    keep: Option<u64>,
    /// It counts as open until it is closed.
    held: Option<Held>,
    /// Given up, its writer may not have noticed, until it is closed.
    unfenced: Option<Arc<()>>,
    /// A rename has failed, so it may have succeeded.
    perhaps_renamed: bool,
}

/// Tells whether the writer of a file that was given up may still write.
pub(super) struct WriterFence(Weak<()>);

impl WriterFence {
    /// Whether the file is closed for good, or nobody tries to close it any more.
    pub(super) fn is_up(&self) -> bool {
        self.0.strong_count() == 0
    }
}

enum ClosingStage {
    /// Its content is flushed; what goes after the last event is not written yet.
    Complete(Box<dyn OpenFile>, Bytes),
    /// A call failed, or did not come back.
    GivenUp(Box<dyn OpenFile>),
    /// Nobody writes it any more, and it may not be closed.
    Left,
    /// The file system says that it is closed.
    Closed {
        /// Whether it may hold nothing: then it is removed.
        perhaps_empty: bool,
    },
}

impl Closing {
    pub(super) fn complete(
        out: Box<dyn OpenFile>,
        trailer: Bytes,
        names: FileNames,
        number: u64,
        held: Held,
    ) -> Self {
        Closing {
            state: ClosingStage::Complete(out, trailer),
            names,
            number,
            keep: None,
            held: Some(held),
            unfenced: None,
            perhaps_renamed: false,
        }
    }

    pub(super) fn given_up(
        out: Box<dyn OpenFile>,
        names: FileNames,
        number: u64,
        held: Held,
    ) -> (Self, WriterFence) {
        let unfenced = Arc::new(());
        let fence = WriterFence(Arc::downgrade(&unfenced));
        let state = ClosingStage::GivenUp(out);
        let held = Some(held);
        let unfenced = Some(unfenced);
        (
            Closing {
                state,
                names,
                number,
                keep: None,
                held,
                unfenced,
                perhaps_renamed: false,
            },
            fence,
        )
    }

    /// A file that nobody writes any more: its writer is gone, or never knew that it was created.
    pub(super) fn left(names: FileNames) -> Self {
        let number = number_in(&names.target);
        Closing {
            state: ClosingStage::Left,
            names,
            number,
            keep: None,
            held: None,
            unfenced: None,
            perhaps_renamed: false,
        }
    }

    /// The number in its name.
    pub(super) fn number(&self) -> u64 {
        self.number
    }
}

/// The number in a name: milliseconds, of 13 digits since 2001. 0: there is none.
fn number_in(name: &str) -> u64 {
    let digits = |part: &&str| part.len() >= 13 && part.bytes().all(|byte| byte.is_ascii_digit());
    name.rsplit('.')
        .find(digits)
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(0)
}

impl Closer {
    pub(super) fn new(
        fs: Arc<dyn FileSystem>,
        journal: Option<Arc<Journal>>,
        file_system: String,
        retries: Retries,
        metrics: &Metrics,
    ) -> Self {
        let counters = CloserCounters {
            closed: metrics.counter("ConnectionClosedCount"),
            failed: metrics.counter("ConnectionFailedCount"),
            abandoned: metrics.counter("FilesAbandonedCount"),
            pending: metrics.gauge("FilesPendingCount"),
        };
        let work = CloserWork {
            fs,
            journal,
            file_system,
            retries,
            counters,
        };
        Closer {
            tasks: JoinSet::new(),
            work,
            hurry: watch::channel(false).0,
        }
    }

    /// Takes a file over.
    pub(super) fn spawn(&mut self, closing: Closing) {
        let work = self.work.clone();
        let hurry = self.hurry.subscribe();
        let pending = work.counters.pending.hold();
        self.tasks.spawn(async move {
            let _pending = pending;
            work.settle(closing, hurry).await;
        });
    }

    /// Files that have not got their final name.
    pub(super) fn pending(&mut self) -> usize {
        while self.tasks.try_join_next().is_some() {}
        self.tasks.len()
    }

    /// Waits until one of them has it, at most `wait`.
    pub(super) async fn next(&mut self, wait: Duration) {
        let _ = tokio::time::timeout(wait, self.tasks.join_next()).await;
    }

    /// Lets each file make one more attempt at once, and waits for all of them until `deadline`. The journal keeps the
    /// others. Returns how many are left.
    pub(super) async fn finish(mut self, deadline: Instant) -> usize {
        self.hurry.send_replace(true);
        while !self.tasks.is_empty() {
            if timeout_at(deadline, self.tasks.join_next()).await.is_err() {
                break;
            }
        }
        let left = self.tasks.len();
        self.work.counters.abandoned.add(left);
        // One that is cut off may be anywhere: the journal knows it.
        self.tasks.shutdown().await;
        left
    }
}

impl CloserWork {
    /// Tries until the file has its final name, or the attempts are used up.
    async fn settle(&self, mut closing: Closing, mut hurry: watch::Receiver<bool>) {
        let mut tries = 0;
        loop {
            let last = *hurry.borrow_and_update();
            let Err(error) = self.attempt(&mut closing, &hurry).await else {
                if let Some(journal) = &self.journal {
                    journal.finish(&self.file_system, &closing.names.in_use);
                }
                return;
            };
            tries += 1;
            self.counters.failed.add(1);
            let error = flume_core::with_causes(&error);
            let name = &closing.names.in_use;
            if last || tries >= self.retries.tries {
                self.counters.abandoned.add(1);
                tracing::error!(
                    "{name} is left under this name after {tries} attempts to finish it: {error}"
                );
                return;
            }
            if tries == 1 {
                let every = self.retries.interval;
                tracing::warn!("{name} is not finished; retrying every {every:?}: {error}");
            }
            tokio::select! {
                () = sleep(self.retries.interval) => {}
                _ = hurry.changed() => {}
            }
        }
    }

    /// Closes and renames, from wherever the last attempt has come to.
    async fn attempt(
        &self,
        closing: &mut Closing,
        hurry: &watch::Receiver<bool>,
    ) -> Result<(), FsError> {
        let in_use = closing.names.in_use.clone();
        match std::mem::replace(&mut closing.state, ClosingStage::Left) {
            ClosingStage::Complete(out, trailer) => {
                if self.close(out, trailer).await {
                    closing.state = ClosingStage::Closed {
                        perhaps_empty: false,
                    };
                }
            }
            ClosingStage::GivenUp(out) => {
                closing.keep = out.flushed_length();
                out.abort().await;
            }
            closed @ ClosingStage::Closed { .. } => closing.state = closed,
            ClosingStage::Left => {}
        }
        if matches!(closing.state, ClosingStage::Left) {
            closing.held = None;
            if !self.recover(&in_use, closing.keep, hurry).await? {
                // The journal may know a file that was never made. One with events was there.
                return if closing.keep.is_some_and(|bytes| bytes > 0) {
                    self.gone(&in_use, &closing.names.target).await
                } else {
                    Ok(())
                };
            }
            closing.state = ClosingStage::Closed {
                perhaps_empty: true,
            };
        }
        (closing.held, closing.unfenced) = (None, None);
        if matches!(
            closing.state,
            ClosingStage::Closed {
                perhaps_empty: true
            }
        ) {
            match self.fs.length(&in_use).await? {
                None => return Ok(()),
                Some(0) => return self.fs.remove(&in_use).await,
                Some(_) => {}
            }
        }
        self.rename(closing).await
    }

    /// Whether it is closed. If not, the stream is given up, because nothing else can be done with it.
    async fn close(&self, mut out: Box<dyn OpenFile>, trailer: Bytes) -> bool {
        let closed = async {
            if !trailer.is_empty() {
                out.write(trailer).await?;
            }
            out.close().await
        };
        let Err(error) = closed.await else {
            self.counters.closed.add(1);
            return true;
        };
        self.counters.failed.add(1);
        tracing::warn!(
            "closing a file failed; recovering its lease: {}",
            flume_core::with_causes(&error)
        );
        out.abort().await;
        false
    }

    /// Asks until the file is closed, as long as an attempt lasts; one in a hurry does not wait for a file system that
    /// is away. `false`: there is no such file.
    async fn recover(
        &self,
        path: &str,
        keep: Option<u64>,
        hurry: &watch::Receiver<bool>,
    ) -> Result<bool, FsError> {
        let start = Instant::now();
        let mut pause = FIRST_POLL_PAUSE;
        loop {
            let error = match self.fs.recover_lease(path, keep).await {
                Ok(true) => return Ok(true),
                Ok(false) => {
                    let cause = "the file system is still recovering its last block";
                    FsError::at(FsErrorKind::Retry, format!("close {path}"))(cause)
                }
                Err(error) if error.kind == FsErrorKind::Gone => return Ok(false),
                Err(error) if error.kind == FsErrorKind::Retry && !*hurry.borrow() => error,
                Err(error) => return Err(error),
            };
            if start.elapsed() >= self.retries.interval.max(MIN_POLLING_TIME) {
                return Err(error);
            }
            sleep(pause).await;
            pause = (2 * pause).min(MAX_POLL_PAUSE);
        }
    }

    /// The file is not where it was. An attempt that seemed to fail has succeeded, or somebody else has taken it away
    /// with the events in it: nobody can say more than that.
    async fn gone(&self, in_use: &str, target: &str) -> Result<(), FsError> {
        if self.fs.length(target).await?.is_none() {
            self.counters.abandoned.add(1);
            tracing::warn!(
                "{in_use} has vanished before it was renamed to {target}; events that were delivered into it are where \
                 somebody moved the file, or lost"
            );
        }
        Ok(())
    }

    /// Renames; where there is a file of that name, to the next number.
    async fn rename(&self, closing: &mut Closing) -> Result<(), FsError> {
        let Closing {
            names: FileNames { in_use, target },
            number,
            perhaps_renamed,
            ..
        } = closing;
        for _ in 0..MAX_NAME_TRIES {
            if in_use == target {
                return Ok(());
            }
            match self.fs.rename(in_use, target).await {
                Ok(()) => return Ok(()),
                Err(error) if error.kind == FsErrorKind::Exists => {
                    let taken = format!(".{number}");
                    let next = *number + 1;
                    let (before, after) = target.rsplit_once(&taken).unwrap_or((target, ""));
                    let free = format!("{before}.{next}{after}");
                    tracing::warn!("{target} exists already; {in_use} becomes {free}");
                    (*target, *number) = (free, next);
                }
                Err(error)
                    if error.kind == FsErrorKind::Gone
                        && self.fs.length(in_use).await?.is_none() =>
                {
                    return if *perhaps_renamed {
                        Ok(())
                    } else {
                        self.gone(in_use, target).await
                    };
                }
                Err(error) => {
                    *perhaps_renamed = true;
                    return Err(error);
                }
            }
        }
        Err(
            FsError::at(FsErrorKind::Exists, format!("rename {in_use}"))(format!(
                "{MAX_NAME_TRIES} names are taken"
            )),
        )
    }
}

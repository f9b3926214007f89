//! One batch: to which buckets its events go, and what became of them.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use flume_core::{Cause, Event, Rejected, SinkError};
use futures_util::{StreamExt, stream::FuturesUnordered};
use jiff::Timestamp;
use tokio::{task::spawn_blocking, time::Instant};

use super::{
    bucket::{Bucket, BucketOutcome},
    buckets::Buckets,
    closer::Closer,
    config::Paths,
    journal::Journal,
    shared::SinkShared,
};
use crate::path::normal;
use flume_hadoop::fs::{FileSystem, FsError, FsErrorKind};

/// How long a batch waits for a file to be closed, when too many are not.
const CLOSER_WAIT: Duration = Duration::from_secs(5);

/// What there is between `open` and `close`.
pub(super) struct Open {
    pub(super) shared: SinkShared,
    pub(super) buckets: Buckets,
    pub(super) closer: Closer,
    pub(super) journal: Option<Arc<Journal>>,
    /// Whether the files outlive the host: then the journal must, too.
    pub(super) outlives_host: bool,
    /// Kept between batches for its allocation.
    pub(super) key: String,
}

/// What became of a batch's events, over all buckets.
pub(super) struct Outcome {
    pub(super) rejected: Vec<Rejected>,
    /// A failure of a bucket.
    pub(super) failure: Option<FsError>,
    /// Whether all buckets failed and nothing was written.
    pub(super) all: bool,
}

impl Default for Outcome {
    fn default() -> Self {
        Outcome {
            rejected: vec![],
            failure: None,
            all: true,
        }
    }
}

impl Outcome {
    fn add(&mut self, bucket: &mut Bucket, taken: BucketOutcome) {
        let BucketOutcome {
            refused,
            safe,
            failure,
        } = taken;
        self.all &= failure.is_some() && safe == 0;
        let known: BTreeSet<_> = refused.iter().map(|(index, ..)| *index).collect();
        self.rejected.extend(
            refused
                .into_iter()
                .map(|(index, cause, reason)| reject(index, cause, reason)),
        );
        if let Some(failure) = failure {
            let reason = flume_core::with_causes(&failure);
            // A name that can never be is the fault of what the events have in them.
            let cause = if failure.kind == FsErrorKind::Name {
                Cause::Malformed
            } else {
                Cause::NotNow
            };
            let again = bucket
                .events
                .iter()
                .skip(safe)
                .filter(|index| !known.contains(index));
            self.rejected
                .extend(again.map(|index| reject(*index, cause, reason.clone())));
            self.failure = Some(failure);
        }
        bucket.events.clear();
    }
}

fn reject(index: usize, cause: Cause, reason: String) -> Rejected {
    Rejected {
        index,
        cause,
        reason,
    }
}

impl Paths {
    /// Whether all events go into one bucket.
    pub(super) fn is_constant(&self) -> bool {
        self.directory.constant().is_some() && self.prefix.constant().is_some()
    }

    /// Writes the key of an event's bucket; the length of the directory in it.
    fn key(&mut self, event: &Event, now: Timestamp, key: &mut String) -> Result<usize, String> {
        key.clear();
        self.directory.render(event, &self.clock, now, key)?;
        let directory = key.len();
        key.push('/');
        self.prefix.render(event, &self.clock, now, key)?;
        Ok(directory)
    }
}

impl Open {
    /// Hands each event to its bucket; the places of those that have some, ascending.
    pub(super) fn group(
        &mut self,
        paths: &mut Paths,
        batch: &[Event],
        rejected: &mut Vec<Rejected>,
    ) -> Vec<usize> {
        self.buckets.begin_batch();
        let now = Timestamp::now();
        let constant = paths.is_constant();
        let mut places = vec![];
        let mut last = None;
        let mut key = String::new();
        for (index, event) in batch.iter().enumerate() {
            let place = match last {
                Some(place) if constant => place,
                _ => {
                    let directory = match paths.key(event, now, &mut key) {
                        Ok(directory) => directory,
                        Err(reason) => {
                            rejected.push(reject(index, Cause::Malformed, reason));
                            continue;
                        }
                    };
                    match last {
                        Some(place) if key == self.key => place,
                        _ => {
                            std::mem::swap(&mut key, &mut self.key);
                            self.place(paths, directory)
                        }
                    }
                }
            };
            last = Some(place);
            if self.buckets.add(place, index) {
                places.push(place);
            }
        }
        places.sort_unstable();
        places
    }

    /// The place of the bucket of `self.key`, whose directory has so many bytes.
    fn place(&mut self, paths: &Paths, directory: usize) -> usize {
        let key = &self.key;
        let shared = &self.shared;
        self.buckets.place(key, || {
            let (directory, prefix) = key.split_at(directory);
            let absolute = key.starts_with('/') && !paths.is_led_by_events();
            let home = if absolute {
                String::new()
            } else {
                shared.fs.home() + "/"
            };
            let directory = normal(
                &format!("{home}{directory}"),
                home.len() + paths.fixed,
                paths.values,
            );
            // A prefix may name directories, too.
            let prefix = normal(prefix, 0, paths.values);
            Bucket::new(
                key,
                directory,
                prefix.trim_start_matches('/').into(),
                shared,
            )
        })
    }

    /// Writes and flushes the buckets at `places` at the same time. It leaves out buckets whose last file may still
    /// change and, if `patient`, buckets that failed a moment ago.
    pub(super) async fn take(
        &mut self,
        places: &[usize],
        batch: &[Event],
        patient: bool,
        outcome: &mut Outcome,
    ) {
        let shared = &self.shared;
        let now = Instant::now();
        let (pausing, mut ready): (Vec<_>, Vec<_>) = (self.buckets.pick(places).into_iter())
            .partition(|bucket| bucket.fencing(now) || (patient && bucket.pausing(now)));
        for bucket in pausing {
            let reason = bucket
                .failing
                .as_ref()
                .map_or_else(String::new, |failing| failing.reason.clone());
            let failure = FsError::at(
                FsErrorKind::Retry,
                format!("write to {} before", bucket.directory()),
            )(reason);
            outcome.add(
                bucket,
                BucketOutcome {
                    failure: Some(failure),
                    ..BucketOutcome::default()
                },
            );
        }
        // Most sinks have one bucket at a time, which needs no bookkeeping.
        if let [bucket] = &mut ready[..] {
            let taken = bucket.take(shared, batch).await;
            outcome.add(bucket, taken);
            return;
        }
        let mut all: FuturesUnordered<_> = ready
            .into_iter()
            .map(|bucket| taken_by(bucket, shared, batch))
            .collect();
        while let Some((bucket, taken)) = all.next().await {
            outcome.add(bucket, taken);
        }
    }

    /// As many files as may be open may wait to be closed; beyond it nothing new is begun.
    pub(super) async fn wait_for_closer(&mut self, most: usize) -> Result<(), SinkError> {
        if self.closer.pending() < most {
            return Ok(());
        }
        self.closer.next(CLOSER_WAIT).await;
        match self.closer.pending() {
            pending if pending < most => Ok(()),
            pending => Err(SinkError::new(
                "open more files",
                format!("{pending} wait to be closed"),
            )),
        }
    }

    /// After a batch: files that are complete go to the closer, and the journal knows of those that were begun.
    pub(super) async fn settle(&mut self) {
        self.sweep();
        if let Some(journal) = self.journal.clone().filter(|journal| journal.unsynced())
            && self.outlives_host
            && let Ok(Err(error)) = spawn_blocking(move || journal.sync()).await
        {
            tracing::warn!("failed to sync the journal of open files: {error}");
        }
    }

    pub(super) fn sweep(&mut self) {
        let mut retired = vec![];
        self.buckets
            .sweep(&self.shared, Instant::now(), &mut retired);
        for closing in retired {
            self.closer.spawn(closing);
        }
    }
}

async fn taken_by<'a>(
    bucket: &'a mut Bucket,
    shared: &SinkShared,
    batch: &[Event],
) -> (&'a mut Bucket, BucketOutcome) {
    let taken = bucket.take(shared, batch).await;
    (bucket, taken)
}

/// Whether a file system does not answer at all.
pub(super) async fn is_down(fs: Arc<dyn FileSystem>) -> bool {
    fs.length("/")
        .await
        .is_err_and(|error| error.kind == FsErrorKind::Retry)
}

//! One directory and prefix: the file that its events go into, and when that file is complete.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use flume_core::{Cause, Event};
use flume_host::clock::now_ms;
use tokio::time::Instant;

use super::{
    closer::{Closing, WriterFence},
    config::{Affixes, RollLimits},
    file::{CreatedFile, CurrentFile, PIECE_BYTES},
    journal::FileNames,
    shared::SinkShared,
};
use flume_hadoop::fs::{FsError, FsErrorKind};

/// Files in a row that may be completed for want of replicas, as in Flume: a cluster that has no more does not gain any.
const MAX_SHORT_ROLLS: u32 = 30;
/// Names in a row that may be taken before that is a failure.
const MAX_NAME_TRIES: u32 = 100;
/// How long to leave a bucket alone after its first failure. Each further failure doubles it, up to the second value.
const FIRST_BUCKET_PAUSE: Duration = Duration::from_secs(1);
const MAX_BUCKET_PAUSE: Duration = Duration::from_secs(10);
/// A bucket that failed and that no event asks for is forgotten after this time.
const FORGET_AFTER: Duration = Duration::from_secs(600);

/// How long to wait for an abandoned file to be closed before a new one is begun.
const FENCE_TIMEOUT: Duration = Duration::from_secs(30);

/// A directory and prefix.
pub(super) struct Bucket {
    pub(super) key: Box<str>,
    directory: String,
    prefix: String,
    /// The number in the next file's name.
    next: u64,
    /// Whether a file of that number may have been created, by a call that failed.
    doubtful: bool,
    file: Option<CurrentFile>,
    /// Files that are complete or given up, for the closer.
    pub(super) retired: Vec<Closing>,
    pub(super) failing: Option<FailureStreak>,
    /// The last file that was given up, and until when to wait for it.
    fence: Option<(WriterFence, Instant)>,
    short_rolls: u32,
    /// The batch's events for this bucket.
    pub(super) events: Vec<usize>,
    /// When it was last asked for, counted in batches.
    pub(super) used: u64,
}

/// Failures in a row.
pub(super) struct FailureStreak {
    attempts: u32,
    /// Until then it is left alone.
    pub(super) until: Instant,
    pub(super) reason: String,
}

/// What became of a bucket's events.
#[derive(Default)]
pub(super) struct BucketOutcome {
    /// Places in the batch of events that the serializer cannot write, and why.
    pub(super) refused: Vec<(usize, Cause, String)>,
    /// How many of the bucket's events, from the first, are flushed.
    pub(super) safe: usize,
    /// Why the others are not.
    pub(super) failure: Option<FsError>,
}

impl Bucket {
    pub(super) fn new(key: &str, directory: String, prefix: String, shared: &SinkShared) -> Self {
        let now = now_ms();
        Bucket {
            key: key.into(),
            directory,
            prefix,
            next: now.max(shared.highest.load(Relaxed)) + 1,
            doubtful: false,
            file: None,
            retired: vec![],
            failing: None,
            fence: None,
            short_rolls: 0,
            events: vec![],
            used: 0,
        }
    }

    /// Writes and flushes its events of the batch. After a failure its file is given up, and what is not safe must
    /// come again.
    pub(super) async fn take(&mut self, shared: &SinkShared, batch: &[Event]) -> BucketOutcome {
        let mut taken = BucketOutcome::default();
        match self.try_take(shared, batch, &mut taken).await {
            Ok(()) => {
                taken.safe = self.events.len();
                self.failing = None;
            }
            Err(error) => {
                shared.counters.failed.add(1);
                self.fail(&error);
                self.give_up();
                taken.failure = Some(error);
            }
        }
        taken
    }

    async fn try_take(
        &mut self,
        shared: &SinkShared,
        batch: &[Event],
        taken: &mut BucketOutcome,
    ) -> Result<(), FsError> {
        if self.short_of_replicas(shared) {
            self.complete(shared).await?;
        }
        // One document that cannot be read is enough to wait for.
        let mut lacking: Option<String> = None;
        for place in 0..self.events.len() {
            if self
                .file
                .as_ref()
                .is_some_and(|file| file.full(&shared.roll))
            {
                self.complete(shared).await?;
                taken.safe = place;
            }
            let index = self.events[place];
            let Some(event) = batch.get(index) else {
                continue;
            };
            let file = match &mut self.file {
                Some(file) => file,
                none => none.insert(CurrentFile::begin(shared)?),
            };
            if file.serializer.lacks(event).is_some() {
                if let Some(reason) = &lacking {
                    taken.refused.push((index, Cause::NotNow, reason.clone()));
                    continue;
                }
                let mut documents = shared.documents.lock().await;
                if let Err(reason) = documents
                    .provide(&mut *file.serializer, event, &*shared.fs)
                    .await
                {
                    taken.refused.push((index, Cause::NotNow, reason.clone()));
                    lacking = Some(reason);
                    continue;
                }
            }
            let rest = &self.events[place..];
            let rest = rest.iter().filter_map(|&index| batch.get(index));
            file.announce(&shared.roll, rest.clone())?;
            if file.buffer.capacity() == file.buffer.len() {
                file.reserve(&shared.roll, rest);
            }
            if let Err(reason) = file.add(event) {
                taken.refused.push((index, Cause::Malformed, reason));
            }
            if file.buffer.len() >= PIECE_BYTES {
                self.write(shared).await?;
            }
        }
        self.flush(shared).await
    }

    /// Flushes what is there and retires the file.
    async fn complete(&mut self, shared: &SinkShared) -> Result<(), FsError> {
        self.flush(shared).await?;
        self.retire();
        Ok(())
    }

    /// Makes everything that was added safe.
    async fn flush(&mut self, shared: &SinkShared) -> Result<(), FsError> {
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        if file.created.is_none() && file.events == 0 {
            // Every event was refused: there is no file for nothing.
            self.file = None;
            return Ok(());
        }
        file.serializer.flush(&mut file.buffer);
        self.write(shared).await?;
        if let Some(created) = self.file.as_mut().and_then(|file| file.created.as_mut()) {
            let start = Instant::now();
            if shared.sync {
                created.out.hsync().await?
            } else {
                created.out.hflush().await?
            }
            created.flushed = Instant::now();
            shared.counters.flush_time.observe(created.flushed - start);
        }
        Ok(())
    }

    /// Writes what was serialized; creates the file first, if it is not there.
    async fn write(&mut self, shared: &SinkShared) -> Result<(), FsError> {
        if self
            .file
            .as_ref()
            .is_some_and(|file| file.created.is_none())
        {
            let created = self.create(shared).await?;
            if let Some(file) = &mut self.file {
                file.created = Some(created);
            }
        }
        let Some(CurrentFile {
            buffer,
            created: Some(created),
            ..
        }) = &mut self.file
        else {
            return Ok(());
        };
        if buffer.is_empty() {
            return Ok(());
        }
        let bytes = bytes::Bytes::from(std::mem::take(buffer));
        let length = bytes.len();
        created.out.write(bytes).await?;
        shared.counters.bytes.add(length);
        Ok(())
    }

    /// Creates a file under the next number that is free. A failure keeps the number, so that a dead NameNode does not
    /// leave a trail of names.
    async fn create(&mut self, shared: &SinkShared) -> Result<CreatedFile, FsError> {
        let mut tries = 0;
        loop {
            let names = self.names(shared, self.next);
            shared.begun(&names);
            tries += 1;
            match shared.fs.create(&names.in_use).await {
                Ok(out) => {
                    shared.counters.created.add(1);
                    let number = self.next;
                    let opened = Instant::now();
                    (self.next, self.doubtful) = (number + 1, false);
                    shared.highest.fetch_max(number, Relaxed);
                    let held = shared.counters.open.hold();
                    return Ok(CreatedFile {
                        out,
                        names,
                        number,
                        opened,
                        flushed: opened,
                        held,
                    });
                }
                Err(error) if error.kind == FsErrorKind::Exists && tries < MAX_NAME_TRIES => {
                    if std::mem::take(&mut self.doubtful) {
                        self.retired.push(Closing::left(names))
                    } else {
                        shared.finished(&names)
                    }
                    self.next = now_ms().max(self.next) + 1;
                }
                // Nothing is there, unless an earlier call of this name has made it.
                Err(error) if error.kind.is_refusal() && !self.doubtful => {
                    shared.finished(&names);
                    return Err(error);
                }
                Err(error) => {
                    self.doubtful = true;
                    return Err(error);
                }
            }
        }
    }

    fn names(&self, shared: &SinkShared, number: u64) -> FileNames {
        let Affixes {
            suffix,
            in_use_prefix,
            in_use_suffix,
        } = &shared.affixes;
        let target = format!(
            "{}/{}.{number}{suffix}",
            self.directory.trim_end_matches('/'),
            self.prefix
        );
        // The prefix may name directories: a rename makes none.
        let (directory, name) = target.rsplit_once('/').unwrap_or(("", &target));
        FileNames {
            in_use: format!("{directory}/{in_use_prefix}{name}{in_use_suffix}"),
            target,
        }
    }

    /// Moves a file whose content is flushed to the closer.
    pub(super) fn retire(&mut self) {
        let Some(CurrentFile {
            mut serializer,
            mut buffer,
            created: Some(created),
            ..
        }) = self.file.take()
        else {
            return;
        };
        serializer.end(&mut buffer);
        let CreatedFile {
            out,
            names,
            number,
            held,
            ..
        } = created;
        self.retired
            .push(Closing::complete(out, buffer.into(), names, number, held));
    }

    /// Moves a file in an unknown state to the closer.
    fn give_up(&mut self) {
        if let Some(CurrentFile {
            created:
                Some(CreatedFile {
                    out,
                    names,
                    number,
                    held,
                    ..
                }),
            ..
        }) = self.file.take()
        {
            let (closing, fence) = Closing::given_up(out, names, number, held);
            self.retired.push(closing);
            self.fence = Some((fence, Instant::now() + FENCE_TIMEOUT));
        }
    }

    fn fail(&mut self, error: &FsError) {
        let attempts = self
            .failing
            .as_ref()
            .map_or(1, |failing| failing.attempts + 1);
        let pause = (FIRST_BUCKET_PAUSE * (1 << (attempts - 1).min(8))).min(MAX_BUCKET_PAUSE);
        let reason = flume_core::with_causes(error);
        self.failing = Some(FailureStreak {
            attempts,
            until: Instant::now() + pause,
            reason,
        });
    }

    /// Whether the file should be completed because its block has lost replicas. More than some in a row are of no use.
    fn short_of_replicas(&mut self, shared: &SinkShared) -> bool {
        let Some(CurrentFile {
            created: Some(created),
            events: 1..,
            ..
        }) = &self.file
        else {
            return false;
        };
        let least = shared
            .roll
            .min_replicas
            .unwrap_or_else(|| shared.fs.replication());
        let Some(live) = created.out.live_replicas() else {
            return false;
        };
        if live >= least {
            self.short_rolls = 0;
            return false;
        }
        self.short_rolls += 1;
        if self.short_rolls == MAX_SHORT_ROLLS + 1 {
            tracing::error!(
                "{} is written to {live} of {least} replicas after {MAX_SHORT_ROLLS} new files; \
                 no more are made for that (see hdfs.minBlockReplicas)",
                created.names.in_use
            );
        }
        self.short_rolls <= MAX_SHORT_ROLLS
    }

    /// When it is to be looked at; `None`: never.
    pub(super) fn deadline(&self, roll: &RollLimits) -> Option<Instant> {
        let Some(CurrentFile {
            created: Some(created),
            ..
        }) = &self.file
        else {
            return self
                .failing
                .as_ref()
                .map(|failing| failing.until + FORGET_AFTER);
        };
        let rolled = roll.interval.map(|interval| created.opened + interval);
        let idle = roll.idle.map(|idle| created.flushed + idle);
        rolled.into_iter().chain(idle).min()
    }

    /// Whether a file is being written.
    pub(super) fn is_open(&self) -> bool {
        self.file.is_some()
    }

    /// Whether nothing of it needs to be remembered.
    pub(super) fn is_spent(&self) -> bool {
        self.file.is_none() && self.failing.is_none() && self.retired.is_empty()
    }

    /// The bucket is forgotten: what it may have created is not.
    pub(super) fn end(&mut self, shared: &SinkShared) {
        self.retire();
        self.failing = None;
        if std::mem::take(&mut self.doubtful) {
            self.retired
                .push(Closing::left(self.names(shared, self.next)));
        }
    }

    /// Whether a file that was given up may still change: its events must not go elsewhere meanwhile.
    pub(super) fn fencing(&self, now: Instant) -> bool {
        self.fence
            .as_ref()
            .is_some_and(|(fence, until)| !fence.is_up() && *until > now)
    }

    /// Whether it is left alone for now.
    pub(super) fn pausing(&self, now: Instant) -> bool {
        self.failing
            .as_ref()
            .is_some_and(|failing| failing.until > now)
    }

    /// Where its files are.
    pub(super) fn directory(&self) -> &str {
        &self.directory
    }
}

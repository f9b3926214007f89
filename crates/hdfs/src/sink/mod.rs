//! `hdfs`: events into files, in directories made from their time and headers.
//!
//! The sink owns a map of buckets, one for each directory and prefix. A batch is grouped by bucket; all buckets that
//! it touches write and flush at the same time, and the batch is committed when all have. A file that is complete moves
//! into a task that closes and renames it. A file belongs to one of them at any time, so none is locked.

mod bucket;
mod buckets;
mod closer;
mod config;
mod delivery;
mod file;
mod journal;
mod remarks;
mod shared;
mod shown;

use std::{
    io,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use async_trait::async_trait;
use flume_core::{
    BuildError, Component, Context, Delivered, Event, Sink, SinkError, Want,
    metrics::{Gauge, Text},
};
use futures_util::future::BoxFuture;
use tokio::{
    task::spawn_blocking,
    time::{Instant, timeout},
};

use self::{
    buckets::Buckets,
    closer::{Closer, Closing},
    config::{HdfsConfig, Paths},
    delivery::{Open, Outcome, is_down},
    journal::{FileNames, Journal},
    shared::{BucketCounters, SinkShared},
    shown::ShownPlace,
};
use crate::formats::Format;
use flume_hadoop::{
    Admission, Identity,
    conf::Hadoop,
    fs::{FileSystem, FsError, FsErrorKind, bounded, connect},
    unmeant_local_path,
};
use flume_host::names::LocalHost;

/// How long a batch may wait to fill: large batches make few flushes.
const BATCH_LINGER: Duration = Duration::from_secs(1);
/// A batch that touches many buckets makes a flush for each of them, so the next one may be larger while events queue up:
/// as large as `hdfs.batchSize` for each bucket, but no more than so many times that.
const MAX_SPREAD: usize = 10;
/// A name server that does not answer must not hold up the start.
const HOST_TIMEOUT: Duration = Duration::from_secs(10);

/// What closing takes besides waiting for files.
const CUT_OFF_TIMEOUT: Duration = Duration::from_secs(2);

/// Opens a file system by its URL.
type Connect = Box<dyn Fn() -> BoxFuture<'static, Result<Arc<dyn FileSystem>, FsError>> + Send>;

/// The sink.
pub(crate) struct HdfsSink {
    config: HdfsConfig,
    cx: Context,
    paths: Paths,
    format: Format,
    connect: Connect,
    admission: Admission,
    open: Option<Open>,
    /// Buckets that the last batch touched, if it was full.
    spread: usize,
    failing: Gauge,
    failure: Text,
    shown: ShownPlace,
}

impl Component for HdfsSink {
    type Config = HdfsConfig;
    fn build(config: HdfsConfig, cx: &Context) -> Result<Self, BuildError> {
        let paths = config.paths()?;
        let format = config.format()?;
        // What is wrong with the serializer shows now, not at the first file.
        format.start(cx)?;
        let identity = config.identity()?;
        // Without `--conf` an agent may still be started with one that says more; it looks again when it opens.
        if cx.agent.conf_dir.is_some()
            && let Some(unmeant) = unmeant_disk(&config, &identity, cx)
        {
            return Err(BuildError::at("hdfs.path", unmeant));
        }
        let admission = Admission::new(cx, config.path(), identity);
        let seeker = admission.clone();
        let call_limit = config.call_timeout();
        let connect: Connect = Box::new(move || {
            let seeker = seeker.clone();
            Box::pin(async move { connect(seeker.seek().await?, call_limit) })
        });
        let failing = cx.metrics.gauge("BucketsFailing");
        let failure = cx.metrics.event_text("BucketFailure");
        Ok(HdfsSink {
            config,
            cx: cx.clone(),
            paths,
            format,
            connect,
            admission,
            open: None,
            spread: 1,
            failing,
            failure,
            shown: ShownPlace::new(cx),
        })
    }
}

#[async_trait]
impl Sink for HdfsSink {
    fn want(&self) -> Want {
        let batch = self.config.batch_size.get();
        match self.spread {
            ..=1 => Want {
                linger: BATCH_LINGER,
                ..Want::events(batch)
            },
            spread => Want::events(batch.saturating_mul(spread.min(MAX_SPREAD))),
        }
    }

    fn remarks(&self, may_have: &dyn Fn(&str) -> bool) -> Vec<BuildError> {
        remarks::all(&self.config, &self.paths, may_have)
    }

    async fn open(&mut self) -> Result<(), SinkError> {
        let fs = (self.connect)()
            .await
            .map_err(SinkError::at("open the file system of hdfs.path"))?;
        let fs = bounded(fs, self.config.call_timeout());
        self.fill_in_host().await?;
        let location = fs.location();
        self.shown.opened(&location);
        if location.starts_with("file:") && !self.config.path().contains(':') {
            self.shown.local_by_default();
        }
        let (journal, left) = self.open_journal(&location).await;
        let config = &self.config;
        let shared = SinkShared {
            fs: fs.clone(),
            journal: journal.clone(),
            file_system: location.clone(),
            roll: config.roll(),
            affixes: config.affixes(self.format.extension()),
            sync: config.sync_on_commit,
            format: self.format.clone(),
            cx: self.cx.clone(),
            documents: Default::default(),
            // A file that a crash has left may be finished while new ones are begun: they must not meet.
            highest: AtomicU64::new(left.iter().map(Closing::number).max().unwrap_or(0)),
            counters: BucketCounters::new(&self.cx.metrics),
        };
        let retries = self.config.retries();
        let mut closer = Closer::new(fs, journal.clone(), location, retries, &self.cx.metrics);
        left.into_iter().for_each(|closing| closer.spawn(closing));
        let outlives_host =
            self.config.sync_on_commit || !self.paths.file_system.starts_with("file:");
        self.open = Some(Open {
            shared,
            buckets: Buckets::default(),
            closer,
            journal,
            outlives_host,
            key: String::new(),
        });
        Ok(())
    }

    async fn deliver(&mut self, batch: &[Event]) -> Result<Delivered, SinkError> {
        let most_files = self.config.max_open_files.get();
        let constant = self.paths.is_constant();
        let Some(open) = &mut self.open else {
            return Err(SinkError::new("deliver", "the sink is not open"));
        };
        open.wait_for_closer(most_files).await?;
        let mut rejected = vec![];
        let places = open.group(&mut self.paths, batch, &mut rejected);
        self.spread = if batch.len() < self.config.batch_size.get() {
            1
        } else {
            places.len()
        };
        let mut outcome = Outcome::default();
        for places in places.chunks(most_files) {
            open.buckets.make_room(places, most_files);
            open.take(places, batch, !constant, &mut outcome).await;
        }
        open.settle().await;
        let (failing, reason) = open.buckets.failing();
        if failing as u64 != self.failing.get() || failing > 0 {
            self.failing.set(failing);
            self.failure.set(reason.unwrap_or_default());
        }
        if let Some(failure) = outcome.failure
            && outcome.all
            && (constant
                || (failure.kind == FsErrorKind::Retry && is_down(open.shared.fs.clone()).await))
        {
            return Err(SinkError::new("write a batch", failure));
        }
        rejected.append(&mut outcome.rejected);
        Ok(Delivered {
            pause: false,
            rejected,
            ..Delivered::default()
        })
    }

    async fn tick(&mut self) -> Result<(), SinkError> {
        self.admission.tick();
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        if open.buckets.is_due(Instant::now()) {
            open.sweep();
        }
        if let Some(journal) = open.journal.clone().filter(|journal| journal.grown()) {
            let compacted = spawn_blocking(move || journal.compact()).await;
            if let Ok(Err(error)) = compacted {
                tracing::warn!("failed to rewrite the journal of open files: {error}");
            }
        }
        Ok(())
    }

    async fn close(&mut self) -> Result<(), SinkError> {
        let Some(mut open) = self.open.take() else {
            return Ok(());
        };
        for closing in open.buckets.end(&open.shared) {
            open.closer.spawn(closing);
        }
        let left = open
            .closer
            .finish(Instant::now() + self.config.stop_timeout())
            .await;
        if left > 0 {
            tracing::warn!(
                "{}: {left} files are not finished; the next start finishes them",
                self.cx.name
            );
        }
        Ok(())
    }

    fn close_timeout(&self) -> Duration {
        self.config.stop_timeout() + CUT_OFF_TIMEOUT
    }
}

impl HdfsSink {
    /// Looks up what the templates say of the host.
    async fn fill_in_host(&mut self) -> Result<(), SinkError> {
        if self
            .paths
            .directory
            .host_parts()
            .chain(self.paths.prefix.host_parts())
            .next()
            .is_none()
        {
            return Ok(());
        }
        let failed = SinkError::at("look up this host's name for hdfs.path");
        let host = match timeout(HOST_TIMEOUT, spawn_blocking(LocalHost::look_up)).await {
            Ok(Ok(host)) => host,
            Ok(Err(error)) => {
                return Err(failed(Box::<dyn std::error::Error + Send + Sync>::from(
                    error,
                )));
            }
            Err(_) => return Err(failed(format!("no answer within {HOST_TIMEOUT:?}").into())),
        };
        self.paths.directory.fill_in(&host);
        self.paths.prefix.fill_in(&host);
        Ok(())
    }

    /// The journal, and files of earlier runs that are to be finished. Without a journal the sink works all the same: only
    /// a crash would leave something behind.
    async fn open_journal(&mut self, location: &str) -> (Option<Arc<Journal>>, Vec<Closing>) {
        let directory = self.cx.agent.state_dir.join("hdfs");
        if self.cx.agent.state_dir.as_os_str().is_empty() {
            self.shown.no_journal("the agent has no state directory");
            return (None, vec![]);
        }
        let name = self.cx.name.replace('/', "_");
        let former = self.paths.file_system.clone();
        let location = location.to_string();
        let opened = spawn_blocking(move || {
            let journal = Journal::open_free(&directory, &name)?;
            let elsewhere = journal.adopt(&directory, &location, &former);
            Ok::<_, io::Error>((journal, elsewhere, location))
        });
        let (journal, elsewhere, location) = match opened.await {
            Ok(Ok(opened)) => opened,
            Ok(Err(error)) => {
                self.shown.no_journal(&error.to_string());
                return (None, vec![]);
            }
            Err(error) => {
                self.shown.no_journal(&error.to_string());
                return (None, vec![]);
            }
        };
        self.shown.unfinished(&elsewhere);
        let left = self.left(&journal, &location);
        (Some(Arc::new(journal)), left)
    }

    /// Files of an earlier run, to be finished or only reported.
    fn left(&self, journal: &Journal, location: &str) -> Vec<Closing> {
        let mut left = vec![];
        for ((file_system, in_use), target) in journal.unfinished() {
            if file_system != location {
                continue;
            }
            if self.config.finish_left_files {
                tracing::info!("finished {in_use}, which was left unfinished");
                left.push(Closing::left(FileNames { in_use, target }));
            } else {
                tracing::warn!("{in_use} was left unfinished (hdfs.finishLeftFiles is false)");
            }
        }
        left
    }
}

/// A sink that is meant for a cluster must not write to this machine's disk in silence. Hadoop's configuration is read only
/// where the path names no file system.
fn unmeant_disk(config: &HdfsConfig, identity: &Identity, cx: &Context) -> Option<String> {
    let path = config.path();
    if path.contains(':') || *identity == Identity::default() {
        return None;
    }
    // What is wrong with the files themselves is said when the sink opens.
    let hadoop = Hadoop::find(cx.agent.conf_dir.as_deref()).ok()?;
    unmeant_local_path(path, identity, &hadoop)
}

#[cfg(test)]
mod tests;

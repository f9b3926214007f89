//! `spooldir`: files that are put into a directory when they are complete.

mod candidates;
mod config;
mod finish;
mod reading;
pub(crate) mod tracker;

use std::{
    collections::{BTreeMap, VecDeque},
    io::{self, ErrorKind},
    num::NonZeroUsize,
    path::{Path, PathBuf},
    time::Duration,
};

use async_trait::async_trait;
use flume_core::{
    BackOff, BuildError, Component, Context, Event, EventDeserializer, FileText, Headers, Source,
    SourceContext, SourceError, Str,
    metrics::{Counter, Text},
};
use rustix::fs::inotify::WatchFlags;
use tokio::time::Instant;

use crate::{
    blocking::blocking,
    directory_watch::{DirectoryWatch, changed},
};
use candidates::{CandidateFile, ConsumeOrder, FileSelection};
use config::{DeletePolicy, SpoolDirConfig, TrackingPolicy};
use finish::{Marking, SET_ASIDE_SUFFIX, complete, set_aside};
use reading::{FileFate, SpoolFile, feed};
use tracker::{TRACKER_NAME, Tracker};

/// Pause after the first refusal of the channel; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// A file that could not be opened, renamed or deleted is tried again after this time.
const RETRY_PAUSE: Duration = Duration::from_secs(60);

pub(crate) struct SpoolDirSource {
    config: SpoolDirConfig,
    selection: FileSelection,
    marking: Marking,
    deserializer: Option<Box<dyn EventDeserializer>>,
    decompress: bool,
    /// Files that are left alone until then.
    later: BTreeMap<PathBuf, Instant>,
    counters: SpoolCounters,
}

struct SpoolCounters {
    batches_received: Counter,
    batches_accepted: Counter,
    read_failures: Counter,
    completed: Counter,
    set_aside: Counter,
    last_set_aside: Text,
}

/// Where the reading of a file ended.
enum SpoolEnd {
    /// All of it was delivered.
    Delivered,
    /// What cannot be read, and nothing after it, was delivered.
    Broken(String),
    /// The agent stops. What was delivered is remembered.
    Stopped,
}

impl Component for SpoolDirSource {
    type Config = SpoolDirConfig;
    fn build(config: SpoolDirConfig, cx: &Context) -> Result<Self, BuildError> {
        if config.file_suffix.is_empty() {
            return Err(BuildError::at("fileSuffix", "it must not be empty"));
        }
        let marking = match (config.delete_policy, config.tracking_policy) {
            (DeletePolicy::Immediate, _) => Marking::Delete,
            (DeletePolicy::Never, TrackingPolicy::Rename) => Marking::Rename,
            (DeletePolicy::Never, TrackingPolicy::TrackerDir) => Marking::Marker,
        };
        let deserializer = config.deserializer.create(cx);
        let mut deserializer = deserializer.map_err(|error| error.inside("deserializer"))?;
        deserializer.set_text(&FileText {
            charset: config.input_charset.to_string(),
            on_malformed: config.decode_error_policy,
            max_line_length: config.buffer_max_line_length.map(NonZeroUsize::get),
        });
        let tracker_directory = config.spool_dir.join(&config.tracker_dir);
        let selection = FileSelection {
            directory: config.spool_dir.clone(),
            recursive: config.recursive_directory_search,
            include: config.include_pattern.clone(),
            ignore: config.ignore_pattern.clone(),
            done_suffixes: vec![config.file_suffix.clone(), SET_ASIDE_SUFFIX.into()],
            markers: (marking == Marking::Marker).then(|| tracker_directory.clone()),
            tracker_directory,
            order: config.consume_order,
        };
        Ok(SpoolDirSource {
            decompress: config.decompress.unwrap_or(deserializer.reads_text()),
            deserializer: Some(deserializer),
            selection,
            marking,
            config,
            later: BTreeMap::new(),
            counters: SpoolCounters {
                batches_received: cx.metrics.counter("AppendBatchReceivedCount"),
                batches_accepted: cx.metrics.counter("AppendBatchAcceptedCount"),
                read_failures: cx.metrics.counter("EventReadFail"),
                completed: cx.metrics.counter("FilesCompletedCount"),
                set_aside: cx.metrics.counter("FilesSetAsideCount"),
                last_set_aside: cx.metrics.text("LastFileSetAside"),
            },
        })
    }
}

#[async_trait]
impl Source for SpoolDirSource {
    fn batch_size(&self) -> usize {
        self.config.batch_size.get()
    }

    fn may_set(&self, header: &str) -> bool {
        let config = &self.config;
        (config.file_header && config.file_header_key == header)
            || (config.basename_header && config.basename_header_key == header)
            || header.starts_with("flume.avro.schema.")
    }

    async fn run(&mut self, cx: &SourceContext) -> Result<(), SourceError> {
        let selection = self.selection.clone();
        blocking(move || prepare(&selection)).await?;
        let watched = WatchFlags::CLOSE_WRITE | WatchFlags::MOVED_TO;
        let watch = DirectoryWatch::new([&self.config.spool_dir], watched).ok();
        cx.ready(None);
        let mut files = VecDeque::new();
        while !cx.stop.is_requested() {
            if files.is_empty() || self.selection.order == ConsumeOrder::Youngest {
                files = self.list().await?;
            }
            match files.pop_front() {
                Some(file) => self.consume(file.path, cx).await?,
                None => tokio::select! {
                    () = cx.stop.sleep(self.config.poll_delay.0) => {}
                    () = changed(watch.as_ref()) => {}
                },
            }
        }
        Ok(())
    }
}

impl SpoolDirSource {
    /// The files that are to be read now.
    async fn list(&mut self) -> Result<VecDeque<CandidateFile>, SourceError> {
        let selection = self.selection.clone();
        let mut files = blocking(move || {
            let files = selection.list();
            files.map_err(SourceError::at(format!(
                "list {}",
                selection.directory.display()
            )))
        })
        .await?;
        let now = Instant::now();
        self.later.retain(|_, until| *until > now);
        files.retain(|file| !self.later.contains_key(&file.path));
        Ok(files)
    }

    /// Reads a file to its end, and marks it.
    async fn consume(&mut self, path: PathBuf, cx: &SourceContext) -> Result<(), SourceError> {
        let opening = path.clone();
        let (file, facts) = match blocking(move || SpoolFile::open(&opening)).await {
            Ok(opened) => opened,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => {
                self.postpone(&path, "open it", &error);
                return Ok(());
            }
        };
        let tracker_path = self.selection.tracker_directory.join(TRACKER_NAME);
        let name = path.display().to_string();
        let tracker = blocking(move || Tracker::open(tracker_path, &name, &facts)).await;
        let mut tracker = tracker.map_err(SourceError::at("read the tracker file"))?;
        // Taken out while threads for blocking calls have it.
        let Some(mut deserializer) = self.deserializer.take() else {
            return Err(SourceError::new(
                "read a file",
                "the last attempt did not end",
            ));
        };
        let start = deserializer.begin(tracker.offset());
        let position = path.clone();
        let decompress = self.decompress;
        let positioned =
            blocking(move || SpoolFile::position(position, file, facts, start, decompress));
        let (end, file) = match positioned.await {
            Ok(mut file) => {
                let end = self
                    .deliver(&mut *deserializer, &mut file, &mut tracker, cx)
                    .await;
                (end, Some(file))
            }
            Err(error) => (Ok(SpoolEnd::Broken(error.to_string())), None),
        };
        self.deserializer = Some(deserializer);
        match end? {
            SpoolEnd::Stopped => Ok(()),
            SpoolEnd::Broken(reason) => {
                self.counters.read_failures.add(1);
                self.set_aside(path, tracker, reason).await
            }
            SpoolEnd::Delivered => self.complete(path, file, tracker).await,
        }
    }

    /// Puts the events of a file into the channels, batch by batch.
    async fn deliver(
        &self,
        deserializer: &mut dyn EventDeserializer,
        file: &mut SpoolFile,
        tracker: &mut Tracker,
        cx: &SourceContext,
    ) -> Result<SpoolEnd, SourceError> {
        let headers = self.headers(&file.path);
        let mut batch = vec![];
        let mut offset = tracker.offset();
        let mut more = true;
        loop {
            let mut end = None;
            while batch.len() < self.config.batch_size.get() && end.is_none() {
                match deserializer.next() {
                    Ok(Some(mut next)) => {
                        add_headers(&mut next.event, &headers);
                        batch.push(next.event);
                        offset = next.offset;
                    }
                    Ok(None) if more => match read_chunk(file).await {
                        Ok(chunk) => more = feed(deserializer, chunk),
                        Err(error) => {
                            end = Some(SpoolEnd::Broken(format!("reading failed: {error}")));
                        }
                    },
                    Ok(None) => end = Some(SpoolEnd::Delivered),
                    Err(error) => end = Some(SpoolEnd::Broken(error.to_string())),
                }
            }
            if !batch.is_empty() {
                if !self.put(std::mem::take(&mut batch), cx).await {
                    return Ok(SpoolEnd::Stopped);
                }
                tracker
                    .store(offset)
                    .map_err(SourceError::at("write the tracker file"))?;
            }
            if let Some(end) = end {
                return Ok(end);
            }
            if cx.stop.is_requested() {
                return Ok(SpoolEnd::Stopped);
            }
        }
    }

    /// Whether the channels have the batch; not, when the agent stops before they take it.
    async fn put(&self, batch: Vec<Event>, cx: &SourceContext) -> bool {
        let mut back_off = BackOff::doubling(FIRST_PAUSE, self.config.max_backoff.0);
        loop {
            self.counters.batches_received.add(1);
            match cx.out.put(batch.clone()).await {
                Ok(()) => {
                    self.counters.batches_accepted.add(1);
                    cx.state.running();
                    return true;
                }
                Err(_) if cx.stop.is_requested() => return false,
                Err(error) => cx.pause_after(&error, &mut back_off).await,
            }
        }
    }

    fn headers(&self, path: &Path) -> Headers {
        let config = &self.config;
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.into());
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let file = (
            config.file_header_key.clone(),
            absolute.display().to_string(),
        );
        let basename = (config.basename_header_key.clone(), name);
        let pairs = [
            (config.file_header, file),
            (config.basename_header, basename),
        ];
        let wanted = pairs.into_iter().filter(|(wanted, _)| *wanted);
        wanted
            .map(|(_, (name, value))| (Str::from(name), Str::from(value)))
            .collect()
    }

    async fn complete(
        &mut self,
        path: PathBuf,
        file: Option<SpoolFile>,
        tracker: Tracker,
    ) -> Result<(), SourceError> {
        let Some(file) = file else { return Ok(()) };
        let selection = self.selection.clone();
        let marking = self.marking;
        let suffix = self.config.file_suffix.clone();
        let marked = blocking(move || -> io::Result<FileFate> {
            let fate = file.fate()?;
            if fate == FileFate::Unchanged {
                complete(&file.path, marking, &suffix, &selection)?;
            }
            Ok(fate)
        });
        let reason = match marked.await {
            Ok(FileFate::Unchanged) => {
                self.counters.completed.add(1);
                return self.forget(tracker).await;
            }
            Ok(FileFate::Gone) => {
                tracing::warn!(
                    "{} was removed or replaced while it was read",
                    path.display()
                );
                return self.forget(tracker).await;
            }
            Ok(FileFate::Changed) => "it changed after it was put there".to_string(),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                format!(
                    "there is a file with its name and the end {} already",
                    self.config.file_suffix
                )
            }
            Err(error) => {
                self.postpone(&path, "mark it as done", &error);
                return Ok(());
            }
        };
        self.set_aside(path, tracker, reason).await
    }

    /// Puts a file out of the way, and says why.
    async fn set_aside(
        &mut self,
        path: PathBuf,
        tracker: Tracker,
        reason: String,
    ) -> Result<(), SourceError> {
        let selection = self.selection.clone();
        let marking = self.marking;
        let delivered = tracker.offset();
        let moving = path.clone();
        match blocking(move || set_aside(&moving, marking, &selection)).await {
            Ok(to) => {
                let text = format!(
                    "{} is set aside as {}: {reason}",
                    path.display(),
                    to.display()
                );
                tracing::error!("{text}; its first {delivered} bytes were delivered");
                self.counters.set_aside.add(1);
                self.counters.last_set_aside.set(text);
                self.forget(tracker).await
            }
            Err(error) => {
                self.postpone(&path, &format!("set it aside ({reason})"), &error);
                Ok(())
            }
        }
    }

    async fn forget(&self, tracker: Tracker) -> Result<(), SourceError> {
        blocking(move || tracker.delete())
            .await
            .map_err(SourceError::at("delete the tracker file"))
    }

    /// Leaves a file alone for a while, so that the others are read.
    fn postpone(&mut self, path: &Path, doing: &str, error: &io::Error) {
        let seconds = RETRY_PAUSE.as_secs();
        tracing::warn!(
            "{}: failed to {doing}: {error}; trying again in {seconds} s",
            path.display()
        );
        self.counters.read_failures.add(1);
        self.later.insert(path.into(), Instant::now() + RETRY_PAUSE);
    }
}

/// What has to be there before a file can be read.
fn prepare(selection: &FileSelection) -> Result<(), SourceError> {
    let directory = &selection.directory;
    let listed = std::fs::read_dir(directory).map(drop);
    listed.map_err(SourceError::at(format!("list {}", directory.display())))?;
    let tracker = &selection.tracker_directory;
    let created = std::fs::create_dir_all(tracker);
    created.map_err(SourceError::at(format!("create {}", tracker.display())))
}

/// Reads on a thread that may block.
async fn read_chunk(file: &mut SpoolFile) -> io::Result<bytes::Bytes> {
    let mut owned = file.lend();
    let (owned, chunk) = blocking(move || {
        let chunk = owned.read();
        (owned, chunk)
    })
    .await;
    *file = owned;
    chunk
}

fn add_headers(event: &mut Event, headers: &Headers) {
    if event.headers.is_empty() {
        event.headers = headers.clone();
        return;
    }
    for (name, value) in headers.iter() {
        event.headers.set(name.clone(), value.clone());
    }
}

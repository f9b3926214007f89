//! `file_roll`: appends events to files in a directory, starting a new file every so often.

use std::{
    fs::{File, OpenOptions},
    io::{self, ErrorKind, Write},
    num::NonZeroUsize,
    path::PathBuf,
    time::Duration,
};

use async_trait::async_trait;
use flume_core::{
    BuildError, Cause, Component, Config, Context, Delivered, Event, EventSerializer, Rejected,
    Sink, SinkError, Want,
    config::{Choice, Nested},
    metrics::Counter,
};
use flume_wire::document::read_local;
use jiff::Zoned;
use tokio::time::Instant;

/// Stores events on the local file system, rolling files by time.
///
/// A committed batch has been handed to the operating system; with `sink.syncOnCommit` it is on the disk. A write
/// that fails is taken back before it is repeated, so a file holds no part of a batch twice.
#[derive(Clone, Config)]
pub(super) struct FileRollConfig {
    /// Directory the files are created in; it must exist.
    #[prop("sink.directory")]
    directory: PathBuf,
    /// Seconds after which a new file is started; 0 or less never rolls.
    #[prop("sink.rollInterval", default = 30)]
    roll_interval: i64,
    /// Most events written in one transaction.
    #[prop("sink.batchSize", default = 100)]
    batch_size: NonZeroUsize,
    /// How an event is written into the file.
    #[prop("sink.serializer", default = "TEXT")]
    serializer: Nested<dyn EventSerializer>,
    /// How files are named: DEFAULT counts from the agent's start, ROLLTIME within the second a file is started.
    #[prop("sink.pathManager", default = "DEFAULT")]
    path_manager: PathManager,
    /// What file names begin with.
    #[prop("sink.pathManager.prefix", default = "")]
    prefix: String,
    /// What file names end with, after a dot.
    #[prop("sink.pathManager.extension", default = "")]
    extension: String,
    /// Whether a commit waits until the disk has the batch (fdatasync).
    #[prop("sink.syncOnCommit", default = false)]
    sync_on_commit: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum PathManager {
    Default,
    RollTime,
}

impl Choice for PathManager {
    const CHOICES: &'static [(&'static str, Self)] = &[
        ("DEFAULT", PathManager::Default),
        ("ROLLTIME", PathManager::RollTime),
        (
            "org.apache.flume.formatter.output.DefaultPathManager$Builder",
            PathManager::Default,
        ),
        (
            "org.apache.flume.formatter.output.RollTimePathManager$Builder",
            PathManager::RollTime,
        ),
    ];
}

pub(super) struct FileRollSink {
    config: FileRollConfig,
    cx: Context,
    current: Option<Current>,
    names: Names,
    /// Kept between batches for its allocation.
    bytes: Vec<u8>,
    opened: Counter,
    closed: Counter,
    failed: Counter,
}

struct Current {
    file: File,
    path: PathBuf,
    serializer: Box<dyn EventSerializer>,
    started: Instant,
    /// Bytes that are committed.
    length: u64,
}

/// The names of the files to come.
struct Names {
    /// Milliseconds since 1970 when the sink was built, or the second of the last file.
    series: String,
    number: u64,
}

impl Component for FileRollSink {
    type Config = FileRollConfig;
    fn build(config: FileRollConfig, cx: &Context) -> Result<Self, BuildError> {
        // What is wrong with the serializer shows now, not at the first file.
        config
            .serializer
            .create(&cx.inside("sink.serializer"))
            .map_err(|error| error.inside("sink.serializer"))?;
        let series = flume_host::clock::now_ms().to_string();
        Ok(FileRollSink {
            config,
            cx: cx.clone(),
            current: None,
            names: Names { series, number: 0 },
            bytes: Vec::new(),
            opened: cx.metrics.counter("ConnectionCreatedCount"),
            closed: cx.metrics.counter("ConnectionClosedCount"),
            failed: cx.metrics.counter("ConnectionFailedCount"),
        })
    }
}

#[async_trait]
impl Sink for FileRollSink {
    fn want(&self) -> Want {
        Want::events(self.config.batch_size.get())
    }

    async fn open(&mut self) -> Result<(), SinkError> {
        let directory = self.config.directory.display();
        let is_dir = std::fs::metadata(&self.config.directory).and_then(|meta| {
            if meta.is_dir() {
                Ok(())
            } else {
                Err(io::Error::new(
                    ErrorKind::NotADirectory,
                    "it is not a directory",
                ))
            }
        });
        is_dir.map_err(SinkError::at(format!(
            "use the directory {directory} of sink.directory"
        )))
    }

    async fn deliver(&mut self, batch: &[Event]) -> Result<Delivered, SinkError> {
        self.bytes.clear();
        if self.current.is_none() {
            let started = self.start_file();
            let mut current = started.inspect_err(|_| self.failed.add(1))?;
            current.serializer.begin(&mut self.bytes);
            self.opened.add(1);
            self.current = Some(current);
        }
        let Some(current) = &mut self.current else {
            return Ok(Delivered::default());
        };
        if let Err(reason) = current.serializer.prepare(&mut batch.iter()) {
            self.failed.add(1);
            self.abandon_file();
            return Err(SinkError::new("serialize a batch", reason));
        }
        let mut rejected = vec![];
        for (index, event) in batch.iter().enumerate() {
            if let Err(reason) = supply(&mut *current.serializer, event) {
                rejected.push(Rejected {
                    index,
                    cause: Cause::NotNow,
                    reason,
                });
                continue;
            }
            if let Err(reason) = current.serializer.write(event, &mut self.bytes) {
                rejected.push(Rejected {
                    index,
                    cause: Cause::Malformed,
                    reason,
                });
            }
        }
        current.serializer.flush(&mut self.bytes);
        let written = current.write(&self.bytes, self.config.sync_on_commit);
        if written.is_err() {
            self.give_up_file();
        }
        written.map(|()| Delivered {
            pause: false,
            rejected,
            ..Delivered::default()
        })
    }

    /// Rolls on time even while no event arrives.
    async fn tick(&mut self) -> Result<(), SinkError> {
        let Ok(seconds @ 1..) = u64::try_from(self.config.roll_interval) else {
            return Ok(());
        };
        let due = |current: &Current| current.started.elapsed() >= Duration::from_secs(seconds);
        if self.current.as_ref().is_some_and(due) {
            self.close().await
        } else {
            Ok(())
        }
    }

    async fn close(&mut self) -> Result<(), SinkError> {
        let Some(mut current) = self.current.take() else {
            return Ok(());
        };
        self.closed.add(1);
        self.bytes.clear();
        current.serializer.end(&mut self.bytes);
        current.write(&self.bytes, self.config.sync_on_commit)
    }
}

impl FileRollSink {
    fn start_file(&mut self) -> Result<Current, SinkError> {
        let serializer = self
            .config
            .serializer
            .create(&self.cx.inside("sink.serializer"))
            .map_err(SinkError::at("make a serializer"))?;
        loop {
            let name = self.names.next(self.config.path_manager);
            let dot = if self.config.extension.is_empty() {
                ""
            } else {
                "."
            };
            let name = format!("{}{name}{dot}{}", self.config.prefix, self.config.extension);
            let path = self.config.directory.join(name);
            match OpenOptions::new().append(true).create_new(true).open(&path) {
                Ok(file) => {
                    return Ok(Current {
                        file,
                        path,
                        serializer,
                        started: Instant::now(),
                        length: 0,
                    });
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
                Err(error) => {
                    // Without the file's name: it has another number at each attempt, and the same reason.
                    let directory = self.config.directory.display();
                    return Err(SinkError::at(format!("create a file in {directory}"))(
                        error,
                    ));
                }
            }
        }
    }

    /// After a failed write: the file goes on if what was written of the batch could be taken back. A file that
    /// holds nothing yet begins again, as its header is part of the batch.
    fn give_up_file(&mut self) {
        self.failed.add(1);
        let Some(current) = &self.current else { return };
        let taken_back = current.file.set_len(current.length);
        if let Err(error) = &taken_back {
            tracing::error!(
                "{} ends with a part of a batch; the whole batch is written again: {error}",
                current.path.display()
            );
        }
        if taken_back.is_err() || current.length == 0 {
            self.abandon_file();
        }
    }

    /// Ends the current file as it is. One without a byte was never there.
    fn abandon_file(&mut self) {
        let Some(current) = self.current.take() else {
            return;
        };
        if current.file.metadata().is_ok_and(|meta| meta.len() == 0) {
            let _ = std::fs::remove_file(&current.path);
        }
        self.closed.add(1);
    }
}

impl Current {
    fn write(&mut self, bytes: &[u8], sync: bool) -> Result<(), SinkError> {
        let failed = |doing: &str| SinkError::at(format!("{doing} {}", self.path.display()));
        self.file.write_all(bytes).map_err(failed("write to"))?;
        if sync {
            self.file.sync_data().map_err(failed("sync"))?;
        }
        self.length += bytes.len() as u64;
        Ok(())
    }
}

/// Reads the document without which the event cannot be written.
fn supply(serializer: &mut dyn EventSerializer, event: &Event) -> Result<(), String> {
    let Some(url) = serializer.lacks(event) else {
        return Ok(());
    };
    let document = read_local(&url).map_err(|error| format!("failed to read {url}: {error}"))?;
    serializer.supply(&url, &document);
    Ok(())
}

impl Names {
    fn next(&mut self, manager: PathManager) -> String {
        if manager == PathManager::RollTime {
            let second = Zoned::now().strftime("%Y%m%d%H%M%S").to_string();
            if second != self.series {
                (self.series, self.number) = (second, 0);
            }
        }
        self.number += 1;
        format!("{}-{}", self.series, self.number)
    }
}

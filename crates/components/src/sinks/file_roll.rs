//! `file_roll`: appends events to files in a directory, starting a new file every so often.

use std::{
    fs::File,
    io::Write,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use flume_core::{
    BuildError, Component, Config, Context, Delivered, Event, EventSerializer, Sink, SinkError, Want,
    config::Nested,
};
use tokio::time::Instant;

/// Stores events on the local file system, rolling files by time.
#[derive(Clone, Config)]
pub(super) struct FileRollConfig {
    /// Directory the files are created in.
    #[prop("sink.directory")]
    directory: PathBuf,
    /// Seconds after which a new file is started; 0 never rolls.
    #[prop("sink.rollInterval", default = 30)]
    roll_interval: u64,
    /// Most events written in one transaction.
    #[prop("sink.batchSize", default = 100)]
    batch_size: usize,
    /// How an event is written into the file.
    #[prop("sink.serializer", default = "TEXT")]
    serializer: Nested<dyn EventSerializer>,
}

pub(super) struct FileRollSink {
    config: FileRollConfig,
    cx: Context,
    current: Option<Current>,
    /// First part of all file names: milliseconds since 1970 when the sink was built.
    series: u128,
    files: u64,
    /// Kept between batches for its allocation.
    bytes: Vec<u8>,
}

struct Current {
    file: File,
    serializer: Box<dyn EventSerializer>,
    opened: Instant,
}

impl Component for FileRollSink {
    type Config = FileRollConfig;
    fn build(config: FileRollConfig, cx: &Context) -> Result<Self, BuildError> {
        // What is wrong with the serializer shows now, not at the first file.
        config.serializer.create(cx)?;
        let series = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |now| now.as_millis());
        Ok(FileRollSink { config, cx: cx.clone(), current: None, series, files: 0, bytes: Vec::new() })
    }
}

#[async_trait]
impl Sink for FileRollSink {
    fn want(&self) -> Want {
        Want::events(self.config.batch_size)
    }

    async fn deliver(&mut self, batch: &[Event]) -> Result<Delivered, SinkError> {
        self.bytes.clear();
        let current = match &mut self.current {
            Some(current) => current,
            None => {
                let mut next = self.start_file()?;
                next.serializer.begin(&mut self.bytes);
                self.current.insert(next)
            }
        };
        batch.iter().for_each(|event| current.serializer.write(event, &mut self.bytes));
        current.file.write_all(&self.bytes).map_err(SinkError::at("write events"))?;
        Ok(Delivered::default())
    }

    /// Rolls on time even while no event arrives.
    async fn tick(&mut self) -> Result<(), SinkError> {
        let interval = Duration::from_secs(self.config.roll_interval);
        let due = |current: &Current| !interval.is_zero() && current.opened.elapsed() >= interval;
        if self.current.as_ref().is_some_and(due) { self.close().await } else { Ok(()) }
    }

    async fn close(&mut self) -> Result<(), SinkError> {
        let Some(mut current) = self.current.take() else { return Ok(()) };
        self.bytes.clear();
        current.serializer.end(&mut self.bytes);
        current.file.write_all(&self.bytes).map_err(SinkError::at("finish the file"))
    }
}

impl FileRollSink {
    fn start_file(&mut self) -> Result<Current, SinkError> {
        let serializer =
            self.config.serializer.create(&self.cx).map_err(SinkError::at("make a serializer"))?;
        let path = self.config.directory.join(format!("{}-{}", self.series, self.files + 1));
        let file = File::create(&path).map_err(SinkError::at(format!("create {}", path.display())))?;
        self.files += 1;
        Ok(Current { file, serializer, opened: Instant::now() })
    }
}

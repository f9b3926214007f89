//! `TAILDIR`: files that grow, through every kind of rotation.

mod config;
mod discovery;
mod fingerprint;
pub(crate) mod position;
mod tailed_file;
mod tailer;
mod walk;

use std::time::Duration;

use async_trait::async_trait;
use flume_core::{
    BackOff, BuildError, Component, Context, Event, Source, SourceContext, SourceError, Str,
    metrics::Counter,
};
use rustix::fs::inotify::WatchFlags;
use tokio::time::Instant;

use crate::{
    blocking::blocking,
    directory_watch::{DirectoryWatch, changed},
};
use config::TaildirConfig;
use position::PositionFile;
use tailer::{TailSettings, Tailer};

/// Pauses after refusals of the channel.
const FIRST_PUT_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PUT_PAUSE: Duration = Duration::from_secs(5);
/// How long files are read before the directories are looked at again.
const ROUND_TIME: Duration = Duration::from_secs(1);
/// Files that change all the time are not looked at more often than this.
const SHORTEST_PAUSE: Duration = Duration::from_millis(20);
/// With open files the pause is no longer than this: some may be idle long enough.
const LONGEST_OPEN_PAUSE: Duration = Duration::from_secs(1);

pub(crate) struct TaildirSource {
    config: TaildirConfig,
    cx: Context,
    batches_received: Counter,
    batches_accepted: Counter,
}

impl Component for TaildirSource {
    type Config = TaildirConfig;
    fn build(config: TaildirConfig, cx: &Context) -> Result<Self, BuildError> {
        config.groups()?;
        Ok(TaildirSource {
            config,
            cx: cx.clone(),
            batches_received: cx.metrics.counter("AppendBatchReceivedCount"),
            batches_accepted: cx.metrics.counter("AppendBatchAcceptedCount"),
        })
    }
}

#[async_trait]
impl Source for TaildirSource {
    fn batch_size(&self) -> usize {
        self.config.batch_size.get()
    }

    fn may_set(&self, header: &str) -> bool {
        let config = &self.config;
        let of_group = |key: &String| key.split_once('.').is_some_and(|(_, name)| name == header);
        (config.file_header && config.file_header_key == header)
            || (config.byte_offset_header && header == "byteoffset")
            || config.headers.0.keys().any(of_group)
    }

    async fn run(&mut self, cx: &SourceContext) -> Result<(), SourceError> {
        let mut tailer = self
            .tailer()
            .map_err(SourceError::at("read the configuration"))?;
        let loaded;
        (tailer, loaded) = blocking(move || {
            let loaded = tailer.load();
            (tailer, loaded)
        })
        .await;
        let path = self.config.positions();
        loaded.map_err(SourceError::at(format!(
            "read the positions in {}",
            path.display()
        )))?;
        let watches = watches(&tailer);
        let idle = (
            self.config.backoff_sleep_increment.0,
            self.config.max_backoff_sleep.0,
        );
        let mut pauses = BackOff::linear(idle.0, idle.1);
        let mut saved = Instant::now();
        cx.ready(None);
        loop {
            let found;
            (tailer, found) = blocking(move || {
                let found = tailer.discover();
                (tailer, found)
            })
            .await;
            if let Err(error) = found {
                blocking(move || tailer.save()).await;
                return Err(SourceError::new("list the directories", error));
            }
            let moved;
            (tailer, moved) = self.read(tailer, cx).await;
            let stops = cx.stop.is_requested();
            if stops || saved.elapsed() >= self.config.write_pos_interval.0 {
                saved = Instant::now();
                tailer = blocking(move || {
                    tailer.save();
                    tailer
                })
                .await;
            }
            if stops {
                return Ok(());
            }
            if moved {
                pauses.reset();
                continue;
            }
            let mut pause = pauses.next_pause().min(self.config.write_pos_interval.0);
            if tailer.has_open_files() {
                pause = pause.min(LONGEST_OPEN_PAUSE);
            }
            tokio::select! {
                () = cx.stop.sleep(pause) => {}
                () = changed(watches.as_ref()) => cx.stop.sleep(SHORTEST_PAUSE).await,
            }
        }
    }
}

impl TaildirSource {
    fn tailer(&self) -> Result<Tailer, BuildError> {
        let config = &self.config;
        let (groups, group_headers) = config.groups()?.into_iter().unzip();
        let file_header = config
            .file_header
            .then(|| Str::from(config.file_header_key.clone()));
        let settings = TailSettings {
            batch_size: config.batch_size.get(),
            max_batch_count: u64::try_from(config.max_batch_count)
                .ok()
                .filter(|most| *most > 0)
                .unwrap_or(u64::MAX),
            skip_to_end: config.skip_to_end,
            idle_timeout: config.idle_timeout.0,
            cache_directories: config.cache_pattern_matching,
            byte_offset_header: config.byte_offset_header,
            file_header,
            group_headers,
            multiline: config.multiline.clone(),
            multiline_timeout: config.multiline_timeout.0,
        };
        let positions = PositionFile::new(config.positions());
        Ok(Tailer::new(settings, groups, positions, &self.cx.metrics))
    }

    /// Puts what there is to read into the channels; whether there was anything. Ends after a while, when the files are
    /// at their ends, or when the agent stops.
    async fn read(&self, mut tailer: Tailer, cx: &SourceContext) -> (Tailer, bool) {
        let begin = Instant::now();
        let mut moved = false;
        while !cx.stop.is_requested() && begin.elapsed() < ROUND_TIME {
            let mut next = tailer.ready_batch();
            if next.is_none() {
                (tailer, next) = blocking(move || {
                    let batch = tailer.read_batch();
                    (tailer, batch)
                })
                .await;
            }
            let Some(batch) = next else { break };
            if !self.put(&batch.events, cx).await {
                break;
            }
            tailer.commit(&batch);
            moved = true;
        }
        (tailer, moved)
    }

    /// Whether the channels have the batch; not, when the agent stops before they take it.
    async fn put(&self, batch: &[Event], cx: &SourceContext) -> bool {
        let mut back_off = BackOff::doubling(FIRST_PUT_PAUSE, LONGEST_PUT_PAUSE);
        loop {
            self.batches_received.add(1);
            match cx.out.put(batch.to_vec()).await {
                Ok(()) => {
                    self.batches_accepted.add(1);
                    cx.state.running();
                    return true;
                }
                Err(_) if cx.stop.is_requested() => return false,
                Err(error) => cx.pause_after(&error, &mut back_off).await,
            }
        }
    }
}

/// A watch on all directories, if the kernel has one.
fn watches(tailer: &Tailer) -> Option<DirectoryWatch> {
    let what = WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVE | WatchFlags::DELETE;
    DirectoryWatch::new(tailer.directories(), what).ok()
}

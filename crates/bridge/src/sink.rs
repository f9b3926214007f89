//! Sinks that work in another process. What they have committed of a batch is committed here; the rest returns to the
//! head of the channel.

use std::{marker::PhantomData, time::Duration};

use async_trait::async_trait;
use flume_core::{
    BuildError, Cause, Component, Context, Delivered, Event, Kept, Rejected, Sink, SinkError, Want,
};

use crate::{
    connection::{HostError, Lane},
    frame::{FrameKind, HostFrame, MAX_FRAME_BYTES, event_bytes},
    worker::{STOP_TIMEOUT, Worker, WorkerConfig, WorkerKind},
};

/// Where Flume's own sinks and most others keep their batch size.
const BATCH_SIZE_KEYS: &[&str] = &[
    "batchSize",
    "batch-size",
    "sink.batchSize",
    "hdfs.batchSize",
    "flumeBatchSize",
];
/// Events in a batch of a sink that does not say.
const DEFAULT_BATCH_EVENTS: usize = 100;
const MAX_BATCH_BYTES: usize = 8 << 20;

/// A sink that works in another process.
pub(crate) struct ForeignSink<C> {
    worker: Worker,
    events: usize,
    lane: Option<Lane>,
    config: PhantomData<fn() -> C>,
}

impl<C: WorkerConfig> Component for ForeignSink<C> {
    type Config = C;
    fn build(config: C, cx: &Context) -> Result<Self, BuildError> {
        let worker = config.worker(WorkerKind::Sink, cx)?;
        let mut sizes = BATCH_SIZE_KEYS
            .iter()
            .filter_map(|key| worker.properties.get(*key));
        let size = sizes.find_map(|text| text.trim().parse().ok());
        Ok(ForeignSink {
            events: size.unwrap_or(DEFAULT_BATCH_EVENTS).max(1),
            worker,
            lane: None,
            config: PhantomData,
        })
    }
}

#[async_trait]
impl<C: WorkerConfig> Sink for ForeignSink<C> {
    fn want(&self) -> Want {
        Want {
            bytes: MAX_BATCH_BYTES,
            ..Want::events(self.events)
        }
    }

    async fn open(&mut self) -> Result<(), SinkError> {
        let opened = self.worker.open().await;
        let lane = opened.map_err(SinkError::at(format!("start {}", self.worker.title)))?;
        self.lane = Some(lane);
        Ok(())
    }

    async fn deliver(&mut self, batch: &[Event]) -> Result<Delivered, SinkError> {
        let is_fitting = |place: &usize| !is_too_large(&batch[*place]);
        let places: Vec<usize> = (0..batch.len()).filter(is_fitting).collect();
        if places.len() == batch.len() {
            let answer = self.ask(FrameKind::Events, batch).await;
            return self.outcome(answer, batch.len());
        }
        let fitting: Vec<Event> = places.iter().map(|place| batch[*place].clone()).collect();
        let mut delivered = Delivered::default();
        if !fitting.is_empty() {
            let answer = self.ask(FrameKind::Events, &fitting).await;
            delivered = self.outcome(answer, fitting.len())?;
        }
        if let Some(kept) = &mut delivered.kept {
            kept.from = places.get(kept.from).copied().unwrap_or(batch.len());
        }
        let rejected = (0..batch.len()).filter(|place| !is_fitting(place));
        delivered.rejected = rejected.map(too_large).collect();
        Ok(delivered)
    }

    async fn tick(&mut self) -> Result<(), SinkError> {
        let answer = self.ask(FrameKind::Tick, &[]).await;
        self.outcome(answer, 0).map(drop)
    }

    async fn close(&mut self) -> Result<(), SinkError> {
        let Some(lane) = self.lane.take() else {
            return Ok(());
        };
        let stopped = lane.stop(STOP_TIMEOUT).await;
        stopped.map_err(SinkError::at(format!("stop {}", self.worker.title)))
    }

    fn close_timeout(&self) -> Duration {
        STOP_TIMEOUT + Duration::from_secs(1)
    }
}

/// What a sink said of a batch.
struct SinkResult {
    committed: usize,
    pause: bool,
    error: Option<String>,
}

impl SinkResult {
    fn read(mut frame: HostFrame, events: usize) -> Result<SinkResult, HostError> {
        let committed = usize::try_from(frame.number()?).unwrap_or(0);
        let pause = frame.flag()?;
        let error = frame.text()?;
        Ok(SinkResult {
            committed: committed.min(events),
            pause,
            error: Some(error.to_string()).filter(|error| !error.is_empty()),
        })
    }
}

fn is_too_large(event: &Event) -> bool {
    event_bytes(event) > MAX_FRAME_BYTES / 2
}

/// An event that no frame holds goes to the dead letters.
fn too_large(index: usize) -> Rejected {
    Rejected {
        index,
        cause: Cause::Malformed,
        reason: "the event is too large to be handed to another process".into(),
    }
}

impl<C> ForeignSink<C> {
    async fn ask(&mut self, kind: FrameKind, batch: &[Event]) -> Result<HostFrame, HostError> {
        let mut lane = match self.lane.take() {
            Some(lane) => lane,
            None => self.worker.open().await?,
        };
        let mut request = lane.frame(kind);
        if kind == FrameKind::Events {
            request = request.events(batch);
        }
        let answer = lane.ask(request, FrameKind::Result).await;
        // If the process is gone, the component went with it, and the next step makes it anew.
        if matches!(answer, Ok(_) | Err(HostError::Component(_))) {
            self.lane = Some(lane);
        }
        answer
    }

    /// What an answer means for a batch of so many events.
    fn outcome(
        &self,
        answer: Result<HostFrame, HostError>,
        events: usize,
    ) -> Result<Delivered, SinkError> {
        let doing = format!("deliver by {}", self.worker.title);
        let result = answer.and_then(|frame| SinkResult::read(frame, events));
        let result = result.map_err(SinkError::at(doing.clone()))?;
        let failed = result.error.is_some();
        if result.committed == events && !failed {
            return Ok(Delivered {
                pause: result.pause && events > 0,
                ..Delivered::default()
            });
        }
        let error = result
            .error
            .unwrap_or_else(|| "it left a part of the batch".into());
        let why = SinkError::new(doing, error);
        if result.committed == 0 {
            return Err(why);
        }
        Ok(Delivered {
            kept: Some(Kept {
                from: result.committed,
                why,
            }),
            ..Delivered::default()
        })
    }
}

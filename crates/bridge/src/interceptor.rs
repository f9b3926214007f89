//! Interceptors that work in another process: a batch crosses once in each direction.

use std::{marker::PhantomData, time::Duration};

use flume_core::{BuildError, Component, Context, Event, InterceptError, Interceptor};
use parking_lot::Mutex;
use tokio::runtime::{Handle, RuntimeFlavor};

use crate::{
    connection::{BlockingLane, HostError},
    frame::{FrameKind, MAX_FRAME_BYTES, event_bytes},
    worker::{Worker, WorkerConfig, WorkerKind},
};

/// An interceptor that works in another process.
pub(crate) struct ForeignInterceptor<C> {
    worker: Worker,
    /// Interceptors of other people are made for one caller at a time.
    lane: Mutex<Option<BlockingLane>>,
    config: PhantomData<fn() -> C>,
}

impl<C: WorkerConfig> Component for ForeignInterceptor<C> {
    type Config = C;
    fn build(config: C, cx: &Context) -> Result<Self, BuildError> {
        Ok(ForeignInterceptor {
            worker: config.worker(WorkerKind::Interceptor, cx)?,
            lane: Mutex::new(None),
            config: PhantomData,
        })
    }
}

impl<C: WorkerConfig> Interceptor for ForeignInterceptor<C> {
    fn intercept(&self, batch: &mut Vec<Event>) -> Result<(), InterceptError> {
        if batch.is_empty() {
            return Ok(());
        }
        let kept = blocking(|| self.cross(batch));
        let kept =
            kept.map_err(|error| InterceptError(format!("{}: {error}", self.worker.title)))?;
        *batch = kept;
        Ok(())
    }
}

impl<C> ForeignInterceptor<C> {
    fn cross(&self, batch: &[Event]) -> Result<Vec<Event>, HostError> {
        let bytes: usize = batch.iter().map(event_bytes).sum();
        if bytes > MAX_FRAME_BYTES / 2 {
            return Err(HostError::Component(format!(
                "a batch of {bytes} bytes is too large for another process"
            )));
        }
        let mut held = self.lane.lock();
        let lane = match held.take() {
            Some(lane) => lane,
            None => self.worker.open_blocking(Duration::MAX)?,
        };
        let request = lane.frame(FrameKind::Events).events(batch);
        let answer = lane.ask(request, FrameKind::Intercepted);
        // If the process is gone, the interceptor went with it, and the next batch makes it anew.
        if matches!(answer, Ok(_) | Err(HostError::Component(_))) {
            *held = Some(lane);
        }
        Ok(answer?.intercepted(batch)?)
    }
}

/// Runs what blocks without keeping other tasks of the runtime from their thread.
pub(crate) fn blocking<T>(work: impl FnOnce() -> T) -> T {
    let flavor = Handle::try_current().map(|handle| handle.runtime_flavor());
    if flavor.is_ok_and(|flavor| flavor == RuntimeFlavor::MultiThread) {
        tokio::task::block_in_place(work)
    } else {
        work()
    }
}

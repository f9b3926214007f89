//! Sources that work in another process. Each of their puts is answered when the agent's channels have the events.

use std::marker::PhantomData;

use async_trait::async_trait;
use flume_core::{
    BuildError, Component, Context, Event, Source, SourceContext, SourceError, with_causes,
};
use tokio::{task::JoinSet, time::timeout};

use crate::{
    connection::{HostError, Lane, PutReplies},
    frame::{FrameKind, HostFrame},
    worker::{STOP_TIMEOUT, Worker, WorkerConfig, WorkerKind},
};

/// A source that works in another process.
pub(crate) struct ForeignSource<C> {
    worker: Worker,
    config: PhantomData<fn() -> C>,
}

impl<C: WorkerConfig> Component for ForeignSource<C> {
    type Config = C;
    fn build(config: C, cx: &Context) -> Result<Self, BuildError> {
        Ok(ForeignSource {
            worker: config.worker(WorkerKind::Source, cx)?,
            config: PhantomData,
        })
    }
}

#[async_trait]
impl<C: WorkerConfig> Source for ForeignSource<C> {
    async fn run(&mut self, cx: &SourceContext) -> Result<(), SourceError> {
        let title = &self.worker.title;
        let opened = self.worker.open().await;
        let lane = opened.map_err(SourceError::at(format!("start {title}")))?;
        let served = serve(lane, cx).await;
        served.map_err(SourceError::at(format!("run {title}")))
    }
}

/// Takes puts until a stop, and those that are under way then.
async fn serve(mut lane: Lane, cx: &SourceContext) -> Result<(), HostError> {
    let lane_out = lane.replies();
    let mut puts = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = cx.stop.requested() => break,
            Some(_) = puts.join_next() => {}
            frame = lane.receive() => take_put(frame?, cx, &lane_out, &mut puts)?,
        }
    }
    lane.send(lane.frame(FrameKind::Stop));
    let stopped = timeout(STOP_TIMEOUT, async {
        loop {
            let mut frame = lane.receive().await?;
            match frame.kind {
                FrameKind::Ok => return Ok(()),
                FrameKind::Failed => return Err(HostError::Component(frame.text()?.to_string())),
                _ => take_put(frame, cx, &lane_out, &mut puts)?,
            }
        }
    });
    let outcome = stopped.await.unwrap_or_else(|_| {
        Err(HostError::Component(format!(
            "it does not stop within {STOP_TIMEOUT:?}"
        )))
    });
    while puts.join_next().await.is_some() {}
    outcome
}

/// Starts a put. Several may wait for their channels at the same time: the component has several threads then.
fn take_put(
    mut frame: HostFrame,
    cx: &SourceContext,
    replies: &PutReplies,
    puts: &mut JoinSet<()>,
) -> Result<(), HostError> {
    match frame.kind {
        FrameKind::Put => {}
        FrameKind::Ok => {
            cx.ready(None);
            return Ok(());
        }
        FrameKind::Failed => return Err(HostError::Component(frame.text()?.to_string())),
        other => return Err(HostError::Protocol(format!("{other:?} from a source"))),
    }
    let id = frame.number()? as u32 as usize;
    let events: Vec<Event> = frame.events()?;
    let out = cx.out.clone();
    let replies = replies.clone();
    puts.spawn(async move {
        let error = out.put(events).await.err();
        replies(
            id,
            &error.map(|error| with_causes(&error)).unwrap_or_default(),
        );
    });
    Ok(())
}

//! Serializers that work in another process: a batch crosses once, and its bytes come back. The file stays the sink's.

use std::{collections::VecDeque, marker::PhantomData, mem};

use flume_core::{BuildError, Component, Context, Event, EventSerializer};

use crate::{
    connection::{BlockingLane, HostError},
    frame::{FrameKind, MAX_FRAME_BYTES, Serialized, event_bytes},
    interceptor::blocking,
    worker::{STOP_TIMEOUT, Worker, WorkerConfig, WorkerKind},
};

/// A crossing has about so many bytes: what comes back may be larger.
const MAX_CROSSING_BYTES: usize = 8 << 20;

/// The serializer of one file, in another process.
pub(crate) struct ForeignSerializer<C> {
    worker: Worker,
    host: FileHost,
    /// What came back and is not written yet.
    serialized: VecDeque<Serialized>,
    config: PhantomData<fn() -> C>,
}

/// The other side of a file.
enum FileHost {
    /// There is nothing to serialize yet.
    Unopened,
    Open(BlockingLane),
    /// It failed. Whatever it knew of the file is lost, so the file cannot go on.
    Lost,
}

impl<C: WorkerConfig> Component for ForeignSerializer<C> {
    type Config = C;
    fn build(config: C, cx: &Context) -> Result<Self, BuildError> {
        Ok(ForeignSerializer {
            worker: config.worker(WorkerKind::Serializer, cx)?,
            host: FileHost::Unopened,
            serialized: VecDeque::new(),
            config: PhantomData,
        })
    }
}

impl<C: WorkerConfig> EventSerializer for ForeignSerializer<C> {
    fn prepare(&mut self, events: &mut dyn Iterator<Item = &Event>) -> Result<(), String> {
        let mut crossing = vec![];
        let mut bytes = 0;
        for event in events {
            let size = event_bytes(event);
            let is_too_large = size > MAX_FRAME_BYTES / 2;
            if is_too_large || bytes + size > MAX_CROSSING_BYTES {
                self.cross(&mem::take(&mut crossing))?;
                bytes = 0;
            }
            if is_too_large {
                let text = "the event is too large to be handed to another process";
                self.serialized
                    .push_back(Serialized::Event(Err(text.into())));
                continue;
            }
            crossing.push(event.clone());
            bytes += size;
        }
        self.cross(&crossing)
    }

    fn write(&mut self, _: &Event, out: &mut Vec<u8>) -> Result<(), String> {
        let is_event = |part: &Serialized| matches!(part, Serialized::Event(_));
        let place = self.serialized.iter().position(is_event);
        let place = place.ok_or("nobody has announced the event")?;
        if let Some(Serialized::Event(Err(_))) = self.serialized.get(place)
            && let Some(Serialized::Event(Err(reason))) = self.serialized.remove(place)
        {
            return Err(reason.to_string());
        }
        for part in self.serialized.drain(..=place) {
            out.extend_from_slice(part.bytes());
        }
        Ok(())
    }

    fn flush(&mut self, out: &mut Vec<u8>) {
        for part in self.serialized.drain(..) {
            out.extend_from_slice(part.bytes());
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        let FileHost::Open(lane) = mem::replace(&mut self.host, FileHost::Lost) else {
            return;
        };
        let stop = lane.frame(FrameKind::Stop);
        let answer = blocking(|| lane.ask_within(stop, FrameKind::Serialized, STOP_TIMEOUT));
        match answer.and_then(|mut answer| Ok(answer.serialized(0)?)) {
            Ok(last) => last
                .iter()
                .for_each(|part| out.extend_from_slice(part.bytes())),
            Err(error) => {
                let Worker {
                    full_name, title, ..
                } = &self.worker;
                tracing::error!(
                    "{full_name}: a file ends without what {title} writes after its last event: {error}"
                );
            }
        }
    }
}

impl<C> ForeignSerializer<C> {
    fn cross(&mut self, batch: &[Event]) -> Result<(), String> {
        if batch.is_empty() {
            return Ok(());
        }
        let crossed = blocking(|| self.ask(batch));
        let failed = |error: HostError| format!("{}: {error}", self.worker.title);
        let serialized = crossed.map_err(failed)?;
        self.serialized.extend(serialized);
        Ok(())
    }

    fn ask(&mut self, batch: &[Event]) -> Result<Vec<Serialized>, HostError> {
        let lane = match mem::replace(&mut self.host, FileHost::Lost) {
            FileHost::Unopened => self.worker.open_blocking()?,
            FileHost::Open(lane) => lane,
            FileHost::Lost => {
                return Err(HostError::Gone("it failed before in this file".into()));
            }
        };
        let request = lane.frame(FrameKind::Events).events(batch);
        let serialized = lane
            .ask(request, FrameKind::Serialized)?
            .serialized(batch.len())?;
        self.host = FileHost::Open(lane);
        Ok(serialized)
    }
}

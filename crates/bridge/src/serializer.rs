//! Serializers that work in another process: a batch crosses once, and its bytes come back. The file stays the sink's.

use std::{collections::VecDeque, marker::PhantomData, mem, time::Duration};

use flume_core::{BuildError, Component, Context, Event, EventSerializer};

use crate::{
    connection::{BlockingLane, HostError},
    frame::{FrameKind, MAX_FRAME_BYTES, Serialized, event_bytes},
    interceptor::blocking,
    worker::{STOP_TIMEOUT, Worker, WorkerConfig, WorkerKind},
};

/// A crossing has about so many bytes: what comes back may be larger.
const MAX_CROSSING_BYTES: usize = 8 << 20;
/// How long it may take for an answer. A sink cannot write another file, or end, before it has this one.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// The serializer of one file, in another process.
pub(crate) struct ForeignSerializer<C> {
    worker: Worker,
    host: FileHost,
    /// What came back and is not written yet.
    serialized: VecDeque<Serialized>,
    answer_limit: Duration,
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
            answer_limit: ANSWER_LIMIT,
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
            FileHost::Unopened => self.worker.open_blocking(self.answer_limit)?,
            FileHost::Open(lane) => lane,
            FileHost::Lost => {
                return Err(HostError::Gone("it failed before in this file".into()));
            }
        };
        let request = lane.frame(FrameKind::Events).events(batch);
        let serialized = lane
            .ask_within(request, FrameKind::Serialized, self.answer_limit)?
            .serialized(batch.len())?;
        self.host = FileHost::Open(lane);
        Ok(serialized)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, thread};

    use flume_testkit::parts::{events, read};
    use rustix::process::{Pid, test_kill_process};

    use super::*;
    use crate::{REGISTRY, worker::ProcessConfig};

    /// A program that says hello in a version of the format, and then neither reads nor ends.
    fn silent(version: u8) -> (tempfile::TempDir, ForeignSerializer<ProcessConfig>) {
        let dir = tempfile::tempdir().unwrap();
        let script = dir.path().join("script");
        let hello = format!(r"\0\0\0\015\0\0\0\0\110\0\0\0\{version:03o}\0\0\0\0");
        let pid = dir.path().join("pid");
        let text = format!(
            "echo $$ > {}\nprintf '{hello}'\nexec sleep 1000\n",
            pid.display()
        );
        fs::write(&script, text).unwrap();
        let text = format!("command = /bin/sh {}", script.display());
        let (config, wrong) = read::<ProcessConfig>(&REGISTRY, "a1.sinks.k1.serializer", &text);
        assert_eq!(wrong, [""; 0]);
        let cx = Context::new(&format!("a1.sinks.k{version}.serializer"), &[]);
        let serializer = ForeignSerializer::build(config.unwrap(), &cx).unwrap();
        (dir, serializer)
    }

    fn check_that_it_ends(dir: &tempfile::TempDir) {
        let pid = fs::read_to_string(dir.path().join("pid")).unwrap();
        let pid = Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
        for _ in 0..3000 {
            if test_kill_process(pid).is_err() {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        panic!("it still runs");
    }

    #[test]
    fn one_that_does_not_answer_loses_its_file_and_is_killed() {
        let (dir, mut serializer) = silent(1);
        serializer.answer_limit = Duration::from_millis(100);
        let error = serializer.prepare(&mut events("a").iter()).unwrap_err();
        assert!(error.contains("no answer within 100ms"), "{error}");
        assert!(serializer.prepare(&mut events("a").iter()).is_err());
        check_that_it_ends(&dir);
    }

    #[test]
    fn one_of_another_version_is_killed() {
        let (dir, mut serializer) = silent(9);
        let error = serializer.prepare(&mut events("a").iter()).unwrap_err();
        assert!(error.contains("version 9"), "{error}");
        check_that_it_ends(&dir);
    }
}

//! A child process that runs components. A thread reads its frames and hands them to lanes, a thread writes ours, and a
//! thread turns its standard error into log lines. When the child ends, every lane ends with the reason.

use std::{
    collections::HashMap,
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::process::ExitStatusExt,
    process::{Child, ExitStatus},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
        mpsc as blocking,
    },
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use flume_core::StateHandle;
use parking_lot::Mutex;
use tokio::{sync::mpsc, time::timeout};

use crate::{
    frame::{FrameBuilder, FrameError, FrameKind, HostFrame, VERSION},
    host_process::{HostProcess, Place},
};

/// How long a host may take from its start to its first frame.
const HELLO_TIMEOUT: Duration = Duration::from_secs(60);
/// A component that has not answered for so long is shown as one that does not answer.
const LATE_ANSWER: Duration = Duration::from_secs(10);
/// Longest line of standard error that is logged whole.
const MAX_LOG_LINE_BYTES: u64 = 64 << 10;

/// Why a component in another process did not do what it was asked for.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum HostError {
    /// The process is gone, or never came.
    #[error("{0}")]
    Gone(String),
    /// The component itself failed.
    #[error("{0}")]
    Component(String),
    /// The process sent what is no answer.
    #[error("the process sent {0}")]
    Protocol(String),
}

impl From<FrameError> for HostError {
    fn from(error: FrameError) -> Self {
        HostError::Protocol(error.to_string())
    }
}

/// A running host. When nobody has it any more, it is ended.
pub(crate) struct HostConnection {
    /// What messages call it: `the JVM`.
    name: String,
    process: Arc<HostProcess>,
    lanes: Arc<Mutex<Lanes>>,
    next_lane: AtomicU32,
}

#[derive(Default)]
struct Lanes {
    open: HashMap<u32, LaneSender>,
    /// How the host ended.
    end: Option<String>,
}

type LaneSender = Box<dyn Fn(HostFrame) + Send>;

/// Whose lane it is: who is shown to wait while an answer is late.
#[derive(Clone)]
pub(crate) struct LaneOwner {
    pub(crate) state: StateHandle,
    pub(crate) title: String,
}

impl LaneOwner {
    fn say_late(&self) {
        let title = &self.title;
        self.state.waiting(&format!("{title} does not answer"));
    }
}

/// Answers a put of a source by its number; the text says why it failed and is empty if it did not.
pub(crate) type PutReplies = Arc<dyn Fn(usize, &str) + Send + Sync>;

impl HostConnection {
    /// Takes over a child whose standard input and output carry frames. Blocks until it says hello.
    ///
    /// # Errors
    /// It ends before, says nothing for a minute, or speaks another version. Then it is ended.
    pub(crate) fn start(
        name: &str,
        mut child: Child,
        place: Option<Place>,
    ) -> Result<Arc<HostConnection>, HostError> {
        let stdin = child.stdin.take();
        let stdout = child.stdout.take();
        let stderr = child.stderr.take();
        let (process, frames) = HostProcess::new(child, place);
        let connection = Arc::new(HostConnection {
            name: name.into(),
            process,
            lanes: Arc::default(),
            next_lane: AtomicU32::new(1),
        });
        let (heard, hello) = blocking::channel();
        connection.open_lane(0, Box::new(move |frame| drop(heard.send(frame))));
        if let Some(stdin) = stdin {
            spawn("host-write", move || write_frames(stdin, &frames))?;
        }
        if let Some(stderr) = stderr {
            let name = name.to_string();
            spawn("host-log", move || log_lines(&name, stderr))?;
        }
        // Not the connection itself: when nobody else has it, the host is ended.
        let reader = FrameReader {
            name: name.into(),
            process: connection.process.clone(),
            lanes: connection.lanes.clone(),
        };
        spawn("host-read", move || {
            let cause = stdout.map_or(Ok(()), |stdout| reader.read_frames(stdout));
            reader.ended(cause);
        })?;
        let hello = hello.recv_timeout(HELLO_TIMEOUT);
        connection.greet(hello.ok())?;
        Ok(connection)
    }

    fn greet(&self, hello: Option<HostFrame>) -> Result<(), HostError> {
        let Some(mut hello) = hello else {
            let end = self.lanes.lock().end.clone();
            let silent = || format!("{} says nothing for {HELLO_TIMEOUT:?}", self.name);
            return Err(HostError::Gone(end.unwrap_or_else(silent)));
        };
        let version = hello.number()?;
        if hello.kind != FrameKind::Hello || version != VERSION {
            return Err(HostError::Protocol(format!(
                "version {version} of the protocol, not {VERSION}"
            )));
        }
        let runtime = hello.text().unwrap_or_default();
        tracing::info!("{} runs: {runtime}", self.name);
        Ok(())
    }

    /// Whether the process still runs.
    pub(crate) fn is_alive(&self) -> bool {
        self.lanes.lock().end.is_none()
    }

    /// How the process ended, if it has.
    pub(crate) fn end(&self) -> HostError {
        let end = self.lanes.lock().end.clone();
        HostError::Gone(end.unwrap_or_else(|| format!("{} does not answer", self.name)))
    }

    /// A lane for a component whose calls are asynchronous.
    pub(crate) fn lane(self: &Arc<Self>, owner: LaneOwner) -> Lane {
        let id = self.next_lane.fetch_add(1, Relaxed);
        let (sender, frames) = mpsc::unbounded_channel();
        self.open_lane(id, Box::new(move |frame| drop(sender.send(frame))));
        Lane {
            id,
            owner,
            host: self.clone(),
            frames,
        }
    }

    /// A lane for a component whose calls block a thread.
    pub(crate) fn blocking_lane(self: &Arc<Self>, owner: LaneOwner) -> BlockingLane {
        let id = self.next_lane.fetch_add(1, Relaxed);
        let (sender, frames) = blocking::channel();
        self.open_lane(id, Box::new(move |frame| drop(sender.send(frame))));
        BlockingLane {
            id,
            owner: Some(owner),
            host: self.clone(),
            frames,
        }
    }

    /// The host's own lane, after its hello.
    pub(crate) fn control_lane(self: &Arc<Self>) -> BlockingLane {
        let (sender, frames) = blocking::channel();
        self.open_lane(0, Box::new(move |frame| drop(sender.send(frame))));
        BlockingLane {
            id: 0,
            owner: None,
            host: self.clone(),
            frames,
        }
    }

    fn open_lane(&self, id: u32, sender: LaneSender) {
        let mut lanes = self.lanes.lock();
        // A lane of a host that has ended is closed from the start: its sender is dropped here.
        if lanes.end.is_none() {
            lanes.open.insert(id, sender);
        }
    }

    fn send(&self, frame: FrameBuilder) {
        self.process.send(frame.finish());
    }
}

impl Drop for HostConnection {
    fn drop(&mut self) {
        self.process.end_in_background();
    }
}

/// The thread that reads what a host says.
struct FrameReader {
    name: String,
    process: Arc<HostProcess>,
    lanes: Arc<Mutex<Lanes>>,
}

impl FrameReader {
    fn read_frames(&self, stdout: impl Read) -> Result<(), HostError> {
        let mut stdout = BufReader::with_capacity(64 << 10, stdout);
        let failed = |error: io::Error| HostError::Protocol(format!("nothing more: {error}"));
        loop {
            let mut field = [0; 4];
            match stdout.read_exact(&mut field) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                read => read.map_err(failed)?,
            }
            let length = HostFrame::length(field)?;
            let mut bytes = Vec::new();
            let mut rest = (&mut stdout).take(length as u64);
            rest.read_to_end(&mut bytes).map_err(failed)?;
            if bytes.len() < length {
                return Ok(());
            }
            let frame = HostFrame::decode(Bytes::from(bytes))?;
            if let Some(sender) = self.lanes.lock().open.get(&frame.lane) {
                sender(frame);
            }
        }
    }

    /// The host has closed its output, or speaks another language: it is ended, and every lane with it.
    fn ended(&self, cause: Result<(), HostError>) {
        // A host that closes its output ends by itself; a JVM takes a few seconds for the hooks of its components.
        let status = match &cause {
            Ok(()) => self.process.end(),
            Err(_) => self.process.kill(),
        };
        let how = match (cause, status) {
            (Err(error), _) => format!("{} was ended: {error}", self.name),
            (Ok(()), Ok(status)) => format!("{} ended with {}", self.name, how_it_ended(status)),
            (Ok(()), Err(error)) => format!("{} is lost: {error}", self.name),
        };
        if self.process.is_asked_to_end() {
            tracing::debug!("{how}");
        } else {
            tracing::warn!("{how}");
        }
        let mut lanes = self.lanes.lock();
        lanes.end = Some(how);
        lanes.open.clear();
    }
}

fn how_it_ended(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (_, Some(9)) => "signal 9 (killed; out of memory?)".into(),
        (Some(3), _) => "exit code 3 (out of memory in the JVM?)".into(),
        _ => status.to_string(),
    }
}

/// The frames of one component.
pub(crate) struct Lane {
    id: u32,
    owner: LaneOwner,
    host: Arc<HostConnection>,
    frames: mpsc::UnboundedReceiver<HostFrame>,
}

impl Lane {
    /// A frame for this lane.
    pub(crate) fn frame(&self, kind: FrameKind) -> FrameBuilder {
        FrameBuilder::new(self.id, kind)
    }

    /// Sends without waiting for an answer.
    pub(crate) fn send(&self, frame: FrameBuilder) {
        self.host.send(frame);
    }

    /// Answers puts of a source from any task: the put's number, and why it failed, if it did.
    pub(crate) fn replies(&self) -> PutReplies {
        let host = self.host.clone();
        let id = self.id;
        Arc::new(move |put, error| {
            host.send(
                FrameBuilder::new(id, FrameKind::Done)
                    .number(put)
                    .text(error),
            );
        })
    }

    /// Asks the component to end and waits for it.
    pub(crate) async fn stop(mut self, limit: Duration) -> Result<(), HostError> {
        let request = self.frame(FrameKind::Stop);
        let answer = tokio::time::timeout(limit, self.ask(request, FrameKind::Ok)).await;
        let late = |_| Err(HostError::Component(format!("no answer within {limit:?}")));
        answer.unwrap_or_else(late).map(drop)
    }

    /// The next frame from the component.
    pub(crate) async fn receive(&mut self) -> Result<HostFrame, HostError> {
        let frame = self.frames.recv().await;
        frame.ok_or_else(|| self.host.end())
    }

    /// Sends a request and waits for its answer.
    pub(crate) async fn ask(
        &mut self,
        request: FrameBuilder,
        expected: FrameKind,
    ) -> Result<HostFrame, HostError> {
        self.send(request);
        let mut is_late = false;
        let frame = loop {
            if let Ok(frame) = timeout(LATE_ANSWER, self.receive()).await {
                break frame?;
            }
            is_late = true;
            self.owner.say_late();
        };
        if is_late {
            self.owner.state.running();
        }
        answer(frame, expected)
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        close(&self.host, self.id);
    }
}

/// The same for a component whose caller waits.
pub(crate) struct BlockingLane {
    id: u32,
    owner: Option<LaneOwner>,
    host: Arc<HostConnection>,
    frames: blocking::Receiver<HostFrame>,
}

impl BlockingLane {
    /// A frame for this lane.
    pub(crate) fn frame(&self, kind: FrameKind) -> FrameBuilder {
        FrameBuilder::new(self.id, kind)
    }

    /// Sends a request and waits for its answer.
    pub(crate) fn ask(
        &self,
        request: FrameBuilder,
        expected: FrameKind,
    ) -> Result<HostFrame, HostError> {
        self.ask_within(request, expected, Duration::MAX)
    }

    /// The same, but not for ever.
    pub(crate) fn ask_within(
        &self,
        request: FrameBuilder,
        expected: FrameKind,
        limit: Duration,
    ) -> Result<HostFrame, HostError> {
        self.host.send(request);
        let begin = Instant::now();
        let mut late = None;
        let frame = loop {
            let left = limit.saturating_sub(begin.elapsed());
            match self.frames.recv_timeout(left.min(LATE_ANSWER)) {
                Ok(frame) => break frame,
                Err(blocking::RecvTimeoutError::Disconnected) => return Err(self.host.end()),
                Err(blocking::RecvTimeoutError::Timeout) if begin.elapsed() >= limit => {
                    return Err(HostError::Component(format!("no answer within {limit:?}")));
                }
                Err(blocking::RecvTimeoutError::Timeout) => late = self.owner.as_ref(),
            }
            late.inspect(|owner| owner.say_late());
        };
        late.inspect(|owner| owner.state.running());
        answer(frame, expected)
    }
}

impl Drop for BlockingLane {
    fn drop(&mut self) {
        close(&self.host, self.id);
    }
}

fn close(host: &HostConnection, lane: u32) {
    host.lanes.lock().open.remove(&lane);
    // A component that was stopped before ignores it: its lane is gone there, too. The host's own lane has no end.
    if lane != 0 {
        host.send(FrameBuilder::new(lane, FrameKind::Stop));
    }
}

/// An answer of the expected kind, or the component's failure.
pub(crate) fn answer(mut frame: HostFrame, expected: FrameKind) -> Result<HostFrame, HostError> {
    if frame.kind == FrameKind::Failed {
        return Err(HostError::Component(frame.text()?.to_string()));
    }
    if frame.kind != expected {
        return Err(HostError::Protocol(format!(
            "{:?} where {expected:?} was due",
            frame.kind
        )));
    }
    Ok(frame)
}

fn write_frames(mut stdin: impl Write, frames: &blocking::Receiver<Option<Vec<u8>>>) {
    while let Ok(Some(frame)) = frames.recv() {
        if stdin.write_all(&frame).is_err() {
            return;
        }
    }
}

/// What a component prints becomes lines of the log. A JVM with log4j says level and logger as well.
fn log_lines(name: &str, stderr: impl Read) {
    let mut stderr = BufReader::new(stderr);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = (&mut stderr)
            .take(MAX_LOG_LINE_BYTES)
            .read_until(b'\n', &mut line);
        if !read.is_ok_and(|bytes| bytes > 0) {
            return;
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end();
        match text.split_once('|') {
            Some(("FATAL" | "ERROR", rest)) => tracing::error!("{name}: {rest}"),
            Some(("WARN", rest)) => tracing::warn!("{name}: {rest}"),
            Some(("DEBUG" | "TRACE", rest)) => tracing::debug!("{name}: {rest}"),
            Some(("INFO", rest)) => tracing::info!("{name}: {rest}"),
            _ => tracing::info!("{name}: {text}"),
        }
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), HostError> {
    let spawned = thread::Builder::new().name(name.into()).spawn(work);
    let failed = |error| HostError::Gone(format!("failed to start the thread {name}: {error}"));
    spawned.map(drop).map_err(failed)
}

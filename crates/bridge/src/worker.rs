//! What components in other processes have in common: who runs them, as what, and how they begin and end.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroUsize,
    sync::Arc,
    time::Duration,
};

use flume_core::{
    BuildError, Config, Context, StateHandle, Str,
    config::{FreeText, Prefix},
    foreign::ForeignConfig,
    metrics::Metrics,
    secrets::is_secret_variable,
};
use flume_host::{child, environment::Environment};
use parking_lot::Mutex;

use crate::{
    connection::{BlockingLane, HostConnection, HostError, Lane, LaneOwner},
    counters,
    frame::{FrameBuilder, FrameKind, HostFrame},
    host_process::{MAX_PROCESSES, Place},
    jvm, launch, trial,
};

/// How long a component may take to stop.
pub(crate) const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// A program that speaks the frames of `docs/format/component-host.md` on its standard input and output.
#[derive(Clone, Config)]
pub(crate) struct ProcessConfig {
    /// The program with its arguments, separated by blanks. It is run without a shell.
    #[prop("command")]
    command: FreeText,
    /// Most events in a batch for a sink.
    #[prop("batchSize", default = 100)]
    batch_size: NonZeroUsize,
    /// Properties for the program itself: it gets them without this prefix.
    #[prop("config")]
    config: Prefix<FreeText>,
}

/// What a component is, in the numbers of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum WorkerKind {
    Source = 1,
    Sink = 2,
    Interceptor = 3,
    Serializer = 4,
}

/// Properties of which the log has said that nobody reads them.
static WARNED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// A component in another process, before it is made there.
#[derive(Clone)]
pub(crate) struct Worker {
    /// For messages: its class or command.
    pub(crate) title: String,
    /// What it is configured by.
    pub(crate) properties: BTreeMap<String, String>,
    kind: WorkerKind,
    /// Its short name, as its own log lines call it.
    name: String,
    /// With its agent and kind: `a1.sinks.k1`.
    pub(crate) full_name: String,
    runs_in: RunsIn,
    metrics: Metrics,
    state: StateHandle,
}

#[derive(Clone)]
enum RunsIn {
    /// The agent's JVM, as this class.
    Jvm(String),
    /// A process of its own: a program and its arguments.
    Process(Vec<String>),
}

/// A configuration from which a worker is made.
pub(crate) trait WorkerConfig: Config + Clone + Send + Sync + 'static {
    fn worker(self, kind: WorkerKind, cx: &Context) -> Result<Worker, BuildError>;
}

impl WorkerConfig for ForeignConfig {
    fn worker(self, kind: WorkerKind, cx: &Context) -> Result<Worker, BuildError> {
        let class = launch::class_name(&self.class).to_string();
        let worker = Worker {
            title: class.clone(),
            properties: self.properties,
            kind,
            name: short_name(cx),
            full_name: cx.name.to_string(),
            runs_in: RunsIn::Jvm(class),
            metrics: cx.metrics.clone(),
            state: cx.state.clone(),
        };
        trial::record(&worker);
        Ok(worker)
    }
}

impl WorkerConfig for ProcessConfig {
    fn worker(self, kind: WorkerKind, cx: &Context) -> Result<Worker, BuildError> {
        let words: Vec<String> = self.command.split_whitespace().map(String::from).collect();
        let Some(program) = words.first() else {
            return Err(BuildError::at("command", "must not be empty"));
        };
        let own = self.config.0.iter();
        let mut properties: BTreeMap<_, _> = own
            .map(|(key, value)| (key.to_string(), value.0.clone()))
            .collect();
        properties.insert("batchSize".into(), self.batch_size.to_string());
        Ok(Worker {
            title: program.clone(),
            properties,
            kind,
            name: short_name(cx),
            full_name: cx.name.to_string(),
            runs_in: RunsIn::Process(words),
            metrics: cx.metrics.clone(),
            state: cx.state.clone(),
        })
    }
}

fn short_name(cx: &Context) -> String {
    cx.name.rsplit('.').next().unwrap_or_default().to_string()
}

impl Worker {
    /// Makes the component and starts it. A source answers OK later, when it has started.
    ///
    /// # Errors
    /// There is no process, or the component fails.
    pub(crate) async fn open(&self) -> Result<Lane, HostError> {
        let worker = self.clone();
        let connected = tokio::task::spawn_blocking(move || worker.connect()).await;
        let connection = connected.map_err(|error| HostError::Gone(error.to_string()))??;
        let mut lane = connection.lane(self.lane_owner());
        let request = self.opening(lane.frame(FrameKind::Open));
        let opened = lane.ask(request, FrameKind::Opened).await?;
        self.look_for_typos(opened);
        self.show_counters();
        let start = lane.frame(FrameKind::Start);
        if self.kind == WorkerKind::Source {
            // Its first events may come before it says that it has started.
            lane.send(start);
        } else {
            lane.ask(start, FrameKind::Ok).await?;
        }
        Ok(lane)
    }

    /// The same for a caller that waits, for each answer so long.
    ///
    /// # Errors
    /// As [`Worker::open`], or an answer is late.
    pub(crate) fn open_blocking(&self, limit: Duration) -> Result<BlockingLane, HostError> {
        let lane = self.connect()?.blocking_lane(self.lane_owner());
        let request = self.opening(lane.frame(FrameKind::Open));
        let opened = lane.ask_within(request, FrameKind::Opened, limit)?;
        self.look_for_typos(opened);
        lane.ask_within(lane.frame(FrameKind::Start), FrameKind::Ok, limit)?;
        Ok(lane)
    }

    /// Who waits for its answers.
    pub(crate) fn lane_owner(&self) -> LaneOwner {
        LaneOwner {
            state: self.state.clone(),
            title: self.title.clone(),
        }
    }

    fn opening(&self, frame: FrameBuilder) -> FrameBuilder {
        let class = match &self.runs_in {
            RunsIn::Jvm(class) => class,
            RunsIn::Process(_) => "",
        };
        let pairs = self.properties.iter();
        let pairs = pairs.map(|(key, value)| (key.as_str(), value.as_str()));
        frame
            .byte(self.kind as u8)
            .text(&self.name)
            .text(class)
            .pairs(self.properties.len(), pairs)
    }

    /// Flume's classes name their beans so.
    fn show_counters(&self) {
        let RunsIn::Jvm(_) = self.runs_in else {
            return;
        };
        match self.kind {
            WorkerKind::Source => counters::show(format!("SOURCE.{}", self.name), &self.metrics),
            WorkerKind::Sink => counters::show(format!("SINK.{}", self.name), &self.metrics),
            WorkerKind::Interceptor | WorkerKind::Serializer => {}
        }
    }

    /// Names properties that the component never asked for if it asked for one that is spelt alike.
    fn look_for_typos(&self, mut opened: HostFrame) {
        // Older programs end their answer before the list.
        let (Ok(_), Ok(asked)) = (opened.number(), opened.texts()) else {
            return;
        };
        // A serializer is opened for each file; once is enough to say it.
        let mut warned = WARNED.lock();
        for unread in trial::unread(self.properties.keys(), &asked) {
            let full_key = format!("{}.{}", self.full_name, unread.key);
            if let Some(near) = unread.near
                && warned.insert(full_key.clone())
            {
                tracing::warn!("{full_key}: {} never reads it; {near}", self.title);
            }
        }
    }

    /// Makes the component and says which keys it asked for, without starting it.
    ///
    /// # Errors
    /// As [`Worker::open`].
    pub(crate) fn configure(
        &self,
        lane: &BlockingLane,
        limit: Duration,
    ) -> Result<Vec<Str>, HostError> {
        let request = self.opening(lane.frame(FrameKind::Open));
        let mut opened = lane.ask_within(request, FrameKind::Opened, limit)?;
        opened.number()?;
        Ok(opened.texts()?)
    }

    pub(crate) fn connect(&self) -> Result<Arc<HostConnection>, HostError> {
        match &self.runs_in {
            RunsIn::Jvm(_) => jvm::connect(),
            RunsIn::Process(words) => start_process(words, &self.full_name),
        }
    }
}

/// A program of its own for one component: it ends when the component's lane does.
fn start_process(words: &[String], owner: &str) -> Result<Arc<HostConnection>, HostError> {
    let (program, arguments) = words
        .split_first()
        .ok_or_else(|| HostError::Gone("there is no command".into()))?;
    let full = || {
        HostError::Gone(format!(
            "{owner} has {MAX_PROCESSES} processes, and no more are started: \
             let it keep fewer files open, for example with hdfs.maxOpenFiles"
        ))
    };
    let place = Place::take(owner).ok_or_else(full)?;
    let child = child::spawn_piped(
        program,
        arguments,
        &Environment::without(is_secret_variable),
    )
    .map_err(|error| HostError::Gone(format!("failed to start {program}: {error}")))?;
    HostConnection::start(program, child, Some(place))
}

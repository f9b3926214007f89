//! A running source: a task that runs it, and runs it again after it failed or panicked.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use flume_conf::{SourcePlan, Wires};
use flume_core::{
    AgentInfo, BackOff, BuildError, ChannelHandle, Context, Outlet, Phase, Source, SourceContext,
    SourceError, State, Stop, Switch, Wiring,
    component::{Constructor, Panicked},
};
use flume_monitor::{ComponentEntry, EntryDetails};
use tokio::{task::JoinHandle, time::Instant};

use crate::channels::{Opened, owned};

/// Bytes that a source may be receiving at any moment, over all its connections.
const BUDGET_BYTES: usize = 64 << 20;
/// The pauses of a source that fails.
const RETRY: BackOff = BackOff::linear(Duration::from_secs(1), Duration::from_secs(5));

/// A source of the running agent.
pub(crate) struct RunningSource {
    /// Its settings, to compare with.
    pub(crate) values: BTreeMap<String, String>,
    /// The settings of what leads from it to its channels.
    pub(crate) frame_values: BTreeMap<String, String>,
    pub(crate) entry: Arc<ComponentEntry>,
    cx: Context,
    outlet: Outlet,
    switch: Switch,
    task: JoinHandle<()>,
}

impl RunningSource {
    pub(crate) fn start(
        mut plan: SourcePlan,
        channels: Vec<(ChannelHandle, Opened)>,
        agent: &Arc<AgentInfo>,
    ) -> Result<Self, BuildError> {
        let (cx, source) = plan.recipe.take(plan.context(agent))?;
        let wires = match plan.wires.take() {
            Some(wires) => wires,
            None => plan.frame.wire(&cx)?,
        };
        let (handles, opened): (Vec<_>, Vec<_>) = channels.into_iter().unzip();
        let outlet = Outlet::new(wiring(wires, handles), &cx);
        let (switch, stop) = Stop::new();
        let source_cx = SourceContext::new(outlet.clone(), stop, cx.state.clone(), BUDGET_BYTES);
        let type_name = plan.section.type_name();
        let entry = ComponentEntry::new(&cx, type_name, EntryDetails::Source(source_cx.clone()));
        let build = plan.recipe.constructor();
        let task = tokio::spawn(supervise(source, build, cx.clone(), source_cx, opened));
        Ok(RunningSource {
            values: values(&plan),
            frame_values: frame_values(&plan),
            entry,
            cx,
            outlet,
            switch,
            task,
        })
    }

    /// Leads the next batches another way, without closing a listener; waits for those under way, at most `grace`. The
    /// interceptors count where those before them did, so the ones that were tried out do not serve.
    pub(crate) async fn rewire(
        &mut self,
        plan: &SourcePlan,
        handles: Vec<ChannelHandle>,
        grace: Duration,
    ) -> Result<(), BuildError> {
        let cx = Context {
            peers: plan.context(&self.cx.agent).peers,
            ..self.cx.clone()
        };
        let wiring = wiring(plan.frame.wire(&cx)?, handles);
        let _ = tokio::time::timeout(grace, self.outlet.rewire(wiring)).await;
        self.frame_values = frame_values(plan);
        Ok(())
    }

    pub(crate) fn request_stop(&self) {
        self.switch.turn(Phase::Halt);
    }

    /// Waits for its end until `end`; then it is dropped where it stands.
    pub(crate) async fn stopped(mut self, end: Instant) {
        if tokio::time::timeout_at(end, &mut self.task).await.is_err() {
            tracing::warn!("{} did not stop in time and is dropped", self.cx.name);
            self.task.abort();
        }
        self.cx.state.stopped();
    }
}

/// A source's own settings.
pub(crate) fn values(plan: &SourcePlan) -> BTreeMap<String, String> {
    owned(plan.section.values())
}

/// The settings of a source's frame, with the channels that it really has.
pub(crate) fn frame_values(plan: &SourcePlan) -> BTreeMap<String, String> {
    let mut values = owned(plan.frame_section.values());
    values.insert(
        "channels".into(),
        plan.frame.channels.texts().collect::<Vec<_>>().join(" "),
    );
    values
}

fn wiring(wires: Wires, channels: Vec<ChannelHandle>) -> Wiring {
    Wiring {
        interceptors: wires.interceptors,
        selector: wires.selector,
        channels,
    }
}

/// Runs the source until its stop is requested, each time in a task of its own, so that a panic stays there.
async fn supervise(
    source: Box<dyn Source>,
    build: Constructor<dyn Source>,
    cx: Context,
    source_cx: SourceContext,
    mut opened: Vec<Opened>,
) {
    for channel in &mut opened {
        tokio::select! {
            () = channel.wait(std::iter::once(&cx.state)) => {}
            () = source_cx.stop.requested() => return,
        }
    }
    let mut source = Some(source);
    let mut back_off = RETRY;
    loop {
        let next = match source.take() {
            Some(source) => Ok(source),
            None => build(&cx),
        };
        let (outcome, instance) = match next {
            Err(error) => (Err(SourceError::new("be built", error)), None),
            Ok(instance) => run_once(instance, source_cx.clone()).await,
        };
        source = instance;
        let Err(error) = outcome else {
            // It has done all it had to do, or it says how it ended: exec without restart, a stress test with an end.
            if !matches!(cx.state.get().0, State::Ended { .. }) {
                cx.state.stopped();
            }
            return source_cx.stop.requested().await;
        };
        if source_cx.stop.is_requested() {
            return cx.state.failing(&error, Duration::ZERO);
        }
        if cx.state.get().0 == State::Running {
            back_off.reset();
        }
        source_cx.pause_after(&error, &mut back_off).await;
        if source_cx.stop.is_requested() {
            return;
        }
    }
}

/// The source comes back with its outcome, unless it panicked.
async fn run_once(
    mut source: Box<dyn Source>,
    cx: SourceContext,
) -> (Result<(), SourceError>, Option<Box<dyn Source>>) {
    let task = tokio::spawn(async move {
        let outcome = source.run(&cx).await;
        (outcome, source)
    });
    let task = AbortOnDrop(task);
    let mut task = std::pin::pin!(task);
    match (&mut task.0).await {
        Ok((outcome, source)) => (outcome, Some(source)),
        Err(error) if error.is_panic() => (
            Err(SourceError::new("run", Panicked::new(&*error.into_panic()))),
            None,
        ),
        Err(error) => (Err(SourceError::new("run", error)), None),
    }
}

/// Ends the inner task with the outer one.
struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

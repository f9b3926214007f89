//! A running sink group: a thread of its own, so that a sink may block.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use flume_conf::GroupPlan;
use flume_core::{
    AgentInfo, BuildError, ChannelHandle, Context, Phase, RunnerConfig, Sink, SinkProcessor,
    SinkRunner, Stop, Switch,
    component::{Constructor, Panicked, short_name},
    run_sinks,
};
use flume_monitor::{ComponentEntry, EntryDetails};
use tokio::{
    runtime::Handle,
    sync::oneshot,
    time::{Instant, timeout_at},
};

use crate::channels::{Opened, owned};

/// The pause before a group that panicked is built again.
const REBUILD_PAUSE: Duration = Duration::from_secs(5);

/// No sink is waited for any longer while it closes, whatever it says.
const MAX_CLOSE: Duration = Duration::from_secs(600);

/// The settings of a group and of each of its sinks.
pub(crate) type GroupValues = Vec<(String, BTreeMap<String, String>)>;

/// A sink group of the running agent; a sink without a group is one.
pub(crate) struct RunningGroup {
    /// Its settings, to compare with.
    pub(crate) values: GroupValues,
    /// Short names of the channels it takes from.
    pub(crate) drains: Vec<String>,
    pub(crate) entries: Vec<Arc<ComponentEntry>>,
    switch: Switch,
    done: oneshot::Receiver<()>,
}

/// What it takes to build a group, also for a second time.
struct Blueprint {
    processor: Constructor<dyn SinkProcessor>,
    cx: Context,
    sinks: Vec<SinkBlueprint>,
    stop: Stop,
}

/// A group that is ready to run.
type BuiltGroup = (Box<dyn SinkProcessor>, Vec<SinkRunner>);

struct SinkBlueprint {
    build: Constructor<dyn Sink>,
    cx: Context,
    channel: ChannelHandle,
    dead_letters: Option<ChannelHandle>,
    config: RunnerConfig,
}

impl RunningGroup {
    /// `channel` finds a channel by its short name.
    pub(crate) fn start(
        mut plan: GroupPlan,
        channel: impl Fn(&str) -> Option<(ChannelHandle, Opened)>,
        agent: &Arc<AgentInfo>,
    ) -> Result<Self, BuildError> {
        let (switch, stop) = Stop::new();
        let mut sinks = vec![];
        let mut entries = vec![];
        let mut opened = vec![];
        let mut find = |name: &str| {
            let found = channel(name)
                .ok_or_else(|| BuildError::at("channel", format!("there is no channel {name}")));
            found.map(|(handle, open)| {
                opened.push(open);
                handle
            })
        };
        let mut first_sinks = vec![];
        for sink in &mut plan.sinks {
            let (cx, first) = sink.recipe.take(sink.context(agent))?;
            first_sinks.push(first);
            let channel = find(&sink.channel)?;
            let dead_letters = sink
                .runner
                .dead_letter_channel
                .as_deref()
                .map(&mut find)
                .transpose()?;
            let type_name = sink.section.type_name();
            entries.push(ComponentEntry::new(&cx, type_name, EntryDetails::Other));
            sinks.push(SinkBlueprint {
                build: sink.recipe.constructor(),
                cx,
                channel,
                dead_letters,
                config: sink.runner.clone(),
            });
        }
        let (cx, processor) = plan.processor.take(plan.context(agent))?;
        let blueprint = Blueprint {
            processor: plan.processor.constructor(),
            cx,
            sinks,
            stop,
        };
        let first = (processor, blueprint.runners(first_sinks));
        let (finished, done) = oneshot::channel();
        let runtime = Handle::current();
        let name: String = short_name(&plan.section.name).chars().take(10).collect();
        let thread = std::thread::Builder::new().name(format!("sink-{name}"));
        let spawned = thread.spawn(move || {
            runtime.block_on(blueprint.wait_for(opened));
            blueprint.supervise(first, &runtime);
            let _ = finished.send(());
        });
        spawned
            .map_err(|error| BuildError::at("", format!("failed to start a thread: {error}")))?;
        Ok(RunningGroup {
            values: values(&plan),
            drains: plan.sinks.iter().map(|sink| sink.channel.clone()).collect(),
            entries,
            switch,
            done,
        })
    }

    pub(crate) fn request(&self, phase: Phase) {
        self.switch.turn(phase);
    }

    /// Waits for its end.
    pub(crate) async fn finished(&mut self) {
        if !self.is_finished() {
            let _ = (&mut self.done).await;
        }
    }

    /// Waits for its end, if it is closing already: as long as its sinks say that this takes.
    pub(crate) async fn closed(&mut self) {
        if let Some(end) = self.switch.closed_by() {
            let _ = timeout_at(end.min(Instant::now() + MAX_CLOSE), self.finished()).await;
        }
    }

    /// Whether it has ended.
    pub(crate) fn is_finished(&mut self) -> bool {
        !matches!(
            self.done.try_recv(),
            Err(oneshot::error::TryRecvError::Empty)
        )
    }
}

pub(crate) fn values(plan: &GroupPlan) -> GroupValues {
    let sections =
        std::iter::once(&plan.section).chain(plan.sinks.iter().map(|sink| &sink.section));
    sections
        .map(|section| (section.name.clone(), owned(section.values())))
        .collect()
}

pub(crate) fn channels(plan: &GroupPlan) -> Vec<String> {
    let dead_letters = plan
        .sinks
        .iter()
        .filter_map(|sink| sink.runner.dead_letter_channel.clone());
    plan.sinks
        .iter()
        .map(|sink| sink.channel.clone())
        .chain(dead_letters)
        .collect()
}

impl Blueprint {
    async fn wait_for(&self, mut opened: Vec<Opened>) {
        for channel in &mut opened {
            let states = self.sinks.iter().map(|sink| &sink.cx.state);
            tokio::select! {
                () = channel.wait(states) => {}
                () = self.stop.requested() => return,
            }
        }
    }

    /// Runs the group until it ends by itself; builds it anew after a panic, which returned its events.
    fn supervise(&self, first: BuiltGroup, runtime: &Handle) {
        let mut built = Some(first);
        while self.stop.phase() < Phase::Halt {
            let next = built.take();
            let run = || -> Result<(), BuildError> {
                let (mut processor, mut sinks) = match next {
                    Some(built) => built,
                    None => self.build()?,
                };
                runtime.block_on(run_sinks(&mut *processor, &mut sinks, &self.stop));
                Ok(())
            };
            match catch_unwind(AssertUnwindSafe(run)) {
                Ok(Ok(())) => return,
                Ok(Err(error)) => self.failing(&error),
                Err(payload) => self.failing(&Panicked::new(&*payload)),
            }
            runtime.block_on(self.stop.sleep(REBUILD_PAUSE));
        }
        self.sinks.iter().for_each(|sink| sink.cx.state.stopped());
    }

    fn failing(&self, error: &dyn std::error::Error) {
        self.sinks
            .iter()
            .for_each(|sink| sink.cx.state.failing(error, REBUILD_PAUSE));
    }

    fn build(&self) -> Result<BuiltGroup, BuildError> {
        let sinks = self.sinks.iter();
        let sinks = sinks.map(|sink| (sink.build)(&sink.cx));
        let sinks = sinks.collect::<Result<Vec<_>, _>>()?;
        Ok(((self.processor)(&self.cx)?, self.runners(sinks)))
    }

    /// What runs its sinks, which were built in the same order.
    fn runners(&self, sinks: Vec<Box<dyn Sink>>) -> Vec<SinkRunner> {
        let runner = |(blueprint, sink): (&SinkBlueprint, Box<dyn Sink>)| {
            SinkRunner::new(
                sink,
                blueprint.channel.clone(),
                blueprint.dead_letters.clone(),
                blueprint.config.clone(),
                &blueprint.cx,
                self.stop.clone(),
            )
        };
        self.sinks.iter().zip(sinks).map(runner).collect()
    }
}

//! A running channel: opened before those who use it, again and again while that fails.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use flume_conf::ChannelPlan;
use flume_core::{
    AgentInfo, BuildError, Channel, ChannelError, ChannelHandle, Context, ReplaceError,
    StateHandle,
    component::{Constructor, short_name},
};
use flume_monitor::{ComponentEntry, EntryDetails};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, timeout},
};

/// The pause before a channel that failed to open is opened again, as Flume's supervisor has it.
const REOPEN_PAUSE: Duration = Duration::from_secs(3);
/// How long an attempt to open a channel may go on once nobody needs it.
const OPEN_GRACE: Duration = Duration::from_secs(10);

/// A wait for a channel is shown after this time: most channels open at once.
const SHOW_AFTER: Duration = Duration::from_secs(1);

/// How often a channel that takes long to open says so.
const OPENING_INTERVAL: Duration = Duration::from_secs(10);

/// A channel of the running agent.
pub(crate) struct RunningChannel {
    /// Its settings, to compare with.
    pub(crate) values: BTreeMap<String, String>,
    pub(crate) handle: ChannelHandle,
    pub(crate) entry: Arc<ComponentEntry>,
    build: Constructor<dyn Channel>,
    opened: watch::Sender<bool>,
    /// The task that opens it; told to end by the sender.
    opener: Option<(watch::Sender<bool>, JoinHandle<()>)>,
}

/// Says when a channel may be used. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Opened {
    channel: ChannelHandle,
    open: watch::Receiver<bool>,
}

impl Opened {
    /// Waits until it is open. If that takes a while, the states of those who wait say so.
    pub(crate) async fn wait<'a>(&mut self, waiting: impl Iterator<Item = &'a StateHandle>) {
        let mut is_open = std::pin::pin!(self.open.wait_for(|open| *open));
        if timeout(SHOW_AFTER, &mut is_open).await.is_ok() {
            return;
        }
        let name = short_name(self.channel.name());
        for state in waiting {
            state.waiting(&format!("channel {name} is not open yet"));
        }
        let _ = is_open.await;
    }
}

impl RunningChannel {
    /// A channel that puts wait for: [`begin_to_open`](Self::begin_to_open) comes next.
    pub(crate) fn new(mut plan: ChannelPlan, agent: &Arc<AgentInfo>) -> Result<Self, BuildError> {
        let (cx, channel) = plan.recipe.take(plan.context(agent))?;
        let handle = ChannelHandle::new(channel, cx.clone());
        handle.await_open();
        let type_name = plan.section.type_name();
        let entry = ComponentEntry::new(&cx, type_name, EntryDetails::Channel(handle.clone()));
        Ok(RunningChannel {
            values: values(&plan),
            handle,
            entry,
            build: plan.recipe.constructor(),
            opened: watch::Sender::new(false),
            opener: None,
        })
    }

    /// Opens it, again and again while that fails.
    pub(crate) fn begin_to_open(&mut self) {
        let (end, ended) = watch::channel(false);
        let task = tokio::spawn(open(self.handle.clone(), self.opened.clone(), ended));
        self.opener = Some((end, task));
    }

    /// Waits until nobody tries to open it.
    async fn end_opener(&mut self) {
        let Some((end, mut task)) = self.opener.take() else {
            return;
        };
        end.send_replace(true);
        if timeout(OPEN_GRACE, &mut task).await.is_err() {
            task.abort();
        }
    }

    /// Puts a channel of changed settings in its place. Its sinks have been stopped. It goes on with the counters, so
    /// the one that was tried out, which has its own, does not serve.
    pub(crate) async fn replace(
        &mut self,
        plan: ChannelPlan,
        agent: &Arc<AgentInfo>,
    ) -> Result<(), ReplaceError> {
        let cx = Context {
            metrics: self.entry.metrics.clone(),
            taps: self.entry.taps.clone(),
            state: self.handle.state().clone(),
            ..plan.context(agent)
        };
        let build = plan.recipe.constructor();
        let successor = build(&cx)?;
        self.end_opener().await;
        let replaced = if *self.opened.borrow() {
            let rebuild = || (self.build)(&cx);
            self.handle.replace(successor, &rebuild).await
        } else {
            self.handle.reseat(successor).await
        };
        if !self.handle.is_open() {
            self.opened.send_replace(false);
            self.begin_to_open();
        }
        replaced?;
        self.values = values(&plan);
        self.build = build;
        let details = EntryDetails::Channel(self.handle.clone());
        self.entry = ComponentEntry::new(&cx, plan.section.type_name(), details);
        Ok(())
    }

    /// For those who use it: the channel, and when they may.
    pub(crate) fn access(&self) -> (ChannelHandle, Opened) {
        let opened = Opened {
            channel: self.handle.clone(),
            open: self.opened.subscribe(),
        };
        (self.handle.clone(), opened)
    }

    /// Closes it; what it holds and is not durable is lost, and told.
    pub(crate) async fn close(mut self) -> usize {
        self.end_opener().await;
        if let Err(error) = self.handle.close().await {
            tracing::error!("{} failed to close: {error}", self.handle.name());
        }
        // After the close, which may have moved events to disk, or failed to.
        let lost = self.handle.volatile_events();
        self.handle.state().stopped();
        lost
    }
}

pub(crate) fn values(plan: &ChannelPlan) -> BTreeMap<String, String> {
    owned(plan.section.values())
}

/// A copy that outlives the plan.
pub(crate) fn owned(values: BTreeMap<&str, &str>) -> BTreeMap<String, String> {
    values
        .into_iter()
        .map(|(key, value)| (key.into(), value.into()))
        .collect()
}

async fn open(handle: ChannelHandle, opened: watch::Sender<bool>, mut end: watch::Receiver<bool>) {
    while let Err(error) = open_telling(&handle).await {
        handle.state().failing(&error, REOPEN_PAUSE);
        let pause = timeout(REOPEN_PAUSE, end.wait_for(|end| *end));
        if pause.await.is_ok() {
            return;
        }
    }
    handle.state().running();
    opened.send_replace(true);
}

/// Opens the channel. While that takes long, the log says what its sources and sinks wait for.
async fn open_telling(handle: &ChannelHandle) -> Result<(), ChannelError> {
    let began = Instant::now();
    let mut opening = std::pin::pin!(handle.open());
    loop {
        match timeout(OPENING_INTERVAL, &mut opening).await {
            Ok(outcome) => return outcome,
            Err(_) => {
                let seconds = began.elapsed().as_secs();
                tracing::info!(
                    "{} has been opening for {seconds} s; its sources and sinks wait for it",
                    handle.name()
                );
            }
        }
    }
}

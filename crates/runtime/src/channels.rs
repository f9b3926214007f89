//! A running channel: opened before those who use it, again and again while that fails.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use flume_conf::ChannelPlan;
use flume_core::{
    AgentInfo, BuildError, Channel, ChannelError, ChannelHandle, Context, ReplaceError,
};
use flume_monitor::{ComponentEntry, EntryDetails};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

/// The pause before a channel that failed to open is opened again, as Flume's supervisor has it.
const REOPEN_PAUSE: Duration = Duration::from_secs(3);

/// How often a channel that takes long to open says so.
const OPENING_INTERVAL: Duration = Duration::from_secs(10);

/// A channel of the running agent.
pub(crate) struct RunningChannel {
    /// Its settings, to compare with.
    pub(crate) values: BTreeMap<String, String>,
    pub(crate) handle: ChannelHandle,
    pub(crate) entry: Arc<ComponentEntry>,
    opened: watch::Sender<bool>,
    opener: JoinHandle<()>,
}

/// Says when a channel may be used. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Opened(watch::Receiver<bool>);

impl Opened {
    /// Waits until it is open.
    pub(crate) async fn wait(&mut self) {
        let _ = self.0.wait_for(|open| *open).await;
    }
}

impl RunningChannel {
    pub(crate) fn start(plan: &ChannelPlan, agent: &Arc<AgentInfo>) -> Result<Self, BuildError> {
        let cx = Context::of_agent(&plan.section.name, vec![], agent.clone());
        let handle = ChannelHandle::new((plan.build)(&cx)?, cx.clone());
        let type_name = plan.section.type_name();
        let entry = ComponentEntry::new(&cx, type_name, EntryDetails::Channel(handle.clone()));
        let opened = watch::Sender::new(false);
        let opener = tokio::spawn(open(handle.clone(), opened.clone()));
        Ok(RunningChannel {
            values: values(plan),
            handle,
            entry,
            opened,
            opener,
        })
    }

    /// Puts a channel of changed settings in its place. Its sinks have been stopped.
    pub(crate) async fn replace(
        &mut self,
        plan: &ChannelPlan,
        agent: &Arc<AgentInfo>,
    ) -> Result<(), ReplaceError> {
        let cx = Context {
            metrics: self.entry.metrics.clone(),
            state: self.handle.state().clone(),
            ..Context::of_agent(&plan.section.name, vec![], agent.clone())
        };
        let successor = (plan.build)(&cx)?;
        if self.handle.durable() {
            self.succeed(successor).await?;
        } else {
            self.handle.replace(successor).await?;
        }
        self.values = values(plan);
        Ok(())
    }

    /// Closes the channel and opens its successor in its seat. If that cannot be, the channel goes on.
    async fn succeed(&mut self, successor: Box<dyn Channel>) -> Result<(), ReplaceError> {
        let was_open = *self.opened.borrow();
        if !was_open {
            self.opener.abort();
        }
        let succeeded = self.handle.succeed(successor).await;
        if succeeded.is_ok() {
            self.opened.send_replace(false);
        }
        if succeeded.is_ok() || !was_open {
            self.opener = tokio::spawn(open(self.handle.clone(), self.opened.clone()));
        }
        succeeded
    }

    pub(crate) fn opened(&self) -> Opened {
        Opened(self.opened.subscribe())
    }

    /// Events that would be lost with it.
    pub(crate) fn volatile_events(&self) -> usize {
        self.handle.volatile_events()
    }

    /// Closes it; what it holds and is not durable is lost, and told.
    pub(crate) async fn close(self) -> usize {
        self.opener.abort();
        if let Err(error) = self.handle.close().await {
            tracing::error!("{} failed to close: {error}", self.handle.name());
        }
        // After the close, which may have moved events to disk, or failed to.
        let lost = self.volatile_events();
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

async fn open(handle: ChannelHandle, opened: watch::Sender<bool>) {
    while let Err(error) = open_telling(&handle).await {
        handle.state().failing(&error, REOPEN_PAUSE);
        sleep(REOPEN_PAUSE).await;
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

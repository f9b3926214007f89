//! The running agent: what runs, how a plan is put in its place, how it stops.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use flume_conf::Plan;
use flume_core::{AgentInfo, BuildError, Context, Phase, component::short_name};
use flume_monitor::{Board, ComponentEntry, EntryDetails};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::{
    changes::Changes, channels::RunningChannel, shape::shape, sinks::RunningGroup,
    sources::RunningSource,
};

/// How long a component may take to finish the step it is in.
const GRACE: Duration = Duration::from_secs(5);

/// Everything that runs, by short name.
pub struct Agent {
    pub(crate) info: Arc<AgentInfo>,
    pub(crate) channels: BTreeMap<String, RunningChannel>,
    pub(crate) groups: BTreeMap<String, RunningGroup>,
    pub(crate) sources: BTreeMap<String, RunningSource>,
    /// Groups whose channel left the configuration: they deliver what it still holds, then both end.
    retiring: Vec<(RunningGroup, Vec<RunningChannel>)>,
    board: Board,
}

/// Events that a stop leaves in channels that are not durable, by channel.
pub type Remained = BTreeMap<String, usize>;

/// Why a reload changes nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The new configuration has errors.
    #[error("the new configuration has {errors} errors, the first: {first}")]
    Invalid {
        /// How many.
        errors: usize,
        /// The first of them.
        first: String,
    },
    /// It could not be read.
    #[error("the configuration cannot be read: {0}")]
    Unreadable(String),
    /// A channel is to shrink below what it holds, or to vanish with events that nobody would take.
    #[error("{channel}: {reason}")]
    Channel {
        /// Its full name.
        channel: String,
        /// Why it cannot.
        reason: String,
    },
    /// A component that was checked cannot be built after all.
    #[error("{name}: {error}")]
    Build {
        /// Its full name.
        name: String,
        /// Why.
        error: BuildError,
    },
}

impl Agent {
    /// An agent in which nothing runs yet.
    pub fn new(info: Arc<AgentInfo>) -> Self {
        let board = Board::new(info.clone());
        let (channels, groups, sources) = Default::default();
        Agent {
            info,
            channels,
            groups,
            sources,
            retiring: vec![],
            board,
        }
    }

    /// What monitoring reads.
    pub fn board(&self) -> Board {
        self.board.clone()
    }

    /// Starts, restarts, rewires and stops what differs from `plan`, which was checked; the rest is not touched.
    /// A plan that is wrong or would lose events is refused before anything changes.
    pub async fn apply(&mut self, plan: &Plan) -> Result<Changes, ReloadError> {
        let mut changes = Changes::between(self, plan)?;
        for name in &changes.channels.started {
            let planned = plan
                .channels
                .iter()
                .find(|channel| short_name(&channel.section.name) == name);
            let Some(planned) = planned else { continue };
            let channel = RunningChannel::start(planned, &self.info)
                .map_err(failed(&planned.section.name))?;
            self.channels.insert(name.clone(), channel);
        }
        self.stop_sources(
            changes
                .sources
                .stopped
                .iter()
                .chain(&changes.sources.restarted),
        )
        .await;
        self.rewire_sources(plan, &changes).await?;
        self.stop_groups(&changes).await;
        self.replace_channels(plan, &mut changes).await;
        self.remove_channels(&changes).await;
        self.start_groups(plan)?;
        self.start_sources(plan)?;
        self.publish(plan);
        Ok(changes)
    }

    async fn stop_sources(&mut self, names: impl Iterator<Item = &String>) {
        stop_all(names.filter_map(|name| self.sources.remove(name)).collect()).await;
    }

    async fn rewire_sources(&mut self, plan: &Plan, changes: &Changes) -> Result<(), ReloadError> {
        for planned in &plan.sources {
            let name = short_name(&planned.section.name);
            if !changes
                .sources
                .rewired
                .iter()
                .any(|rewired| rewired == name)
            {
                continue;
            }
            let handles = planned
                .frame
                .channels
                .texts()
                .filter_map(|name| self.channels.get(name));
            let handles = handles.map(|channel| channel.handle.clone()).collect();
            if let Some(source) = self.sources.get_mut(name) {
                source
                    .rewire(planned, handles, GRACE)
                    .await
                    .map_err(failed(&planned.section.name))?;
            }
        }
        Ok(())
    }

    /// A group that alone drains a vanishing channel goes on until that is empty.
    async fn stop_groups(&mut self, changes: &Changes) {
        let mut halting = vec![];
        for name in changes
            .groups
            .stopped
            .iter()
            .chain(&changes.groups.restarted)
        {
            let Some(group) = self.groups.remove(name) else {
                continue;
            };
            let left: Vec<_> = (changes.channels.stopped.iter())
                .filter(|channel| group.channels.contains(channel))
                .filter_map(|channel| self.channels.remove(channel))
                .collect();
            if left.iter().any(|channel| channel.volatile_events() > 0) {
                group.request(Phase::Drain);
                self.retiring.push((group, left));
            } else {
                group.request(Phase::Halt);
                halting.push((group, left));
            }
        }
        let end = Instant::now() + GRACE;
        for (mut group, left) in halting {
            let _ = timeout_at(end, group.finished()).await;
            close_all(left).await;
        }
    }

    async fn replace_channels(&mut self, plan: &Plan, changes: &mut Changes) {
        for planned in &plan.channels {
            let name = short_name(&planned.section.name);
            if !changes
                .channels
                .restarted
                .iter()
                .any(|replaced| replaced == name)
            {
                continue;
            }
            let Some(channel) = self.channels.get_mut(name) else {
                continue;
            };
            if let Err(error) = channel.replace(planned, &self.info).await {
                let text = format!("{} keeps its settings: {error}", planned.section.name);
                tracing::error!("{text}");
                changes.failed.push(text);
            }
        }
    }

    async fn remove_channels(&mut self, changes: &Changes) {
        let removed = changes
            .channels
            .stopped
            .iter()
            .filter_map(|name| self.channels.remove(name))
            .collect();
        close_all(removed).await;
    }

    fn start_groups(&mut self, plan: &Plan) -> Result<(), ReloadError> {
        for planned in &plan.groups {
            let name = short_name(&planned.section.name).to_string();
            if self.groups.contains_key(&name) {
                continue;
            }
            let find = |name: &str| {
                self.channels
                    .get(name)
                    .map(|channel| (channel.handle.clone(), channel.opened()))
            };
            let group = RunningGroup::start(planned, find, &self.info)
                .map_err(failed(&planned.section.name))?;
            self.groups.insert(name, group);
        }
        Ok(())
    }

    fn start_sources(&mut self, plan: &Plan) -> Result<(), ReloadError> {
        for planned in &plan.sources {
            let name = short_name(&planned.section.name).to_string();
            if self.sources.contains_key(&name) {
                continue;
            }
            let channels = planned
                .frame
                .channels
                .texts()
                .filter_map(|name| self.channels.get(name));
            let channels = channels
                .map(|channel| (channel.handle.clone(), channel.opened()))
                .collect();
            let source = RunningSource::start(planned, channels, &self.info)
                .map_err(failed(&planned.section.name))?;
            self.sources.insert(name, source);
        }
        Ok(())
    }

    fn publish(&self, plan: &Plan) {
        let mut entries: Vec<Arc<ComponentEntry>> = self
            .channels
            .values()
            .map(|channel| channel.entry.clone())
            .collect();
        entries.extend(self.sources.values().map(|source| source.entry.clone()));
        entries.extend(self.groups.values().flat_map(|group| group.entries.clone()));
        for refused in &plan.refused {
            let cx = Context::of_agent(&refused.name, vec![], self.info.clone());
            cx.state.refused(&refused.reason);
            entries.push(ComponentEntry::new(
                &cx,
                &refused.type_name,
                EntryDetails::Other,
            ));
        }
        let retiring = self.retiring.iter().flat_map(|(group, channels)| {
            group
                .entries
                .iter()
                .chain(channels.iter().map(|channel| &channel.entry))
        });
        // What a successor has the name of is not shown twice.
        let retiring: Vec<_> = retiring
            .filter(|old| !entries.iter().any(|new| new.is_same(old)))
            .cloned()
            .collect();
        entries.extend(retiring);
        self.board.publish(entries);
        self.board.show_flow(shape(plan));
    }

    /// Closes what has drained since it left the configuration, and shows it no longer. To be called now and then.
    pub async fn settle_retired(&mut self) {
        for (mut group, channels) in std::mem::take(&mut self.retiring) {
            if group.is_finished() {
                group
                    .entries
                    .iter()
                    .for_each(|entry| self.board.withdraw(entry));
                channels
                    .iter()
                    .for_each(|channel| self.board.withdraw(&channel.entry));
                close_all(channels).await;
            } else {
                self.retiring.push((group, channels));
            }
        }
    }

    /// Stops sources, lets sinks deliver what channels in memory hold for at most `drain`, or until `hurry`
    /// completes, then closes everything. Sinks that are closing have the time that they say they need, but in a hurry.
    pub async fn stop(mut self, drain: Duration, hurry: impl Future<Output = ()>) -> Remained {
        stop_all(std::mem::take(&mut self.sources).into_values().collect()).await;
        let mut channels: Vec<_> = std::mem::take(&mut self.channels).into_values().collect();
        let mut groups: Vec<_> = std::mem::take(&mut self.groups).into_values().collect();
        for (group, left) in std::mem::take(&mut self.retiring) {
            groups.push(group);
            channels.extend(left);
        }
        groups.iter().for_each(|group| group.request(Phase::Drain));
        let deadline = Instant::now() + drain;
        let all_finished = async {
            for group in &mut groups {
                group.finished().await;
            }
        };
        tokio::pin!(hurry);
        let hurried = tokio::select! {
            () = all_finished => return close_all(channels).await,
            () = sleep_until(deadline) => false,
            () = &mut hurry => true,
        };
        groups.iter().for_each(|group| group.request(Phase::Halt));
        let end = Instant::now() + GRACE;
        for group in &mut groups {
            let _ = timeout_at(end, group.finished()).await;
        }
        let all_closed = async {
            for group in &mut groups {
                group.closed().await;
            }
        };
        let in_a_hurry = async {
            if !hurried {
                hurry.await;
            }
        };
        tokio::select! {
            () = all_closed => {}
            () = in_a_hurry => {}
        }
        close_all(channels).await
    }
}

/// All at once: they share one grace period.
async fn stop_all(sources: Vec<RunningSource>) {
    sources.iter().for_each(RunningSource::request_stop);
    let end = Instant::now() + GRACE;
    for source in sources {
        source.stopped(end).await;
    }
}

async fn close_all(channels: Vec<RunningChannel>) -> Remained {
    let mut remained = Remained::new();
    for channel in channels {
        let name = short_name(channel.handle.name()).to_string();
        match channel.close().await {
            0 => {}
            events => drop(remained.insert(name, events)),
        }
    }
    remained
}

fn failed(name: &str) -> impl FnOnce(BuildError) -> ReloadError {
    let name = name.to_string();
    move |error| ReloadError::Build { name, error }
}

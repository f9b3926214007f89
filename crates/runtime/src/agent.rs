//! The running agent: what runs, how a plan is put in its place, how it stops.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use flume_conf::Plan;
use flume_core::{AgentInfo, BuildError, Context, EventStore, Phase, component::short_name};
use flume_monitor::{Board, ComponentEntry, EntryDetails};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::{
    changes::Changes, channels::RunningChannel, remained::Remained, shape::shape,
    sinks::RunningGroup, sources::RunningSource,
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
    /// What channels that left the configuration have lost.
    lost: Remained,
    board: Board,
}

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
    /// A stop was requested while it was read.
    #[error("the agent is to stop")]
    Stopping,
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
            lost: Remained::new(),
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
        let waiting = self.add_channels(plan, &changes)?;
        self.stop_sources(
            changes
                .sources
                .stopped
                .iter()
                .chain(&changes.sources.restarted),
        )
        .await;
        self.rewire_sources(plan, &mut changes).await;
        self.stop_groups(&changes).await;
        self.replace_channels(plan, &mut changes).await;
        self.remove_channels(&mut changes).await;
        self.open_in_place_of_others(&waiting).await;
        self.start_groups(plan, &mut changes);
        self.start_sources(plan, &mut changes);
        self.publish(plan);
        Ok(changes)
    }

    /// Adds the new channels and begins to open them. Those that use directories of a channel that is to change or to go
    /// are returned: they open after that. Puts into them wait.
    fn add_channels(&mut self, plan: &Plan, changes: &Changes) -> Result<Vec<String>, ReloadError> {
        let mut new = vec![];
        for planned in &plan.channels {
            let name = short_name(&planned.section.name);
            if changes
                .channels
                .started
                .iter()
                .any(|started| started == name)
            {
                let channel = RunningChannel::new(planned, &self.info)
                    .map_err(failed(&planned.section.name))?;
                new.push((name.to_string(), channel));
            }
        }
        let retired = self.retiring.iter().flat_map(|(_, channels)| channels);
        let in_use: Vec<EventStore> = self
            .channels
            .values()
            .chain(retired)
            .map(|channel| channel.handle.store())
            .collect();
        let mut waiting = vec![];
        for (name, mut channel) in new {
            let store = channel.handle.store();
            if in_use.iter().any(|other| store.shares_directory(other)) {
                waiting.push(name.clone());
            } else {
                channel.begin_to_open();
            }
            self.channels.insert(name, channel);
        }
        Ok(waiting)
    }

    /// Opens new channels whose directories another channel has had. One that still drains there ends: its events are
    /// the new channel's.
    async fn open_in_place_of_others(&mut self, names: &[String]) {
        for name in names {
            let Some(store) = self
                .channels
                .get(name)
                .map(|channel| channel.handle.store())
            else {
                continue;
            };
            let (ending, going_on) =
                std::mem::take(&mut self.retiring)
                    .into_iter()
                    .partition(|(_, channels)| {
                        let mut stores = channels.iter().map(|channel| channel.handle.store());
                        stores.any(|other| store.shares_directory(&other))
                    });
            self.retiring = going_on;
            self.halt_groups(ending).await;
            if let Some(channel) = self.channels.get_mut(name) {
                channel.begin_to_open();
            }
        }
    }

    /// Ends groups within the grace period, and closes the channels that go with them.
    async fn halt_groups(&mut self, halting: Vec<(RunningGroup, Vec<RunningChannel>)>) {
        halting
            .iter()
            .for_each(|(group, _)| group.request(Phase::Halt));
        let end = Instant::now() + GRACE;
        for (mut group, left) in halting {
            let _ = timeout_at(end, group.finished()).await;
            self.close_left(left).await;
        }
    }

    /// Closes channels that the configuration no longer has.
    async fn close_left(&mut self, channels: Vec<RunningChannel>) {
        let lost = close_all(channels).await;
        for (channel, events) in &lost.events {
            tracing::error!("{events} events of channel {channel} are lost: it is closed");
        }
        self.lost.merge(lost);
    }

    async fn stop_sources(&mut self, names: impl Iterator<Item = &String>) {
        stop_all(names.filter_map(|name| self.sources.remove(name)).collect()).await;
    }

    async fn rewire_sources(&mut self, plan: &Plan, changes: &mut Changes) {
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
                let rewired = source.rewire(planned, handles, GRACE).await;
                note_failure(rewired, &planned.section.name, changes);
            }
        }
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
                .filter(|channel| group.drains.contains(channel))
                .filter_map(|channel| self.channels.remove(channel))
                .collect();
            let taken_over = |channel: &RunningChannel| {
                let name = short_name(channel.handle.name());
                changes.taken_over.iter().any(|other| other == name)
            };
            let drains = |channel: &&RunningChannel| {
                let handle = &channel.handle;
                let needed = handle.held_events() > 0 || handle.awaits_dead_letters();
                needed && handle.store().is_local() && !taken_over(channel)
            };
            if left.iter().any(|channel| drains(&channel)) {
                for channel in left.iter().filter(drains) {
                    channel.handle.set_leaving(true);
                }
                group.request(Phase::Drain);
                self.retiring.push((group, left));
            } else {
                halting.push((group, left));
            }
        }
        self.halt_groups(halting).await;
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
                let text = format!(
                    "{} keeps its settings: {}",
                    planned.section.name,
                    flume_core::with_causes(&error)
                );
                tracing::error!("{text}");
                changes.failed.push(text);
            }
        }
    }

    /// A channel without a sink stays if events came into it until its sources were rewired.
    async fn remove_channels(&mut self, changes: &mut Changes) {
        let mut removed = vec![];
        for name in &changes.channels.stopped {
            let Some(channel) = self.channels.remove(name) else {
                continue;
            };
            let handle = &channel.handle;
            let held = handle.held_events();
            if held > 0 && handle.store().is_local() && !changes.taken_over.contains(name) {
                let text = format!(
                    "{} stays: {held} events came during the reload",
                    handle.name()
                );
                tracing::error!("{text}");
                changes.failed.push(text);
                self.channels.insert(name.clone(), channel);
            } else {
                removed.push(channel);
            }
        }
        self.close_left(removed).await;
    }

    fn start_groups(&mut self, plan: &Plan, changes: &mut Changes) {
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
            let started = RunningGroup::start(planned, find, &self.info);
            if let Some(group) = note_failure(started, &planned.section.name, changes) {
                self.groups.insert(name, group);
            }
        }
    }

    fn start_sources(&mut self, plan: &Plan, changes: &mut Changes) {
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
            let started = RunningSource::start(planned, channels, &self.info);
            if let Some(source) = note_failure(started, &planned.section.name, changes) {
                self.sources.insert(name, source);
            }
        }
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
                self.close_left(channels).await;
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
            left.iter().for_each(say_what_stays);
            channels.extend(left);
        }
        let mut remained = std::mem::take(&mut self.lost);
        groups.iter().for_each(|group| group.request(Phase::Drain));
        let deadline = Instant::now() + drain;
        let all_finished = async {
            for group in &mut groups {
                group.finished().await;
            }
        };
        tokio::pin!(hurry);
        let hurried = tokio::select! {
            () = all_finished => {
                remained.merge(close_all(channels).await);
                return remained;
            }
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
        remained.merge(close_all(channels).await);
        remained
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

/// A channel that left the configuration is not drained any longer. What a durable one holds stays where it is.
fn say_what_stays(channel: &RunningChannel) {
    let handle = &channel.handle;
    handle.set_leaving(false);
    let held = handle.held_events();
    if handle.durable() && held > 0 {
        tracing::warn!(
            "{held} events stay in {} of {}, which the configuration no longer has; \
             add the channel again to deliver them",
            handle.store(),
            handle.name()
        );
    }
}

async fn close_all(channels: Vec<RunningChannel>) -> Remained {
    let mut remained = Remained::new();
    for channel in channels {
        let handle = channel.handle.clone();
        let lost = channel.close().await;
        remained.add(short_name(handle.name()), lost, handle.durable());
    }
    remained
}

fn failed(name: &str) -> impl FnOnce(BuildError) -> ReloadError {
    let name = name.to_string();
    move |error| ReloadError::Build { name, error }
}

/// What cannot be done any longer once the reload is under way is told, and the rest goes on.
fn note_failure<T>(done: Result<T, BuildError>, name: &str, changes: &mut Changes) -> Option<T> {
    let told = |error| {
        let text = format!("{name} failed: {}", flume_core::with_causes(&error));
        tracing::error!("{text}");
        changes.failed.push(text);
    };
    done.map_err(told).ok()
}

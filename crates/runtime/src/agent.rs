//! The running agent: what runs, how a plan is put in its place, how it stops.

use std::{fmt, sync::Arc, time::Duration};

use flume_conf::{ChannelPlan, GroupPlan, Plan, Refused, SourcePlan};
use flume_core::{
    AgentInfo, BuildError, Context, EventStore, Phase, component::short_name, with_causes,
};
use flume_monitor::{Board, ComponentEntry, EntryDetails, FlowShape};
use futures_util::future::join_all;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::{
    changes::{Changes, ReloadError, Running},
    channels::RunningChannel,
    remained::Remained,
    shape::shape,
    sinks::RunningGroup,
    sources::RunningSource,
};

/// How long a component may take to finish the step it is in.
const GRACE: Duration = Duration::from_secs(5);

/// Everything that runs.
pub struct Agent {
    pub(crate) info: Arc<AgentInfo>,
    running: Running,
    /// Groups whose channel left the configuration: they deliver what it still holds, then both end.
    retiring: Vec<(RunningGroup, Vec<RunningChannel>)>,
    /// What channels that left the configuration have lost.
    lost: Remained,
    board: Board,
}

/// What a plan has changed, or would change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// In words.
    pub changes: String,
    /// What could not be changed after all, and why.
    pub failed: Vec<String>,
}

impl Applied {
    fn new(changes: &Changes) -> Self {
        Applied {
            changes: changes.to_string(),
            failed: vec![],
        }
    }

    /// What cannot be done any longer is told, and the rest goes on.
    fn note_failure<T>(&mut self, done: Result<T, BuildError>, name: &str) -> Option<T> {
        let told = |error| self.fail(format!("{name} failed: {}", with_causes(&error)));
        done.map_err(told).ok()
    }

    fn fail(&mut self, text: String) {
        tracing::error!("{text}");
        self.failed.push(text);
    }
}

impl fmt::Display for Applied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.changes)?;
        let mut failed = self.failed.iter();
        failed.try_for_each(|text| write!(f, ", {text}"))
    }
}

impl Agent {
    /// An agent in which nothing runs yet.
    pub fn new(info: Arc<AgentInfo>) -> Self {
        let board = Board::new(info.clone());
        Agent {
            info,
            running: Running::default(),
            retiring: vec![],
            lost: Remained::new(),
            board,
        }
    }

    /// What monitoring reads.
    pub fn board(&self) -> Board {
        self.board.clone()
    }

    /// What [`apply`](Self::apply) would do.
    pub fn compare(&self, plan: Plan) -> Result<Applied, ReloadError> {
        Changes::between(&self.running, plan).map(|changes| Applied::new(&changes))
    }

    /// Starts, restarts, rewires and stops what differs from `plan`, which was checked; the rest is not touched.
    /// A plan that is wrong or would lose events is refused before anything changes.
    pub async fn apply(&mut self, mut plan: Plan) -> Result<Applied, ReloadError> {
        let flow = shape(&plan);
        let refused = std::mem::take(&mut plan.refused);
        let changes = Changes::between(&self.running, plan)?;
        let mut applied = Applied::new(&changes);
        let Changes {
            channels,
            groups,
            sources,
            taken_over,
        } = changes;
        let waiting = self.add_channels(channels.start, &mut applied);
        self.stop_sources(&sources.ending()).await;
        self.rewire_sources(sources.rewire, &mut applied).await;
        self.stop_groups(&groups.ending(), &channels.stop, &taken_over)
            .await;
        self.replace_channels(channels.restart, &mut applied).await;
        self.remove_channels(&channels.stop, &taken_over, &mut applied)
            .await;
        self.open_in_place_of_others(&waiting).await;
        self.start_groups(groups.start.into_iter().chain(groups.restart), &mut applied);
        self.start_sources(
            sources.start.into_iter().chain(sources.restart),
            &mut applied,
        );
        self.publish(&refused, flow);
        Ok(applied)
    }

    /// Adds the new channels and begins to open them. Those that use directories of a channel that is to change or to go
    /// are returned: they open after that. Puts into them wait.
    fn add_channels(
        &mut self,
        plans: Vec<(String, ChannelPlan)>,
        applied: &mut Applied,
    ) -> Vec<String> {
        let retired = self.retiring.iter().flat_map(|(_, channels)| channels);
        let running = self.running.channels.values().chain(retired);
        let in_use: Vec<EventStore> = running.map(|channel| channel.handle.store()).collect();
        let mut waiting = vec![];
        for (name, plan) in plans {
            let full_name = plan.section.name.clone();
            let built = RunningChannel::new(plan, &self.info);
            let Some(mut channel) = applied.note_failure(built, &full_name) else {
                continue;
            };
            let store = channel.handle.store();
            if in_use.iter().any(|other| store.shares_directory(other)) {
                waiting.push(name.clone());
            } else {
                channel.begin_to_open();
            }
            self.running.channels.insert(name, channel);
        }
        waiting
    }

    /// Opens new channels whose directories another channel has had. One that still drains there ends: its events are
    /// the new channel's.
    async fn open_in_place_of_others(&mut self, names: &[String]) {
        for name in names {
            let Some(channel) = self.running.channels.get(name) else {
                continue;
            };
            let store = channel.handle.store();
            let (ending, going_on) =
                std::mem::take(&mut self.retiring)
                    .into_iter()
                    .partition(|(_, channels)| {
                        let mut stores = channels.iter().map(|channel| channel.handle.store());
                        stores.any(|other| store.shares_directory(&other))
                    });
            self.retiring = going_on;
            self.halt_groups(ending).await;
            if let Some(channel) = self.running.channels.get_mut(name) {
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

    async fn stop_sources(&mut self, names: &[String]) {
        let stopping = names.iter();
        let stopping = stopping.filter_map(|name| self.running.sources.remove(name));
        stop_all(stopping.collect()).await;
    }

    async fn rewire_sources(&mut self, plans: Vec<(String, SourcePlan)>, applied: &mut Applied) {
        for (name, plan) in plans {
            let channels = self.running.channels_of(&plan);
            let handles = channels.map(|channel| channel.handle.clone()).collect();
            if let Some(source) = self.running.sources.get_mut(&name) {
                let rewired = source.rewire(&plan, handles, GRACE).await;
                applied.note_failure(rewired, &plan.section.name);
            }
        }
    }

    /// A group that alone drains a vanishing channel goes on until that is empty.
    async fn stop_groups(&mut self, names: &[String], vanishing: &[String], taken_over: &[String]) {
        let mut halting = vec![];
        for name in names {
            let Some(group) = self.running.groups.remove(name) else {
                continue;
            };
            let left: Vec<_> = vanishing
                .iter()
                .filter(|channel| group.drains.contains(channel))
                .filter_map(|channel| self.running.channels.remove(channel))
                .collect();
            let is_taken_over = |channel: &RunningChannel| {
                let name = short_name(channel.handle.name());
                taken_over.iter().any(|other| other == name)
            };
            let drains = |channel: &&RunningChannel| {
                let handle = &channel.handle;
                let needed = handle.held_events() > 0 || handle.awaits_dead_letters();
                needed && handle.store().is_local() && !is_taken_over(channel)
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

    async fn replace_channels(&mut self, plans: Vec<(String, ChannelPlan)>, applied: &mut Applied) {
        for (name, plan) in plans {
            let Some(channel) = self.running.channels.get_mut(&name) else {
                continue;
            };
            let full_name = plan.section.name.clone();
            if let Err(error) = channel.replace(plan, &self.info).await {
                let durable = channel.handle.durable();
                self.lost.add(&name, error.lost(), durable);
                let reason = with_causes(&error);
                applied.fail(format!("{full_name} keeps its settings: {reason}"));
            }
        }
    }

    /// A channel without a sink stays if events came into it until its sources were rewired.
    async fn remove_channels(
        &mut self,
        names: &[String],
        taken_over: &[String],
        applied: &mut Applied,
    ) {
        let mut removed = vec![];
        for name in names {
            let Some(channel) = self.running.channels.remove(name) else {
                continue;
            };
            let handle = &channel.handle;
            let held = handle.held_events();
            if held > 0 && handle.store().is_local() && !taken_over.contains(name) {
                let text = format!(
                    "{} stays: {held} events came during the reload",
                    handle.name()
                );
                applied.fail(text);
                self.running.channels.insert(name.clone(), channel);
            } else {
                removed.push(channel);
            }
        }
        self.close_left(removed).await;
    }

    fn start_groups(
        &mut self,
        plans: impl Iterator<Item = (String, GroupPlan)>,
        applied: &mut Applied,
    ) {
        for (name, plan) in plans {
            let find = |name: &str| self.running.channels.get(name).map(RunningChannel::access);
            let full_name = plan.section.name.clone();
            let started = RunningGroup::start(plan, find, &self.info);
            if let Some(group) = applied.note_failure(started, &full_name) {
                self.running.groups.insert(name, group);
            }
        }
    }

    fn start_sources(
        &mut self,
        plans: impl Iterator<Item = (String, SourcePlan)>,
        applied: &mut Applied,
    ) {
        for (name, plan) in plans {
            let channels = self.running.channels_of(&plan);
            let channels = channels.map(RunningChannel::access).collect();
            let full_name = plan.section.name.clone();
            let started = RunningSource::start(plan, channels, &self.info);
            if let Some(source) = applied.note_failure(started, &full_name) {
                self.running.sources.insert(name, source);
            }
        }
    }

    fn publish(&self, refused: &[Refused], flow: FlowShape) {
        let Running {
            channels,
            groups,
            sources,
        } = &self.running;
        let channels = channels.values().map(|channel| &channel.entry);
        let sources = sources.values().map(|source| &source.entry);
        let sinks = groups.values().flat_map(|group| &group.entries);
        let mut entries: Vec<_> = channels.chain(sources).chain(sinks).cloned().collect();
        for refused in refused {
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
        self.board.show_flow(flow);
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
        let running = std::mem::take(&mut self.running);
        stop_all(running.sources.into_values().collect()).await;
        let mut channels: Vec<_> = running.channels.into_values().collect();
        let mut groups: Vec<_> = running.groups.into_values().collect();
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

/// All at once: none waits for a slow one.
async fn close_all(channels: Vec<RunningChannel>) -> Remained {
    let closing = channels.into_iter().map(|channel| async {
        let handle = channel.handle.clone();
        (channel.close().await, handle)
    });
    let mut remained = Remained::new();
    for (lost, handle) in join_all(closing).await {
        remained.add(short_name(handle.name()), lost, handle.durable());
    }
    remained
}

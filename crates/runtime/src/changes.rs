//! What a new plan changes in what runs.

use std::{collections::BTreeMap, fmt};

use flume_conf::{ChannelPlan, GroupPlan, Plan, SourcePlan};
use flume_core::{ChannelHandle, EventStore, StoreRelation, component::short_name, props::Section};

use crate::{
    channels::{self, RunningChannel},
    sinks::{self, RunningGroup},
    sources::{self, RunningSource},
};

/// What runs, by short name.
#[derive(Default)]
pub(crate) struct Running {
    pub(crate) channels: BTreeMap<String, RunningChannel>,
    /// A sink without a group is one.
    pub(crate) groups: BTreeMap<String, RunningGroup>,
    pub(crate) sources: BTreeMap<String, RunningSource>,
}

/// The difference between what runs and a plan: what is to do, with the plans for it.
pub(crate) struct Changes {
    /// Those that restart keep their events.
    pub(crate) channels: Steps<ChannelPlan>,
    pub(crate) groups: Steps<GroupPlan>,
    /// Those that are rewired keep their connections.
    pub(crate) sources: Steps<SourcePlan>,
    /// Channels that stop, and whose directories with all events another channel has from now on.
    pub(crate) taken_over: Vec<String>,
}

/// Components of a kind by what happens to them, each with its short name.
pub(crate) struct Steps<P> {
    /// New.
    pub(crate) start: Vec<(String, P)>,
    /// Changed, and stopped for that.
    pub(crate) restart: Vec<(String, P)>,
    /// Changed only in what leads from them.
    pub(crate) rewire: Vec<(String, P)>,
    /// Gone.
    pub(crate) stop: Vec<String>,
}

/// What happens to a component that runs and is planned.
enum Step {
    None,
    Restart,
    Rewire,
}

/// Why a reload changes nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The new configuration has errors.
    #[error("errors in the new configuration: {errors}; the first: {first}")]
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
}

impl Changes {
    /// Refuses a plan with errors once something runs, and one that would lose events. The plan was checked.
    pub(crate) fn between(running: &Running, plan: Plan) -> Result<Changes, ReloadError> {
        let mut errors = plan.diagnostics.iter().filter(|found| found.is_error());
        if let (false, Some(first)) = (running.is_empty(), errors.next()) {
            return Err(ReloadError::Invalid {
                errors: errors.count() + 1,
                first: first.to_string(),
            });
        }
        let channels = Steps::new(
            &running.channels,
            plan.channels,
            |plan| &plan.section,
            |old, new| Step::restart_if(old.values != channels::values(new)),
        );
        for (name, plan) in &channels.restart {
            check_room(&running.channels[name].handle, plan)?;
        }
        let built = channels
            .start
            .iter()
            .filter_map(|(_, plan)| plan.recipe.first());
        let new_stores: Vec<_> = built.map(|channel| channel.store()).collect();
        let mut taken_over = vec![];
        for name in &channels.stop {
            if is_taken_over(running, name, &new_stores)? {
                taken_over.push(name.clone());
            }
        }
        let is_replaced = |channel: &String| {
            let mut replaced = channels.restart.iter();
            replaced.any(|(name, _)| name == channel)
        };
        let groups = Steps::new(
            &running.groups,
            plan.groups,
            |plan| &plan.section,
            |old, new| {
                let is_disturbed = sinks::channels(new).iter().any(is_replaced);
                Step::restart_if(is_disturbed || old.values != sinks::values(new))
            },
        );
        let sources = Steps::new(
            &running.sources,
            plan.sources,
            |plan| &plan.section,
            |old, new| {
                if old.values == sources::values(new)
                    && old.frame_values != sources::frame_values(new)
                {
                    return Step::Rewire;
                }
                Step::restart_if(old.values != sources::values(new))
            },
        );
        Ok(Changes {
            channels,
            groups,
            sources,
            taken_over,
        })
    }
}

impl Running {
    fn is_empty(&self) -> bool {
        self.channels.is_empty() && self.groups.is_empty() && self.sources.is_empty()
    }

    /// Those of a source's channels that run.
    pub(crate) fn channels_of(&self, plan: &SourcePlan) -> impl Iterator<Item = &RunningChannel> {
        let names = plan.frame.channels.texts();
        names.filter_map(|name| self.channels.get(name))
    }
}

impl Step {
    fn restart_if(differs: bool) -> Step {
        if differs { Step::Restart } else { Step::None }
    }
}

impl<P> Steps<P> {
    fn new<R>(
        running: &BTreeMap<String, R>,
        planned: Vec<P>,
        section: impl Fn(&P) -> &Section,
        compare: impl Fn(&R, &P) -> Step,
    ) -> Self {
        let names = planned.iter().map(|plan| short_name(&section(plan).name));
        let names: Vec<_> = names.map(String::from).collect();
        let gone = running.keys().filter(|name| !names.contains(name));
        let mut steps = Steps {
            start: vec![],
            restart: vec![],
            rewire: vec![],
            stop: gone.cloned().collect(),
        };
        for (name, plan) in names.into_iter().zip(planned) {
            let step = running.get(&name).map(|old| compare(old, &plan));
            match step {
                None => steps.start.push((name, plan)),
                Some(Step::Restart) => steps.restart.push((name, plan)),
                Some(Step::Rewire) => steps.rewire.push((name, plan)),
                Some(Step::None) => {}
            }
        }
        steps
    }

    /// Short names of what ends, also of what starts again.
    pub(crate) fn ending(&self) -> Vec<String> {
        let restarted = self.restart.iter().map(|(name, _)| name);
        self.stop.iter().chain(restarted).cloned().collect()
    }

    /// What happens, by verb.
    fn parts(&self, kind: &str) -> Vec<String> {
        let names =
            |planned: &[(String, P)]| planned.iter().map(|(name, _)| name.clone()).collect();
        let lists: [(&str, Vec<String>); 4] = [
            ("start", names(&self.start)),
            ("restart", names(&self.restart)),
            ("rewire", names(&self.rewire)),
            ("stop", self.stop.clone()),
        ];
        let lists = lists.into_iter().filter(|(_, names)| !names.is_empty());
        lists
            .map(|(verb, names)| format!("{verb} {kind} {}", names.join(" ")))
            .collect()
    }
}

/// A channel may not shrink below what it holds. One that is over its capacity since a start may stay so, unless its
/// events move.
fn check_room(old: &ChannelHandle, plan: &ChannelPlan) -> Result<(), ReloadError> {
    let Some(new) = plan.recipe.first() else {
        return Ok(());
    };
    let store = old.store();
    let moves = store.relation(&new.store()) == StoreRelation::Apart;
    let held = old.held_events();
    let capacity = new.stats().capacity;
    let shrinks = moves || capacity < old.stats().capacity;
    if store.is_local() && shrinks && held > capacity {
        let text = format!("holds {held} events, more than the new capacity {capacity}");
        return refuse(old, text);
    }
    Ok(())
}

/// Whether one of the new channels has all events of a channel that vanishes. A channel without such a successor may
/// not vanish with events that no sink of the old configuration could deliver.
fn is_taken_over(
    running: &Running,
    name: &String,
    new: &[EventStore],
) -> Result<bool, ReloadError> {
    let handle = &running.channels[name].handle;
    let store = handle.store();
    let relations: Vec<_> = new.iter().map(|other| store.relation(other)).collect();
    if relations.contains(&StoreRelation::Same) {
        return Ok(true);
    }
    let held = handle.held_events();
    let awaits = handle.awaits_dead_letters();
    if (held == 0 && !awaits) || !store.is_local() {
        return Ok(false);
    }
    if held > 0 && relations.contains(&StoreRelation::Partly) {
        let text =
            format!("holds {held} events in directories of which another channel takes only some");
        return refuse(handle, text);
    }
    let mut groups = running.groups.values();
    if groups.any(|group| group.drains.contains(name)) {
        return Ok(false);
    }
    if held == 0 {
        let text = "awaits dead letters that no sink would take";
        return refuse(handle, text.into());
    }
    refuse(
        handle,
        format!("holds {held} events that no sink would take"),
    )
}

fn refuse<T>(channel: &ChannelHandle, reason: String) -> Result<T, ReloadError> {
    let channel = channel.name().to_string();
    Err(ReloadError::Channel { channel, reason })
}

impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = self.channels.parts("channels");
        parts.append(&mut self.groups.parts("sinks"));
        parts.append(&mut self.sources.parts("sources"));
        if parts.is_empty() {
            return f.write_str("nothing changes");
        }
        f.write_str(&parts.join(", "))
    }
}

//! What a new plan changes in a running agent.

use std::fmt;

use flume_conf::Plan;
use flume_core::{Context, StoreRelation, component::short_name};

use crate::{
    agent::{Agent, ReloadError},
    channels, sinks,
    sources::frame_values,
};

/// The difference between what runs and a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Of channels; `restarted` keep their events.
    pub channels: Names,
    /// Of sink groups; a sink without a group is one.
    pub groups: Names,
    /// Of sources; `rewired` keep their connections.
    pub sources: Names,
    /// Channels that go, and whose directories with all events another channel has from now on.
    pub taken_over: Vec<String>,
    /// What could not be changed after all, and why; known once it was tried.
    pub failed: Vec<String>,
}

/// Short names by what happens to them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// New.
    pub started: Vec<String>,
    /// Changed, and stopped for that.
    pub restarted: Vec<String>,
    /// Changed only in what leads from them.
    pub rewired: Vec<String>,
    /// Gone.
    pub stopped: Vec<String>,
}

impl Changes {
    /// Refuses a plan with errors once something runs, and one that would lose events.
    pub(crate) fn between(agent: &Agent, plan: &Plan) -> Result<Changes, ReloadError> {
        let first_start =
            agent.channels.is_empty() && agent.sources.is_empty() && agent.groups.is_empty();
        let mut errors = plan.diagnostics.iter().filter(|found| found.is_error());
        if let (false, Some(first)) = (first_start, errors.next()) {
            return Err(ReloadError::Invalid {
                errors: errors.count() + 1,
                first: first.to_string(),
            });
        }
        let mut changes = Changes {
            channels: channel_changes(agent, plan),
            ..Changes::default()
        };
        changes.refuse_losses(agent, plan)?;
        for planned in &plan.groups {
            let name = short_name(&planned.section.name).to_string();
            let disturbed = sinks::channels(planned)
                .iter()
                .any(|name| changes.channels.restarted.contains(name));
            match agent.groups.get(&name) {
                None => changes.groups.started.push(name),
                Some(running) if disturbed || running.values != sinks::values(planned) => {
                    changes.groups.restarted.push(name)
                }
                Some(_) => {}
            }
        }
        for planned in &plan.sources {
            let name = short_name(&planned.section.name).to_string();
            match agent.sources.get(&name) {
                None => changes.sources.started.push(name),
                Some(running) if running.values != channels::owned(planned.section.values()) => {
                    changes.sources.restarted.push(name)
                }
                Some(running) if running.frame_values != frame_values(planned) => {
                    changes.sources.rewired.push(name)
                }
                Some(_) => {}
            }
        }
        let groups = plan.groups.iter().map(|group| &group.section.name);
        changes.groups.stopped = missing(agent.groups.keys(), groups);
        let sources = plan.sources.iter().map(|source| &source.section.name);
        changes.sources.stopped = missing(agent.sources.keys(), sources);
        Ok(changes)
    }

    /// A channel may neither shrink below what it holds nor vanish with events that no sink of the old configuration
    /// could deliver. One whose directories another channel takes over loses none.
    fn refuse_losses(&mut self, agent: &Agent, plan: &Plan) -> Result<(), ReloadError> {
        let refuse = |name: &str, reason: String| {
            let channel = format!("{}.channels.{name}", agent.info.name);
            Err(ReloadError::Channel { channel, reason })
        };
        let mut taken_over = vec![];
        for planned in &plan.channels {
            let name = short_name(&planned.section.name);
            let cx = Context::of_agent(&planned.section.name, vec![], agent.info.clone());
            let Ok(built) = (planned.build)(&cx) else {
                continue;
            };
            let is = |names: &[String]| names.iter().any(|other| other == name);
            if is(&self.channels.started) {
                taken_over.push(built.store());
            }
            let Some(running) = agent
                .channels
                .get(name)
                .filter(|_| is(&self.channels.restarted))
            else {
                continue;
            };
            let store = running.handle.store();
            let held = running.handle.held_events();
            let capacity = built.stats().capacity;
            let moves = store.is_local() && store.relation(&built.store()) == StoreRelation::Apart;
            if moves && held > capacity {
                let text = format!("holds {held} events, more than the new capacity {capacity}");
                return refuse(name, text);
            }
        }
        for name in &self.channels.stopped {
            let Some(running) = agent.channels.get(name) else {
                continue;
            };
            let store = running.handle.store();
            let relations = taken_over.iter().map(|other| store.relation(other));
            let overlap: Vec<_> = relations
                .filter(|relation| *relation != StoreRelation::Apart)
                .collect();
            if overlap.contains(&StoreRelation::Same) {
                self.taken_over.push(name.clone());
                continue;
            }
            let held = running.handle.held_events();
            let awaits = running.handle.awaits_dead_letters();
            if (held == 0 && !awaits) || !store.is_local() {
                continue;
            }
            if held > 0 && !overlap.is_empty() {
                let text = format!(
                    "holds {held} events in directories of which another channel takes only some"
                );
                return refuse(name, text);
            }
            let drained = agent
                .groups
                .values()
                .any(|group| group.drains.contains(name));
            if !drained && held == 0 {
                let text = "awaits dead letters that no sink would take";
                return refuse(name, text.into());
            }
            if !drained {
                return refuse(name, format!("holds {held} events that no sink would take"));
            }
        }
        Ok(())
    }

    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        *self == Changes::default()
    }
}

fn channel_changes(agent: &Agent, plan: &Plan) -> Names {
    let mut changes = Names::default();
    for planned in &plan.channels {
        let name = short_name(&planned.section.name).to_string();
        match agent.channels.get(&name) {
            None => changes.started.push(name),
            Some(running) if running.values != channels::values(planned) => {
                changes.restarted.push(name)
            }
            Some(_) => {}
        }
    }
    changes.stopped = missing(
        agent.channels.keys(),
        plan.channels.iter().map(|channel| &channel.section.name),
    );
    changes
}

/// Those that run and are not planned.
fn missing<'a>(
    running: impl Iterator<Item = &'a String>,
    planned: impl Iterator<Item = &'a String>,
) -> Vec<String> {
    let planned: Vec<_> = planned.map(|name| short_name(name)).collect();
    running
        .filter(|name| !planned.contains(&name.as_str()))
        .cloned()
        .collect()
}

impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("nothing changes");
        }
        let mut parts = vec![];
        for (kind, names) in [
            ("channels", &self.channels),
            ("sinks", &self.groups),
            ("sources", &self.sources),
        ] {
            let lists = [
                ("start", &names.started),
                ("restart", &names.restarted),
                ("rewire", &names.rewired),
                ("stop", &names.stopped),
            ];
            for (verb, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
                parts.push(format!("{verb} {kind} {}", list.join(" ")));
            }
        }
        parts.extend(self.failed.iter().cloned());
        f.write_str(&parts.join(", "))
    }
}

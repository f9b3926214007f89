//! `failover`: the best sink that works delivers, the others stand by.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use flume_core::{
    BackOff, BuildError, Code, Component, Config, Context, SinkError, SinkProcessor, SinkRunner,
    SinkStep,
    config::{Millis, OrDefault, Property, PropertyValue, Scalar},
    props::Props,
};
use tokio::time::Instant;

/// How long a sink that failed for the first time is left alone.
const FIRST_PENALTY: Duration = Duration::from_secs(2);

/// Lets the sink with the highest priority deliver. When it fails, the next takes over at once; the failed one is tried
/// again after a pause that doubles with each failure, and delivers again as soon as it can.
#[derive(Clone, Config)]
pub(super) struct FailoverConfig {
    /// A sink's priority: `priority.k1 = 10`. The highest delivers. Sinks without one follow in the order of `sinks`,
    /// from -1 downwards. Of equal priorities the sink that is listed first is preferred.
    #[prop("priority")]
    priorities: Priorities,
    /// Longest pause in milliseconds before a failed sink is tried again: 2 s after the first failure, doubling.
    #[prop("maxpenalty", default = 30000)]
    max_penalty: OrDefault<Millis>,
}

/// What stands below `priority.`, by sink. A value that is not a number counts as not set, as in Flume, with a warning.
#[derive(Clone, Debug, Default)]
struct Priorities(BTreeMap<String, i32>);

impl PropertyValue for Priorities {
    const TYPE: &'static str = "map";
    const OPTIONAL: bool = true;

    fn read(props: &mut Props<'_>, row: &Property) -> Option<Self> {
        let mut priorities = BTreeMap::new();
        for (sink, setting) in props.claim(&format!("{}.", row.key)) {
            match i32::parse(setting.text.trim()) {
                Ok(priority) => drop(priorities.insert(sink, priority)),
                Err(expected) => {
                    let text = format!(
                        "expected {expected}, found `{}`; the sink counts as one without priority",
                        setting.text
                    );
                    let key = format!("{}.{sink}", row.key);
                    props.report(Code::FallsBack, &key, &text, None);
                }
            }
        }
        Some(Priorities(priorities))
    }
}

pub(super) struct FailoverProcessor {
    penalties: BackOff,
    /// Best first.
    members: Vec<FailoverMember>,
    /// Names with a priority that are not sinks of the group; empty after the warning.
    strangers: Vec<String>,
}

/// A sink of the group.
struct FailoverMember {
    /// Its place among the runners.
    index: usize,
    name: String,
    priority: i32,
    /// `None`: it works, as far as is known.
    penalty: Option<Penalty>,
}

/// A sink failed.
#[derive(Clone, Copy)]
struct Penalty {
    /// Failures in a row.
    failures: u32,
    /// It is not tried before.
    until: Instant,
}

impl Component for FailoverProcessor {
    type Config = FailoverConfig;
    fn build(config: FailoverConfig, cx: &Context) -> Result<Self, BuildError> {
        let Priorities(mut given) = config.priorities;
        let mut unset = 0;
        let mut members = vec![];
        for (index, name) in cx.peers.iter().enumerate() {
            let priority = given.remove(name).unwrap_or_else(|| {
                unset -= 1;
                unset
            });
            members.push(FailoverMember {
                index,
                name: name.clone(),
                priority,
                penalty: None,
            });
        }
        // A stable sort: of equal priorities the first stays first.
        members.sort_by_key(|member| std::cmp::Reverse(member.priority));
        Ok(FailoverProcessor {
            penalties: BackOff::doubling(FIRST_PENALTY, config.max_penalty.0.0),
            members,
            strangers: given.into_keys().collect(),
        })
    }
}

#[async_trait]
impl SinkProcessor for FailoverProcessor {
    /// First the failed sinks whose time has come, then the active one, then the next best.
    async fn step(
        &mut self,
        sinks: &mut [SinkRunner],
        wait: Duration,
    ) -> Result<SinkStep, SinkError> {
        for stranger in self.strangers.drain(..) {
            tracing::warn!("`priority.{stranger}` has no effect: the group has no such sink");
        }
        for place in self.due(Instant::now()) {
            let wait = self.probation_wait(place, sinks, wait);
            match self.step_one(place, sinks, wait).await {
                // No event came to try it with.
                Ok(SinkStep::Idle) if wait.is_zero() => break,
                Ok(SinkStep::Idle) => return Ok(SinkStep::Idle),
                Ok(step) => {
                    self.recovered(place);
                    return Ok(step);
                }
                Err(_) => {}
            }
        }
        while let Some(place) = self.active() {
            self.stand_by(place, sinks).await;
            if let Ok(step) = self.step_one(place, sinks, wait).await {
                return Ok(step);
            }
        }
        Err(SinkError::new(
            "deliver",
            format!("every sink of the group has failed: {}", self.names()),
        ))
    }
}

impl FailoverProcessor {
    /// The places of the failed sinks that may be tried again, the one whose time came first in front.
    fn due(&self, now: Instant) -> Vec<usize> {
        let failed = self.members.iter().enumerate();
        let failed = failed.filter_map(|(place, member)| Some((member.penalty?.until, place)));
        let mut due: Vec<_> = failed.filter(|(until, _)| *until <= now).collect();
        due.sort();
        due.into_iter().map(|(_, place)| place).collect()
    }

    /// The place of the best sink that works.
    fn active(&self) -> Option<usize> {
        self.members
            .iter()
            .position(|member| member.penalty.is_none())
    }

    /// A failed sink with a channel of its own must not make the active one wait for that channel.
    fn probation_wait(&self, place: usize, sinks: &[SinkRunner], wait: Duration) -> Duration {
        let Some(active) = self.active() else {
            return wait;
        };
        let failed = &sinks[self.members[place].index];
        if failed.shares_channel(&sinks[self.members[active].index]) {
            wait
        } else {
            Duration::ZERO
        }
    }

    /// One step of one sink. A failure is its penalty.
    async fn step_one(
        &mut self,
        place: usize,
        sinks: &mut [SinkRunner],
        wait: Duration,
    ) -> Result<SinkStep, SinkError> {
        let member = &mut self.members[place];
        let failures = member
            .penalty
            .map_or(0, |penalty| penalty.failures)
            .saturating_add(1);
        let pause = self.penalties.after(failures);
        let sink = &mut sinks[member.index];
        let outcome = sink.step_or_pause(wait, pause).await;
        if outcome.is_err() {
            sink.return_parked();
            member.penalty = Some(Penalty {
                failures,
                until: Instant::now() + pause,
            });
            let successor = self.active().map(|active| &self.members[active].name);
            let failed = &self.members[place].name;
            if let Some(successor) = successor.filter(|_| failures == 1) {
                tracing::warn!("sink {failed} failed; sink {successor} takes over");
            }
        }
        outcome
    }

    fn recovered(&mut self, place: usize) {
        self.members[place].penalty = None;
        let member = &self.members[place];
        tracing::info!("sink {} of the group delivers again", member.name);
    }

    /// Says of all sinks that work, except the active one, why they do nothing.
    async fn stand_by(&self, active: usize, sinks: &mut [SinkRunner]) {
        let FailoverMember { name, priority, .. } = &self.members[active];
        let reason = format!("standing by: sink {name} with priority {priority} is active");
        for (place, member) in self.members.iter().enumerate() {
            if place != active && member.penalty.is_none() {
                sinks[member.index].stand_by(&reason).await;
            }
        }
    }

    fn names(&self) -> String {
        let names: Vec<_> = self.members.iter().map(|member| &*member.name).collect();
        names.join(", ")
    }
}

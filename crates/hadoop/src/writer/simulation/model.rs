//! Every order of events on a small cluster with a few faults, and, with one rule left out at a time, that each of them
//! is needed. The machine is the real one; a rule is left out between it and the cluster.
//!
//! Time passes when nothing else can happen: a model of what comes first, not of how long it takes.

use std::{
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    panic::{AssertUnwindSafe, catch_unwind},
};

use stateright::{Checker, HasDiscoveries, Model, Property};

use super::*;

/// What the writer does, one after the other, each when what was flushed before is there.
const SCRIPT: &[Deed] = &[
    Deed::Write(700),
    Deed::Flush,
    Deed::Write(500),
    Deed::Flush,
    Deed::Close,
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    Write(usize),
    Flush,
    Close,
}

/// How far the model goes.
struct Bounds {
    left_out: Option<Rule>,
    nodes: usize,
    faults: usize,
    /// The first node fails, too.
    none_is_spared: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    /// The writer goes on.
    Write,
    /// The event of this number happens.
    Happen(u64),
    /// Time passes, until something happens.
    Wait,
    Kill(usize),
    Hang(usize),
    Resume(usize),
    FillDisk(usize),
    Reset,
}

#[derive(Clone)]
struct ModelState {
    world: World,
    /// Deeds that are done.
    done: usize,
    faults: usize,
    wrong: Option<String>,
}

impl fmt::Debug for ModelState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = &self.world.machine.stage;
        write!(f, "{} done, {stage:?}, {:?}", self.done, self.wrong)
    }
}

impl Hash for ModelState {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let world = &self.world;
        (self.done, self.faults, &self.wrong).hash(state);
        world.machine.hash(state);
        (world.now, &world.nodes, &world.blocks).hash(state);
        (world.chain, &world.tickets, world.next_generation).hash(state);
        (world.closed, &world.failed, world.refused_completes).hash(state);
        // Only the order on a hop matters.
        let mut events: Vec<_> = world
            .events
            .iter()
            .map(|((when, number), event)| match hop(event) {
                None => (*when, 0, 0, digest(event)),
                Some(hop) => (*when, hop, *number, digest(event)),
            })
            .collect();
        events.sort_unstable();
        for (when, hop, _, event) in events {
            (when, hop, event).hash(state);
        }
    }
}

impl PartialEq for ModelState {
    fn eq(&self, other: &ModelState) -> bool {
        digest(self) == digest(other)
    }
}

fn digest(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// Events of one hop do not overtake each other.
fn hop(event: &Happening) -> Option<u64> {
    match event {
        Happening::Packet { chain, hop, .. } => Some(digest(&(chain, hop, false))),
        Happening::Ack { chain, hop, .. } => Some(digest(&(chain, hop, true))),
        Happening::News { chain, .. } | Happening::Broken { chain } => {
            Some(digest(&(chain, 0usize, true)))
        }
        _ => None,
    }
}

impl ModelState {
    /// Numbers of the events that can be next.
    fn ready(&self) -> Vec<u64> {
        let mut hops = BTreeSet::new();
        let now = self.world.now;
        let due = self.world.events.range(..=(now, u64::MAX));
        due.filter(|(_, event)| hop(event).is_none_or(|hop| hops.insert(hop)))
            .map(|((_, number), _)| *number)
            .collect()
    }

    fn is_over(&self) -> bool {
        self.world.closed || self.world.failed.is_some() || self.wrong.is_some()
    }

    fn step(&mut self, action: Action) {
        let world = &mut self.world;
        self.faults += usize::from(!matches!(
            action,
            Action::Write | Action::Happen(_) | Action::Wait | Action::Resume(_)
        ));
        match action {
            Action::Write => {
                match SCRIPT[self.done] {
                    Deed::Write(length) => world.write(length),
                    Deed::Flush => world.flush(false),
                    Deed::Close => world.machine.close(),
                }
                self.done += 1;
            }
            Action::Happen(number) => {
                let key = *world
                    .events
                    .keys()
                    .find(|key| key.1 == number)
                    .expect("it is due");
                let event = world.events.remove(&key).expect("it is due");
                world.happen(event);
            }
            Action::Wait => {
                let next = world.next_time().expect("there is a time");
                world.pass_to(next);
            }
            Action::Kill(node) => world.fault(Happening::Kill(node)),
            Action::Hang(node) => world.fault(Happening::Hang(node)),
            Action::Resume(node) => world.fault(Happening::Resume(node)),
            Action::FillDisk(node) => world.fault(Happening::FillDisk(node)),
            Action::Reset => world.fault(Happening::Reset),
        }
        world.drain();
        world.check_prefixes();
    }
}

impl Model for Bounds {
    type State = ModelState;
    type Action = Action;

    fn init_states(&self) -> Vec<ModelState> {
        let settings = WriteSettings {
            block_bytes: 1024,
            packet_data_bytes: 512,
            bytes_per_checksum: 512,
            checksum: ChecksumKind::Crc32c,
            replication: self.nodes,
            replace_nodes: true,
            patience: Duration::from_secs(300),
        };
        let mut world = World::of(settings, self.nodes);
        world.modelled = true;
        world.left_out = self.left_out;
        vec![ModelState {
            world,
            done: 0,
            faults: 0,
            wrong: None,
        }]
    }

    fn actions(&self, state: &ModelState, actions: &mut Vec<Action>) {
        let world = &state.world;
        if state.is_over() {
            return;
        }
        let ready = state.ready();
        let waits = !world.tickets.is_empty();
        let closes = state.done == SCRIPT.len();
        if ready.is_empty() && (waits || closes) && world.next_time().is_some() {
            actions.push(Action::Wait);
        }
        actions.extend(ready.into_iter().map(Action::Happen));
        if !waits && !closes {
            actions.push(Action::Write);
        }
        let may_fail = state.faults < self.faults;
        for at in usize::from(!self.none_is_spared)..self.nodes {
            let FakeNode {
                dead, hung, full, ..
            } = world.nodes[at];
            if hung && !dead {
                actions.push(Action::Resume(at));
            }
            if may_fail && !dead && !hung && !full {
                actions.extend([Action::Kill(at), Action::Hang(at), Action::FillDisk(at)]);
            }
        }
        if may_fail && self.none_is_spared && world.chain.is_some() {
            actions.push(Action::Reset);
        }
    }

    fn next_state(&self, state: &ModelState, action: Action) -> Option<ModelState> {
        let mut next = state.clone();
        let step = catch_unwind(AssertUnwindSafe(|| next.step(action)));
        if let Err(said) = step {
            let text = said.downcast_ref::<String>().cloned();
            next.wrong = Some(text.unwrap_or_else(|| "an assertion".into()));
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Bounds>> {
        vec![
            Property::always("nothing is wrong", |_, state: &ModelState| {
                state.wrong.is_none()
            }),
            Property::always(
                "a spared node keeps the file",
                |bounds: &Bounds, state: &ModelState| {
                    bounds.none_is_spared || state.world.failed.is_none()
                },
            ),
            Property::eventually("it ends", |_, state: &ModelState| state.is_over()),
        ]
    }
}

/// How many states there are, and what is wrong in one.
fn check(bounds: Bounds) -> (usize, Option<String>) {
    let checker = bounds
        .checker()
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_dfs()
        .join();
    let found = checker.discoveries().into_iter().next();
    let told = found.map(|(name, path)| {
        let last = path.last_state().clone();
        format!("not so: {name}. {last:?} after {:?}", path.into_actions())
    });
    (checker.unique_state_count(), told)
}

#[test]
fn every_order_of_events_keeps_what_was_flushed() {
    for (nodes, faults, none_is_spared) in [(2, 2, false), (2, 1, true), (3, 1, false)] {
        let bounds = Bounds {
            left_out: None,
            nodes,
            faults,
            none_is_spared,
        };
        let (states, found) = check(bounds);
        assert_eq!(found, None);
        assert!(states > 1000);
    }
}

#[test]
fn each_rule_is_needed() {
    for (left_out, faults) in [
        (Rule::NameNodeIsTold, 2),
        (Rule::NameNodeRemembers, 0),
        (Rule::GenerationGrows, 2),
        (Rule::SentAgain, 2),
        (Rule::SilenceIsNoProof, 2),
        (Rule::LengthIsWhole, 0),
    ] {
        let bounds = Bounds {
            left_out: Some(left_out),
            nodes: 2,
            faults,
            none_is_spared: true,
        };
        let (_, found) = check(bounds);
        assert!(found.is_some(), "nobody misses {left_out:?}");
    }
}

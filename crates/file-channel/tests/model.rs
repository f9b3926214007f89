//! A model of writer, reader and checkpoint, explored through every interleaving with crashes and failing syncs. It
//! shows that the rules of `docs/format/file-channel.md` are enough for what the channel promises, and, by leaving out
//! one at a time, that each of them is needed.

use std::collections::{BTreeMap, BTreeSet};

use stateright::{Checker, HasDiscoveries, Model, Property};

type Event = u8;
type Sequence = u8;
type Group = u8;

/// A rule of the protocol that the model may leave out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// First invariant: group k + 1 is never written before the sync of group k returned Ok.
    SyncBeforeNextGroup,
    /// Second invariant: a batch can be taken only after its sync.
    SyncBeforeTake,
    /// Third invariant: a sequence number is never used twice; the next follows the greatest of checkpoint, puts, acks.
    NextFollowsAll,
    /// A segment is reused only once the checkpoint that says it is drained is durable.
    CheckpointBeforeReuse,
    /// A segment's header names the last good group before it.
    HeaderNamesLastGood,
    /// Recovery syncs what it accepted before it serves.
    RecoverySyncs,
}

/// How far the model goes.
struct Bounds {
    broken: Option<Rule>,
    events: Event,
    segment_groups: usize,
    power_losses: u8,
    kills: u8,
    failures: u8,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq)]
struct Stored {
    number: Group,
    puts: Vec<(Sequence, Event)>,
    acks: Vec<Sequence>,
    state: Kept,
}

/// What the disk has of a group.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
enum Kept {
    /// The page cache has it; the disk may have all, a part or nothing.
    Cached,
    Durable,
    /// A part, after a power loss.
    Torn,
}

#[derive(Clone, Debug, Default, Hash, PartialEq, Eq)]
struct Segment {
    last_good_before: Group,
    groups: Vec<Stored>,
}

#[derive(Clone, Debug, Default, Hash, PartialEq, Eq)]
struct Checkpoint {
    next: Sequence,
    consumed: BTreeSet<Sequence>,
}

#[derive(Clone, Debug, Default, Hash, PartialEq, Eq)]
struct State {
    // On the disk.
    segments: Vec<Segment>,
    checkpoint: Checkpoint,
    // In the process.
    draft: Option<Checkpoint>,
    running: bool,
    next: Sequence,
    next_group: Group,
    waiting: Vec<Event>,
    acks: Vec<Sequence>,
    takeable: Vec<(Sequence, Event)>,
    taken: Option<(Sequence, Event)>,
    consumed: BTreeSet<Sequence>,
    // What the world knows.
    offered: Event,
    acknowledged: BTreeSet<Event>,
    delivered: BTreeSet<Event>,
    /// Their acks are durable.
    settled: BTreeSet<Event>,
    names: BTreeMap<Sequence, Event>,
    /// Recovery met damage before the last group.
    hole: bool,
    /// Something was taken that a power loss could have undone.
    hasty: bool,
    power_losses: u8,
    kills: u8,
    failures: u8,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Action {
    Offer,
    Write,
    Sync,
    SyncFails,
    Take,
    Deliver,
    RollBack,
    BeginCheckpoint,
    EndCheckpoint,
    Reuse(usize),
    Kill,
    /// What becomes of the groups that are only in the page cache.
    LosePower(Vec<Fate>),
    Recover,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Whole,
    Part,
    Nothing,
}

impl Bounds {
    fn keeps(&self, rule: Rule) -> bool {
        self.broken != Some(rule)
    }
}

impl State {
    fn unsynced(&self) -> usize {
        self.segments
            .last()
            .map_or(0, |last| count(last, Kept::Cached))
    }

    fn begin_segment(&mut self) {
        let last_good_before = self.next_group - 1;
        self.segments.push(Segment {
            last_good_before,
            groups: vec![],
        });
    }

    fn write(&mut self, bounds: &Bounds) {
        if self
            .segments
            .last()
            .is_none_or(|last| last.groups.len() >= bounds.segment_groups)
        {
            self.begin_segment();
        }
        let mut puts = vec![];
        for event in std::mem::take(&mut self.waiting) {
            self.names.insert(self.next, event);
            puts.push((self.next, event));
            self.next += 1;
        }
        if !bounds.keeps(Rule::SyncBeforeTake) {
            self.takeable.extend(&puts);
        }
        let group = Stored {
            number: self.next_group,
            puts,
            acks: std::mem::take(&mut self.acks),
            state: Kept::Cached,
        };
        self.next_group += 1;
        self.segments
            .last_mut()
            .expect("a segment")
            .groups
            .push(group);
    }

    fn sync(&mut self, bounds: &Bounds) {
        let groups = &mut self.segments.last_mut().expect("a segment").groups;
        for group in groups
            .iter_mut()
            .filter(|group| group.state == Kept::Cached)
        {
            group.state = Kept::Durable;
            self.acknowledged
                .extend(group.puts.iter().map(|(_, event)| event));
            self.settled
                .extend(group.acks.iter().filter_map(|ack| self.names.get(ack)));
            if bounds.keeps(Rule::SyncBeforeTake) {
                self.takeable.extend(&group.puts);
            }
        }
    }

    /// The group may be on the disk or not. Its puts are written again with new numbers, in a new segment.
    fn abandon(&mut self, bounds: &Bounds) {
        let failed: Vec<_> = {
            let groups = &self.segments.last().expect("a segment").groups;
            groups
                .iter()
                .filter(|group| group.state == Kept::Cached)
                .cloned()
                .collect()
        };
        let first = failed.first().expect("a group").number;
        for group in failed.iter().rev() {
            self.waiting
                .splice(..0, group.puts.iter().map(|(_, event)| *event));
            self.acks.splice(..0, group.acks.iter().copied());
        }
        let last_good_before = if bounds.keeps(Rule::HeaderNamesLastGood) {
            first - 1
        } else {
            self.next_group - 1
        };
        self.segments.push(Segment {
            last_good_before,
            groups: vec![],
        });
    }

    fn crash(&mut self) {
        let next = State {
            segments: std::mem::take(&mut self.segments),
            checkpoint: std::mem::take(&mut self.checkpoint),
            offered: self.offered,
            acknowledged: std::mem::take(&mut self.acknowledged),
            delivered: std::mem::take(&mut self.delivered),
            settled: std::mem::take(&mut self.settled),
            hole: self.hole,
            hasty: self.hasty,
            power_losses: self.power_losses,
            kills: self.kills,
            failures: self.failures,
            ..State::default()
        };
        *self = next;
    }

    fn recover(&mut self, bounds: &Bounds) {
        let limits: Vec<Group> = self
            .segments
            .iter()
            .map(|segment| segment.last_good_before)
            .collect();
        let mut found: Vec<&mut Stored> = vec![];
        for (place, segment) in self.segments.iter_mut().enumerate() {
            let limit = limits[place + 1..]
                .iter()
                .copied()
                .min()
                .unwrap_or(Group::MAX);
            found.extend(
                segment
                    .groups
                    .iter_mut()
                    .filter(|group| group.number <= limit),
            );
        }
        let last = found.len();
        let mut puts = vec![];
        let mut acks = BTreeSet::new();
        let mut greatest_group = 0;
        for (place, group) in found.into_iter().enumerate() {
            if group.state == Kept::Torn {
                self.hole |= place + 1 < last;
                continue;
            }
            if bounds.keeps(Rule::RecoverySyncs) {
                group.state = Kept::Durable;
            }
            greatest_group = group.number;
            puts.extend(group.puts.iter().copied());
            acks.extend(group.acks.iter().copied());
        }
        let greatest_put = puts
            .iter()
            .map(|(sequence, _)| *sequence)
            .max()
            .unwrap_or(0);
        let mut greatest = greatest_put;
        if bounds.keeps(Rule::NextFollowsAll) {
            greatest = greatest
                .max(acks.last().copied().unwrap_or(0))
                .max(self.checkpoint.next.saturating_sub(1));
        }
        self.next = greatest + 1;
        self.names = puts.iter().copied().collect();
        self.consumed = &self.checkpoint.consumed | &acks;
        puts.sort();
        self.takeable = puts
            .into_iter()
            .filter(|(sequence, _)| !self.consumed.contains(sequence))
            .collect();
        // Numbers of groups are never used again either; the model may take any greater one.
        let greatest_limit = limits.into_iter().max().unwrap_or(0);
        self.next_group = greatest_group.max(greatest_limit) + 1;
        self.running = true;
        // What follows goes into a segment of its own, whose header ends the one before.
        let last_good_before = greatest_group;
        self.segments.push(Segment {
            last_good_before,
            groups: vec![],
        });
    }

    /// Places of the segments whose events are all consumed, but for the last.
    fn reusable(&self, consumed: &BTreeSet<Sequence>) -> Vec<usize> {
        let drained = |segment: &Segment| {
            let puts = segment.groups.iter().flat_map(|group| &group.puts);
            // An ack says nothing that such a checkpoint does not.
            let acks = segment.groups.iter().flat_map(|group| &group.acks);
            puts.map(|(sequence, _)| sequence)
                .chain(acks)
                .all(|sequence| consumed.contains(sequence))
        };
        let mut reusable = vec![];
        let mut greatest_before = 0;
        for (place, segment) in self
            .segments
            .iter()
            .enumerate()
            .take(self.segments.len().saturating_sub(1))
        {
            // A header that ends a segment before it is still needed.
            if drained(segment) && segment.last_good_before >= greatest_before {
                reusable.push(place);
            }
            greatest_before = segment
                .groups
                .iter()
                .map(|group| group.number)
                .fold(greatest_before, Group::max);
        }
        reusable
    }

    fn durable(&self, sequence: Sequence) -> bool {
        let mut groups = self.segments.iter().flat_map(|segment| &segment.groups);
        groups.any(|group| {
            group.state == Kept::Durable && group.puts.iter().any(|(number, _)| *number == sequence)
        })
    }

    fn known_consumed<'s>(&'s self, bounds: &Bounds) -> &'s BTreeSet<Sequence> {
        if bounds.keeps(Rule::CheckpointBeforeReuse) {
            &self.checkpoint.consumed
        } else {
            &self.consumed
        }
    }
}

fn count(segment: &Segment, state: Kept) -> usize {
    segment
        .groups
        .iter()
        .filter(|group| group.state == state)
        .count()
}

impl Model for Bounds {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let mut state = State::default();
        state.recover(self);
        vec![state]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if !state.running {
            actions.push(Action::Recover);
            return;
        }
        let mut may = |condition: bool, action: Action| {
            if condition {
                actions.push(action);
            }
        };
        let unsynced = state.unsynced();
        let most_unsynced = if self.keeps(Rule::SyncBeforeNextGroup) {
            1
        } else {
            2
        };
        let something = !state.waiting.is_empty() || !state.acks.is_empty();
        let fits = state
            .segments
            .last()
            .is_none_or(|last| unsynced == 0 || last.groups.len() < self.segment_groups);
        may(state.offered < self.events, Action::Offer);
        may(something && unsynced < most_unsynced && fits, Action::Write);
        may(unsynced > 0, Action::Sync);
        may(
            unsynced > 0 && state.failures < self.failures,
            Action::SyncFails,
        );
        may(
            state.taken.is_none() && !state.takeable.is_empty(),
            Action::Take,
        );
        may(state.taken.is_some(), Action::Deliver);
        may(state.taken.is_some(), Action::RollBack);
        may(
            state.draft.is_none() && state.consumed != state.checkpoint.consumed,
            Action::BeginCheckpoint,
        );
        may(state.draft.is_some(), Action::EndCheckpoint);
        may(state.kills < self.kills, Action::Kill);
        actions.extend(
            state
                .reusable(state.known_consumed(self))
                .into_iter()
                .map(Action::Reuse),
        );
        if state.power_losses < self.power_losses {
            let cached = state
                .segments
                .iter()
                .map(|segment| count(segment, Kept::Cached))
                .sum();
            actions.extend(fates(cached).into_iter().map(Action::LosePower));
        }
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let mut state = before.clone();
        match action {
            Action::Offer => {
                state.waiting.push(state.offered);
                state.offered += 1;
            }
            Action::Write => state.write(self),
            Action::Sync => state.sync(self),
            Action::SyncFails => {
                state.failures += 1;
                state.abandon(self);
            }
            Action::Take => {
                let (sequence, event) = state.takeable.remove(0);
                state.hasty |= !state.durable(sequence);
                state.taken = Some((sequence, event));
            }
            Action::Deliver => {
                let (sequence, event) = state.taken.take()?;
                state.delivered.insert(event);
                state.consumed.insert(sequence);
                state.acks.push(sequence);
            }
            Action::RollBack => {
                let taken = state.taken.take()?;
                state.takeable.insert(0, taken);
            }
            Action::BeginCheckpoint => {
                state.draft = Some(Checkpoint {
                    next: state.next,
                    consumed: state.consumed.clone(),
                });
            }
            Action::EndCheckpoint => {
                state.checkpoint = state.draft.take()?;
                let settled = state
                    .checkpoint
                    .consumed
                    .iter()
                    .filter_map(|number| state.names.get(number));
                state.settled.extend(settled);
            }
            Action::Reuse(place) => drop(state.segments.remove(place)),
            Action::Kill => {
                state.kills += 1;
                state.crash();
            }
            Action::LosePower(fates) => {
                state.power_losses += 1;
                let mut fates = fates.into_iter();
                for segment in &mut state.segments {
                    segment.groups.retain_mut(|group| {
                        let fate = if group.state == Kept::Cached {
                            fates.next()
                        } else {
                            None
                        };
                        match fate {
                            Some(Fate::Whole) => group.state = Kept::Durable,
                            Some(Fate::Part) => group.state = Kept::Torn,
                            Some(Fate::Nothing) | None => {}
                        }
                        fate != Some(Fate::Nothing)
                    });
                }
                state.crash();
            }
            Action::Recover => state.recover(self),
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(ACKNOWLEDGED, |_, state: &State| {
                let there: BTreeSet<_> = state
                    .takeable
                    .iter()
                    .chain(&state.taken)
                    .map(|(_, event)| *event)
                    .collect();
                !state.running
                    || state
                        .acknowledged
                        .iter()
                        .all(|event| there.contains(event) || state.delivered.contains(event))
            }),
            Property::always(SETTLED, |_, state: &State| {
                state
                    .takeable
                    .iter()
                    .all(|(_, event)| !state.settled.contains(event))
            }),
            Property::always(LAST, |_, state: &State| !state.hole),
            Property::always(DURABLE, |_, state: &State| !state.hasty),
            Property::sometimes(
                "all is delivered and its segments are reused",
                |bounds: &Bounds, state: &State| {
                    state.delivered.len() == usize::from(bounds.events) && state.segments.len() == 1
                },
            ),
        ]
    }
}

const ACKNOWLEDGED: &str = "an acknowledged event is delivered or can be taken";
const SETTLED: &str = "an event whose ack is durable does not come back";
const LAST: &str = "only the last group may be torn";
const DURABLE: &str = "what can be taken is durable";

/// Every combination of what may become of so many groups.
fn fates(count: usize) -> Vec<Vec<Fate>> {
    (0..count).fold(vec![vec![]], |all, _| {
        let each = |fates: Vec<Fate>| {
            [Fate::Whole, Fate::Part, Fate::Nothing]
                .map(|fate| [fates.as_slice(), &[fate]].concat())
        };
        all.into_iter().flat_map(each).collect()
    })
}

fn bounds(broken: Option<Rule>) -> Bounds {
    Bounds {
        broken,
        events: 2,
        segment_groups: 2,
        power_losses: 1,
        kills: 1,
        failures: 1,
    }
}

#[test]
fn the_rules_keep_every_promise() {
    let checker = bounds(None).checker().threads(2).spawn_bfs().join();
    checker.assert_properties();
    assert!(
        checker.unique_state_count() > 200_000,
        "the bounds leave out what is interesting"
    );
}

/// Leaves out a rule: one of the promises is then broken somewhere.
fn check(rule: Rule, broken: &'static str) {
    let found = HasDiscoveries::AnyOf([broken].into());
    let checker = bounds(Some(rule))
        .checker()
        .threads(2)
        .finish_when(found)
        .spawn_bfs()
        .join();
    assert!(
        checker.discovery(broken).is_some(),
        "without {rule:?}, {broken} is found nowhere"
    );
}

#[test]
fn without_the_first_invariant_damage_has_no_place() {
    check(Rule::SyncBeforeNextGroup, LAST);
}

#[test]
fn without_the_second_invariant_what_was_taken_may_vanish() {
    check(Rule::SyncBeforeTake, DURABLE);
}

#[test]
fn without_the_third_invariant_an_acknowledged_event_is_taken_for_a_consumed_one() {
    check(Rule::NextFollowsAll, ACKNOWLEDGED);
}

#[test]
fn without_a_durable_checkpoint_a_reused_segment_takes_acks_along() {
    check(Rule::CheckpointBeforeReuse, SETTLED);
}

#[test]
fn without_the_last_good_group_an_abandoned_copy_comes_back() {
    check(Rule::HeaderNamesLastGood, SETTLED);
}

#[test]
fn without_a_sync_in_recovery_what_was_taken_may_vanish() {
    check(Rule::RecoverySyncs, DURABLE);
}

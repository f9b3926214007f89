//! What must be in a channel, must not, and may be: kept apart from the channel by whoever puts and takes.

use std::collections::{BTreeMap, BTreeSet};

/// What is known of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Batch {
    /// It was put, and nothing was heard of it; or it was refused after a failure of the disk.
    Unknown,
    /// It was acknowledged, or an event of it was delivered: it is on disk.
    Stored,
    /// It was refused, and cannot be there.
    Refused,
}

/// What is known of the consumption of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Consumed {
    /// Committed; nobody said that this is on disk.
    Requested,
    /// Never to be seen again.
    Durable,
}

/// The memory of producers and consumers.
#[derive(Clone, Default)]
pub(super) struct Oracle {
    next: u64,
    /// First event and number of events of each batch.
    batches: BTreeMap<u64, (u64, Batch)>,
    consumed: BTreeMap<u64, Consumed>,
    pub(super) acknowledged: u64,
}

impl Oracle {
    /// A new batch of so many events: the number of its first.
    pub(super) fn begin(&mut self, events: u64) -> u64 {
        let first = self.next;
        self.next += events;
        self.batches.insert(first, (events, Batch::Unknown));
        first
    }

    pub(super) fn acknowledged(&mut self, first: u64) {
        self.acknowledged += self.batches[&first].0;
        self.set(first, Batch::Stored);
    }

    pub(super) fn refused(&mut self, first: u64) {
        self.set(first, Batch::Refused);
    }

    fn set(&mut self, first: u64, state: Batch) {
        if let Some(batch) = self.batches.get_mut(&first) {
            batch.1 = state;
        }
    }

    /// An event reached a consumer: its batch must outlive anything.
    pub(super) fn delivered(&mut self, event: u64) -> Result<(), String> {
        let Some((&first, (_, state))) = self.batches.range_mut(..=event).next_back() else {
            return Err(format!("event {event} was delivered and never put"));
        };
        if *state == Batch::Refused {
            return Err(format!(
                "event {event} of refused batch {first} was delivered"
            ));
        }
        *state = Batch::Stored;
        match self.consumed.get(&event) {
            Some(Consumed::Durable) => Err(format!(
                "event {event} was delivered after its commit was on disk"
            )),
            _ => Ok(()),
        }
    }

    pub(super) fn committed(&mut self, event: u64) {
        self.consumed.entry(event).or_insert(Consumed::Requested);
    }

    /// All commits so far are on disk.
    pub(super) fn commits_are_durable(&mut self) {
        self.consumed
            .values_mut()
            .for_each(|state| *state = Consumed::Durable);
    }

    /// The newest checkpoint is lost: what only it said of commits is forgotten.
    pub(super) fn commits_may_return(&mut self) {
        self.consumed
            .values_mut()
            .for_each(|state| *state = Consumed::Requested);
    }

    /// Compares with what a channel holds after it was opened; from then on that is the truth.
    pub(super) fn verify(&mut self, found: &[u64]) -> Result<(), String> {
        if let Some(pair) = found.windows(2).find(|pair| pair[0] >= pair[1]) {
            return Err(format!(
                "events {} and {} are out of order or double",
                pair[0], pair[1]
            ));
        }
        let found: BTreeSet<u64> = found.iter().copied().collect();
        for (&first, &(events, state)) in &self.batches {
            let mut numbers = first..first + events;
            // Whether an event whose commit was on its way is there says nothing about its batch.
            let here = |number: &u64| found.contains(number);
            let open = |number: &u64| !self.consumed.contains_key(number);
            match state {
                Batch::Stored => {
                    if let Some(lost) = numbers.find(|number| open(number) && !here(number)) {
                        return Err(format!("event {lost} of batch {first} is lost"));
                    }
                }
                Batch::Refused => {
                    if let Some(ghost) = numbers.find(here) {
                        return Err(format!("event {ghost} of refused batch {first} is there"));
                    }
                }
                Batch::Unknown => {
                    let count = numbers.filter(here).count() as u64;
                    if count != 0 && count != events {
                        return Err(format!(
                            "{count} of the {events} events of batch {first} are there"
                        ));
                    }
                }
            }
        }
        for (event, state) in &self.consumed {
            if *state == Consumed::Durable && found.contains(event) {
                return Err(format!(
                    "event {event} is there after its commit was on disk"
                ));
            }
        }
        if let Some(phantom) = found.iter().find(|&&event| event >= self.next) {
            return Err(format!("event {phantom} was never put"));
        }
        self.adopt(&found);
        Ok(())
    }

    fn adopt(&mut self, found: &BTreeSet<u64>) {
        for (&first, (events, state)) in &mut self.batches {
            if *state == Batch::Unknown {
                let there = (first..first + *events).any(|number| found.contains(&number));
                *state = if there { Batch::Stored } else { Batch::Refused };
            }
        }
        // An open syncs what it accepts.
        self.consumed.retain(|event, _| !found.contains(event));
        self.commits_are_durable();
    }

    /// Events that must be there.
    pub(super) fn obliged(&self) -> BTreeSet<u64> {
        let stored = self
            .batches
            .iter()
            .filter(|(_, (_, state))| *state == Batch::Stored);
        let events = stored.flat_map(|(&first, &(events, _))| first..first + events);
        events
            .filter(|event| !self.consumed.contains_key(event))
            .collect()
    }

    /// The batch an event belongs to.
    pub(super) fn batch_of(&self, event: u64) -> u64 {
        self.batches
            .range(..=event)
            .next_back()
            .map_or(0, |(&first, _)| first)
    }
}

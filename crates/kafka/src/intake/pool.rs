//! The events that were read and are not yet delivered, and what may be committed of each partition.
//!
//! A record covers the offsets from the end of the one before it to its own end, so the records of a partition leave
//! no gap, whatever compaction and transactions leave out. The position to commit is the end of the unbroken run of
//! delivered records: a batch that is still open holds back what was delivered behind it.

use std::collections::{BTreeMap, HashMap, VecDeque};

use flume_core::{Event, Str, Want};

/// A partition as users write it: `topic-0`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Partition {
    pub(crate) topic: Str,
    pub(crate) number: i32,
}

impl Partition {
    pub(crate) fn of(topic: &str, number: i32) -> Partition {
        Partition {
            topic: topic.into(),
            number,
        }
    }
}

impl std::fmt::Display for Partition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.topic, self.number)
    }
}

/// Where a record stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    /// Orders the records of all partitions by their arrival.
    sequence: u64,
    slot: usize,
    from: i64,
    next: i64,
}

/// What is open: read and not settled.
#[derive(Default)]
pub(crate) struct Pool {
    queue: VecDeque<(Event, Position)>,
    /// By slot, one for each assignment of a partition; a slot is used again when nothing refers to it.
    trackers: Vec<Tracker>,
    slots: HashMap<Partition, usize>,
    /// The slot of the last record: most come in runs.
    last: Option<(Partition, usize)>,
    sequence: u64,
    bytes: usize,
    in_flight: usize,
}

#[derive(Clone)]
struct Tracker {
    partition: Partition,
    /// Whether this member still owns it.
    owned: bool,
    /// Where the next record is expected to begin; `None` before the first.
    expected: Option<i64>,
    /// Below it everything is delivered.
    frontier: i64,
    /// Delivered beyond the frontier: ends by starts.
    ahead: BTreeMap<i64, i64>,
    /// What the broker knows: where it was begun, then what it has acknowledged.
    committed: i64,
    /// Records in open batches.
    open: usize,
    /// It is about to go: what comes back of it is left to its next owner.
    leaving: bool,
    /// Why nothing more is read of it.
    stopped: Option<String>,
}

impl Pool {
    /// The partition is this member's now.
    pub(crate) fn assign(&mut self, partition: Partition) {
        let fresh = Tracker {
            partition: partition.clone(),
            owned: true,
            expected: None,
            frontier: 0,
            ahead: BTreeMap::new(),
            committed: 0,
            open: 0,
            leaving: false,
            stopped: None,
        };
        self.last = None;
        let free = self
            .trackers
            .iter()
            .position(|tracker| !tracker.owned && tracker.open == 0);
        let slot = free.unwrap_or(self.trackers.len());
        match self.trackers.get_mut(slot) {
            Some(tracker) => *tracker = fresh,
            None => self.trackers.push(fresh),
        }
        self.slots.insert(partition, slot);
    }

    /// The partition is about to go: what waits of it will be read by its next owner.
    pub(crate) fn forget_waiting(&mut self, partition: &Partition) {
        let Some(&slot) = self.slots.get(partition) else {
            return;
        };
        let mut bytes = 0;
        self.queue.retain(|(event, position)| {
            if position.slot == slot {
                bytes += event.size();
            }
            position.slot != slot
        });
        self.bytes -= bytes;
        self.trackers[slot].leaving = true;
    }

    /// The partition is gone. Returns how many records of it are in open batches.
    pub(crate) fn revoke(&mut self, partition: &Partition) -> usize {
        self.forget_waiting(partition);
        self.last = None;
        let Some(slot) = self.slots.remove(partition) else {
            return 0;
        };
        self.trackers[slot].owned = false;
        self.trackers[slot].open
    }

    /// Records of it in open batches.
    pub(crate) fn open_of(&self, partition: &Partition) -> usize {
        self.slots
            .get(partition)
            .map_or(0, |&slot| self.trackers[slot].open)
    }

    /// The place of the record at `offset`; none if nothing more is to be read of its partition.
    pub(crate) fn place(&mut self, topic: &str, number: i32, offset: i64) -> Option<Position> {
        let slot = self.slot(topic, number)?;
        let tracker = &mut self.trackers[slot];
        if tracker.leaving || tracker.stopped.is_some() {
            return None;
        }
        let from = match tracker.expected {
            Some(expected) if expected <= offset => expected,
            // The first, or the partition was begun anew.
            _ => {
                tracker.frontier = offset;
                tracker.committed = offset;
                tracker.ahead.clear();
                offset
            }
        };
        let next = offset + 1;
        tracker.expected = Some(next);
        self.sequence += 1;
        Some(Position {
            sequence: self.sequence,
            slot,
            from,
            next,
        })
    }

    fn slot(&mut self, topic: &str, number: i32) -> Option<usize> {
        if let Some((partition, slot)) = &self.last
            && partition.number == number
            && &*partition.topic == topic
        {
            return Some(*slot);
        }
        let partition = Partition::of(topic, number);
        let slot = *self.slots.get(&partition)?;
        self.last = Some((partition, slot));
        Some(slot)
    }

    pub(crate) fn push(&mut self, event: Event, position: Position) {
        self.bytes += event.size();
        self.queue.push_back((event, position));
    }

    /// Nothing more is read of its partition, and this record is never settled.
    pub(crate) fn stop(&mut self, position: Position, reason: String) {
        self.trackers[position.slot].stopped = Some(reason);
    }

    /// Why partitions stand still.
    pub(crate) fn stopped(&self) -> impl Iterator<Item = (&Partition, &str)> {
        let owned = self.trackers.iter().filter(|tracker| tracker.owned);
        owned.filter_map(|tracker| Some((&tracker.partition, tracker.stopped.as_deref()?)))
    }

    /// The next batch, in order of arrival.
    pub(crate) fn take(&mut self, want: Want) -> (Vec<Event>, Vec<Position>) {
        let most = want.events.min(self.queue.len());
        let mut events = Vec::with_capacity(most);
        let mut positions = Vec::with_capacity(most);
        let mut bytes = 0usize;
        while events.len() < most {
            let Some((event, _)) = self.queue.front() else {
                break;
            };
            let size = event.size();
            if !events.is_empty() && bytes.saturating_add(size) > want.bytes {
                break;
            }
            bytes += size;
            let Some((event, position)) = self.queue.pop_front() else {
                break;
            };
            self.trackers[position.slot].open += 1;
            events.push(event);
            positions.push(position);
        }
        self.bytes -= bytes;
        self.in_flight += events.len();
        (events, positions)
    }

    /// A batch comes back: its records stand again where they stood. Those of a partition that is going or gone are left
    /// to its next owner.
    pub(crate) fn give_back(&mut self, events: Vec<Event>, positions: &[Position]) {
        self.in_flight -= positions.len();
        let last = positions.last().map_or(0, |position| position.sequence);
        let in_order = self
            .queue
            .front()
            .is_none_or(|(_, first)| first.sequence > last);
        for (event, position) in events.into_iter().zip(positions).rev() {
            let tracker = &mut self.trackers[position.slot];
            tracker.open -= 1;
            if tracker.owned && !tracker.leaving {
                self.bytes += event.size();
                self.queue.push_front((event, *position));
            }
        }
        if !in_order {
            self.queue
                .make_contiguous()
                .sort_unstable_by_key(|(_, position)| position.sequence);
        }
    }

    /// A batch was delivered. `Err`: the partitions of so many records belong to another member by now, which delivers
    /// them again.
    pub(crate) fn settle(&mut self, positions: &[Position]) -> Result<(), usize> {
        self.in_flight -= positions.len();
        let mut late = 0;
        let mut rest = positions.iter().copied().peekable();
        while let Some(mut run) = rest.next() {
            let mut records = 1;
            while let Some(next) =
                rest.next_if(|next| next.slot == run.slot && next.from == run.next)
            {
                run.next = next.next;
                records += 1;
            }
            let tracker = &mut self.trackers[run.slot];
            tracker.open -= records;
            if tracker.owned {
                tracker.settle(run.from, run.next);
            } else {
                late += records;
            }
        }
        if late == 0 { Ok(()) } else { Err(late) }
    }

    /// What could be committed if these records were settled now. `Ok(None)`: a batch that is still open holds records
    /// before some of them. `Err`: so many belong to another member by now.
    pub(crate) fn after_settling(
        &self,
        positions: &[Position],
    ) -> Result<Option<Vec<(Partition, i64)>>, usize> {
        let mut settled = BTreeMap::<usize, (Tracker, i64)>::new();
        let mut late = 0;
        for position in positions {
            let tracker = &self.trackers[position.slot];
            if !tracker.owned {
                late += 1;
                continue;
            }
            let (tracker, end) = settled
                .entry(position.slot)
                .or_insert_with(|| (tracker.clone(), 0));
            tracker.settle(position.from, position.next);
            *end = position.next.max(*end);
        }
        if late > 0 {
            return Err(late);
        }
        let is_held_back = |(tracker, end): &(Tracker, i64)| tracker.frontier < *end;
        if settled.values().any(is_held_back) {
            return Ok(None);
        }
        let offsets = settled
            .into_values()
            .map(|(tracker, _)| (tracker.partition, tracker.frontier));
        Ok(Some(offsets.collect()))
    }

    /// A record that is not delivered is done with.
    pub(crate) fn skip(&mut self, position: Position) {
        self.trackers[position.slot].settle(position.from, position.next);
    }

    /// What the broker does not know yet.
    pub(crate) fn to_commit(&self) -> Vec<(Partition, i64)> {
        let due = self.trackers.iter().filter(|tracker| tracker.is_due());
        due.map(|tracker| (tracker.partition.clone(), tracker.frontier))
            .collect()
    }

    /// Whether there is something that the broker does not know yet.
    pub(crate) fn is_commit_due(&self) -> bool {
        self.trackers.iter().any(Tracker::is_due)
    }

    /// The broker knows.
    pub(crate) fn committed(&mut self, offsets: &[(Partition, i64)]) {
        for (partition, offset) in offsets {
            if let Some(&slot) = self.slots.get(partition) {
                self.trackers[slot].committed = *offset;
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// The partitions that are this member's.
    pub(crate) fn assigned(&self) -> impl Iterator<Item = &Partition> {
        self.slots.keys()
    }
}

impl Tracker {
    fn settle(&mut self, from: i64, next: i64) {
        if from > self.frontier {
            self.ahead.insert(from, next);
            return;
        }
        self.frontier = self.frontier.max(next);
        while let Some(first) = self
            .ahead
            .first_entry()
            .filter(|first| *first.key() <= self.frontier)
        {
            self.frontier = self.frontier.max(first.remove());
        }
    }

    fn is_due(&self) -> bool {
        self.owned && self.frontier > self.committed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(number: i32) -> Partition {
        Partition {
            topic: "t".into(),
            number,
        }
    }

    /// Reads `offsets` of a partition; the bodies are `p:offset`.
    fn read(pool: &mut Pool, number: i32, offsets: impl IntoIterator<Item = i64>) {
        for offset in offsets {
            let position = pool.place("t", number, offset).unwrap();
            pool.push(Event::from(format!("{number}:{offset}")), position);
        }
    }

    fn words(events: &[Event]) -> String {
        flume_testkit::parts::words(events)
    }

    fn due(pool: &Pool) -> Vec<(i32, i64)> {
        pool.to_commit()
            .into_iter()
            .map(|(partition, offset)| (partition.number, offset))
            .collect()
    }

    fn two_partitions() -> Pool {
        let mut pool = Pool::default();
        pool.assign(partition(0));
        pool.assign(partition(1));
        read(&mut pool, 0, 10..13);
        read(&mut pool, 1, 5..7);
        read(&mut pool, 0, 13..15);
        pool
    }

    #[test]
    fn what_is_delivered_behind_an_open_batch_waits_for_it() {
        let mut pool = two_partitions();
        let (first, of_first) = pool.take(Want::events(2));
        let (second, of_second) = pool.take(Want::events(3));
        assert_eq!(
            (words(&first), words(&second)),
            ("0:10 0:11".into(), "0:12 1:5 1:6".into())
        );
        pool.settle(&of_second).unwrap();
        assert_eq!(due(&pool), [(1, 7)]);
        pool.settle(&of_first).unwrap();
        assert_eq!(due(&pool), [(0, 13), (1, 7)]);
        pool.committed(&pool.to_commit());
        assert!(!pool.is_commit_due());
        assert_eq!((pool.len(), pool.in_flight()), (2, 0));
    }

    #[test]
    fn batches_come_back_to_their_places() {
        let mut pool = two_partitions();
        let bytes = pool.bytes();
        let (first, of_first) = pool.take(Want::events(2));
        let (second, of_second) = pool.take(Want::events(3));
        pool.give_back(first, &of_first);
        pool.give_back(second, &of_second);
        assert_eq!((pool.bytes(), pool.in_flight()), (bytes, 0));
        assert_eq!(
            words(&pool.take(Want::events(9)).0),
            "0:10 0:11 0:12 1:5 1:6 0:13 0:14"
        );
        assert_eq!(pool.bytes(), 0);
    }

    #[test]
    fn gaps_between_offsets_do_not_hold_the_position_back() {
        let mut pool = Pool::default();
        pool.assign(partition(0));
        read(&mut pool, 0, [3, 7, 20]);
        let (_, positions) = pool.take(Want::events(3));
        pool.settle(&positions).unwrap();
        assert_eq!(due(&pool), [(0, 21)]);
    }

    #[test]
    fn a_partition_that_goes_takes_along_what_waits_and_what_comes_back() {
        let mut pool = two_partitions();
        let (first, of_first) = pool.take(Want::events(1));
        let (_, of_second) = pool.take(Want::events(1));
        pool.forget_waiting(&partition(0));
        assert_eq!((pool.open_of(&partition(0)), pool.len()), (2, 2));
        pool.give_back(first, &of_first);
        assert_eq!((pool.open_of(&partition(0)), pool.len()), (1, 2));
        assert_eq!(pool.place("t", 0, 15), None);
        assert_eq!(pool.revoke(&partition(0)), 1);
        // Its slot is not given away while a batch refers to it.
        pool.assign(partition(0));
        assert_eq!(pool.settle(&of_second), Err(1));
        assert!(!pool.is_commit_due());
        read(&mut pool, 0, 10..12);
        assert_eq!(words(&pool.take(Want::events(9)).0), "1:5 1:6 0:10 0:11");
    }

    #[test]
    fn a_stopped_partition_is_committed_up_to_the_record_that_stopped_it() {
        let mut pool = Pool::default();
        pool.assign(partition(0));
        read(&mut pool, 0, 0..2);
        let bad = pool.place("t", 0, 2).unwrap();
        let (events, positions) = pool.take(Want::events(9));
        pool.stop(bad, "it does not decode".into());
        assert_eq!(pool.place("t", 0, 3), None);
        pool.give_back(events, &positions);
        let (events, positions) = pool.take(Want::events(9));
        assert_eq!(words(&events), "0:0 0:1");
        pool.settle(&positions).unwrap();
        assert_eq!(due(&pool), [(0, 2)]);
        assert_eq!(pool.stopped().count(), 1);
    }

    #[test]
    fn a_skipped_record_and_a_topic_begun_anew_move_the_position() {
        let mut pool = Pool::default();
        pool.assign(partition(0));
        let bad = pool.place("t", 0, 8).unwrap();
        pool.skip(bad);
        assert_eq!(due(&pool), [(0, 9)]);
        read(&mut pool, 0, 0..1);
        assert!(!pool.is_commit_due());
        let (_, positions) = pool.take(Want::events(1));
        pool.settle(&positions).unwrap();
        assert_eq!(due(&pool), [(0, 1)]);
    }

    /// Takes, returns and settles in random order: each partition's position ends at its end, and nothing is left.
    #[test]
    fn any_order_of_settling_ends_at_the_end() {
        for seed in 0..200 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut pool = Pool::default();
            pool.assign(partition(0));
            pool.assign(partition(1));
            let mut ends = [0, 0];
            let mut open = vec![];
            for _ in 0..300 {
                match random.u8(..6) {
                    0 | 1 => {
                        let number = random.usize(..2);
                        let offset = ends[number] + random.i64(0..3);
                        ends[number] = offset + 1;
                        read(&mut pool, number as i32, [offset]);
                    }
                    2 | 3 => open.push(pool.take(Want::events(random.usize(1..5)))),
                    choice if !open.is_empty() => {
                        let (events, positions) = open.swap_remove(random.usize(..open.len()));
                        if choice == 4 {
                            pool.give_back(events, &positions);
                        } else {
                            pool.settle(&positions).unwrap();
                        }
                    }
                    _ => {}
                }
                let sequences: Vec<_> = pool.queue.iter().map(|(_, at)| at.sequence).collect();
                assert!(sequences.is_sorted(), "{sequences:?}");
            }
            open.push(pool.take(Want::events(1000)));
            for (_, positions) in open {
                pool.settle(&positions).unwrap();
            }
            let expected: Vec<_> = (0..2)
                .filter(|at| ends[*at] > 0)
                .map(|at| (at as i32, ends[at]))
                .collect();
            assert_eq!(due(&pool), expected);
            assert_eq!((pool.len(), pool.bytes(), pool.in_flight()), (0, 0, 0));
        }
    }
}

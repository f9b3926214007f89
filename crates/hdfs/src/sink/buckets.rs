//! All buckets of a sink: found by key, looked at when a deadline passes, and no more open files than allowed.

use std::collections::HashMap;

use tokio::time::Instant;

use super::{bucket::Bucket, closer::Closing, shared::SinkShared};

/// The buckets. Their places hold until the next [`Buckets::sweep`].
#[derive(Default)]
pub(super) struct Buckets {
    all: Vec<Bucket>,
    places: HashMap<Box<str>, usize>,
    /// No deadline is before this.
    next_deadline: Option<Instant>,
    /// Batches so far.
    batch: u64,
}

impl Buckets {
    /// The place of a key; `make` is asked for a bucket that is not there.
    pub(super) fn place(&mut self, key: &str, make: impl FnOnce() -> Bucket) -> usize {
        if let Some(place) = self.places.get(key) {
            return *place;
        }
        let place = self.all.len();
        self.all.push(make());
        self.places.insert(key.into(), place);
        place
    }

    /// Notes an event for the bucket at `place`; whether it is its first of this batch.
    pub(super) fn add(&mut self, place: usize, index: usize) -> bool {
        let Some(bucket) = self.all.get_mut(place) else {
            return false;
        };
        bucket.events.push(index);
        bucket.used = self.batch;
        bucket.events.len() == 1
    }

    pub(super) fn begin_batch(&mut self) {
        self.batch += 1;
    }

    /// The buckets at `places`, which ascend.
    pub(super) fn pick(&mut self, places: &[usize]) -> Vec<&mut Bucket> {
        let mut rest = &mut self.all[..];
        let mut passed = 0;
        let mut picked = Vec::with_capacity(places.len());
        for place in places {
            let Some((_, from)) = rest.split_at_mut_checked(place - passed) else {
                break;
            };
            let Some((bucket, after)) = from.split_first_mut() else {
                break;
            };
            picked.push(bucket);
            (rest, passed) = (after, place + 1);
        }
        picked
    }

    /// Completes the files that were unused for longest until those at `places`, which ascend, may be opened beside
    /// the rest.
    pub(super) fn make_room(&mut self, places: &[usize], most: usize) {
        let outside = |(place, bucket): (usize, &Bucket)| {
            (bucket.is_open() && places.binary_search(&place).is_err())
                .then_some((bucket.used, place))
        };
        if self.all.len() <= most {
            return;
        }
        let mut open: Vec<_> = self.all.iter().enumerate().filter_map(outside).collect();
        let too_many = (open.len() + places.len()).saturating_sub(most);
        open.sort_unstable();
        for (_, place) in open.into_iter().take(too_many) {
            if let Some(bucket) = self.all.get_mut(place) {
                bucket.retire();
            }
        }
    }

    /// Ends what is due and forgets buckets without a file. What is to be closed goes into `retired`.
    pub(super) fn sweep(&mut self, shared: &SinkShared, now: Instant, retired: &mut Vec<Closing>) {
        let due = self.next_deadline.is_some_and(|deadline| deadline <= now);
        for bucket in self.all.iter_mut().filter(|_| due) {
            if bucket
                .deadline(&shared.roll)
                .is_some_and(|deadline| deadline <= now)
            {
                bucket.end(shared);
            }
        }
        self.next_deadline = self
            .all
            .iter()
            .filter_map(|bucket| bucket.deadline(&shared.roll))
            .min();
        for bucket in &mut self.all {
            retired.append(&mut bucket.retired);
        }
        for place in (0..self.all.len()).rev() {
            if !self.all[place].is_spent() {
                continue;
            }
            let spent = self.all.swap_remove(place);
            self.places.remove(&spent.key);
            if let Some(moved) = self.all.get(place) {
                self.places.insert(moved.key.clone(), place);
            }
        }
    }

    /// Whether [`Buckets::sweep`] has something to do although there was no batch.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.next_deadline.is_some_and(|deadline| deadline <= now)
    }

    /// Ends all.
    pub(super) fn end(&mut self, shared: &SinkShared) -> Vec<Closing> {
        self.places.clear();
        self.next_deadline = None;
        let mut retired = vec![];
        for mut bucket in self.all.drain(..) {
            bucket.end(shared);
            retired.append(&mut bucket.retired);
        }
        retired
    }

    /// How many are failing, and why the first does.
    pub(super) fn failing(&self) -> (usize, Option<&str>) {
        let mut failing = self.all.iter().filter_map(|bucket| bucket.failing.as_ref());
        let first = failing.next();
        (
            failing.count() + usize::from(first.is_some()),
            first.map(|failing| failing.reason.as_str()),
        )
    }
}

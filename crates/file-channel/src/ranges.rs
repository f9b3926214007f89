//! Sets of sequence numbers, kept as ranges: normally one.

use std::{collections::BTreeMap, ops::Range};

/// A set of numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    /// Adds a range; calls `fresh` with each part that was not yet in the set.
    pub fn insert(&mut self, range: Range<u64>, mut fresh: impl FnMut(Range<u64>)) {
        if range.is_empty() {
            return;
        }
        let mut start = range.start;
        let mut end = range.end;
        let mut covered = range.start;
        // The one range that begins before, then those that begin within or right behind.
        if let Some((&before, &until)) = self.0.range(..range.start).next_back()
            && until >= range.start
        {
            (start, covered) = (before, covered.max(until));
        }
        while let Some((&next, &until)) = self.0.range(range.start..=range.end).next() {
            if next > covered {
                fresh(covered..next);
            }
            covered = covered.max(until);
            self.0.remove(&next);
        }
        if range.end > covered {
            fresh(covered..range.end);
        }
        end = end.max(covered);
        self.0.insert(start, end);
    }

    /// Whether a number is in it.
    pub fn contains(&self, number: u64) -> bool {
        self.0
            .range(..=number)
            .next_back()
            .is_some_and(|(_, &end)| end > number)
    }

    /// Whether all numbers of a range are in it.
    pub fn covers(&self, range: &Range<u64>) -> bool {
        self.0
            .range(..=range.start)
            .next_back()
            .is_some_and(|(_, &end)| end >= range.end)
    }

    /// Removes and forgets everything below `number`.
    pub fn forget_below(&mut self, number: u64) {
        while let Some(first) = self.0.first_entry() {
            if *first.get() > number {
                break;
            }
            first.remove();
        }
    }

    /// Its ranges, ascending.
    pub fn iter(&self) -> impl Iterator<Item = Range<u64>> {
        self.0.iter().map(|(&start, &end)| start..end)
    }

    /// How many ranges it takes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<Range<u64>> for Ranges {
    fn from_iter<I: IntoIterator<Item = Range<u64>>>(ranges: I) -> Self {
        let mut all = Ranges::default();
        ranges
            .into_iter()
            .for_each(|range| all.insert(range, |_| ()));
        all
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_set_is_a_set() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..300 {
            let mut ranges = Ranges::default();
            let mut numbers = BTreeSet::new();
            for _ in 0..20 {
                let start = random.u64(..50);
                let range = start..start + random.u64(..8);
                let mut fresh = BTreeSet::new();
                ranges.insert(range.clone(), |part| {
                    part.for_each(|number| assert!(fresh.insert(number)))
                });
                let expected: BTreeSet<_> =
                    range.filter(|&number| numbers.insert(number)).collect();
                assert_eq!(fresh, expected);
                assert_eq!(
                    ranges.iter().flatten().collect::<Vec<_>>(),
                    Vec::from_iter(numbers.clone())
                );
                let separate = ranges
                    .iter()
                    .zip(ranges.iter().skip(1))
                    .all(|(a, b)| a.end < b.start);
                assert!(separate, "{ranges:?}");
                assert!((0..60).all(|number| ranges.contains(number) == numbers.contains(&number)));
            }
        }
    }
}

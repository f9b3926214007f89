//! Who is next, among several that may fail: sinks of a group, or peers of a client.

use std::time::Duration;

use tokio::time::Instant;

use crate::{BackOff, config::Choice};

/// Failures that lie further apart than the pause and this do not add up.
const FORGIVEN_AFTER: Duration = Duration::from_secs(3600);
/// Failures count no further, as in Flume.
const MAX_FAILURES: u32 = 16;
/// The first pause.
const FIRST_PAUSE: Duration = Duration::from_secs(2);

/// Draws an order of members again and again, and leaves out for a while those that have failed: Flume's
/// `OrderSelector`.
#[derive(Clone, Debug)]
pub struct Rotation {
    order: RotationOrder,
    /// How long a member that failed is left out; `None`: it never is.
    pauses: Option<BackOff>,
    /// Where the next order begins.
    head: usize,
    members: Vec<RotationMember>,
}

/// How an order is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RotationOrder {
    /// Each begins one further than the one before.
    #[default]
    RoundRobin,
    /// At random.
    Random,
}

impl Choice for RotationOrder {
    const CHOICES: &'static [(&'static str, Self)] = &[
        ("round_robin", RotationOrder::RoundRobin),
        ("random", RotationOrder::Random),
    ];
}

#[derive(Clone, Copy, Debug, Default)]
struct RotationMember {
    failures: u32,
    last_failure: Option<Instant>,
    blocked_until: Option<Instant>,
}

impl Rotation {
    /// An order of so many members. One that failed is left out for two seconds, doubling, at most `longest_pause`;
    /// without that it never is.
    pub fn new(members: usize, order: RotationOrder, longest_pause: Option<Duration>) -> Self {
        Rotation {
            order,
            pauses: longest_pause.map(|longest| BackOff::doubling(FIRST_PAUSE, longest)),
            head: 0,
            members: vec![RotationMember::default(); members],
        }
    }

    /// The members that are not left out, in the order in which they are to be tried.
    pub fn draw(&mut self) -> Vec<usize> {
        let now = Instant::now();
        let is_blocked =
            |member: &RotationMember| member.blocked_until.is_some_and(|end| end > now);
        let members = self.members.iter().enumerate();
        let mut order: Vec<_> = members
            .filter(|(_, member)| !is_blocked(member))
            .map(|(index, _)| index)
            .collect();
        match self.order {
            RotationOrder::Random => fastrand::shuffle(&mut order),
            RotationOrder::RoundRobin => {
                if self.head >= order.len() {
                    self.head = 0;
                }
                order.rotate_left(self.head);
                self.head += 1;
            }
        }
        order
    }

    /// How long this member would be left out if it failed now.
    pub fn pause(&self, member: usize) -> Duration {
        match &self.pauses {
            None => Duration::ZERO,
            Some(pauses) => pauses.after(self.failures_with_one_more(member, pauses)),
        }
    }

    /// A member failed.
    pub fn failed(&mut self, member: usize) {
        let Some(pauses) = &self.pauses else {
            return;
        };
        let failures = self.failures_with_one_more(member, pauses);
        let now = Instant::now();
        self.members[member] = RotationMember {
            failures,
            last_failure: Some(now),
            blocked_until: Some(now + pauses.after(failures)),
        };
    }

    /// Failures add up unless the last one is long ago; a success in between forgives nothing, as in Flume.
    fn failures_with_one_more(&self, member: usize, pauses: &BackOff) -> u32 {
        let RotationMember {
            failures,
            last_failure,
            ..
        } = self.members[member];
        let window = pauses.after(failures) + FORGIVEN_AFTER;
        if last_failure.is_some_and(|last| last.elapsed() < window) {
            (failures + 1).min(MAX_FAILURES)
        } else {
            1
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_order_begins_one_further() {
        let mut rotation = Rotation::new(3, RotationOrder::RoundRobin, None);
        let drawn: Vec<_> = (0..4).map(|_| rotation.draw()).collect();
        assert_eq!(drawn, [[0, 1, 2], [1, 2, 0], [2, 0, 1], [0, 1, 2]]);
        rotation.failed(0);
        assert_eq!(rotation.draw(), [1, 2, 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_failed_is_left_out_and_failures_add_up_within_an_hour() {
        let limit = Duration::from_secs(30);
        let mut rotation = Rotation::new(2, RotationOrder::Random, Some(limit));
        for pause in [2, 4, 8, 16, 30, 30] {
            let pause = Duration::from_secs(pause);
            assert_eq!(rotation.pause(0), pause);
            rotation.failed(0);
            tokio::time::advance(pause - Duration::from_millis(1)).await;
            assert_eq!(rotation.draw(), [1]);
            tokio::time::advance(Duration::from_millis(1)).await;
            assert_eq!(rotation.draw().len(), 2);
        }
        tokio::time::advance(FORGIVEN_AFTER + limit).await;
        assert_eq!(rotation.pause(0), Duration::from_secs(2));
        rotation.failed(0);
        rotation.failed(1);
        assert_eq!(rotation.draw(), [0; 0]);
    }
}

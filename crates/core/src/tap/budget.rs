//! How much a tap may look at, show and mark in a second.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use parking_lot::Mutex;

use crate::Event;

/// What a tap may still do in this second.
pub(super) struct Budget {
    whole: Allowance,
    left: Mutex<Allowance>,
    /// Whether nothing is left: then a batch costs neither the lock nor the clock.
    spent: AtomicBool,
}

#[derive(Clone, Copy)]
pub(super) struct Allowance {
    /// Events to choose.
    pub(super) choices: u64,
    /// Events to look at in search of them.
    pub(super) looks: u64,
}

impl Budget {
    pub(super) fn new(whole: Allowance) -> Self {
        Budget {
            whole,
            left: Mutex::new(whole),
            spent: AtomicBool::new(whole.choices == 0),
        }
    }

    pub(super) fn renew(&self) {
        *self.left.lock() = self.whole;
        self.spent.store(self.whole.choices == 0, Relaxed);
    }

    /// The indices of the first `most` events that `wanted` is true of, and how many events it looked at.
    pub(super) fn choose(
        &self,
        events: &[Event],
        most: usize,
        wanted: impl Fn(&Event) -> bool,
    ) -> (Vec<usize>, usize) {
        let mut chosen = vec![];
        if most == 0 || self.spent.load(Relaxed) {
            return (chosen, 0);
        }
        let mut left = self.left.lock();
        let mut looked_at = 0;
        for (index, event) in events.iter().enumerate() {
            if left.choices == 0 || left.looks == 0 || chosen.len() == most {
                break;
            }
            left.looks -= 1;
            looked_at += 1;
            if wanted(event) {
                left.choices -= 1;
                chosen.push(index);
            }
        }
        self.spent
            .store(left.choices == 0 || left.looks == 0, Relaxed);
        (chosen, looked_at)
    }

    pub(super) fn is_spent(&self) -> bool {
        self.spent.load(Relaxed)
    }
}

//! In what order events leave.

use std::collections::VecDeque;

/// In what order events leave. A run is a promise that the events are in their part, so events come first and the run
/// after them, and a run goes first and its events after it.
#[derive(Default)]
pub(super) struct DepartureOrder {
    pub(super) runs: VecDeque<DepartureRun>,
    /// Whether the disk is there. Before that nothing is accepted: a stop could not save it.
    pub(super) open: bool,
    pub(super) closed: bool,
}

/// Events that leave one after the other from one part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DepartureRun {
    pub(super) part: SpillPart,
    pub(super) events: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SpillPart {
    Memory,
    Disk,
}

impl DepartureOrder {
    pub(super) fn push(&mut self, run: DepartureRun) {
        match self.runs.back_mut() {
            Some(last) if last.part == run.part => last.events += run.events,
            _ => self.runs.push_back(run),
        }
    }

    pub(super) fn unclaim(&mut self, run: DepartureRun) {
        match self.runs.front_mut() {
            Some(first) if first.part == run.part => first.events += run.events,
            _ => self.runs.push_front(run),
        }
    }

    /// At most `max` events of the first run.
    pub(super) fn claim(&mut self, max: usize) -> Option<DepartureRun> {
        let front = self.runs.front_mut()?;
        let claimed = DepartureRun {
            events: front.events.min(max),
            ..*front
        };
        front.events -= claimed.events;
        if front.events == 0 {
            self.runs.pop_front();
        }
        Some(claimed)
    }

    /// The first so many events of memory are elsewhere now.
    pub(super) fn remove_memory(&mut self, events: usize) {
        let mut left = events;
        for run in &mut self.runs {
            if run.part == SpillPart::Memory {
                let removed = run.events.min(left);
                run.events -= removed;
                left -= removed;
            }
        }
        self.runs.retain(|run| run.events > 0);
    }
}

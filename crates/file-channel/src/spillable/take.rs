//! Takes from a channel of two parts.

use std::sync::Arc;

use flume_core::{Event, Settled, Take};

use super::{
    order::{DepartureRun, SpillPart},
    shared::SharedSpill,
};

/// A take from one part. Dropped, its events return there, and their run to the front.
pub(super) struct SpillTake {
    pub(super) shared: Arc<SharedSpill>,
    pub(super) part: SpillPart,
    pub(super) take: Option<Box<dyn Take>>,
}

impl Take for SpillTake {
    fn events(&self) -> &[Event] {
        self.take.as_ref().map_or(&[], |take| take.events())
    }

    fn commit(mut self: Box<Self>) -> Settled {
        let run = DepartureRun {
            part: self.part,
            events: self.events().len(),
        };
        let Some(take) = self.take.take() else {
            return Box::pin(std::future::ready(Ok(())));
        };
        let settled = take.commit();
        let shared = self.shared.clone();
        shared.calm_down();
        Box::pin(async move {
            let settled = settled.await;
            if settled.is_err() {
                shared.put_back(run);
            }
            settled
        })
    }

    fn split_off(&mut self, indices: &[usize]) -> Box<dyn Take> {
        let take = self.take.as_mut().map(|take| take.split_off(indices));
        Box::new(SpillTake {
            shared: self.shared.clone(),
            part: self.part,
            take,
        })
    }
}

impl Drop for SpillTake {
    fn drop(&mut self) {
        let run = DepartureRun {
            part: self.part,
            events: self.events().len(),
        };
        // The events first: a run promises that they are there.
        if self.take.take().is_some() {
            self.shared.put_back(run);
        }
    }
}

/// The take of a channel in which nothing was.
pub(super) struct EmptyTake;

impl Take for EmptyTake {
    fn events(&self) -> &[Event] {
        &[]
    }

    fn commit(self: Box<Self>) -> Settled {
        Box::pin(std::future::ready(Ok(())))
    }

    fn split_off(&mut self, _: &[usize]) -> Box<dyn Take> {
        Box::new(EmptyTake)
    }
}

//! What became of each batch, and when: the spans that OpenTelemetry draws.
//!
//! [`Outlet`](crate::Outlet) and [`SinkRunner`](crate::SinkRunner) begin and end transactions, so they record the spans.
//! Spans of one batch wait together, in a queue with a limit, until somebody drains it. What has no room is counted.

use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime},
};

use parking_lot::Mutex;

use crate::{secrets::masked, with_causes};

/// Spans that wait to be drained.
const QUEUE_SPANS: usize = 4096;

/// What a span covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanStep {
    /// A source's batch: interceptors, selector, and the puts into its channels.
    Source,
    /// A transaction that puts the batch into one channel.
    Put,
    /// The wait for a batch of a channel.
    Take,
    /// A sink's batch: the take, the delivery and the commit.
    Sink,
}

/// One step of a batch.
#[derive(Clone, Debug)]
pub struct Span {
    /// The same for all steps of a batch, up to a channel or from one on.
    pub trace: u128,
    /// Its own number.
    pub id: u64,
    /// The step that it is a part of.
    pub parent: Option<u64>,
    /// The component's full name.
    pub component: Arc<str>,
    /// What was done.
    pub step: SpanStep,
    /// When it began.
    pub began: SystemTime,
    /// How long it took.
    pub took: Duration,
    /// Events of the batch.
    pub events: usize,
    /// Why it failed.
    pub error: Option<String>,
}

/// Where the steps of batches are recorded. Cheap to clone; by default nothing is recorded, and that costs nothing.
#[derive(Clone, Debug, Default)]
pub struct Spans(Option<Arc<SpanQueue>>);

#[derive(Debug)]
struct SpanQueue {
    /// The part of all batches that is recorded.
    ratio: f64,
    waiting: Mutex<Vec<Span>>,
    recorded: AtomicU64,
    lost: AtomicU64,
}

/// The steps of one batch. Dropped before its end it records nothing.
#[must_use]
pub struct BatchTrace(Option<Box<OpenTrace>>);

struct OpenTrace {
    queue: Arc<SpanQueue>,
    trace: u128,
    root: u64,
    began: SystemTime,
    begun: Instant,
    parts: Vec<Span>,
}

impl Spans {
    /// Records this part of all batches: 1 is all.
    pub fn recording(ratio: f64) -> Self {
        Spans(Some(Arc::new(SpanQueue {
            ratio,
            waiting: Mutex::default(),
            recorded: AtomicU64::new(0),
            lost: AtomicU64::new(0),
        })))
    }

    /// A batch begins its way.
    pub fn begin(&self) -> BatchTrace {
        let queue = self.0.as_ref();
        let queue = queue.filter(|queue| queue.ratio >= 1.0 || fastrand::f64() < queue.ratio);
        BatchTrace(queue.map(|queue| {
            Box::new(OpenTrace {
                queue: queue.clone(),
                trace: fastrand::u128(1..),
                root: fastrand::u64(1..),
                began: SystemTime::now(),
                begun: Instant::now(),
                parts: vec![],
            })
        }))
    }

    /// What was recorded since the last call.
    pub fn drain(&self) -> Vec<Span> {
        let waiting = self.0.as_ref().map(|queue| &queue.waiting);
        waiting.map_or(vec![], |waiting| std::mem::take(&mut *waiting.lock()))
    }

    /// So many drained spans did not reach anybody.
    pub fn lost(&self, spans: usize) {
        if let Some(queue) = &self.0 {
            queue.lost.fetch_add(spans as u64, Relaxed);
        }
    }

    /// How many were recorded, and how many were lost for want of room or of somebody who takes them. `None`: nothing
    /// is to be recorded.
    pub fn counts(&self) -> Option<(u64, u64)> {
        let queue = self.0.as_ref()?;
        Some((queue.recorded.load(Relaxed), queue.lost.load(Relaxed)))
    }
}

impl SpanQueue {
    /// All spans of a batch, or none.
    fn push(&self, spans: Vec<Span>) {
        let count = spans.len() as u64;
        let mut waiting = self.waiting.lock();
        if waiting.len() + spans.len() > QUEUE_SPANS {
            drop(waiting);
            self.lost.fetch_add(count, Relaxed);
            return;
        }
        waiting.extend(spans);
        self.recorded.fetch_add(count, Relaxed);
    }
}

impl BatchTrace {
    /// The time, if anything is recorded.
    pub fn clock(&self) -> Option<Instant> {
        self.0.as_ref().map(|_| Instant::now())
    }

    /// A part of the way, which began at [`clock`](Self::clock), has ended.
    pub fn part<T, E: Error>(
        &mut self,
        began: Option<Instant>,
        step: SpanStep,
        component: &str,
        events: usize,
        outcome: &Result<T, E>,
    ) {
        let (Some(open), Some(began)) = (&mut self.0, began) else {
            return;
        };
        let span = Span {
            trace: open.trace,
            id: fastrand::u64(1..),
            parent: Some(open.root),
            component: component.into(),
            step,
            began: open.began + (began - open.begun),
            took: began.elapsed(),
            events,
            error: error_of(outcome),
        };
        open.parts.push(span);
    }

    /// The way of the batch has ended.
    pub fn end<T, E: Error>(
        self,
        step: SpanStep,
        component: &Arc<str>,
        events: usize,
        outcome: &Result<T, E>,
    ) {
        let Some(open) = self.0 else { return };
        let mut spans = open.parts;
        spans.push(Span {
            trace: open.trace,
            id: open.root,
            parent: None,
            component: component.clone(),
            step,
            began: open.began,
            took: open.begun.elapsed(),
            events,
            error: error_of(outcome),
        });
        open.queue.push(spans);
    }
}

fn error_of<T, E: Error>(outcome: &Result<T, E>) -> Option<String> {
    let error = outcome.as_ref().err()?;
    Some(masked(&with_causes(error)).into_owned())
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn batch(spans: &Spans, events: usize) {
        let mut trace = spans.begin();
        let put = trace.clock();
        let well: io::Result<()> = Ok(());
        trace.part(put, SpanStep::Put, "a1.channels.c1", events, &well);
        let failed: io::Result<()> = Err(io::Error::other("no"));
        trace.end(SpanStep::Source, &"a1.sources.r1".into(), events, &failed);
    }

    #[test]
    fn the_spans_of_a_batch_come_together() {
        let spans = Spans::recording(1.0);
        batch(&spans, 3);
        let drained = spans.drain();
        let [put, source] = &drained[..] else {
            panic!("{drained:?}")
        };
        assert_eq!((put.trace, put.parent), (source.trace, Some(source.id)));
        assert_eq!((put.events, source.parent), (3, None));
        assert_eq!(source.error.as_deref(), Some("no"));
        assert!(put.began >= source.began && put.took <= source.took);
        assert!(spans.drain().is_empty());
    }

    #[test]
    fn what_has_no_room_is_counted() {
        let spans = Spans::recording(1.0);
        for _ in 0..QUEUE_SPANS {
            batch(&spans, 1);
        }
        let all = 2 * QUEUE_SPANS as u64;
        assert_eq!(spans.counts(), Some((all / 2, all / 2)));
        let drained = spans.drain();
        assert_eq!(drained.len(), QUEUE_SPANS);
        spans.lost(drained.len());
        assert_eq!(spans.counts(), Some((all / 2, all)));
    }

    #[test]
    fn nothing_is_recorded_that_nobody_asked_for() {
        let off = Spans::default();
        batch(&off, 1);
        assert!(off.begin().clock().is_none() && off.drain().is_empty());
        assert_eq!(off.counts(), None);
        let none = Spans::recording(0.0);
        batch(&none, 1);
        assert!(none.drain().is_empty());
        let begun_and_dropped = Spans::recording(1.0);
        drop(begun_and_dropped.begin());
        assert!(begun_and_dropped.drain().is_empty());
    }
}

//! Looking at events as they pass, and following single ones.
//!
//! Each source, channel and sink has a [`TapPoint`]. Nobody pays for a tap that is not there: a point without one costs
//! a load of a flag for each batch. A tap looks at a bounded number of events and copies a bounded number of bytes each
//! second, on the threads that move the events; what it does not show it counts. It never waits.

mod budget;

use std::{
    sync::{
        Arc,
        atomic::{
            AtomicU8, AtomicU64,
            Ordering::{AcqRel, Acquire, Relaxed, Release},
        },
    },
    time::SystemTime,
};

use arc_swap::ArcSwap;
use budget::{Allowance, Budget};
use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::{Event, Headers, Str};

/// The header of an event that is followed: a number, then each component that it passed, with the time.
pub const TRACE_HEADER: &str = "flume.trace";
/// The system property that allows taps to mark events with [`TRACE_HEADER`].
pub const TRACE_PROPERTY: &str = "flume.trace";

/// Copied events that wait for the reader of a tap.
const QUEUE_EVENTS: usize = 512;
/// Events that a tap looks at in a second, at most, in search of one to show, and as many in search of one to mark.
const LOOKS_PER_SECOND: u64 = 100_000;
/// A trace grows by one entry a component; one that is longer has been in a circle.
const MAX_TRACE_BYTES: usize = 4096;
/// What a point does with a batch: nothing, as there is no tap.
const UNTAPPED: u8 = 0;
/// It counts the events: each tap has shown what it may, or has no room.
const RESTING: u8 = 1;
/// It asks each tap.
const LOOKING: u8 = 2;
/// Headers of an event that are copied; the trace comes on top.
const MAX_HEADERS: usize = 100;
/// A longer name of a header is cut.
const MAX_NAME_BYTES: usize = 256;

/// Where an event is when a tap sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Passage {
    /// A source hands it in; no interceptor has seen it yet.
    Received,
    /// All channels of the source have it.
    Accepted,
    /// A channel has it.
    Put,
    /// A sink has it, and may yet return it.
    Taken,
    /// A sink is done with it, and the channel has let it go.
    Delivered,
}

impl Passage {
    /// All of them, in the order of a flow.
    pub const ALL: [Passage; 5] = [
        Passage::Received,
        Passage::Accepted,
        Passage::Put,
        Passage::Taken,
        Passage::Delivered,
    ];

    /// Lower-case name.
    pub fn name(self) -> &'static str {
        match self {
            Passage::Received => "received",
            Passage::Accepted => "accepted",
            Passage::Put => "put",
            Passage::Taken => "taken",
            Passage::Delivered => "delivered",
        }
    }
}

/// What a tap wants.
#[derive(Clone, Debug)]
pub struct TapWish {
    /// Where it looks.
    pub passages: Vec<Passage>,
    /// Headers that an event must have, with these values; a value of `None`: with any.
    pub headers: Vec<(String, Option<String>)>,
    /// Most events in a second.
    pub per_second: u64,
    /// Bytes of each body, and of each header's name and value, that are copied.
    pub max_bytes: usize,
    /// Most events in a second that are marked at a source, so that they can be followed.
    pub marks_per_second: u64,
}

/// A copy of an event that passed.
#[derive(Clone, Debug, PartialEq)]
pub struct TappedEvent {
    /// The component's full name.
    pub component: Arc<str>,
    /// Where it was.
    pub passage: Passage,
    /// When.
    pub at: SystemTime,
    /// Its first headers, each cut to the wish's length.
    pub headers: Headers,
    /// How many headers it has.
    pub header_count: usize,
    /// The beginning of its body.
    pub body: Vec<u8>,
    /// How long the body is.
    pub body_bytes: usize,
}

/// Somebody who looks. Removed from its points when it is dropped, see [`TapGuard`].
pub struct Tap {
    wish: TapWish,
    /// Events to show.
    shows: Budget,
    /// Events to mark.
    marks: Budget,
    queue: mpsc::Sender<TappedEvent>,
    seen: AtomicU64,
    skipped: AtomicU64,
}

impl Tap {
    /// A tap with the queue that its events come out of.
    pub fn new(wish: TapWish) -> (Arc<Tap>, mpsc::Receiver<TappedEvent>) {
        let (queue, events) = mpsc::channel(QUEUE_EVENTS);
        // Who follows an event must not miss it, and an agent that writes traces looks at each event anyhow.
        let follows = wish.headers.iter().any(|(name, _)| name == TRACE_HEADER);
        let shows = Budget::new(Allowance {
            choices: wish.per_second,
            looks: if follows { u64::MAX } else { LOOKS_PER_SECOND },
        });
        let marks = Budget::new(Allowance {
            choices: wish.marks_per_second,
            looks: LOOKS_PER_SECOND,
        });
        let tap = Tap {
            wish,
            shows,
            marks,
            queue,
            seen: AtomicU64::new(0),
            skipped: AtomicU64::new(0),
        };
        (Arc::new(tap), events)
    }

    /// Begins a new second; the points of the tap are to be woken then. The reader of the tap calls it once a second: so
    /// the threads that move events need no clock, and a tap that nobody reads copies nothing.
    pub fn begin_second(&self) {
        self.shows.renew();
        self.marks.renew();
    }

    /// Events that passed at its points.
    pub fn seen(&self) -> u64 {
        self.seen.load(Relaxed)
    }

    /// Those of them that were not looked at, or were wanted and not shown, because of a limit or a slow reader.
    pub fn skipped(&self) -> u64 {
        self.skipped.load(Relaxed)
    }

    /// The indices of the events to show, within what the second still allows and the reader leaves room for.
    fn choose(&self, events: &[Event]) -> Vec<usize> {
        let room = self.queue.capacity();
        let (chosen, looked_at) = self
            .shows
            .choose(events, room, |event| self.fits(event, ""));
        let skipped = events.len() - looked_at;
        if skipped > 0 {
            self.skipped.fetch_add(skipped as u64, Relaxed);
        }
        chosen
    }

    /// Whether the event has all headers that are asked for, whatever its header `except` is.
    fn fits(&self, event: &Event, except: &str) -> bool {
        let asked = self.wish.headers.iter();
        let mut asked = asked.filter(|(name, _)| name != except);
        asked.all(|(name, value)| {
            let found = event.headers.get(name);
            match value {
                Some(value) => found.is_some_and(|found| found == value.as_str()),
                None => found.is_some(),
            }
        })
    }

    /// The indices of the events to mark: those that fit but for the mark.
    fn choose_unmarked(&self, events: &[Event]) -> Vec<usize> {
        let unmarked = |event: &Event| {
            event.headers.get(TRACE_HEADER).is_none() && self.fits(event, TRACE_HEADER)
        };
        self.marks.choose(events, events.len(), unmarked).0
    }

    /// Whether it can neither show nor mark anything now.
    fn rests(&self) -> bool {
        let shows_nothing = self.shows.is_spent() || self.queue.capacity() == 0;
        shows_nothing && self.marks.is_spent()
    }

    fn looks_at(&self, passage: Passage) -> bool {
        self.wish.passages.contains(&passage)
    }

    fn copy(&self, component: &Arc<str>, passage: Passage, event: &Event) -> TappedEvent {
        let cut = |text: &Str, bytes: usize| {
            let mut end = text.len().min(bytes);
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            Str::from(&text[..end])
        };
        // Who follows an event needs its trace.
        let headers = event.headers.iter().enumerate();
        let headers = headers.filter(|(at, (name, _))| *at < MAX_HEADERS || *name == TRACE_HEADER);
        let end = event.body.len().min(self.wish.max_bytes);
        TappedEvent {
            component: component.clone(),
            passage,
            at: SystemTime::now(),
            headers: headers
                .map(|(_, (name, value))| {
                    let trace = name == TRACE_HEADER;
                    let bytes = if trace {
                        2 * MAX_TRACE_BYTES
                    } else {
                        self.wish.max_bytes
                    };
                    (cut(name, MAX_NAME_BYTES), cut(value, bytes))
                })
                .collect(),
            header_count: event.headers.iter().count(),
            body: event.body[..end].to_vec(),
            body_bytes: event.body.len(),
        }
    }
}

/// Where taps look at the events of one component. Cheap to clone.
#[derive(Clone)]
pub struct TapPoint(Arc<PointState>);

struct PointState {
    component: Arc<str>,
    /// Whether this agent writes traces.
    traces: bool,
    /// [`UNTAPPED`], [`RESTING`] or [`LOOKING`]: looked at before `taps`, which cost more.
    attention: AtomicU8,
    /// Events that passed while all taps rested, by passage.
    unseen: [AtomicU64; Passage::ALL.len()],
    taps: ArcSwap<Vec<Arc<Tap>>>,
    /// Held while the list of taps changes.
    edit: Mutex<()>,
}

/// As long as this lives, a tap sees what passes at a point.
pub struct TapGuard {
    point: TapPoint,
    tap: Arc<Tap>,
    /// What the point had counted when this last looked.
    unseen: [u64; Passage::ALL.len()],
}

/// Copies of events for the taps that want them, shown once they have passed, or dropped.
#[must_use]
#[derive(Default)]
pub struct Picked(Vec<(Arc<Tap>, Vec<TappedEvent>)>);

impl TapPoint {
    /// The point of a component; `traces`: whether its agent writes traces.
    pub fn new(component: Arc<str>, traces: bool) -> Self {
        TapPoint(Arc::new(PointState {
            component,
            traces,
            attention: AtomicU8::new(UNTAPPED),
            unseen: Default::default(),
            taps: ArcSwap::default(),
            edit: Mutex::default(),
        }))
    }

    /// Whether both are the same component's, of the same life.
    pub fn is_same(&self, other: &TapPoint) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Shows `tap` what passes from now on, until the guard is dropped.
    pub fn add(&self, tap: Arc<Tap>) -> TapGuard {
        let unseen = self.unseen();
        self.edit(|taps| taps.push(tap.clone()));
        TapGuard {
            point: self.clone(),
            tap,
            unseen,
        }
    }

    fn unseen(&self) -> [u64; Passage::ALL.len()] {
        Passage::ALL.map(|passage| self.0.unseen[passage as usize].load(Relaxed))
    }

    fn edit(&self, change: impl FnOnce(&mut Vec<Arc<Tap>>)) {
        let _editing = self.0.edit.lock();
        let mut taps = self.0.taps.load().to_vec();
        change(&mut taps);
        let attention = if taps.is_empty() { UNTAPPED } else { LOOKING };
        self.0.taps.store(Arc::new(taps));
        self.0.attention.store(attention, Release);
    }

    /// Copies what the taps want of events that are about to pass.
    pub fn pick(&self, passage: Passage, events: &[Event]) -> Picked {
        match self.0.attention.load(Acquire) {
            LOOKING if !events.is_empty() => self.look(passage, events),
            RESTING => {
                self.0.unseen[passage as usize].fetch_add(events.len() as u64, Relaxed);
                Picked::default()
            }
            _ => Picked::default(),
        }
    }

    fn look(&self, passage: Passage, events: &[Event]) -> Picked {
        let taps = self.0.taps.load();
        let looking = taps.iter().filter(|tap| tap.looks_at(passage));
        let picked = looking.filter_map(|tap| {
            tap.seen.fetch_add(events.len() as u64, Relaxed);
            let chosen = tap.choose(events);
            let copy = |index: usize| tap.copy(&self.0.component, passage, &events[index]);
            let copies: Vec<_> = chosen.into_iter().map(copy).collect();
            (!copies.is_empty()).then(|| (tap.clone(), copies))
        });
        let picked = picked.collect();
        if taps.iter().all(|tap| tap.rests()) {
            let attention = &self.0.attention;
            let _ = attention.compare_exchange(LOOKING, RESTING, AcqRel, Relaxed);
        }
        Picked(picked)
    }

    /// Gives the events that a tap wants to follow their first trace.
    pub fn mark(&self, events: &mut [Event]) {
        if !self.0.traces || self.0.attention.load(Acquire) != LOOKING {
            return;
        }
        for tap in self.0.taps.load().iter() {
            for index in tap.choose_unmarked(events) {
                let id = format!("{:016x}", fastrand::u64(..));
                events[index].headers.set(TRACE_HEADER.into(), id.into());
            }
        }
    }

    /// Whether one of these events carries a trace that this component has to continue.
    pub fn has_traced(&self, events: &[Event]) -> bool {
        let is_traced = |event: &Event| event.headers.get(TRACE_HEADER).is_some();
        self.0.traces && events.iter().any(is_traced)
    }

    /// Adds this component and the time to the traces of those events that carry one.
    pub fn trace(&self, events: &mut [Event]) {
        if !self.0.traces {
            return;
        }
        let mut now = None;
        for event in events {
            let Some(so_far) = event.headers.get(TRACE_HEADER) else {
                continue;
            };
            if so_far.len() > MAX_TRACE_BYTES {
                continue;
            }
            let millis = *now.get_or_insert_with(millis_since_epoch);
            let longer = format!("{so_far};{}@{millis}", self.0.component);
            event.headers.set(TRACE_HEADER.into(), longer.into());
        }
    }
}

fn millis_since_epoch() -> u128 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_millis())
}

impl Picked {
    /// The events have passed: each tap gets its copies, as far as there is room in its queue.
    pub fn show(self) {
        for (tap, copies) in self.0 {
            let mut rest = copies.into_iter();
            while let Some(copy) = rest.next() {
                if tap.queue.try_send(copy).is_err() {
                    tap.skipped.fetch_add(1 + rest.len() as u64, Relaxed);
                    break;
                }
            }
        }
    }
}

impl TapGuard {
    /// Where it looks.
    pub fn point(&self) -> &TapPoint {
        &self.point
    }

    /// The tap may have room again, or a new second: the point asks it, and it learns what passed meanwhile.
    pub fn wake(&mut self) {
        self.catch_up();
        let attention = &self.point.0.attention;
        let _ = attention.compare_exchange(RESTING, LOOKING, AcqRel, Relaxed);
    }

    fn catch_up(&mut self) {
        let unseen = self.point.unseen();
        for passage in &self.tap.wish.passages {
            let place = *passage as usize;
            let passed = unseen[place] - self.unseen[place];
            self.tap.seen.fetch_add(passed, Relaxed);
            self.tap.skipped.fetch_add(passed, Relaxed);
        }
        self.unseen = unseen;
    }
}

impl Drop for TapGuard {
    fn drop(&mut self) {
        self.catch_up();
        self.point
            .edit(|taps| taps.retain(|other| !Arc::ptr_eq(other, &self.tap)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish() -> TapWish {
        TapWish {
            passages: vec![Passage::Put],
            headers: vec![],
            per_second: 1000,
            max_bytes: 4,
            marks_per_second: 0,
        }
    }

    fn point(traces: bool) -> TapPoint {
        TapPoint::new("a1.channels.c1".into(), traces)
    }

    fn with_header(name: &'static str, value: &'static str) -> Event {
        let mut event = Event::from("body");
        event.headers.set(name.into(), value.into());
        event
    }

    #[test]
    fn a_tap_sees_its_passage_until_its_guard_is_dropped() {
        let point = point(false);
        let (tap, mut events) = Tap::new(wish());
        let guard = point.add(tap.clone());
        point.pick(Passage::Put, &[Event::from("long body")]).show();
        point.pick(Passage::Taken, &[Event::from("other")]).show();
        // What is refused does not pass.
        drop(point.pick(Passage::Put, &[Event::from("refused")]));
        drop(guard);
        point.pick(Passage::Put, &[Event::from("late")]).show();
        let seen = events.try_recv().unwrap();
        assert_eq!((&seen.body[..], seen.body_bytes), (&b"long"[..], 9));
        assert!(events.try_recv().is_err());
        assert_eq!((tap.seen(), tap.skipped()), (2, 0));
    }

    #[test]
    fn what_exceeds_the_rate_or_the_queue_is_counted() {
        let point = point(false);
        let (tap, _slow) = Tap::new(TapWish {
            per_second: 3,
            ..wish()
        });
        let mut guard = point.add(tap.clone());
        point.pick(Passage::Put, &vec![Event::from("x"); 10]).show();
        point.pick(Passage::Put, &vec![Event::from("x"); 10]).show();
        point.pick(Passage::Taken, &[Event::from("x")]).show();
        guard.wake();
        assert_eq!((tap.seen(), tap.skipped()), (20, 17));
        tap.begin_second();
        point.pick(Passage::Put, &vec![Event::from("x"); 10]).show();
        point.pick(Passage::Put, &vec![Event::from("x"); 10]).show();
        drop(guard);
        assert_eq!((tap.seen(), tap.skipped()), (40, 34));
        point.pick(Passage::Put, &vec![Event::from("x"); 10]).show();
        assert_eq!(tap.seen(), 40);
        let (unread, mut slow) = Tap::new(wish());
        let mut guard = point.add(unread.clone());
        point
            .pick(Passage::Put, &vec![Event::from("x"); 900])
            .show();
        assert_eq!(unread.skipped(), 900 - QUEUE_EVENTS as u64);
        // Without room it rests, until its reader has made some.
        point.pick(Passage::Put, &[Event::from("x")]).show();
        while slow.try_recv().is_ok() {}
        guard.wake();
        point.pick(Passage::Put, &[Event::from("shown")]).show();
        assert_eq!(slow.try_recv().unwrap().body, b"show");
    }

    #[test]
    fn headers_choose_events_and_cuts_keep_characters_whole() {
        let point = point(false);
        let headers = vec![("k".into(), Some("ééé".into())), ("k".into(), None)];
        let (tap, mut events) = Tap::new(TapWish {
            headers,
            max_bytes: 3,
            ..wish()
        });
        let _guard = point.add(tap);
        let passed = [
            with_header("k", "other"),
            with_header("k", "ééé"),
            Event::from("x"),
        ];
        point.pick(Passage::Put, &passed).show();
        assert_eq!(events.try_recv().unwrap().headers.get("k").unwrap(), "é");
        assert!(events.try_recv().is_err());
    }

    #[test]
    fn a_second_costs_only_so_much() {
        let point = point(true);
        let (tap, mut events) = Tap::new(TapWish {
            headers: vec![("wanted".into(), None)],
            marks_per_second: 1,
            ..wish()
        });
        let mut guard = point.add(tap.clone());
        let mut batch = vec![with_header("wanted", "1")];
        let mut unwanted = vec![Event::from("x"); LOOKS_PER_SECOND as usize];
        point.mark(&mut unwanted);
        point.mark(&mut batch);
        assert!(!point.has_traced(&batch), "it looks no more in this second");
        tap.begin_second();
        point.mark(&mut batch);
        assert!(point.has_traced(&batch));
        let mut second = vec![with_header("wanted", "2")];
        point.mark(&mut second);
        assert!(!point.has_traced(&second), "one a second");
        // Nothing is copied that the queue has no room for.
        let picked = point.pick(Passage::Put, &vec![batch[0].clone(); QUEUE_EVENTS + 100]);
        assert_eq!(picked.0[0].1.len(), QUEUE_EVENTS);
        picked.show();
        assert!(point.pick(Passage::Put, &batch).0.is_empty());
        assert_eq!(tap.skipped(), 101);
        while events.try_recv().is_ok() {}
        let mut many = batch[0].clone();
        for number in 0..2 * MAX_HEADERS {
            many.headers.set(format!("a{number:04}").into(), "x".into());
        }
        tap.begin_second();
        guard.wake();
        point.pick(Passage::Put, &[many]).show();
        let seen = events.try_recv().unwrap();
        assert!(seen.headers.iter().count() <= MAX_HEADERS + 1);
        assert_eq!(seen.header_count, 2 * MAX_HEADERS + 2);
        assert!(seen.headers.get(TRACE_HEADER).is_some());
    }

    #[test]
    fn only_marked_events_change_and_only_where_traces_are_allowed() {
        for traces in [false, true] {
            let point = point(traces);
            let (tap, _events) = Tap::new(TapWish {
                marks_per_second: 1,
                ..wish()
            });
            let _guard = point.add(tap);
            let mut batch = vec![
                Event::from("a"),
                Event::from("b"),
                with_header(TRACE_HEADER, "7;a0.sources.r@1"),
            ];
            let before = batch.clone();
            point.mark(&mut batch);
            point.trace(&mut batch);
            assert_eq!(batch[1], before[1]);
            let trace = |event: &Event| {
                event
                    .headers
                    .get(TRACE_HEADER)
                    .map(|trace| trace.to_string())
            };
            if traces {
                assert!(point.has_traced(&batch));
                assert!(trace(&batch[0]).unwrap().contains(";a1.channels.c1@"));
                assert!(
                    trace(&batch[2])
                        .unwrap()
                        .starts_with("7;a0.sources.r@1;a1.channels.c1@")
                );
            } else {
                assert_eq!(batch, before);
                assert!(!point.has_traced(&batch));
            }
        }
    }
}

//! No wake-up is lost: loom goes through the ways in which threads that put into and take from the queue in memory can
//! take turns. A thread that waits for ever is a deadlock, which loom reports.
//!
//! The queue is the crate's own source. This test stands in for `tokio` and `parking_lot` below it: `sync` and `time`
//! have what the queue uses of them.

extern crate self as parking_lot;
extern crate self as tokio;

#[allow(dead_code, unreachable_pub, reason = "a module of the crate")]
#[path = "../../src/memory_queue.rs"]
mod memory_queue;
#[allow(dead_code, unreachable_pub, reason = "a module of the crate")]
#[path = "../../src/room.rs"]
mod room;
mod sync;
mod time;

use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Waker},
    time::Duration,
};

use flume_core::{
    BuildError, ChannelError, ChannelStats, Config, Event, Registry, Settled, Take, Want, config,
    extract,
    props::{Props, Section},
};
use loom::{future::block_on, thread};
use memory_queue::{ByteLimit, MemoryQueue, QueueLimits};
use room::{Reserved, Room, Stock, TakeProgress};
use sync::Mutex;

/// As long as it takes: no time passes here.
const LONG: Duration = Duration::MAX;
/// How often a thread is interrupted where it need not wait.
const INTERRUPTIONS: usize = 2;

fn explore(threads: impl Fn() + Sync + Send + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(INTERRUPTIONS);
    model.check(threads);
}

/// A queue for so many events.
fn queue(events: usize) -> Arc<MemoryQueue> {
    let bytes = ByteLimit::parse(&mut Props::new(&Registry::EMPTY, Section::default()));
    let limits = QueueLimits {
        events,
        transaction: events,
        keep_alive: LONG,
        bytes: bytes.expect("no limit"),
    };
    Arc::new(MemoryQueue::new(limits).expect("limits"))
}

fn put(queue: &MemoryQueue, events: usize) {
    let batch = vec![Event::from("x".to_string()); events];
    block_on(queue.put(batch)).expect("room");
}

fn take(queue: &MemoryQueue, want: Want) -> Box<dyn Take> {
    block_on(queue.take(want, LONG)).expect("a take")
}

fn commit(take: Box<dyn Take>) -> usize {
    let events = take.events().len();
    block_on(take.commit()).expect("a commit");
    events
}

/// Begins to wait, and no longer wants to.
fn give_up<T>(waiting: impl Future<Output = T>) {
    let mut waiting = pin!(waiting);
    let _ = waiting
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()));
}

#[test]
fn each_put_reaches_a_take() {
    explore(|| {
        let queue = queue(4);
        let takers = [1, 2].map(|_| {
            let queue = queue.clone();
            thread::spawn(move || commit(take(&queue, Want::events(1))))
        });
        put(&queue, 1);
        put(&queue, 1);
        for taker in takers {
            assert_eq!(taker.join().expect("an event"), 1);
        }
    });
}

#[test]
fn a_take_that_leaves_events_behind_wakes_the_next() {
    explore(|| {
        let queue = queue(4);
        let takers = [1, 2].map(|_| {
            let queue = queue.clone();
            thread::spawn(move || commit(take(&queue, Want::events(1))))
        });
        put(&queue, 2);
        for taker in takers {
            assert_eq!(taker.join().expect("an event"), 1);
        }
    });
}

#[test]
fn events_that_are_put_back_wake_a_take() {
    explore(|| {
        let queue = queue(4);
        put(&queue, 1);
        let other = queue.clone();
        let taker = thread::spawn(move || commit(take(&other, Want::events(1))));
        block_on(queue.take(Want::events(1), Duration::ZERO))
            .map(drop)
            .expect("a take");
        assert_eq!(taker.join().expect("an event"), 1);
    });
}

#[test]
fn a_take_that_is_given_up_keeps_no_wake_up() {
    explore(|| {
        let queue = queue(4);
        let takers = [1, 2].map(|number| {
            let queue = queue.clone();
            thread::spawn(move || {
                if number == 1 {
                    give_up(queue.take(Want::events(1), LONG));
                } else {
                    commit(take(&queue, Want::events(1)));
                }
            })
        });
        put(&queue, 1);
        for taker in takers {
            taker.join().expect("an event, or none");
        }
    });
}

#[test]
fn a_commit_makes_room_for_a_put_that_waits() {
    explore(|| {
        let queue = queue(1);
        let other = queue.clone();
        let producer = thread::spawn(move || {
            put(&other, 1);
            put(&other, 1);
        });
        commit(take(&queue, Want::events(1)));
        commit(take(&queue, Want::events(1)));
        producer.join().expect("room");
    });
}

#[test]
fn a_put_that_is_given_up_keeps_no_room() {
    explore(|| {
        let queue = queue(2);
        put(&queue, 1);
        let other = queue.clone();
        let impatient = thread::spawn(move || {
            give_up(other.put(vec![Event::from("x".to_string()); 2]));
        });
        let other = queue.clone();
        let patient = thread::spawn(move || put(&other, 1));
        patient.join().expect("room");
        impatient.join().expect("room, or none");
        assert_eq!(commit(take(&queue, Want::events(3))), 2);
    });
}

#[test]
fn a_take_does_not_linger_for_a_put_that_waits_for_its_room() {
    explore(|| {
        let queue = queue(2);
        let other = queue.clone();
        let producer = thread::spawn(move || {
            put(&other, 1);
            put(&other, 2);
        });
        let lingering = Want {
            linger: LONG,
            ..Want::events(3)
        };
        assert_eq!(commit(take(&queue, lingering)), 1);
        assert_eq!(commit(take(&queue, Want::events(2))), 2);
        producer.join().expect("room");
    });
}

#[test]
fn a_close_ends_every_wait() {
    explore(|| {
        let full = queue(1);
        put(&full, 1);
        let other = full.clone();
        let producer = thread::spawn(move || {
            let batch = vec![Event::from("x".to_string())];
            block_on(other.put(batch)).expect_err("no room")
        });
        let empty = queue(1);
        let other = empty.clone();
        let taker = thread::spawn(move || {
            let take = block_on(other.take(Want::events(1), LONG));
            take.err().expect("no events")
        });
        full.close();
        empty.close();
        for waiting in [producer, taker] {
            let ended = waiting.join().expect("its end");
            assert!(matches!(ended, ChannelError::Closed));
        }
    });
}

//! What every channel must do. `flume_testkit::channel_contract!(channel)` makes a test of each, with
//! `fn channel(properties: &str) -> Arc<dyn Channel>` giving a new, open channel of `key = value` lines.

#![expect(missing_docs, reason = "the names of the tests say what they demand")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use flume_core::{Channel, ChannelError, Event, Take, Want};
use tokio::time::timeout;

use crate::parts::{events, held, words};

/// Emits the tests.
#[macro_export]
macro_rules! channel_contract {
    ($channel:path) => {
        $crate::channel_contract!($channel:
            a_put_is_stored_whole_or_not_at_all
            events_come_in_the_order_they_were_put
            a_take_is_bounded_in_bytes_but_never_empty
            a_rollback_returns_events_to_the_head_in_order
            halves_settle_independently
            a_dropped_half_returns_with_its_order
            a_half_does_not_hold_the_buffer_it_came_from
            capacity_returns_however_a_take_ends
            a_commit_needs_nobody_to_wait_for_it
            an_empty_take_waits_no_longer_than_it_is_told
            a_put_wakes_a_waiting_take
            closing_ends_all_waits
        );
        #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
        async fn nothing_is_lost_or_doubled() {
            $crate::channel_contract::nothing_is_lost_or_doubled(&$channel).await
        }
    };
    ($channel:path: $($name:ident)*) => {$(
        #[tokio::test]
        async fn $name() {
            $crate::channel_contract::$name(&$channel).await
        }
    )*};
}

/// Gives a new, open channel of `key = value` lines.
pub type Factory<'a> = &'a dyn Fn(&str) -> Arc<dyn Channel>;

/// Puts that wait must be told so; the contract itself never waits for room.
fn with_capacity(channel: Factory<'_>, capacity: usize) -> Arc<dyn Channel> {
    channel(&format!(
        "capacity = {capacity}\ntransactionCapacity = {capacity}\nkeep-alive = 0"
    ))
}

async fn take(channel: &Arc<dyn Channel>, count: usize) -> Box<dyn Take> {
    channel
        .take(Want::events(count), Duration::ZERO)
        .await
        .expect("a take")
}

async fn put(channel: &Arc<dyn Channel>, words: &str) {
    channel.put(events(words)).await.expect("a put");
}

/// All there is, committed, in as many takes as the channel likes.
async fn drain(channel: &Arc<dyn Channel>) -> String {
    let mut all = vec![];
    loop {
        let take = take(channel, 1000).await;
        if take.events().is_empty() {
            return words(&all);
        }
        all.extend(take.events().to_vec());
        take.commit().await.expect("a commit");
    }
}

pub async fn a_put_is_stored_whole_or_not_at_all(channel: Factory<'_>) {
    let channel = with_capacity(channel, 3);
    put(&channel, "a b").await;
    assert!(matches!(
        channel.put(events("c d")).await,
        Err(ChannelError::Full { wanted: 2 })
    ));
    let large = channel.put(events("c d e f")).await;
    assert!(
        matches!(
            large,
            Err(ChannelError::TooLarge {
                size: 4,
                limit: 3,
                ..
            })
        ),
        "{large:?}"
    );
    assert_eq!(drain(&channel).await, "a b");
}

pub async fn events_come_in_the_order_they_were_put(channel: Factory<'_>) {
    let channel = with_capacity(channel, 9);
    for batch in ["a b", "c", "d e f"] {
        put(&channel, batch).await;
    }
    let mut seen = vec![];
    for count in [1, 2, 1, 2] {
        let take = take(&channel, count).await;
        assert!(take.events().len() <= count);
        seen.push(held(&*take));
        take.commit().await.expect("a commit");
    }
    seen.push(drain(&channel).await);
    assert_eq!(seen.join(" ").trim(), "a b c d e f");
}

pub async fn a_take_is_bounded_in_bytes_but_never_empty(channel: Factory<'_>) {
    let channel = with_capacity(channel, 9);
    put(&channel, "aaaa bb cc dd").await;
    let want = Want {
        bytes: 3,
        ..Want::events(9)
    };
    for expected in ["aaaa", "bb", "cc", "dd"] {
        let open = channel.take(want, Duration::ZERO).await.expect("a take");
        assert_eq!(held(&*open), expected);
        open.commit().await.expect("a commit");
    }
    let stats = channel.stats();
    assert_eq!((stats.bytes, stats.events, stats.in_flight), (0, 0, 0));
}

pub async fn a_rollback_returns_events_to_the_head_in_order(channel: Factory<'_>) {
    let channel = with_capacity(channel, 9);
    put(&channel, "a b c d").await;
    let put_at = channel.stats().oldest;
    assert!(put_at.is_some());
    drop(take(&channel, 3).await);
    assert_eq!(channel.stats().oldest, put_at);
    assert_eq!(drain(&channel).await, "a b c d");
}

pub async fn halves_settle_independently(channel: Factory<'_>) {
    let channel = with_capacity(channel, 4);
    put(&channel, "a b c d").await;
    let mut kept = take(&channel, 4).await;
    let moved = kept.split_off(&[1, 3]);
    assert_eq!((held(&*kept), held(&*moved)), ("a c".into(), "b d".into()));
    kept.commit().await.expect("a commit");
    assert_eq!(channel.stats().in_flight, 2);
    put(&channel, "e f").await;
    assert!(matches!(
        channel.put(events("g")).await,
        Err(ChannelError::Full { .. })
    ));
    moved.commit().await.expect("a commit");
    assert_eq!(drain(&channel).await, "e f");
}

pub async fn a_dropped_half_returns_with_its_order(channel: Factory<'_>) {
    let channel = with_capacity(channel, 9);
    put(&channel, "a b c d").await;
    let mut kept = take(&channel, 4).await;
    let moved = kept.split_off(&[0, 2]);
    kept.commit().await.expect("a commit");
    drop(moved);
    put(&channel, "e").await;
    assert_eq!(drain(&channel).await, "a c e");
}

/// A sink may park a half for hours.
pub async fn a_half_does_not_hold_the_buffer_it_came_from(channel: Factory<'_>) {
    let channel = with_capacity(channel, 4);
    let buffer = Bytes::from(vec![b'x'; 100_000]);
    let slices = (0..3).map(|place| Event::from(buffer.slice(place..place + 8)));
    channel.put(slices.collect()).await.expect("room");
    let mut kept = take(&channel, 3).await;
    let moved = kept.split_off(&[1]);
    kept.commit().await.expect("a commit");
    assert_eq!(held(&*moved), "xxxxxxxx");
    // Who stored the events may let go of them a moment after the answer.
    let is_free = async {
        while !buffer.is_unique() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(60), is_free)
        .await
        .expect("no slice of the buffer is held");
}

pub async fn capacity_returns_however_a_take_ends(channel: Factory<'_>) {
    let channel = with_capacity(channel, 3);
    for _ in 0..3 {
        put(&channel, "a b c").await;
        drop(take(&channel, 2).await);
        take(&channel, 1).await.commit().await.expect("a commit");
        assert_eq!(drain(&channel).await, "b c");
    }
    put(&channel, "a b c").await;
}

pub async fn a_commit_needs_nobody_to_wait_for_it(channel: Factory<'_>) {
    let channel = with_capacity(channel, 3);
    put(&channel, "a b c").await;
    drop(take(&channel, 2).await.commit());
    assert_eq!(drain(&channel).await, "c");
}

pub async fn an_empty_take_waits_no_longer_than_it_is_told(channel: Factory<'_>) {
    let channel = with_capacity(channel, 3);
    let wait = Duration::from_millis(20);
    let empty = timeout(Duration::from_secs(10), channel.take(Want::events(1), wait)).await;
    assert!(empty.expect("in time").expect("a take").events().is_empty());
}

pub async fn a_put_wakes_a_waiting_take(channel: Factory<'_>) {
    let channel = with_capacity(channel, 3);
    let waiting = {
        let channel = channel.clone();
        tokio::spawn(async move {
            let take = channel
                .take(Want::events(3), Duration::from_secs(3600))
                .await
                .expect("a take");
            held(&*take)
        })
    };
    tokio::task::yield_now().await;
    put(&channel, "a").await;
    let held = timeout(Duration::from_secs(10), waiting)
        .await
        .expect("a wake-up")
        .expect("no panic");
    assert_eq!(held, "a");
}

pub async fn closing_ends_all_waits(channel: Factory<'_>) {
    let text = "capacity = 1\ntransactionCapacity = 1\nkeep-alive = 3600";
    let full = channel(text);
    let empty = channel(text);
    put(&full, "a").await;
    let waits = async {
        tokio::join!(
            full.put(events("b")),
            empty.take(Want::events(1), Duration::from_secs(3600)),
            async {
                tokio::task::yield_now().await;
                full.close().await.expect("closed");
                empty.close().await.expect("closed");
            }
        )
    };
    let (put, take, ()) = timeout(Duration::from_secs(10), waits)
        .await
        .expect("the end of the waits");
    assert!(matches!(put, Err(ChannelError::Closed)));
    assert!(matches!(take, Err(ChannelError::Closed)));
    assert!(matches!(
        empty.put(events("a")).await,
        Err(ChannelError::Closed)
    ));
}

/// Puts and takes that are given up at any moment, commits, rollbacks and split takes from many threads, through
/// a channel so small that everybody waits all the time. A put that was given up is not repeated if it was stored.
pub async fn nothing_is_lost_or_doubled(channel: Factory<'_>) {
    const PRODUCERS: u32 = 4;
    const CONSUMERS: u32 = 3;
    const EACH: u32 = 5_000;
    let channel = channel("capacity = 16\ntransactionCapacity = 8\nkeep-alive = 60");
    let producers = (0..PRODUCERS).map(|producer| {
        let channel = channel.clone();
        tokio::spawn(async move {
            let mut next = 0;
            while next < EACH {
                let end = EACH.min(next + 1 + next % 8);
                let batch: Vec<_> = (next..end).map(|n| number(producer * EACH + n)).collect();
                channel.put(batch).await.expect("room within a minute");
                next = end;
            }
        })
    });
    let settled = Arc::new(AtomicUsize::new(0));
    let consumers = (0..CONSUMERS).map(|consumer| {
        let channel = channel.clone();
        let settled = settled.clone();
        tokio::spawn(async move {
            let mut committed = Vec::new();
            let mut round = consumer as usize;
            let want = Want {
                linger: Duration::from_micros(50 * consumer as u64),
                ..Want::events(11)
            };
            while settled.load(Relaxed) < (PRODUCERS * EACH) as usize {
                round += 1;
                let patience =
                    Duration::from_micros(if round.is_multiple_of(5) { 20 } else { 5_000 });
                let Ok(take) = timeout(patience, channel.take(want, 4 * patience)).await else {
                    continue;
                };
                let mut take = take.expect("a take");
                if round.is_multiple_of(3) {
                    let among = |place: &usize| *place < take.events().len();
                    let places: Vec<_> = [0, 2, 3].into_iter().filter(among).collect();
                    drop(take.split_off(&places));
                }
                if !round.is_multiple_of(4) {
                    settled.fetch_add(take.events().len(), Relaxed);
                    committed.extend(take.events().iter().map(|event| event.body.clone()));
                    take.commit().await.expect("a commit");
                }
            }
            committed
        })
    });
    let producers: Vec<_> = producers.collect();
    let consumers: Vec<_> = consumers.collect();
    for producer in producers {
        producer.await.expect("no panic");
    }
    let mut seen = Vec::new();
    for consumer in consumers {
        seen.append(&mut consumer.await.expect("no panic"));
    }
    seen.sort();
    let expected: Vec<_> = (0..PRODUCERS * EACH).map(|n| number(n).body).collect();
    assert_eq!(seen.len(), expected.len());
    assert_eq!(seen, expected);
    assert_eq!((channel.stats().events, channel.stats().in_flight), (0, 0));
    // All room is back.
    put(&channel, "x x x x x x x x").await;
    put(&channel, "x x x x x x x x").await;
}

fn number(n: u32) -> Event {
    Event::from(n.to_be_bytes().to_vec())
}

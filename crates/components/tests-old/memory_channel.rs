//! What every channel must do, here for `memory`. In the project the suite belongs to `testkit` and
//! runs for each channel.

mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use common::{build, events, held};
use flume_core::{Channel, ChannelError, Context, Event, Take, Want};
use tokio::time::{Instant, advance, timeout};

const SECOND: Duration = Duration::from_secs(1);

fn channel(properties: &str) -> Arc<dyn Channel> {
    build::<dyn Channel>("memory", properties, &Context::new("a1.channels.c1", &[])).into()
}

fn with_capacity(capacity: usize) -> Arc<dyn Channel> {
    channel(&format!("capacity = {capacity}\ntransactionCapacity = {capacity}"))
}

async fn take(channel: &Arc<dyn Channel>, count: usize) -> Box<dyn Take> {
    channel.take(Want::events(count), Duration::ZERO).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_put_is_stored_whole_or_not_at_all() {
    let channel = with_capacity(3);
    channel.put(events("a b")).await.unwrap();
    assert!(matches!(channel.put(events("c d")).await, Err(ChannelError::Full { wanted: 2 })));
    assert!(matches!(
        channel.put(events("c d e f")).await,
        Err(ChannelError::TooLarge { size: 4, limit: 3, .. })
    ));
    assert_eq!(held(&*take(&channel, 9).await), "a b");
}

#[tokio::test(start_paused = true)]
async fn takes_join_and_split_batches() {
    let channel = with_capacity(9);
    for batch in ["a b", "c", "d e f"] {
        channel.put(events(batch)).await.unwrap();
    }
    assert_eq!(held(&*take(&channel, 4).await), "a b c d");
    let open = take(&channel, 4).await;
    assert_eq!(held(&*open), "a b c d");
    assert_eq!(held(&*take(&channel, 4).await), "e f");
}

#[tokio::test(start_paused = true)]
async fn a_take_is_bounded_in_bytes_but_never_empty() {
    let channel = with_capacity(9);
    channel.put(events("aaaa bb cc dd")).await.unwrap();
    let want = Want { bytes: 3, ..Want::events(9) };
    for expected in ["aaaa", "bb", "cc", "dd"] {
        let open = channel.take(want, Duration::ZERO).await.unwrap();
        assert_eq!(held(&*open), expected);
        open.commit().await.unwrap();
    }
    assert_eq!((channel.stats().bytes, channel.stats().events, channel.stats().in_flight), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_rollback_returns_events_to_the_head_in_order() {
    let channel = with_capacity(9);
    channel.put(events("a b c d")).await.unwrap();
    let put_at = channel.stats().oldest;
    drop(take(&channel, 3).await);
    assert_eq!(channel.stats().oldest, put_at);
    assert_eq!(held(&*take(&channel, 9).await), "a b c d");
}

#[tokio::test(start_paused = true)]
async fn halves_settle_independently() {
    let channel = channel("capacity = 9\ntransactionCapacity = 9\nbyteCapacity = 4");
    channel.put(events("a b c d")).await.unwrap();
    let mut kept = take(&channel, 4).await;
    let moved = kept.split_off(&[1, 3]);
    assert_eq!((held(&*kept), held(&*moved)), ("a c".into(), "b d".into()));
    kept.commit().await.unwrap();
    assert_eq!(channel.stats().in_flight, 2);
    drop(moved);
    channel.put(events("e f")).await.unwrap();
    assert!(matches!(channel.put(events("g")).await, Err(ChannelError::Full { .. })));
    assert_eq!(held(&*take(&channel, 9).await), "b d e f");
}

#[tokio::test(start_paused = true)]
async fn capacity_returns_however_a_take_ends() {
    let channel = channel("capacity = 3\ntransactionCapacity = 3\nbyteCapacity = 3");
    for _ in 0..3 {
        channel.put(events("a b c")).await.unwrap();
        drop(take(&channel, 2).await);
        take(&channel, 1).await.commit().await.unwrap();
        // The removal is requested by the call: nobody needs to wait for it.
        drop(take(&channel, 2).await.commit());
    }
    assert!(matches!(channel.put(events("aaaa")).await, Err(ChannelError::TooLarge { unit: "bytes", .. })));
    channel.put(events("aaa")).await.unwrap();
    assert!(matches!(channel.put(events("b")).await, Err(ChannelError::Full { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_lingering_take_fills_and_ends_when_full_or_late() {
    let channel = with_capacity(9);
    let trickle = channel.clone();
    tokio::spawn(async move {
        for event in ["a", "b", "c", "d", "e"] {
            tokio::time::sleep(SECOND).await;
            trickle.put(events(event)).await.unwrap();
        }
    });
    let start = Instant::now();
    let want = Want { linger: 10 * SECOND, ..Want::events(3) };
    let full = channel.take(want, 5 * SECOND).await.unwrap();
    assert_eq!((held(&*full), start.elapsed().as_secs()), ("a b c".into(), 3));
    let late = channel.take(want, 5 * SECOND).await.unwrap();
    assert_eq!((held(&*late), start.elapsed().as_secs()), ("d e".into(), 14));
}

#[tokio::test(start_paused = true)]
async fn a_take_does_not_linger_for_events_that_have_no_room() {
    let channel = with_capacity(4);
    let want = Want { linger: 10 * SECOND, ..Want::events(100) };
    let start = Instant::now();
    channel.put(events("a b c d")).await.unwrap();
    drop(channel.take(want, SECOND).await.unwrap().commit());
    let ((), ()) = tokio::join!(
        async {
            let take = channel.take(want, SECOND).await.unwrap();
            assert_eq!(held(&*take), "a b c");
            drop(take.commit());
        },
        async {
            channel.put(events("a b c")).await.unwrap();
            // `join!` takes turns at who is polled first; after two rounds the take lingers.
            tokio::task::yield_now().await;
            tokio::task::yield_now().await;
            channel.put(events("d e")).await.unwrap();
        }
    );
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_take_gives_back_what_it_lingers_on() {
    let channel = with_capacity(9);
    channel.put(events("a b")).await.unwrap();
    let want = Want { linger: 10 * SECOND, ..Want::events(3) };
    assert!(timeout(SECOND, channel.take(want, SECOND)).await.is_err());
    assert_eq!(held(&*take(&channel, 9).await), "a b");
}

#[tokio::test(start_paused = true)]
async fn waiting_ends_with_what_was_waited_for() {
    let channel = with_capacity(2);
    let start = Instant::now();
    let (open, ()) = tokio::join!(channel.take(Want::events(2), SECOND), async {
        tokio::task::yield_now().await;
        channel.put(events("a b")).await.unwrap();
    });
    let ((), ()) = tokio::join!(async { channel.put(events("c d")).await.unwrap() }, async {
        tokio::task::yield_now().await;
        drop(open.unwrap().commit());
    });
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(held(&*take(&channel, 2).await), "c d");
}

#[tokio::test(start_paused = true)]
async fn whoever_leaves_events_behind_wakes_the_next() {
    let channel = with_capacity(4);
    let start = Instant::now();
    let one = || channel.take(Want::events(1), SECOND);
    let (first, second, ()) = tokio::join!(one(), one(), async {
        channel.put(events("a b")).await.unwrap();
    });
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!((held(&*first), held(&*second)), ("a".into(), "b".into()));
    let (third, ()) = tokio::join!(one(), async { drop(first) });
    assert_eq!(held(&*third.unwrap()), "a");
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn small_puts_do_not_overtake_a_waiting_large_one() {
    let channel = with_capacity(4);
    channel.put(events("a b c d")).await.unwrap();
    let put = |batch| {
        let channel = channel.clone();
        tokio::spawn(async move { channel.put(events(batch)).await })
    };
    let large = put("l l l l");
    tokio::task::yield_now().await;
    let small = put("s");
    for _ in 0..4 {
        take(&channel, 1).await.commit().await.unwrap();
        tokio::task::yield_now().await;
    }
    large.await.unwrap().unwrap();
    assert_eq!(channel.stats().events, 4);
    take(&channel, 4).await.commit().await.unwrap();
    small.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_put_that_gives_up_lets_the_next_pass() {
    let channel = with_capacity(4);
    channel.put(events("a b")).await.unwrap();
    let impatient = timeout(SECOND, channel.put(events("l l l l")));
    let patient = channel.put(events("s"));
    let start = Instant::now();
    let (gave_up, passed) = tokio::join!(impatient, patient);
    assert!(gave_up.is_err() && passed.is_ok());
    assert_eq!(start.elapsed().as_secs(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_take_passes_its_wake_up_on() {
    let channel = with_capacity(4);
    let waiting = |patience| {
        let channel = channel.clone();
        tokio::spawn(async move { held(&*channel.take(Want::events(1), patience).await.unwrap()) })
    };
    let (dropped, other) = (waiting(9 * SECOND), waiting(9 * SECOND));
    tokio::task::yield_now().await;
    channel.put(events("a")).await.unwrap(); // wakes `dropped`, which never gets to run
    dropped.abort();
    assert_eq!(other.await.unwrap(), "a");
}

#[tokio::test(start_paused = true)]
async fn closing_ends_all_waits() {
    let (full, empty) = (with_capacity(1), with_capacity(1));
    full.put(events("a")).await.unwrap();
    let (put, take, ()) = tokio::join!(full.put(events("b")), empty.take(Want::events(1), SECOND), async {
        advance(SECOND / 2).await;
        full.close().await.unwrap();
        empty.close().await.unwrap();
    });
    assert!(matches!(put, Err(ChannelError::Closed)));
    assert!(matches!(take, Err(ChannelError::Closed)));
    assert!(matches!(empty.put(events("a")).await, Err(ChannelError::Closed)));
}

/// Puts and takes that are given up at any moment, commits, rollbacks and split takes from many
/// threads, through a channel so small that everybody waits all the time.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_lost_or_doubled() {
    const PRODUCERS: u32 = 4;
    const CONSUMERS: u32 = 3;
    const EACH: u32 = 20_000;
    let channel = channel("capacity = 16\ntransactionCapacity = 8\nkeep-alive = 60");

    let producers = (0..PRODUCERS).map(|producer| {
        let channel = channel.clone();
        tokio::spawn(async move {
            let mut next = 0;
            while next < EACH {
                let end = EACH.min(next + 1 + next % 8);
                let batch: Vec<_> = (next..end).map(|n| number(producer * EACH + n)).collect();
                // Given up, a put to memory stores nothing, so it may be repeated.
                while timeout(Duration::from_micros(100), channel.put(batch.clone())).await.is_err() {}
                next = end;
            }
        })
    });
    let settled = Arc::new(AtomicUsize::new(0));
    let consumers = (0..CONSUMERS).map(|consumer| {
        let (channel, settled) = (channel.clone(), settled.clone());
        tokio::spawn(async move {
            let (mut committed, mut round) = (Vec::new(), consumer as usize);
            let want = Want { linger: Duration::from_micros(50 * consumer as u64), ..Want::events(11) };
            while settled.load(Relaxed) < (PRODUCERS * EACH) as usize {
                round += 1;
                let patience = Duration::from_micros(if round % 5 == 0 { 20 } else { 5_000 });
                let Ok(take) = timeout(patience, channel.take(want, 4 * patience)).await else {
                    continue;
                };
                let mut take = take.unwrap();
                if round % 3 == 0 {
                    drop(take.split_off(&[0, 2, 3]));
                }
                if round % 4 != 0 {
                    settled.fetch_add(take.events().len(), Relaxed);
                    committed.extend(take.events().iter().map(|event| event.body.clone()));
                    take.commit().await.unwrap();
                }
            }
            committed
        })
    });
    let (producers, consumers): (Vec<_>, Vec<_>) = (producers.collect(), consumers.collect());
    for producer in producers {
        producer.await.unwrap();
    }
    let mut seen = Vec::new();
    for consumer in consumers {
        seen.append(&mut consumer.await.unwrap());
    }
    seen.sort();
    let expected: Vec<_> = (0..PRODUCERS * EACH).map(|n| number(n).body).collect();
    assert_eq!(seen.len(), expected.len());
    assert_eq!(seen, expected);
    assert_eq!((channel.stats().events, channel.stats().in_flight), (0, 0));
    // All room is back.
    channel.put(vec![Event::from("x"); 8]).await.unwrap();
    channel.put(vec![Event::from("x"); 8]).await.unwrap();
}

fn number(n: u32) -> Event {
    Event::from(n.to_be_bytes().to_vec())
}

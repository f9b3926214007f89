//! The contract of channels for `memory`, and what is its own: joined batches, lingering, fairness, bytes.

use std::{sync::Arc, time::Duration};

use flume_components::REGISTRY;
use flume_core::{Channel, ChannelError, ChannelHandle, Context, ReplaceError, Take, Want};
use flume_testkit::parts::{build, events, held};
use tokio::time::{Instant, timeout};

const SECOND: Duration = Duration::from_secs(1);

fn channel(properties: &str) -> Arc<dyn Channel> {
    build::<dyn Channel>(
        &REGISTRY,
        "memory",
        properties,
        &Context::new("a1.channels.c1", &[]),
    )
    .into()
}

mod contract {
    flume_testkit::channel_contract!(super::channel);
}

fn with_capacity(capacity: usize) -> Arc<dyn Channel> {
    channel(&format!(
        "capacity = {capacity}\ntransactionCapacity = {capacity}"
    ))
}

async fn take(channel: &Arc<dyn Channel>, count: usize) -> Box<dyn Take> {
    channel
        .take(Want::events(count), Duration::ZERO)
        .await
        .unwrap()
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
    let want = Want {
        linger: 10 * SECOND,
        ..Want::events(3)
    };
    let full = channel.take(want, 5 * SECOND).await.unwrap();
    assert_eq!(
        (held(&*full), start.elapsed().as_secs()),
        ("a b c".into(), 3)
    );
    let late = channel.take(want, 5 * SECOND).await.unwrap();
    assert_eq!(
        (held(&*late), start.elapsed().as_secs()),
        ("d e".into(), 14)
    );
}

#[tokio::test(start_paused = true)]
async fn a_take_does_not_linger_for_events_that_have_no_room() {
    let channel = with_capacity(4);
    let want = Want {
        linger: 10 * SECOND,
        ..Want::events(100)
    };
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
    let want = Want {
        linger: 10 * SECOND,
        ..Want::events(3)
    };
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
    let first = first.unwrap();
    let second = second.unwrap();
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
    let dropped = waiting(9 * SECOND);
    let other = waiting(9 * SECOND);
    tokio::task::yield_now().await;
    channel.put(events("a")).await.unwrap(); // wakes `dropped`, which never gets to run
    dropped.abort();
    assert_eq!(other.await.unwrap(), "a");
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

/// Bodies may fill 80 % of the byte capacity unless told otherwise; headers count as soon as they exceed the rest.
#[tokio::test(start_paused = true)]
async fn bytes_are_a_limit() {
    for (properties, fits) in [
        ("byteCapacity = 1000", 8),
        ("byteCapacity = 1000\nbyteCapacityBufferPercentage = 0", 10),
        ("byteCapacity = 1000\nbyteCapacityBufferPercentage = 50", 5),
        ("byteCapacity = 0", 20),
    ] {
        let channel = channel(&format!("keep-alive = 0\n{properties}"));
        let hundred = || vec![flume_core::Event::from(vec![b'x'; 100])];
        let mut count = 0;
        while count < 20 && channel.put(hundred()).await.is_ok() {
            count += 1;
        }
        assert_eq!(count, fits, "{properties}");
        let full = channel.put(hundred()).await;
        assert!(
            fits == 20 || matches!(full, Err(ChannelError::Full { .. })),
            "{properties}"
        );
        take(&channel, 20).await.commit().await.unwrap();
        channel.put(hundred()).await.unwrap();
    }
    let channel = channel("keep-alive = 0\nbyteCapacity = 1000");
    let mut event = flume_core::Event::from("x");
    event.headers.set("h".into(), "y".repeat(600).into());
    channel.put(vec![event.clone()]).await.unwrap();
    assert!(matches!(
        channel.put(vec![event]).await,
        Err(ChannelError::Full { .. })
    ));
    let large = flume_core::Event::from(vec![b'x'; 900]);
    assert!(matches!(
        channel.put(vec![large]).await,
        Err(ChannelError::TooLarge { unit: "bytes", .. })
    ));
}

/// A reload must not stand still for as long as a put may.
#[tokio::test(start_paused = true)]
async fn a_channel_is_not_replaced_while_a_put_waits_for_long() {
    let cx = Context::new("a1.channels.c1", &[]);
    let with = |properties| build::<dyn Channel>(&REGISTRY, "memory", properties, &cx);
    let small = "capacity = 1\ntransactionCapacity = 1\nkeep-alive = 3600";
    let handle = ChannelHandle::new(with(small), cx.clone());
    handle.put(events("a")).await.unwrap();
    let waiting = handle.clone();
    let start = Instant::now();
    let put = tokio::spawn(async move { waiting.put(events("b")).await });
    tokio::task::yield_now().await;
    assert!(matches!(
        handle.replace(with(""), &|| unreachable!()).await,
        Err(ReplaceError::Busy)
    ));
    assert_eq!(start.elapsed().as_secs(), 5);
    handle
        .take(Want::events(1), Duration::ZERO)
        .await
        .unwrap()
        .commit()
        .await
        .unwrap();
    put.await.unwrap().unwrap();
    handle.replace(with(""), &|| unreachable!()).await.unwrap();
    assert_eq!((handle.stats().events, handle.stats().capacity), (1, 100));
}

/// A group must not end while a sink that still runs may bury in its channel.
#[tokio::test]
async fn dead_letters_are_awaited_as_long_as_they_may_come() {
    let handle = |name: &str| {
        let cx = Context::new(name, &[]);
        ChannelHandle::new(build::<dyn Channel>(&REGISTRY, "memory", "", &cx), cx)
    };
    let source = handle("a1.channels.c1");
    let grave = handle("a1.channels.c2");
    let burying = grave.bury_from(&source);
    // Two sinks may bury in each other's channel.
    let back = source.bury_from(&grave);
    assert!(!grave.awaits_dead_letters() && !source.awaits_dead_letters());
    source.put(events("a")).await.unwrap();
    assert!(grave.awaits_dead_letters());
    let take = source.take(Want::events(1), Duration::ZERO).await.unwrap();
    assert!(grave.awaits_dead_letters(), "the sink may yet bury it");
    take.commit().await.unwrap();
    assert!(!grave.awaits_dead_letters());
    source.put(events("b")).await.unwrap();
    drop(burying);
    assert!(!grave.awaits_dead_letters(), "the sink is gone");
    drop(back);
}

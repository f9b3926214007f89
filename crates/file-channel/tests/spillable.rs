//! `spillablememory`: the contract of channels for each of its parts alone, and what only both together do.

use std::{path::Path, sync::Arc, time::Duration};

use flume_core::{BuildError, Channel, ChannelError, ChannelHandle, Context, Registry, Want};
use flume_testkit::parts::{build, events, held, try_build, words};

async fn open(dir: &Path, properties: &str) -> Arc<dyn Channel> {
    let channel = not_open(dir, properties);
    channel.open().await.expect("an open channel");
    channel
}

fn not_open(dir: &Path, properties: &str) -> Arc<dyn Channel> {
    let dir = dir.display();
    let text = format!("checkpointDir = {dir}/checkpoint\ndataDirs = {dir}/data\n{properties}");
    build::<dyn Channel>(
        &flume_file_channel::REGISTRY,
        "spillablememory",
        &text,
        &Context::new("a1.channels.c1", &[]),
    )
    .into()
}

/// The contract's properties, with its capacity in one part.
fn translated(properties: &str, memory: &str, disk: &str) -> String {
    let translated = properties
        .replace("keep-alive", "overflowTimeout")
        .replace("transactionCapacity", "transaction");
    let translated = translated
        .replace("capacity", memory)
        .replace("transaction", "transactionCapacity");
    format!("{translated}\n{disk} = 0")
}

mod memory_alone {
    use super::*;

    fn channel(properties: &str) -> Arc<dyn Channel> {
        not_open(
            Path::new("/nowhere"),
            &translated(properties, "memoryCapacity", "overflowCapacity"),
        )
    }

    flume_testkit::channel_contract!(channel);
}

async fn take(channel: &Arc<dyn Channel>, count: usize) -> String {
    let take = channel
        .take(Want::events(count), Duration::ZERO)
        .await
        .expect("a take");
    let words = held(&*take);
    take.commit().await.expect("a commit");
    words
}

async fn drain(channel: &Arc<dyn Channel>) -> String {
    let mut all = vec![];
    loop {
        let some = take(channel, 100).await;
        if some.is_empty() {
            return all.join(" ");
        }
        all.push(some);
    }
}

fn numbered(numbers: std::ops::Range<u32>) -> String {
    numbers
        .map(|number| number.to_string())
        .collect::<Vec<_>>()
        .join(" ")
}

#[tokio::test]
async fn a_stop_keeps_what_is_in_memory() {
    let dir = tempfile::tempdir().expect("a directory");
    let properties = "memoryCapacity = 5\noverflowCapacity = 100\noverflowTimeout = 0";
    let channel = open(dir.path(), properties).await;
    for first in (0..50).step_by(4) {
        channel
            .put(events(&numbered(first..first + 4)))
            .await
            .expect("room");
    }
    assert_eq!(take(&channel, 4).await, numbered(0..4));
    assert!(channel.durable());
    channel.put(events("last")).await.expect("room in memory");
    channel.close().await.expect("closed");
    let channel = open(dir.path(), properties).await;
    assert_eq!(channel.stats().events, 49);
    assert_eq!(drain(&channel).await, format!("{} last", numbered(4..52)));
}

/// A stop could not save what memory took before. A store that does not open is as one that is not open yet.
#[tokio::test]
async fn nothing_is_accepted_before_the_store_is_open() {
    for capacity in ["memoryCapacity = 5", "memoryCapacity = 0"] {
        let dir = tempfile::tempdir().expect("a directory");
        let in_the_way = dir.path().join("data");
        std::fs::write(&in_the_way, "").expect("a file");
        let channel = not_open(dir.path(), &format!("{capacity}\noverflowTimeout = 0"));
        for when in ["before the open", "after the open that failed"] {
            let put = channel.put(events("early")).await;
            assert!(
                matches!(put, Err(ChannelError::Closed)),
                "{capacity}, {when}: {put:?}"
            );
            let stats = channel.stats();
            assert_eq!((stats.events, channel.volatile_events()), (0, 0));
            channel.open().await.expect_err("a file is in the way");
        }
        std::fs::remove_file(&in_the_way).expect("removed");
        channel.open().await.expect("an open channel");
        channel.put(events("late")).await.expect("room");
        channel.close().await.expect("closed");
        let channel = open(dir.path(), capacity).await;
        assert_eq!(drain(&channel).await, "late");
        channel.close().await.expect("closed");
    }
}

/// A channel of other settings may have left more in the directory than this one would put there.
#[tokio::test]
async fn a_stop_keeps_what_is_in_memory_however_much_is_on_disk() {
    let dir = tempfile::tempdir().expect("a directory");
    let large = open(dir.path(), "memoryCapacity = 0\noverflowCapacity = 100").await;
    large
        .put(events(&numbered(0..50)))
        .await
        .expect("room on disk");
    large.close().await.expect("closed");
    let properties = "memoryCapacity = 5\noverflowCapacity = 10\noverflowTimeout = 0";
    let channel = open(dir.path(), properties).await;
    channel.put(events("last")).await.expect("room in memory");
    channel.close().await.expect("closed");
    assert_eq!(channel.volatile_events(), 0);
    let channel = open(dir.path(), properties).await;
    assert_eq!(drain(&channel).await, format!("{} last", numbered(0..50)));
}

#[tokio::test]
async fn thousands_of_puts_leave_in_order_wherever_they_went() {
    let dir = tempfile::tempdir().expect("a directory");
    let properties = "memoryCapacity = 40\noverflowCapacity = 100000\noverflowTimeout = 0";
    let channel = open(dir.path(), properties).await;
    let mut next = 0;
    let mut seen = vec![];
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..600 {
        let count = 1 + random.u32(..12);
        channel
            .put(events(&numbered(next..next + count)))
            .await
            .expect("room");
        next += count;
        let mut open = channel
            .take(Want::events(random.usize(..14)), Duration::ZERO)
            .await
            .expect("a take");
        if random.u32(..3) == 0 {
            continue;
        }
        if random.u32(..5) == 0 {
            // The second half returns to the head.
            let half: Vec<_> = (open.events().len() / 2..open.events().len()).collect();
            drop(open.split_off(&half));
        }
        seen.push(words(open.events()));
        open.commit().await.expect("a commit");
    }
    seen.push(drain(&channel).await);
    seen.retain(|words| !words.is_empty());
    assert_eq!(seen.join(" "), numbered(0..next));
    channel.close().await.expect("closed");
}

#[test]
fn capacities_that_hold_nothing_are_refused() {
    let build = |text: &str| -> Result<Box<dyn Channel>, BuildError> {
        try_build(
            &flume_file_channel::REGISTRY,
            "spillablememory",
            text,
            &Context::new("a1.channels.c1", &[]),
        )
    };
    let error = build("memoryCapacity = 0\noverflowCapacity = 0")
        .err()
        .expect("an error");
    assert_eq!(
        error.to_string(),
        "overflowCapacity: must not be 0 when memoryCapacity is 0"
    );
    let error = build("byteCapacityBufferPercentage = 100")
        .err()
        .expect("an error");
    assert_eq!(
        error.to_string(),
        "byteCapacityBufferPercentage: must be below 100"
    );
    assert!(build("memoryCapacity = 0").is_ok());
}

fn registry(channel_type: &str) -> &'static Registry {
    if channel_type == "memory" {
        &flume_components::REGISTRY
    } else {
        &flume_file_channel::REGISTRY
    }
}

/// A reload may change the type of a channel. What was acknowledged must come out of the successor.
#[tokio::test]
async fn events_move_from_memory_to_disk_with_a_new_type() {
    let volatile = [
        ("memory", "capacity = 100"),
        ("spillablememory", "overflowCapacity = 0"),
    ];
    for (number, (old, properties)) in volatile.into_iter().enumerate() {
        for new in ["memory", "file", "spillablememory"] {
            let dir = tempfile::tempdir().expect("a directory");
            let cx = Context::new("a1.channels.c1", &[]);
            let path = dir.path().display();
            let on_disk = format!("checkpointDir = {path}/checkpoint\ndataDirs = {path}/data");
            let text = if old == "memory" {
                properties.into()
            } else {
                format!("{properties}\n{on_disk}")
            };
            let channel = build::<dyn Channel>(registry(old), old, &text, &cx);
            let handle = ChannelHandle::new(channel, cx.clone());
            handle.put(events(&numbered(0..50))).await.expect("room");
            let text = if new == "memory" {
                "capacity = 100"
            } else {
                on_disk.as_str()
            };
            let successor = build::<dyn Channel>(registry(new), new, text, &cx);
            handle
                .replace(successor, &|| unreachable!("the successor opens"))
                .await
                .expect("room in the successor");
            let mut seen = vec![];
            while seen.len() < 50 {
                let wait = Duration::from_secs(10);
                let take = handle.take(Want::events(50), wait).await.expect("a take");
                seen.extend(take.events().to_vec());
                take.commit().await.expect("a commit");
            }
            assert_eq!(words(&seen), numbered(0..50), "{number}: {old} to {new}");
            handle.close().await.expect("closed");
        }
    }
}

//! Order, room and stops, with a memory channel for a disk.

use flume_core::{
    ByteLimit, Config, Context, QueueLimits,
    props::{Props, Section},
};
use flume_testkit::{
    channel_contract::nothing_is_lost_or_doubled,
    parts::{build, events, held},
};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// So many events fit into memory, so many onto the disk, which is a memory channel here.
fn channel(memory: usize, disk: usize) -> SpillableChannel {
    let bytes = ByteLimit::parse(&mut Props::new(
        &flume_core::Registry::EMPTY,
        Section::default(),
    ))
    .expect("no limit");
    let limits = QueueLimits {
        events: memory,
        transaction: memory,
        keep_alive: Duration::ZERO,
        bytes,
    };
    let queue = MemoryQueue::new(limits).expect("limits");
    let properties = format!(
        "capacity = {0}\ntransactionCapacity = {0}\nkeep-alive = 0",
        memory + disk
    );
    let cx = Context::new("a1.channels.c1", &[]);
    let channel = SpillableChannel::new(SpillParts {
        memory: (memory > 0).then_some((queue, memory)),
        disk: (disk > 0).then(|| build(&flume_components::REGISTRY, "memory", &properties, &cx)),
        disk_events: disk,
        transaction: 8,
        patience: 3 * SECOND,
        calm: memory.div_ceil(2),
    });
    channel.0.order.lock().open = true;
    channel
}

fn runs(channel: &SpillableChannel) -> String {
    let order = channel.0.order.lock();
    let runs = order
        .runs
        .iter()
        .map(|run| format!("{:?}:{}", run.part, run.events));
    runs.collect::<Vec<_>>().join(" ").to_lowercase()
}

async fn take(channel: &SpillableChannel, count: usize) -> Box<dyn Take> {
    channel
        .take(Want::events(count), Duration::ZERO)
        .await
        .expect("a take")
}

#[tokio::test(start_paused = true)]
async fn what_memory_cannot_hold_goes_to_disk_and_all_leave_in_order() {
    let channel = channel(3, 9);
    let start = Instant::now();
    channel.put(events("a b")).await.expect("room in memory");
    channel.put(events("c d")).await.expect("room on disk");
    assert_eq!(start.elapsed(), 3 * SECOND);
    channel.put(events("e")).await.expect("room in memory");
    channel
        .put(events("f g h i"))
        .await
        .expect("more than memory ever holds");
    channel
        .put(events("j"))
        .await
        .expect("room on disk, without a wait");
    assert_eq!(start.elapsed(), 3 * SECOND);
    assert_eq!(runs(&channel), "memory:2 disk:2 memory:1 disk:5");
    let mut seen = vec![];
    for count in [1, 9, 9, 9, 2, 9] {
        let take = take(&channel, count).await;
        seen.push(held(&*take));
        take.commit().await.expect("a commit");
    }
    assert_eq!(seen, ["a", "b", "c d", "e", "f g", "h i j"]);
    assert_eq!((runs(&channel), channel.stats().events), (String::new(), 0));
}

#[tokio::test(start_paused = true)]
async fn puts_wait_for_memory_again_once_enough_of_it_is_free() {
    let channel = channel(4, 9);
    let put = async |words: &str| {
        let start = Instant::now();
        channel.put(events(words)).await.expect("room");
        start.elapsed()
    };
    put("a b c d").await;
    assert_eq!(
        (put("e").await, put("f").await),
        (3 * SECOND, Duration::ZERO)
    );
    take(&channel, 1).await.commit().await.expect("a commit");
    assert_eq!(
        put("g h").await,
        Duration::ZERO,
        "one of four is free, and two would be calm"
    );
    take(&channel, 1).await.commit().await.expect("a commit");
    assert_eq!(put("i j").await, Duration::ZERO, "there is room");
    assert_eq!(put("k").await, 3 * SECOND);
    assert_eq!(runs(&channel), "memory:2 disk:4 memory:2 disk:1");
}

#[tokio::test(start_paused = true)]
async fn both_full_is_full_and_loses_nothing() {
    let channel = channel(2, 2);
    channel.put(events("a b")).await.expect("room");
    channel.put(events("c d")).await.expect("room");
    assert!(matches!(
        channel.put(events("e")).await,
        Err(ChannelError::Full { wanted: 1 })
    ));
    drop(take(&channel, 2).await);
    let mut first = take(&channel, 2).await;
    drop(first.split_off(&[0]));
    drop(first);
    assert_eq!(runs(&channel), "memory:2 disk:2");
    let stats = channel.stats();
    assert_eq!((stats.events, stats.capacity, stats.in_flight), (4, 4, 0));
}

#[tokio::test(start_paused = true)]
async fn a_take_lingers_for_what_can_still_join_it() {
    let channel = channel(3, 9);
    channel.put(events("a")).await.expect("room");
    let want = Want {
        linger: 5 * SECOND,
        ..Want::events(3)
    };
    let start = Instant::now();
    let (lingering, ()) = tokio::join!(channel.take(want, Duration::ZERO), async {
        tokio::time::sleep(SECOND).await;
        channel.put(events("b")).await.expect("room");
        tokio::time::sleep(SECOND).await;
        channel.put(events("c d e f")).await.expect("room on disk");
    });
    let lingering = lingering.expect("a take");
    assert_eq!(
        (held(&*lingering), start.elapsed()),
        ("a b".into(), 2 * SECOND)
    );
    drop(lingering);
    take(&channel, 9).await.commit().await.expect("a commit");
    take(&channel, 3).await.commit().await.expect("a commit");
    let late = channel.take(want, Duration::ZERO).await.expect("a take");
    assert_eq!((held(&*late), start.elapsed()), ("f".into(), 7 * SECOND));
}

#[tokio::test]
async fn closing_moves_what_is_in_memory_to_disk() {
    let channel = channel(3, 9);
    channel.put(events("a b c d")).await.expect("room on disk");
    channel.put(events("e f")).await.expect("room in memory");
    channel.0.save_memory().await.expect("saved");
    let disk = channel.0.parts.disk.as_ref().expect("a disk");
    let all = disk
        .take(Want::events(9), Duration::ZERO)
        .await
        .expect("a take");
    assert_eq!(held(&*all), "a b c d e f");
}

#[tokio::test(start_paused = true)]
async fn events_that_the_disk_lost_hold_up_nothing() {
    let channel = channel(3, 9);
    channel.put(events("a b c d")).await.expect("room on disk");
    channel.put(events("e f")).await.expect("room in memory");
    let disk = channel.0.parts.disk.as_ref().expect("a disk");
    let lost = disk
        .take(Want::events(3), Duration::ZERO)
        .await
        .expect("a take");
    lost.commit().await.expect("a commit");
    assert_eq!(held(&*take(&channel, 1).await), "d");
    assert_eq!(held(&*take(&channel, 9).await), "d");
    take(&channel, 9).await.commit().await.expect("a commit");
    assert_eq!(held(&*take(&channel, 9).await), "e f");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_lost_or_doubled_between_the_two() {
    nothing_is_lost_or_doubled(&|_| Arc::new(channel(8, 8))).await;
}

#[tokio::test]
async fn a_save_that_fails_leaves_the_channel_as_it_was() {
    let channel = channel(3, 9);
    channel.put(events("a b")).await.expect("room in memory");
    let disk = channel.0.parts.disk.as_ref().expect("a disk");
    disk.close().await.expect("closed");
    assert!(channel.save().await.is_err());
    channel.put(events("c")).await.expect("room in memory");
    assert_eq!(held(&*take(&channel, 9).await), "a b c");
}

#[tokio::test]
async fn a_save_leaves_the_channel_open_and_in_order() {
    let channel = channel(3, 9);
    channel.put(events("a b c d")).await.expect("room on disk");
    channel.put(events("e f")).await.expect("room in memory");
    channel.save().await.expect("saved");
    assert_eq!(runs(&channel), "disk:6");
    channel.put(events("g")).await.expect("room in memory");
    let all = take(&channel, 9).await;
    assert_eq!(held(&*all), "a b c d e f");
    all.commit().await.expect("a commit");
    assert_eq!(held(&*take(&channel, 9).await), "g");
}

/// What a sink took from memory and does not return is lost with the process.
#[tokio::test]
async fn what_would_be_lost_is_counted() {
    let channel = channel(3, 9);
    channel.put(events("a b")).await.expect("room in memory");
    assert_eq!(channel.volatile_events(), 0, "a stop moves it to disk");
    let hangs = take(&channel, 1).await;
    assert_eq!(channel.volatile_events(), 1);
    channel.close().await.expect("closed");
    assert_eq!(channel.volatile_events(), 1);
    drop(hangs);
}

/// A disk whose events cannot be read.
struct UnreadableDisk;

#[async_trait]
impl Channel for UnreadableDisk {
    async fn put(&self, _: Vec<Event>) -> Result<(), ChannelError> {
        Ok(())
    }

    async fn take(&self, _: Want, wait: Duration) -> Result<Box<dyn Take>, ChannelError> {
        tokio::time::sleep(wait).await;
        Ok(Box::new(EmptyTake))
    }

    fn stats(&self) -> ChannelStats {
        ChannelStats {
            events: 1,
            ..ChannelStats::default()
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_take_ends_although_the_disk_cannot_be_read() {
    let channel = SpillableChannel::new(SpillParts {
        memory: None,
        disk: Some(Box::new(UnreadableDisk)),
        disk_events: 9,
        transaction: 8,
        patience: Duration::ZERO,
        calm: 1,
    });
    channel.0.order.lock().open = true;
    channel.put(events("a")).await.expect("stored");
    let take = tokio::time::timeout(9 * SECOND, channel.take(Want::events(1), 3 * SECOND)).await;
    assert!(take.expect("in time").expect("a take").events().is_empty());
}

//! The contract of channels for `file`, and what is its own: events outlive the channel.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use flume_core::{Channel, ChannelError, ChannelStats, Context, Event, Take, Want};
use flume_file_channel::REGISTRY;
use flume_testkit::parts::{build, events, held};
use tempfile::TempDir;

/// A channel that takes its directory with it.
struct Kept {
    channel: Box<dyn Channel>,
    _directory: Arc<TempDir>,
}

#[async_trait]
impl Channel for Kept {
    async fn open(&self) -> Result<(), ChannelError> {
        self.channel.open().await
    }
    async fn put(&self, batch: Vec<Event>) -> Result<(), ChannelError> {
        self.channel.put(batch).await
    }
    async fn take(&self, want: Want, wait: Duration) -> Result<Box<dyn Take>, ChannelError> {
        self.channel.take(want, wait).await
    }
    fn stats(&self) -> ChannelStats {
        self.channel.stats()
    }
    async fn close(&self) -> Result<(), ChannelError> {
        self.channel.close().await
    }
}

fn built(directory: &Arc<TempDir>, properties: &str) -> Arc<dyn Channel> {
    let root = directory.path().display();
    let text = format!("checkpointDir = {root}/checkpoint\ndataDirs = {root}/data\n{properties}");
    let channel = build::<dyn Channel>(
        &REGISTRY,
        "file",
        &text,
        &Context::new("a1.channels.c1", &[]),
    );
    Arc::new(Kept {
        channel,
        _directory: directory.clone(),
    })
}

/// A new, open channel.
fn channel(properties: &str) -> Arc<dyn Channel> {
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let channel = built(&directory, &format!("maxFileSize = 262144\n{properties}"));
    // Whoever calls may be in a runtime, which cannot wait for another.
    let opened = channel.clone();
    let open = move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(opened.open()).unwrap();
    };
    std::thread::spawn(open).join().unwrap();
    channel
}

mod contract {
    flume_testkit::channel_contract!(super::channel);
}

/// The same where every commit waits for the disk.
mod synced_takes {
    use super::*;

    fn channel(properties: &str) -> Arc<dyn Channel> {
        super::channel(&format!("takeSyncMillis = 0\n{properties}"))
    }

    flume_testkit::channel_contract!(channel);
}

/// The same where nothing waits in memory.
mod from_disk {
    use super::*;

    fn channel(properties: &str) -> Arc<dyn Channel> {
        super::channel(&format!("cacheBytes = 0\n{properties}"))
    }

    flume_testkit::channel_contract!(channel);
}

async fn take(channel: &Arc<dyn Channel>, count: usize) -> Box<dyn Take> {
    channel
        .take(Want::events(count), Duration::ZERO)
        .await
        .unwrap()
}

#[tokio::test]
async fn events_outlive_the_channel() {
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let first = built(&directory, "");
    first.open().await.unwrap();
    first.put(events("a b c")).await.unwrap();
    first.put(events("d e")).await.unwrap();
    take(&first, 2).await.commit().await.unwrap();
    let open = take(&first, 1).await;
    assert_eq!(held(&*open), "c");
    first.close().await.unwrap();
    assert!(matches!(open.commit().await, Err(ChannelError::Closed)));
    let second = built(&directory, "");
    second.open().await.unwrap();
    assert_eq!(second.stats().events, 3);
    assert_eq!(held(&*take(&second, 2).await), "c d");
    second.put(events("f")).await.unwrap();
    let mut seen = vec![];
    while seen.len() < 4 {
        let take = take(&second, 9).await;
        seen.push(held(&*take));
        take.commit().await.unwrap();
        if seen.join(" ").len() == 7 {
            break;
        }
    }
    assert_eq!(seen.join(" "), "c d e f");
}

#[tokio::test]
async fn a_directory_of_java_flume_that_cannot_be_read_is_refused_and_not_touched() {
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let data = directory.path().join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("log-12"), "events").unwrap();
    let refused = built(&directory, "").open().await.unwrap_err();
    let text = flume_core::with_causes(&refused);
    assert!(text.contains("log-12 has no .meta file"), "{text}");
    for (place, expected) in [
        ("data", vec!["in_use.lock", "log-12"]),
        ("checkpoint", vec!["in_use.lock"]),
    ] {
        let files = std::fs::read_dir(directory.path().join(place)).unwrap();
        let mut names: Vec<_> = files.map(|file| file.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, expected);
    }
}

#[tokio::test]
async fn the_lock_file_of_java_flume_alone_is_fine() {
    let directory = Arc::new(tempfile::tempdir().unwrap());
    std::fs::create_dir(directory.path().join("data")).unwrap();
    std::fs::write(directory.path().join("data/in_use.lock"), "").unwrap();
    built(&directory, "").open().await.unwrap();
}

const LOCKED: &str = "FILE_CHANNEL_LOCKED";

/// Not a test by itself: what another process sees.
#[tokio::test]
async fn another_process() {
    if let Ok(directory) = std::env::var(LOCKED) {
        let data = std::path::Path::new(&directory).join("data");
        let refused = flume_file_channel::lock::DirectoryLock::acquire(&data).unwrap_err();
        // The parent reads it.
        std::io::Write::write_all(&mut std::io::stderr(), refused.to_string().as_bytes()).unwrap();
    }
}

#[tokio::test]
async fn the_second_process_is_told_who_is_the_first() {
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let first = built(&directory, "");
    first.open().await.unwrap();
    let second = built(&directory, "").open().await.unwrap_err();
    assert!(flume_core::with_causes(&second).contains("another channel of this agent"));
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["another_process", "--exact", "--nocapture"])
        .env(LOCKED, directory.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains(&format!("is in use by process {}", std::process::id())),
        "{said}"
    );
    first.close().await.unwrap();
    built(&directory, "").open().await.unwrap();
}

#[tokio::test]
async fn an_event_may_be_larger_than_a_segment() {
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let text =
        "maxFileSize = 262144\nmaxEventSize = 1000000\ncacheBytes = 0\nminimumRequiredSpace = 0";
    let sizes = [10, 1_000_000, 20, 900_000, 30];
    let first = built(&directory, text);
    first.open().await.unwrap();
    for size in sizes {
        first
            .put(vec![Event::from(vec![b'x'; size])])
            .await
            .unwrap();
    }
    let refused = first.put(vec![Event::from(vec![b'x'; 1_000_001])]).await;
    assert!(
        matches!(
            refused,
            Err(ChannelError::TooLarge {
                limit: 1_000_000,
                ..
            })
        ),
        "{refused:?}"
    );
    first.close().await.unwrap();
    let second = built(&directory, text);
    second.open().await.unwrap();
    let mut seen = vec![];
    while seen.len() < sizes.len() {
        let take = take(&second, 1).await;
        seen.extend(take.events().iter().map(|event| event.body.len()));
        take.commit().await.unwrap();
    }
    assert_eq!(seen, sizes);
}

#[tokio::test]
async fn limits_outlive_the_channel() {
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let text = "capacity = 4\ntransactionCapacity = 4\nkeep-alive = 0\nbyteCapacity = 100";
    let first = built(&directory, text);
    first.open().await.unwrap();
    first.put(events("a b c")).await.unwrap();
    first.close().await.unwrap();
    let second = built(&directory, text);
    second.open().await.unwrap();
    assert!(matches!(
        second.put(events("d e")).await,
        Err(ChannelError::Full { .. })
    ));
    second.put(events("d")).await.unwrap();
    take(&second, 2).await.commit().await.unwrap();
    let large = Event::from(vec![b'x'; 99]);
    assert!(matches!(
        second.put(vec![large.clone()]).await,
        Err(ChannelError::Full { .. })
    ));
    while second.stats().events > 0 {
        take(&second, 4).await.commit().await.unwrap();
    }
    second.put(vec![large]).await.unwrap();
}

/// A channel that was made smaller than what it holds accepts again when it has drained below.
#[tokio::test]
async fn a_channel_may_hold_more_than_it_may() {
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let first = built(&directory, "");
    first.open().await.unwrap();
    first.put(events("a b c d e f")).await.unwrap();
    first.close().await.unwrap();
    let second = built(
        &directory,
        "capacity = 2\ntransactionCapacity = 2\nkeep-alive = 0",
    );
    second.open().await.unwrap();
    for left in [5, 4, 3, 2] {
        assert!(matches!(
            second.put(events("g")).await,
            Err(ChannelError::Full { .. })
        ));
        take(&second, 1).await.commit().await.unwrap();
        assert_eq!(second.stats().events, left);
    }
    assert!(matches!(
        second.put(events("g")).await,
        Err(ChannelError::Full { .. })
    ));
    take(&second, 1).await.commit().await.unwrap();
    second.put(events("g")).await.unwrap();
}

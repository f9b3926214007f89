//! The contract of channels for `file`, and what is its own: events outlive the channel.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use flume_core::{Channel, ChannelError, ChannelStats, Context, Event, Registry, Take, Want};
use flume_file_channel::CHANNELS;
use flume_testkit::parts::{build, events, held};
use tempfile::TempDir;

static REGISTRY: Registry = Registry {
    channels: &[CHANNELS],
    sources: &[],
    sinks: &[],
    interceptors: &[],
    selectors: &[],
    serializers: &[],
    processors: &[],
    known: &[],
};

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
    let channel = build::<dyn Channel>(&REGISTRY, "file", &text, &Context::new("a1.channels.c1", &[]));
    Arc::new(Kept { channel, _directory: directory.clone() })
}

/// A new, open channel.
fn channel(properties: &str) -> Arc<dyn Channel> {
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let channel = built(&directory, &format!("maxFileSize = 262144\n{properties}"));
    // Whoever calls may be in a runtime, which cannot wait for another.
    let opened = channel.clone();
    let open = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
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
    channel.take(Want::events(count), Duration::ZERO).await.unwrap()
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

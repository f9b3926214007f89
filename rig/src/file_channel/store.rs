//! File channels in this process, opened by their properties as an agent opens them.

use std::{
    path::Path,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use flume_core::{Channel, ChannelError, Context, Event, Want};
use flume_testkit::parts;
use tokio::runtime::Runtime;

/// How often an idle consumer looks whether it has everything.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// An open channel with the threads that use it.
pub struct Store {
    pub channel: Arc<dyn Channel>,
    pub runtime: Runtime,
}

impl Store {
    /// Opens a channel in `dir` with these properties besides.
    pub fn open(dir: &Path, properties: &str) -> Result<Store> {
        let dir = dir.display();
        let text = format!("checkpointDir = {dir}/checkpoint\ndataDirs = {dir}/data\n{properties}");
        let cx = Context::new("a1.channels.c1", &[]);
        let channel: Arc<dyn Channel> =
            parts::build::<dyn Channel>(&flume_file_channel::REGISTRY, "file", &text, &cx).into();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        runtime
            .block_on(channel.open())
            .context("failed to open the channel")?;
        Ok(Store { channel, runtime })
    }

    /// Closes it.
    pub fn close(self) -> Result<()> {
        Ok(self.runtime.block_on(self.channel.close())?)
    }
}

/// Puts batches until it is told to stop, again when the channel is full; each put's duration goes to `took`. How many
/// events were put.
pub async fn produce(
    channel: Arc<dyn Channel>,
    batch: Vec<Event>,
    until: Instant,
    mut took: impl FnMut(Duration) + Send,
) -> Result<usize, ChannelError> {
    let mut events = 0;
    while Instant::now() < until {
        let began = Instant::now();
        match channel.put(batch.clone()).await {
            Ok(()) => {
                events += batch.len();
                took(began.elapsed());
            }
            Err(ChannelError::Full { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(events)
}

/// Takes and commits until it has `all`, once that is known. How many events, and when the last was taken.
pub async fn consume(
    channel: &Arc<dyn Channel>,
    batch: usize,
    all: &OnceLock<usize>,
) -> Result<(usize, Instant)> {
    let mut events = 0;
    let mut last = Instant::now();
    while all.get().is_none_or(|all| events < *all) {
        let take = channel.take(Want::events(batch), LOOK_AGAIN).await?;
        if !take.events().is_empty() {
            events += take.events().len();
            take.commit().await?;
            last = Instant::now();
        }
    }
    Ok((events, last))
}

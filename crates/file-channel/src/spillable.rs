//! `spillablememory`: a queue in memory, and a file channel for what does not fit into it.
//!
//! Events leave in the order in which their puts were acknowledged, wherever they went. That order is a list of runs:
//! so many events from memory, so many from disk, and so on. Both parts are queues themselves, so a count is enough.

mod order;
mod shared;
mod take;

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use async_trait::async_trait;
use flume_core::{
    BuildError, ByteLimit, Channel, ChannelError, ChannelStats, Component, Config, Context, Event,
    EventStore, MemoryQueue, QueueLimits, Room, Take, Want,
    config::{Ignored, OrDefault, PositiveOrDefault, Seconds},
};
use tokio::time::Instant;

use self::{
    order::{DepartureRun, SpillPart},
    shared::{SharedSpill, SpillParts},
    take::{EmptyTake, SpillTake},
};
use crate::file::{FileChannel, FileConfig, StoreConfig};

/// Holds events in memory, and on disk what does not fit there. What is in memory is lost when the agent is killed; a
/// stop writes it to disk.
#[derive(Clone, Config)]
#[expect(
    dead_code,
    reason = "ignored properties are declared to be known, not to be read"
)]
pub(crate) struct SpillableConfig {
    /// Most events in memory; 0: all go to disk.
    #[prop("memoryCapacity", default = 10_000)]
    memory_capacity: OrDefault<usize>,
    /// Most events on disk; 0: none go there, and the channel is one in memory.
    #[prop("overflowCapacity", default = 100_000_000)]
    overflow_capacity: OrDefault<usize>,
    /// Seconds a put waits for room in memory before it goes to disk. Once it did, no put waits until
    /// `overflowDeactivationThreshold` of memory is free again.
    #[prop("overflowTimeout", default = 3)]
    overflow_timeout: OrDefault<Seconds>,
    /// Percentage of `memoryCapacity`.
    #[prop("overflowDeactivationThreshold", default = 5)]
    overflow_deactivation_threshold: OrDefault<usize>,
    #[prop(flatten)]
    bytes: ByteLimit,
    /// Bytes are counted, not estimated.
    #[prop("avgEventSize")]
    avg_event_size: Ignored,
    /// `memoryCapacity` and `overflowCapacity` say it.
    #[prop("capacity")]
    capacity: Ignored,
    /// `overflowTimeout` says it.
    #[prop("keep-alive")]
    keep_alive: Ignored,
    #[prop(flatten)]
    store: StoreConfig,
}

/// Memory first, disk for the rest.
pub(crate) struct SpillableChannel(Arc<SharedSpill>);

impl Component for SpillableChannel {
    type Config = SpillableConfig;
    fn build(config: SpillableConfig, cx: &Context) -> Result<Self, BuildError> {
        let events = config.memory_capacity.0;
        let disk_events = config.overflow_capacity.0;
        let max = Room::MAX_EVENTS;
        for (key, value) in [
            ("memoryCapacity", events),
            ("overflowCapacity", disk_events),
        ] {
            if value > max / 2 {
                return Err(BuildError::at(key, format!("must not exceed {}", max / 2)));
            }
        }
        let Some(capacity) = NonZeroUsize::new(events + disk_events) else {
            return Err(BuildError::at(
                "overflowCapacity",
                "must not be 0 when memoryCapacity is 0",
            ));
        };
        let mut store = config.store;
        let patience = config.overflow_timeout.0.0;
        let bytes = config.bytes;
        // No more would ever fit.
        store.transaction_capacity.0 = store.transaction_capacity.0.min(capacity);
        let transaction = store.transaction_capacity.0.get();
        let limits = QueueLimits {
            events,
            transaction: events.min(transaction),
            keep_alive: patience,
            bytes,
        };
        let queue = MemoryQueue::new(limits)?;
        let disk = || {
            // A put that has waited for memory does not wait again. A stop moves what is in memory to disk, so there is
            // always room for that, however much was on disk before; `disk_events` limits what else goes there.
            let keep_alive = Seconds(Duration::ZERO);
            let most = NonZeroUsize::new(Room::MAX_EVENTS).unwrap_or(capacity);
            let capacity = if events == 0 { capacity } else { most };
            FileChannel::build(
                FileConfig {
                    capacity: PositiveOrDefault(capacity),
                    byte_capacity: None,
                    keep_alive,
                    store,
                },
                cx,
            )
        };
        let disk = if disk_events == 0 {
            None
        } else {
            Some(Box::new(disk()?) as Box<dyn Channel>)
        };
        let calm = (events * config.overflow_deactivation_threshold.0.min(100))
            .div_ceil(100)
            .max(1);
        let memory = (events > 0).then_some((queue, events));
        Ok(SpillableChannel::new(SpillParts {
            memory,
            disk,
            disk_events,
            transaction,
            patience,
            calm,
        }))
    }
}

impl SpillableChannel {
    pub(crate) fn new(parts: SpillParts) -> Self {
        SpillableChannel(Arc::new(SharedSpill::new(parts)))
    }
}

#[async_trait]
impl Channel for SpillableChannel {
    async fn open(&self) -> Result<(), ChannelError> {
        let Some(disk) = &self.0.parts.disk else {
            return Ok(());
        };
        disk.open().await?;
        self.0.order.lock().open = true;
        self.0.put_back(DepartureRun {
            part: SpillPart::Disk,
            events: disk.stats().events,
        });
        Ok(())
    }

    async fn put(&self, batch: Vec<Event>) -> Result<(), ChannelError> {
        let size = batch.len();
        let limit = self.0.parts.transaction;
        if size > limit {
            return Err(ChannelError::TooLarge {
                size,
                limit,
                unit: "events",
            });
        }
        match self.0.put_into_memory(batch).await? {
            None => Ok(()),
            Some(batch) => {
                // A task, because a put that is given up may still reach the disk, and must then be known here.
                let spilled = tokio::spawn(self.0.clone().spill(batch)).await;
                spilled.unwrap_or_else(|panic| Err(ChannelError::Storage(panic.into())))
            }
        }
    }

    async fn take(&self, want: Want, wait: Duration) -> Result<Box<dyn Take>, ChannelError> {
        let until = Instant::now() + wait;
        let want = Want {
            events: want.events.max(1),
            ..want
        };
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let Some(mut claim) = self.0.claim(want, left).await? else {
                if left.is_zero() {
                    return Ok(Box::new(EmptyTake));
                }
                continue;
            };
            let part = claim.run.part;
            let take = self.0.fetch(claim.run, want).await?;
            let fetched = take.events().len();
            claim.run.events = claim.run.events.saturating_sub(fetched);
            drop(claim);
            if fetched > 0 {
                return Ok(Box::new(SpillTake {
                    shared: self.0.clone(),
                    part,
                    take: Some(take),
                }));
            }
            let forgot = self.0.forget_what_is_gone(part);
            if !forgot && Instant::now() >= until {
                return Ok(Box::new(EmptyTake));
            }
        }
    }

    fn stats(&self) -> ChannelStats {
        let parts = &self.0.parts;
        let memory = self.0.stats_of(SpillPart::Memory);
        let disk = self.0.stats_of(SpillPart::Disk);
        let front = self.0.order.lock().runs.front().map(|run| run.part);
        ChannelStats {
            events: memory.events + disk.events,
            bytes: memory.bytes + disk.bytes,
            in_flight: memory.in_flight + disk.in_flight,
            capacity: memory.capacity + parts.disk_events,
            transaction_capacity: parts.transaction,
            oldest: match front {
                Some(SpillPart::Memory) => memory.oldest,
                Some(SpillPart::Disk) => disk.oldest,
                None => None,
            },
        }
    }

    /// With a disk it is: what memory holds goes there when the channel is closed.
    fn durable(&self) -> bool {
        self.0.parts.disk.is_some()
    }

    fn store(&self) -> EventStore {
        let disk = self.0.parts.disk.as_ref();
        disk.map_or(EventStore::Memory, |disk| disk.store())
    }

    /// A sink that does not come back keeps what it took from memory; and once the channel is closed, nothing moves to
    /// disk any more.
    fn volatile_events(&self) -> usize {
        let memory = self.0.stats_of(SpillPart::Memory);
        if self.durable() && !self.0.order.lock().closed {
            memory.in_flight
        } else {
            memory.events + memory.in_flight
        }
    }

    async fn save(&self) -> Result<(), ChannelError> {
        self.0.save_memory().await
    }

    async fn close(&self) -> Result<(), ChannelError> {
        self.0.order.lock().closed = true;
        self.0.stock.close();
        let saved = self.0.save_memory().await;
        if let Some((memory, _)) = &self.0.parts.memory {
            memory.close();
        }
        if let Some(disk) = &self.0.parts.disk {
            disk.close().await?;
        }
        saved
    }
}

#[cfg(test)]
mod tests;

//! `memory`: a bounded queue that is lost with the process.

use std::{num::NonZeroUsize, time::Duration};

use async_trait::async_trait;
use flume_core::{
    BuildError, ByteLimit, Channel, ChannelError, ChannelStats, Component, Config, Context, Event,
    MemoryQueue, QueueLimits, Room, Take, Want,
    config::{OrDefault, Seconds},
};

/// Holds events in memory: fast, and lost with the process.
#[derive(Clone, Config)]
pub(super) struct MemoryConfig {
    /// Most events, including those taken but not yet committed.
    #[prop("capacity", default = 100)]
    capacity: OrDefault<NonZeroUsize>,
    /// Most events in one put.
    #[prop("transactionCapacity", default = 100)]
    transaction_capacity: OrDefault<NonZeroUsize>,
    /// Seconds a put waits for room.
    #[prop("keep-alive", default = 3)]
    keep_alive: OrDefault<Seconds>,
    #[prop(flatten)]
    bytes: ByteLimit,
}

pub(super) struct MemoryChannel(MemoryQueue);

impl Component for MemoryChannel {
    type Config = MemoryConfig;
    fn build(config: MemoryConfig, _: &Context) -> Result<Self, BuildError> {
        let events = config.capacity.0.get();
        let transaction = config.transaction_capacity.0.get();
        if transaction > events {
            let text = format!(
                "{transaction} exceeds capacity, which is {events}; if it is not set, it is 100"
            );
            return Err(BuildError::at("transactionCapacity", text));
        }
        let max = Room::MAX_EVENTS;
        if events > max {
            return Err(BuildError::at("capacity", format!("must not exceed {max}")));
        }
        let keep_alive = config.keep_alive.0.0;
        let bytes = config.bytes;
        MemoryQueue::new(QueueLimits {
            events,
            transaction,
            keep_alive,
            bytes,
        })
        .map(MemoryChannel)
    }
}

#[async_trait]
impl Channel for MemoryChannel {
    async fn put(&self, batch: Vec<Event>) -> Result<(), ChannelError> {
        self.0.put(batch).await
    }

    async fn take(&self, want: Want, wait: Duration) -> Result<Box<dyn Take>, ChannelError> {
        self.0.take(want, wait).await
    }

    fn stats(&self) -> ChannelStats {
        self.0.stats()
    }

    async fn close(&self) -> Result<(), ChannelError> {
        self.0.close();
        Ok(())
    }
}

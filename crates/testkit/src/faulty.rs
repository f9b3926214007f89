//! Fault injection: a channel or sink around a real one that fails, hangs or panics as the test says.

use std::{collections::VecDeque, future::pending, sync::Arc, time::Duration};

use async_trait::async_trait;
use flume_core::{
    Channel, ChannelError, ChannelStats, Delivered, Event, EventStore, Sink, SinkError, Take, Want,
};
use parking_lot::Mutex;

/// What happens at one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: the call goes through.
    None,
    /// It fails before anything is done.
    Fail,
    /// It is done, and then fails: the outcome is unknown to the caller.
    FailAfter,
    /// It never ends.
    Hang,
    /// It panics.
    Panic,
}

/// The faults of the next calls, in order; after them nothing goes wrong. Cheap to clone.
#[derive(Clone, Default)]
pub struct Script(Arc<Mutex<VecDeque<Fault>>>);

impl Script {
    /// Adds faults for the next calls.
    pub fn push(&self, faults: impl IntoIterator<Item = Fault>) {
        self.0.lock().extend(faults);
    }

    /// The fault of this call, unless it is over before it began.
    async fn next(&self) -> Fault {
        let fault = self.0.lock().pop_front().unwrap_or(Fault::None);
        match fault {
            Fault::Hang => pending().await,
            Fault::Panic => panic!("a fault was injected"),
            fault => fault,
        }
    }
}

/// A real `C` that fails as its script says.
pub struct Faulty<C> {
    /// What works.
    pub real: C,
    /// What does not: puts of a channel, deliveries of a sink.
    pub script: Script,
}

#[async_trait]
impl Channel for Faulty<Box<dyn Channel>> {
    async fn open(&self) -> Result<(), ChannelError> {
        self.real.open().await
    }

    async fn put(&self, batch: Vec<Event>) -> Result<(), ChannelError> {
        let fault = self.script.next().await;
        if fault == Fault::Fail {
            return Err(ChannelError::Storage("a fault was injected".into()));
        }
        self.real.put(batch).await?;
        match fault {
            Fault::FailAfter => Err(ChannelError::Storage("a fault was injected".into())),
            _ => Ok(()),
        }
    }

    async fn take(&self, want: Want, wait: Duration) -> Result<Box<dyn Take>, ChannelError> {
        self.real.take(want, wait).await
    }

    fn stats(&self) -> ChannelStats {
        self.real.stats()
    }

    fn durable(&self) -> bool {
        self.real.durable()
    }

    fn store(&self) -> EventStore {
        self.real.store()
    }

    async fn close(&self) -> Result<(), ChannelError> {
        self.real.close().await
    }
}

#[async_trait]
impl Sink for Faulty<Box<dyn Sink>> {
    fn want(&self) -> Want {
        self.real.want()
    }

    async fn open(&mut self) -> Result<(), SinkError> {
        self.real.open().await
    }

    async fn deliver(&mut self, batch: &[Event]) -> Result<Delivered, SinkError> {
        let fault = self.script.next().await;
        let failed = SinkError::at("deliver");
        if fault == Fault::Fail {
            return Err(failed("a fault was injected"));
        }
        let delivered = self.real.deliver(batch).await?;
        if fault == Fault::FailAfter {
            Err(failed("a fault was injected"))
        } else {
            Ok(delivered)
        }
    }

    async fn commit(&mut self, take: Box<dyn Take>) -> Result<(), SinkError> {
        self.real.commit(take).await
    }

    async fn tick(&mut self) -> Result<(), SinkError> {
        self.real.tick().await
    }

    async fn close(&mut self) -> Result<(), SinkError> {
        self.real.close().await
    }

    fn close_timeout(&self) -> Duration {
        self.real.close_timeout()
    }
}

//! What stands in for the parts of an agent that touch the world, and the watchers around those that run for real.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use async_trait::async_trait;
use flume_core::{
    Channel, ChannelError, ChannelSelector, ChannelStats, Event, InterceptError, Interceptor,
    OnceStored, Take, Want,
};
use parking_lot::Mutex;

use crate::coverage::{Branches, Route};

/// A channel that keeps what is put, and never gives it away.
#[derive(Clone, Default)]
pub(crate) struct ListChannel(Arc<Mutex<Vec<Event>>>);

impl ListChannel {
    pub(crate) fn events(&self) -> Vec<Event> {
        self.0.lock().clone()
    }
}

#[async_trait]
impl Channel for ListChannel {
    async fn put(&self, batch: Vec<Event>) -> Result<(), ChannelError> {
        self.0.lock().extend(batch);
        Ok(())
    }

    async fn take(&self, _: Want, _: Duration) -> Result<Box<dyn Take>, ChannelError> {
        Err(ChannelError::Closed)
    }

    fn stats(&self) -> ChannelStats {
        ChannelStats {
            events: self.0.lock().len(),
            capacity: usize::MAX,
            transaction_capacity: usize::MAX,
            ..ChannelStats::default()
        }
    }
}

/// The routes that were taken.
pub(crate) type Taken = Arc<Mutex<BTreeSet<Route>>>;

/// An interceptor that notes whether it does anything.
pub(crate) struct WatchedInterceptor {
    pub(crate) inner: Box<dyn Interceptor>,
    pub(crate) route: Route,
    pub(crate) taken: Taken,
}

impl Interceptor for WatchedInterceptor {
    fn intercept(&self, batch: &mut Vec<Event>) -> Result<(), InterceptError> {
        self.intercept_to_store(batch).map(drop)
    }

    fn intercept_to_store(
        &self,
        batch: &mut Vec<Event>,
    ) -> Result<Option<OnceStored>, InterceptError> {
        let before = batch.clone();
        let outcome = self.inner.intercept_to_store(batch);
        if *batch != before || outcome.is_err() {
            self.taken.lock().insert(self.route.clone());
        }
        outcome
    }

    fn may_set(&self, header: &str) -> bool {
        self.inner.may_set(header)
    }
}

/// A selector that notes the ways of events.
pub(crate) struct WatchedSelector {
    pub(crate) inner: Box<dyn ChannelSelector>,
    pub(crate) source: String,
    pub(crate) channels: Vec<String>,
    pub(crate) branches: Option<Branches>,
    pub(crate) taken: Taken,
}

impl ChannelSelector for WatchedSelector {
    fn route(&self, event: &Event) -> flume_core::Route<'_> {
        let route = self.inner.route(event);
        let mut taken = self.taken.lock();
        for channel in route.required.iter().chain(route.optional) {
            taken.insert(Route::channel(&self.source, &self.channels[*channel]));
        }
        taken.extend(
            self.branches
                .as_ref()
                .map(|branches| branches.taken(&self.source, event)),
        );
        route
    }
}

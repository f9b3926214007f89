//! A source that runs: built from text by its table, with a real outlet and a memory channel behind it.

use std::{future::Future, net::SocketAddr, time::Duration};

use flume_core::{
    Channel, ChannelHandle, ChannelSelector, Context, Event, Outlet, Phase, Registry, Source,
    SourceContext, SourceError, State, Stop, Switch, Want, Wiring,
};
use tokio::task::JoinHandle;

use crate::parts::build;

/// A test that waits longer for anything has failed.
const PATIENCE: Duration = Duration::from_secs(20);
const BUDGET_BYTES: usize = 64 << 20;

/// A running source and the channel it fills.
pub struct RunningSource {
    /// What the source was given when it was built: its counters and its state.
    pub cx: Context,
    /// The channel behind it.
    pub channel: ChannelHandle,
    running: SourceContext,
    switch: Switch,
    task: JoinHandle<Result<(), SourceError>>,
}

impl RunningSource {
    /// With room for ten thousand events in the channel and in each put.
    pub fn start(registry: &Registry, name: &str, text: &str) -> Self {
        Self::with_channel(
            registry,
            name,
            text,
            "capacity = 10000\ntransactionCapacity = 10000",
        )
    }

    /// With a memory channel of these properties.
    pub fn with_channel(registry: &Registry, name: &str, text: &str, channel: &str) -> Self {
        let cx = Context::new("a1.sources.r1", &["c1"]);
        let channel_cx = Context::new("a1.channels.c1", &[]);
        let channel = build::<dyn Channel>(registry, "memory", channel, &channel_cx);
        let channel = ChannelHandle::new(channel, channel_cx);
        let selector = build::<dyn ChannelSelector>(registry, "replicating", "", &cx);
        let wiring = Wiring {
            interceptors: vec![],
            selector,
            channels: vec![channel.clone()],
        };
        let mut source = build::<dyn Source>(registry, name, text, &cx);
        let (switch, stop) = Stop::new();
        let running = SourceContext::new(
            Outlet::new(wiring, &cx),
            stop,
            cx.state.clone(),
            BUDGET_BYTES,
        );
        let given = running.clone();
        let task = tokio::spawn(async move { source.run(&given).await });
        RunningSource {
            cx,
            channel,
            running,
            switch,
            task,
        }
    }

    /// Where it listens.
    pub async fn address(&self) -> SocketAddr {
        within(self.running.listening())
            .await
            .expect("a source that listens")
    }

    /// The next `count` events.
    pub async fn take(&self, count: usize) -> Vec<Event> {
        let mut events = vec![];
        while events.len() < count {
            let take = self
                .channel
                .take(Want::events(count - events.len()), PATIENCE)
                .await
                .expect("a take");
            assert!(
                !take.events().is_empty(),
                "{} of {count} events came within {PATIENCE:?}",
                events.len()
            );
            events.extend_from_slice(take.events());
            take.commit().await.expect("a commit");
        }
        events
    }

    /// The bodies of the next `count` events.
    pub async fn bodies(&self, count: usize) -> Vec<String> {
        self.take(count)
            .await
            .iter()
            .map(|event| String::from_utf8_lossy(&event.body).into_owned())
            .collect()
    }

    /// The number of that name.
    pub fn number(&self, name: &str) -> u64 {
        self.cx.metrics.number(name)
    }

    /// What it says it is doing.
    pub fn state(&self) -> State {
        self.cx.state.get().0
    }

    /// Asks it to stop and waits until it has.
    pub async fn stop(self) -> Result<(), SourceError> {
        self.switch.turn(Phase::Halt);
        self.ended().await
    }

    /// Waits until it ends by itself.
    pub async fn ended(self) -> Result<(), SourceError> {
        let _switch = self.switch;
        within(self.task).await.expect("a source does not panic")
    }
}

/// The outcome, or a panic when it takes too long.
pub async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("this takes too long")
}

//! For sources that cannot ask for anything again: what the channels refuse is held and put again.

use std::{fmt::Display, time::Duration};

use flume_core::{
    BackOff, ChannelError, Event, PutError, SourceContext,
    metrics::{Counter, Metrics},
    with_causes,
};
use tokio::time::{Instant, sleep_until};

const RETRY: BackOff = BackOff::doubling(Duration::from_secs(1), Duration::from_secs(5));
/// How long puts may still take together once the source is to stop.
const LAST_PUT: Duration = Duration::from_secs(2);

/// Puts batches until the channels take them. Meanwhile the source reads nothing, so that what feeds it waits.
#[derive(Clone)]
pub(super) struct Hold {
    lost: Counter,
    /// Until when puts may wait, once a stop was requested.
    last_moment: Option<Instant>,
}

impl Hold {
    /// Counts what is lost for good as `EventLostCount`.
    pub(super) fn new(metrics: &Metrics) -> Self {
        Hold {
            lost: metrics.counter("EventLostCount"),
            last_moment: None,
        }
    }

    /// Returns when the batch is in the channels. Lost are only an event that can never fit, and what the
    /// channels do not take in time after a stop was requested; either is logged and counted.
    pub(super) async fn put(&mut self, cx: &SourceContext, batch: Vec<Event>) {
        let mut back_off = RETRY;
        loop {
            let too_late = async {
                cx.stop.requested().await;
                let last_moment = self
                    .last_moment
                    .get_or_insert_with(|| Instant::now() + LAST_PUT);
                sleep_until(*last_moment).await;
            };
            let outcome = tokio::select! {
                biased;
                outcome = cx.out.put(batch.clone()) => outcome,
                () = too_late => return self.lose(batch.len(), "the source has to stop"),
            };
            match outcome {
                Ok(()) => return cx.state.running(),
                Err(
                    error @ PutError::Channel {
                        source: ChannelError::TooLarge { .. },
                        ..
                    },
                ) => {
                    return self.put_singly(cx, batch, &error).await;
                }
                Err(error) if cx.stop.is_requested() => {
                    return self.lose(batch.len(), with_causes(&error));
                }
                Err(error) => cx.pause_after(&error, &mut back_off).await,
            }
        }
    }

    async fn put_singly(&mut self, cx: &SourceContext, batch: Vec<Event>, error: &PutError) {
        if batch.len() == 1 {
            return self.lose(1, with_causes(error));
        }
        for event in batch {
            Box::pin(self.put(cx, vec![event])).await;
        }
    }

    fn lose(&self, events: usize, reason: impl Display) {
        self.lost.add(events);
        tracing::error!("{events} events are lost: {reason}");
    }
}

#[cfg(test)]
mod tests {
    use flume_core::{
        Channel, ChannelHandle, ChannelSelector, Context, Outlet, Phase, State, Stop, Switch, Want,
        Wiring,
    };
    use flume_testkit::parts::build;

    use tokio::time::sleep;

    use super::*;
    use crate::REGISTRY;

    fn sketch(channel: &str) -> (Context, SourceContext, ChannelHandle, Switch) {
        let cx = Context::new("a1.sources.r1", &["c1"]);
        let channel = build::<dyn Channel>(&REGISTRY, "memory", channel, &cx);
        let channel = ChannelHandle::new(channel, cx.clone());
        let selector = build::<dyn ChannelSelector>(&REGISTRY, "replicating", "", &cx);
        let wiring = Wiring {
            interceptors: vec![],
            selector,
            channels: vec![channel.clone()],
        };
        let (switch, stop) = Stop::new();
        let source = SourceContext::new(Outlet::new(wiring, &cx), stop, cx.state.clone(), 1);
        (cx, source, channel, switch)
    }

    fn events(words: &'static str) -> Vec<Event> {
        words.split_whitespace().map(Event::from).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_batch_is_put_when_there_is_room() {
        let (cx, source, channel, _switch) = sketch("capacity = 2\ntransactionCapacity = 2");
        let mut hold = Hold::new(&cx.metrics);
        hold.put(&source, events("a b")).await;
        let second = tokio::spawn(async move { hold.put(&source, events("c d")).await });
        sleep(Duration::from_secs(60)).await;
        assert!(matches!(
            cx.state.get().0,
            State::Failing { .. } | State::Waiting { .. }
        ));
        let take = channel.take(Want::events(2), Duration::ZERO).await.unwrap();
        take.commit().await.unwrap();
        second.await.unwrap();
        assert_eq!(cx.state.get().0, State::Running);
        assert_eq!(channel.stats().events, 2);
        assert_eq!(cx.metrics.counter("EventLostCount").get(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_can_never_fit_is_lost() {
        let (cx, source, channel, _switch) = sketch("byteCapacity = 1000");
        let large = Event::from(vec![b'x'; 2000]);
        let batch = [events("a"), vec![large], events("b")].concat();
        Hold::new(&cx.metrics).put(&source, batch).await;
        assert_eq!(
            (
                channel.stats().events,
                cx.metrics.counter("EventLostCount").get()
            ),
            (2, 1)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_ends_the_wait_and_counts_the_loss() {
        let (cx, source, _channel, switch) =
            sketch("capacity = 2\ntransactionCapacity = 2\nkeep-alive = 3600");
        let mut hold = Hold::new(&cx.metrics);
        hold.put(&source, events("a b")).await;
        let begin = Instant::now();
        switch.turn(Phase::Halt);
        for _ in 0..10 {
            hold.put(&source, events("c d")).await;
        }
        assert_eq!(
            (begin.elapsed(), cx.metrics.counter("EventLostCount").get()),
            (LAST_PUT, 20)
        );
    }
}

//! What a source holds until the channels take it.

use std::time::Duration;

use flume_components::REGISTRY;
use flume_core::{
    Channel, ChannelHandle, ChannelSelector, Context, Event, Hold, Outlet, Phase, SourceContext,
    State, Stop, Switch, Want, Wiring,
};
use flume_testkit::parts::build;
use tokio::time::{Instant, sleep};

/// As long as puts may take together once the source is to stop.
const LAST_PUT_TIMEOUT: Duration = Duration::from_secs(2);

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
        (LAST_PUT_TIMEOUT, 20)
    );
}

//! The way from a source into its channels.

mod common;

use std::{sync::Arc, time::Duration};

use common::{build, events, words};
use flume_core::{
    Channel, ChannelSelector, Context, Event, Interceptor, Outlet, Route, SourceContext, Stop, Str, Want,
    Wiring, metrics::Counter,
};

fn memory(capacity: usize) -> Arc<dyn Channel> {
    let text = format!("capacity = {capacity}\ntransactionCapacity = {capacity}");
    build::<dyn Channel>("memory", &text, &Context::new("a1.channels.c1", &[])).into()
}

fn outlet(selector: Box<dyn ChannelSelector>, channels: &[Arc<dyn Channel>]) -> (Outlet, Counter) {
    let lost = Counter::default();
    let (channels, lost_optional) = (channels.to_vec(), lost.clone());
    (Outlet::new(Wiring { interceptors: vec![], selector, channels, lost_optional }), lost)
}

fn replicating(optional: &str) -> Box<dyn ChannelSelector> {
    build("replicating", optional, &Context::new("a1.sources.r1", &["c1", "c2"]))
}

async fn stored(channel: &Arc<dyn Channel>) -> Vec<Event> {
    let take = channel.take(Want::events(99), Duration::ZERO).await.unwrap();
    let events = take.events().to_vec();
    take.commit().await.unwrap();
    events
}

#[tokio::test(start_paused = true)]
async fn replicates_to_all_channels_and_forgives_optional_ones() {
    let channels = [memory(9), memory(1)];
    let (out, lost) = outlet(replicating("optional = c2"), &channels);
    out.put(events("a b")).await.unwrap();
    out.put(events("c")).await.unwrap();
    assert_eq!(words(&stored(&channels[0]).await), "a b c");
    assert_eq!(words(&stored(&channels[1]).await), "c");
    assert_eq!(lost.get(), 2);

    let (out, _) = outlet(replicating(""), &channels);
    assert!(out.put(events("a b")).await.is_err());
    assert_eq!(words(&stored(&channels[0]).await), "a b", "earlier channels keep their copy");
}

#[tokio::test(start_paused = true)]
async fn regroups_when_the_route_depends_on_the_event() {
    struct ByLength;
    impl ChannelSelector for ByLength {
        fn route(&self, event: &Event) -> Route<'_> {
            Route { required: if event.body.len() > 1 { &[0] } else { &[1] }, optional: &[] }
        }
    }
    let channels = [memory(9), memory(9)];
    let (out, _) = outlet(Box::new(ByLength), &channels);
    out.put(events("aa b cc d")).await.unwrap();
    assert_eq!(words(&stored(&channels[0]).await), "aa cc");
    assert_eq!(words(&stored(&channels[1]).await), "b d");
}

#[tokio::test(start_paused = true)]
async fn a_new_wiring_needs_no_new_outlet() {
    let channels = [memory(9), memory(9)];
    let (out, _) = outlet(replicating(""), &channels);
    let used_by_a_connection = out.clone();
    let cx = Context::new("a1.sources.r1", &["c1"]);
    out.rewire(Wiring {
        interceptors: vec![build::<dyn Interceptor>("static", "key = dc\nvalue = x", &cx)],
        selector: build("replicating", "", &cx),
        channels: vec![channels[0].clone()],
        lost_optional: Counter::default(),
    });
    let mut marked = Event::from("b");
    marked.headers.set(Str::from("dc"), Str::from("mine"));
    used_by_a_connection.put(vec![Event::from("a"), marked]).await.unwrap();
    let stored = stored(&channels[0]).await;
    let headers: Vec<_> = stored.iter().map(|event| event.headers.get("dc").unwrap().to_string()).collect();
    assert_eq!(headers, ["x", "mine"]);
    assert_eq!(channels[1].stats().events, 0);
}

#[tokio::test(start_paused = true)]
async fn frames_wait_for_the_byte_budget() {
    let cx = Context::new("a1.sources.r1", &["c1", "c2"]);
    let (out, _) = outlet(replicating(""), &[memory(9), memory(9)]);
    let (_switch, stop) = Stop::new();
    let source = SourceContext::new(out, stop, cx.state, 100);
    let first = source.reserve(60).await;
    let second = tokio::time::timeout(Duration::from_secs(1), source.reserve(60));
    assert!(second.await.is_err());
    drop(first);
    source.reserve(1_000_000).await;
}

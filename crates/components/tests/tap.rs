//! A tap sees what passes a source's outlet, a channel and a sink, as long as it is there.

use std::{sync::Arc, time::Duration};

use flume_components::REGISTRY;
use flume_core::{
    Channel, ChannelHandle, ChannelSelector, Context, Interceptor, Outlet, Passage, RunnerConfig,
    Sink, SinkRunner, Stop, Want, Wiring,
    tap::{TRACE_HEADER, Tap, TapWish},
};
use flume_testkit::parts::{build, events, read};
use tokio::sync::mpsc::Receiver;

fn wish(passages: &[Passage]) -> TapWish {
    TapWish {
        passages: passages.to_vec(),
        headers: vec![],
        per_second: 1000,
        max_bytes: 100,
        marks_per_second: 0,
    }
}

fn memory(cx: &Context) -> ChannelHandle {
    let properties = "capacity = 4\ntransactionCapacity = 4\nkeep-alive = 0";
    let channel = build::<dyn Channel>(&REGISTRY, "memory", properties, cx);
    ChannelHandle::new(channel, cx.clone())
}

/// `passage body` of all that was shown.
fn shown(events: &mut Receiver<flume_core::tap::TappedEvent>) -> String {
    let mut lines = vec![];
    while let Ok(event) = events.try_recv() {
        let body = String::from_utf8_lossy(&event.body).into_owned();
        lines.push(format!("{} {body}", event.passage.name()));
    }
    lines.join(", ")
}

#[tokio::test]
async fn a_channel_shows_puts_that_succeed_and_takes() {
    let cx = Context::new("a1.channels.c1", &[]);
    let channel = memory(&cx);
    channel.put(events("unseen")).await.unwrap();
    let (tap, mut seen) = Tap::new(wish(&[Passage::Put, Passage::Taken]));
    let guard = cx.taps.add(tap);
    channel.put(events("a b")).await.unwrap();
    assert!(channel.put(events("too many of them")).await.is_err());
    let take = channel.take(Want::events(2), Duration::ZERO).await.unwrap();
    take.commit().await.unwrap();
    drop(guard);
    channel.put(events("c")).await.unwrap();
    assert_eq!(shown(&mut seen), "put a, put b, taken unseen, taken a");
}

#[tokio::test]
async fn a_source_and_a_sink_show_what_passes_and_continue_a_trace() {
    let channel = memory(&Context::new("a1.channels.c1", &[]));
    let agent = flume_core::AgentInfo {
        system_properties: [("flume.trace".to_string(), "true".to_string())].into(),
        ..flume_core::AgentInfo::default()
    };
    let agent = Arc::new(agent);
    let source = Context::of_agent("a1.sources.r1", vec!["c1".into()], agent.clone());
    let interceptor = build::<dyn Interceptor>(
        &REGISTRY,
        "regex_filter",
        "regex = drop\nexcludeEvents = true",
        &source,
    );
    let wiring = Wiring {
        interceptors: vec![interceptor],
        selector: build::<dyn ChannelSelector>(&REGISTRY, "replicating", "", &source),
        channels: vec![channel.clone()],
    };
    let outlet = Outlet::new(wiring, &source);
    let sink_cx = Context::of_agent("a1.sinks.k1", vec!["c1".into()], agent);
    let sink = build::<dyn Sink>(&REGISTRY, "null", "", &sink_cx);
    let (config, _) = read::<RunnerConfig>(&REGISTRY, "a1.sinks.k1", "");
    let (_switch, stop) = Stop::new();
    let mut runner = SinkRunner::new(sink, channel, None, config.unwrap(), &sink_cx, stop);
    let all = Passage::ALL;
    let (tap, mut seen) = Tap::new(wish(&all));
    let (marker, mut marked) = Tap::new(TapWish {
        marks_per_second: 1,
        ..wish(&all)
    });
    let _guards = [
        source.taps.add(tap.clone()),
        sink_cx.taps.add(tap),
        source.taps.add(marker),
    ];
    outlet.put(events("a drop b")).await.unwrap();
    runner.step(Duration::ZERO).await.unwrap();
    let expected = "received a, received drop, received b, accepted a, accepted b, taken a, taken b, delivered a, delivered b";
    assert_eq!(shown(&mut seen), expected);
    let first = marked.try_recv().unwrap();
    let trace = first.headers.get(TRACE_HEADER).unwrap();
    assert!(trace.contains(";a1.sources.r1@"), "{trace}");
    assert!(
        marked.try_recv().unwrap().headers.is_empty(),
        "only one is marked"
    );
}

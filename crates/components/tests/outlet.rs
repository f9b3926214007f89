//! The way from a source into its channels.

use std::time::Duration;

use flume_components::REGISTRY;
use flume_core::{
    Channel, ChannelHandle, ChannelSelector, Context, Event, Interceptor, Outlet, Route,
    SourceContext, Stop, Str, Want, Wiring,
};
use flume_testkit::parts::{build, events, words};

fn memory(capacity: usize) -> ChannelHandle {
    let text = format!("capacity = {capacity}\ntransactionCapacity = {capacity}");
    let cx = Context::new("a1.channels.c1", &[]);
    ChannelHandle::new(build::<dyn Channel>(&REGISTRY, "memory", &text, &cx), cx)
}

fn outlet(selector: Box<dyn ChannelSelector>, channels: &[ChannelHandle]) -> (Outlet, Context) {
    let cx = Context::new("a1.sources.r1", &["c1", "c2"]);
    (
        Outlet::new(
            Wiring {
                interceptors: vec![],
                selector,
                channels: channels.to_vec(),
            },
            &cx,
        ),
        cx,
    )
}

fn selector(name: &str, properties: &str) -> Box<dyn ChannelSelector> {
    build(
        &REGISTRY,
        name,
        properties,
        &Context::new("a1.sources.r1", &["c1", "c2"]),
    )
}

fn replicating(optional: &str) -> Box<dyn ChannelSelector> {
    selector("replicating", optional)
}

async fn stored(channel: &ChannelHandle) -> Vec<Event> {
    let take = channel
        .take(Want::events(99), Duration::ZERO)
        .await
        .unwrap();
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
    assert_eq!(lost.metrics.counter("EventOptionalLostCount").get(), 2);

    let (out, _) = outlet(replicating(""), &channels);
    assert!(out.put(events("a b")).await.is_err());
    assert_eq!(
        words(&stored(&channels[0]).await),
        "a b",
        "earlier channels keep their copy"
    );
}

#[tokio::test(start_paused = true)]
async fn regroups_when_the_route_depends_on_the_event() {
    struct ByLength;
    impl ChannelSelector for ByLength {
        fn route(&self, event: &Event) -> Route<'_> {
            Route {
                required: if event.body.len() > 1 { &[0] } else { &[1] },
                optional: &[],
            }
        }
    }
    let channels = [memory(9), memory(9)];
    let (out, _) = outlet(Box::new(ByLength), &channels);
    out.put(events("aa b cc d")).await.unwrap();
    assert_eq!(words(&stored(&channels[0]).await), "aa cc");
    assert_eq!(words(&stored(&channels[1]).await), "b d");
}

/// Takes the bodies of even length, which are long, to c1 and the others to c2.
struct ByParity;

impl ChannelSelector for ByParity {
    fn route(&self, event: &Event) -> Route<'_> {
        let required: &[usize] = if event.body.len().is_multiple_of(2) {
            &[0]
        } else {
            &[1]
        };
        Route {
            required,
            optional: &[],
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_small_event_does_not_keep_the_buffer_of_its_batch() {
    let channels = [memory(9), memory(9)];
    let (out, _) = outlet(Box::new(ByParity), &channels);
    let filter = |cx: &Context| {
        build::<dyn Interceptor>(
            &REGISTRY,
            "regex_filter",
            "regex = ^xx\nexcludeEvents = true",
            cx,
        )
    };
    let buffer = bytes::Bytes::from(vec![b'x'; 1 << 20]);
    let batch = |buffer: &bytes::Bytes| {
        vec![
            Event::from(buffer.slice(..1 << 19)),
            Event::from(buffer.slice(1 << 19..(1 << 19) + 1)),
        ]
    };
    out.put(batch(&buffer)).await.unwrap();
    assert_eq!(stored(&channels[0]).await.len(), 1);
    assert_eq!(channels[1].stats().events, 1);
    assert!(buffer.is_unique(), "the event in c2 is a copy");
    // The interceptor drops the large event.
    let cx = Context::new("a1.sources.r1", &["c1"]);
    let wiring = Wiring {
        interceptors: vec![filter(&cx)],
        selector: build(&REGISTRY, "replicating", "", &cx),
        channels: vec![channels[0].clone()],
    };
    out.rewire(wiring).await;
    out.put(batch(&buffer)).await.unwrap();
    assert_eq!(words(&stored(&channels[0]).await), "x");
    assert!(buffer.is_unique());
}

#[tokio::test(start_paused = true)]
async fn a_new_wiring_needs_no_new_outlet() {
    let channels = [memory(9), memory(9)];
    let (out, _) = outlet(replicating(""), &channels);
    let used_by_a_connection = out.clone();
    let cx = Context::new("a1.sources.r1", &["c1"]);
    out.rewire(Wiring {
        interceptors: vec![build::<dyn Interceptor>(
            &REGISTRY,
            "static",
            "key = dc\nvalue = x",
            &cx,
        )],
        selector: build(&REGISTRY, "replicating", "", &cx),
        channels: vec![channels[0].clone()],
    })
    .await;
    let mut marked = Event::from("b");
    marked.headers.set(Str::from("dc"), Str::from("mine"));
    used_by_a_connection
        .put(vec![Event::from("a"), marked])
        .await
        .unwrap();
    let stored = stored(&channels[0]).await;
    let headers: Vec<_> = stored
        .iter()
        .map(|event| event.headers.get("dc").unwrap().to_string())
        .collect();
    assert_eq!(headers, ["x", "mine"]);
    assert_eq!(channels[1].stats().events, 0);
}

#[tokio::test(start_paused = true)]
async fn frames_wait_for_the_byte_budget() {
    let (out, cx) = outlet(replicating(""), &[memory(9), memory(9)]);
    let (_switch, stop) = Stop::new();
    let source = SourceContext::new(out, stop, cx.state, 100);
    let first = source.reserve(60).await;
    let second = tokio::time::timeout(Duration::from_secs(1), source.reserve(60));
    assert!(second.await.is_err());
    drop(first);
    source.reserve(1_000_000).await;
}

fn with(name: &'static str, value: &str, body: &'static str) -> Event {
    let mut event = Event::from(body);
    event.headers.set(name.into(), value.to_string().into());
    event
}

#[tokio::test(start_paused = true)]
async fn multiplexes_by_a_header() {
    let channels = [memory(9), memory(9)];
    let properties = "header = state\nmapping.CZ = c1\nmapping.a.b = c1 c2\ndefault = c2\noptional.CZ = c2 c1\noptional.X = c1";
    let (out, cx) = outlet(selector("multiplexing", properties), &channels);
    let cases = [
        ("CZ", "1"),
        ("a.b", "2"),
        ("US", "3"),
        ("cz", "4"),
        ("X", "5"),
        (" ", "6"),
    ];
    let batch = cases
        .map(|(value, body)| with("state", value, body))
        .into_iter()
        .chain([Event::from("7")])
        .collect();
    out.put(batch).await.unwrap();
    assert_eq!(words(&stored(&channels[0]).await), "1 2 5");
    assert_eq!(words(&stored(&channels[1]).await), "2 3 4 5 6 7 1");
    assert_eq!(cx.metrics.counter("EventUnroutedCount").get(), 0);

    let (out, cx) = outlet(
        selector("multiplexing", "header = state\nmapping.CZ = c1"),
        &channels,
    );
    out.put(vec![
        with("state", "US", "lost"),
        with("state", "CZ", "kept"),
    ])
    .await
    .unwrap();
    assert_eq!(words(&stored(&channels[0]).await), "kept");
    assert_eq!(cx.metrics.counter("EventUnroutedCount").get(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_selector_names_only_channels_of_its_source() {
    let cx = Context::new("a1.sources.r1", &["c1"]);
    let nested = flume_testkit::parts::try_build::<dyn ChannelSelector>(
        &REGISTRY,
        "multiplexing",
        "mapping.x = c9",
        &cx,
    );
    assert_eq!(
        nested.err().unwrap().to_string(),
        "mapping.x: `c9` is not a channel of this source"
    );
}

#[tokio::test(start_paused = true)]
async fn a_slow_put_shows_as_a_wait_for_the_channel() {
    let channels = [memory(1), memory(9)];
    let (out, cx) = outlet(selector("multiplexing", "default = c1"), &channels);
    out.put(events("a")).await.unwrap();
    let second = tokio::spawn(async move { out.put(events("b")).await });
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(
        cx.state.get().0.to_string(),
        "waiting: channel a1.channels.c1 has no room"
    );
    stored(&channels[0]).await;
    second.await.unwrap().unwrap();
    assert_eq!(cx.state.get().0, flume_core::State::Running);
}

#[tokio::test(start_paused = true)]
async fn balances_event_by_event() {
    let channels = [memory(99), memory(99)];
    let (out, _) = outlet(selector("load_balancing", ""), &channels);
    out.put(events("a b c")).await.unwrap();
    out.put(events("d e")).await.unwrap();
    assert_eq!(words(&stored(&channels[0]).await), "a c e");
    assert_eq!(words(&stored(&channels[1]).await), "b d");
    let (out, _) = outlet(selector("load_balancing", "policy = RANDOM"), &channels);
    out.put(events(&"x ".repeat(60))).await.unwrap();
    let first = stored(&channels[0]).await.len();
    assert_eq!(first + stored(&channels[1]).await.len(), 60);
    assert!((1..60).contains(&first), "{first}");
}

//! Interceptors that Flume does not have.

use std::time::Duration;

use flume_components::REGISTRY;
use flume_core::{
    Channel, ChannelHandle, ChannelSelector, Context, Event, Interceptor, Outlet, PutError, Want,
    Wiring,
};
use flume_testkit::parts::{build, events, try_build, words};
use tokio::time::Instant;

fn interceptor(name: &str, text: &str) -> (Box<dyn Interceptor>, Context) {
    let cx = Context::new("a1.sources.r1", &["c1"]);
    (build(&REGISTRY, name, text, &cx), cx)
}

/// Why it cannot be built.
fn refusal(name: &str, text: &str) -> String {
    let cx = Context::new("a1.sources.r1", &["c1"]);
    let built = try_build::<dyn Interceptor>(&REGISTRY, name, text, &cx);
    let error = built.err();
    error.unwrap_or_else(|| panic!("{text} builds")).to_string()
}

/// The headers that the body gets: `name=value|…`.
fn headers(interceptor: &dyn Interceptor, body: &str) -> String {
    let mut batch = vec![Event::from(body.to_string())];
    interceptor.intercept(&mut batch).unwrap();
    assert_eq!(batch[0].body, body.as_bytes());
    let headers = batch[0].headers.iter();
    let pairs: Vec<_> = headers
        .map(|(name, value)| {
            assert!(interceptor.may_set(name), "{name}");
            format!("{name}={value}")
        })
        .collect();
    pairs.join("|")
}

#[test]
fn fields_of_json_become_headers() {
    let text = "fields.user = /user/name\nfields.first = $.tags[0]\nfields.h.ost = $['h.o']";
    let (extract, cx) = interceptor("json_extract", text);
    let seen = headers(
        &*extract,
        r#"{"user":{"name":"Ann \"A\""},"tags":[7,8],"h.o":"x"}"#,
    );
    assert_eq!(seen, "first=7|h.ost=x|user=Ann \"A\"");
    assert_eq!(headers(&*extract, r#"{"user":null,"tags":{}}"#), "");
    assert_eq!(cx.metrics.number("JsonUnreadableCount"), 0);
    assert_eq!(headers(&*extract, "plain text"), "");
    assert_eq!(headers(&*extract, ""), "");
    assert_eq!(cx.metrics.number("JsonUnreadableCount"), 2);
    assert!(!extract.may_set("other"));
    for (preserve, expected) in [("true", "1"), ("false", "2")] {
        let text = format!("fields.a = /a\npreserveExisting = {preserve}");
        let (extract, _) = interceptor("json_extract", &text);
        let mut batch = vec![Event::from("{\"a\":2}")];
        batch[0].headers.set("a".into(), "1".into());
        extract.intercept(&mut batch).unwrap();
        assert_eq!(batch[0].headers.get("a").unwrap(), expected);
    }
    assert!(refusal("json_extract", "").contains("set `fields.HEADER"));
}

#[test]
fn grok_patterns_become_headers() {
    let (grok, cx) = interceptor(
        "grok",
        "match = ^%{IPORHOST:client} (?<my_path>/\\S*) %{CODE:status:int}\npatterns.CODE = [1-5]\\d\\d\n\
         match.2 = %{LOGLEVEL:level}: (?:%{WORD:what}|%{INT:what})?\nfailureHeader = failed",
    );
    for (body, expected) in [
        ("10.0.0.1 /a 404", "client=10.0.0.1|my_path=/a|status=404"),
        ("10.0.0.1 /a 604 WARN: x", "level=WARN|what=x"),
        ("ERROR: ", "level=ERROR"),
        ("nothing", "failed=true"),
    ] {
        assert_eq!(headers(&*grok, body), expected, "{body}");
    }
    assert_eq!(cx.metrics.number("GrokFailureCount"), 1);
}

#[test]
fn grok_reads_the_usual_logs() {
    let (apache, _) = interceptor("grok", "match = %{COMBINEDAPACHELOG}");
    let line = r#"127.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] "GET /a?b HTTP/1.0" 200 2326 "http://e.x/" "Mozilla/4.08 [en]""#;
    assert_eq!(
        headers(&*apache, line),
        "agent=\"Mozilla/4.08 [en]\"|auth=frank|bytes=2326|clientip=127.0.0.1|httpversion=1.0|ident=-|\
         referrer=\"http://e.x/\"|request=/a?b|response=200|timestamp=10/Oct/2000:13:55:36 -0700|verb=GET"
    );
    let (syslog, _) = interceptor("grok", "match = %{SYSLOGLINE}");
    assert_eq!(
        headers(
            &*syslog,
            "Jan  2 03:04:05 host-1 sshd[42]: Accepted password"
        ),
        "logsource=host-1|message=Accepted password|pid=42|program=sshd|timestamp=Jan  2 03:04:05"
    );
}

#[test]
fn wrong_grok_patterns_are_errors_of_the_configuration() {
    for (text, key, words) in [
        ("match = %{NONE:a}", "match: ", "set `patterns.NONE`"),
        ("match = %{WORD}", "match: ", "give a part a header"),
        ("match = %{WORD:a", "match: ", "`}` is missing"),
        (
            "match = %{WORD:}",
            "match: ",
            "the name of the header is empty",
        ),
        ("match = %{WORD:a:date}", "match: ", "the known types"),
        ("match = (%{WORD:a}", "match: ", "written out it reads"),
        (
            "match = %{WORD:a}\nmatch.x = %{N:a}",
            "match.x: ",
            "no pattern `N`",
        ),
        (
            "match = %{A:a}\npatterns.A = %{B}\npatterns.B = %{A}",
            "patterns.A: ",
            "contains itself",
        ),
        (
            "match = %{WORD:a}\npatterns.X = (",
            "patterns.X: ",
            "written out",
        ),
        (
            "match = %{WORD:a}\npatterns.X Y = a",
            "patterns.X Y: ",
            "names consist",
        ),
    ] {
        let error = refusal("grok", text);
        assert!(error.starts_with(key) && error.contains(words), "{error}");
    }
    let doubling: String = (1..25)
        .map(|n| format!("\npatterns.D{n} = %{{D{}}}%{{D{0}}}", n - 1))
        .collect();
    let text = format!("match = %{{WORD:a}}\npatterns.D0 = abcdefgh{doubling}");
    assert!(refusal("grok", &text).contains("more than"));
}

#[test]
fn one_of_many_is_kept() {
    let (sample, cx) = interceptor("sample", "rate = 3\nrateHeader = rate");
    let mut batch = events("a b c d e f g");
    sample.intercept(&mut batch).unwrap();
    assert_eq!(words(&batch), "a d g");
    assert_eq!(batch[0].headers.get("rate").unwrap(), "3");
    assert_eq!(cx.metrics.number("SampledOutCount"), 4);
}

#[test]
fn equal_headers_are_kept_or_dropped_together() {
    let (sample, _) = interceptor("sample", "rate = 10\nheader = id");
    let batch = || {
        let ids = (0..10_000).map(|id| {
            let mut event = Event::from("x");
            event.headers.set("id".into(), id.to_string().into());
            event
        });
        let mut batch: Vec<_> = ids.chain([Event::from("bare")]).collect();
        sample.intercept(&mut batch).unwrap();
        batch
    };
    let kept = batch();
    assert!((800..1200).contains(&kept.len()), "{}", kept.len());
    assert_eq!(kept.last().unwrap().body, "bare", "no header: kept");
    assert_eq!(kept, batch());
    let first: Vec<_> = kept
        .iter()
        .take(4)
        .map(|e| &**e.headers.get("id").unwrap())
        .collect();
    assert_eq!(first, SAMPLED_IDS, "agents of all versions agree");
}

const SAMPLED_IDS: [&str; 4] = ["2", "13", "20", "24"];

#[tokio::test(start_paused = true)]
async fn a_throttle_drops_above_the_rate() {
    let (throttle, cx) = interceptor(
        "throttle",
        "eventsPerSecond = 10\nburst = 3\noverflow = drop",
    );
    let pass = |count: usize| {
        let mut batch = vec![Event::from("x"); count];
        throttle.intercept(&mut batch).unwrap();
        assert!(throttle.wait(&batch).unwrap().is_zero());
        batch.len()
    };
    assert_eq!(pass(5), 3);
    assert_eq!(pass(5), 0);
    tokio::time::advance(Duration::from_millis(100)).await;
    assert_eq!(pass(5), 1);
    tokio::time::advance(Duration::from_secs(100)).await;
    assert_eq!((pass(2), pass(2)), (2, 1));
    assert_eq!(cx.metrics.number("ThrottleDroppedCount"), 12);
}

/// A source's way through an interceptor into a channel of so many events.
fn outlet(name: &str, text: &str, capacity: usize) -> (Outlet, ChannelHandle, Context) {
    let (interceptor, cx) = interceptor(name, text);
    let channel_cx = Context::new("a1.channels.c1", &[]);
    let memory = format!("capacity = {capacity}\ntransactionCapacity = {capacity}\nkeep-alive = 0");
    let channel = build::<dyn Channel>(&REGISTRY, "memory", &memory, &channel_cx);
    let channel = ChannelHandle::new(channel, channel_cx);
    let wiring = Wiring {
        interceptors: vec![interceptor],
        selector: build::<dyn ChannelSelector>(&REGISTRY, "replicating", "", &cx),
        channels: vec![channel.clone()],
    };
    (Outlet::new(wiring, &cx), channel, cx)
}

fn throttled(text: &str) -> (Outlet, ChannelHandle, Context) {
    outlet("throttle", text, 100_000)
}

#[tokio::test(start_paused = true)]
async fn a_throttle_slows_its_source_down_to_the_rate() {
    let (out, channel, cx) = throttled("eventsPerSecond = 100");
    let begin = Instant::now();
    for _ in 0..11 {
        out.put(vec![Event::from("x"); 100]).await.unwrap();
    }
    let took = begin.elapsed().as_secs_f64();
    assert!((8.9..9.1).contains(&took), "{took}");
    assert_eq!(channel.stats().events, 1100, "nothing is dropped");
    assert_eq!(cx.metrics.number("ThrottleDelayedCount"), 900);
}

#[tokio::test(start_paused = true)]
async fn a_throttle_far_behind_refuses_and_recovers() {
    let (out, channel, _) = throttled("eventsPerSecond = 10");
    out.put(vec![Event::from("x"); 100]).await.unwrap();
    let waiting = tokio::spawn({
        let out = out.clone();
        async move { out.put(vec![Event::from("x"); 100]).await }
    });
    tokio::task::yield_now().await;
    let error = out.put(events("late")).await.unwrap_err();
    assert!(
        matches!(error, PutError::Throttled(_)),
        "as by a full channel"
    );
    let error = error.to_string();
    assert!(error.contains("190 events behind"), "{error}");
    waiting.await.unwrap().unwrap();
    out.put(events("late")).await.unwrap();
    assert_eq!(channel.stats().events, 201);
}

#[tokio::test(start_paused = true)]
async fn a_huge_batch_holds_up_others_for_ten_seconds_at_most() {
    let (out, channel, _) = throttled("eventsPerSecond = 10");
    out.put(vec![Event::from("x"); 50_000]).await.unwrap();
    let begin = Instant::now();
    out.put(events("next")).await.unwrap();
    assert!(begin.elapsed() <= Duration::from_secs(10));
    assert_eq!(channel.stats().events, 50_001);
}

/// What the channel has, taken out of it.
async fn stored(channel: &ChannelHandle) -> String {
    let take = channel.take(Want::events(1000), Duration::ZERO);
    let take = take.await.unwrap();
    let stored = words(take.events());
    take.commit().await.unwrap();
    stored
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_stored_comes_no_second_time() {
    let text = "windowEvents = 3\nwindowSeconds = 60";
    let (out, channel, cx) = outlet("dedupe", text, 100);
    for (batch, expected) in [
        ("a b a", "a b"),
        ("b c a", "c"),
        ("a b c", ""),
        // The window has three events: now `a` is forgotten.
        ("d a", "d"),
        ("c d a", "a"),
        ("c d a", ""),
    ] {
        out.put(events(batch)).await.unwrap();
        assert_eq!(stored(&channel).await, expected, "{batch}");
    }
    assert_eq!(cx.metrics.number("DuplicateDroppedCount"), 12);
    tokio::time::advance(Duration::from_secs(60)).await;
    out.put(events("c d a")).await.unwrap();
    assert_eq!(stored(&channel).await, "c d a");
}

#[tokio::test(start_paused = true)]
async fn what_a_channel_refused_is_not_a_duplicate() {
    let (out, channel, cx) = outlet("dedupe", "", 2);
    out.put(events("a b")).await.unwrap();
    assert!(out.put(events("c")).await.is_err());
    assert_eq!(stored(&channel).await, "a b");
    out.put(events("c a")).await.unwrap();
    assert_eq!(stored(&channel).await, "c");
    assert_eq!(cx.metrics.number("DuplicateDroppedCount"), 1);
}

#[tokio::test]
async fn a_header_may_make_events_equal() {
    let (out, channel, _) = outlet("dedupe", "header = id", 100);
    let event = |id: &str, body: &str| {
        let mut event = Event::from(body.to_string());
        event.headers.set("id".into(), id.into());
        event
    };
    let first = vec![event("1", "a"), event("2", "a"), event("1", "b")];
    out.put(first).await.unwrap();
    out.put(vec![Event::from("a"), Event::from("a"), event("2", "c")])
        .await
        .unwrap();
    assert_eq!(stored(&channel).await, "a a a a");
    assert!(refusal("dedupe", "windowEvents = 10000001").contains("must not exceed"));
}

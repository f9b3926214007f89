//! Sink groups: who delivers, who waits, and that nothing is lost or sent twice meanwhile.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use flume_components::REGISTRY;
use flume_core::{
    Channel, ChannelHandle, Context, Delivered, Event, Phase, RunnerConfig, Sink, SinkError,
    SinkProcessor, SinkRunner, SinkStep, State, Stop, Switch, Want, run_sinks,
};
use flume_testkit::parts::{build, events, read, try_build, words};
use parking_lot::Mutex;
use tokio::time::{Instant, advance, sleep};

const IDLE: Duration = Duration::from_secs(1);

/// A sink that fails, hangs or delivers, as the test says.
#[derive(Clone, Default)]
struct Member(Arc<Mutex<MemberScript>>);

#[derive(Default)]
struct MemberScript {
    down: bool,
    takes: Duration,
    attempts: usize,
    ticks: usize,
    delivered: Vec<String>,
}

#[async_trait]
impl Sink for Member {
    fn want(&self) -> Want {
        Want::events(1)
    }

    async fn deliver(&mut self, batch: &[Event]) -> Result<Delivered, SinkError> {
        let takes = self.0.lock().takes;
        sleep(takes).await;
        let mut script = self.0.lock();
        script.attempts += 1;
        if script.down {
            return Err(SinkError::at("deliver")("down"));
        }
        script.delivered.push(words(batch));
        Ok(Delivered::default())
    }

    async fn tick(&mut self) -> Result<(), SinkError> {
        self.0.lock().ticks += 1;
        Ok(())
    }
}

/// Sinks k1, k2, k3 of a group; one channel, or one for each.
struct Group {
    processor: Box<dyn SinkProcessor>,
    runners: Vec<SinkRunner>,
    members: Vec<Member>,
    contexts: Vec<Context>,
    channels: Vec<ChannelHandle>,
    stop: Stop,
    switch: Switch,
}

impl Group {
    fn new(processor: &str, text: &str) -> Self {
        Self::over(processor, text, &["c1", "c1", "c1"])
    }

    fn over(processor: &str, text: &str, channels: &[&str]) -> Self {
        let names = ["k1", "k2", "k3"];
        let cx = Context::new("a1.sinkgroups.g1", &names);
        let processor = build::<dyn SinkProcessor>(&REGISTRY, processor, text, &cx);
        let (switch, stop) = Stop::new();
        let mut group = Group {
            processor,
            runners: vec![],
            members: vec![],
            contexts: vec![],
            channels: vec![],
            stop,
            switch,
        };
        for (name, channel) in names.into_iter().zip(channels) {
            group.add(name, channel);
        }
        group
    }

    fn add(&mut self, name: &str, channel: &str) {
        let known = self.channels.iter().find(|known| known.name() == channel);
        let channel = known.cloned().unwrap_or_else(|| {
            let cx = Context::new(channel, &[]);
            let memory = build::<dyn Channel>(&REGISTRY, "memory", "", &cx);
            let handle = ChannelHandle::new(memory, cx);
            self.channels.push(handle.clone());
            handle
        });
        let cx = Context::new(&format!("a1.sinks.{name}"), &[channel.name()]);
        let member = Member::default();
        let (config, _) = read::<RunnerConfig>(&REGISTRY, &cx.name, "");
        self.runners.push(SinkRunner::new(
            Box::new(member.clone()),
            channel,
            None,
            config.expect("defaults"),
            &cx,
            self.stop.clone(),
        ));
        self.members.push(member);
        self.contexts.push(cx);
    }

    async fn put(&self, words: &'static str) {
        self.channels[0].put(events(words)).await.unwrap();
    }

    async fn step(&mut self) -> Result<SinkStep, SinkError> {
        self.processor.step(&mut self.runners, IDLE).await
    }

    fn down(&self, member: usize, down: bool) {
        self.members[member].0.lock().down = down;
    }

    fn delivered(&self, member: usize) -> String {
        self.members[member].0.lock().delivered.join(" ")
    }

    fn attempts(&self, member: usize) -> usize {
        self.members[member].0.lock().attempts
    }

    fn reason(&self, member: usize) -> String {
        self.contexts[member].state.get().0.to_string()
    }
}

#[tokio::test(start_paused = true)]
async fn the_highest_priority_delivers_and_the_next_takes_over_in_the_same_step() {
    let mut group = Group::new("failover", "priority.k1 = 5\npriority.k2 = 10");
    group.put("a b c d").await;
    group.step().await.unwrap();
    assert_eq!(group.delivered(1), "a");
    assert_eq!(
        group.reason(0),
        "waiting: standing by: sink k2 with priority 10 is active"
    );
    group.down(1, true);
    group.step().await.unwrap();
    assert_eq!(group.delivered(0), "b");
    assert!(matches!(
        group.contexts[1].state.get().0,
        State::Failing { attempts: 1, .. }
    ));
    // k3 has no priority, so it is last.
    group.down(0, true);
    group.step().await.unwrap();
    assert_eq!(group.delivered(2), "c");
    group.down(2, true);
    let error = group.step().await.unwrap_err();
    assert_eq!(error.to_string(), "failed to deliver");
    assert_eq!(group.channels[0].stats().events, 1);
    assert_eq!(group.channels[0].stats().in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn a_failed_sink_is_tried_again_after_a_pause_that_doubles() {
    let mut group = Group::new("failover", "priority.k1 = 5\nmaxpenalty = 5000");
    group.down(0, true);
    let start = Instant::now();
    let mut seen = vec![];
    while seen.len() < 5 {
        group.put("a").await;
        let before = group.attempts(0);
        group.step().await.unwrap();
        if group.attempts(0) > before {
            seen.push(start.elapsed().as_millis());
        }
        advance(Duration::from_millis(100)).await;
    }
    assert_eq!(seen, [0, 2000, 6000, 11000, 16000]);
    group.down(0, false);
    advance(Duration::from_secs(5)).await;
    group.put("back again").await;
    group.step().await.unwrap();
    group.step().await.unwrap();
    assert_eq!(group.delivered(0), "back again");
}

#[tokio::test(start_paused = true)]
async fn any_number_of_failures_stays_at_the_longest_pause() {
    let mut group = Group::new("failover", "");
    for member in 0..3 {
        group.down(member, true);
    }
    group.put("a").await;
    for _ in 0..100 {
        group.step().await.unwrap_err();
        advance(Duration::from_secs(30)).await;
    }
    assert_eq!(group.attempts(0), 100);
    group.step().await.unwrap_err();
    advance(Duration::from_secs(29)).await;
    group.step().await.unwrap_err();
    assert_eq!(group.attempts(0), 101);
}

#[tokio::test(start_paused = true)]
async fn a_failed_sink_with_an_idle_channel_of_its_own_holds_nothing_up() {
    let mut group = Group::over("failover", "priority.k3 = 9", &["c1", "c1", "c3"]);
    group.down(2, true);
    group.channels[1].put(events("x")).await.unwrap();
    group.put("a b").await;
    group.step().await.unwrap();
    assert_eq!(group.delivered(0), "a");
    // What k3 failed at is delivered by nobody else; an empty channel stands for it.
    let take = group.channels[1].take(Want::events(1), IDLE).await.unwrap();
    take.commit().await.unwrap();
    advance(Duration::from_secs(2)).await;
    let start = Instant::now();
    assert_eq!(group.step().await.unwrap(), SinkStep::Delivered);
    assert_eq!(group.delivered(0), "a b");
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn who_stands_by_still_ticks_once_it_was_open() {
    let mut group = Group::new("failover", "priority.k1 = 5");
    group.down(0, true);
    group.put("a b c").await;
    group.step().await.unwrap();
    group.down(0, false);
    advance(Duration::from_secs(2)).await;
    group.step().await.unwrap();
    assert_eq!(group.delivered(0), "b");
    let before = group.members[1].0.lock().ticks;
    for _ in 0..3 {
        group.step().await.unwrap();
    }
    let after = group.members[1].0.lock().ticks;
    assert!(after > before, "{before} {after}");
}

#[tokio::test(start_paused = true)]
async fn wrong_priorities_count_as_none() {
    let cx = Context::new("a1.sinkgroups.g1", &["k1", "k2"]);
    let text = "priority.k1 = high\npriority.k9 = 4";
    let mut props = flume_core::props::Props::new(&REGISTRY, section(text));
    let row = REGISTRY.find::<dyn SinkProcessor>("failover");
    let constructor = row.ok().unwrap().parse(&mut props).expect("it parses");
    assert!(constructor(&cx).is_ok());
    let said: Vec<_> = props.diagnostics.iter().map(ToString::to_string).collect();
    assert_eq!(said.len(), 1);
    assert!(said[0].contains("found `high`"), "{said:?}");
}

fn section(text: &str) -> flume_core::props::Section {
    let mut section = flume_core::props::Section::default();
    for line in text.lines() {
        let (key, value) = line.split_once('=').unwrap();
        let setting = flume_core::props::Setting {
            text: value.trim().into(),
            ..Default::default()
        };
        section.settings.insert(key.trim().into(), setting);
    }
    section
}

#[tokio::test(start_paused = true)]
async fn all_sinks_of_a_balanced_group_deliver_at_the_same_time_and_equally() {
    let mut group = Group::new("load_balance", "");
    for member in &group.members {
        member.0.lock().takes = Duration::from_millis(100);
    }
    for _ in 0..6 {
        group.put("a b c d e f g h i j").await;
    }
    let start = Instant::now();
    group.step().await.unwrap();
    group.step().await.unwrap();
    for member in 0..3 {
        assert_eq!(group.members[member].0.lock().delivered.len(), 20);
    }
    assert_eq!(start.elapsed().as_millis(), 2000);
}

#[tokio::test(start_paused = true)]
async fn a_slow_sink_holds_no_other_up() {
    let mut group = Group::new("load_balance", "selector = random");
    group.members[0].0.lock().takes = Duration::from_secs(1);
    group.members[1].0.lock().takes = Duration::from_millis(100);
    group.members[2].0.lock().takes = Duration::from_millis(100);
    for _ in 0..10 {
        group.put("a b c d e f g h i j").await;
    }
    group.step().await.unwrap();
    assert_eq!(group.members[0].0.lock().delivered.len(), 1);
    assert!(group.members[1].0.lock().delivered.len() >= 9);
}

#[tokio::test(start_paused = true)]
async fn what_one_sink_fails_to_deliver_goes_to_the_others() {
    for selector in ["round_robin", "RANDOM"] {
        let mut group = Group::new("load_balance", &format!("selector = {selector}"));
        group.down(1, true);
        group.put("a b c d e f").await;
        while group.channels[0].stats().events > 0 {
            group.step().await.unwrap();
        }
        let both = [0, 2].map(|member| group.delivered(member)).join(" ");

        assert_eq!(words_sorted(&both), "a b c d e f");
    }
}

fn words_sorted(text: &str) -> String {
    let mut words: Vec<_> = text.split_whitespace().collect();
    words.sort();
    words.join(" ")
}

#[tokio::test(start_paused = true)]
async fn backoff_leaves_a_failed_sink_out_and_a_success_forgives_nothing() {
    let mut group = Group::new("load_balance", "backoff = true\nselector.maxTimeOut = 6000");
    group.down(0, true);
    let start = Instant::now();
    let mut seen = vec![];
    while seen.len() < 4 {
        group.put("a b c").await;
        let before = group.attempts(0);
        let begun = start.elapsed();
        group.step().await.unwrap();
        if group.attempts(0) > before {
            seen.push(begun.as_secs());
        }
    }
    // Rounds take a second, so a sink may come a second late.
    let gaps: Vec<_> = seen.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!((2..=3).contains(&gaps[0]), "{seen:?}");
    assert!((4..=5).contains(&gaps[1]), "{seen:?}");
    assert!((6..=7).contains(&gaps[2]), "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn all_failed_is_an_error_and_the_events_stay() {
    for text in ["", "backoff = true", "backoff = true\nselector = random"] {
        let mut group = Group::new("load_balance", text);
        for member in 0..3 {
            group.down(member, true);
        }
        group.put("a b c d").await;
        for _ in 0..3 {
            group.step().await.unwrap_err();
        }
        assert_eq!(group.channels[0].stats().events, 4, "{text}");
        assert_eq!(group.channels[0].stats().in_flight, 0, "{text}");
    }
}

#[test]
fn a_balanced_group_has_at_least_two_sinks() {
    let cx = Context::new("a1.sinkgroups.g1", &["k1"]);
    let built = try_build::<dyn SinkProcessor>(&REGISTRY, "load_balance", "", &cx);
    let error = built.err().expect("one sink is too few").to_string();
    assert!(error.contains("at least two sinks"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_group_drains_and_stops_with_every_processor() {
    for processor in ["failover", "load_balance"] {
        let mut group = Group::new(processor, "");
        group.put("a b c d e f g h").await;
        let switch = group.switch;
        let stop = group.stop.clone();
        tokio::join!(
            run_sinks(&mut *group.processor, &mut group.runners, &stop),
            async {
                switch.turn(Phase::Drain);
            }
        );
        let delivered: usize = (group.members.iter())
            .map(|member| member.0.lock().delivered.len())
            .sum();
        assert_eq!(delivered, 8, "{processor}");
        assert_eq!(group.channels[0].stats().events, 0);
    }
}

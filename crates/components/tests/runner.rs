//! Transactions, rejections, ticks and states, through `SinkRunner` and a memory channel.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use flume_components::REGISTRY;
use flume_core::{
    Cause, Channel, ChannelHandle, Context, Delivered, Event, Phase, Rejected, RunnerConfig, Sink,
    SinkError, SinkProcessor, SinkRunner, SinkStep, State, Stop, Switch, Want, run_sinks,
};
use flume_testkit::parts::{build, events, held, read, words};
use parking_lot::Mutex;
use tokio::time::{Instant, advance};

const IDLE: Duration = Duration::from_secs(1);

/// A sink that does what the test last told it.
#[derive(Default)]
struct Script {
    down: bool,
    down_without_pause: bool,
    tick_down: bool,
    attempts: usize,
    /// Rejected besides, by place: also what is no place of the batch, and places that were rejected already.
    reject_places: Vec<usize>,
    reject: Vec<(&'static str, Cause)>,
    delivered: Vec<String>,
    opens: usize,
    ticks: usize,
}

#[derive(Clone, Default)]
struct Scripted(Arc<Mutex<Script>>);

#[async_trait]
impl Sink for Scripted {
    fn want(&self) -> Want {
        Want::events(4)
    }

    async fn open(&mut self) -> Result<(), SinkError> {
        self.0.lock().opens += 1;
        Ok(())
    }

    async fn deliver(&mut self, batch: &[Event]) -> Result<Delivered, SinkError> {
        let mut script = self.0.lock();
        script.attempts += 1;
        if script.down || script.down_without_pause {
            let mut error = SinkError::new("deliver", "down");
            error.pause = script.down;
            return Err(error);
        }
        let mut outcome = Delivered::default();
        let reason = String::from("by its place");
        let rejected = |&index: &usize| Rejected {
            index,
            cause: Cause::NotNow,
            reason: reason.clone(),
        };
        outcome
            .rejected
            .extend(script.reject_places.iter().map(rejected));
        for (index, event) in batch.iter().enumerate() {
            let word = words(std::slice::from_ref(event));
            match script.reject.iter().find(|(reject, _)| *reject == word) {
                Some(&(_, cause)) => outcome.rejected.push(Rejected {
                    index,
                    cause,
                    reason: "scripted".into(),
                }),
                None => script.delivered.push(word),
            }
        }
        Ok(outcome)
    }

    async fn tick(&mut self) -> Result<(), SinkError> {
        let mut script = self.0.lock();
        script.ticks += 1;
        if script.tick_down {
            Err(SinkError::new("tick", "down"))
        } else {
            Ok(())
        }
    }
}

/// A runner with all that a test looks at.
struct Rig {
    runner: SinkRunner,
    channel: ChannelHandle,
    dead_letters: ChannelHandle,
    sink: Scripted,
    cx: Context,
    stop: Stop,
    switch: Switch,
}

impl Rig {
    fn new(runner_properties: &str, with_dead_letters: bool) -> Self {
        let [channel, dead_letters] = ["c1", "dead"].map(|name| {
            let cx = Context::new(name, &[]);
            ChannelHandle::new(build::<dyn Channel>(&REGISTRY, "memory", "", &cx), cx)
        });
        let sink = Scripted::default();
        let cx = Context::new("a1.sinks.k1", &["c1"]);
        let (switch, stop) = Stop::new();
        let (config, found) = read::<RunnerConfig>(&REGISTRY, "a1.sinks.k1", runner_properties);
        assert!(found.is_empty(), "{found:?}");
        let dead = with_dead_letters.then(|| dead_letters.clone());
        let runner = SinkRunner::new(
            Box::new(sink.clone()),
            channel.clone(),
            dead,
            config.unwrap(),
            &cx,
            stop.clone(),
        );
        Rig {
            runner,
            channel,
            dead_letters,
            sink,
            cx,
            stop,
            switch,
        }
    }

    async fn put(&self, words: &'static str) {
        self.channel.put(events(words)).await.unwrap();
    }

    fn reject(&self, reject: &[(&'static str, Cause)]) {
        self.sink.0.lock().reject = reject.to_vec();
    }

    fn delivered(&self) -> String {
        self.sink.0.lock().delivered.join(" ")
    }

    async fn step(&mut self) -> SinkStep {
        self.runner.step(IDLE).await.unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_rolls_back_and_shows_in_the_state() {
    let mut rig = Rig::new("", false);
    rig.put("a b c d e").await;
    rig.sink.0.lock().down = true;
    assert_eq!(
        rig.runner.step(IDLE).await.unwrap_err().to_string(),
        "failed to deliver"
    );
    assert!(
        matches!(rig.cx.state.get().0, State::Failing { error, attempts: 1, .. } if error == "failed to deliver: down")
    );
    rig.sink.0.lock().down = false;
    assert_eq!(
        (rig.step().await, rig.step().await, rig.step().await),
        (SinkStep::Delivered, SinkStep::Delivered, SinkStep::Idle)
    );
    assert_eq!(
        (rig.delivered(), rig.sink.0.lock().opens),
        ("a b c d e".into(), 1)
    );
    assert_eq!(rig.cx.metrics.counter("EventDrainSuccessCount").get(), 5);
    assert!(
        matches!(rig.cx.state.get().0, State::Waiting { reason } if reason == "nothing to deliver")
    );
}

#[tokio::test(start_paused = true)]
async fn not_now_waits_while_others_flow() {
    let mut rig = Rig::new("", false);
    rig.reject(&[("x", Cause::NotNow)]);
    rig.put("a x b").await;
    rig.step().await;
    rig.put("c").await;
    rig.step().await;
    assert_eq!(
        (rig.delivered(), rig.channel.stats().in_flight),
        ("a b c".into(), 1)
    );
    let start = Instant::now();
    rig.step().await; // idle for a second
    rig.step().await; // the second attempt, in vain
    rig.reject(&[]);
    while rig.delivered() != "a b c x" {
        rig.step().await;
    }
    assert_eq!(start.elapsed().as_secs(), 3);
    assert_eq!(rig.channel.stats().in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn too_many_parked_events_stop_the_taking() {
    let mut rig = Rig::new("parkedEvents = 2", false);
    rig.reject(&[("x", Cause::NotNow), ("y", Cause::NotNow)]);
    rig.put("x y a").await;
    rig.step().await;
    rig.put("b").await;
    assert_eq!(rig.step().await, SinkStep::Idle);
    assert!(matches!(rig.cx.state.get().0, State::Waiting { reason } if reason.contains("parked")));
    rig.reject(&[]);
    rig.step().await;
    rig.step().await;
    assert_eq!(rig.delivered(), "a x y b");
}

#[tokio::test(start_paused = true)]
async fn malformed_goes_to_the_dead_letters_after_three_attempts() {
    let mut rig = Rig::new("", true);
    rig.reject(&[("m", Cause::Malformed), ("x", Cause::NotNow)]);
    rig.put("a m x b").await;
    while rig.dead_letters.stats().events == 0 {
        rig.step().await;
    }
    assert_eq!(
        (rig.delivered(), rig.channel.stats().in_flight),
        ("a b".into(), 1)
    );
    let dead = rig
        .dead_letters
        .take(Want::events(9), Duration::ZERO)
        .await
        .unwrap();
    assert_eq!(held(&*dead), "m");
}

/// What was delivered is committed before the buried wait for room, or a halt would repeat it.
#[tokio::test(start_paused = true)]
async fn a_full_channel_of_dead_letters_repeats_nothing() {
    let mut rig = Rig::new("malformedAttempts = 1", true);
    let room = rig.dead_letters.stats().capacity;
    while rig.dead_letters.stats().events < room {
        rig.dead_letters.put(events("d")).await.unwrap();
    }
    rig.reject(&[("m", Cause::Malformed)]);
    rig.put("a m b").await;
    let halted = tokio::time::timeout(Duration::from_millis(10), rig.step()).await;
    assert!(halted.is_err(), "it waits for room");
    assert_eq!(rig.delivered(), "a b");
    let stats = rig.channel.stats();
    assert_eq!((stats.events, stats.in_flight), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn malformed_without_dead_letters_waits_and_holds_nothing_up() {
    let mut rig = Rig::new("", false);
    rig.reject(&[("m", Cause::Malformed)]);
    rig.put("a m b").await;
    rig.step().await;
    rig.put("c").await;
    for _ in 0..9 {
        rig.step().await;
    }
    assert_eq!(
        (rig.delivered(), rig.channel.stats().in_flight),
        ("a b c".into(), 1)
    );
    assert_eq!(rig.cx.metrics.gauge("EventParkedCount").get(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_parked_batch_keeps_its_attempts_when_the_whole_delivery_fails() {
    let mut rig = Rig::new("malformedAttempts = 2", true);
    rig.reject(&[("m", Cause::Malformed)]);
    rig.put("m").await;
    rig.step().await;
    rig.sink.0.lock().down = true;
    while rig.runner.step(IDLE).await.is_ok() {}
    rig.sink.0.lock().down = false;
    while rig.dead_letters.stats().events == 0 {
        rig.step().await;
    }
    assert_eq!(rig.cx.metrics.counter("EventDeadLetterCount").get(), 1);
    assert_eq!(rig.channel.stats().in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn a_parked_batch_keeps_its_attempts_when_a_tick_fails() {
    let mut rig = Rig::new("", false);
    rig.reject(&[("m", Cause::Malformed)]);
    rig.put("m").await;
    rig.step().await;
    rig.sink.0.lock().tick_down = true;
    advance(Duration::from_secs(2)).await;
    assert!(rig.runner.step(IDLE).await.is_err());
    assert_eq!(rig.cx.metrics.gauge("EventParkedCount").get(), 1);
    assert_eq!(
        (rig.channel.stats().events, rig.channel.stats().in_flight),
        (0, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn a_rejection_said_twice_or_of_no_event_shifts_nothing() {
    let mut rig = Rig::new("", false);
    rig.reject(&[("x", Cause::NotNow), ("y", Cause::NotNow)]);
    rig.sink.0.lock().reject_places = vec![9, 1, 1];
    rig.put("a x y b").await;
    rig.step().await;
    assert_eq!(
        (rig.delivered(), rig.channel.stats().in_flight),
        ("a b".into(), 2)
    );
    rig.reject(&[]);
    rig.sink.0.lock().reject_places.clear();
    while rig.channel.stats().in_flight > 0 {
        rig.step().await;
    }
    assert_eq!(rig.delivered(), "a b x y");
}

/// A batch may be rejected as a whole, so it is no larger than what may still be parked.
#[tokio::test(start_paused = true)]
async fn what_is_parked_bounds_the_next_batch() {
    let mut rig = Rig::new("parkedEvents = 3", false);
    rig.reject(&[("x", Cause::NotNow)]);
    rig.put("x x a b").await;
    rig.step().await;
    rig.put("x x x x").await;
    rig.step().await;
    assert_eq!(rig.cx.metrics.gauge("EventParkedCount").get(), 3);
    assert_eq!(rig.channel.stats().events, 3);
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_fails_without_asking_for_a_pause_keeps_no_core_busy() {
    let Rig {
        runner,
        sink,
        stop,
        switch,
        ..
    } = {
        let rig = Rig::new("", false);
        rig.put("a").await;
        rig.sink.0.lock().down_without_pause = true;
        rig
    };
    let mut processor = build::<dyn SinkProcessor>(
        &REGISTRY,
        "default",
        "",
        &Context::new("a1.sinks.k1", &["k1"]),
    );
    let mut sinks = [runner];
    tokio::join!(run_sinks(&mut *processor, &mut sinks, &stop), async {
        tokio::time::sleep(Duration::from_secs(10)).await;
        switch.turn(Phase::Halt);
    });
    // At once, after 2, 4 and 5 seconds.
    assert_eq!(sink.0.lock().attempts, 4);
}

#[tokio::test(start_paused = true)]
async fn an_idle_sink_ticks_every_second_and_wakes_on_the_put() {
    let mut rig = Rig::new("", false);
    for _ in 0..3 {
        rig.step().await;
    }
    assert_eq!(rig.sink.0.lock().ticks, 3);
    let start = Instant::now();
    let channel = rig.channel.clone();
    let (step, ()) = tokio::join!(rig.step(), async {
        advance(Duration::from_millis(300)).await;
        channel.put(events("a")).await.unwrap();
    });
    assert_eq!(
        (step, start.elapsed().as_millis()),
        (SinkStep::Delivered, 300)
    );
}

#[tokio::test(start_paused = true)]
async fn linger_of_the_configuration_fills_batches() {
    let mut rig = Rig::new("batchLingerMs = 500", false);
    let channel = rig.channel.clone();
    tokio::join!(rig.step(), async {
        for word in ["a", "b", "c"] {
            channel.put(events(word)).await.unwrap();
            advance(Duration::from_millis(100)).await;
        }
    });
    assert_eq!(rig.delivered(), "a b c");
}

/// What a stop in this phase, ten milliseconds after the start, leaves: delivered, still in the channel.
async fn stopped(phase: Phase, reject: &'static str) -> (String, usize, Duration) {
    let Rig {
        runner,
        channel,
        sink,
        cx,
        stop,
        switch,
        ..
    } = Rig::new("batchLingerMs = 60000", false);
    sink.0.lock().reject = vec![(reject, Cause::NotNow)];
    channel.put(events("a x b c d e")).await.unwrap();
    let start = Instant::now();
    let mut processor = build::<dyn SinkProcessor>(
        &REGISTRY,
        "default",
        "",
        &Context::new("a1.sinks.k1", &["k1"]),
    );
    let mut sinks = [runner];
    tokio::join!(run_sinks(&mut *processor, &mut sinks, &stop), async {
        advance(Duration::from_millis(10)).await;
        switch.turn(phase);
        if reject == "x" {
            advance(Duration::from_millis(1500)).await;
            sink.0.lock().reject.clear();
        }
    });
    assert_eq!(channel.stats().in_flight, 0);
    assert_eq!(cx.state.get().0, State::Stopped);
    (
        sink.0.lock().delivered.join(" "),
        channel.stats().events,
        start.elapsed(),
    )
}

#[tokio::test(start_paused = true)]
async fn a_draining_sink_waits_for_nothing_but_what_is_parked() {
    let (delivered, left, elapsed) = stopped(Phase::Drain, "").await;
    assert_eq!(
        (delivered.as_str(), left, elapsed.as_millis()),
        ("a x b c d e", 0, 10)
    );
    let (delivered, left, elapsed) = stopped(Phase::Drain, "x").await;
    assert_eq!((delivered.as_str(), left), ("a b c d e x", 0));
    assert!(elapsed >= Duration::from_secs(2), "{elapsed:?}");
}

#[tokio::test(start_paused = true)]
async fn a_halted_sink_finishes_its_step_and_returns_what_is_parked() {
    let (delivered, left, _) = stopped(Phase::Halt, "x").await;
    assert_eq!(delivered.split(' ').count() + left, 6, "{delivered}");
    assert!(left >= 1);
}

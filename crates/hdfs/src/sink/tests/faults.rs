//! Calls that fail or hang: nothing is lost, the rest flows, and files end under their final names.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{
    crashes,
    model::{Fault, Model},
    *,
};

/// Every call that a file meets on its way.
const CALLS: &[&str] = &["create", "write", "hflush", "close", "rename"];
const KINDS: &[FsErrorKind] = &[
    FsErrorKind::Retry,
    FsErrorKind::Permission,
    FsErrorKind::Quota,
    FsErrorKind::Gone,
    FsErrorKind::Name,
    FsErrorKind::Unsupported,
];

pub(super) fn on(model: &Model, text: &str, cx: &Context) -> HdfsSink {
    let mut sink = sink(
        &format!("hdfs.path = file:/x/%{{h}}\nhdfs.fileType = DataStream\n{text}"),
        cx,
    );
    let model = model.clone();
    sink.connect = Box::new(move || {
        let fs: Arc<dyn FileSystem> = Arc::new(model.clone());
        Box::pin(async move { Ok(fs) })
    });
    sink
}

/// Delivers as the runner does: what is rejected, or rolled back, comes again after a pause, until nothing is left.
async fn deliver_all(sink: &mut HdfsSink, words: &str) {
    let mut batch = events(words);
    for _ in 0..100 {
        sink.tick().await.unwrap();
        match sink.deliver(&batch).await {
            Ok(delivered) => {
                let again = delivered
                    .rejected
                    .iter()
                    .map(|rejected| batch[rejected.index].clone());
                batch = again.collect();
                if batch.is_empty() {
                    return;
                }
            }
            Err(error) => assert!(error.pause),
        }
        sleep(Duration::from_secs(5)).await;
    }
    panic!("not delivered: {batch:?}");
}

/// All files without the digits of their names.
fn shown(model: &Model) -> Vec<String> {
    let files = model.files();
    let plain = |name: &str| {
        name.chars()
            .filter(|c| !c.is_ascii_digit())
            .collect::<String>()
    };
    files
        .iter()
        .map(|(name, text)| format!("{}={text}", plain(name)))
        .collect()
}

fn words_in(model: &Model) -> Vec<String> {
    let files = model.files();
    files
        .iter()
        .flat_map(|(_, text)| {
            text.split_whitespace()
                .map(String::from)
                .collect::<Vec<_>>()
        })
        .collect()
}

/// Whether each word is there, and all files are closed under their final names.
pub(super) fn check(model: &Model, expected: &str, what: &str) {
    let found = words_in(model);
    for word in expected.split_whitespace() {
        let body = word.split_once(':').map_or(word, |(_, body)| body);
        assert!(
            found.iter().any(|found| found == body),
            "{what}: {body} is lost: {:?}",
            model.files()
        );
    }
    let unfinished = model
        .files()
        .into_iter()
        .find(|(name, _)| name.contains(".tmp") || name.contains("(open)"));
    assert_eq!(unfinished, None, "{what}: {:?}", model.files());
}

#[tokio::test(start_paused = true)]
async fn whatever_fails_once_or_more_nothing_is_lost() {
    for call in CALLS {
        let failures = KINDS
            .iter()
            .flat_map(|kind| [Fault::Fail(*kind), Fault::FailAfter(*kind)]);
        // A file system that refuses a file has made none.
        let possible = |fault: &Fault| !matches!(fault, Fault::FailAfter(kind) if *call == "create" && kind.is_refusal());
        for fault in failures
            .filter(possible)
            .chain([Fault::Hang, Fault::HangAfter])
        {
            for times in [1, 3] {
                let what = format!("{call} {fault:?} {times} times");
                let model = Model::default();
                let cx = Context::new("a1.sinks.k1", &["c1"]);
                let mut sink = on(&model, "hdfs.rollCount = 2\nhdfs.stopTimeout = 100000", &cx);
                sink.open().await.unwrap();
                deliver_all(&mut sink, "1:a 2:b 1:c").await;
                model.fault(call, "/x/", fault, times);
                deliver_all(&mut sink, "1:d 1:e 2:f 3:g").await;
                deliver_all(&mut sink, "1:h 2:i 3:j").await;
                sleep(Duration::from_secs(1000)).await;
                sink.close().await.unwrap();
                check(&model, "a b c d e f g h i j", &what);
                for gauge in ["FilesOpenCount", "FilesPendingCount", "FilesAbandonedCount"] {
                    assert_eq!(cx.metrics.number(gauge), 0, "{what} {gauge}");
                }
            }
        }
    }
}

/// The clock stands still but while everybody waits, so the time is exact.
#[tokio::test(start_paused = true)]
async fn a_batch_over_a_hundred_files_waits_for_the_slowest_flush_alone() {
    const SLOWEST: Duration = Duration::from_millis(900);
    let model = Model::default();
    let cx = Context::new("a1.sinks.k1", &["c1"]);
    let mut sink = on(&model, "hdfs.rollCount = 0\nhdfs.rollInterval = 0", &cx);
    sink.open().await.unwrap();
    let words: Vec<_> = (0..100)
        .map(|bucket| format!("b{bucket:02}:e{bucket:02}"))
        .collect();
    for bucket in 0..100 {
        let late = Fault::Late(SLOWEST / (1 + bucket % 9));
        model.fault("hflush", &format!("/x/b{bucket:02}/"), late, 1);
    }
    let begun = Instant::now();
    let delivered = sink.deliver(&events(&words.join(" "))).await.unwrap();
    assert_eq!(begun.elapsed(), SLOWEST);
    assert!(delivered.rejected.is_empty(), "{:?}", delivered.rejected);
    assert_eq!(model.calls("hflush").len(), 100);
}

#[tokio::test(start_paused = true)]
async fn one_bad_bucket_of_a_hundred_stops_no_other() {
    for (call, fault) in [
        ("create", Fault::Fail(FsErrorKind::Permission)),
        ("create", Fault::Fail(FsErrorKind::Quota)),
        ("write", Fault::Fail(FsErrorKind::Retry)),
        ("hflush", Fault::Hang),
    ] {
        let model = Model::default();
        let cx = Context::new("a1.sinks.k1", &["c1"]);
        let mut sink = on(
            &model,
            "hdfs.rollCount = 0\nhdfs.rollSize = 0\nhdfs.rollInterval = 0",
            &cx,
        );
        sink.open().await.unwrap();
        model.fault(call, "/x/bad", fault, usize::MAX);
        let mut again = events("");
        for round in 0..20 {
            let words: Vec<_> = (1..100)
                .map(|bucket| format!("b{bucket}:{bucket}-{round}"))
                .collect();
            let batch = events(&format!("bad:bad-{round} {}", words.join(" ")));
            let delivered = sink.deliver(&batch).await.unwrap();
            let [rejected] = &delivered.rejected[..] else {
                panic!("{call}: {:?}", delivered.rejected)
            };
            assert_eq!(
                (rejected.index, rejected.cause),
                (0, Cause::NotNow),
                "{call}"
            );
            again.push(batch[0].clone());
            assert_eq!(cx.metrics.number("BucketsFailing"), 1);
            sleep(Duration::from_secs(1)).await;
        }
        // Each good event once: nothing was written again for the bad one's sake.
        let good = words_in(&model)
            .into_iter()
            .filter(|word| !word.starts_with("bad"))
            .count();
        assert_eq!(good, 99 * 20, "{call}");
        assert!(
            model.calls(&format!("{call} /x/bad")).len() <= 6,
            "{call}: {:?}",
            model.calls("create /x/bad")
        );
        // A batch of its events alone: the others are known to flow, so it does not hold them up.
        assert_eq!(
            sink.deliver(&again).await.unwrap().rejected.len(),
            20,
            "{call}"
        );
        model.heal();
        sleep(Duration::from_secs(20)).await;
        assert!(
            sink.deliver(&again).await.unwrap().rejected.is_empty(),
            "{call}"
        );
        assert_eq!(cx.metrics.number("BucketsFailing"), 0);
        sleep(Duration::from_secs(1000)).await;
        sink.close().await.unwrap();
        check(&model, "bad-0 bad-19 1-0 99-19", call);
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_system_that_is_down_makes_the_sink_fail_and_no_names() {
    let model = Model::default();
    let cx = Context::new("a1.sinks.k1", &["c1"]);
    let mut sink = on(&model, "", &cx);
    sink.open().await.unwrap();
    for call in ["create", "length"] {
        model.fault(call, "/", Fault::Fail(FsErrorKind::Retry), usize::MAX);
    }
    for _ in 0..10 {
        let error = sink.deliver(&events("1:a 2:b")).await.unwrap_err();
        assert!(flume_core::with_causes(&error).contains("/x/"), "{error}");
        sleep(Duration::from_secs(5)).await;
    }
    let mut created = model.calls("create");
    created.sort();
    created.dedup();
    assert_eq!(created.len(), 2, "{created:?}");
    model.heal();
    deliver_all(&mut sink, "1:a 2:b").await;
    sink.close().await.unwrap();
    assert_eq!(shown(&model), ["/x//FlumeData.=a", "/x//FlumeData.=b"]);
}

#[tokio::test(start_paused = true)]
async fn a_single_bucket_that_fails_is_the_sinks_failure() {
    let model = Model::default();
    let cx = Context::new("a1.sinks.k1", &["c1"]);
    let mut sink = on(&model, "hdfs.path = file:/x", &cx);
    sink.open().await.unwrap();
    model.fault("create", "/x", Fault::Fail(FsErrorKind::Permission), 1);
    let error = flume_core::with_causes(&sink.deliver(&events("a")).await.unwrap_err());
    assert!(
        error.contains("write a batch: failed to create /x/FlumeData."),
        "{error}"
    );
    deliver_all(&mut sink, "a").await;
    sink.close().await.unwrap();
    assert_eq!(shown(&model), ["/x/FlumeData.=a"]);
}

#[tokio::test(start_paused = true)]
async fn names_that_are_taken_are_left_alone() {
    let model = Model::default();
    let cx = Context::new("a1.sinks.k1", &["c1"]);
    let mut sink = on(&model, "hdfs.fileSuffix = .log", &cx);
    sink.open().await.unwrap();
    deliver_all(&mut sink, "1:a").await;
    let (name, _) = model.files().remove(0);
    let name = name.trim_end_matches(" (open)").trim_end_matches(".tmp");
    model.put(name, "other");
    sink.close().await.unwrap();
    assert_eq!(model.files()[0], (name.to_string(), "other".to_string()));
    let number = |name: &str| name.split('.').nth(1).unwrap().parse::<u64>().unwrap();
    assert_eq!(number(&model.files()[1].0), number(name) + 1);
    assert_eq!(
        shown(&model),
        ["/x//FlumeData..log=other", "/x//FlumeData..log=a"]
    );
}

#[tokio::test(start_paused = true)]
async fn attempts_to_finish_a_file_are_counted_and_spaced() {
    for (text, attempts, seconds) in [
        ("hdfs.closeTries = 3\nhdfs.retryInterval = 10", 3, 20),
        ("hdfs.closeTries = 5\nhdfs.retryInterval = 0", 1, 0),
        ("hdfs.closeTries = 1", 1, 0),
    ] {
        let model = Model::default();
        let cx = Context::new("a1.sinks.k1", &["c1"]);
        let mut sink = on(&model, &format!("hdfs.rollCount = 1\n{text}"), &cx);
        sink.open().await.unwrap();
        model.fault(
            "rename",
            "/x/1",
            Fault::Fail(FsErrorKind::Retry),
            usize::MAX,
        );
        deliver_all(&mut sink, "1:a 1:b").await;
        let start = Instant::now();
        while cx.metrics.number("FilesPendingCount") > 0 {
            sink.open
                .as_mut()
                .unwrap()
                .closer
                .next(Duration::from_secs(1))
                .await;
        }
        let took = start.elapsed().as_secs();
        assert_eq!(
            (model.calls("rename").len(), took),
            (attempts, seconds),
            "{text}"
        );
        assert_eq!(cx.metrics.number("FilesAbandonedCount"), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_asked_for_until_it_is_recovered() {
    let model = Model::default();
    let cx = Context::new("a1.sinks.k1", &["c1"]);
    let mut sink = on(&model, "hdfs.rollCount = 0", &cx);
    sink.open().await.unwrap();
    deliver_all(&mut sink, "1:a").await;
    model.set_slow_recoveries(5);
    model.fault("hflush", "/x/1", Fault::Fail(FsErrorKind::Retry), 1);
    deliver_all(&mut sink, "1:b").await;
    sleep(Duration::from_secs(60)).await;
    sink.close().await.unwrap();
    assert_eq!(model.calls("recover").len(), 6);
    check(&model, "a b", "slow recovery");
    assert_eq!(shown(&model), ["/x//FlumeData.=a", "/x//FlumeData.=b"]);
}

/// Three minutes are the pause between attempts.
#[tokio::test(start_paused = true)]
async fn a_file_system_that_was_away_is_asked_again_within_seconds() {
    let model = Model::default();
    let cx = Context::new("a1.sinks.k1", &["c1"]);
    let mut sink = on(&model, "hdfs.rollCount = 0", &cx);
    sink.open().await.unwrap();
    deliver_all(&mut sink, "1:a").await;
    model.fault("recover", "/x/1", Fault::Fail(FsErrorKind::Retry), 4);
    model.fault("hflush", "/x/1", Fault::Fail(FsErrorKind::Retry), 1);
    deliver_all(&mut sink, "1:b").await;
    sleep(Duration::from_secs(5)).await;
    assert_eq!(
        shown(&model),
        ["/x//FlumeData.=a", "/x//FlumeData..tmp (open)=b"]
    );
    // A stop does not wait for one that is still away.
    model.fault("close", "/x/1", Fault::Fail(FsErrorKind::Retry), 1);
    model.fault(
        "recover",
        "/x/1",
        Fault::Fail(FsErrorKind::Retry),
        usize::MAX,
    );
    let start = Instant::now();
    sink.close().await.unwrap();
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(cx.metrics.number("FilesAbandonedCount"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_was_refused_is_not_looked_for() {
    for kind in [
        FsErrorKind::Permission,
        FsErrorKind::Quota,
        FsErrorKind::Name,
    ] {
        let state = tempfile::tempdir().unwrap();
        let model = Model::default();
        let cx = crashes::context(state.path());
        let mut sink = on(&model, "", &cx);
        sink.open().await.unwrap();
        model.fault("create", "/x/bad", Fault::Fail(kind), usize::MAX);
        model.fault("recover", "/x/bad", Fault::Fail(kind), usize::MAX);
        sink.deliver(&events("good:a bad:b")).await.unwrap();
        assert_eq!(
            sink.open
                .as_ref()
                .unwrap()
                .journal
                .as_ref()
                .unwrap()
                .unfinished()
                .len(),
            1,
            "{kind:?}"
        );
        sink.close().await.unwrap();
        assert_eq!(model.calls("recover"), Vec::<String>::new(), "{kind:?}");
        assert_eq!(cx.metrics.number("FilesAbandonedCount"), 0, "{kind:?}");
        check(&model, "a", "a good one");
    }
}

/// The answer to the first call was lost: whatever the next ones bring, that file is looked after.
#[tokio::test(start_paused = true)]
async fn a_file_in_doubt_is_looked_for_although_it_was_refused_later() {
    let model = Model::default();
    let cx = Context::new("a1.sinks.k1", &["c1"]);
    let mut sink = on(&model, "", &cx);
    sink.open().await.unwrap();
    model.fault("create", "/x/1", Fault::FailAfter(FsErrorKind::Retry), 1);
    model.fault("create", "/x/1", Fault::Fail(FsErrorKind::Permission), 1);
    for _ in 0..2 {
        assert_eq!(
            sink.deliver(&events("1:a 2:b"))
                .await
                .unwrap()
                .rejected
                .len(),
            1
        );
        sleep(Duration::from_secs(20)).await;
    }
    deliver_all(&mut sink, "1:a").await;
    sleep(Duration::from_secs(100)).await;
    sink.close().await.unwrap();
    check(&model, "a", "in doubt");
    let names: Vec<_> = model
        .files()
        .into_iter()
        .map(|(name, _)| name)
        .filter(|name| name.contains("/1/"))
        .collect();
    assert_eq!(names.len(), 1, "{names:?}");
}

/// A path that begins with a header is below the home directory, unless headers may say anything.
#[tokio::test(start_paused = true)]
async fn a_header_in_front_makes_no_path_absolute() {
    for (values, expected) in [
        ("PATH", "/home/etc/x/FlumeData..tmp"),
        ("NAME", "/home/%Fetc/x/FlumeData..tmp"),
        ("ANY", "/etc/x/FlumeData..tmp"),
    ] {
        let model = Model::default();
        let cx = Context::new("a1.sinks.k1", &["c1"]);
        let text = format!("hdfs.path = file:%{{h}}/x\nhdfs.headerValues = {values}");
        let mut sink = on(&model, &text, &cx);
        sink.open().await.unwrap();
        assert!(
            sink.deliver(&events("/etc:a"))
                .await
                .unwrap()
                .rejected
                .is_empty()
        );
        assert_eq!(shown(&model), [format!("{expected} (open)=a")], "{values}");
        sink.close().await.unwrap();
    }
}

/// Were they to go elsewhere at once, a late write could still bring them into the old file as well.
#[tokio::test(start_paused = true)]
async fn events_go_elsewhere_when_the_file_they_were_for_is_closed_or_half_a_minute_after() {
    for path in ["file:/x/%{h}", "file:/x/1"] {
        for (recovery, waits) in [(0, 0), (4, 3), (usize::MAX, 30)] {
            let model = Model::default();
            let cx = Context::new("a1.sinks.k1", &["c1"]);
            let mut sink = on(
                &model,
                &format!("hdfs.path = {path}\nhdfs.rollCount = 0"),
                &cx,
            );
            sink.open().await.unwrap();
            deliver_all(&mut sink, "1:a").await;
            model.set_slow_recoveries(recovery);
            model.fault("hflush", "/x/1", Fault::Fail(FsErrorKind::Retry), 1);
            let start = Instant::now();
            while sink
                .deliver(&events("1:b"))
                .await
                .map_or(true, |done| !done.rejected.is_empty())
            {
                assert_eq!(
                    model.calls("create").len(),
                    1,
                    "{path}: a new file beside one that is open"
                );
                sleep(Duration::from_millis(100)).await;
            }
            let waited = start.elapsed();
            assert!(waited >= Duration::from_secs(waits), "{path}: {waited:?}");
            assert!(
                waited <= Duration::from_secs(waits + 2),
                "{path}: {waited:?}"
            );
            assert_eq!(
                model.files()[0].0.ends_with("(open)"),
                waits == 30,
                "{path}"
            );
            model.set_slow_recoveries(0);
            sleep(Duration::from_secs(100)).await;
            sink.close().await.unwrap();
            check(&model, "a b", path);
        }
    }
}

/// Users write the largest number there is where they mean never.
#[tokio::test(start_paused = true)]
async fn the_longest_times_are_no_overflow() {
    let longest = i64::MAX;
    let text = format!(
        "hdfs.rollInterval = {longest}\nhdfs.idleTimeout = {longest}\nhdfs.retryInterval = {longest}
         hdfs.callTimeout = {longest}\nhdfs.stopTimeout = {longest}"
    );
    let model = Model::default();
    let cx = Context::new("a1.sinks.k1", &["c1"]);
    let mut sink = on(&model, &text, &cx);
    sink.open().await.unwrap();
    deliver_all(&mut sink, "1:a").await;
    assert!(sink.close_timeout() > Duration::from_secs(3600));
    sink.close().await.unwrap();
    check(&model, "a", "never");
}

#[tokio::test(start_paused = true)]
async fn events_with_a_name_that_no_file_can_have_are_malformed() {
    for (kind, cause) in [
        (FsErrorKind::Name, Cause::Malformed),
        (FsErrorKind::Unsupported, Cause::NotNow),
    ] {
        let model = Model::default();
        let cx = Context::new("a1.sinks.k1", &["c1"]);
        let mut sink = on(&model, "", &cx);
        sink.open().await.unwrap();
        model.fault("create", "/x/bad", Fault::Fail(kind), usize::MAX);
        let rejected = sink
            .deliver(&events("good:a bad:b"))
            .await
            .unwrap()
            .rejected;
        assert_eq!(
            rejected
                .iter()
                .map(|event| (event.index, event.cause))
                .collect::<Vec<_>>(),
            [(1, cause)]
        );
        sink.close().await.unwrap();
        check(&model, "a", "a good one");
    }
    let long = "n".repeat(300);
    let dir = tempfile::tempdir().unwrap();
    let cx = Context::new("a1.sinks.k1", &["c1"]);
    let path = format!(
        "hdfs.path = file:{}/%{{h}}\nhdfs.fileType = DataStream",
        dir.path().display()
    );
    let mut sink = sink(&path, &cx);
    sink.open().await.unwrap();
    let rejected = sink
        .deliver(&events(&format!("{long}:a z\0ro:b c:c")))
        .await
        .unwrap()
        .rejected;
    assert_eq!(rejected.len(), 2, "{rejected:?}");
    assert!(
        rejected.iter().all(|event| event.cause == Cause::Malformed),
        "{rejected:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn lost_replicas_complete_files_thirty_times_and_other_limits_hold_on() {
    let model = Model::default();
    let cx = Context::new("a1.sinks.k1", &["c1"]);
    let text =
        "hdfs.minBlockReplicas = 2\nhdfs.rollCount = 5\nhdfs.rollSize = 0\nhdfs.rollInterval = 0";
    let mut sink = on(&model, text, &cx);
    sink.open().await.unwrap();
    model.set_live_replicas(1);
    for _ in 0..41 {
        deliver_all(&mut sink, "1:a").await;
    }
    // 30 files of one event, then two of five, and one that is open.
    assert_eq!(cx.metrics.number("ConnectionCreatedCount"), 33);
    model.set_live_replicas(2);
    deliver_all(&mut sink, "1:a").await;
    model.set_live_replicas(1);
    deliver_all(&mut sink, "1:a").await;
    assert_eq!(cx.metrics.number("ConnectionCreatedCount"), 34);
    sink.close().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stop_is_bounded() {
    for (call, fault, left) in [
        ("rename", Fault::Hang, 3),
        ("close", Fault::Hang, 0),
        ("rename", Fault::Fail(FsErrorKind::Retry), 3),
    ] {
        let model = Model::default();
        let cx = Context::new("a1.sinks.k1", &["c1"]);
        let mut sink = on(
            &model,
            "hdfs.stopTimeout = 40\nhdfs.callTimeout = 30000",
            &cx,
        );
        sink.open().await.unwrap();
        deliver_all(&mut sink, "1:a 2:b 3:c").await;
        model.fault(call, "/x", fault, usize::MAX);
        let start = Instant::now();
        sink.close().await.unwrap();
        assert!(
            start.elapsed() <= Duration::from_secs(41),
            "{call} {fault:?}: {:?}",
            start.elapsed()
        );
        assert_eq!(
            cx.metrics.number("FilesAbandonedCount"),
            left,
            "{call} {fault:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn files_that_cannot_be_closed_do_not_pile_up() {
    let model = Model::default();
    let cx = Context::new("a1.sinks.k1", &["c1"]);
    let mut sink = on(
        &model,
        "hdfs.rollCount = 1\nhdfs.maxOpenFiles = 10\nhdfs.retryInterval = 10",
        &cx,
    );
    sink.open().await.unwrap();
    model.fault("rename", "/x", Fault::Fail(FsErrorKind::Retry), usize::MAX);
    deliver_all(&mut sink, "1:a 1:b 1:c 1:d 1:e 1:f 1:g 1:h 1:i 1:j 1:k 1:l").await;
    let error = flume_core::with_causes(&sink.deliver(&events("1:m")).await.unwrap_err());
    assert!(
        error.contains("open more files: 11 wait to be closed"),
        "{error}"
    );
    model.heal();
    sleep(Duration::from_secs(20)).await;
    deliver_all(&mut sink, "1:m").await;
    sink.close().await.unwrap();
    check(&model, "a l m", "piled up");
}

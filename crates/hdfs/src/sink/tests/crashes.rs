//! The process dies between any two calls: every committed event is in a file, and every file is finished later.

use flume_core::AgentInfo;
use tokio::time::{Duration, sleep};

use super::{
    faults::{check, on},
    model::{Crash, Model},
    *,
};

/// What is delivered, a batch each; buckets `1` and `2`, files of two events.
const BATCHES: &[&str] = &["1:a 2:b 1:c", "1:d", "2:e 1:f 1:g 1:h", "1:i 2:j"];

pub(super) fn context(state: &std::path::Path) -> Context {
    let agent = AgentInfo {
        name: "a1".into(),
        state_dir: state.into(),
        ..AgentInfo::default()
    };
    Context::of_agent("a1.sinks.k1", vec!["c1".into()], Arc::new(agent))
}

/// Delivers the batches from the first that is not committed; counts those that are.
async fn run(sink: &mut HdfsSink, committed: &mut usize) {
    sink.open().await.unwrap();
    while let Some(batch) = BATCHES.get(*committed) {
        sink.tick().await.unwrap();
        let delivered = sink.deliver(&events(batch)).await.unwrap();
        assert!(delivered.rejected.is_empty());
        *committed += 1;
        // Closing goes on meanwhile.
        tokio::task::yield_now().await;
    }
    sink.close().await.unwrap();
}

/// Whether the process died.
async fn run_until_crash(model: &Model, cx: &Context, committed: &mut usize) -> bool {
    let mut sink = on(model, "hdfs.rollCount = 2\nhdfs.callTimeout = 0", cx);
    tokio::select! {
        () = run(&mut sink, committed) => false,
        () = model.crashed() => true,
    }
}

async fn crash_at(crash: Crash, kept: bool) -> bool {
    let model = Model::default();
    let state = tempfile::tempdir().unwrap();
    let cx = context(state.path());
    let mut committed = 0;
    model.crash(crash);
    let crashed = run_until_crash(&model, &cx, &mut committed).await;
    model.restart(kept);
    let what = format!("{crash:?}, unflushed bytes kept: {kept}, {committed} batches committed");
    // What readers can see, or can once the lease is recovered.
    let found: String = model
        .files()
        .into_iter()
        .map(|(_, text)| text + " ")
        .collect();
    for word in BATCHES[..committed]
        .iter()
        .flat_map(|batch| batch.split_whitespace())
    {
        let body = word.split_once(':').unwrap().1;
        assert!(
            found.split_whitespace().any(|found| found == body),
            "{what}: {body} is lost: {:?}",
            model.files()
        );
    }
    // The tasks of the dead process are gone once they have been looked at.
    sleep(Duration::from_millis(1)).await;
    assert!(!run_until_crash(&model, &cx, &mut committed).await);
    check(&model, &BATCHES.join(" "), &what);
    assert!(
        model.files().iter().all(|(_, text)| !text.is_empty()),
        "{what}: {:?}",
        model.files()
    );
    crashed
}

#[tokio::test(start_paused = true)]
async fn whenever_the_process_dies_nothing_committed_is_lost_and_every_file_is_finished() {
    for kept in [false, true] {
        let mut step = 0;
        while crash_at(Crash::Before(step), kept).await {
            assert!(crash_at(Crash::After(step), kept).await);
            step += 1;
        }
        assert!(step > 30, "{step} steps");
    }
}

#[tokio::test(start_paused = true)]
async fn files_left_may_be_only_reported() {
    let model = Model::default();
    let state = tempfile::tempdir().unwrap();
    let cx = context(state.path());
    let mut committed = 0;
    model.crash(Crash::Before(12));
    assert!(run_until_crash(&model, &cx, &mut committed).await);
    model.restart(false);
    let before = model.files();
    let mut sink = on(&model, "hdfs.finishLeftFiles = false", &cx);
    sink.open().await.unwrap();
    sink.close().await.unwrap();
    assert_eq!(model.files(), before);
    // They are still known.
    let mut sink = on(&model, "", &cx);
    sink.open().await.unwrap();
    sink.close().await.unwrap();
    check(&model, "", "finished later");
}

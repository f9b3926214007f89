//! Components that are programs: `examples/plugin.rs` as a source, a sink, an interceptor and a serializer.

use std::{fs, path::PathBuf, time::Duration};

use flume_bridge::REGISTRY;
use flume_core::{Context, EventSerializer, Interceptor, Registry, Sink};
use flume_testkit::{
    parts::{build, events},
    sink_contract::SinkUnderTest,
    source::RunningSource,
};

/// With channels and selectors around them.
const ALL: Registry = Registry {
    includes: &[&REGISTRY, &flume_components::REGISTRY],
    ..Registry::EMPTY
};

/// The example, which cargo builds before it runs tests.
fn plugin() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let target = test.parent().and_then(|deps| deps.parent()).unwrap();
    target.join("examples/plugin")
}

fn sink_writing_to(file: &std::path::Path, more: &str) -> (Box<dyn Sink>, Context) {
    let cx = Context::new("a1.sinks.k1", &["c1"]);
    let text = format!(
        "command = {}\nconfig.file = {}\n{more}",
        plugin().display(),
        file.display()
    );
    (build(&REGISTRY, "process", &text, &cx), cx)
}

fn sink() -> SinkUnderTest {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("out");
    let (sink, cx) = sink_writing_to(&file, "");
    let lines = move || {
        let text = fs::read_to_string(&file).unwrap_or_default();
        text.lines().map(String::from).collect()
    };
    SinkUnderTest {
        sink,
        cx,
        delivered: Some(Box::new(lines)),
        holds: Box::new(dir),
    }
}

flume_testkit::sink_contract!(sink);

#[tokio::test]
async fn what_a_sink_has_not_used_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("out");
    let (mut sink, _) = sink_writing_to(&file, "config.fail = refuse x");
    sink.open().await.unwrap();
    let delivered = sink.deliver(&events("a b x c")).await.unwrap();
    let kept = delivered.kept.unwrap();
    assert_eq!(kept.from, 2);
    assert!(
        flume_core::with_causes(&kept.why).ends_with("x is refused"),
        "{}",
        kept.why
    );
    assert!(sink.deliver(&events("x")).await.is_err());
    assert_eq!(fs::read_to_string(&file).unwrap(), "a\nb\n");
}

#[tokio::test]
async fn a_sink_that_dies_fails_the_batch_and_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("out");
    let (mut sink, _) = sink_writing_to(&file, "config.fail = die at x");
    sink.open().await.unwrap();
    let error = sink.deliver(&events("a x")).await.unwrap_err();
    let text = flume_core::with_causes(&error);
    assert!(text.contains("ended with exit status: 9"), "{text}");
    let delivered = sink.deliver(&events("b")).await.unwrap();
    assert!(delivered.kept.is_none() && delivered.rejected.is_empty());
    assert_eq!(fs::read_to_string(&file).unwrap(), "a\nb\n");
}

#[tokio::test]
async fn a_program_that_is_not_there_is_named() {
    let cx = Context::new("a1.sinks.k1", &["c1"]);
    let text = "command = /no/such/program --option";
    let mut sink: Box<dyn Sink> = build(&REGISTRY, "process", text, &cx);
    let error = flume_core::with_causes(&sink.open().await.unwrap_err());
    assert!(
        error.contains("failed to start /no/such/program"),
        "{error}"
    );
}

#[tokio::test]
async fn a_program_that_speaks_otherwise_is_ended() {
    let cx = Context::new("a1.sinks.k1", &["c1"]);
    let mut sink: Box<dyn Sink> =
        build(&REGISTRY, "process", "command = /bin/echo hello there", &cx);
    let error = flume_core::with_causes(&sink.open().await.unwrap_err());
    assert!(error.contains("a frame of"), "{error}");
}

#[test]
fn an_interceptor_edits_and_drops() {
    let cx = Context::new("a1.sources.r1.interceptors.i1", &[]);
    let text = format!("command = {}", plugin().display());
    let interceptor: Box<dyn Interceptor> = build(&REGISTRY, "process", &text, &cx);
    let mut batch = events("a #b c");
    interceptor.intercept(&mut batch).unwrap();
    let bodies: Vec<_> = batch.iter().map(|event| &event.body[..]).collect();
    assert_eq!(bodies, [b"a", b"c"]);
    assert!(
        batch
            .iter()
            .all(|event| event.headers.get("marked").is_some())
    );
}

#[tokio::test]
async fn events_of_a_source_reach_the_channel() {
    let text = format!("command = {}\nconfig.count = 3", plugin().display());
    let source = RunningSource::start(&ALL, "process", &text);
    let taken = source.take(3).await;
    let bodies: Vec<_> = taken.iter().map(|event| &event.body[..]).collect();
    assert_eq!(bodies, [b"0", b"1", b"2"]);
    let _ = tokio::time::timeout(Duration::from_secs(60), source.stop())
        .await
        .unwrap();
}

fn serializer() -> Box<dyn EventSerializer> {
    let cx = Context::new("a1.sinks.k1.serializer", &[]);
    let text = format!("command = {}", plugin().display());
    build(&REGISTRY, "process", &text, &cx)
}

#[test]
fn a_serializer_gets_a_batch_at_once_and_ends_the_file() {
    let mut serializer = serializer();
    let mut out = vec![];
    serializer.begin(&mut out);
    let batch = events("a ! b");
    serializer.prepare(&mut batch.iter()).unwrap();
    let refused: Vec<_> = batch
        .iter()
        .map(|event| serializer.write(event, &mut out).err())
        .collect();
    assert_eq!(refused, [None, Some("! is refused".into()), None]);
    serializer.flush(&mut out);
    assert_eq!(out, b"{\na\nb\n}\n");
    let more = events("!");
    serializer.prepare(&mut more.iter()).unwrap();
    let length = out.len();
    assert!(serializer.write(&more[0], &mut out).is_err());
    assert_eq!(
        out.len(),
        length,
        "a refused event leaves the file as it was"
    );
    serializer.flush(&mut out);
    serializer.end(&mut out);
    assert_eq!(out, b"{\na\nb\n}\n{\n}\nend\n");
}

/// It was answered as written.
#[test]
fn an_event_that_comes_out_with_a_refused_one_is_in_the_file() {
    let mut serializer = serializer();
    let mut out = vec![];
    let batch = events("~ !");
    serializer.prepare(&mut batch.iter()).unwrap();
    assert_eq!(serializer.write(&batch[0], &mut out), Ok(()));
    assert!(serializer.write(&batch[1], &mut out).is_err());
    serializer.flush(&mut out);
    assert_eq!(out, b"{\n~\n}\n");
}

/// What the process knew of the file is lost with it, so the file must not go on.
#[test]
fn a_serializer_that_dies_ends_its_file() {
    let mut serializer = serializer();
    let mut out = vec![];
    let error = serializer.prepare(&mut events("x").iter()).unwrap_err();
    assert!(error.contains("ended with exit status: 9"), "{error}");
    assert!(serializer.prepare(&mut events("a").iter()).is_err());
    serializer.flush(&mut out);
    serializer.end(&mut out);
    assert!(out.is_empty());
}

#[tokio::test]
async fn a_native_sink_writes_what_a_serializer_elsewhere_makes() {
    let dir = tempfile::tempdir().unwrap();
    let cx = Context::new("a1.sinks.k1", &["c1"]);
    let text = format!(
        "sink.directory = {}\nsink.serializer = process\nsink.serializer.command = {}",
        dir.path().display(),
        plugin().display()
    );
    let mut sink: Box<dyn Sink> = build(&ALL, "file_roll", &text, &cx);
    sink.open().await.unwrap();
    let delivered = sink.deliver(&events("a ! b")).await.unwrap();
    let rejected: Vec<_> = delivered.rejected.iter().map(|it| it.index).collect();
    assert_eq!(rejected, [1]);
    let error = sink.deliver(&events("c x")).await.unwrap_err();
    let text = flume_core::with_causes(&error);
    assert!(text.contains("ended with exit status: 9"), "{text}");
    assert!(sink.deliver(&events("x")).await.is_err());
    sink.deliver(&events("c")).await.unwrap();
    sink.close().await.unwrap();
    let mut files: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort_by_key(|path| fs::metadata(path).unwrap().modified().unwrap());
    let texts: Vec<_> = files
        .iter()
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    assert_eq!(texts, ["{\na\nb\n}\n", "{\nc\n}\nend\n"]);
}

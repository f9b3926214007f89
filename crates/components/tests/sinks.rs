//! The contract of sinks for each of them, and what is `file_roll`'s own.

use std::{fs, path::Path, time::Duration};

use flume_components::REGISTRY;
use flume_core::{Cause, Context, Sink};
use flume_testkit::{
    parts::{build, events},
    sink_contract::SinkUnderTest,
};
use tokio::time::advance;

fn quiet(name: &str) -> SinkUnderTest {
    let cx = Context::new("a1.sinks.k1", &["c1"]);
    SinkUnderTest {
        sink: build(&REGISTRY, name, "", &cx),
        cx,
        delivered: None,
        holds: Box::new(()),
    }
}

fn null() -> SinkUnderTest {
    quiet("null")
}

fn logger() -> SinkUnderTest {
    quiet("logger")
}

fn file_roll() -> SinkUnderTest {
    let cx = Context::new("a1.sinks.k1", &["c1"]);
    let dir = tempfile::tempdir().unwrap();
    let sink = in_directory(dir.path(), "", &cx);
    let path = dir.path().to_path_buf();
    let lines = move || contents(&path).concat().lines().map(String::from).collect();
    SinkUnderTest {
        sink,
        cx,
        delivered: Some(Box::new(lines)),
        holds: Box::new(dir),
    }
}

mod null_contract {
    flume_testkit::sink_contract!(super::null);
}

mod logger_contract {
    flume_testkit::sink_contract!(super::logger);
}

mod file_roll_contract {
    flume_testkit::sink_contract!(super::file_roll);
}

fn in_directory(dir: &Path, more: &str, cx: &Context) -> Box<dyn Sink> {
    build(
        &REGISTRY,
        "file_roll",
        &format!("sink.directory = {}\n{more}", dir.display()),
        cx,
    )
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn contents(dir: &Path) -> Vec<String> {
    names(dir)
        .iter()
        .map(|name| fs::read_to_string(dir.join(name)).unwrap())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn files_roll_by_time_also_while_nothing_comes() {
    for (interval, expected) in [
        ("", &["abc", "d"][..]),
        ("sink.rollInterval = 0", &["abcd"]),
        ("sink.rollInterval = -1", &["abcd"]),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let cx = Context::new("a1.sinks.k1", &["c1"]);
        let mut sink = in_directory(
            dir.path(),
            &format!("sink.serializer.appendNewline = false\n{interval}"),
            &cx,
        );
        sink.open().await.unwrap();
        sink.deliver(&events("a b")).await.unwrap();
        sink.tick().await.unwrap();
        sink.deliver(&events("c")).await.unwrap();
        advance(Duration::from_secs(31)).await;
        sink.tick().await.unwrap();
        sink.deliver(&events("d")).await.unwrap();
        sink.close().await.unwrap();
        assert_eq!(contents(dir.path()), expected, "{interval}");
        assert_eq!(
            cx.metrics.counter("ConnectionCreatedCount").get(),
            expected.len() as u64
        );
        assert_eq!(
            cx.metrics.counter("ConnectionClosedCount").get(),
            expected.len() as u64
        );
    }
}

#[tokio::test]
async fn names_as_flume_makes_them() {
    for (manager, digits) in [("DEFAULT", 13), ("ROLLTIME", 14)] {
        let dir = tempfile::tempdir().unwrap();
        let cx = Context::new("a1.sinks.k1", &["c1"]);
        let more = format!(
            "sink.pathManager = {manager}\nsink.pathManager.prefix = web-\nsink.pathManager.extension = log\nsink.syncOnCommit = true"
        );
        let mut sink = in_directory(dir.path(), &more, &cx);
        sink.open().await.unwrap();
        sink.deliver(&events("a")).await.unwrap();
        sink.close().await.unwrap();
        let names = names(dir.path());
        let series = names[0]
            .strip_prefix("web-")
            .and_then(|name| name.strip_suffix("-1.log"))
            .unwrap_or(&names[0]);
        assert!(
            series.len() == digits && series.bytes().all(|byte| byte.is_ascii_digit()),
            "{names:?}"
        );
    }
}

#[tokio::test]
async fn headers_come_as_a_java_map() {
    let dir = tempfile::tempdir().unwrap();
    let cx = Context::new("a1.sinks.k1", &["c1"]);
    let mut sink = in_directory(dir.path(), "sink.serializer = header_and_text", &cx);
    sink.open().await.unwrap();
    let mut batch = events("hello world");
    batch[0]
        .headers
        .set("timestamp".into(), "1700000000000".into());
    batch[0].headers.set("host".into(), "h1".into());
    sink.deliver(&batch).await.unwrap();
    sink.close().await.unwrap();
    assert_eq!(
        contents(dir.path()),
        ["{host=h1, timestamp=1700000000000} hello\n{} world\n"]
    );
}

#[tokio::test]
async fn a_schema_is_read_once_it_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let cx = Context::new("a1.sinks.k1", &["c1"]);
    let elsewhere = tempfile::tempdir().unwrap();
    let schema = elsewhere.path().join("int.avsc");
    let more = "sink.serializer = org.apache.flume.sink.hdfs.AvroEventSerializer$Builder\n\
                sink.serializer.schemaURL = file://"
        .to_string()
        + schema.to_str().unwrap();
    let mut sink = in_directory(dir.path(), &more, &cx);
    sink.open().await.unwrap();
    let rejected = sink.deliver(&events("a")).await.unwrap().rejected;
    assert!(
        rejected[0].cause == Cause::NotNow && rejected[0].reason.contains("No such file"),
        "{rejected:?}"
    );
    fs::write(&schema, "\"int\"").unwrap();
    assert!(
        sink.deliver(&events("a"))
            .await
            .unwrap()
            .rejected
            .is_empty()
    );
    sink.close().await.unwrap();
    assert!(
        fs::read(dir.path().join(&names(dir.path())[0]))
            .unwrap()
            .starts_with(b"Obj\x01")
    );
}

#[tokio::test]
async fn a_directory_that_is_missing_or_none_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let cx = Context::new("a1.sinks.k1", &["c1"]);
    let path = dir.path().join("files");
    let mut sink = in_directory(&path, "", &cx);
    let error = flume_core::with_causes(&sink.open().await.unwrap_err());
    assert!(
        error.contains("sink.directory: No such file or directory"),
        "{error}"
    );
    fs::write(&path, "").unwrap();
    let error = flume_core::with_causes(&sink.open().await.unwrap_err());
    assert!(error.contains("it is not a directory"), "{error}");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    sink.open().await.unwrap();
    sink.deliver(&events("a")).await.unwrap();
}

use std::{fs, path::Path, time::Duration};

use flume_testkit::sink_contract::SinkUnderTest;
use tokio::time::advance;

use super::*;

fn under_test() -> SinkUnderTest {
    let cx = Context::new("a1.sinks.k1", &["c1"]);
    let dir = tempfile::tempdir().unwrap();
    let sink = Box::new(in_directory(dir.path(), "/x", "", &cx));
    let path = dir.path().to_path_buf();
    let lines = move || {
        contents(&path)
            .into_iter()
            .flat_map(|(_, text)| words(&text))
            .collect()
    };
    SinkUnderTest {
        sink,
        cx,
        delivered: Some(Box::new(lines)),
        holds: Box::new(dir),
    }
}

mod contract {
    flume_testkit::sink_contract!(super::under_test);
}

fn in_directory(dir: &Path, path: &str, more: &str, cx: &Context) -> HdfsSink {
    sink(
        &format!(
            "hdfs.path = file://{}{path}\nhdfs.fileType = DataStream\n{more}",
            dir.display()
        ),
        cx,
    )
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(String::from).collect()
}

/// Each file's path without the digits of its counter, with what it holds, ordered by its whole path.
fn contents(dir: &Path) -> Vec<(String, String)> {
    fn walk(dir: &Path, found: &mut Vec<std::path::PathBuf>) {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            match entry.path() {
                path if path.is_dir() => walk(&path, found),
                path => found.push(path),
            }
        }
    }
    let mut found = vec![];
    walk(dir, &mut found);
    found.sort();
    let name = |path: &Path| {
        let relative = path
            .strip_prefix(dir)
            .unwrap()
            .to_str()
            .unwrap()
            .to_string();
        let counter = relative
            .split('.')
            .find(|part| part.len() == 13)
            .unwrap_or("none")
            .to_string();
        relative.replace(&counter, "N")
    };
    found
        .iter()
        .map(|path| {
            (
                name(path),
                fs::read_to_string(path)
                    .unwrap()
                    .trim_end()
                    .replace('\n', " "),
            )
        })
        .collect()
}

fn shown(dir: &Path) -> String {
    contents(dir)
        .iter()
        .map(|(name, text)| format!("{name}={text}"))
        .collect::<Vec<_>>()
        .join("; ")
}

#[tokio::test]
async fn files_are_complete_by_count_and_by_size_before_the_next_event() {
    for (more, batches, expected) in [
        (
            "hdfs.rollCount = 2",
            &["a b c", "d e"][..],
            "x/F.N=a b; x/F.N=c d; x/F.N.tmp=e",
        ),
        ("hdfs.rollCount = 2", &["a b"], "x/F.N.tmp=a b"),
        (
            "hdfs.rollCount = 0\nhdfs.rollSize = 4",
            &["aaa b c", "dddddd e"],
            "x/F.N=aaa b; x/F.N=c dddddd; x/F.N.tmp=e",
        ),
        (
            "hdfs.rollCount = -1\nhdfs.rollSize = 0",
            &["a b", "c"],
            "x/F.N.tmp=a b c",
        ),
        (
            "hdfs.inUsePrefix = _\nhdfs.inUseSuffix = .open\nhdfs.fileSuffix = .log",
            &["a"],
            "x/_F.N.log.open=a",
        ),
        (
            "hdfs.emptyInUseSuffix = true\nhdfs.inUseSuffix = .open",
            &["a"],
            "x/F.N=a",
        ),
        (
            "hdfs.filePrefix = a/F\nhdfs.inUsePrefix = _\nhdfs.rollCount = 1",
            &["b c"],
            "x/a/F.N=b; x/a/_F.N.tmp=c",
        ),
        (
            "hdfs.filePrefix = %{h}/F",
            &["h1:a", "h2:b h1:c"],
            "x/h1/F.N.tmp=a c; x/h2/F.N.tmp=b",
        ),
        (
            "hdfs.filePrefix = %{h}",
            &["h1:a b ../y:c"],
            "x/.N.tmp=b; x/%2E%2E/y.N.tmp=c; x/h1.N.tmp=a",
        ),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let cx = Context::new("a1.sinks.k1", &["c1"]);
        let prefix = if more.contains("filePrefix") {
            ""
        } else {
            "hdfs.filePrefix = F\n"
        };
        let mut sink = in_directory(dir.path(), "/x/", &format!("{prefix}{more}"), &cx);
        sink.open().await.unwrap();
        for batch in batches {
            let delivered = sink.deliver(&events(batch)).await.unwrap();
            assert!(delivered.rejected.is_empty(), "{delivered:?}");
        }
        let open = sink.open.as_mut().unwrap();
        while open.closer.pending() > 0 {
            open.closer.next(Duration::from_secs(10)).await;
        }
        let mut found: Vec<_> = shown(dir.path()).split("; ").map(String::from).collect();
        found.sort();
        let mut expected: Vec<_> = expected.split("; ").collect();
        expected.sort();
        assert_eq!(found, expected, "{more}");
        sink.close().await.unwrap();
        assert!(
            !shown(dir.path()).contains(".tmp") && !shown(dir.path()).contains("_F"),
            "{}",
            shown(dir.path())
        );
        let number = |name: &str| cx.metrics.number(name);
        assert_eq!(
            number("ConnectionCreatedCount"),
            number("ConnectionClosedCount")
        );
        assert_eq!(
            (
                number("FilesOpenCount"),
                number("FilesPendingCount"),
                number("ConnectionFailedCount")
            ),
            (0, 0, 0)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn files_are_complete_by_time_and_when_idle() {
    for (more, seconds, expected) in [
        ("", 29, "x/FlumeData.N.tmp=a b"),
        ("", 31, "x/FlumeData.N=a; x/FlumeData.N.tmp=b"),
        ("hdfs.rollInterval = 0", 3600, "x/FlumeData.N.tmp=a b"),
        ("hdfs.idleTimeout = 5", 4, "x/FlumeData.N.tmp=a b"),
        (
            "hdfs.idleTimeout = 5",
            6,
            "x/FlumeData.N=a; x/FlumeData.N.tmp=b",
        ),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let cx = Context::new("a1.sinks.k1", &["c1"]);
        let mut sink = in_directory(dir.path(), "/x", more, &cx);
        sink.open().await.unwrap();
        sink.deliver(&events("a")).await.unwrap();
        advance(Duration::from_secs(seconds)).await;
        sink.tick().await.unwrap();
        let open = sink.open.as_mut().unwrap();
        while open.closer.pending() > 0 {
            open.closer.next(Duration::from_secs(10)).await;
        }
        sink.deliver(&events("b")).await.unwrap();
        assert_eq!(shown(dir.path()), expected, "{more} after {seconds} s");
        sink.close().await.unwrap();
    }
}

#[tokio::test]
async fn batches_grow_with_the_buckets_they_touch_while_events_queue_up() {
    let dir = tempfile::tempdir().unwrap();
    let cx = Context::new("a1.sinks.k1", &["c1"]);
    let mut sink = in_directory(dir.path(), "/%{h}", "hdfs.batchSize = 3", &cx);
    sink.open().await.unwrap();
    for (batch, events_wanted, lingers) in [
        ("1:a 1:b 1:c", 3, true),
        ("1:d 2:e 1:f", 6, false),
        ("1:g 2:h 3:i 4:j", 12, false),
        // Fewer than a batch: nothing queues up.
        ("1:k 2:l", 3, true),
        ("1:a 2:b 3:c 4:d 5:e 6:f 7:g 8:h 9:i 10:j 11:k", 30, false),
    ] {
        sink.deliver(&events(batch)).await.unwrap();
        let Want { events, linger, .. } = sink.want();
        assert_eq!(
            (events, !linger.is_zero()),
            (events_wanted, lingers),
            "after {batch}"
        );
    }
    sink.close().await.unwrap();
}

#[tokio::test]
async fn no_more_files_are_open_than_allowed() {
    let dir = tempfile::tempdir().unwrap();
    let cx = Context::new("a1.sinks.k1", &["c1"]);
    let mut sink = in_directory(dir.path(), "/%{h}", "hdfs.maxOpenFiles = 3", &cx);
    sink.open().await.unwrap();
    sink.deliver(&events("1:a 2:b 3:c")).await.unwrap();
    sink.deliver(&events("1:d")).await.unwrap();
    sink.deliver(&events("4:e")).await.unwrap();
    assert_eq!(
        cx.metrics.number("FilesOpenCount") - cx.metrics.number("FilesPendingCount"),
        3
    );
    sink.deliver(&events("1:f")).await.unwrap();
    sink.deliver(&events("1:g 2:h 3:i 4:j 5:k 6:l 7:m"))
        .await
        .unwrap();
    sink.close().await.unwrap();
    let found = shown(dir.path());
    assert!(
        found.contains("1/FlumeData.N=a d f g; ") && found.contains("2/FlumeData.N=b; "),
        "{found}"
    );
    assert!(found.ends_with("7/FlumeData.N=m"), "{found}");
}

#[tokio::test]
async fn events_without_a_time_are_rejected_and_the_others_flow() {
    let dir = tempfile::tempdir().unwrap();
    let cx = Context::new("a1.sinks.k1", &["c1"]);
    let mut sink = in_directory(dir.path(), "/%Y", "hdfs.timeZone = PST", &cx);
    sink.open().await.unwrap();
    let mut batch = events("a b");
    batch[1]
        .headers
        .set("timestamp".into(), "1704067200000".into());
    let delivered = sink.deliver(&batch).await.unwrap();
    sink.close().await.unwrap();
    let [rejected] = &delivered.rejected[..] else {
        panic!("{delivered:?}")
    };
    assert_eq!((rejected.index, rejected.cause), (0, Cause::Malformed));
    assert!(
        rejected.reason.contains("no header `timestamp`"),
        "{}",
        rejected.reason
    );
    assert_eq!(shown(dir.path()), "2023/FlumeData.N=b");
}

#[test]
fn mistakes_are_said() {
    let said = |text: &str| {
        wrong(&format!(
            "hdfs.path = file:/x\nhdfs.fileType = DataStream\n{text}"
        ))
    };
    assert_eq!(said(""), "");
    assert!(wrong("hdfs.fileType = DataStream").contains("hdfs.path: required"));
    assert!(wrong("hdfs.path = hdfs://nn").contains("a directory must follow"));
    assert!(wrong("hdfs.path = hdfs://%{nn}/x").contains("cannot vary"));
    assert!(wrong("hdfs.path = s3a://bucket/x").contains("hdfs, viewfs and file are"));
    assert!(wrong("hdfs.path = file:/%[host]").contains("%[FQDN]"));
    assert!(said("hdfs.round = true\nhdfs.roundValue = 61").contains("from 1 to 60"));
    assert!(
        said("hdfs.round = true\nhdfs.roundUnit = hour\nhdfs.roundValue = 25")
            .contains("from 1 to 24")
    );
    assert_eq!(said("hdfs.roundValue = 61"), "");
    assert!(said("hdfs.round = true\nhdfs.roundUnit = day").contains("nothing is rounded"));
    assert!(said("hdfs.timeZone = europe/berlin").contains("GMT, as in Flume"));
    assert!(
        said("hdfs.kerberosPrincipal = flume/_HOST@X").contains("hdfs.kerberosKeytab: must be set")
    );
    assert!(said("hdfs.threadsPoolSize = 20").contains("has no effect"));
    assert!(said("hdfs.batchSize = 0").contains("from 1"));
}

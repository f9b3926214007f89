//! `spooldir`: which files become which events, and what becomes of the files.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use flume_core::{Event, Registry, State};
use flume_testkit::source::{RunningSource, within};
use flume_wire::avro::{Codec, ContainerWriter, Schema, write_bytes};

static REGISTRY: Registry = Registry {
    includes: &[&flume_components::REGISTRY, &flume_files::REGISTRY],
    ..Registry::EMPTY
};

/// A directory with some files, in the order of their ages.
struct Spool(tempfile::TempDir);

impl Spool {
    fn new(files: &[(&str, &[u8])]) -> Spool {
        let spool = Spool(tempfile::tempdir().unwrap());
        for (age, (name, content)) in files.iter().rev().enumerate() {
            spool.add(name, content);
            spool.set_age(name, 10 * (age as u64 + 1));
        }
        spool
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn add(&self, name: &str, content: &[u8]) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn set_age(&self, name: &str, seconds: u64) {
        let file = File::options().append(true).open(self.path(name)).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(seconds))
            .unwrap();
    }

    fn start(&self, properties: &str) -> RunningSource {
        let text = format!("spoolDir = {}\n{properties}", self.0.path().display());
        RunningSource::start(&REGISTRY, "spooldir", &text)
    }

    /// Names in the directory and below, sorted.
    fn names(&self) -> Vec<String> {
        fn walk(directory: &Path, base: &Path, names: &mut Vec<String>) {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    walk(&path, base, names);
                } else {
                    names.push(path.strip_prefix(base).unwrap().display().to_string());
                }
            }
        }
        let mut names = vec![];
        walk(self.0.path(), self.0.path(), &mut names);
        names.sort();
        names
    }

    /// Waits until the directory has these files.
    async fn becomes(&self, expected: &[&str]) {
        let mut seen = vec![];
        for _ in 0..2000 {
            seen = self.names();
            if seen == expected {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{seen:?} instead of {expected:?}");
    }
}

fn bodies(events: &[Event]) -> Vec<String> {
    events
        .iter()
        .map(|event| String::from_utf8_lossy(&event.body).into_owned())
        .collect()
}

/// The bodies of one file's events.
async fn check(name: &str, content: &[u8], properties: &str, expected: &[&[u8]]) {
    let spool = Spool::new(&[(name, content)]);
    let source = spool.start(properties);
    let seen: Vec<_> = source
        .take(expected.len())
        .await
        .into_iter()
        .map(|event| event.body)
        .collect();
    assert_eq!(seen, expected, "{properties}");
    spool.becomes(&[&format!("{name}.COMPLETED")]).await;
    assert_eq!(
        source.channel.stats().events,
        0,
        "{properties}: nothing more"
    );
    source.stop().await.unwrap();
}

#[tokio::test]
async fn each_line_of_each_file_comes_once_the_oldest_file_first() {
    let spool = Spool::new(&[
        ("b", b"1\n2\n"),
        ("a", b"3\n\n4"),
        (".hidden", b"x"),
        ("c.COMPLETED", b"x"),
        ("d", b""),
    ]);
    let source = spool.start("batchSize = 2");
    assert_eq!(source.bodies(5).await, ["1", "2", "3", "", "4"]);
    spool
        .becomes(&[
            ".hidden",
            "a.COMPLETED",
            "b.COMPLETED",
            "c.COMPLETED",
            "d.COMPLETED",
        ])
        .await;
    spool.add("later", b"5\n");
    assert_eq!(source.bodies(1).await, ["5"]);
    assert_eq!(source.number("EventAcceptedCount"), 6);
    assert_eq!(source.number("AppendBatchAcceptedCount"), 4);
    source.stop().await.unwrap();
}

#[tokio::test]
async fn files_come_in_the_order_that_is_asked_for() {
    let files: [(&str, &[u8]); 3] = [("a", b"1"), ("b", b"2"), ("c", b"3")];
    for (order, expected) in [("OLDEST", ["1", "2", "3"]), ("youngest", ["3", "2", "1"])] {
        let spool = Spool::new(&files);
        let source = spool.start(&format!("consumeOrder = {order}"));
        assert_eq!(source.bodies(3).await, expected, "{order}");
        source.stop().await.unwrap();
    }
    let spool = Spool::new(&files);
    for (name, _) in files {
        spool.set_age(name, 100);
    }
    let source = spool.start("");
    assert_eq!(
        source.bodies(3).await,
        ["1", "2", "3"],
        "of one age, by name"
    );
    source.stop().await.unwrap();
}

#[tokio::test]
async fn patterns_and_directories_choose_files() {
    let files: [(&str, &[u8]); 6] = [
        ("a.log", b"1"),
        ("a.tmp", b"2"),
        ("sub/b.log", b"3"),
        ("sub/.c/d.log", b"4"),
        ("no/e.log", b"5"),
        ("x", b"6"),
    ];
    let spool = Spool::new(&files);
    let properties = "includePattern = .*\\.(log|tmp)\nignorePattern = ^.*\\.tmp$|no\nrecursiveDirectorySearch = true";
    let source = spool.start(properties);
    assert_eq!(source.bodies(2).await, ["1", "3"]);
    let left = [
        "a.log.COMPLETED",
        "a.tmp",
        "no/e.log",
        "sub/.c/d.log",
        "sub/b.log.COMPLETED",
        "x",
    ];
    spool.becomes(&left).await;
    source.stop().await.unwrap();
}

#[tokio::test]
async fn headers_name_the_file() {
    let spool = Spool::new(&[("a", b"1")]);
    let source = spool.start("fileHeader = true\nbasenameHeader = true\nbasenameHeaderKey = name");
    let event = source.take(1).await.remove(0);
    let path = spool.path("a").display().to_string();
    assert_eq!(event.headers.get("file").unwrap(), path.as_str());
    assert_eq!(event.headers.get("name").unwrap(), "a");
    source.stop().await.unwrap();
}

#[tokio::test]
async fn a_done_file_is_renamed_deleted_or_marked() {
    for (properties, left) in [
        ("fileSuffix = .done", vec!["a.done"]),
        ("deletePolicy = immediate", vec![]),
        (
            "trackingPolicy = tracker_dir\ntrackerDir = t",
            vec!["a", "t/.flumespool-main.meta", "t/a.COMPLETED"],
        ),
    ] {
        let spool = Spool::new(&[("a", b"1")]);
        let source = spool.start(properties);
        assert_eq!(source.bodies(1).await, ["1"]);
        let left: Vec<_> = left
            .into_iter()
            .filter(|name| !name.ends_with(".meta"))
            .collect();
        spool.becomes(&left).await;
        source.stop().await.unwrap();
        let again = spool.start(properties);
        spool.add("b", b"2");
        assert_eq!(again.bodies(1).await, ["2"], "{properties}: not read again");
        again.stop().await.unwrap();
    }
}

#[tokio::test]
async fn text_is_decoded_as_the_policy_says() {
    check(
        "a",
        b"caf\xe9 \x80",
        "inputCharset = ISO-8859-1",
        &["caf\u{e9} \u{80}".as_bytes()],
    )
    .await;
    check(
        "a",
        b"x\xffy\nz",
        "decodeErrorPolicy = REPLACE",
        &["x\u{fffd}y".as_bytes(), b"z"],
    )
    .await;
    check(
        "a",
        b"x\xffy\nz",
        "decodeErrorPolicy = ignore",
        &[b"xy", b"z"],
    )
    .await;
    check(
        "a",
        b"\xff\xfea\0\n\0b\0",
        "inputCharset = UTF-16",
        &[b"a", b"b"],
    )
    .await;
    check(
        "a",
        b"\0a\n\0\0\n\0b",
        "inputCharset = UTF-16BE",
        &["a\u{a00}".as_bytes(), b"b"],
    )
    .await;
    check(
        "a",
        b"\x82\xa0\n",
        "inputCharset = Shift_JIS",
        &["\u{3042}".as_bytes()],
    )
    .await;
    check(
        "a",
        "\u{e9}".as_bytes(),
        "deserializer.outputCharset = ISO-8859-1",
        &[b"\xe9"],
    )
    .await;
    check("a", b"a\r\nb", "", &[b"a\r", b"b"]).await;
}

#[tokio::test]
async fn long_lines_become_several_events() {
    check(
        "a",
        b"abcdefgh\nabcd\ne",
        "deserializer.maxLineLength = 4",
        &[b"abcd", b"efgh", b"abcd", b"e"],
    )
    .await;
    check(
        "a",
        "ab\u{1f600}c\n".as_bytes(),
        "bufferMaxLineLength = 3",
        &[b"ab", "\u{1f600}c".as_bytes()],
    )
    .await;
    let long = vec![b'x'; 600_000];
    check(
        "a",
        &long,
        "deserializer.maxLineLength = 250000",
        &[&long[..250_000], &long[..250_000], &long[..100_000]],
    )
    .await;
}

#[tokio::test]
async fn lines_that_belong_together_are_joined() {
    let text = b"1 a\n  at x\n  at y\n2 b\n";
    check(
        "a",
        text,
        r"deserializer.multiline.startPattern = ^\d",
        &[b"1 a\n  at x\n  at y", b"2 b"],
    )
    .await;
}

#[tokio::test]
async fn compressed_text_is_decompressed() {
    let mut gzip = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
    gzip.write_all(b"1\n2\n").unwrap();
    let twice = gzip.finish().unwrap().repeat(2);
    check("a.gz", &twice, "", &[b"1", b"2", b"1", b"2"]).await;
    check(
        "a.zst",
        &zstd::encode_all(&b"1\n2"[..], 1).unwrap(),
        "",
        &[b"1", b"2"],
    )
    .await;
    check("a.gz", &twice, "deserializer = BLOB", &[&twice]).await;
}

#[tokio::test]
async fn a_blob_is_a_whole_file() {
    check(
        "a",
        b"a\nb\n",
        "deserializer = org.apache.flume.sink.solr.morphline.BlobDeserializer$Builder",
        &[b"a\nb\n"],
    )
    .await;
    check(
        "a",
        b"abcde",
        "deserializer = BLOB\ndeserializer.maxBlobLength = 2",
        &[b"ab", b"cd", b"e"],
    )
    .await;
}

#[tokio::test]
async fn values_of_avro_files_are_events() {
    let schema = Schema::parse(r#""string""#).unwrap();
    let mut file = vec![];
    let mut writer = ContainerWriter::new(Codec::Deflate, 32);
    writer.header(&schema, &mut file);
    for value in ["one", "two", "three"] {
        writer.append(|out| write_bytes(value.as_bytes(), out), &mut file);
        writer.flush(&mut file);
    }
    let spool = Spool::new(&[("a.avro", &file)]);
    let source = spool.start("deserializer = AVRO\nbatchSize = 2");
    let events = source.take(3).await;
    assert_eq!(bodies(&events), ["\u{6}one", "\u{6}two", "\u{a}three"]);
    assert_eq!(
        events[0].headers.get("flume.avro.schema.hash").unwrap(),
        "c70345637248018f"
    );
    spool.becomes(&["a.avro.COMPLETED"]).await;
    source.stop().await.unwrap();
}

#[tokio::test]
async fn a_bad_file_is_set_aside_and_the_others_flow() {
    let spool = Spool::new(&[
        ("a", b"1\n\xff\n"),
        ("b", b"2\n"),
        ("c.gz", b"no gzip"),
        ("d", b"3\n"),
    ]);
    spool.add("b.COMPLETED", b"");
    let source = spool.start("");
    assert_eq!(source.bodies(3).await, ["1", "2", "3"]);
    spool
        .becomes(&[
            "a.SET_ASIDE",
            "b.COMPLETED",
            "b.SET_ASIDE",
            "c.gz.SET_ASIDE",
            "d.COMPLETED",
        ])
        .await;
    assert_eq!(source.number("FilesSetAsideCount"), 3);
    assert_eq!(source.number("EventReadFail"), 2);
    assert_eq!(source.state(), State::Running);
    let last = source.cx.metrics.text("LastFileSetAside").get();
    assert!(last.contains("c.gz.SET_ASIDE"), "{last}");
    source.stop().await.unwrap();
}

#[tokio::test]
async fn a_file_that_changes_while_it_is_read_is_set_aside() {
    let lines = "line\n".repeat(5000);
    let spool = Spool::new(&[("a", lines.as_bytes())]);
    let text = format!("spoolDir = {}", spool.0.path().display());
    // The channel is full until the file has grown.
    let channel = "capacity = 100\ntransactionCapacity = 100\nkeep-alive = 1";
    let source = RunningSource::with_channel(&REGISTRY, "spooldir", &text, channel);
    source.take(100).await;
    File::options()
        .append(true)
        .open(spool.path("a"))
        .unwrap()
        .write_all(b"more\n")
        .unwrap();
    let mut seen = source.take(4900).await.len();
    within(async {
        while source.number("FilesSetAsideCount") == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
            seen += usize::from(source.channel.stats().events > 0);
        }
    })
    .await;
    assert!(seen >= 4900);
    assert!(spool.names().contains(&"a.SET_ASIDE".to_string()));
    source.stop().await.unwrap();
}

#[tokio::test]
async fn a_pipe_is_left_alone_and_a_link_is_followed() {
    let spool = Spool::new(&[("target/real", b"1\n")]);
    rustix::fs::mkfifoat(rustix::fs::CWD, spool.path("pipe"), rustix::fs::Mode::RWXU).unwrap();
    std::os::unix::fs::symlink(spool.path("target/real"), spool.path("link")).unwrap();
    std::os::unix::fs::symlink("nowhere", spool.path("dangling")).unwrap();
    let source = spool.start("");
    assert_eq!(source.bodies(1).await, ["1"]);
    source.stop().await.unwrap();
}

/// What is not delivered when the agent stops is delivered by the next one, from the position that Flume would find.
#[tokio::test]
async fn a_restart_goes_on_where_the_tracker_says() {
    let spool = Spool::new(&[("a", b"1\n2\n3\n4\n5\n")]);
    let text = format!("spoolDir = {}\nbatchSize = 2", spool.0.path().display());
    let channel = "capacity = 4\ntransactionCapacity = 2\nkeep-alive = 1";
    let source = RunningSource::with_channel(&REGISTRY, "spooldir", &text, channel);
    within(async {
        while source.number("EventAcceptedCount") < 4 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    source.stop().await.unwrap();
    let tracker = fs::read(spool.path(".flumespool/.flumespool-main.meta")).unwrap();
    let position = flume_files::TrackedPosition::read(&tracker).unwrap();
    assert_eq!(
        (position.offset, position.file.as_str()),
        (8, spool.path("a").to_str().unwrap())
    );
    let again = spool.start("");
    assert_eq!(again.bodies(1).await, ["5"]);
    spool.becomes(&["a.COMPLETED"]).await;
    again.stop().await.unwrap();
}

#[tokio::test]
async fn a_directory_that_is_not_there_is_named() {
    let text = "spoolDir = /no/such/directory";
    let source = RunningSource::start(&REGISTRY, "spooldir", text);
    let error = source.ended().await.unwrap_err();
    assert_eq!(error.to_string(), "failed to list /no/such/directory");
}

//! `TAILDIR`: each line once, whatever is done to the files.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::Write,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use flume_core::{ChannelHandle, Registry, Want};
use flume_files::FilePosition;
use flume_testkit::{
    rotation::{RotatingWriter, Rotation, Tally},
    source::{RunningSource, within},
};
use rustix::fs::{Mode, OFlags};

static REGISTRY: Registry = Registry {
    includes: &[&flume_components::REGISTRY, &flume_files::REGISTRY],
    ..Registry::EMPTY
};

const CHANNEL: &str = "capacity = 1000000\ntransactionCapacity = 10000";

/// A directory with logs, and a position file.
struct Logs(tempfile::TempDir);

impl Logs {
    fn new() -> Logs {
        let logs = Logs(tempfile::tempdir().unwrap());
        fs::create_dir(logs.path("")).unwrap();
        logs
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join("logs").join(name)
    }

    fn positions(&self) -> PathBuf {
        self.0.path().join("positions.json")
    }

    fn append(&self, name: &str, text: impl AsRef<[u8]>) {
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path(name))
            .unwrap();
        file.write_all(text.as_ref()).unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    /// Follows all logs whose names match.
    fn text(&self, pattern: &str, properties: &str) -> String {
        format!(
            "filegroups = g\nfilegroups.g = {}{pattern}\npositionFile = {}\nbackoffSleepIncrement = 20\n{properties}",
            self.path("").display(),
            self.positions().display()
        )
    }

    fn start(&self, pattern: &str, properties: &str) -> RunningSource {
        RunningSource::with_channel(
            &REGISTRY,
            "TAILDIR",
            &self.text(pattern, properties),
            CHANNEL,
        )
    }

    /// How far each file was read, by its name.
    fn saved(&self) -> BTreeMap<String, u64> {
        let bytes = fs::read(self.positions()).unwrap();
        let positions = FilePosition::read(&bytes, b"");
        let name = |path: &str| path.rsplit('/').next().unwrap_or_default().to_string();
        positions
            .iter()
            .map(|position| (name(&position.path), position.offset))
            .collect()
    }
}

/// The bodies that come, and nothing more.
async fn check(source: &RunningSource, expected: &[&str]) {
    assert_eq!(source.bodies(expected.len()).await, expected);
    tokio::time::sleep(Duration::from_millis(60)).await;
    assert_eq!(
        source.channel.stats().events,
        0,
        "nothing more than {expected:?}"
    );
}

#[tokio::test]
async fn lines_come_as_they_are_written() {
    let logs = Logs::new();
    logs.append("a.log", "1\n2\r\n\n3");
    logs.append("a.txt", "no\n");
    let source = logs.start(r".*\.log", "");
    check(&source, &["1", "2", ""]).await;
    logs.append("a.log", "4\n");
    logs.append("b.log", "5\n");
    let mut seen = source.bodies(2).await;
    seen.sort();
    assert_eq!(seen, ["34", "5"]);
    source.stop().await.unwrap();
    assert_eq!(
        logs.saved(),
        BTreeMap::from([("a.log".into(), 9), ("b.log".into(), 2)])
    );
}

#[tokio::test]
async fn headers_say_where_a_line_stood() {
    let logs = Logs::new();
    logs.append("a", "one\ntwo\n");
    let source = logs.start(
        "a",
        "headers.g.team = x\nheaders.g.a.b = y\nfileHeader = true\nbyteOffsetHeader = true",
    );
    let second = source.take(2).await.remove(1);
    let path = logs.path("a").display().to_string();
    for (name, value) in [
        ("team", "x"),
        ("a.b", "y"),
        ("file", path.as_str()),
        ("byteoffset", "4"),
    ] {
        assert_eq!(second.headers.get(name).unwrap(), value, "{name}");
    }
    source.stop().await.unwrap();
}

#[tokio::test]
async fn a_last_line_without_an_end_comes_after_a_quiet_time() {
    let logs = Logs::new();
    logs.append("a", "1\n2");
    let source = logs.start("a", "idleTimeout = 50");
    assert_eq!(source.bodies(2).await, ["1", "2"]);
    logs.append("a", "3\n");
    assert_eq!(source.bodies(1).await, ["3"]);
    source.stop().await.unwrap();
}

#[tokio::test]
async fn a_restart_goes_on_where_it_was_also_under_another_name() {
    let logs = Logs::new();
    logs.append("a", "1\n2\n");
    let source = logs.start(".*", "");
    check(&source, &["1", "2"]).await;
    source.stop().await.unwrap();
    logs.append("a", "3\n");
    logs.rename("a", "a.1");
    logs.append("a", "4\n");
    let source = logs.start(".*", "");
    check(&source, &["3", "4"]).await;
    source.stop().await.unwrap();
    let source = logs.start(".*", "");
    check(&source, &[]).await;
    source.stop().await.unwrap();
}

#[tokio::test]
async fn a_position_file_of_flume_is_continued() {
    use std::os::unix::fs::MetadataExt;
    let logs = Logs::new();
    for name in ["a", "b", "c"] {
        logs.append(name, "1\n2\n");
    }
    let entry = |name: &str, path: &str, offset: u64| {
        let inode = fs::metadata(logs.path(name)).unwrap().ino();
        format!(
            r#"{{"inode":{inode},"pos":{offset},"file":"{}"}}"#,
            logs.path(path).display()
        )
    };
    // One that is known, one under another name, one that was longer.
    let entries = [entry("a", "a", 2), entry("b", "x", 2), entry("c", "c", 9)];
    fs::write(logs.positions(), format!("[{}]", entries.join(","))).unwrap();
    let source = logs.start("a", "");
    check(&source, &["2"]).await;
    source.stop().await.unwrap();
    fs::write(logs.positions(), format!("[{}]", entries.join(","))).unwrap();
    let source = logs.start("b|c", "");
    check(&source, &["1", "2", "1", "2"]).await;
    source.stop().await.unwrap();
}

#[tokio::test]
async fn a_file_is_read_on_under_its_new_name() {
    let logs = Logs::new();
    for pattern in [".*", "app"] {
        logs.append("app", "1\n");
        let source = logs.start(pattern, "");
        check(&source, &["1"]).await;
        logs.append("app", "2\n");
        logs.rename("app", "app.1");
        logs.append("app.1", "3\n");
        logs.append("app", "4\n");
        assert_eq!(source.bodies(3).await, ["2", "3", "4"], "{pattern}");
        source.stop().await.unwrap();
        fs::remove_dir_all(logs.path("")).unwrap();
        fs::create_dir(logs.path("")).unwrap();
        fs::remove_file(logs.positions()).unwrap();
    }
}

#[tokio::test]
async fn a_file_that_is_cut_is_read_from_its_start_and_its_copy_only_where_it_was_not_read() {
    let logs = Logs::new();
    logs.append("app", "1 one\n2 two\n");
    let source = logs.start(".*", "");
    check(&source, &["1 one", "2 two"]).await;
    logs.append("app", "3 three\n");
    fs::copy(logs.path("app"), logs.path("app.1")).unwrap();
    File::create(logs.path("app")).unwrap();
    check(&source, &["3 three"]).await;
    // Longer than before at once: only its content tells.
    logs.append("app", "4 four, a longer line\n");
    check(&source, &["4 four, a longer line"]).await;
    fs::write(
        logs.path("app"),
        "5 five, and a line that is longer still\n",
    )
    .unwrap();
    check(&source, &["5 five, and a line that is longer still"]).await;
    assert!(source.number("FilesReplacedCount") >= 2);
    source.stop().await.unwrap();
}

#[tokio::test]
async fn a_new_file_with_an_old_inode_is_read_from_its_start() {
    let logs = Logs::new();
    logs.append("a", "one\ntwo\n");
    let source = logs.start(".*", "");
    check(&source, &["one", "two"]).await;
    source.stop().await.unwrap();
    // The inode stays, as after a deletion with a new file that gets it.
    fs::write(logs.path("a"), "another line that is longer\n").unwrap();
    logs.rename("a", "b");
    let source = logs.start(".*", "");
    check(&source, &["another line that is longer"]).await;
    source.stop().await.unwrap();
}

#[tokio::test]
async fn a_deleted_file_is_read_to_its_end_and_let_go() {
    let logs = Logs::new();
    logs.append("a", "1\n");
    let source = logs.start(".*", "");
    check(&source, &["1"]).await;
    let mut file = OpenOptions::new()
        .append(true)
        .open(logs.path("a"))
        .unwrap();
    fs::remove_file(logs.path("a")).unwrap();
    file.write_all(b"2\n").unwrap();
    assert_eq!(source.bodies(1).await, ["2"]);
    within(async {
        while source.cx.metrics.number("FilesFollowedCount") > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!(source.number("FilesOpenCount"), 0);
    source.stop().await.unwrap();
}

#[tokio::test]
async fn reading_can_begin_at_the_end() {
    let logs = Logs::new();
    logs.append("a", "1\n");
    let source = logs.start(".*", "skipToEnd = true");
    check(&source, &[]).await;
    logs.append("a", "2\n");
    logs.append("b", "3\n");
    let mut seen = source.bodies(2).await;
    seen.sort();
    assert_eq!(seen, ["2", "3"]);
    source.stop().await.unwrap();
}

#[tokio::test]
async fn lines_that_belong_together_are_joined() {
    let logs = Logs::new();
    logs.append("a", "1 a\n at x\n2 b\n at y\n");
    let properties =
        "multiline.startPattern = ^\\d\nmultiline.timeout = 100\nbyteOffsetHeader = true";
    let source = logs.start("a", properties);
    let events = source.take(2).await;
    assert_eq!(events[0].body, "1 a\n at x");
    assert_eq!(events[1].body, "2 b\n at y");
    assert_eq!(events[1].headers.get("byteoffset").unwrap(), "10");
    source.stop().await.unwrap();
    assert_eq!(logs.saved()["a"], 20);
}

#[tokio::test]
async fn directories_can_have_wildcards() {
    let logs = Logs::new();
    for directory in ["app-1", "app-2", "other"] {
        fs::create_dir(logs.path(directory)).unwrap();
        logs.append(&format!("{directory}/x.log"), format!("{directory}\n"));
    }
    let source = logs.start(r"app-*/.*\.log", "");
    let mut seen = source.bodies(2).await;
    seen.sort();
    assert_eq!(seen, ["app-1", "app-2"]);
    source.stop().await.unwrap();
}

/// Not every directory that a wildcard finds has the one that is asked for, and new ones may come at any depth.
#[tokio::test]
async fn directories_below_can_have_logs_at_any_depth() {
    let logs = Logs::new();
    fs::create_dir_all(logs.path("a/b/logs")).unwrap();
    fs::create_dir_all(logs.path("c/other")).unwrap();
    std::os::unix::fs::symlink(logs.path(""), logs.path("a/loop")).unwrap();
    logs.append("a/b/logs/x.log", "deep\n");
    logs.append("c/other/x.log", "not asked for\n");
    let source = logs.start(r"**/logs/.*\.log", "maxBackoffSleep = 20");
    assert_eq!(source.bodies(1).await, ["deep"]);
    fs::create_dir_all(logs.path("logs")).unwrap();
    logs.append("logs/x.log", "flat\n");
    assert_eq!(source.bodies(1).await, ["flat"]);
    source.stop().await.unwrap();
    assert_eq!(logs.saved().len(), 1, "both are called x.log");
}

/// Anybody may make directories below one with `**`. Root may read them all, but for those whose path is too long.
#[tokio::test]
async fn a_directory_below_that_cannot_be_read_stops_nothing() {
    let logs = Logs::new();
    fs::create_dir(logs.path("app")).unwrap();
    make_too_deep(&logs.path("app"));
    logs.append("app/x.log", "1\n");
    let source = logs.start(r"**/.*\.log", "maxBackoffSleep = 20");
    assert_eq!(source.bodies(1).await, ["1"]);
    assert_eq!(source.number("PathsUnreadCount"), 1);
    logs.append("x.log", "2\n");
    assert_eq!(source.bodies(1).await, ["2"]);
    source.stop().await.unwrap();
}

fn make_too_deep(top: &Path) {
    let name = "d".repeat(255);
    let mut place = OwnedFd::from(File::open(top).unwrap());
    for _ in 0..20 {
        rustix::fs::mkdirat(&place, &name, Mode::RWXU).unwrap();
        place = rustix::fs::openat(&place, &name, OFlags::DIRECTORY, Mode::empty()).unwrap();
    }
}

#[tokio::test]
async fn pipes_and_compressed_files_are_left_alone() {
    let logs = Logs::new();
    rustix::fs::mkfifoat(rustix::fs::CWD, logs.path("pipe"), rustix::fs::Mode::RWXU).unwrap();
    logs.append("a.gz", "\x1f\n");
    logs.append("a", "1\n");
    let source = logs.start(".*", "");
    check(&source, &["1"]).await;
    source.stop().await.unwrap();
}

#[tokio::test]
async fn ten_thousand_files_need_few_descriptors() {
    let logs = Logs::new();
    for number in 0..10_000 {
        fs::write(logs.path(&number.to_string()), format!("{number}\nx")).unwrap();
    }
    let source = logs.start(r"\d+", "");
    let mut seen: Vec<u32> = source
        .bodies(10_000)
        .await
        .iter()
        .map(|body| body.parse().unwrap())
        .collect();
    seen.sort();
    assert!(seen.into_iter().eq(0..10_000));
    logs.append("77", "yz\n");
    assert_eq!(source.bodies(1).await, ["xyz"]);
    assert!(
        source.number("FilesOpenCount") < 600,
        "{}",
        source.number("FilesOpenCount")
    );
    assert_eq!(source.number("FilesReplacedCount"), 0);
    source.stop().await.unwrap();
}

#[tokio::test]
async fn positions_that_cannot_be_saved_are_saved_later() {
    let logs = Logs::new();
    logs.append("a", "1\n");
    let source = logs.start("a", "");
    check(&source, &["1"]).await;
    source.stop().await.unwrap();
    let old = fs::read(logs.positions()).unwrap();
    let obstacle = logs.0.path().join(".positions.json.identity.new");
    fs::create_dir(&obstacle).unwrap();
    let source = logs.start("a", "writePosInterval = 10");
    logs.append("a", "2\n");
    check(&source, &["2"]).await;
    within(async {
        while source.number("PositionSaveFailCount") == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!(
        fs::read(logs.positions()).unwrap(),
        old,
        "the old positions stay whole"
    );
    fs::remove_dir(&obstacle).unwrap();
    source.stop().await.unwrap();
    assert_eq!(logs.saved()["a"], 4);
}

#[tokio::test]
async fn a_position_file_that_holds_nothing_is_none() {
    for content in ["", "[", "[]"] {
        let logs = Logs::new();
        logs.append("a", "1\n");
        fs::write(logs.positions(), content).unwrap();
        let source = logs.start("a", "writePosInterval = 5");
        check(&source, &["1"]).await;
        source.stop().await.unwrap();
        assert_eq!(logs.saved()["a"], 2, "{content:?}");
    }
}

/// Only one file is written; the others are closed once, and stay closed however long that goes on.
#[tokio::test]
async fn idle_files_are_let_go_beside_a_busy_one() {
    let logs = Logs::new();
    for number in 0..50 {
        logs.append(&format!("idle{number}"), "x\n");
    }
    let source = logs.start(".*", "idleTimeout = 50");
    source.take(50).await;
    within(async {
        while source.number("FilesOpenCount") > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    for line in 0..100 {
        logs.append("busy", format!("{line}\n"));
        assert_eq!(source.bodies(1).await, [line.to_string()]);
    }
    within(async {
        while source.number("FilesOpenCount") > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    source.stop().await.unwrap();
}

#[tokio::test]
async fn a_file_that_is_renamed_and_deleted_is_let_go() {
    let logs = Logs::new();
    logs.append("app.log", "1\n");
    let source = logs.start(r"app\.log.*", "");
    check(&source, &["1"]).await;
    logs.rename("app.log", "app.log.1");
    logs.append("app.log.1", "2\n");
    logs.append("app.log", "3\n");
    let mut seen = source.bodies(2).await;
    seen.sort();
    assert_eq!(seen, ["2", "3"]);
    fs::remove_file(logs.path("app.log.1")).unwrap();
    within(async {
        while source.number("FilesOpenCount") > 1 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    logs.append("app.log", "4\n");
    check(&source, &["4"]).await;
    source.stop().await.unwrap();
}

/// Takes what the channel has, and notes the lines.
async fn take(tally: &mut Tally, channel: &ChannelHandle) {
    let take = channel
        .take(Want::events(100_000), Duration::ZERO)
        .await
        .unwrap();
    let bodies: Vec<_> = take
        .events()
        .iter()
        .map(|event| event.body.clone())
        .collect();
    take.commit().await.unwrap();
    bodies.iter().for_each(|body| tally.add(body).unwrap());
}

/// Waits until so many lines came.
async fn reach(tally: &mut Tally, lines: usize, channel: &ChannelHandle) {
    let begin = Instant::now();
    while tally.seen() < lines {
        take(tally, channel).await;
        assert!(
            begin.elapsed() < Duration::from_secs(30),
            "{} of {lines}, not {:?}",
            tally.seen(),
            tally.missing(lines)
        );
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// The pattern matches the old names, too: exactly once, at least once where files are copied.
async fn rotate_under_load(rotation: Rotation) {
    let logs = Logs::new();
    let source = logs.start(r"app\.log.*", "writePosInterval = 5");
    let mut writer = RotatingWriter::new(logs.path(""), rotation).unwrap();
    let mut tally = Tally::default();
    for round in 0..150 {
        writer.write(1 + round * 7 % 40).unwrap();
        writer.rotate().unwrap();
        if round % 10 == 9 {
            reach(&mut tally, writer.lines, &source.channel).await;
        } else {
            tokio::task::yield_now().await;
        }
    }
    reach(&mut tally, writer.lines, &source.channel).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    take(&mut tally, &source.channel).await;
    assert_eq!(tally.missing(writer.lines), None, "{rotation:?}");
    if !rotation.may_repeat() {
        assert_eq!(tally.repeated(), None, "{rotation:?}");
    }
    source.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotation_by_rename_under_load() {
    rotate_under_load(Rotation::Rename).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotation_by_copy_and_truncate_under_load() {
    rotate_under_load(Rotation::CopyTruncate).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotation_by_new_names_under_load() {
    rotate_under_load(Rotation::Create).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotation_with_compression_under_load() {
    rotate_under_load(Rotation::Gzip).await;
}

/// At least once: the source is dropped at any await, without a stop, and a new one begins.
#[test]
fn a_source_that_dies_loses_nothing() {
    let logs = Logs::new();
    let mut writer = RotatingWriter::new(logs.path(""), Rotation::Rename).unwrap();
    let mut tally = Tally::default();
    for life in 0..40 {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let channel = runtime.block_on(async {
            let source = logs.start(r"app\.log.*", "writePosInterval = 1\nbatchSize = 10");
            for _ in 0..3 {
                writer.write(30).unwrap();
                writer.rotate().unwrap();
                tokio::time::sleep(Duration::from_micros(137 * (life % 23))).await;
                take(&mut tally, &source.channel).await;
            }
            if life % 5 == 4 {
                reach(&mut tally, writer.lines, &source.channel).await;
            }
            let channel = source.channel.clone();
            std::mem::forget(source);
            channel
        });
        runtime.shutdown_timeout(Duration::from_secs(10));
        // What is in the channel was committed: the next source does not read it again.
        block_on(take(&mut tally, &channel));
    }
    block_on(async {
        let source = logs.start(r"app\.log.*", "");
        reach(&mut tally, writer.lines, &source.channel).await;
        source.stop().await.unwrap();
    });
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(future)
}

//! The `journald` source, with a program in the place of `journalctl`.

use std::{fs, path::Path, time::Duration};

use flume_components::REGISTRY;
use flume_core::{Context, Source, State};
use flume_testkit::{
    parts::try_build,
    source::{RunningSource, within},
};
use tempfile::TempDir;
use tokio::time::sleep;

/// A journal of so many entries for the program, and how that ends.
fn journal(entries: usize, end: &str) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    for number in 1..=entries {
        let entry = format!(
            "__CURSOR=c{number}\n__REALTIME_TIMESTAMP=170000000000{number}500\nPRIORITY=6\n_HOSTNAME=h\n\
             MESSAGE\n\u{5}\0\0\0\0\0\0\0line\n\nMESSAGE=second\nEXTRA={number}\nPRIORITY=7\n\n"
        );
        fs::write(path.join(format!("c{number}")), entry).unwrap();
    }
    fs::write(path.join("end"), end).unwrap();
    directory
}

fn start(journal: &Path, text: &str, channel: &str) -> RunningSource {
    let text = format!(
        "command = {}\ndirectory = {1}\ncursorFile = {1}/state/cursor\nwritePosInterval = 1\n{text}",
        concat!(env!("CARGO_MANIFEST_DIR"), "/tests/journalctl.sh"),
        journal.display()
    );
    RunningSource::with_channel(&REGISTRY, "journald", &text, channel)
}

const ROOM: &str = "capacity = 1000\ntransactionCapacity = 100";
const STAY: &str = "exec sleep 600";

fn saved(journal: &Path) -> String {
    fs::read_to_string(journal.join("state/cursor")).unwrap_or_default()
}

/// How the program was called, each time.
fn arguments(journal: &Path) -> String {
    let arguments = fs::read_to_string(journal.join("arguments")).unwrap();
    arguments.replace(journal.to_str().unwrap(), "DIR")
}

/// Waits until the file has the cursor.
async fn wait_for(journal: &Path, cursor: &str) {
    within(async {
        while saved(journal).trim() != cursor {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn entries_become_events_and_the_place_is_kept() {
    let journal = journal(3, STAY);
    let path = journal.path();
    let source = start(path, "fields = PRIORITY EXTRA ABSENT", ROOM);
    let events = source.take(3).await;
    assert_eq!(events[2].body, "line\n");
    let headers = events[2].headers.iter();
    let headers: Vec<_> = headers
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    assert_eq!(
        headers,
        ["EXTRA=3", "PRIORITY=6", "timestamp=1700000000003"]
    );
    wait_for(path, "c3").await;
    source.stop().await.unwrap();
    fs::write(path.join("state/cursor"), "c2\n").unwrap();
    let source = start(path, "matches = PRIORITY=6 + _UID=0\nfields = *", ROOM);
    let event = &source.take(1).await[0];
    assert_eq!(event.headers.get("EXTRA").unwrap(), "3");
    assert_eq!(event.headers.get("_HOSTNAME").unwrap(), "h");
    assert_eq!(event.headers.get("__CURSOR"), None);
    assert_eq!(event.headers.get("MESSAGE"), None);
    source.stop().await.unwrap();
    assert_eq!(saved(path), "c3\n");
    assert_eq!(
        arguments(path),
        "--output=export --quiet --directory=DIR --no-tail --follow\n\
         --output=export --quiet --directory=DIR --after-cursor=c2 --no-tail --follow PRIORITY=6 + _UID=0\n"
    );
}

/// The place is that of the last event in the channel, not of the last one read.
#[tokio::test]
async fn what_the_channel_does_not_have_comes_again() {
    let journal = journal(5, STAY);
    let path = journal.path();
    let tight = "capacity = 3\ntransactionCapacity = 1\nkeep-alive = 0";
    let source = start(path, "batchSize = 1", tight);
    wait_for(path, "c3").await;
    within(async {
        while !matches!(source.state(), State::Failing { .. }) {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    source.stop().await.unwrap();
    assert_eq!(saved(path), "c3\n");
    let source = start(path, "", ROOM);
    let events = source.take(2).await;
    assert_eq!(events[0].headers.get("timestamp").unwrap(), "1700000000004");
}

/// The command may end before it has written an entry: what came meanwhile must not be skipped.
#[tokio::test]
async fn the_end_of_the_journal_is_found_once() {
    let journal = journal(3, "exit 3");
    let path = journal.path();
    let source = start(path, "skipToEnd = true\nmatches = PRIORITY=6", ROOM);
    assert!(source.ended().await.is_err());
    assert_eq!(saved(path), "c3\n");
    fs::copy(path.join("c3"), path.join("c4")).unwrap();
    fs::write(path.join("end"), STAY).unwrap();
    let source = start(path, "skipToEnd = true", ROOM);
    assert_eq!(source.take(1).await.len(), 1);
    source.stop().await.unwrap();
    assert_eq!(
        arguments(path),
        "--output=export --quiet --directory=DIR --lines=1\n\
         --output=export --quiet --directory=DIR --after-cursor=c3 --no-tail --follow PRIORITY=6\n\
         --output=export --quiet --directory=DIR --after-cursor=c3 --no-tail --follow\n"
    );
}

#[tokio::test]
async fn an_empty_journal_has_no_end_to_skip_to() {
    let journal = journal(0, STAY);
    let path = journal.path();
    let source = start(path, "skipToEnd = true", ROOM);
    within(async {
        let said = || fs::read_to_string(path.join("arguments")).unwrap_or_default();
        while said().lines().count() < 2 {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    source.stop().await.unwrap();
    assert!(
        arguments(path).ends_with("--no-tail --follow\n"),
        "{}",
        arguments(path)
    );
}

#[tokio::test]
async fn an_end_of_the_command_is_an_error_and_loses_nothing() {
    let journal = journal(2, "echo no >&2\nexit 3");
    let source = start(journal.path(), "", ROOM);
    assert_eq!(source.take(2).await.len(), 2);
    let error = source.ended().await.unwrap_err();
    let text = flume_core::with_causes(&error);
    assert!(text.contains("ended with exit status: 3"), "{text}");
    assert_eq!(saved(journal.path()), "c2\n");
}

#[tokio::test]
async fn a_cursor_that_cannot_be_saved_holds_up_nothing() {
    let journal = journal(2, STAY);
    let obstacle = journal.path().join("state/.cursor.new");
    fs::create_dir_all(&obstacle).unwrap();
    let source = start(journal.path(), "batchSize = 1", ROOM);
    assert_eq!(source.take(2).await.len(), 2);
    within(async {
        while source.number("CursorSaveFail") == 0 {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    fs::remove_dir(&obstacle).unwrap();
    source.stop().await.unwrap();
    assert_eq!(saved(journal.path()), "c2\n");
}

#[tokio::test]
async fn a_match_is_no_option() {
    let cx = Context::new("a1.sources.r1", &["c1"]);
    for (text, expected) in [
        ("matches = --rotate", "found `--rotate`"),
        ("matches = unit=x", "found `unit=x`"),
        ("command = ", "must not be empty"),
    ] {
        let built = try_build::<dyn Source>(&REGISTRY, "journald", text, &cx);
        let error = built.err().expect("refused").to_string();
        assert!(error.contains(expected), "{error}");
    }
}

//! A store seen from outside, beside the channel that works on it and after it was damaged.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::Path,
    time::{Duration, SystemTime},
};

use flume_core::{Channel, Context, Want};
use flume_file_channel::inspect::{InspectError, Outside};
use flume_testkit::parts::{build, events, files_below};

async fn open(dir: &Path) -> Box<dyn Channel> {
    let root = dir.display();
    let text = format!(
        "checkpointDir = {root}/checkpoint\ndataDirs = {root}/one,{root}/two\nmaxFileSize = 262144"
    );
    let channel = build::<dyn Channel>(
        &flume_file_channel::REGISTRY,
        "file",
        &text,
        &Context::new("a1.channels.c1", &[]),
    );
    channel.open().await.expect("an open channel");
    channel
}

async fn take(channel: &dyn Channel, count: usize) {
    let take = channel
        .take(Want::events(count), Duration::ZERO)
        .await
        .expect("a take");
    assert_eq!(take.events().len(), count);
    take.commit().await.expect("a commit");
}

fn outside(dir: &Path) -> Outside {
    Outside::read(&[dir.into()], None).expect("a store")
}

#[tokio::test]
async fn inspect_works_beside_the_channel_and_changes_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let began = SystemTime::now() - Duration::from_millis(1);
    let channel = open(dir.path()).await;
    for _ in 0..100 {
        channel.put(events(&"x".repeat(100))).await.expect("room");
        channel.put(events("a b c")).await.expect("room");
    }
    take(&*channel, 41).await;
    // Acks may wait for a put to go with.
    channel.put(events("last")).await.expect("room");
    let contents = outside(dir.path()).contents().expect("contents");
    assert_eq!(
        (contents.events, contents.damaged, contents.torn),
        (360, 0, 0)
    );
    assert!(
        contents
            .oldest
            .is_some_and(|oldest| oldest >= began && oldest <= SystemTime::now())
    );
    assert_eq!(
        contents
            .segments
            .iter()
            .map(|segment| segment.events)
            .sum::<u64>(),
        360
    );
    assert!(contents.segments.len() > 1, "{:?}", contents.segments);
    let told = std::rc::Rc::new(std::cell::RefCell::new(vec![]));
    let telling = told.clone();
    let outside_telling =
        outside(dir.path()).telling(move |done, total| telling.borrow_mut().push((done, total)));
    let read = outside_telling.verify().expect("verified");
    let told = told.take();
    assert!(
        told.is_sorted() && told.iter().all(|(done, total)| done < total),
        "{told:?}"
    );
    assert!(!told.is_empty());
    assert!(read.events >= 360 && read.damage.is_empty(), "{read:?}");
    channel.close().await.expect("closed");
    let before = files_below(dir.path());
    let contents = outside(dir.path()).contents().expect("contents");
    outside(dir.path()).verify().expect("verified");
    assert!(before == files_below(dir.path()), "something was written");
    assert_eq!((contents.events, contents.groups_behind), (360, 0));
    let separate = ["two", "checkpoint", "one"].map(|name| dir.path().join(name));
    assert_eq!(
        Outside::read(&separate, None)
            .expect("a store")
            .contents()
            .expect("contents")
            .events,
        360
    );
}

#[tokio::test]
async fn inspect_beside_a_busy_channel_sees_no_damage() {
    let dir = tempfile::tempdir().expect("a directory");
    let channel = open(dir.path()).await;
    channel.put(events("a b")).await.expect("room");
    let path = dir.path().to_path_buf();
    let looking = std::thread::spawn(move || {
        for _ in 0..40 {
            let contents = outside(&path).contents().expect("contents");
            assert_eq!(contents.damaged, 0, "{contents:?}");
        }
    });
    let body = "x".repeat(3000);
    while !looking.is_finished() {
        channel
            .put(events(&format!("{body} {body}")))
            .await
            .expect("room");
        take(&*channel, 2).await;
    }
    looking.join().expect("no damage");
    channel.close().await.expect("closed");
}

#[tokio::test]
async fn verify_names_each_damaged_frame_and_quarantine_keeps_a_copy() {
    let dir = tempfile::tempdir().expect("a directory");
    let channel = open(dir.path()).await;
    for word in ["needle-1 x", "hay", "needle-2 y z", "hay"] {
        channel.put(events(word)).await.expect("room");
    }
    channel.close().await.expect("closed");
    for (path, bytes) in files_below(dir.path()) {
        let file = File::options().write(true).open(&path).expect("writable");
        for (at, _) in bytes
            .windows(7)
            .enumerate()
            .filter(|(_, window)| window == b"needle-")
        {
            file.write_all_at(b"N", at as u64).expect("written");
        }
    }
    let verified = outside(dir.path()).verify().expect("verified");
    let lost: Vec<_> = verified.damage.iter().map(|damage| damage.events).collect();
    assert_eq!((lost, verified.events), (vec![2, 3], 2));
    assert!(
        verified
            .damage
            .iter()
            .all(|damage| damage.why.contains("checksum")),
        "{verified:?}"
    );
    assert_eq!(
        outside(dir.path())
            .contents()
            .expect("contents")
            .quarantined_files,
        0
    );
    outside(dir.path()).quarantine().expect("put aside");
    let contents = outside(dir.path()).contents().expect("contents");
    assert_eq!((contents.quarantined_files, contents.events), (2, 7));
    let copies: Vec<_> = files_below(dir.path())
        .into_iter()
        .filter(|(path, _)| path.to_string_lossy().contains("quarantine"))
        .collect();
    assert!(
        copies
            .iter()
            .all(|(_, bytes)| bytes.windows(7).any(|window| window == b"Needle-"))
    );
    // The channel goes on without them.
    let channel = open(dir.path()).await;
    let take = channel
        .take(Want::events(9), Duration::from_secs(5))
        .await
        .expect("a take");
    assert_eq!(flume_testkit::parts::held(&*take), "hay hay");
}

#[test]
fn directories_without_a_channel_are_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let error = Outside::read(&[dir.path().into()], None)
        .err()
        .expect("nothing there");
    assert!(matches!(error, InspectError::Nothing(_)), "{error}");
    fs::write(dir.path().join("log-1"), "java").expect("written");
    let error = Outside::read(&[dir.path().into()], None)
        .err()
        .expect("Java's")
        .to_string();
    assert!(error.contains("Java Flume"), "{error}");
    let error = Outside::read(&["/nowhere".into()], None)
        .err()
        .expect("no directory")
        .to_string();
    assert_eq!(error, "failed to read /nowhere");
}

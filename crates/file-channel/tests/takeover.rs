//! Directories that the released Java Flume left, taken over. `rig/java-channel/make.sh` made them, with what Java Flume
//! delivers from each.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use flume_core::{Channel, ChannelError, Context, Event, Want, with_causes};
use flume_file_channel::{
    encryption::EncryptionConfig,
    inspect::Outside,
    java::{JavaContents, writer::JavaWriter},
    lock::DirectoryLock,
};
use flume_testkit::parts::{build, events, files_below, read};

const ENCRYPTION: &str = "
encryption.keyProvider = JCEKSFILE
encryption.keyProvider.keyStoreFile = @DIR@/keys.jceks
encryption.keyProvider.keyStorePasswordFile = @DIR@/password
encryption.keyProvider.keys = key-1
encryption.activeKey = key-1
encryption.cipherProvider = AESCTRNOPADDING
";
const SCENARIOS: [&str; 7] = [
    "crash",
    "checkpoint",
    "logs",
    "open",
    "roll",
    "clean",
    "encrypted",
];

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/java")
}

/// A directory as Java Flume left it.
fn left_by_java(scenario: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    let packed = data().join(format!("{scenario}.tar.gz"));
    let mut tar = Command::new("tar");
    tar.arg("-xzf").arg(packed).arg("-C").arg(dir.path());
    assert!(tar.status().expect("tar").success());
    fs::copy(data().join("keys.jceks"), dir.path().join("keys.jceks")).expect("copied");
    fs::write(dir.path().join("password"), "secret").expect("written");
    dir
}

fn encryption(dir: &Path, scenario: &str) -> String {
    if scenario == "encrypted" {
        ENCRYPTION.replace("@DIR@", &dir.display().to_string())
    } else {
        String::new()
    }
}

fn channel(dir: &Path, properties: &str) -> Box<dyn Channel> {
    let root = dir.display();
    let second = if dir.join("data2").is_dir() {
        format!(",{root}/data2")
    } else {
        String::new()
    };
    let text = format!(
        "checkpointDir = {root}/checkpoint\ndataDirs = {root}/data{second}\n\
         maxFileSize = 262144\nminimumRequiredSpace = 1048576\n{properties}"
    );
    let cx = Context::new("a1.channels.c1", &[]);
    build::<dyn Channel>(&flume_file_channel::REGISTRY, "file", &text, &cx)
}

async fn drain(channel: &dyn Channel) -> Vec<Event> {
    let mut all = vec![];
    while all.len() < channel.stats().events + all.len() {
        let take = channel.take(Want::events(7), Duration::from_secs(60)).await;
        let take = take.expect("a take");
        all.extend_from_slice(take.events());
        take.commit().await.expect("a commit");
    }
    all
}

/// A line as `rig/java-channel` prints it.
fn line(event: &Event) -> String {
    let headers: Vec<_> = event
        .headers
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let body: String = event
        .body
        .iter()
        .map(|byte| format!(" {byte:02x}"))
        .collect();
    format!("{{{}}}{body}\n", headers.join(", "))
}

fn delivered_by_java(scenario: &str) -> String {
    fs::read_to_string(data().join(format!("{scenario}.txt"))).expect("what Java Flume delivered")
}

async fn refusal(channel: &dyn Channel) -> String {
    let error: ChannelError = channel.open().await.expect_err("a refusal");
    with_causes(&error)
}

/// Every file below a directory with its bytes, without locks.
fn files(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = files_below(dir);
    all.retain(|(path, _)| !path.ends_with("in_use.lock"));
    all
}

#[tokio::test]
async fn what_java_would_deliver_is_delivered_in_its_order() {
    for scenario in SCENARIOS {
        let dir = left_by_java(scenario);
        let keys = encryption(dir.path(), scenario);
        let channel = channel(dir.path(), &keys);
        channel.open().await.expect(scenario);
        let lines: String = drain(&*channel).await.iter().map(line).collect();
        assert_eq!(lines, delivered_by_java(scenario), "{scenario}");
        channel.put(events("after")).await.expect("room");
        channel.close().await.expect("closed");
        channel.open().await.expect("it opens again");
        assert_eq!(drain(&*channel).await, events("after"), "{scenario}");
        channel.close().await.expect("closed");
    }
}

#[tokio::test]
async fn java_files_are_put_aside_and_java_is_kept_out() {
    let dir = left_by_java("roll");
    let before = files(dir.path());
    let channel = channel(dir.path(), "");
    channel.open().await.expect("taken over");
    channel.close().await.expect("closed");
    for (path, bytes) in before {
        if !path.starts_with(dir.path().join("data")) && !path.starts_with(dir.path().join("data2"))
        {
            continue;
        }
        assert!(!path.exists(), "{}", path.display());
        let parent = path.parent().expect("a directory");
        let aside = fs::read_dir(parent).expect("a directory").flatten();
        let aside = aside
            .map(|entry| entry.path())
            .find(|path| path.is_dir())
            .expect("java-*");
        let kept = fs::read(aside.join(path.file_name().expect("a name"))).expect("kept");
        assert!(kept == bytes, "{}", path.display());
    }
    let log = dir.path().join("data/log-2147483647");
    assert!(fs::read(&log).is_ok_and(|bytes| !bytes.is_empty()));
    assert!(!log.with_extension("meta").exists());
}

#[tokio::test]
async fn looking_changes_nothing_and_says_what_is_there() {
    for scenario in SCENARIOS {
        let dir = left_by_java(scenario);
        let text = encryption(dir.path(), scenario);
        let (config, _) = read::<EncryptionConfig>(&flume_file_channel::REGISTRY, "c1", &text);
        let encryption = config.expect("a configuration").build().expect("right");
        let keys = encryption.map(|encryption| encryption.keys().expect("keys"));
        let before = files(dir.path());
        let looked = JavaContents::read(&[dir.path().into()], keys.as_ref());
        let contents = looked.expect("readable").expect("a channel of Java Flume");
        assert_eq!(
            contents.events,
            delivered_by_java(scenario).lines().count(),
            "{scenario}"
        );
        let by_log: usize = contents.logs.iter().map(|log| log.events).sum();
        assert_eq!(
            (by_log, &contents.damage[..]),
            (contents.events, &[][..]),
            "{scenario}"
        );
        let logs_alone = contents.without_checkpoint.is_some();
        assert_eq!(logs_alone, scenario == "logs", "{contents:?}");
        assert!(files(dir.path()) == before, "{scenario}");
    }
}

#[tokio::test]
async fn an_enciphered_log_without_its_key_is_refused_by_name() {
    let dir = left_by_java("encrypted");
    let before = files(dir.path());
    let said = refusal(&*channel(dir.path(), "")).await;
    assert!(
        said.contains("log-1 is enciphered with key `key-1`"),
        "{said}"
    );
    assert!(said.contains("encryption.keyProvider is not set"), "{said}");
    assert!(files(dir.path()) == before);
}

#[tokio::test]
async fn a_running_java_flume_is_respected() {
    let dir = left_by_java("clean");
    // As Java takes it; another process would be named by its number.
    let _lock = DirectoryLock::acquire(&dir.path().join("data")).expect("a lock");
    let before = files(dir.path());
    let said = refusal(&*channel(dir.path(), "")).await;
    assert!(said.contains("is in use by"), "{said}");
    assert!(files(dir.path()) == before);
}

#[tokio::test]
async fn more_than_the_capacity_is_taken_over_and_drained() {
    let dir = left_by_java("clean");
    let channel = channel(
        dir.path(),
        "capacity = 1\ntransactionCapacity = 1\nkeep-alive = 0",
    );
    channel.open().await.expect("taken over");
    assert!(channel.put(events("no-room")).await.is_err());
    let lines: String = drain(&*channel).await.iter().map(line).collect();
    assert_eq!(lines, delivered_by_java("clean"));
    channel.put(events("room")).await.expect("room");
    channel.close().await.expect("closed");
}

#[tokio::test]
async fn a_log_that_is_gone_or_without_meta_is_refused_by_name() {
    let dir = left_by_java("clean");
    let log = dir.path().join("data/log-1");
    fs::rename(log.with_extension("meta"), dir.path().join("meta")).expect("moved");
    let said = refusal(&*channel(dir.path(), "")).await;
    assert!(said.contains("log-1 has no .meta file"), "{said}");
    fs::rename(dir.path().join("meta"), log.with_extension("meta.tmp")).expect("moved");
    channel(dir.path(), "")
        .open()
        .await
        .expect("what a crash left of it will do");

    let dir = left_by_java("clean");
    let log = dir.path().join("data/log-1");
    fs::rename(&log, dir.path().join("elsewhere")).expect("moved");
    let said = refusal(&*channel(dir.path(), "")).await;
    assert!(
        said.contains("log-1, which holds 4 queued events by"),
        "{said}"
    );
    assert!(
        said.contains("checkpoint/checkpoint, is in none of the dataDirs"),
        "{said}"
    );
}

#[tokio::test]
async fn events_beside_those_of_java_are_not_touched() {
    let dir = left_by_java("clean");
    let java = files(dir.path());
    let own = tempfile::tempdir().expect("a directory");
    let store = channel(own.path(), "");
    store.open().await.expect("open");
    store.put(events("ours")).await.expect("room");
    store.close().await.expect("closed");
    for (path, bytes) in files(own.path()) {
        let name = path.strip_prefix(own.path()).expect("below");
        fs::write(dir.path().join(name), bytes).expect("written");
    }
    let said = refusal(&*channel(dir.path(), "")).await;
    assert!(said.contains("belongs to Java Flume and"), "{said}");
    let now = files(dir.path());
    assert!(java.iter().all(|file| now.contains(file)));
}

/// What the way back writes is a directory of Java Flume, so it can be taken over again.
#[tokio::test]
async fn the_way_back_keeps_every_event() {
    let dir = left_by_java("checkpoint");
    let from = channel(dir.path(), "");
    from.open().await.expect("taken over");
    from.close().await.expect("closed");
    let back = tempfile::tempdir().expect("a directory");
    let mut writer = JavaWriter::create(&back.path().join("data")).expect("a new directory");
    let outside = Outside::read(&[dir.path().into()], None).expect("a store");
    let exported = outside
        .export(&mut |event| writer.put(event))
        .expect("exported");
    assert!(exported.damage.is_empty());
    writer.finish().expect("written");
    let to = channel(back.path(), "");
    to.open().await.expect("taken over");
    let lines: String = drain(&*to).await.iter().map(line).collect();
    assert_eq!(lines, delivered_by_java("checkpoint"));
}

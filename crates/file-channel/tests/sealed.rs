//! A channel with encryption on: nothing readable on disk, keys that change, keys that are missing.

use std::{fs, path::Path, sync::Arc, time::Duration};

use flume_core::{Channel, ChannelError, Context, Want};
use flume_file_channel::{
    encryption::{EncryptionConfig, Keys},
    inspect::Outside,
};
use flume_testkit::parts::{build, events, held, read};

const STORE: &[u8] = include_bytes!("../../keystore/tests/data/keys.jceks");
const ENCRYPTION: &str = "
encryption.keyProvider = JCEKSFILE
encryption.keyProvider.keyStoreFile = @DIR@/keys.jceks
encryption.keyProvider.keyStorePasswordFile = @DIR@/store
encryption.keyProvider.keys = key-0 key-2
encryption.keyProvider.keys.key-0.passwordFile = @DIR@/key-0
encryption.activeKey = key-0
encryption.cipherProvider = AESCTRNOPADDING
";

fn channel(dir: &Path, encryption: &str) -> Box<dyn Channel> {
    let text = format!(
        "checkpointDir = @DIR@/checkpoint\ndataDirs = @DIR@/data\nmaxFileSize = 262144\n{encryption}"
    );
    let text = text.replace("@DIR@", &dir.display().to_string());
    build::<dyn Channel>(
        &flume_file_channel::REGISTRY,
        "file",
        &text,
        &Context::new("a1.channels.c1", &[]),
    )
}

fn prepared() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    let files: [(&str, &[u8]); 3] = [
        ("keys.jceks", STORE),
        ("store", b"keyStorePassword\n"),
        ("key-0", b"keyPassword0\n"),
    ];
    files
        .iter()
        .for_each(|(name, bytes)| fs::write(dir.path().join(name), bytes).expect("written"));
    dir
}

fn readable(dir: &Path, word: &[u8]) -> bool {
    let files = fs::read_dir(dir.join("data"))
        .expect("a directory")
        .flatten();
    files
        .map(|file| fs::read(file.path()).expect("readable"))
        .any(|bytes| bytes.windows(word.len()).any(|window| window == word))
}

async fn put(dir: &Path, encryption: &str, words: &str) {
    let channel = channel(dir, encryption);
    channel.open().await.expect("an open channel");
    channel.put(events(words)).await.expect("room");
    channel.close().await.expect("closed");
}

fn all_keys(dir: &Path) -> Keys {
    let text = ENCRYPTION.replace("@DIR@", &dir.display().to_string());
    let (config, _) =
        read::<EncryptionConfig>(&flume_file_channel::REGISTRY, "a1.channels.c1", &text);
    let encryption = config
        .expect("a configuration")
        .build()
        .expect("right")
        .expect("on");
    encryption.keys().expect("keys")
}

#[tokio::test]
async fn what_is_sealed_is_read_with_its_key_whatever_key_is_active_now() {
    let dir = prepared();
    put(dir.path(), ENCRYPTION, "needle-one").await;
    put(
        dir.path(),
        &ENCRYPTION.replace("activeKey = key-0", "activeKey = key-2"),
        "needle-two",
    )
    .await;
    assert!(!readable(dir.path(), b"needle"));
    put(dir.path(), "", "plain").await;
    assert!(readable(dir.path(), b"plain"), "the search finds nothing");
    let contents = Outside::read(&[dir.path().into()], None)
        .expect("a store")
        .contents()
        .expect("contents");
    let keys: Vec<_> = contents
        .segments
        .iter()
        .map(|segment| segment.key_alias.as_str())
        .collect();
    assert_eq!((keys, contents.events), (vec!["key-0", "key-2", ""], 3));
    let verified = |keys| {
        Outside::read(&[dir.path().into()], keys)
            .expect("a store")
            .verify()
            .expect("verified")
    };
    assert_eq!((verified(None).sealed, verified(None).damage.len()), (2, 0));
    let with_keys = verified(Some(Arc::new(all_keys(dir.path()))));
    assert_eq!(
        (with_keys.sealed, with_keys.events, with_keys.damage.len()),
        (0, 3, 0)
    );
    let channel = channel(dir.path(), ENCRYPTION);
    channel.open().await.expect("an open channel");
    let mut seen = vec![];
    while seen.len() < 3 {
        let take = channel
            .take(Want::events(1), Duration::from_secs(5))
            .await
            .expect("a take");
        seen.push(held(&*take));
        take.commit().await.expect("a commit");
    }
    assert_eq!(seen, ["needle-one", "needle-two", "plain"]);
}

#[tokio::test]
async fn keys_that_cannot_be_read_keep_the_channel_closed() {
    let dir = prepared();
    fs::write(dir.path().join("key-0"), "wrong").expect("written");
    let refused = channel(dir.path(), ENCRYPTION).open().await;
    let Err(ChannelError::Storage(cause)) = refused else {
        panic!("{refused:?}")
    };
    let why = std::error::Error::source(&*cause).map(ToString::to_string);
    assert_eq!(why.as_deref(), Some("the password of key `key-0` is wrong"));
}

//! Keys out of key stores that Java's `keytool` made (`data/README.md`), and the properties that lead there.

use std::{fs, path::Path};

use flume_core::{BuildError, Registry, config::Secret};
use flume_file_channel::encryption::{
    EncryptionConfig, FramePlace, Keys,
    jceks::{KeyStore, KeyStoreError},
};
use flume_testkit::parts::read;
use sha1::{Digest, Sha1};

const STORE: &[u8] = include_bytes!("data/keys.jceks");
const PASSWORD: &str = "keyStorePassword";

fn store(bytes: &[u8]) -> Result<KeyStore, KeyStoreError> {
    KeyStore::read(bytes, &Secret(PASSWORD.into()))
}

fn check(alias: &str, password: &str, expected: Result<(&str, &str), &str>) {
    let key = store(STORE)
        .expect("a store")
        .secret(alias, &Secret(password.into()));
    let seen = key.map(|key| {
        let digits: String = key.bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        (key.algorithm, digits)
    });
    let seen = seen
        .as_ref()
        .map(|(algorithm, digits)| (algorithm.as_str(), digits.as_str()));
    assert_eq!(
        seen.map_err(ToString::to_string),
        expected.map_err(String::from),
        "{alias}"
    );
}

#[test]
fn keys_are_those_that_java_reads() {
    check(
        "key-0",
        "keyPassword0",
        Ok(("AES", "dc563776d44fe93e571c17882e0d5bae")),
    );
    let digits = "7a33ac1ec803b0cf93e383053e2deefddb2b463c8b20a8dce8a6c79427d83801";
    check("key-1", "keyPassword1", Ok(("AES", digits)));
    check(
        "KEY-2",
        PASSWORD,
        Ok(("AES", "c22973693c536a780d4fc2f84a61f8e765ed2a8696142d2a")),
    );
    check(
        "triple",
        PASSWORD,
        Ok(("DESede", "764a37670e70b5d3070e4fb07c67073e251c13dc1c3b4031")),
    );
}

#[test]
fn what_is_wrong_is_said() {
    check(
        "key-0",
        "keyPassword1",
        Err("the password of key `key-0` is wrong"),
    );
    check(
        "key-0",
        "pässword",
        Err("the password of key `key-0` is wrong"),
    );
    check("pair", PASSWORD, Err("`pair` is not a secret key"));
    check("trusted", PASSWORD, Err("`trusted` is not a secret key"));
    check(
        "no",
        "",
        Err("the key store has no key `no`; it has `key-0`, `key-1`, `key-2`, `triple`"),
    );
    let error =
        |bytes: &[u8], password: &str| KeyStore::read(bytes, &Secret(password.into())).err();
    assert_eq!(error(STORE, "other"), Some(KeyStoreError::Digest));
    assert_eq!(
        error(b"\xfe\xed\xfe\xed\0\0\0\x02", PASSWORD),
        Some(KeyStoreError::Jks)
    );
    assert_eq!(
        error(b"\x30\x82\x01\x01", PASSWORD),
        Some(KeyStoreError::Foreign)
    );
    assert_eq!(error(b"", PASSWORD), Some(KeyStoreError::Foreign));
}

/// Closes content with the digest that the password asks for.
fn closed(content: &[u8]) -> Vec<u8> {
    let mut sum = Sha1::new();
    PASSWORD
        .encode_utf16()
        .for_each(|unit| sum.update(unit.to_be_bytes()));
    sum.update(b"Mighty Aphrodite");
    sum.update(content);
    [content, &sum.finalize()].concat()
}

/// A store of the one key that is the first in the other, without its digest.
fn one_key() -> Vec<u8> {
    let next = STORE[16..]
        .windows(9)
        .position(|window| window == b"\0\0\0\x03\0\x05key")
        .expect("another key");
    [&STORE[..8], &[0, 0, 0, 1], &STORE[12..16 + next]].concat()
}

#[test]
fn no_damage_is_a_panic_and_every_damage_is_noticed() {
    let content = one_key();
    let whole = closed(&content);
    assert!(store(&whole).is_ok() && closed(&STORE[..STORE.len() - 20]) == STORE);
    for length in 0..whole.len() {
        assert!(store(&whole[..length]).is_err(), "cut to {length}");
    }
    for length in 0..content.len() {
        assert!(
            store(&closed(&content[..length])).is_err(),
            "content cut to {length}"
        );
    }
    for place in 0..content.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut bytes = content.clone();
            bytes[place] ^= flip;
            assert!(
                store(&[&bytes[..], &whole[content.len()..]].concat()).is_err(),
                "byte {place}"
            );
            // With a digest that fits, a changed byte may go unnoticed; that it ends well is all there is to ask.
            let _ = store(&closed(&bytes));
        }
    }
}

const PROPERTIES: &str = "
encryption.keyProvider = JCEKSFILE
encryption.keyProvider.keyStoreFile = @DIR@/keys.jceks
encryption.keyProvider.keyStorePasswordFile = @DIR@/store
encryption.keyProvider.keys = key-0 Key-2
encryption.keyProvider.keys.key-0.passwordFile = @DIR@/key-0
encryption.activeKey = key-0
encryption.cipherProvider = AESCTRNOPADDING
";

fn built(text: &str) -> Result<bool, BuildError> {
    let (config, problems) = read::<EncryptionConfig>(&Registry::EMPTY, "a1.channels.c1", text);
    assert_eq!(problems, [""; 0]);
    config
        .expect("a configuration")
        .build()
        .map(|encryption| encryption.is_some())
}

fn keys(dir: &Path, text: &str) -> Result<Keys, String> {
    let text = text.replace("@DIR@", dir.to_str().expect("UTF-8"));
    let (config, _) = read::<EncryptionConfig>(&Registry::EMPTY, "a1.channels.c1", &text);
    let encryption = config
        .expect("a configuration")
        .build()
        .expect("built")
        .expect("on");
    encryption.keys().map_err(|error| {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
        format!("{error}{}", cause.unwrap_or_default())
            .replace(dir.to_str().expect("UTF-8"), "@DIR@")
    })
}

#[test]
fn properties_lead_to_keys() {
    let dir = tempfile::tempdir().expect("a directory");
    let write =
        |name: &str, bytes: &[u8]| fs::write(dir.path().join(name), bytes).expect("written");
    write("keys.jceks", STORE);
    write("store", b" keyStorePassword\n");
    write("key-0", b"keyPassword0\n");
    let keys_of = |text: &str| keys(dir.path(), text);
    let all = keys_of(PROPERTIES).expect("keys");
    assert_eq!(all.active(), "key-0");
    let place = FramePlace { group: 1, frame: 0 };
    for alias in ["key-0", "Key-2"] {
        let mut body = b"body".to_vec();
        let cipher = all.cipher(alias, &[7; 16], None).expect("a cipher");
        let tag = cipher.seal(place, b"", &mut body).expect("sealed");
        let again = keys_of(PROPERTIES)
            .expect("keys")
            .cipher(alias, &[7; 16], None)
            .expect("a cipher");
        again.open(place, b"", &mut body, &tag).expect("opened");
        assert_eq!(body, b"body");
    }
    let class = "org.apache.flume.channel.file.encryption.JCEFileKeyProvider$Builder";
    assert!(keys_of(&PROPERTIES.replace("JCEKSFILE", class)).is_ok());
    let wrong = |from: &str, to: &str, expected: &str| {
        assert_eq!(
            keys_of(&PROPERTIES.replace(from, to)).err().as_deref(),
            Some(expected)
        );
    };
    wrong(
        "Key-2",
        "triple",
        "key `triple` is for DESede, an AES key is needed; `keytool -genseckey -keyalg AES` makes one",
    );
    wrong(
        "Key-2",
        "key-1",
        "failed to read keys from @DIR@/keys.jceks: the password of key `key-1` is wrong",
    );
    wrong(
        "DIR@/store",
        "DIR@/no",
        "failed to read @DIR@/no: No such file or directory (os error 2)",
    );
}

#[test]
fn properties_that_do_not_go_together_are_named() {
    assert!(!built("").expect("nothing configured"));
    assert!(built(PROPERTIES).expect("all configured"));
    let without = |key: &str| {
        let lines: Vec<_> = PROPERTIES
            .lines()
            .filter(|line| !line.starts_with(&format!("{key} =")))
            .collect();
        built(&lines.join("\n"))
            .expect_err("something is missing")
            .to_string()
    };
    let missing = [
        "encryption.activeKey",
        "encryption.cipherProvider",
        "encryption.keyProvider.keyStoreFile",
        "encryption.keyProvider.keyStorePasswordFile",
    ];
    for key in missing {
        assert_eq!(
            without(key),
            format!("{key}: required with encryption.keyProvider, but not set")
        );
    }
    assert_eq!(
        without("encryption.keyProvider"),
        "encryption.keyProvider: required with encryption.activeKey and encryption.cipherProvider"
    );
    let wrong = |from: &str, to: &str, expected: &str| {
        let error = built(&PROPERTIES.replace(from, to)).expect_err("something is wrong");
        assert_eq!(error.to_string(), expected);
    };
    wrong(
        "activeKey = key-0",
        "activeKey = key-9",
        "encryption.activeKey: `key-9` is not one of encryption.keyProvider.keys: key-0 Key-2",
    );
    wrong(
        "keys.key-0.pass",
        "keys.key-9.pass",
        "encryption.keyProvider.keys.key-9.passwordFile: `key-9` is not one of encryption.keyProvider.keys",
    );
    wrong(
        "key-0.passwordFile",
        "key-0.password",
        "encryption.keyProvider.keys.key-0.password: expected encryption.keyProvider.keys.<alias>.passwordFile",
    );
}

//! Keys out of key stores that Java's `keytool` made (`data/README.md`).

use flume_keystore::{KeyStore, KeyStoreError};
use sha1::{Digest, Sha1};

const STORE: &[u8] = include_bytes!("data/keys.jceks");
const PASSWORD: &str = "keyStorePassword";

fn store(bytes: &[u8]) -> Result<KeyStore, KeyStoreError> {
    KeyStore::read(bytes, Some(PASSWORD))
}

fn check(alias: &str, password: &str, expected: Result<(&str, &str), &str>) {
    let key = store(STORE).expect("a store").secret(alias, password);
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
    let error = |bytes: &[u8], password: &str| KeyStore::read(bytes, Some(password)).err();
    assert_eq!(error(STORE, "other"), Some(KeyStoreError::Digest));
    let short = error(b"\x30\x82\x01\x01", PASSWORD);
    assert!(
        matches!(short, Some(KeyStoreError::Malformed(_))),
        "{short:?}"
    );
    assert_eq!(error(b"GIF89a", PASSWORD), Some(KeyStoreError::Foreign));
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

//! Private keys and certificates out of stores that `keytool` and `openssl` made (`data/README.md`).

use std::{fs, path::Path};

use flume_keystore::{KeyStore, KeyStoreError};
use sha1::{Digest, Sha1};

const STORE_PASSWORD: &str = "storePassword";
const KEY_PASSWORD: &str = "keyPassword";

fn data(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name);
    fs::read(path).expect("test data")
}

fn open(name: &str) -> KeyStore {
    KeyStore::read(&data(name), Some(STORE_PASSWORD)).expect("a key store")
}

fn digest(bytes: &[u8]) -> String {
    let digest = Sha1::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What Java finds in a store: key and certificate, by the table in `data/README.md`.
fn expected(name: &str) -> (String, String) {
    let table = String::from_utf8(data("README.md")).expect("UTF-8");
    let row = table
        .lines()
        .find(|line| line.starts_with(&format!("| `{name}` |")));
    let cells: Vec<_> = row.expect("a row").split('|').map(str::trim).collect();
    (cells[2].into(), cells[3].into())
}

fn check_identity(name: &str, key_password: &str) {
    let identity = open(name).identity(key_password).expect("an identity");
    let found = (
        digest(identity.key.secret_der()),
        digest(&identity.chain[0]),
    );
    assert_eq!(found, expected(name), "{name}");
}

#[test]
fn private_keys_are_those_that_java_reads() {
    check_identity("server.jks", KEY_PASSWORD);
    check_identity("server.jceks", KEY_PASSWORD);
    check_identity("server.pkcs12", STORE_PASSWORD);
    check_identity("rsa.jks", STORE_PASSWORD);
    check_identity("legacy.pkcs12", STORE_PASSWORD);
    let pem = open("server.pem").identity("").expect("an identity");
    assert_eq!(digest(&pem.chain[0]), expected("server.pkcs12").1);
}

#[test]
fn certificates_are_trusted_whether_alone_or_with_a_key() {
    for name in [
        "trust.jks",
        "trust.jceks",
        "trust.pkcs12",
        "server.jks",
        "server.pkcs12",
    ] {
        let store = open(name);
        let trusted: Vec<_> = store
            .trusted()
            .map(|certificate| digest(certificate))
            .collect();
        assert_eq!(trusted, [expected(name).1], "{name}");
    }
    // A trust store of Java's own kinds opens without its password.
    let store = KeyStore::read(&data("trust.jks"), None).expect("a key store");
    assert_eq!(store.trusted().count(), 1);
}

#[test]
fn what_is_wrong_is_said() {
    for name in ["server.jks", "server.jceks", "server.pkcs12"] {
        let error = KeyStore::read(&data(name), Some("other")).err();
        assert_eq!(error, Some(KeyStoreError::Digest), "{name}");
    }
    for name in ["server.jks", "server.jceks"] {
        let error = open(name).identity(STORE_PASSWORD).err();
        assert_eq!(
            error,
            Some(KeyStoreError::Password("server".into())),
            "{name}"
        );
    }
    assert_eq!(
        open("trust.jks").identity("").err(),
        Some(KeyStoreError::NoPrivateKey)
    );
    let encrypted =
        b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let error = KeyStore::read(encrypted, None)
        .err()
        .expect("an error")
        .to_string();
    assert!(error.contains("openssl pkcs12 -export"), "{error}");
    let empty = KeyStore::read(b"-----BEGIN \n", None).err();
    assert!(
        matches!(empty, Some(KeyStoreError::Malformed(_))),
        "{empty:?}"
    );
}

/// Not for JCEKS and PKCS12, whose keys take thousands of rounds of a digest each: those are fuzzed.
#[test]
fn no_damage_is_a_panic() {
    for name in ["server.jks", "trust.jks", "server.pem"] {
        let whole = data(name);
        for place in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[place] ^= 0x55;
            for damaged in [&bytes[..], &whole[..place]] {
                if let Ok(store) = KeyStore::read(damaged, None) {
                    let _ = store.identity(KEY_PASSWORD);
                    let _ = store.trusted().count();
                }
            }
        }
    }
}

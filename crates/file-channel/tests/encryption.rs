//! The properties that lead to keys in a key store.

use std::{fs, path::Path};

use flume_core::{BuildError, Registry};
use flume_file_channel::encryption::{EncryptionConfig, FramePlace, Keys};
use flume_testkit::parts::read;

const STORE: &[u8] = include_bytes!("../../keystore/tests/data/keys.jceks");

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

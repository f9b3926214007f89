//! Encryption at rest: Flume's `encryption.*` properties, the key stores they name, and the seal of frames.

mod frames;

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use flume_core::{
    BuildError, Config,
    config::{Choice, Names, Prefix, Secret},
};
use flume_keystore::{KeyStore, KeyStoreError};
pub use frames::{FrameCipher, FramePlace, Keys, SealError, TAG_BYTES};

/// No key store or password file is longer; a mistaken path may lead to anything.
const MOST_FILE_BYTES: u64 = 16 << 20;

/// Encryption of what a channel keeps on disk.
#[derive(Clone, Config)]
pub struct EncryptionConfig {
    /// Where keys come from, `JCEKSFILE`; set, it turns encryption on.
    #[prop("encryption.keyProvider")]
    key_provider: Option<KeyProvider>,
    /// Alias of the key for what is written; required with a key provider. It may change: what is there is still read
    /// with the key it was written with.
    #[prop("encryption.activeKey")]
    active_key: Option<String>,
    /// `AESCTRNOPADDING`; required with a key provider. It says how Java Flume's files are read; what is written here
    /// is AES-256-GCM, which also notices changes.
    #[prop("encryption.cipherProvider")]
    cipher_provider: Option<CipherProvider>,
    /// JCEKS key store with the keys; required with a key provider.
    #[prop("encryption.keyProvider.keyStoreFile")]
    key_store_file: Option<PathBuf>,
    /// File with the key store's password; required with a key provider.
    #[prop("encryption.keyProvider.keyStorePasswordFile")]
    key_store_password_file: Option<PathBuf>,
    /// Aliases of the keys to have, the active one among them; required with a key provider.
    #[prop("encryption.keyProvider.keys")]
    keys: Option<Names>,
    /// `<alias>.passwordFile`: file with the password of that key; unset, it is the key store's.
    #[prop("encryption.keyProvider.keys")]
    key_settings: Prefix<String>,
}

/// What gives keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeyProvider {
    Jceks,
}

impl Choice for KeyProvider {
    const CHOICES: &'static [(&'static str, Self)] = &[
        ("JCEKSFILE", KeyProvider::Jceks),
        (
            "org.apache.flume.channel.file.encryption.JCEFileKeyProvider$Builder",
            KeyProvider::Jceks,
        ),
    ];
}

/// How Java Flume enciphers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CipherProvider {
    AesCtr,
}

impl Choice for CipherProvider {
    const CHOICES: &'static [(&'static str, Self)] = &[
        ("AESCTRNOPADDING", CipherProvider::AesCtr),
        (
            "org.apache.flume.channel.file.encryption.AESCTRNoPaddingProvider",
            CipherProvider::AesCtr,
        ),
    ];
}

/// Encryption as configured; the keys are not read yet.
#[derive(Clone, Debug)]
pub struct Encryption {
    active: String,
    store: PathBuf,
    store_password: PathBuf,
    /// Alias and password file of each key.
    keys: Vec<(String, Option<PathBuf>)>,
}

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A file could not be read.
    #[error("failed to read {path}")]
    File {
        /// Which.
        path: PathBuf,
        #[source]
        /// Why.
        cause: io::Error,
    },
    /// The store or a key in it could not be opened.
    #[error("failed to read keys from {path}")]
    Store {
        /// Which.
        path: PathBuf,
        #[source]
        /// Why.
        cause: KeyStoreError,
    },
    /// A key of another algorithm.
    #[error(
        "key `{alias}` is for {algorithm}, an AES key is needed; `keytool -genseckey -keyalg AES` makes one"
    )]
    Algorithm {
        /// Which.
        alias: String,
        /// Its algorithm.
        algorithm: String,
    },
}

impl EncryptionConfig {
    /// What is configured, if anything is.
    pub fn build(&self) -> Result<Option<Encryption>, BuildError> {
        const PROVIDER: &str = "encryption.keyProvider";
        if self.key_provider.is_none() {
            return match (&self.active_key, &self.cipher_provider) {
                (None, None) => Ok(None),
                _ => Err(BuildError::at(
                    PROVIDER,
                    "required with encryption.activeKey and encryption.cipherProvider",
                )),
            };
        }
        let required =
            |key: &str| BuildError::at(key, "required with encryption.keyProvider, but not set");
        let active = self
            .active_key
            .clone()
            .ok_or_else(|| required("encryption.activeKey"))?;
        self.cipher_provider
            .ok_or_else(|| required("encryption.cipherProvider"))?;
        let store = self.key_store_file.clone();
        let store = store.ok_or_else(|| required("encryption.keyProvider.keyStoreFile"))?;
        let store_password = self.key_store_password_file.clone();
        let store_password = store_password
            .ok_or_else(|| required("encryption.keyProvider.keyStorePasswordFile"))?;
        let keys = self
            .keys
            .as_ref()
            .ok_or_else(|| required("encryption.keyProvider.keys"))?;
        if !keys.texts().any(|alias| alias == active) {
            let listed: Vec<_> = keys.texts().collect();
            let text = format!(
                "`{active}` is not one of encryption.keyProvider.keys: {}",
                listed.join(" ")
            );
            return Err(BuildError::at("encryption.activeKey", text));
        }
        let mut password_files = self.password_files(keys)?;
        let keys = keys
            .texts()
            .map(|alias| (alias.into(), password_files.remove(alias)))
            .collect();
        Ok(Some(Encryption {
            active,
            store,
            store_password,
            keys,
        }))
    }

    fn password_files(&self, keys: &Names) -> Result<BTreeMap<String, PathBuf>, BuildError> {
        let of = |(rest, path): (&String, &String)| {
            let at =
                |text: String| BuildError::at(&format!("encryption.keyProvider.keys.{rest}"), text);
            let (alias, key) = rest.rsplit_once('.').unwrap_or((rest, ""));
            if key != "passwordFile" {
                return Err(at(
                    "expected encryption.keyProvider.keys.<alias>.passwordFile".into(),
                ));
            }
            if !keys.texts().any(|known| known == alias) {
                return Err(at(format!(
                    "`{alias}` is not one of encryption.keyProvider.keys"
                )));
            }
            Ok((alias.to_string(), PathBuf::from(path)))
        };
        self.key_settings.0.iter().map(of).collect()
    }
}

impl Encryption {
    /// Reads the keys.
    pub fn keys(&self) -> Result<Keys, KeyError> {
        let in_store = |cause| KeyError::Store {
            path: self.store.clone(),
            cause,
        };
        let store_password = read_password(&self.store_password)?;
        let store =
            KeyStore::read(&read(&self.store)?, Some(&store_password.0)).map_err(in_store)?;
        let mut keys = BTreeMap::new();
        for (alias, password_file) in &self.keys {
            let own = password_file.as_deref().map(read_password).transpose()?;
            let key = store
                .secret(alias, &own.as_ref().unwrap_or(&store_password).0)
                .map_err(in_store)?;
            if key.algorithm != "AES" || ![16, 24, 32].contains(&key.bytes.len()) {
                return Err(KeyError::Algorithm {
                    alias: alias.clone(),
                    algorithm: key.algorithm,
                });
            }
            keys.insert(alias.clone(), key.bytes);
        }
        Ok(Keys::new(self.active.clone(), keys))
    }
}

/// A password from a file, without the white space around it, as Flume reads it.
fn read_password(path: &Path) -> Result<Secret, KeyError> {
    let text = String::from_utf8(read(path)?)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error));
    let text = text.map_err(|cause| KeyError::File {
        path: path.into(),
        cause,
    })?;
    Ok(Secret(text.trim().into()))
}

fn read(path: &Path) -> Result<Vec<u8>, KeyError> {
    let mut bytes = vec![];
    let read =
        File::open(path).and_then(|file| file.take(MOST_FILE_BYTES + 1).read_to_end(&mut bytes));
    let read = read.and_then(|_| {
        if bytes.len() as u64 > MOST_FILE_BYTES {
            Err(io::Error::other(format!(
                "it has more than {MOST_FILE_BYTES} bytes"
            )))
        } else {
            Ok(())
        }
    });
    read.map_err(|cause| KeyError::File {
        path: path.into(),
        cause,
    })?;
    Ok(bytes)
}

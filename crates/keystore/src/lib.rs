//! Key stores: bytes and a password in, keys and certificates out.
//!
//! What belongs here: every format in which Java programs keep keys and certificates (JKS, JCEKS, PKCS12), and PEM.
//! What does not: files, sockets, TLS, and what a key is used for. Nothing here knows Flume; nothing here does I/O.

mod java_input;
mod java_object;
mod java_store;
mod pem;
mod pkcs12;
mod protected_key;

use java_input::Malformed;
use java_store::SealedSecret;
use protected_key::ProtectedKey;
pub use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

/// A key store that was read and, if a password was given, found whole. Keys in it may be sealed by passwords of
/// their own.
pub struct KeyStore {
    /// In the order of the file.
    entries: Vec<(String, StoreEntry)>,
}

/// What an alias stands for.
enum StoreEntry {
    /// A secret key that opens with a password.
    SealedSecret(SealedSecret),
    /// A secret key that opened with its store.
    Secret(SecretKey),
    /// A private key, with its certificate and those that vouch for it.
    PrivateKey {
        key: ProtectedKey,
        chain: Vec<CertificateDer<'static>>,
    },
    /// A certificate to be trusted.
    Certificate(CertificateDer<'static>),
}

/// A symmetric key.
#[derive(Clone)]
pub struct SecretKey {
    /// Its algorithm as Java names it: `AES`.
    pub algorithm: String,
    /// Its bytes.
    pub bytes: Zeroizing<Vec<u8>>,
}

/// What a peer proves its name with.
pub struct Identity {
    /// The private key.
    pub key: PrivateKeyDer<'static>,
    /// Its certificate first, then those that vouch for it.
    pub chain: Vec<CertificateDer<'static>>,
}

/// Why a key store or a key in it cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyStoreError {
    /// Another kind of file.
    #[error("not a key store; JKS, JCEKS, PKCS12 and PEM can be read")]
    Foreign,
    /// The digest at the end does not fit.
    #[error("the key store's password is wrong, or the file is damaged")]
    Digest,
    /// The content is not understood.
    #[error("the key store is malformed: {0}")]
    Malformed(String),
    /// No such alias.
    #[error("the key store has no key `{alias}`; it has {known}")]
    Missing {
        /// What was asked for.
        alias: String,
        /// What there is.
        known: String,
    },
    /// A private key or a certificate.
    #[error("`{0}` is not a secret key")]
    NotSecret(String),
    /// Nothing to prove a name with.
    #[error(
        "the key store has no private key; `keytool -genkeypair` makes one, and `keytool -importkeystore` copies one"
    )]
    NoPrivateKey,
    /// The key did not open.
    #[error("the password of key `{0}` is wrong")]
    Password(String),
}

impl From<Malformed> for KeyStoreError {
    fn from(Malformed(what): Malformed) -> Self {
        KeyStoreError::Malformed(what.into())
    }
}

impl KeyStore {
    /// Reads a whole file; its first bytes tell its format. A JKS or JCEKS store is checked against `password` if
    /// there is one; PKCS12 uses the empty password in its place. PEM has none.
    ///
    /// # Errors
    /// For bytes in another format, a wrong password, and damage.
    pub fn read(bytes: &[u8], password: Option<&str>) -> Result<Self, KeyStoreError> {
        let entries = if java_store::recognizes(bytes) {
            java_store::read(bytes, password)?
        } else if pkcs12::recognizes(bytes) {
            pkcs12::read(bytes, password.unwrap_or_default())?
        } else if pem::recognizes(bytes) {
            pem::read(bytes)?
        } else {
            return Err(KeyStoreError::Foreign);
        };
        Ok(KeyStore { entries })
    }

    /// Opens the secret key `alias` with its password. Aliases are compared without case, as in Java.
    ///
    /// # Errors
    /// When there is no such secret key, and when the password is wrong.
    pub fn secret(&self, alias: &str, password: &str) -> Result<SecretKey, KeyStoreError> {
        let wanted = alias.to_lowercase();
        let found = self.entries.iter().find(|(known, _)| *known == wanted);
        match found {
            Some((_, StoreEntry::SealedSecret(sealed))) => sealed.open(alias, password),
            Some((_, StoreEntry::Secret(secret))) => Ok(secret.clone()),
            Some(_) => Err(KeyStoreError::NotSecret(alias.into())),
            None => Err(KeyStoreError::Missing {
                alias: alias.into(),
                known: self.known_secrets(),
            }),
        }
    }

    /// Opens the first private key with its password.
    ///
    /// # Errors
    /// When there is none, and when the password is wrong.
    pub fn identity(&self, password: &str) -> Result<Identity, KeyStoreError> {
        let found = self.entries.iter().find_map(|(alias, entry)| match entry {
            StoreEntry::PrivateKey { key, chain } => Some((alias, key, chain)),
            _ => None,
        });
        let (alias, key, chain) = found.ok_or(KeyStoreError::NoPrivateKey)?;
        Ok(Identity {
            key: key.open(alias, password)?,
            chain: chain.clone(),
        })
    }

    /// The certificates that a user of the store trusts: those that stand alone, and the first of each private key,
    /// as in Java.
    pub fn trusted(&self) -> impl Iterator<Item = &CertificateDer<'static>> {
        self.entries.iter().filter_map(|(_, entry)| match entry {
            StoreEntry::Certificate(certificate) => Some(certificate),
            StoreEntry::PrivateKey { chain, .. } => chain.first(),
            StoreEntry::SealedSecret(_) | StoreEntry::Secret(_) => None,
        })
    }

    fn known_secrets(&self) -> String {
        let is_secret = |entry: &StoreEntry| {
            matches!(entry, StoreEntry::SealedSecret(_) | StoreEntry::Secret(_))
        };
        let mut known: Vec<_> = (self.entries.iter())
            .filter(|(_, entry)| is_secret(entry))
            .map(|(alias, _)| format!("`{alias}`"))
            .collect();
        known.sort();
        if known.is_empty() {
            return "no secret keys; `keytool -genseckey -storetype JCEKS` makes one".into();
        }
        known.join(", ")
    }
}

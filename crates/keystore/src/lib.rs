//! Key stores: bytes and a password in, keys out.
//!
//! What belongs here: every format in which Java programs keep keys and certificates. What does not: files, sockets,
//! TLS, and what a key is used for. Nothing here knows Flume; nothing here does I/O.

mod java_input;
mod java_object;
mod java_store;

use java_input::Malformed;
pub use java_store::KeyStore;
use zeroize::Zeroizing;

/// A key as it came out of a store.
pub struct SecretKey {
    /// Its algorithm as Java names it: `AES`.
    pub algorithm: String,
    /// Its bytes.
    pub bytes: Zeroizing<Vec<u8>>,
}

/// Why a key store or a key in it cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyStoreError {
    /// Another kind of file.
    #[error("not a JCEKS key store; `keytool -genseckey -storetype JCEKS` makes one")]
    Foreign,
    /// A key store that cannot hold secret keys.
    #[error(
        "a JKS key store, which holds no secret keys; `keytool -genseckey -storetype JCEKS` makes a JCEKS one"
    )]
    Jks,
    /// The digest at the end does not fit.
    #[error("the key store's password is wrong, or the file is damaged")]
    Digest,
    /// The digest fits and the content is not understood.
    #[error("the key store is malformed: {0}")]
    Malformed(&'static str),
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
    /// The key did not open.
    #[error("the password of key `{0}` is wrong")]
    Password(String),
}

impl From<Malformed> for KeyStoreError {
    fn from(Malformed(what): Malformed) -> Self {
        KeyStoreError::Malformed(what)
    }
}

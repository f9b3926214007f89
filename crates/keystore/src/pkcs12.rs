//! PKCS12, the default of `keytool` since Java 9 and of `openssl pkcs12`.

use p12_keystore::{
    KeyStore as Archive, KeyStoreEntry, Pkcs12ImportPolicy,
    error::Error,
    secret::{Secret, SecretKeyType},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use crate::{KeyStoreError, SecretKey, StoreEntry, protected_key::ProtectedKey};

/// The first byte of a DER sequence.
const SEQUENCE: u8 = 0x30;

/// Whether this may be a PKCS12 store.
pub(crate) fn recognizes(bytes: &[u8]) -> bool {
    bytes.first() == Some(&SEQUENCE)
}

/// Opens the whole store: its keys have the store's password.
pub(crate) fn read(
    bytes: &[u8],
    password: &str,
) -> Result<Vec<(String, StoreEntry)>, KeyStoreError> {
    let archive = Archive::from_pkcs12(bytes, password, Pkcs12ImportPolicy::Strict);
    let archive = archive.map_err(|error| match error {
        Error::MacError(_) => KeyStoreError::Digest,
        other => KeyStoreError::Malformed(other.to_string()),
    })?;
    let entries = archive.entries();
    Ok(entries
        .map(|(alias, entry)| (alias.to_lowercase(), converted(entry)))
        .collect())
}

fn converted(entry: &KeyStoreEntry) -> StoreEntry {
    match entry {
        KeyStoreEntry::PrivateKeyChain(chain) => {
            let key = PrivatePkcs8KeyDer::from(chain.key().as_der().to_vec());
            StoreEntry::PrivateKey {
                key: ProtectedKey::Open(PrivateKeyDer::Pkcs8(key)),
                chain: chain
                    .certs()
                    .iter()
                    .map(|certificate| CertificateDer::from(certificate.as_der().to_vec()))
                    .collect(),
            }
        }
        KeyStoreEntry::Certificate(certificate) => {
            StoreEntry::Certificate(CertificateDer::from(certificate.as_der().to_vec()))
        }
        KeyStoreEntry::Secret(secret) => StoreEntry::Secret(secret_key(secret)),
    }
}

fn secret_key(secret: &Secret) -> SecretKey {
    let algorithm = match secret.key_type() {
        SecretKeyType::Aes => "AES".into(),
        other => format!("{other:?}"),
    };
    SecretKey {
        algorithm,
        bytes: Zeroizing::new(secret.key().to_vec()),
    }
}

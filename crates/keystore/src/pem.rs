//! PEM: private keys and certificates as text between `-----BEGIN …-----` lines.

use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

use crate::{KeyStoreError, StoreEntry, protected_key::ProtectedKey};

const BEGIN: &[u8] = b"-----BEGIN ";

/// Whether this may be PEM; text may stand before the first block.
pub(crate) fn recognizes(bytes: &[u8]) -> bool {
    bytes.windows(BEGIN.len()).any(|window| window == BEGIN)
}

/// With a private key, the certificates are its chain, in their order. Without one, each is trusted.
pub(crate) fn read(bytes: &[u8]) -> Result<Vec<(String, StoreEntry)>, KeyStoreError> {
    let malformed = |text: &str| KeyStoreError::Malformed(text.into());
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
    let certificates = certificates.map_err(|_| malformed("a block of the PEM file is damaged"))?;
    let encrypted = b"-----BEGIN ENCRYPTED PRIVATE KEY-----";
    if bytes
        .windows(encrypted.len())
        .any(|window| window == encrypted)
    {
        return Err(malformed(
            "its private key is encrypted, which is not read from PEM; `openssl pkcs12 -export` makes a PKCS12 store of it",
        ));
    }
    let key = match PrivateKeyDer::from_pem_slice(bytes) {
        Ok(key) => Some(key),
        Err(rustls_pki_types::pem::Error::NoItemsFound) => None,
        Err(_) => return Err(malformed("the private key in the PEM file is damaged")),
    };
    if let Some(key) = key {
        let entry = StoreEntry::PrivateKey {
            key: ProtectedKey::Open(key),
            chain: certificates,
        };
        return Ok(vec![("key".into(), entry)]);
    }
    if certificates.is_empty() {
        return Err(malformed(
            "the PEM file has neither a certificate nor a private key",
        ));
    }
    let entries = certificates.into_iter().enumerate();
    Ok(entries
        .map(|(number, certificate)| (number.to_string(), StoreEntry::Certificate(certificate)))
        .collect())
}

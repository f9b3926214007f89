//! Key stores and trusted certificates, read from files.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use flume_core::config::Secret;
use flume_keystore::{CertificateDer, KeyStore};

use super::TlsError;

/// No key store is longer; a mistaken path may lead to anything.
const MAX_STORE_BYTES: u64 = 16 << 20;

/// Where systems keep the certificates that they trust.
const SYSTEM_BUNDLES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Reads and opens a key store.
pub(super) fn read(path: &Path, password: Option<&Secret>) -> Result<KeyStore, TlsError> {
    let bytes = read_file(path).map_err(|source| TlsError::File {
        path: path.into(),
        source,
    })?;
    let password = password.map(|secret| secret.0.as_str());
    KeyStore::read(&bytes, password).map_err(|source| TlsError::Store {
        path: path.into(),
        source,
    })
}

/// The certificates that a trust store holds.
pub(super) fn trusted(
    path: &Path,
    password: Option<&Secret>,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let trusted: Vec<_> = read(path, password)?.trusted().cloned().collect();
    if trusted.is_empty() {
        return Err(TlsError::NothingTrusted(path.into()));
    }
    Ok(trusted)
}

/// The certificates that the system trusts.
pub(super) fn of_system() -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bundles = SYSTEM_BUNDLES.iter().map(PathBuf::from);
    let mut bundles = bundles.filter(|path| path.is_file());
    let bundle = bundles.next().unwrap_or(SYSTEM_BUNDLES[0].into());
    trusted(&bundle, None)
}

fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    // Opening a pipe without a writer would never return.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let mut bytes = vec![];
    File::open(path)?
        .take(MAX_STORE_BYTES + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_STORE_BYTES {
        let text = format!("it has more than {MAX_STORE_BYTES} bytes");
        return Err(io::Error::other(text));
    }
    Ok(bytes)
}

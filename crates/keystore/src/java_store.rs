//! Java's own key stores: `JKS` and `JCEKS`, as `keytool -storetype` writes them.
//!
//! A store is a list of entries behind a magic number, closed by a digest over the password and all of it. A secret
//! key, which only JCEKS can hold, is a serialized `SealedObject`: triple DES in CBC mode under key and vector that are
//! derived from the password of the entry by MD5, which Java calls `PBEWithMD5AndTripleDES`. What is sealed is a
//! serialized `SecretKeySpec`, or the `KeyRep` that stands for keys of some algorithms.

use cbc::cipher::{BlockModeDecrypt, KeyIvInit, block_padding::Pkcs7};
use md5::Md5;
use rustls_pki_types::CertificateDer;
use sha1::{Digest, Sha1};
use zeroize::Zeroizing;

use crate::{
    KeyStoreError, SecretKey, StoreEntry,
    java_input::{Input, Malformed},
    java_object::JavaObject,
    protected_key::ProtectedKey,
};

const JCEKS_MAGIC: u32 = 0xcece_cece;
const JKS_MAGIC: u32 = 0xfeed_feed;
const DIGEST_BYTES: usize = 20;
/// What Java puts between password and content when it makes the digest.
const WHITENER: &[u8] = b"Mighty Aphrodite";
const ALGORITHM: &str = "PBEWithMD5AndTripleDES";
/// As Java; more would be an attempt to keep us busy.
const MAX_ITERATIONS: u32 = 5_000_000;

const PRIVATE_KEY: u32 = 1;
const CERTIFICATE: u32 = 2;
const SECRET_KEY: u32 = 3;

/// A sealed secret key.
pub(crate) struct SealedSecret {
    cipher: PasswordCipher,
    content: Vec<u8>,
}

/// Java's `PBEWithMD5AndTripleDES`.
pub(crate) struct PasswordCipher {
    salt: [u8; 8],
    iterations: u32,
}

/// Whether this begins like a store of one of the two kinds.
pub(crate) fn recognizes(bytes: &[u8]) -> bool {
    matches!(Input(bytes).u32(), Ok(JCEKS_MAGIC | JKS_MAGIC))
}

/// Reads a whole store and checks it against its password, if there is one.
pub(crate) fn read(
    bytes: &[u8],
    password: Option<&str>,
) -> Result<Vec<(String, StoreEntry)>, KeyStoreError> {
    let (content, digest) = bytes
        .split_last_chunk::<DIGEST_BYTES>()
        .ok_or(Malformed("it is too short"))?;
    if let Some(password) = password {
        let sum = Sha1::new()
            .chain_update(&*java_password(password))
            .chain_update(WHITENER)
            .chain_update(content)
            .finalize();
        if sum.as_slice() != digest {
            return Err(KeyStoreError::Digest);
        }
    }
    let mut input = Input(content);
    input.u32()?;
    let version = input.u32()?;
    if !(1..=2).contains(&version) {
        return Err(Malformed("its version is neither 1 nor 2").into());
    }
    let mut entries = vec![];
    for _ in 0..input.u32()? {
        let kind = input.u32()?;
        // Java compares aliases without case, and stores them so.
        let alias = input.text()?.to_lowercase();
        let _created = input.take(8)?;
        entries.push((alias, read_entry(kind, version, &mut input)?));
    }
    if !input.0.is_empty() {
        return Err(Malformed("there is more in it than its entries").into());
    }
    Ok(entries)
}

/// A password as Java feeds it to digests: its UTF-16 units, high byte first.
pub(crate) fn java_password(password: &str) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(password.encode_utf16().flat_map(u16::to_be_bytes).collect())
}

fn read_entry(kind: u32, version: u32, input: &mut Input<'_>) -> Result<StoreEntry, Malformed> {
    match kind {
        PRIVATE_KEY => {
            let length = input.u32()? as usize;
            let key = ProtectedKey::Sealed(input.take(length)?.to_vec());
            let mut chain = vec![];
            for _ in 0..input.u32()? {
                chain.push(read_certificate(version, input)?);
            }
            Ok(StoreEntry::PrivateKey { key, chain })
        }
        CERTIFICATE => read_certificate(version, input).map(StoreEntry::Certificate),
        SECRET_KEY => SealedSecret::read(input).map(StoreEntry::SealedSecret),
        _ => Err(Malformed("an entry of an unknown kind")),
    }
}

fn read_certificate(
    version: u32,
    input: &mut Input<'_>,
) -> Result<CertificateDer<'static>, Malformed> {
    if version == 2 {
        let _kind = input.text()?;
    }
    let length = input.u32()? as usize;
    Ok(CertificateDer::from(input.take(length)?.to_vec()))
}

impl SealedSecret {
    fn read(input: &mut Input<'_>) -> Result<Self, Malformed> {
        let object = JavaObject::read(input)?;
        if object.text("sealAlg") != Some(ALGORITHM) {
            return Err(Malformed("a key is not sealed with PBEWithMD5AndTripleDES"));
        }
        let parameters = object
            .bytes("encodedParams")
            .ok_or(Malformed("a sealed key without parameters"))?;
        let content = object
            .bytes("encryptedContent")
            .ok_or(Malformed("a sealed key without content"))?;
        Ok(SealedSecret {
            cipher: PasswordCipher::read(parameters)?,
            content: content.into(),
        })
    }

    pub(crate) fn open(&self, alias: &str, password: &str) -> Result<SecretKey, KeyStoreError> {
        let wrong = || KeyStoreError::Password(alias.into());
        let plain = self
            .cipher
            .open(&self.content, password)
            .ok_or_else(wrong)?;
        // One wrong password in 256 leaves valid padding; what it leaves is no object.
        let object = JavaObject::read(&mut Input(&plain)).map_err(|_| wrong())?;
        let bytes = match object.class {
            "javax.crypto.spec.SecretKeySpec" => object.bytes("key"),
            "java.security.KeyRep" => object.bytes("encoded"),
            _ => return Err(Malformed("a key of an unknown class").into()),
        };
        let bytes = bytes.ok_or(Malformed("a key without bytes"))?;
        let algorithm = object
            .text("algorithm")
            .ok_or(Malformed("a key without algorithm"))?;
        Ok(SecretKey {
            algorithm: algorithm.into(),
            bytes: Zeroizing::new(bytes.into()),
        })
    }
}

impl PasswordCipher {
    /// Salt and count of iterations from their DER: SEQUENCE { OCTET STRING of 8, INTEGER }.
    pub(crate) fn read(der: &[u8]) -> Result<Self, Malformed> {
        const STRANGE: Malformed = Malformed("the parameters of a sealed key are not understood");
        let mut input = Input(der);
        let head = input.take(4)?;
        let [0x30, length, 0x04, 8] = *head else {
            return Err(STRANGE);
        };
        if usize::from(length) != der.len() - 2 {
            return Err(STRANGE);
        }
        let salt = input.take(8)?.try_into().map_err(|_| STRANGE)?;
        let tag = input.u8()?;
        let length = input.u8()?;
        let digits = input.take(usize::from(length))?;
        let is_small = (1..=4).contains(&digits.len()) && digits[0] < 0x80;
        if tag != 0x02 || !is_small || !input.0.is_empty() {
            return Err(STRANGE);
        }
        let iterations = digits
            .iter()
            .fold(0, |number, digit| number << 8 | u32::from(*digit));
        if !(1..=MAX_ITERATIONS).contains(&iterations) {
            return Err(Malformed(
                "a sealed key asks for more than 5 million iterations",
            ));
        }
        Ok(PasswordCipher { salt, iterations })
    }

    /// `None` when the password is wrong; one wrong password in 256 goes unnoticed.
    pub(crate) fn open(&self, content: &[u8], password: &str) -> Option<Zeroizing<Vec<u8>>> {
        let derived = self.derive(password)?;
        let (key, vector) = derived.split_at(24);
        let cipher = cbc::Decryptor::<des::TdesEde3>::new_from_slices(key, vector).ok()?;
        let mut plain = Zeroizing::new(content.to_vec());
        let length = cipher.decrypt_padded::<Pkcs7>(&mut plain).ok()?.len();
        plain.truncate(length);
        Some(plain)
    }

    /// Key (24 bytes) and vector (8): two chains of MD5, one for each half of the salt. `None` for a password with
    /// characters outside ASCII, which Java does not take.
    fn derive(&self, password: &str) -> Option<Zeroizing<[u8; 32]>> {
        if !password.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
            return None;
        }
        let mut salt = self.salt;
        if salt[..4] == salt[4..] {
            // As Java does, or both chains would be the same.
            salt[..4].reverse();
        }
        let mut derived = Zeroizing::new([0; 32]);
        for (half, out) in salt.chunks(4).zip(derived.chunks_mut(16)) {
            let mut link = Md5::new()
                .chain_update(half)
                .chain_update(password)
                .finalize();
            for _ in 1..self.iterations {
                link = Md5::new()
                    .chain_update(link)
                    .chain_update(password)
                    .finalize();
            }
            out.copy_from_slice(&link);
        }
        Some(derived)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by Java 17: `Cipher.getInstance("PBEWithMD5AndTripleDES")` over "hello", password "secret", 10 iterations.
    #[test]
    fn both_kinds_of_salt_derive_what_java_does() {
        let cases = [
            (
                [1, 2, 3, 4, 5, 6, 7, 8],
                [0x46, 0x6d, 0x28, 0x6c, 0x1e, 0xe9, 0x7a, 0x06],
            ),
            (
                [1, 2, 3, 4, 1, 2, 3, 4],
                [0xd0, 0x00, 0xc1, 0xba, 0x57, 0x75, 0x2e, 0x67],
            ),
        ];
        for (salt, content) in cases {
            let cipher = PasswordCipher {
                salt,
                iterations: 10,
            };
            let plain = cipher.open(&content, "secret").expect("the right password");
            assert_eq!(&*plain, b"hello", "{salt:?}");
        }
    }

    #[test]
    fn parameters_are_checked() {
        let good = [
            0x30, 0x0f, 4, 8, 1, 2, 3, 4, 5, 6, 7, 8, 2, 3, 3, 0x0d, 0x40,
        ];
        let cipher = PasswordCipher::read(&good).expect("good");
        assert_eq!(cipher.salt, [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(cipher.iterations, 200_000);
        for place in [0, 1, 2, 3, 12, 13] {
            let mut bad = good;
            bad[place] ^= 0x40;
            assert!(PasswordCipher::read(&bad).is_err(), "{place}");
        }
        for length in 0..good.len() {
            assert!(PasswordCipher::read(&good[..length]).is_err(), "{length}");
        }
    }
}

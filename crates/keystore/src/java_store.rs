//! Key stores of Java's `JCEKS` kind, as `keytool -storetype JCEKS` writes them: the secret keys in them.
//!
//! A store is a list of entries behind a magic number, closed by a digest over the password and all of it. A secret
//! key is a serialized `SealedObject`: triple DES in CBC mode under key and vector that are derived from the password
//! of the entry by MD5, which Java calls `PBEWithMD5AndTripleDES`. What is sealed is a serialized `SecretKeySpec`, or
//! the `KeyRep` that keys of some algorithms are replaced by.

use std::collections::BTreeMap;

use cbc::cipher::{BlockModeDecrypt, KeyIvInit, block_padding::Pkcs7};
use md5::Md5;
use sha1::{Digest, Sha1};
use zeroize::Zeroizing;

use crate::{
    KeyStoreError, SecretKey,
    java_input::{Input, Malformed},
    java_object::JavaObject,
};

const MAGIC: u32 = 0xcece_cece;
const MAGIC_OF_JKS: u32 = 0xfeed_feed;
const DIGEST_BYTES: usize = 20;
/// What Java puts between password and content when it makes the digest.
const WHITENER: &[u8] = b"Mighty Aphrodite";
const ALGORITHM: &str = "PBEWithMD5AndTripleDES";
/// As Java; more would be an attempt to keep us busy.
const MAX_ITERATIONS: u32 = 5_000_000;

const PRIVATE_KEY: u32 = 1;
const CERTIFICATE: u32 = 2;
const SECRET_KEY: u32 = 3;

/// A key store that was read and found whole. Its keys are still sealed.
pub struct KeyStore {
    entries: BTreeMap<String, StoreEntry>,
}

/// What an alias stands for.
enum StoreEntry {
    Secret(SealedSecret),
    /// A private key or a certificate.
    Other,
}

struct SealedSecret {
    salt: [u8; 8],
    iterations: u32,
    content: Vec<u8>,
}

impl KeyStore {
    /// Reads a whole file and checks it against the password of the store.
    pub fn read(bytes: &[u8], password: &str) -> Result<Self, KeyStoreError> {
        match Input(bytes).u32() {
            Ok(MAGIC) => {}
            Ok(MAGIC_OF_JKS) => return Err(KeyStoreError::Jks),
            _ => return Err(KeyStoreError::Foreign),
        }
        let (content, digest) = bytes
            .split_last_chunk::<DIGEST_BYTES>()
            .ok_or(KeyStoreError::Malformed("it is too short"))?;
        let mut sum = Sha1::new();
        password
            .encode_utf16()
            .for_each(|unit| sum.update(unit.to_be_bytes()));
        sum.update(WHITENER);
        sum.update(content);
        if sum.finalize().as_slice() != digest {
            return Err(KeyStoreError::Digest);
        }
        let mut input = Input(content);
        input.u32()?;
        let version = input.u32()?;
        if !(1..=2).contains(&version) {
            return Err(KeyStoreError::Malformed("its version is neither 1 nor 2"));
        }
        let mut entries = BTreeMap::new();
        for _ in 0..input.u32()? {
            let kind = input.u32()?;
            // Java compares aliases without case, and stores them so.
            let alias = input.text()?.to_lowercase();
            input.take(8)?;
            entries.insert(alias, StoreEntry::read(kind, version, &mut input)?);
        }
        if !input.0.is_empty() {
            return Err(KeyStoreError::Malformed(
                "there is more in it than its entries",
            ));
        }
        Ok(KeyStore { entries })
    }

    /// Opens the secret key `alias` with its password.
    pub fn secret(&self, alias: &str, password: &str) -> Result<SecretKey, KeyStoreError> {
        match self.entries.get(&alias.to_lowercase()) {
            Some(StoreEntry::Secret(sealed)) => sealed.open(alias, password),
            Some(StoreEntry::Other) => Err(KeyStoreError::NotSecret(alias.into())),
            None => {
                let secrets = self
                    .entries
                    .iter()
                    .filter(|(_, entry)| matches!(entry, StoreEntry::Secret(_)));
                let known: Vec<_> = secrets.map(|(alias, _)| format!("`{alias}`")).collect();
                let known = if known.is_empty() {
                    "none".into()
                } else {
                    known.join(", ")
                };
                Err(KeyStoreError::Missing {
                    alias: alias.into(),
                    known,
                })
            }
        }
    }
}

impl StoreEntry {
    fn read(kind: u32, version: u32, input: &mut Input<'_>) -> Result<Self, Malformed> {
        match kind {
            PRIVATE_KEY => {
                let length = input.u32()? as usize;
                input.take(length)?;
                for _ in 0..input.u32()? {
                    skip_certificate(version, input)?;
                }
                Ok(StoreEntry::Other)
            }
            CERTIFICATE => {
                skip_certificate(version, input)?;
                Ok(StoreEntry::Other)
            }
            SECRET_KEY => SealedSecret::read(input).map(StoreEntry::Secret),
            _ => Err(Malformed("an entry of an unknown kind")),
        }
    }
}

fn skip_certificate(version: u32, input: &mut Input<'_>) -> Result<(), Malformed> {
    if version == 2 {
        input.text()?;
    }
    let length = input.u32()? as usize;
    input.take(length).map(drop)
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
        let (salt, iterations) = read_parameters(parameters)?;
        let content = object
            .bytes("encryptedContent")
            .ok_or(Malformed("a sealed key without content"))?;
        Ok(SealedSecret {
            salt,
            iterations,
            content: content.into(),
        })
    }

    fn open(&self, alias: &str, password: &str) -> Result<SecretKey, KeyStoreError> {
        let wrong = || KeyStoreError::Password(alias.into());
        let mut content = Zeroizing::new(self.content.clone());
        let plain = self.decrypt(password, &mut content).ok_or_else(wrong)?;
        // One wrong password in 256 leaves valid padding; what it leaves is no object.
        let object = JavaObject::read(&mut Input(plain)).map_err(|_| wrong())?;
        let bytes = match object.class {
            "javax.crypto.spec.SecretKeySpec" => object.bytes("key"),
            "java.security.KeyRep" => object.bytes("encoded"),
            _ => return Err(KeyStoreError::Malformed("a key of an unknown class")),
        };
        let bytes = bytes.ok_or(KeyStoreError::Malformed("a key without bytes"))?;
        let algorithm = object
            .text("algorithm")
            .ok_or(KeyStoreError::Malformed("a key without algorithm"))?;
        Ok(SecretKey {
            algorithm: algorithm.into(),
            bytes: Zeroizing::new(bytes.into()),
        })
    }

    fn decrypt<'c>(&self, password: &str, content: &'c mut [u8]) -> Option<&'c [u8]> {
        let derived = derive(password, self.salt, self.iterations)?;
        let (key, vector) = derived.split_at(24);
        let cipher = cbc::Decryptor::<des::TdesEde3>::new_from_slices(key, vector).ok()?;
        cipher.decrypt_padded::<Pkcs7>(content).ok()
    }
}

/// Salt and count of iterations from their DER: SEQUENCE { OCTET STRING of 8, INTEGER }.
fn read_parameters(der: &[u8]) -> Result<([u8; 8], u32), Malformed> {
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
    if tag != 0x02
        || digits.is_empty()
        || digits.len() > 4
        || digits[0] >= 0x80
        || !input.0.is_empty()
    {
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
    Ok((salt, iterations))
}

/// Key (24 bytes) and vector (8) of a password: two chains of MD5, one for each half of the salt. `None` for a password
/// that Java would not take, as it has other characters than those of ASCII.
fn derive(password: &str, mut salt: [u8; 8], iterations: u32) -> Option<Zeroizing<[u8; 32]>> {
    if !password.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
        return None;
    }
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
        for _ in 1..iterations {
            link = Md5::new()
                .chain_update(link)
                .chain_update(password)
                .finalize();
        }
        out.copy_from_slice(&link);
    }
    Some(derived)
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
            let sealed = SealedSecret {
                salt,
                iterations: 10,
                content: content.into(),
            };
            let mut content = sealed.content.clone();
            assert_eq!(
                sealed.decrypt("secret", &mut content),
                Some(&b"hello"[..]),
                "{salt:?}"
            );
        }
    }

    #[test]
    fn parameters_are_checked() {
        let good = [
            0x30, 0x0f, 4, 8, 1, 2, 3, 4, 5, 6, 7, 8, 2, 3, 3, 0x0d, 0x40,
        ];
        assert_eq!(
            read_parameters(&good),
            Ok(([1, 2, 3, 4, 5, 6, 7, 8], 200_000))
        );
        for place in [0, 1, 2, 3, 12, 13] {
            let mut bad = good;
            bad[place] ^= 0x40;
            assert!(read_parameters(&bad).is_err(), "{place}");
        }
        for length in 0..good.len() {
            assert!(read_parameters(&good[..length]).is_err(), "{length}");
        }
    }
}

//! Private keys as Java's own stores keep them: sealed by a password, in one of two ways of Sun's.
//!
//! A sealed key is a DER `EncryptedPrivateKeyInfo`: a sequence of an algorithm and an octet string. What comes out is
//! PKCS8. JKS has a stream cipher made of SHA-1; JCEKS uses the triple DES of its secret keys.

use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use sha1::{Digest, Sha1};
use zeroize::Zeroizing;

use crate::{
    KeyStoreError,
    java_input::{Input, Malformed},
    java_store::{PasswordCipher, java_password},
};

const SEQUENCE: u8 = 0x30;
const OBJECT_IDENTIFIER: u8 = 0x06;
const OCTET_STRING: u8 = 0x04;
/// 1.3.6.1.4.1.42.2.17.1.1: what JKS does.
const SHA1_STREAM: &[u8] = b"\x2b\x06\x01\x04\x01\x2a\x02\x11\x01\x01";
/// 1.3.6.1.4.1.42.2.19.1: what JCEKS does.
const MD5_TRIPLE_DES: &[u8] = b"\x2b\x06\x01\x04\x01\x2a\x02\x13\x01";
const DIGEST_BYTES: usize = 20;

/// A private key, as its store holds it.
pub(crate) enum ProtectedKey {
    /// It opened with its store.
    Open(PrivateKeyDer<'static>),
    /// A DER `EncryptedPrivateKeyInfo`.
    Sealed(Vec<u8>),
}

/// The parts of an `EncryptedPrivateKeyInfo`.
struct SealedParts<'a> {
    algorithm: &'a [u8],
    parameters: &'a [u8],
    content: &'a [u8],
}

impl ProtectedKey {
    pub(crate) fn open(
        &self,
        alias: &str,
        password: &str,
    ) -> Result<PrivateKeyDer<'static>, KeyStoreError> {
        let sealed = match self {
            ProtectedKey::Open(key) => return Ok(key.clone_key()),
            ProtectedKey::Sealed(sealed) => sealed,
        };
        let parts = SealedParts::read(sealed)?;
        let plain = match parts.algorithm {
            SHA1_STREAM => open_stream(parts.content, password),
            MD5_TRIPLE_DES => PasswordCipher::read(parts.parameters)?.open(parts.content, password),
            _ => return Err(Malformed("a private key is sealed in an unknown way").into()),
        };
        // A wrong password may leave valid padding; what it leaves is no DER.
        let plain = plain.filter(|plain| plain.first() == Some(&SEQUENCE));
        let plain = plain.ok_or_else(|| KeyStoreError::Password(alias.into()))?;
        Ok(PrivatePkcs8KeyDer::from(plain.to_vec()).into())
    }
}

impl<'a> SealedParts<'a> {
    fn read(der: &'a [u8]) -> Result<Self, Malformed> {
        let mut outer = Input(element(&mut Input(der), SEQUENCE)?);
        let mut algorithm = Input(element(&mut outer, SEQUENCE)?);
        Ok(SealedParts {
            algorithm: element(&mut algorithm, OBJECT_IDENTIFIER)?,
            parameters: algorithm.0,
            content: element(&mut outer, OCTET_STRING)?,
        })
    }
}

/// The content of the next DER element, if it has this tag.
fn element<'a>(input: &mut Input<'a>, tag: u8) -> Result<&'a [u8], Malformed> {
    if input.u8()? != tag {
        return Err(Malformed("a sealed private key is not understood"));
    }
    let short = input.u8()?;
    let length = match short {
        0..=0x7f => usize::from(short),
        0x81 => usize::from(input.u8()?),
        0x82 => usize::from(input.u16()?),
        _ => return Err(Malformed("a sealed private key is too long")),
    };
    input.take(length)
}

/// Salt, cipher text, digest. Each block of key stream is the SHA-1 of the password and the block before it; the
/// first follows the salt. The digest over password and plain text tells a right password from a wrong one.
fn open_stream(content: &[u8], password: &str) -> Option<Zeroizing<Vec<u8>>> {
    let (salt, rest) = content.split_first_chunk::<DIGEST_BYTES>()?;
    let (text, digest) = rest.split_last_chunk::<DIGEST_BYTES>()?;
    let password = java_password(password);
    let mut plain = Zeroizing::new(text.to_vec());
    let mut block: [u8; DIGEST_BYTES] = *salt;
    for piece in plain.chunks_mut(DIGEST_BYTES) {
        block = Sha1::new()
            .chain_update(&*password)
            .chain_update(block)
            .finalize()
            .into();
        for (byte, key) in piece.iter_mut().zip(block) {
            *byte ^= key;
        }
    }
    let sum = Sha1::new()
        .chain_update(&*password)
        .chain_update(&*plain)
        .finalize();
    (sum.as_slice() == digest).then_some(plain)
}

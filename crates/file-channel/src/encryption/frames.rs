//! The seal of a frame: AES-256-GCM under a key for each segment.
//!
//! Key: HKDF-SHA256 of the data key with the segment's salt, so a recycled segment has a key of its own. Nonce: the
//! number of the group (8 bytes) and of the frame in it (4), big-endian. **A nonce is never used twice as long as a
//! segment never holds two groups of one number**: after a failed write, and after recovery found a torn group, what
//! follows goes into another segment.

use std::collections::BTreeMap;

use aes_gcm::{AeadInOut, Aes256Gcm, KeyInit, Nonce, Tag};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::format::KEY_CHECK_BYTES;

/// Bytes that the seal adds to a frame.
pub const TAG_BYTES: usize = 16;

/// Binds derived keys to their use, so that no other part of a program derives the same from a data key.
const FRAME_PURPOSE: &[u8] = b"flume file channel frames";
const CHECK_PURPOSE: &[u8] = b"flume file channel key check";

/// Data keys by alias, and the one for what is written. Cheap to clone it is not: share it.
pub struct Keys {
    active: String,
    keys: BTreeMap<String, Zeroizing<Vec<u8>>>,
}

/// Why a segment cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The alias in the segment's header is not among the keys.
    #[error("there is no key `{0}`; name it in encryption.keyProvider.keys")]
    UnknownKey(String),
    /// The key of that alias is another one now.
    #[error(
        "key `{0}` is not the key that it was sealed with; bring that key back under this alias"
    )]
    WrongKey(String),
    /// The bytes are not those that were sealed under this key, place and header.
    #[error("the seal is broken")]
    Broken,
}

/// Seals and opens the frames of one segment.
pub struct FrameCipher {
    sealing: Aes256Gcm,
    check: [u8; KEY_CHECK_BYTES],
    proved: bool,
}

/// Where a frame stands in its segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FramePlace {
    /// Number of the group; never twice in a segment.
    pub group: u64,
    /// Number of the frame in its group.
    pub frame: u32,
}

impl Keys {
    pub(crate) fn new(active: String, keys: BTreeMap<String, Zeroizing<Vec<u8>>>) -> Self {
        Keys { active, keys }
    }

    /// The alias of the key that new segments are written with; it goes into their header.
    pub fn active(&self) -> &str {
        &self.active
    }

    /// The key itself: Java Flume enciphers with it.
    pub(crate) fn data_key(&self, alias: &str) -> Result<&[u8], SealError> {
        let key = self.keys.get(alias).map(|key| key.as_slice());
        key.ok_or_else(|| SealError::UnknownKey(alias.into()))
    }

    /// What seals and opens the frames of a segment with this alias, salt and key check in its header; without a check,
    /// of a new segment, or of one that an earlier version wrote.
    pub fn cipher(
        &self,
        alias: &str,
        salt: &[u8],
        check: Option<[u8; KEY_CHECK_BYTES]>,
    ) -> Result<FrameCipher, SealError> {
        let unknown = || SealError::UnknownKey(alias.into());
        let key = self.data_key(alias)?;
        let derivation = Hkdf::<Sha256>::new(Some(salt), key);
        let mut derived = Zeroizing::new([0; 32]);
        let mut own_check = [0; KEY_CHECK_BYTES];
        // The only failure of a derivation is a length beyond 8160 bytes.
        derivation
            .expand(FRAME_PURPOSE, &mut *derived)
            .and_then(|()| derivation.expand(CHECK_PURPOSE, &mut own_check))
            .map_err(|_| unknown())?;
        if check.is_some_and(|check| check != own_check) {
            return Err(SealError::WrongKey(alias.into()));
        }
        let sealing = Aes256Gcm::new_from_slice(&*derived).map_err(|_| unknown())?;
        Ok(FrameCipher {
            sealing,
            check: own_check,
            proved: check.is_some(),
        })
    }
}

impl FrameCipher {
    /// The key check for the segment's header.
    pub fn check(&self) -> [u8; KEY_CHECK_BYTES] {
        self.check
    }

    /// Whether the key is known to be the right one. If not, a broken seal may be the key's fault.
    pub fn is_proved(&self) -> bool {
        self.proved
    }

    /// Seals `body` in place. The returned tag also vouches for `header`, which stays readable.
    pub fn seal(
        &self,
        place: FramePlace,
        header: &[u8],
        body: &mut [u8],
    ) -> Result<[u8; TAG_BYTES], SealError> {
        // Refuses only bodies of 64 GiB and more.
        let tag = self
            .sealing
            .encrypt_inout_detached(&place.nonce(), header, body.into());
        tag.map(Into::into).map_err(|_| SealError::Broken)
    }

    /// Opens `body` in place. After an error its content means nothing.
    pub fn open(
        &self,
        place: FramePlace,
        header: &[u8],
        body: &mut [u8],
        tag: &[u8; TAG_BYTES],
    ) -> Result<(), SealError> {
        let opened = self.sealing.decrypt_inout_detached(
            &place.nonce(),
            header,
            body.into(),
            &Tag::from(*tag),
        );
        opened.map_err(|_| SealError::Broken)
    }
}

impl FramePlace {
    fn nonce(self) -> Nonce<aes_gcm::aes::cipher::consts::U12> {
        let mut nonce = [0; 12];
        nonce[..8].copy_from_slice(&self.group.to_be_bytes());
        nonce[8..].copy_from_slice(&self.frame.to_be_bytes());
        nonce.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: FramePlace = FramePlace { group: 7, frame: 3 };

    fn keys() -> Keys {
        let keys = ["old", "new"]
            .map(|alias| (alias.into(), Zeroizing::new(alias.repeat(8).into_bytes())));
        Keys::new("new".into(), keys.into())
    }

    fn sealed() -> (FrameCipher, Vec<u8>, [u8; TAG_BYTES]) {
        let cipher = keys().cipher("new", &[1; 32], None).expect("a key");
        let mut body = b"some events".to_vec();
        let tag = cipher.seal(PLACE, b"header", &mut body).expect("sealed");
        (cipher, body, tag)
    }

    #[test]
    fn what_was_sealed_opens() {
        let (cipher, mut body, tag) = sealed();
        assert_ne!(body, b"some events");
        assert_eq!(cipher.open(PLACE, b"header", &mut body, &tag), Ok(()));
        assert_eq!(body, b"some events");
    }

    #[test]
    fn another_key_of_the_same_alias_is_noticed() {
        let (cipher, ..) = sealed();
        let same = keys().cipher("new", &[1; 32], Some(cipher.check()));
        assert!(same.is_ok_and(|cipher| cipher.is_proved()));
        let other = Zeroizing::new(b"other".repeat(8));
        let other = Keys::new("new".into(), [("new".into(), other)].into());
        let refused = other.cipher("new", &[1; 32], Some(cipher.check())).err();
        assert_eq!(refused, Some(SealError::WrongKey("new".into())));
    }

    #[test]
    fn any_other_bit_place_header_salt_or_key_is_refused() {
        let (cipher, body, tag) = sealed();
        let refused =
            |cipher: &FrameCipher, place, header: &[u8], body: &[u8], tag: &[u8; TAG_BYTES]| {
                assert_eq!(
                    cipher.open(place, header, &mut body.to_vec(), tag),
                    Err(SealError::Broken)
                );
            };
        for bit in 0..8 * body.len() {
            let mut body = body.clone();
            body[bit / 8] ^= 1 << (bit % 8);
            refused(&cipher, PLACE, b"header", &body, &tag);
        }
        for bit in 0..8 * TAG_BYTES {
            let mut tag = tag;
            tag[bit / 8] ^= 1 << (bit % 8);
            refused(&cipher, PLACE, b"header", &body, &tag);
        }
        refused(
            &cipher,
            FramePlace { group: 8, ..PLACE },
            b"header",
            &body,
            &tag,
        );
        refused(
            &cipher,
            FramePlace { frame: 4, ..PLACE },
            b"header",
            &body,
            &tag,
        );
        refused(&cipher, PLACE, b"headeR", &body, &tag);
        for (alias, salt) in [("new", [2; 32]), ("old", [1; 32])] {
            refused(
                &keys().cipher(alias, &salt, None).expect("a key"),
                PLACE,
                b"header",
                &body,
                &tag,
            );
        }
        assert_eq!(
            keys().cipher("lost", &[1; 32], None).err(),
            Some(SealError::UnknownKey("lost".into()))
        );
    }
}

//! How Java Flume enciphers: AES in counter mode, every record of a log from the same start.

use aes::{Aes128, Aes192, Aes256};
use ctr::{
    Ctr128BE,
    cipher::{KeyIvInit, StreamCipher},
};
use zeroize::Zeroizing;

/// Bytes of the counter's start.
pub(super) const IV_BYTES: usize = 16;

/// Deciphers the records of one log.
pub(super) struct RecordCipher {
    key: Zeroizing<Vec<u8>>,
    iv: [u8; IV_BYTES],
}

impl RecordCipher {
    /// None: no AES key has this length.
    pub(super) fn new(key: &[u8], iv: [u8; IV_BYTES]) -> Option<Self> {
        let key = Zeroizing::new(key.to_vec());
        [16, 24, 32]
            .contains(&key.len())
            .then_some(RecordCipher { key, iv })
    }

    /// Deciphers the first bytes of a payload, or all of them; enciphering is the same.
    pub(super) fn apply(&self, bytes: &mut [u8]) {
        match self.key.len() {
            16 => self.apply_with::<Ctr128BE<Aes128>>(bytes),
            24 => self.apply_with::<Ctr128BE<Aes192>>(bytes),
            _ => self.apply_with::<Ctr128BE<Aes256>>(bytes),
        }
    }

    fn apply_with<C: KeyIvInit + StreamCipher>(&self, bytes: &mut [u8]) {
        // The lengths were checked when this was made.
        if let Ok(mut stream) = C::new_from_slices(&self.key, &self.iv) {
            stream.apply_keystream(bytes);
        }
    }
}

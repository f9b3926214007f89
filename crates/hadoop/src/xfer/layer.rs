//! What is done to the bytes of a connection to a DataNode after the handshake.

use aes::{Aes128, Aes192, Aes256};
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use ctr::{Ctr128BE, cipher::StreamCipher};
use des::TdesEde2;
use prost::bytes::{Buf, BytesMut};

use super::{
    XferError,
    digest::{DigestCipher, DigestKeys, hmac_md5},
};

/// What a frame may hold: the buffer that both sides agree on, and what is around it.
const MAX_FRAME_BYTES: usize = (64 << 10) + 1024;
/// Plain bytes of one frame.
const MAX_PLAIN_BYTES: usize = (64 << 10) - 64;
/// Bytes of a checksum in a frame.
const MAC_BYTES: usize = 10;
/// Version and sequence number at the end of a frame.
const TRAILER_BYTES: usize = 6;

/// A connection's layer.
#[derive(Default)]
pub enum DataLayer {
    /// Bytes as they are.
    #[default]
    Plain,
    /// Frames of DIGEST-MD5: signed, perhaps encrypted.
    Framed(Box<FramedLayer>),
    /// A stream of AES in counter mode, each way.
    Aes(Box<AesLayer>),
}

/// Frames: `u32 length`, then the sealed message.
pub struct FramedLayer {
    sign_client: [u8; 16],
    sign_server: [u8; 16],
    sent: u32,
    received: u32,
    ciphers: Option<(FrameCipher, FrameCipher)>,
}

/// The two directions.
pub struct AesLayer {
    write: AesStream,
    read: AesStream,
}

enum AesStream {
    Bits128(Ctr128BE<Aes128>),
    Bits192(Ctr128BE<Aes192>),
    Bits256(Ctr128BE<Aes256>),
}

enum FrameCipher {
    Encrypt(cbc::Encryptor<TdesEde2>),
    Decrypt(cbc::Decryptor<TdesEde2>),
    Rc4(Rc4),
}

struct Rc4 {
    state: [u8; 256],
    i: u8,
    j: u8,
}

impl DataLayer {
    /// Appends `plain`, sealed, to `out`.
    pub fn seal(&mut self, plain: &[&[u8]], out: &mut Vec<u8>) {
        match self {
            DataLayer::Plain => plain.iter().for_each(|part| out.extend_from_slice(part)),
            DataLayer::Aes(layer) => {
                let start = out.len();
                plain.iter().for_each(|part| out.extend_from_slice(part));
                layer.write.apply(&mut out[start..]);
            }
            DataLayer::Framed(layer) => {
                let whole = plain.concat();
                for piece in whole.chunks(MAX_PLAIN_BYTES) {
                    let frame = layer.wrap(piece);
                    out.extend((frame.len() as u32).to_be_bytes());
                    out.extend(frame);
                }
            }
        }
    }

    /// Moves what has come from `raw` to `plain`; an incomplete frame stays.
    ///
    /// # Errors
    /// A frame that is not from the other side.
    pub fn open(&mut self, raw: &mut BytesMut, plain: &mut BytesMut) -> Result<(), XferError> {
        match self {
            DataLayer::Plain => plain.unsplit(raw.split()),
            DataLayer::Aes(layer) => {
                layer.read.apply(raw);
                plain.unsplit(raw.split());
            }
            DataLayer::Framed(layer) => {
                while let Some((length, _)) = raw.split_first_chunk::<4>() {
                    let length = u32::from_be_bytes(*length) as usize;
                    if length > MAX_FRAME_BYTES {
                        return Err(XferError::new(format!("a frame of {length} bytes")));
                    }
                    if raw.len() < 4 + length {
                        break;
                    }
                    raw.advance(4);
                    let frame = raw.split_to(length);
                    plain.extend_from_slice(&layer.unwrap(&frame)?);
                }
            }
        }
        Ok(())
    }
}

impl FramedLayer {
    /// A layer with these keys; without cipher it signs only.
    pub fn new(keys: &DigestKeys, cipher: Option<DigestCipher>) -> FramedLayer {
        let ciphers = cipher.map(|cipher| match cipher {
            DigestCipher::Rc4 => (
                FrameCipher::Rc4(Rc4::new(&keys.seal_client)),
                FrameCipher::Rc4(Rc4::new(&keys.seal_server)),
            ),
            DigestCipher::TripleDes => {
                let (key, iv) = des_key(&keys.seal_client);
                let write = cbc::Encryptor::<TdesEde2>::new(&key.into(), &iv.into());
                let (key, iv) = des_key(&keys.seal_server);
                let read = cbc::Decryptor::<TdesEde2>::new(&key.into(), &iv.into());
                (FrameCipher::Encrypt(write), FrameCipher::Decrypt(read))
            }
        });
        FramedLayer {
            sign_client: keys.sign_client,
            sign_server: keys.sign_server,
            sent: 0,
            received: 0,
            ciphers,
        }
    }

    /// Seals a message: message, checksum, version 1, sequence number.
    pub fn wrap(&mut self, message: &[u8]) -> Vec<u8> {
        let number = self.sent.to_be_bytes();
        self.sent = self.sent.wrapping_add(1);
        let mac = hmac_md5(&self.sign_client, &[&number, message]);
        let mut frame = message.to_vec();
        if let Some((cipher, _)) = &mut self.ciphers {
            if let FrameCipher::Encrypt(_) = cipher {
                let padding = 8 - (message.len() + MAC_BYTES) % 8;
                frame.resize(frame.len() + padding, padding as u8);
            }
            frame.extend(&mac[..MAC_BYTES]);
            cipher.apply(&mut frame);
        } else {
            frame.extend(&mac[..MAC_BYTES]);
        }
        frame.extend([0, 1]);
        frame.extend(number);
        frame
    }

    /// Opens a message.
    ///
    /// # Errors
    /// One that is not the next of the other side.
    pub fn unwrap(&mut self, frame: &[u8]) -> Result<Vec<u8>, XferError> {
        let wrong = || XferError::new("a frame that is not from the DataNode");
        let (body, trailer) = frame
            .split_at_checked(frame.len().wrapping_sub(TRAILER_BYTES))
            .ok_or_else(wrong)?;
        let number = self.received.to_be_bytes();
        if trailer[..2] != [0, 1] || trailer[2..] != number {
            return Err(wrong());
        }
        self.received = self.received.wrapping_add(1);
        let mut plain = body.to_vec();
        let mut padded = false;
        if let Some((_, cipher)) = &mut self.ciphers {
            padded = matches!(cipher, FrameCipher::Decrypt(_));
            if padded && plain.len() % 8 != 0 {
                return Err(wrong());
            }
            cipher.apply(&mut plain);
        }
        let mac_at = plain.len().checked_sub(MAC_BYTES).ok_or_else(wrong)?;
        let mac = plain.split_off(mac_at);
        if padded {
            let padding = usize::from(*plain.last().ok_or_else(wrong)?);
            if !(1..=8).contains(&padding) || padding > plain.len() {
                return Err(wrong());
            }
            plain.truncate(plain.len() - padding);
        }
        if hmac_md5(&self.sign_server, &[&number, &plain])[..MAC_BYTES] != mac {
            return Err(wrong());
        }
        Ok(plain)
    }
}

impl AesLayer {
    /// A layer with these keys of 16, 24 or 32 bytes and counters of 16.
    ///
    /// # Errors
    /// Keys of another length.
    pub fn new(
        write_key: &[u8],
        write_iv: &[u8],
        read_key: &[u8],
        read_iv: &[u8],
    ) -> Result<AesLayer, XferError> {
        Ok(AesLayer {
            write: AesStream::new(write_key, write_iv)?,
            read: AesStream::new(read_key, read_iv)?,
        })
    }
}

impl AesStream {
    fn new(key: &[u8], iv: &[u8]) -> Result<AesStream, XferError> {
        let made = match key.len() {
            16 => Ctr128BE::new_from_slices(key, iv).map(AesStream::Bits128),
            24 => Ctr128BE::new_from_slices(key, iv).map(AesStream::Bits192),
            _ => Ctr128BE::new_from_slices(key, iv).map(AesStream::Bits256),
        };
        made.map_err(|_| XferError::new(format!("an AES key of {} bytes", key.len())))
    }

    fn apply(&mut self, bytes: &mut [u8]) {
        match self {
            AesStream::Bits128(stream) => stream.apply_keystream(bytes),
            AesStream::Bits192(stream) => stream.apply_keystream(bytes),
            AesStream::Bits256(stream) => stream.apply_keystream(bytes),
        }
    }
}

impl FrameCipher {
    /// In place; whole blocks for triple DES. The state runs on from frame to frame.
    fn apply(&mut self, bytes: &mut [u8]) {
        match self {
            FrameCipher::Rc4(rc4) => rc4.apply(bytes),
            FrameCipher::Encrypt(cipher) => {
                for block in eights(bytes) {
                    let mut one = (*block).into();
                    cipher.encrypt_block(&mut one);
                    *block = one.into();
                }
            }
            FrameCipher::Decrypt(cipher) => {
                for block in eights(bytes) {
                    let mut one = (*block).into();
                    cipher.decrypt_block(&mut one);
                    *block = one.into();
                }
            }
        }
    }
}

fn eights(bytes: &mut [u8]) -> impl Iterator<Item = &mut [u8; 8]> {
    let (blocks, _) = bytes.as_chunks_mut::<8>();
    blocks.iter_mut()
}

impl Rc4 {
    fn new(key: &[u8; 16]) -> Rc4 {
        let mut state: [u8; 256] = std::array::from_fn(|at| at as u8);
        let mut j = 0u8;
        for i in 0..256 {
            j = j.wrapping_add(state[i]).wrapping_add(key[i % 16]);
            state.swap(i, usize::from(j));
        }
        Rc4 { state, i: 0, j: 0 }
    }

    fn apply(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            self.i = self.i.wrapping_add(1);
            let at_i = self.state[usize::from(self.i)];
            self.j = self.j.wrapping_add(at_i);
            let at_j = self.state[usize::from(self.j)];
            self.state.swap(usize::from(self.i), usize::from(self.j));
            *byte ^= self.state[usize::from(at_i.wrapping_add(at_j))];
        }
    }
}

/// Two DES keys of the first 14 bytes, seven bits to each byte, and the last eight as the first vector.
fn des_key(key: &[u8; 16]) -> ([u8; 16], [u8; 8]) {
    let mut spread = [0; 16];
    for half in 0..2 {
        let seven = &key[7 * half..7 * half + 7];
        let bits = seven
            .iter()
            .fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
        for at in 0..8 {
            let value = (bits >> (49 - 7 * at) & 0x7f) as u8;
            // The lowest bit is parity, which nobody checks.
            spread[8 * half + at] = value << 1 | u8::from(value.count_ones().is_multiple_of(2));
        }
    }
    let mut vector = [0; 8];
    vector.copy_from_slice(&key[8..]);
    (spread, vector)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The other side of a layer.
    pub(crate) fn mirrored(keys: &DigestKeys) -> DigestKeys {
        DigestKeys {
            sign_client: keys.sign_server,
            sign_server: keys.sign_client,
            seal_client: keys.seal_server,
            seal_server: keys.seal_client,
        }
    }

    #[test]
    fn what_one_side_seals_the_other_opens() {
        let keys = DigestKeys {
            sign_client: [1; 16],
            sign_server: [2; 16],
            seal_client: *b"0123456789abcdef",
            seal_server: *b"fedcba9876543210",
        };
        for cipher in [None, Some(DigestCipher::TripleDes), Some(DigestCipher::Rc4)] {
            let mut one = DataLayer::Framed(Box::new(FramedLayer::new(&keys, cipher)));
            let mut other = DataLayer::Framed(Box::new(FramedLayer::new(&mirrored(&keys), cipher)));
            for length in [0, 1, 7, 8, 500, 200_000] {
                let message = vec![length as u8; length];
                let mut sealed = vec![];
                one.seal(&[&message], &mut sealed);
                let mut raw = BytesMut::from(&sealed[..]);
                let mut plain = BytesMut::new();
                other.open(&mut raw, &mut plain).unwrap();
                assert!(plain == message && raw.is_empty());
            }
            let mut sealed = vec![];
            one.seal(&[b"abc"], &mut sealed);
            sealed[5] ^= 1;
            let mut raw = BytesMut::from(&sealed[..]);
            assert!(other.open(&mut raw, &mut BytesMut::new()).is_err());
        }
    }

    #[test]
    fn aes_streams_run_on() {
        let layer = |swap: bool| {
            let keys = if swap { [b'b', b'a'] } else { [b'a', b'b'] };
            let layer = AesLayer::new(&[keys[0]; 16], &[0; 16], &[keys[1]; 16], &[0; 16]);
            DataLayer::Aes(Box::new(layer.unwrap()))
        };
        let mut one = layer(false);
        let mut other = layer(true);
        let mut plain = BytesMut::new();
        for text in ["abc", "", "defghijklmnopqrstuvwxyz"] {
            let mut sealed = vec![];
            one.seal(&[text.as_bytes()], &mut sealed);
            other
                .open(&mut BytesMut::from(&sealed[..]), &mut plain)
                .unwrap();
        }
        assert_eq!(plain, "abcdefghijklmnopqrstuvwxyz");
        assert!(AesLayer::new(&[0; 5], &[0; 16], &[0; 16], &[0; 16]).is_err());
    }

    /// A known answer: key "Key" repeats in longer keys, so the standard's vector for 16 bytes is taken from RFC 6229.
    #[test]
    fn rc4_is_that_of_rfc_6229() {
        let key: [u8; 16] = std::array::from_fn(|at| at as u8 + 1);
        let mut bytes = [0; 16];
        Rc4::new(&key).apply(&mut bytes);
        let expected = [
            0x9a, 0xc7, 0xcc, 0x9a, 0x60, 0x9d, 0x1e, 0xf7, 0xb2, 0x93, 0x28, 0x99, 0xcd, 0xe4,
            0x1b, 0x97,
        ];
        assert_eq!(bytes, expected);
    }
}

//! Which file is which: what stands at its beginning, and before the place up to which it was read.

use std::{fs::File, io, os::unix::fs::FileExt};

/// Bytes of a fingerprint at most.
pub(super) const PRINT_BYTES: u64 = 1024;

/// A hash of some bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Fingerprint {
    pub(super) bytes: u64,
    pub(super) hash: u64,
}

/// Two fingerprints of a file that was read up to some byte: of its first bytes, and of those before that byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Prints {
    pub(super) head: Fingerprint,
    pub(super) tail: Fingerprint,
}

impl Fingerprint {
    /// FNV-1a, 64 bits.
    fn of(bytes: &[u8]) -> Self {
        let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        Fingerprint {
            bytes: bytes.len() as u64,
            hash,
        }
    }
}

impl Prints {
    /// Those of a file of which nothing was read.
    pub(super) fn empty() -> Prints {
        let nothing = Fingerprint::of(&[]);
        Prints {
            head: nothing,
            tail: nothing,
        }
    }

    /// Those of a file that was read up to `offset`. `None`: it is shorter than that.
    pub(super) fn take(file: &File, offset: u64) -> io::Result<Option<Prints>> {
        let length = offset.min(PRINT_BYTES);
        let mut buffer = [0; PRINT_BYTES as usize];
        let bytes = &mut buffer[..length as usize];
        let mut print = |at: u64| match file.read_exact_at(bytes, at) {
            Ok(()) => Ok(Some(Fingerprint::of(bytes))),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        };
        let head = print(0)?;
        let tail = print(offset - length)?;
        Ok(head.zip(tail).map(|(head, tail)| Prints { head, tail }))
    }
}

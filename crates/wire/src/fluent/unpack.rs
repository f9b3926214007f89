//! Compressed entries, decompressed piece by piece. What all connections hold of them is bounded.

use std::{
    fmt,
    io::{self, Read},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use bytes::{Buf, Bytes, BytesMut};

use super::{FluentError, msgpack::Scanner};

const PIECE_BYTES: usize = 64 << 10;
/// The largest window of a decoder: 8 MiB, which every encoder keeps to unless it is told otherwise.
const ZSTD_WINDOW_LOG: u32 = 23;
/// Most bytes that the messages of all connections may hold decompressed.
pub(super) const MAX_EXPANDED_BYTES: usize = 256 << 20;

static EXPANDED: AtomicUsize = AtomicUsize::new(0);

/// A part of [`MAX_EXPANDED_BYTES`], given back when it is dropped.
#[derive(Debug, Default)]
pub(super) struct Share(usize);

impl Share {
    pub(super) fn set(&mut self, bytes: usize) -> Result<(), FluentError> {
        if bytes <= self.0 {
            EXPANDED.fetch_sub(self.0 - bytes, Relaxed);
        } else {
            let more = bytes - self.0;
            let add = |all: usize| {
                all.checked_add(more)
                    .filter(|all| *all <= MAX_EXPANDED_BYTES)
            };
            let added = EXPANDED.fetch_update(Relaxed, Relaxed, add);
            added.map_err(|_| FluentError::Memory)?;
        }
        self.0 = bytes;
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        EXPANDED.fetch_sub(self.0, Relaxed);
    }
}

/// Entries that are being decompressed.
pub(super) struct Unpacker {
    decoder: Box<dyn Read + Send>,
    /// Most bytes of the decoder itself.
    window: usize,
    ready: BytesMut,
    scanner: Scanner,
    produced: usize,
    max_bytes: usize,
    share: Share,
}

impl fmt::Debug for Unpacker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unpacker")
            .field("produced", &self.produced)
            .finish_non_exhaustive()
    }
}

fn broken(_: io::Error) -> FluentError {
    FluentError::Broken("the compressed entries are broken")
}

impl Unpacker {
    pub(super) fn new(name: &str, packed: Bytes, max_bytes: usize) -> Result<Self, FluentError> {
        let decoder: (Box<dyn Read + Send>, usize) = match name {
            "gzip" => (
                Box::new(flate2::read::MultiGzDecoder::new(packed.reader())),
                PIECE_BYTES,
            ),
            "zstd" => {
                let mut decoder =
                    zstd::stream::read::Decoder::new(packed.reader()).map_err(broken)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG).map_err(broken)?;
                (Box::new(decoder), 1 << ZSTD_WINDOW_LOG)
            }
            other => return Err(FluentError::Compression(other.into())),
        };
        Ok(Unpacker {
            decoder: decoder.0,
            window: decoder.1,
            ready: BytesMut::new(),
            scanner: Scanner::default(),
            produced: 0,
            max_bytes,
            share: Share::default(),
        })
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.ready.len()
    }

    /// Counts an event of so many bytes as held until the next one is asked for.
    pub(super) fn holds(&mut self, event_bytes: usize) -> Result<(), FluentError> {
        self.share
            .set(self.ready.len() + event_bytes + self.window.min(self.produced))
    }

    /// The next entry.
    pub(super) fn next_entry(&mut self) -> Result<Option<Bytes>, FluentError> {
        loop {
            if let Some(end) = self.scanner.find_end(&self.ready, self.max_bytes)? {
                return Ok(Some(self.ready.split_to(end).freeze()));
            }
            self.holds(PIECE_BYTES)?;
            let before = self.ready.len();
            // One more byte than allowed shows that it is too long.
            let most = PIECE_BYTES.min(self.max_bytes - self.produced + 1);
            self.ready.resize(before + most, 0);
            let read = self.decoder.read(&mut self.ready[before..]);
            let read = read.map_err(broken)?;
            self.ready.truncate(before + read);
            self.produced += read;
            if self.produced > self.max_bytes {
                return Err(FluentError::TooLarge(self.max_bytes));
            }
            if read == 0 {
                let is_whole = self.ready.is_empty();
                let cut = FluentError::Broken("a value ends too early");
                return if is_whole { Ok(None) } else { Err(cut) };
            }
        }
    }
}

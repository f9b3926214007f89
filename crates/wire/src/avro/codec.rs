//! How the blocks of a container file are compressed.

use std::io::{self, Read, Write};

/// A codec, with Avro's default level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// As it is.
    Null,
    /// Deflate without a zlib header.
    Deflate,
    /// Snappy, then the CRC-32 of the raw bytes.
    Snappy,
    /// A bzip2 stream.
    Bzip2,
    /// A Zstandard frame.
    Zstandard,
}

// These codecs take any bytes, and memory is the only resource.
const NEVER_FAILS: &str = "compression in memory takes any bytes";

impl Codec {
    /// Every codec.
    pub const ALL: &'static [Codec] = &[
        Codec::Null,
        Codec::Deflate,
        Codec::Snappy,
        Codec::Bzip2,
        Codec::Zstandard,
    ];

    /// Its name in a file's header.
    pub fn name(self) -> &'static str {
        match self {
            Codec::Null => "null",
            Codec::Deflate => "deflate",
            Codec::Snappy => "snappy",
            Codec::Bzip2 => "bzip2",
            Codec::Zstandard => "zstandard",
        }
    }

    /// Appends the compressed `raw` to `out`.
    pub(super) fn compress(self, raw: &[u8], out: &mut Vec<u8>) {
        match self {
            Codec::Null => out.extend_from_slice(raw),
            Codec::Deflate => {
                let encoder =
                    flate2::read::DeflateEncoder::new(raw, flate2::Compression::default());
                read_all(encoder, out);
            }
            Codec::Snappy => {
                let start = out.len();
                out.resize(start + snap::raw::max_compress_len(raw.len()), 0);
                let length = snap::raw::Encoder::new()
                    .compress(raw, &mut out[start..])
                    .expect(NEVER_FAILS);
                out.truncate(start + length);
                out.extend_from_slice(&crc32fast::hash(raw).to_be_bytes());
            }
            Codec::Bzip2 => read_all(
                bzip2::read::BzEncoder::new(raw, bzip2::Compression::best()),
                out,
            ),
            Codec::Zstandard => {
                let mut encoder = zstd::Encoder::new(out, 3).expect(NEVER_FAILS);
                encoder.write_all(raw).expect(NEVER_FAILS);
                encoder.finish().expect(NEVER_FAILS);
            }
        }
    }
}

/// The raw bytes of a block, at most `max_bytes`.
pub(super) fn decompress(codec: Codec, block: &[u8], max_bytes: usize) -> io::Result<Vec<u8>> {
    let mut raw = vec![];
    let limited = |stream: &mut dyn Read, raw: &mut Vec<u8>| {
        stream.take(max_bytes as u64 + 1).read_to_end(raw).map(drop)
    };
    match codec {
        Codec::Null => raw.extend_from_slice(block),
        Codec::Deflate => limited(&mut flate2::read::DeflateDecoder::new(block), &mut raw)?,
        Codec::Snappy => {
            let split = block
                .len()
                .checked_sub(4)
                .map(|middle| block.split_at(middle));
            let (packed, checksum) = split.ok_or(io::ErrorKind::UnexpectedEof)?;
            if snap::raw::decompress_len(packed).map_err(io::Error::other)? > max_bytes {
                return Err(too_large(max_bytes));
            }
            raw = snap::raw::Decoder::new()
                .decompress_vec(packed)
                .map_err(io::Error::other)?;
            if crc32fast::hash(&raw).to_be_bytes() != checksum {
                return Err(io::Error::other("its checksum is wrong"));
            }
        }
        Codec::Bzip2 => limited(&mut bzip2::read::BzDecoder::new(block), &mut raw)?,
        Codec::Zstandard => limited(&mut zstd::Decoder::new(block)?, &mut raw)?,
    }
    if raw.len() > max_bytes {
        return Err(too_large(max_bytes));
    }
    Ok(raw)
}

fn too_large(max_bytes: usize) -> io::Error {
    io::Error::other(format!("it has more than {max_bytes} bytes"))
}

fn read_all(mut encoder: impl Read, out: &mut Vec<u8>) {
    encoder.read_to_end(out).expect(NEVER_FAILS);
}

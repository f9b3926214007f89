//! The codecs' streams, as Hadoop's decoders read them.

use bzip2::Action;
use flate2::FlushCompress;
use zstd::stream::raw::{InBuffer, Operation, OutBuffer};

use super::Codec;

/// Compresses one member, stream or frame after the other.
pub trait Compressor: Send {
    /// Takes raw bytes; what they become appears in `out` at some time.
    fn write(&mut self, raw: &[u8], out: &mut Vec<u8>);
    /// Ends the member: everything so far can be decoded from what was written. The next `write` begins another one.
    fn finish(&mut self, out: &mut Vec<u8>);
}

/// Room that a compressor is given at least each time it is asked for output.
const ROOM_BYTES: usize = 4096;

// None of these codecs fails on account of the data: they take any bytes, and memory is the only resource.
const NEVER_FAILS: &str = "compression in memory takes any bytes";

impl Codec {
    /// A compressor with Hadoop's default level and buffer sizes.
    pub fn compressor(self) -> Box<dyn Compressor> {
        match self {
            Codec::Gzip => Box::new(Zlib(flate2::Compress::new_gzip(
                flate2::Compression::default(),
                15,
            ))),
            Codec::Default | Codec::Deflate => Box::new(Zlib(flate2::Compress::new(
                flate2::Compression::default(),
                true,
            ))),
            Codec::Bzip2 => Box::new(Bzip2(None)),
            Codec::Zstd => Box::new(Zstd(zstd::stream::raw::Encoder::new(3).expect(NEVER_FAILS))),
            Codec::Snappy => Box::new(Blocks::new(
                BUFFER_BYTES - (BUFFER_BYTES / 6 + 32),
                snappy(),
            )),
            Codec::Lz4 => Box::new(Blocks::new(BUFFER_BYTES - (BUFFER_BYTES / 255 + 16), lz4)),
        }
    }
}

/// Gzip and zlib.
struct Zlib(flate2::Compress);

impl Zlib {
    fn run(&mut self, mut raw: &[u8], flush: FlushCompress, out: &mut Vec<u8>) {
        loop {
            out.reserve((raw.len() / 4).max(ROOM_BYTES));
            let before = self.0.total_in();
            let status = self.0.compress_vec(raw, out, flush).expect(NEVER_FAILS);
            raw = raw
                .get((self.0.total_in() - before) as usize..)
                .unwrap_or_default();
            let done = match flush {
                FlushCompress::Finish => status == flate2::Status::StreamEnd,
                _ => raw.is_empty(),
            };
            if done {
                return;
            }
        }
    }
}

impl Compressor for Zlib {
    fn write(&mut self, raw: &[u8], out: &mut Vec<u8>) {
        self.run(raw, FlushCompress::None, out);
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        self.run(&[], FlushCompress::Finish, out);
        self.0.reset();
    }
}

/// The stream being written, if one is begun.
struct Bzip2(Option<bzip2::Compress>);

impl Bzip2 {
    fn run(&mut self, mut raw: &[u8], action: Action, out: &mut Vec<u8>) {
        let stream = self
            .0
            .get_or_insert_with(|| bzip2::Compress::new(bzip2::Compression::best(), 0));
        loop {
            out.reserve((raw.len() / 4).max(ROOM_BYTES));
            let before = stream.total_in();
            let status = stream.compress_vec(raw, out, action).expect(NEVER_FAILS);
            raw = raw
                .get((stream.total_in() - before) as usize..)
                .unwrap_or_default();
            let done = match action {
                Action::Finish => status == bzip2::Status::StreamEnd,
                _ => raw.is_empty(),
            };
            if done {
                return;
            }
        }
    }
}

impl Compressor for Bzip2 {
    fn write(&mut self, raw: &[u8], out: &mut Vec<u8>) {
        self.run(raw, Action::Run, out);
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        self.run(&[], Action::Finish, out);
        self.0 = None;
    }
}

struct Zstd(zstd::stream::raw::Encoder<'static>);

impl Compressor for Zstd {
    fn write(&mut self, raw: &[u8], out: &mut Vec<u8>) {
        let mut input = InBuffer::around(raw);
        while input.pos() < raw.len() {
            out.reserve(((raw.len() - input.pos()) / 4).max(ROOM_BYTES));
            let end = out.len();
            self.0
                .run(&mut input, &mut OutBuffer::around_pos(out, end))
                .expect(NEVER_FAILS);
        }
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        loop {
            out.reserve(ROOM_BYTES);
            let end = out.len();
            if self
                .0
                .finish(&mut OutBuffer::around_pos(out, end), true)
                .expect(NEVER_FAILS)
                == 0
            {
                break;
            }
        }
        self.0.reinit().expect(NEVER_FAILS);
    }
}

/// `io.compression.codec.snappy.buffersize` and `….lz4.buffersize`: decoders keep buffers of this size.
const BUFFER_BYTES: usize = 256 * 1024;

/// Hadoop's `BlockCompressorStream`: a block is its raw length, then chunks, each with its length before it; lengths
/// are big-endian u32. Writes are gathered into a block of one chunk; one longer than a block becomes a block of
/// several chunks.
struct Blocks<C> {
    /// Most raw bytes of a chunk.
    most: usize,
    pending: Vec<u8>,
    compress: C,
}

impl<C: FnMut(&[u8], &mut Vec<u8>) + Send> Blocks<C> {
    fn new(most: usize, compress: C) -> Self {
        Blocks {
            most,
            pending: vec![],
            compress,
        }
    }

    fn chunk(compress: &mut C, raw: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        compress(raw, out);
        let length = (out.len() - start - 4) as u32;
        out[start..start + 4].copy_from_slice(&length.to_be_bytes());
    }
}

impl<C: FnMut(&[u8], &mut Vec<u8>) + Send> Compressor for Blocks<C> {
    fn write(&mut self, raw: &[u8], out: &mut Vec<u8>) {
        if self.pending.len() + raw.len() > self.most {
            self.finish(out);
        }
        if raw.len() <= self.most {
            self.pending.extend_from_slice(raw);
            return;
        }
        out.extend_from_slice(&(raw.len() as u32).to_be_bytes());
        for piece in raw.chunks(self.most) {
            Self::chunk(&mut self.compress, piece, out);
        }
    }

    /// An empty block would be taken for the end of the file.
    fn finish(&mut self, out: &mut Vec<u8>) {
        if !self.pending.is_empty() {
            out.extend_from_slice(&(self.pending.len() as u32).to_be_bytes());
            Self::chunk(&mut self.compress, &self.pending, out);
            self.pending.clear();
        }
    }
}

fn snappy() -> impl FnMut(&[u8], &mut Vec<u8>) + Send {
    let mut encoder = snap::raw::Encoder::new();
    move |raw, out| {
        let start = out.len();
        out.resize(start + snap::raw::max_compress_len(raw.len()), 0);
        let length = encoder.compress(raw, &mut out[start..]).expect(NEVER_FAILS);
        out.truncate(start + length);
    }
}

fn lz4(raw: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(
        start + lz4_flex::block::get_maximum_output_size(raw.len()),
        0,
    );
    let length = lz4_flex::block::compress_into(raw, &mut out[start..]).expect(NEVER_FAILS);
    out.truncate(start + length);
}

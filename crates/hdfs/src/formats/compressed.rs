//! CompressedStream: what a serializer writes, through a compressor.

use flume_core::{Event, EventSerializer, Str};

use super::{Codec, Compressor};

/// Raw bytes that are compressed in one go.
const CHUNK_BYTES: usize = 64 * 1024;

/// Finishes a member, stream or frame with each flush, as Flume does: readers see a concatenation. An empty one is
/// never written, as some readers stop at it.
pub(super) struct Compressed {
    serializer: Box<dyn EventSerializer>,
    compressor: Box<dyn Compressor>,
    /// Serialized, not yet compressed.
    raw: Vec<u8>,
    /// Whether the compressor holds bytes of an unfinished member.
    unfinished: bool,
}

impl Compressed {
    pub(super) fn new(serializer: Box<dyn EventSerializer>, codec: Codec) -> Self {
        Compressed { serializer, compressor: codec.compressor(), raw: vec![], unfinished: false }
    }

    fn compress(&mut self, out: &mut Vec<u8>) {
        if !self.raw.is_empty() {
            self.compressor.write(&self.raw, out);
            self.raw.clear();
            self.unfinished = true;
        }
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        self.compress(out);
        if std::mem::take(&mut self.unfinished) {
            self.compressor.finish(out);
        }
    }
}

impl EventSerializer for Compressed {
    fn lacks(&self, event: &Event) -> Option<Str> {
        self.serializer.lacks(event)
    }

    fn supply(&mut self, url: &str, document: &[u8]) {
        self.serializer.supply(url, document);
    }

    fn begin(&mut self, _: &mut Vec<u8>) {
        self.serializer.begin(&mut self.raw);
    }

    fn write(&mut self, event: &Event, out: &mut Vec<u8>) -> Result<(), String> {
        self.serializer.write(event, &mut self.raw)?;
        if self.raw.len() >= CHUNK_BYTES {
            self.compress(out);
        }
        Ok(())
    }

    fn flush(&mut self, out: &mut Vec<u8>) {
        self.serializer.flush(&mut self.raw);
        self.finish(out);
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        self.serializer.end(&mut self.raw);
        self.finish(out);
    }
}

//! CompressedStream: what a serializer writes, through a compressor.

use flume_core::{Event, EventSerializer, Str};

use super::{Codec, Compressor, pool::Pool};

/// Raw bytes that are compressed in one go.
const CHUNK_BYTES: usize = 64 * 1024;

/// Finishes a member, stream or frame with each flush, as Flume does: readers see a concatenation. An empty one is
/// never written, as some readers stop at it.
pub(super) struct Compressed {
    serializer: Box<dyn EventSerializer>,
    pool: Pool<Member>,
    /// That being written.
    member: Option<Member>,
}

/// What a member is made with.
pub(super) struct Member {
    compressor: Box<dyn Compressor>,
    /// Serialized, not yet compressed.
    raw: Vec<u8>,
    /// Whether the compressor holds bytes.
    begun: bool,
}

impl Compressed {
    pub(super) fn new(serializer: Box<dyn EventSerializer>, pool: Pool<Member>) -> Self {
        Compressed {
            serializer,
            pool,
            member: None,
        }
    }

    fn member(&mut self) -> (&mut dyn EventSerializer, &mut Member) {
        (
            &mut *self.serializer,
            self.member.get_or_insert_with(|| self.pool.take()),
        )
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        if let Some(mut member) = self.member.take() {
            member.finish(out);
            self.pool.give(member);
        }
    }
}

impl Member {
    pub(super) fn new(codec: Codec) -> Self {
        Member {
            compressor: codec.compressor(),
            raw: vec![],
            begun: false,
        }
    }

    fn compress(&mut self, out: &mut Vec<u8>) {
        if !self.raw.is_empty() {
            self.compressor.write(&self.raw, out);
            self.raw.clear();
            self.begun = true;
        }
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        self.compress(out);
        if std::mem::take(&mut self.begun) {
            self.compressor.finish(out);
        }
        self.raw.shrink_to(2 * CHUNK_BYTES);
    }
}

impl EventSerializer for Compressed {
    fn prepare(&mut self, events: &mut dyn Iterator<Item = &Event>) -> Result<(), String> {
        self.serializer.prepare(events)
    }

    fn lacks(&self, event: &Event) -> Option<Str> {
        self.serializer.lacks(event)
    }

    fn supply(&mut self, url: &str, document: &[u8]) {
        self.serializer.supply(url, document);
    }

    fn begin(&mut self, _: &mut Vec<u8>) {
        let (serializer, member) = self.member();
        serializer.begin(&mut member.raw);
    }

    fn write(&mut self, event: &Event, out: &mut Vec<u8>) -> Result<(), String> {
        let (serializer, member) = self.member();
        serializer.write(event, &mut member.raw)?;
        if member.raw.len() >= CHUNK_BYTES {
            member.compress(out);
        }
        Ok(())
    }

    fn flush(&mut self, out: &mut Vec<u8>) {
        let (serializer, member) = self.member();
        serializer.flush(&mut member.raw);
        self.finish(out);
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        let (serializer, member) = self.member();
        serializer.end(&mut member.raw);
        self.finish(out);
    }
}

//! `BLOB`: a whole file as one event.

use std::num::NonZeroUsize;

use bytes::{Bytes, BytesMut};
use flume_core::{
    BuildError, Component, Config, Context, Event, EventDeserializer, FileEvent, Undecodable,
};

/// Makes one event of a whole file, or several of one that is too long.
#[derive(Clone, Config)]
pub(super) struct BlobConfig {
    /// Most bytes of an event. A longer file becomes several events.
    #[prop("maxBlobLength", default = 100_000_000)]
    max_blob_length: NonZeroUsize,
}

pub(super) struct BlobDeserializer {
    max_bytes: usize,
    buffer: BytesMut,
    /// Where in the file the buffer begins.
    offset: u64,
    finished: bool,
}

impl Component for BlobDeserializer {
    type Config = BlobConfig;
    fn build(config: BlobConfig, _: &Context) -> Result<Self, BuildError> {
        Ok(BlobDeserializer {
            max_bytes: config.max_blob_length.get(),
            buffer: BytesMut::new(),
            offset: 0,
            finished: false,
        })
    }
}

impl EventDeserializer for BlobDeserializer {
    fn begin(&mut self, offset: u64) -> u64 {
        self.buffer = BytesMut::new();
        self.offset = offset;
        self.finished = false;
        offset
    }

    fn feed(&mut self, bytes: Bytes) {
        self.buffer.extend_from_slice(&bytes);
    }

    fn finish(&mut self) {
        self.finished = true;
    }

    fn next(&mut self) -> Result<Option<FileEvent>, Undecodable> {
        let length = self.buffer.len().min(self.max_bytes);
        if length == 0 || (length < self.max_bytes && !self.finished) {
            return Ok(None);
        }
        self.offset += length as u64;
        Ok(Some(FileEvent {
            event: Event::from(self.buffer.split_to(length).freeze()),
            offset: self.offset,
        }))
    }
}

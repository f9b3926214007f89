//! Container files, version 1: a header with the schema, then blocks of values, a sync marker after each.

use super::{Codec, Schema, write_bytes, write_long};

/// Raw bytes of a block in Flume.
pub const DEFAULT_SYNC_INTERVAL_BYTES: usize = 2_048_000;

/// What Avro takes as a sync interval, in bytes.
pub const SYNC_INTERVALS: std::ops::RangeInclusive<usize> = 32..=1 << 30;

/// Bytes that a writer keeps from block to block for their allocation.
const KEPT_BYTES: usize = 64 * 1024;

/// Writes one file.
pub struct ContainerWriter {
    codec: Codec,
    sync_interval: usize,
    sync: [u8; 16],
    /// Values of the block to come, and how many.
    block: Vec<u8>,
    values: i64,
    /// Kept for its allocation.
    compressed: Vec<u8>,
}

impl ContainerWriter {
    /// A block ends once it holds `sync_interval` raw bytes.
    pub fn new(codec: Codec, sync_interval: usize) -> Self {
        Self::with_sync(codec, sync_interval, fastrand::u128(..).to_be_bytes())
    }

    /// The same with a known sync marker, which is random otherwise.
    pub fn with_sync(codec: Codec, sync_interval: usize, sync: [u8; 16]) -> Self {
        ContainerWriter {
            codec,
            sync_interval,
            sync,
            block: vec![],
            values: 0,
            compressed: vec![],
        }
    }

    /// What a file begins with.
    pub fn header(&self, schema: &Schema, out: &mut Vec<u8>) {
        out.extend_from_slice(b"Obj\x01");
        let metadata = [
            ("avro.schema", schema.text()),
            ("avro.codec", self.codec.name()),
        ];
        write_long(metadata.len() as i64, out);
        for (name, value) in metadata {
            write_bytes(name.as_bytes(), out);
            write_bytes(value.as_bytes(), out);
        }
        write_long(0, out);
        out.extend_from_slice(&self.sync);
    }

    /// Adds a value, which `write` encodes.
    pub fn append(&mut self, write: impl FnOnce(&mut Vec<u8>), out: &mut Vec<u8>) {
        write(&mut self.block);
        self.values += 1;
        if self.block.len() >= self.sync_interval {
            self.flush(out);
        }
    }

    /// Ends the block: every value so far can be read from what was written.
    pub fn flush(&mut self, out: &mut Vec<u8>) {
        if self.values == 0 {
            return;
        }
        write_long(self.values, out);
        if self.codec == Codec::Null {
            write_bytes(&self.block, out);
        } else {
            self.codec.compress(&self.block, &mut self.compressed);
            write_bytes(&self.compressed, out);
        }
        out.extend_from_slice(&self.sync);
        self.values = 0;
        // Thousands of files can be open, each with a writer.
        for kept in [&mut self.block, &mut self.compressed] {
            kept.clear();
            kept.shrink_to(KEPT_BYTES);
        }
    }
}

//! SequenceFile, version 6: records, or blocks of compressed records, between sync markers by which a reader finds its
//! way into the middle of a file. Written as Hadoop's `SequenceFile.Writer` does.

use flume_core::{Event, EventSerializer};

use super::{Codec, Compressor, WriteFormat, pool::Pool};

const KEY_CLASS: &str = "org.apache.hadoop.io.LongWritable";
const KEY_BYTES: usize = 8;
/// What stands where a record's length would: a sync marker follows.
const SYNC_ESCAPE: [u8; 4] = [0xff; 4];
/// Bytes after which records are interrupted by a sync marker, as of Hadoop 3.
const SYNC_INTERVAL_BYTES: u64 = 100 * 1024;
/// `io.seqfile.compress.blocksize`: raw bytes of keys and values that make a block.
const BLOCK_BYTES: usize = 1_000_000;
/// Hadoop counts a record, and the values of a block, in an `int`.
const MOST_BODY_BYTES: usize = i32::MAX as usize - 2 * BLOCK_BYTES;

/// One file.
pub(super) struct SequenceFile {
    format: WriteFormat,
    blocks: Option<Blocks>,
    sync: [u8; 16],
    /// Bytes written so far.
    position: u64,
    /// The position after the last sync marker; 0 before the first, whatever the header holds.
    synced: u64,
}

/// The blocks of a compressed file.
struct Blocks {
    pool: Pool<Block>,
    /// That being filled.
    current: Option<Block>,
}

/// Records on their way into a compressed block: Hadoop keeps lengths, keys and values apart.
pub(super) struct Block {
    compressor: Box<dyn Compressor>,
    records: i64,
    key_lengths: Vec<u8>,
    keys: Vec<u8>,
    value_lengths: Vec<u8>,
    values: Vec<u8>,
    compressed: Vec<u8>,
}

impl SequenceFile {
    /// With a pool the file is compressed.
    pub(super) fn new(format: WriteFormat, pool: Option<Pool<Block>>) -> Self {
        let blocks = pool.map(|pool| Blocks {
            pool,
            current: None,
        });
        let sync = fastrand::u128(..).to_be_bytes();
        SequenceFile {
            format,
            blocks,
            sync,
            position: 0,
            synced: 0,
        }
    }

    /// Writes through `write`, and counts what was written.
    fn counted(&mut self, out: &mut Vec<u8>, write: impl FnOnce(&mut Self, &mut Vec<u8>)) {
        let before = out.len();
        write(self, out);
        self.position += (out.len() - before) as u64;
    }

    /// A sync marker, unless one was just written.
    fn sync(&mut self, out: &mut Vec<u8>) {
        if self.position != self.synced {
            out.extend_from_slice(&SYNC_ESCAPE);
            out.extend_from_slice(&self.sync);
            self.position += 20;
            self.synced = self.position;
        }
    }

    fn record(&mut self, key: i64, body: &[u8], out: &mut Vec<u8>) {
        if self.position >= self.synced + SYNC_INTERVAL_BYTES {
            self.sync(out);
        }
        let before = out.len();
        let length = (KEY_BYTES + self.format.value_length(body)) as u32;
        out.reserve(8 + length as usize);
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&(KEY_BYTES as u32).to_be_bytes());
        out.extend_from_slice(&key.to_be_bytes());
        self.format.write_value(body, out);
        self.position += (out.len() - before) as u64;
    }

    fn end_block(&mut self, out: &mut Vec<u8>) {
        let block = self
            .blocks
            .as_mut()
            .and_then(|blocks| blocks.current.take());
        let Some(mut block) = block else { return };
        self.sync(out);
        self.counted(out, |_, out| block.write(out));
        if let Some(blocks) = &self.blocks {
            blocks.pool.give(block);
        }
    }
}

impl EventSerializer for SequenceFile {
    fn begin(&mut self, out: &mut Vec<u8>) {
        self.counted(out, |file, out| {
            out.extend_from_slice(b"SEQ\x06");
            write_string(KEY_CLASS, out);
            write_string(file.format.value_class(), out);
            let compressed = u8::from(file.blocks.is_some());
            out.extend_from_slice(&[compressed, compressed]);
            if let Some(blocks) = &file.blocks {
                write_string(blocks.pool.codec().class(), out);
            }
            // No metadata.
            out.extend_from_slice(&[0; 4]);
            out.extend_from_slice(&file.sync);
        });
    }

    fn write(&mut self, event: &Event, out: &mut Vec<u8>) -> Result<(), String> {
        let key = key(event)?;
        if event.body.len() > MOST_BODY_BYTES {
            let length = event.body.len();
            return Err(format!(
                "a record holds at most {MOST_BODY_BYTES} bytes, the body has {length}"
            ));
        }
        let Some(blocks) = &mut self.blocks else {
            self.record(key, &event.body, out);
            return Ok(());
        };
        let block = blocks.current.get_or_insert_with(|| blocks.pool.take());
        block.add(key, self.format, &event.body);
        if block.keys.len() + block.values.len() >= BLOCK_BYTES {
            self.end_block(out);
        }
        Ok(())
    }

    fn flush(&mut self, out: &mut Vec<u8>) {
        if self.blocks.is_some() {
            self.end_block(out);
        } else {
            self.sync(out);
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        self.end_block(out);
    }
}

impl Block {
    pub(super) fn new(codec: Codec) -> Self {
        Block {
            compressor: codec.compressor(),
            records: 0,
            key_lengths: vec![],
            keys: vec![],
            value_lengths: vec![],
            values: vec![],
            compressed: vec![],
        }
    }

    fn add(&mut self, key: i64, format: WriteFormat, body: &[u8]) {
        self.records += 1;
        write_vlong(KEY_BYTES as i64, &mut self.key_lengths);
        self.keys.extend_from_slice(&key.to_be_bytes());
        write_vlong(format.value_length(body) as i64, &mut self.value_lengths);
        format.write_value(body, &mut self.values);
    }

    fn write(&mut self, out: &mut Vec<u8>) {
        write_vlong(self.records, out);
        self.records = 0;
        for part in [
            &mut self.key_lengths,
            &mut self.keys,
            &mut self.value_lengths,
            &mut self.values,
        ] {
            self.compressed.clear();
            self.compressor.write(part, &mut self.compressed);
            self.compressor.finish(&mut self.compressed);
            write_vlong(self.compressed.len() as i64, out);
            out.extend_from_slice(&self.compressed);
            part.clear();
            part.shrink_to(2 * BLOCK_BYTES);
        }
        self.compressed.shrink_to(2 * BLOCK_BYTES);
    }
}

impl WriteFormat {
    /// Bytes of the value that a body becomes.
    fn value_length(self, body: &[u8]) -> usize {
        match self {
            WriteFormat::Writable => 4 + body.len(),
            WriteFormat::Text => vlong_length(body.len() as i64) + body.len(),
        }
    }

    fn write_value(self, body: &[u8], out: &mut Vec<u8>) {
        match self {
            WriteFormat::Writable => out.extend_from_slice(&(body.len() as u32).to_be_bytes()),
            WriteFormat::Text => write_vlong(body.len() as i64, out),
        }
        out.extend_from_slice(body);
    }
}

/// Milliseconds since 1970: the header `timestamp`, else now.
fn key(event: &Event) -> Result<i64, String> {
    let Some(timestamp) = event.headers.get("timestamp") else {
        return Ok(flume_host::clock::now_ms() as i64);
    };
    timestamp.parse().map_err(|_| {
        format!("the header `timestamp` is not a number of milliseconds: `{timestamp}`")
    })
}

/// `Text.writeString`.
fn write_string(text: &str, out: &mut Vec<u8>) {
    write_vlong(text.len() as i64, out);
    out.extend_from_slice(text.as_bytes());
}

/// `WritableUtils.writeVLong`: one byte from -112 to 127; else one that says sign and length, then the number, big end
/// first.
fn write_vlong(value: i64, out: &mut Vec<u8>) {
    if (-112..=127).contains(&value) {
        out.push(value as u8);
        return;
    }
    let (first, number) = if value < 0 {
        (-120, !value)
    } else {
        (-112, value)
    };
    let length = vlong_length(value) - 1;
    out.push((first - length as i8) as u8);
    out.extend_from_slice(&number.to_be_bytes()[8 - length..]);
}

fn vlong_length(value: i64) -> usize {
    if (-112..=127).contains(&value) {
        return 1;
    }
    let number = if value < 0 { !value } else { value };
    1 + (64 - number.leading_zeros() as usize).div_ceil(8)
}

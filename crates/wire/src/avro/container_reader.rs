//! Reads container files, version 1, from bytes that come in pieces.

use bytes::{Bytes, BytesMut};

use super::{Codec, DatumError, DatumReader, Schema, codec::decompress};
use crate::MAX_MESSAGE_PARTS;

const MAGIC: &[u8; 4] = b"Obj\x01";
const SYNC_BYTES: usize = 16;
/// Bytes of a header, the schema included.
const MAX_HEADER_BYTES: usize = 8 << 20;
/// Bytes of a block, compressed and raw.
const MAX_BLOCK_BYTES: usize = 256 << 20;

/// Reads one file.
#[derive(Default)]
pub struct ContainerReader {
    buffer: BytesMut,
    /// Bytes of the file before the buffer.
    offset: u64,
    header: Option<ContainerHeader>,
}

/// What a file says of itself.
#[derive(Clone, Debug)]
struct ContainerHeader {
    metadata: Vec<(String, Bytes)>,
    codec: Codec,
    schema: Schema,
    sync: [u8; SYNC_BYTES],
}

/// Values between two sync markers.
#[derive(Clone, Debug)]
pub struct ContainerBlock {
    /// Where in the file it begins, behind a sync marker.
    pub offset: u64,
    /// Where in the file the next one begins.
    pub end: u64,
    /// Number of values.
    pub values: u64,
    /// The values, decompressed.
    pub raw: Bytes,
}

/// Why a file cannot be read on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContainerError {
    /// It does not begin as a container file does.
    #[error("it is not an Avro container file")]
    NotAContainer,
    /// A part of it is not what it has to be.
    #[error("{0}")]
    Malformed(String),
}

impl ContainerReader {
    /// Takes in what follows.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Bytes that were taken in and belong to no block yet.
    pub fn pending(&self) -> usize {
        self.buffer.len()
    }

    /// The schema of the values, once it was read.
    pub fn schema(&self) -> Option<&Schema> {
        self.header.as_ref().map(|header| &header.schema)
    }

    /// An entry of the header's metadata.
    pub fn metadata(&self, name: &str) -> Option<&Bytes> {
        let mut entries = self.header.iter().flat_map(|header| &header.metadata);
        entries
            .find(|(known, _)| known == name)
            .map(|(_, value)| value)
    }

    /// The next block; `None` when it is not all there.
    ///
    /// # Errors
    /// The file is not a container file, or is damaged here.
    pub fn next_block(&mut self) -> Result<Option<ContainerBlock>, ContainerError> {
        if self.header.is_none() && !self.read_header()? {
            return Ok(None);
        }
        let Some(header) = &self.header else {
            return Ok(None);
        };
        // Counted from a small copy: the whole buffer would have to be shared otherwise.
        let front = &self.buffer[..self.buffer.len().min(20)];
        let mut reader = DatumReader::new(Bytes::copy_from_slice(front));
        let lengths = reader
            .long()
            .and_then(|values| Ok((values, reader.long()?)));
        let (values, size) = match lengths {
            Ok(lengths) => lengths,
            Err(DatumError::Truncated) => return Ok(None),
            Err(error) => return Err(malformed("the size of a block", error)),
        };
        let values = u64::try_from(values).map_err(|error| malformed("a block", error))?;
        let size = usize::try_from(size).map_err(|error| malformed("a block", error))?;
        if size > MAX_BLOCK_BYTES {
            let text = format!("a block has {size} bytes, the limit is {MAX_BLOCK_BYTES}");
            return Err(ContainerError::Malformed(text));
        }
        let start = reader.position();
        let end = start + size + SYNC_BYTES;
        if self.buffer.len() < end {
            return Ok(None);
        }
        if self.buffer[start + size..end] != header.sync {
            return Err(ContainerError::Malformed(
                "a block does not end with the sync marker".into(),
            ));
        }
        let packed = self
            .buffer
            .split_to(end)
            .freeze()
            .slice(start..start + size);
        let raw = if header.codec == Codec::Null {
            packed
        } else {
            let raw = decompress(header.codec, &packed, MAX_BLOCK_BYTES);
            Bytes::from(raw.map_err(|error| malformed("a compressed block", error))?)
        };
        if values > raw.len().max(MAX_MESSAGE_PARTS) as u64 {
            return Err(ContainerError::Malformed(format!(
                "a block has {values} values"
            )));
        }
        let offset = self.offset;
        self.offset += end as u64;
        Ok(Some(ContainerBlock {
            offset,
            end: self.offset,
            values,
            raw,
        }))
    }

    /// Whether the header is all there.
    fn read_header(&mut self) -> Result<bool, ContainerError> {
        let known = self.buffer.len().min(MAGIC.len());
        if self.buffer[..known] != MAGIC[..known] {
            return Err(ContainerError::NotAContainer);
        }
        let front = &self.buffer[..self.buffer.len().min(MAX_HEADER_BYTES)];
        let mut reader = DatumReader::new(Bytes::copy_from_slice(front));
        match read_header(&mut reader) {
            Ok((metadata, sync)) => {
                let entry = |name: &str| metadata.iter().find(|(known, _)| known == name);
                let schema = entry("avro.schema").map(|(_, text)| String::from_utf8_lossy(text));
                let schema =
                    schema.ok_or_else(|| ContainerError::Malformed("it has no schema".into()))?;
                let schema =
                    Schema::parse(&schema).map_err(|error| malformed("the schema", error))?;
                let codec = entry("avro.codec").map_or(Ok(Codec::Null), |(_, name)| {
                    let known = Codec::ALL
                        .iter()
                        .find(|codec| codec.name().as_bytes() == &name[..]);
                    let unknown =
                        || format!("its codec `{}` is not known", String::from_utf8_lossy(name));
                    known
                        .copied()
                        .ok_or_else(|| ContainerError::Malformed(unknown()))
                })?;
                let length = reader.position();
                let _ = self.buffer.split_to(length);
                self.offset += length as u64;
                self.header = Some(ContainerHeader {
                    metadata,
                    codec,
                    schema,
                    sync,
                });
                Ok(true)
            }
            Err(DatumError::Truncated) if self.buffer.len() < MAX_HEADER_BYTES => Ok(false),
            Err(error) => Err(malformed("the header", error)),
        }
    }
}

type Metadata = Vec<(String, Bytes)>;

fn read_header(reader: &mut DatumReader) -> Result<(Metadata, [u8; SYNC_BYTES]), DatumError> {
    reader.skip(MAGIC.len())?;
    let mut metadata = vec![];
    loop {
        let entries = reader.block()?;
        if entries == 0 {
            break;
        }
        if entries > reader.remaining() as u64 {
            return Err(DatumError::Truncated);
        }
        for _ in 0..entries {
            metadata.push((reader.string()?.to_string(), reader.bytes()?));
        }
    }
    Ok((metadata, reader.fixed()?))
}

fn malformed(what: &str, error: impl std::fmt::Display) -> ContainerError {
    ContainerError::Malformed(format!("{what} cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::avro::{ContainerWriter, Shape, write_bytes, write_long};

    const SCHEMA: &str = r#"{"type":"record","name":"Node","fields":[
        {"name":"id","type":"long"},{"name":"on","type":"boolean"},
        {"name":"tags","type":{"type":"map","values":"string"}},
        {"name":"next","type":["null","Node"]},
        {"name":"sum","type":{"type":"fixed","name":"Sum","size":3}}]}"#;

    /// A node, and one inside of it.
    fn node(id: i64, out: &mut Vec<u8>) {
        for depth in [1, 0] {
            write_long(id, out);
            out.push(1);
            write_long(1, out);
            write_bytes(b"k", out);
            write_bytes(&vec![b'v'; id as usize], out);
            write_long(0, out);
            write_long(depth, out);
        }
        out.extend_from_slice(b"inner");
        out.push(b'!');
    }

    #[test]
    fn what_a_writer_wrote_is_read_in_pieces_of_any_size() {
        let schema = Schema::parse(SCHEMA).unwrap();
        for codec in Codec::ALL {
            let mut file = vec![];
            let mut writer = ContainerWriter::new(*codec, 100);
            writer.header(&schema, &mut file);
            for id in 0..20 {
                writer.append(|out| node(id, out), &mut file);
            }
            writer.flush(&mut file);
            for piece in [1, 7, file.len()] {
                let mut reader = ContainerReader::default();
                let mut seen = vec![];
                for bytes in file.chunks(piece) {
                    reader.feed(bytes);
                    while let Some(block) = reader.next_block().unwrap() {
                        assert_eq!(reader.schema(), Some(&schema));
                        let shape = Shape::of(&schema);
                        let mut values = DatumReader::new(block.raw.clone());
                        for _ in 0..block.values {
                            let start = values.position();
                            shape.skip(&mut values).unwrap();
                            seen.push(block.raw.slice(start..values.position()));
                        }
                        assert_eq!(values.remaining(), 0);
                    }
                }
                let mut expected = vec![];
                for id in 0..20 {
                    let mut value = vec![];
                    node(id, &mut value);
                    expected.push(Bytes::from(value));
                }
                assert_eq!(seen, expected, "{codec:?} in pieces of {piece}");
                assert_eq!(reader.pending(), 0);
            }
        }
    }

    #[test]
    fn damage_is_an_error() {
        let mut reader = ContainerReader::default();
        reader.feed(b"Ob");
        assert!(reader.next_block().unwrap().is_none());
        reader.feed(b"X");
        assert_eq!(
            reader.next_block().unwrap_err(),
            ContainerError::NotAContainer
        );
        let schema = Schema::parse(r#""long""#).unwrap();
        let mut file = vec![];
        let mut writer = ContainerWriter::new(Codec::Snappy, 100);
        writer.header(&schema, &mut file);
        writer.append(|out| write_long(7, out), &mut file);
        writer.flush(&mut file);
        for back in [1, 18] {
            let mut damaged = file.clone();
            let place = damaged.len() - back;
            damaged[place] ^= 1;
            let mut reader = ContainerReader::default();
            reader.feed(&damaged);
            reader.next_block().unwrap_err();
        }
    }
}

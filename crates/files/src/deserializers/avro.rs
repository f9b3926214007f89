//! `AVRO`: the values of an Avro container file.

use bytes::Bytes;
use flume_core::{
    BuildError, Component, Config, Context, Event, EventDeserializer, FileEvent, Headers, Str,
    Undecodable, config::Choice,
};
use flume_wire::avro::{ContainerBlock, ContainerReader, DatumReader, Schema, Shape};

const HASH_HEADER: &str = "flume.avro.schema.hash";
const LITERAL_HEADER: &str = "flume.avro.schema.literal";
/// Bytes of the marker that stands before each block.
const SYNC_BYTES: u64 = 16;

/// Makes an event of each value in an Avro container file. The body is the value in Avro's binary encoding.
#[derive(Clone, Config)]
pub(super) struct AvroConfig {
    /// How an event names its schema: `HASH`, the header `flume.avro.schema.hash` with the fingerprint CRC-64-AVRO; or
    /// `LITERAL`, the header `flume.avro.schema.literal` with the schema itself.
    #[prop("schemaType", default = "HASH")]
    schema_type: SchemaType,
}

#[derive(Clone, Copy)]
enum SchemaType {
    Hash,
    Literal,
}

impl Choice for SchemaType {
    const CHOICES: &'static [(&'static str, Self)] =
        &[("HASH", SchemaType::Hash), ("LITERAL", SchemaType::Literal)];
}

pub(super) struct AvroDeserializer {
    schema_type: SchemaType,
    reader: ContainerReader,
    /// Blocks whose marker begins before this byte were delivered.
    delivered: u64,
    /// Known once the file's header was read.
    values: Option<ValueFacts>,
    block: Option<OpenBlock>,
    /// Where the last block ended.
    offset: u64,
    finished: bool,
}

/// What all values of a file have in common.
struct ValueFacts {
    shape: Shape,
    headers: Headers,
}

struct OpenBlock {
    block: ContainerBlock,
    reader: DatumReader,
    left: u64,
}

impl Component for AvroDeserializer {
    type Config = AvroConfig;
    fn build(config: AvroConfig, _: &Context) -> Result<Self, BuildError> {
        Ok(AvroDeserializer {
            schema_type: config.schema_type,
            reader: ContainerReader::default(),
            delivered: 0,
            values: None,
            block: None,
            offset: 0,
            finished: false,
        })
    }
}

impl EventDeserializer for AvroDeserializer {
    /// The header is needed whatever was delivered, so reading begins at the start.
    fn begin(&mut self, offset: u64) -> u64 {
        self.reader = ContainerReader::default();
        self.delivered = offset;
        self.values = None;
        self.block = None;
        self.offset = 0;
        self.finished = false;
        0
    }

    fn feed(&mut self, bytes: Bytes) {
        self.reader.feed(&bytes);
    }

    fn finish(&mut self) {
        self.finished = true;
    }

    fn next(&mut self) -> Result<Option<FileEvent>, Undecodable> {
        loop {
            if let Some(open) = &mut self.block
                && open.left > 0
                && let Some(values) = &self.values
            {
                return open.next(values).map(Some);
            }
            let block = self
                .reader
                .next_block()
                .map_err(|error| self.wrong(error.to_string()))?;
            let Some(block) = block else {
                if self.finished && self.reader.pending() > 0 {
                    return Err(self.wrong("the file ends inside of a block".into()));
                }
                return Ok(None);
            };
            self.offset = block.end;
            if block.offset < self.delivered.saturating_add(SYNC_BYTES) {
                continue;
            }
            if self.values.is_none() {
                self.values = self.reader.schema().map(|schema| self.facts(schema));
            }
            self.block = Some(OpenBlock {
                reader: DatumReader::new(block.raw.clone()),
                left: block.values,
                block,
            });
        }
    }
}

impl AvroDeserializer {
    fn facts(&self, schema: &Schema) -> ValueFacts {
        let (name, value) = match self.schema_type {
            SchemaType::Hash => (HASH_HEADER, fingerprint(schema.canonical())),
            SchemaType::Literal => (LITERAL_HEADER, schema.text().to_string()),
        };
        ValueFacts {
            shape: Shape::of(schema),
            headers: Headers::from_iter([(Str::from_static(name), Str::from(value))]),
        }
    }

    fn wrong(&self, reason: String) -> Undecodable {
        Undecodable {
            reason,
            offset: self.offset,
        }
    }
}

impl OpenBlock {
    fn next(&mut self, values: &ValueFacts) -> Result<FileEvent, Undecodable> {
        let start = self.reader.position();
        values
            .shape
            .skip(&mut self.reader)
            .map_err(|error| Undecodable {
                reason: format!("a value cannot be read: {error}"),
                offset: self.block.offset,
            })?;
        self.left -= 1;
        let body = self.block.raw.slice(start..self.reader.position());
        // Flume goes on at a sync marker, so a block is done with its last value.
        let after = if self.left == 0 {
            self.block.end
        } else {
            self.block.offset
        };
        Ok(FileEvent {
            event: Event {
                headers: values.headers.clone(),
                body,
            },
            offset: after - SYNC_BYTES,
        })
    }
}

/// CRC-64-AVRO of a schema's canonical form, as Flume writes it: eight bytes in hexadecimal, little end first.
fn fingerprint(canonical: &str) -> String {
    const EMPTY: u64 = 0xc15d_213a_a4d7_a795;
    let mut crc = EMPTY;
    for byte in canonical.bytes() {
        crc ^= u64::from(byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (EMPTY & (crc & 1).wrapping_neg());
        }
    }
    crc.to_le_bytes()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of the Avro specification's reference implementation.
    #[test]
    fn fingerprints_are_those_of_avro() {
        for (canonical, crc) in [
            ("\"int\"", 0x7275_d51a_3f39_5c8f_u64),
            ("\"string\"", 0x8f01_4872_6345_03c7),
        ] {
            let bytes = crc.to_le_bytes();
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(fingerprint(canonical), hex, "{canonical}");
        }
    }
}

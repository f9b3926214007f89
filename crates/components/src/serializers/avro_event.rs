//! `avro_event`: Avro container files of events.

use flume_core::{
    BuildError, Component, Config, Context, Event, EventSerializer, config::OrDefault,
};
use flume_wire::avro::{self, ContainerWriter, Schema, write_event};

use super::avro::{CodecName, container};

/// The schema of events, as Flume writes it.
const SCHEMA: &str = r#"{"type":"record","name":"Event","fields":[{"name":"headers","type":{"type":"map","values":"string"}},{"name":"body","type":"bytes"}]}"#;

/// Writes Avro container files: each value is a record `Event` with the headers and the body.
#[derive(Clone, Config)]
pub(super) struct AvroEventConfig {
    /// Raw bytes after which a block ends; it ends with each batch, too.
    #[prop("syncIntervalBytes", default = avro::DEFAULT_SYNC_INTERVAL_BYTES)]
    sync_interval_bytes: usize,
    /// How blocks are compressed: null, deflate, snappy, bzip2 or zstandard.
    #[prop("compressionCodec", default = "null")]
    compression_codec: OrDefault<CodecName>,
}

pub(super) struct AvroEvent {
    schema: Schema,
    container: ContainerWriter,
}

impl Component for AvroEvent {
    type Config = AvroEventConfig;
    fn build(config: AvroEventConfig, _: &Context) -> Result<Self, BuildError> {
        let schema = Schema::parse(SCHEMA).map_err(|error| BuildError::at("", error))?;
        Ok(AvroEvent {
            schema,
            container: container(config.compression_codec.0, config.sync_interval_bytes)?,
        })
    }
}

impl EventSerializer for AvroEvent {
    fn begin(&mut self, out: &mut Vec<u8>) {
        self.container.header(&self.schema, out);
    }

    fn write(&mut self, event: &Event, out: &mut Vec<u8>) -> Result<(), String> {
        self.container
            .append(|block| write_event(event, block), out);
        Ok(())
    }

    fn flush(&mut self, out: &mut Vec<u8>) {
        self.container.flush(out);
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        self.container.flush(out);
    }
}

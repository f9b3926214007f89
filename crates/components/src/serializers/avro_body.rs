//! Flume's `AvroEventSerializer`: Avro container files of bodies that are Avro values already.

use std::collections::BTreeMap;

use flume_core::{
    BuildError, Component, Config, Context, Event, EventSerializer, Str, config::OrDefault,
};
use flume_wire::avro::{self, ContainerWriter, Schema};

use super::avro::{CodecName, container};

const URL_HEADER: &str = "flume.avro.schema.url";
const LITERAL_HEADER: &str = "flume.avro.schema.literal";
/// Ways of naming the schema of a file that are remembered as the same.
const MOST_ACCEPTED: usize = 16;

/// Writes Avro container files of bodies that are Avro values in binary encoding. Their schema is that of the header
/// `flume.avro.schema.url`, else `flume.avro.schema.literal`, else `schemaURL`. The first event fixes the schema of a
/// file; an event with another one, or with none, is malformed.
#[derive(Clone, Config)]
pub(super) struct AvroBodyConfig {
    /// Raw bytes after which a block ends; it ends with each batch, too.
    #[prop("syncIntervalBytes", default = avro::DEFAULT_SYNC_INTERVAL_BYTES)]
    sync_interval_bytes: usize,
    /// How blocks are compressed: null, deflate, snappy, bzip2 or zstandard.
    #[prop("compressionCodec", default = "null")]
    compression_codec: OrDefault<CodecName>,
    /// Where the schema of events stands whose headers name none: a path, or a URL of `file` or, in the hdfs sink,
    /// `hdfs`.
    #[prop("schemaURL")]
    schema_url: Option<String>,
}

pub(super) struct AvroBody {
    container: ContainerWriter,
    default_url: Option<Str>,
    documents: BTreeMap<String, Vec<u8>>,
    /// That of the file, once it has begun.
    schema: Option<Schema>,
    /// Where events may say it stands.
    accepted: Vec<Named>,
}

/// How an event names its schema.
#[derive(Clone, PartialEq, Eq)]
enum Named {
    Url(Str),
    Literal(Str),
}

impl Component for AvroBody {
    type Config = AvroBodyConfig;
    fn build(config: AvroBodyConfig, _: &Context) -> Result<Self, BuildError> {
        if let Some(url) = &config.schema_url {
            readable(url).map_err(|error| BuildError::at("schemaURL", error))?;
        }
        Ok(AvroBody {
            container: container(config.compression_codec.0, config.sync_interval_bytes)?,
            default_url: config.schema_url.map(Str::from),
            documents: BTreeMap::new(),
            schema: None,
            accepted: vec![],
        })
    }
}

impl EventSerializer for AvroBody {
    fn lacks(&self, event: &Event) -> Option<Str> {
        match self.named(event)? {
            Named::Url(url) if !self.documents.contains_key(&url[..]) && readable(&url).is_ok() => {
                Some(url)
            }
            _ => None,
        }
    }

    fn supply(&mut self, url: &str, document: &[u8]) {
        self.documents.insert(url.into(), document.into());
    }

    fn write(&mut self, event: &Event, out: &mut Vec<u8>) -> Result<(), String> {
        let named = self.named(event).ok_or_else(|| {
            format!("it has neither header, {URL_HEADER} nor {LITERAL_HEADER}, and `schemaURL` is not set")
        })?;
        if !self.accepted.contains(&named) {
            self.accept(named, out)?;
        }
        self.container
            .append(|block| block.extend_from_slice(&event.body), out);
        Ok(())
    }

    fn flush(&mut self, out: &mut Vec<u8>) {
        self.container.flush(out);
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        self.container.flush(out);
    }
}

impl AvroBody {
    fn named(&self, event: &Event) -> Option<Named> {
        let header = |name| event.headers.get(name).cloned();
        let url = header(URL_HEADER).map(Named::Url);
        url.or_else(|| header(LITERAL_HEADER).map(Named::Literal))
            .or_else(|| self.default_url.clone().map(Named::Url))
    }

    /// Begins the file with the schema, or sees whether it is that of the file.
    fn accept(&mut self, named: Named, out: &mut Vec<u8>) -> Result<(), String> {
        let schema = match &named {
            Named::Literal(text) => {
                Schema::parse(text).map_err(|error| format!("its schema is none: {error}"))?
            }
            Named::Url(url) => {
                readable(url)?;
                let document = self
                    .documents
                    .get(&url[..])
                    .ok_or_else(|| format!("its schema {url} was not read"))?;
                let text = std::str::from_utf8(document)
                    .map_err(|_| format!("its schema {url} is not UTF-8"))?;
                Schema::parse(text).map_err(|error| format!("its schema {url} is none: {error}"))?
            }
        };
        match &self.schema {
            None => {
                self.container.header(&schema, out);
                self.schema = Some(schema);
            }
            Some(file) if *file == schema => {}
            Some(_) => {
                return Err(
                    "its schema is not that of the file, which the first event fixed".into(),
                );
            }
        }
        self.accepted.truncate(MOST_ACCEPTED - 1);
        self.accepted.insert(0, named);
        Ok(())
    }
}

/// Whether a sink may be asked to read it.
fn readable(url: &str) -> Result<(), String> {
    let scheme = url.split_once("://").map_or("file", |(scheme, _)| scheme);
    if ["file", "hdfs"]
        .iter()
        .any(|known| known.eq_ignore_ascii_case(scheme))
    {
        return Ok(());
    }
    Err(format!(
        "schemas are read from files and from HDFS, not by {scheme}: {url}"
    ))
}

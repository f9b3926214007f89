//! What the serializers of Avro container files share: their properties.

use flume_core::{BuildError, config::Choice};
use flume_wire::avro::{Codec, ContainerWriter, SYNC_INTERVALS};

/// `compressionCodec`.
#[derive(Clone, Copy)]
pub(super) struct CodecName(Codec);

impl Choice for CodecName {
    const CHOICES: &'static [(&'static str, Self)] = &[
        ("null", CodecName(Codec::Null)),
        ("deflate", CodecName(Codec::Deflate)),
        ("snappy", CodecName(Codec::Snappy)),
        ("bzip2", CodecName(Codec::Bzip2)),
        ("zstandard", CodecName(Codec::Zstandard)),
    ];
}

/// A writer with `compressionCodec` and `syncIntervalBytes`.
pub(super) fn container(
    CodecName(codec): CodecName,
    sync_interval_bytes: usize,
) -> Result<ContainerWriter, BuildError> {
    if !SYNC_INTERVALS.contains(&sync_interval_bytes) {
        let text = format!(
            "expected {} to {} bytes",
            SYNC_INTERVALS.start(),
            SYNC_INTERVALS.end()
        );
        return Err(BuildError::at("syncIntervalBytes", text));
    }
    Ok(ContainerWriter::new(codec, sync_interval_bytes))
}

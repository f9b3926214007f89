//! The properties that say what files hold.

use flume_core::{
    BuildError, Config, EventSerializer,
    config::{Nested, Prefix},
};

use super::{CodecChoice, FileType, Format, WriteFormat};

/// The part of the sink's properties that a format is made of.
#[derive(Clone, Config)]
pub struct FormatConfig {
    /// How a file is made of events.
    #[prop("hdfs.fileType", default = "SequenceFile")]
    file_type: FileType,
    /// Codec of CompressedStream and of the blocks of a SequenceFile.
    #[prop("hdfs.codeC", default = "None")]
    codec: CodecChoice,
    /// What bodies become in a SequenceFile: Writable, a BytesWritable; Text, a Text.
    #[prop("hdfs.writeFormat", default = "Writable")]
    write_format: WriteFormat,
    /// No write format has properties.
    #[prop("writeFormat")]
    _write_format_properties: Prefix<String>,
    /// How an event is written into a DataStream or CompressedStream.
    #[prop("serializer", default = "TEXT")]
    serializer: Nested<dyn EventSerializer>,
}

impl FormatConfig {
    /// What files hold.
    ///
    /// # Errors
    /// When the codec does not go with the file type.
    pub fn format(&self) -> Result<Format, BuildError> {
        Format::new(
            self.file_type,
            self.codec,
            self.write_format,
            self.serializer.clone(),
        )
    }
}

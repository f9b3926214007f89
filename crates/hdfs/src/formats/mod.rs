//! What the files hold: `hdfs.fileType`, `hdfs.codeC`, `hdfs.writeFormat` and `serializer`, together one [`Format`].

mod codec;
mod compressed;
mod compressor;
mod config;
mod documents;
mod pool;
mod sequence_file;
mod write_format;

pub use codec::{Codec, CodecChoice};
pub use compressor::Compressor;
pub use config::FormatConfig;
pub use documents::Documents;
pub use write_format::WriteFormat;

use flume_core::{
    BuildError, Context, EventSerializer,
    config::{Choice, Nested},
};

use compressed::{Compressed, Member};
use pool::Pool;
use sequence_file::{Block, SequenceFile};

/// `hdfs.fileType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileType {
    /// Keys and values, as Hadoop's jobs read them; block-compressed if there is a codec.
    SequenceFile,
    /// What the serializer writes, as it is.
    DataStream,
    /// What the serializer writes, compressed.
    CompressedStream,
}

impl Choice for FileType {
    const CHOICES: &'static [(&'static str, Self)] = &[
        ("SequenceFile", FileType::SequenceFile),
        ("DataStream", FileType::DataStream),
        ("CompressedStream", FileType::CompressedStream),
    ];
}

/// How the files of a sink are written. Starts a serializer for each file; after its `flush`, all events so far can be
/// read from what it wrote.
#[derive(Clone)]
pub struct Format {
    codec: Option<Codec>,
    content: Content,
}

#[derive(Clone)]
enum Content {
    Records(WriteFormat),
    Blocks(WriteFormat, Pool<Block>),
    Stream(Nested<dyn EventSerializer>),
    Compressed(Nested<dyn EventSerializer>, Pool<Member>),
}

impl Format {
    fn new(
        file_type: FileType,
        CodecChoice(codec): CodecChoice,
        write_format: WriteFormat,
        serializer: Nested<dyn EventSerializer>,
    ) -> Result<Self, BuildError> {
        let content = match (file_type, codec) {
            (FileType::DataStream, Some(_)) => {
                let text = "a DataStream is not compressed: leave the codec out, or set hdfs.fileType = CompressedStream";
                return Err(BuildError::at("hdfs.codeC", text));
            }
            (FileType::CompressedStream, None) => {
                let text = format!(
                    "a CompressedStream needs a codec, one of {}",
                    Codec::names()
                );
                return Err(BuildError::at("hdfs.codeC", text));
            }
            (FileType::SequenceFile, None) => Content::Records(write_format),
            (FileType::SequenceFile, Some(codec)) => {
                Content::Blocks(write_format, Pool::new(codec, Block::new))
            }
            (FileType::DataStream, None) => Content::Stream(serializer),
            (FileType::CompressedStream, Some(codec)) => {
                Content::Compressed(serializer, Pool::new(codec, Member::new))
            }
        };
        Ok(Format { codec, content })
    }

    /// What file names end with unless `hdfs.fileSuffix` says otherwise: `.gz`, or nothing without a codec.
    pub fn extension(&self) -> &'static str {
        self.codec.map_or("", Codec::extension)
    }

    /// What writes one file.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn start(&self, cx: &Context) -> Result<Box<dyn EventSerializer>, BuildError> {
        let inner = |serializer: &Nested<dyn EventSerializer>| {
            serializer
                .create(&cx.inside("serializer"))
                .map_err(|error| error.inside("serializer"))
        };
        Ok(match &self.content {
            Content::Records(format) => Box::new(SequenceFile::new(*format, None)),
            Content::Blocks(format, pool) => {
                Box::new(SequenceFile::new(*format, Some(pool.clone())))
            }
            Content::Stream(serializer) => inner(serializer)?,
            Content::Compressed(serializer, pool) => {
                Box::new(Compressed::new(inner(serializer)?, pool.clone()))
            }
        })
    }
}

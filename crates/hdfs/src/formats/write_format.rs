//! `hdfs.writeFormat`: the values of a SequenceFile.

use flume_core::config::Scalar;

/// How a body becomes the value of a record. Its key is the header `timestamp`, else the time of writing, as a
/// `LongWritable`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteFormat {
    /// `BytesWritable`.
    Writable,
    /// `Text`. As in Hadoop nobody checks that the bytes are UTF-8.
    Text,
}

const NAMES: &[(&str, WriteFormat)] = &[
    ("Writable", WriteFormat::Writable),
    ("Text", WriteFormat::Text),
    (
        "org.apache.flume.sink.hdfs.HDFSWritableSerializer$Builder",
        WriteFormat::Writable,
    ),
    (
        "org.apache.flume.sink.hdfs.HDFSTextSerializer$Builder",
        WriteFormat::Text,
    ),
];

impl Scalar for WriteFormat {
    const TYPE: &'static str = "choice";

    fn parse(text: &str) -> Result<Self, String> {
        let found = NAMES
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(text));
        found.map(|(_, format)| *format).ok_or_else(|| {
            if text.contains('.') {
                "`Writable` or `Text`, as Java classes cannot be loaded".into()
            } else {
                "`Writable` or `Text`".into()
            }
        })
    }
}

impl WriteFormat {
    /// The class of the values, as the file's header names it.
    pub(super) fn value_class(self) -> &'static str {
        match self {
            WriteFormat::Writable => "org.apache.hadoop.io.BytesWritable",
            WriteFormat::Text => "org.apache.hadoop.io.Text",
        }
    }
}

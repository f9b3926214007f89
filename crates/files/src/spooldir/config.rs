//! The properties of `spooldir`.

use std::{num::NonZeroUsize, path::PathBuf};

use flume_core::{
    Config, EventDeserializer, OnMalformed,
    config::{Choice, Ignored, Millis, Nested},
};
use flume_java::{charset::Charset, regex::NamePattern};

use super::candidates::ConsumeOrder;

/// Reads files that are put into a directory, each once. A file must not change any more once it is there.
///
/// A file that cannot be read, was changed, or whose new name is taken is set aside: its name gets the end
/// `.SET_ASIDE`, the log says why, and the other files are read.
#[derive(Clone, Config)]
pub(crate) struct SpoolDirConfig {
    /// The directory.
    #[prop("spoolDir")]
    pub(super) spool_dir: PathBuf,
    /// What the name of a file that is done ends with.
    #[prop("fileSuffix", default = ".COMPLETED")]
    pub(super) file_suffix: String,
    /// What becomes of a file that is done: `never` keeps it, `immediate` deletes it.
    #[prop("deletePolicy", default = "never")]
    pub(super) delete_policy: DeletePolicy,
    /// Whether events have a header with the path of their file.
    #[prop("fileHeader", default = false)]
    pub(super) file_header: bool,
    /// Name of that header.
    #[prop("fileHeaderKey", default = "file")]
    pub(super) file_header_key: String,
    /// Whether events have a header with the name of their file.
    #[prop("basenameHeader", default = false)]
    pub(super) basename_header: bool,
    /// Name of that header.
    #[prop("basenameHeaderKey", default = "basename")]
    pub(super) basename_header_key: String,
    /// A regular expression in Java's dialect that the whole name of a file has to match.
    #[prop("includePattern", default = "^.*$")]
    pub(super) include_pattern: NamePattern,
    /// A regular expression in Java's dialect; files and directories whose whole name it matches are left alone.
    #[prop("ignorePattern", default = "^$")]
    pub(super) ignore_pattern: NamePattern,
    /// Directory for what is remembered of files; a relative path is below `spoolDir`.
    #[prop("trackerDir", default = ".flumespool")]
    pub(super) tracker_dir: PathBuf,
    /// How a file is marked as done: `rename` gives it a new name, `tracker_dir` makes a file below `trackerDir`.
    #[prop("trackingPolicy", default = "rename")]
    pub(super) tracking_policy: TrackingPolicy,
    /// Which file comes first: `oldest`, `youngest` or `random`.
    #[prop("consumeOrder", default = "oldest")]
    pub(super) consume_order: ConsumeOrder,
    /// Pause before the directory is looked at again when there was no file. A file that comes meanwhile ends it, where
    /// the kernel tells of files.
    #[prop("pollDelay", default = 500)]
    pub(super) poll_delay: Millis,
    /// Whether directories in the directory are read, too.
    #[prop("recursiveDirectorySearch", default = false)]
    pub(super) recursive_directory_search: bool,
    /// Longest pause after a refusal of the channel; the first is 250 milliseconds, each later one twice as long.
    #[prop("maxBackoff", default = 4000)]
    pub(super) max_backoff: Millis,
    /// Most events in one transaction.
    #[prop("batchSize", default = 100)]
    pub(super) batch_size: NonZeroUsize,
    /// Character set of the files.
    #[prop("inputCharset", default = "UTF-8")]
    pub(super) input_charset: Charset,
    /// What becomes of bytes that mean nothing in it: `FAIL` sets the file aside, `REPLACE` makes U+FFFD of them, `IGNORE`
    /// leaves them out.
    #[prop("decodeErrorPolicy", default = "FAIL")]
    pub(super) decode_error_policy: OnMalformed,
    /// How a file becomes events.
    #[prop("deserializer", default = "LINE")]
    pub(super) deserializer: Nested<dyn EventDeserializer>,
    /// Whether files whose names end with `.gz`, `.bz2` or `.zst` are decompressed; unset: for a deserializer of text.
    #[prop("decompress")]
    pub(super) decompress: Option<bool>,
    /// The old name of `deserializer.maxLineLength`.
    #[prop("bufferMaxLineLength")]
    pub(super) buffer_max_line_length: Option<NonZeroUsize>,
    /// Flume does not look at it either.
    #[prop("bufferMaxLines")]
    pub(super) _buffer_max_lines: Ignored,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum DeletePolicy {
    Never,
    Immediate,
}

impl Choice for DeletePolicy {
    const CHOICES: &'static [(&'static str, Self)] = &[
        ("never", DeletePolicy::Never),
        ("immediate", DeletePolicy::Immediate),
    ];
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum TrackingPolicy {
    Rename,
    TrackerDir,
}

impl Choice for TrackingPolicy {
    const CHOICES: &'static [(&'static str, Self)] = &[
        ("rename", TrackingPolicy::Rename),
        ("tracker_dir", TrackingPolicy::TrackerDir),
    ];
}

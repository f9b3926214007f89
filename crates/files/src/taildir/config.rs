//! The properties of `TAILDIR`.

use std::{num::NonZeroUsize, path::PathBuf};

use flume_core::{
    BuildError, Config, Headers, Str,
    config::{FreeText, Millis, Names, Prefix},
};

use super::discovery::FileGroup;
use crate::multiline::MultilineConfig;

/// Follows files that grow, and reads each line once, also when files are renamed, copied and cut, or deleted.
///
/// Positions are saved after the channel's commit: after a crash lines may come twice, and none is lost.
#[derive(Clone, Config)]
pub(crate) struct TaildirConfig {
    /// Names of the groups of files.
    #[prop("filegroups")]
    pub(super) filegroups: Names,
    /// `filegroups.NAME`: the files of a group, an absolute path. What stands after its last `/` is a regular expression in
    /// Java's dialect for their names. In the directories before it, `*` and `?` stand for any characters and for one, and `**`
    /// for any directories, or none.
    #[prop("filegroups")]
    pub(super) paths: Prefix<String>,
    /// `headers.GROUP.HEADER`: a header of the events of a group.
    #[prop("headers")]
    pub(super) headers: Prefix<FreeText>,
    /// The file in which positions are saved, as Flume writes it. Unset: `~/.flume/taildir_position.json`. Beside it stands
    /// one with the end `.identity`, which tells files from others that get their inodes.
    #[prop("positionFile")]
    pub(super) position_file: Option<PathBuf>,
    /// Most events in one transaction.
    #[prop("batchSize", default = 100)]
    pub(super) batch_size: NonZeroUsize,
    /// Most batches from one file before the next file has its turn; 0 or less: no limit.
    #[prop("maxBatchCount", default = i64::MAX)]
    pub(super) max_batch_count: i64,
    /// Whether files that nothing is known of are followed from their end on, when the source starts.
    #[prop("skipToEnd", default = false)]
    pub(super) skip_to_end: bool,
    /// A file that did not grow for so long is closed. A last line without a line feed is an event then.
    #[prop("idleTimeout", default = 120_000)]
    pub(super) idle_timeout: Millis,
    /// How often positions are saved.
    #[prop("writePosInterval", default = 3000)]
    pub(super) write_pos_interval: Millis,
    /// Whether events have a header `byteoffset` with the place of their line in the file.
    #[prop("byteOffsetHeader", default = false)]
    pub(super) byte_offset_header: bool,
    /// Whether a directory is listed only when it has changed.
    #[prop("cachePatternMatching", default = true)]
    pub(super) cache_pattern_matching: bool,
    /// Whether events have a header with the path of their file.
    #[prop("fileHeader", default = false)]
    pub(super) file_header: bool,
    /// Name of that header.
    #[prop("fileHeaderKey", default = "file")]
    pub(super) file_header_key: String,
    /// By how much the pause grows with each look at files that had nothing new. A file that grows ends the pause, where the
    /// kernel tells of files.
    #[prop("backoffSleepIncrement", default = 1000)]
    pub(super) backoff_sleep_increment: Millis,
    /// Longest pause.
    #[prop("maxBackoffSleep", default = 5000)]
    pub(super) max_backoff_sleep: Millis,
    #[prop(flatten)]
    pub(super) multiline: MultilineConfig,
    /// Lines that are to be joined are an event when nothing follows for so long.
    #[prop("multiline.timeout", default = 5000)]
    pub(super) multiline_timeout: Millis,
}

impl TaildirConfig {
    /// The groups that have a path, each with its headers.
    pub(super) fn groups(&self) -> Result<Vec<(FileGroup, Headers)>, BuildError> {
        let names: Vec<_> = self.filegroups.texts().collect();
        let is_listed = |name: &str| names.contains(&name);
        if let Some(stranger) = self.paths.0.keys().find(|name| !is_listed(name)) {
            let key = format!("filegroups.{stranger}");
            return Err(BuildError::at(
                &key,
                format!("`{stranger}` is not listed in `filegroups`"),
            ));
        }
        for key in self.headers.0.keys() {
            if !key
                .split_once('.')
                .is_some_and(|(group, header)| is_listed(group) && !header.is_empty())
            {
                let text = "expected `headers.GROUP.HEADER` with a group of `filegroups`";
                return Err(BuildError::at(&format!("headers.{key}"), text));
            }
        }
        let mut groups = vec![];
        for name in names {
            let key = format!("filegroups.{name}");
            let path = self.paths.0.get(name).map(|path| path.trim());
            let path = path.filter(|path| !path.is_empty());
            let path = path.ok_or_else(|| {
                BuildError::at(&key, "it has to be set, because the group is listed")
            })?;
            let group = FileGroup::new(path).map_err(|text| BuildError::at(&key, text))?;
            let prefix = format!("{name}.");
            let headers = self.headers.0.iter().filter_map(|(key, value)| {
                let header = key.strip_prefix(&prefix)?;
                Some((Str::from(header), Str::from(value.trim())))
            });
            groups.push((group, headers.collect()));
        }
        Ok(groups)
    }

    /// Where positions are saved.
    pub(super) fn positions(&self) -> PathBuf {
        self.position_file.clone().unwrap_or_else(|| {
            let home = flume_host::home::directory().unwrap_or_else(|| "/".into());
            home.join(".flume/taildir_position.json")
        })
    }
}

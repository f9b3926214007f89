//! Consequences of a configuration that are hardly intended.

use flume_core::{BuildError, Code};

use super::config::{HdfsConfig, Paths};
use crate::path::{Template, has_escape, unknown_escapes};

/// Whether an event of the sink's channel can have a header.
type MayHave<'a> = &'a dyn Fn(&str) -> bool;

pub(super) fn all(config: &HdfsConfig, paths: &Paths, may_have: MayHave<'_>) -> Vec<BuildError> {
    let mut remarks = vec![];
    remarks.extend(small_files(config));
    remarks.extend(never_finished(config, paths));
    remarks.extend(no_timestamp(paths, may_have));
    remarks.extend(header_first(paths));
    remarks.extend(templates(paths).filter_map(|(key, it)| header_never_set(key, it, may_have)));
    remarks.extend(config.templates().into_iter().filter_map(unknown_escape));
    remarks.extend(config.plain_names().into_iter().filter_map(escape_stays));
    remarks
}

fn templates(paths: &Paths) -> impl Iterator<Item = (&'static str, &Template)> {
    let directory = ("hdfs.path", &paths.directory);
    [directory, ("hdfs.filePrefix", &paths.prefix)].into_iter()
}

fn small_files(config: &HdfsConfig) -> Option<BuildError> {
    let text = "files are complete at 30 s, 1024 bytes or 10 events, Flume's defaults, which make many small files; \
                hdfs.rollInterval, hdfs.rollSize and hdfs.rollCount are the limits";
    let found = BuildError::of(Code::SmallFiles, "", text);
    config.has_default_rolls().then_some(found)
}

fn never_finished(config: &HdfsConfig, paths: &Paths) -> Option<BuildError> {
    let mut templates = templates(paths);
    let is_timed = templates.any(|(_, template)| template.timed());
    let text = "all roll limits are 0 and hdfs.idleTimeout is not set, so a file whose time has passed keeps its name \
                of a file being written until the sink stops; set hdfs.idleTimeout";
    let found = BuildError::of(Code::NeverFinished, "hdfs.rollInterval", text);
    (is_timed && config.never_finishes()).then_some(found)
}

fn no_timestamp(paths: &Paths, may_have: MayHave<'_>) -> Option<BuildError> {
    let mut templates = templates(paths);
    let (key, _) = templates.find(|(_, template)| template.timed() && !paths.clock.local)?;
    let text = "its escapes of time need a header `timestamp`, which no source of the channel sets: every event is \
                malformed; add a timestamp interceptor, or set hdfs.useLocalTimeStamp";
    (!may_have("timestamp")).then(|| BuildError::of(Code::NoTimestamp, key, text))
}

fn header_first(paths: &Paths) -> Option<BuildError> {
    let text = "a path that begins with a header is below the home directory, also when the header's value begins \
                with `/`; as in Flume it is absolute then with hdfs.headerValues = ANY";
    let is_meant = paths.is_led_by_events() && paths.directory.begins_with_header();
    is_meant.then(|| BuildError::of(Code::HeaderPath, "hdfs.path", text))
}

fn header_never_set(key: &str, template: &Template, may_have: MayHave<'_>) -> Option<BuildError> {
    let header = template.headers().find(|header| !may_have(header))?;
    let text = format!(
        "no source and no interceptor of the channel sets the header `{header}`, so nothing stands in its place"
    );
    Some(BuildError::of(Code::HeaderNeverSet, key, text))
}

fn unknown_escape((key, text): (&str, &str)) -> Option<BuildError> {
    let unknown = unknown_escapes(text);
    if unknown.is_empty() {
        return None;
    }
    let text = format!(
        "there is no such escape: {}; a letter behind `%` vanishes, other text stays as it is",
        unknown.join(", ")
    );
    Some(BuildError::of(Code::UnknownEscape, key, text))
}

fn escape_stays((key, text): (&str, &str)) -> Option<BuildError> {
    if !has_escape(text) {
        return None;
    }
    let text = format!(
        "`{text}` stays as it is in the names of files: only hdfs.path and hdfs.filePrefix have escapes"
    );
    Some(BuildError::of(Code::EscapeStays, key, text))
}

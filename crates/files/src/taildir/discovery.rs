//! Which files there are.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use flume_java::regex::NamePattern;

use crate::open::{FileFacts, is_compressed};

/// A directory that changed so short a time ago may change again without a new time.
const TIME_GRAIN: Duration = Duration::from_secs(2);

/// The files of a group: a directory, or several with `*`, `?` and `**`, and a pattern for their names.
#[derive(Clone, Debug)]
pub(super) struct FileGroup {
    pub(super) directory: PathBuf,
    pub(super) pattern: NamePattern,
    /// Paths that matched, by directory, and when that directory had changed then.
    cache: BTreeMap<PathBuf, (SystemTime, Vec<PathBuf>)>,
}

/// A file that is there now.
#[derive(Clone, Debug)]
pub(super) struct FoundFile {
    pub(super) path: PathBuf,
    pub(super) group: usize,
    pub(super) facts: FileFacts,
}

impl FileGroup {
    /// `path` is Flume's: all but its last part is a directory, the last part a regular expression.
    pub(super) fn new(path: &str) -> Result<FileGroup, String> {
        // As in Flume a path may begin at the working directory, and a slash at its end does not count.
        let path = std::path::absolute(path.trim_end_matches('/'));
        let path = path.map_err(|error| format!("expected a path: {error}"))?;
        let path = path.to_string_lossy();
        let (directory, pattern) = path.rsplit_once('/').ok_or("expected a path")?;
        let pattern = <NamePattern as flume_core::config::Scalar>::parse(pattern);
        Ok(FileGroup {
            directory: PathBuf::from(if directory.is_empty() { "/" } else { directory }),
            pattern: pattern
                .map_err(|expected| format!("expected {expected} after the last `/`"))?,
            cache: BTreeMap::new(),
        })
    }

    /// Its directories that are there.
    pub(super) fn directories(&self) -> Vec<PathBuf> {
        let text = self.directory.to_string_lossy();
        if !text.contains(['*', '?']) || self.directory.is_dir() {
            return vec![self.directory.clone()];
        }
        let mut found = vec![PathBuf::from("/")];
        for part in self.directory.iter().skip(1) {
            let part = part.to_string_lossy();
            if part == "**" {
                found = found.into_iter().flat_map(with_all_below).collect();
                continue;
            }
            if !part.contains(['*', '?']) {
                found.iter_mut().for_each(|path| path.push(&*part));
                continue;
            }
            let list = |path: &PathBuf| {
                fs::read_dir(path)
                    .into_iter()
                    .flatten()
                    .flatten()
                    .collect::<Vec<_>>()
            };
            let matching = found.iter().flat_map(list).filter(|entry| {
                glob_matches(&part, &entry.file_name().to_string_lossy()) && entry.path().is_dir()
            });
            found = matching.map(|entry| entry.path()).collect();
        }
        // Not each directory that matches has the one behind the wildcard.
        found.retain(|directory| directory.is_dir());
        found.sort();
        found.dedup();
        found
    }

    /// Adds the files that match now.
    pub(super) fn find(
        &mut self,
        group: usize,
        cached: bool,
        found: &mut Vec<FoundFile>,
    ) -> io::Result<()> {
        for directory in self.directories() {
            let changed = fs::metadata(&directory)?.modified()?;
            let fresh = self
                .cache
                .get(&directory)
                .filter(|(seen, _)| cached && *seen == changed);
            if fresh.is_none() {
                let paths = self.list(&directory)?;
                let settled = changed.elapsed().is_ok_and(|age| age > TIME_GRAIN);
                let seen = if settled {
                    changed
                } else {
                    SystemTime::UNIX_EPOCH
                };
                self.cache.insert(directory.clone(), (seen, paths));
            }
            for path in self
                .cache
                .get(&directory)
                .iter()
                .flat_map(|(_, paths)| paths)
            {
                // What vanished meanwhile is no file.
                if let Ok(metadata) = fs::metadata(path)
                    && metadata.is_file()
                {
                    let facts = FileFacts::of(&metadata);
                    found.push(FoundFile {
                        path: path.clone(),
                        group,
                        facts,
                    });
                }
            }
        }
        Ok(())
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<PathBuf>> {
        let mut paths = vec![];
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let path = entry.path();
            if self.pattern.matches(&entry.file_name().to_string_lossy()) && !is_compressed(&path) {
                paths.push(path);
            }
        }
        Ok(paths)
    }
}

/// A directory and all below it. Links are not followed, so no directory comes twice.
fn with_all_below(directory: PathBuf) -> Vec<PathBuf> {
    let mut all = vec![directory];
    let mut next = 0;
    while let Some(directory) = all.get(next) {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        let is_directory = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
        let below: Vec<_> = entries.filter(is_directory).collect();
        all.extend(below.iter().map(fs::DirEntry::path));
        next += 1;
    }
    all
}

/// `*` stands for any characters, `?` for one.
fn glob_matches(pattern: &str, name: &str) -> bool {
    match pattern.chars().next() {
        None => name.is_empty(),
        Some('*') => {
            let ends = name
                .char_indices()
                .map(|(place, _)| place)
                .chain([name.len()]);
            ends.into_iter()
                .any(|place| glob_matches(&pattern[1..], &name[place..]))
        }
        Some(wanted) => {
            let mut rest = name.chars();
            rest.next().is_some_and(|c| wanted == '?' || c == wanted)
                && glob_matches(&pattern[wanted.len_utf8()..], rest.as_str())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_names() {
        for (pattern, name, expected) in [
            ("app-*", "app-1", true),
            ("app-*", "ap", false),
            ("*", "x", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*-*x", "a-b-x", true),
        ] {
            assert_eq!(glob_matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}

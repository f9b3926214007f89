//! Which files there are.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io, mem,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

use flume_java::regex::NamePattern;

use super::walk::{Walk, has_wildcard, is_no_directory};
use crate::open::{FileFacts, is_compressed};

/// A directory that changed so short a time ago may change again without a new time.
const TIME_GRAIN: Duration = Duration::from_secs(2);
/// A walk through all directories is not made again before so many times what it took.
const WALK_SHARE: u32 = 4;
/// Directories of a group of which the log says that they cannot be read.
const MAX_WARNINGS: usize = 100;

/// The files of a group: a directory, or several with `*`, `?` and `**`, and a pattern for their names.
#[derive(Clone, Debug)]
pub(super) struct FileGroup {
    pub(super) directory: PathBuf,
    pub(super) pattern: NamePattern,
    /// Paths that matched, by directory, and when that directory had changed then.
    cache: BTreeMap<PathBuf, (SystemTime, Vec<PathBuf>)>,
    /// What its wildcards lead to, and when that is to be found out anew.
    walk: Walk,
    walk_due: Option<Instant>,
    warned: BTreeSet<PathBuf>,
    said_cut: bool,
}

/// What a look at all directories found.
#[derive(Default)]
pub(super) struct Look {
    pub(super) files: Vec<FoundFile>,
    /// Paths that could not be looked at. What was known of them, or of files below, still holds.
    pub(super) unread: BTreeSet<PathBuf>,
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
            walk: Walk::default(),
            walk_due: None,
            warned: BTreeSet::new(),
            said_cut: false,
        })
    }

    /// Its directories that are there.
    pub(super) fn directories(&self) -> Vec<PathBuf> {
        if has_wildcard(&self.directory) {
            return Walk::find(&self.directory).directories;
        }
        vec![self.directory.clone()]
    }

    /// Adds the files that match now. What a wildcard leads to belongs to anybody: a directory that cannot be read is
    /// passed over.
    ///
    /// # Errors
    /// A directory that the configuration names cannot be read.
    pub(super) fn find(&mut self, group: usize, cached: bool, look: &mut Look) -> io::Result<()> {
        let directory = self.directory.clone();
        if !has_wildcard(&directory) {
            return self.look_into(&directory, group, cached, look);
        }
        if self.walk_due.is_none_or(|due| Instant::now() >= due) {
            self.walk_anew();
        }
        for (path, _) in &self.walk.unread {
            look.unread.insert(path.clone());
        }
        let directories = mem::take(&mut self.walk.directories);
        for directory in &directories {
            match self.look_into(directory, group, cached, look) {
                Ok(()) => {}
                Err(error) if is_no_directory(&error) => {}
                Err(error) => {
                    self.warn_of(directory, &error.to_string());
                    look.unread.insert(directory.clone());
                }
            }
        }
        self.cache
            .retain(|directory, _| directories.binary_search(directory).is_ok());
        self.walk.directories = directories;
        Ok(())
    }

    fn walk_anew(&mut self) {
        let begin = Instant::now();
        self.walk = Walk::find(&self.directory);
        self.walk_due = Some(Instant::now() + begin.elapsed() * WALK_SHARE);
        for (path, error) in mem::take(&mut self.walk.unread) {
            self.warn_of(&path, &error);
            self.walk.unread.push((path, error));
        }
        if self.walk.is_cut && !mem::replace(&mut self.said_cut, true) {
            tracing::warn!(
                "{} stands for too many directories; the first {} are looked into",
                self.directory.display(),
                self.walk.directories.len()
            );
        }
    }

    /// Says once that a directory cannot be read.
    fn warn_of(&mut self, directory: &Path, error: &str) {
        if self.warned.len() >= MAX_WARNINGS || !self.warned.insert(directory.into()) {
            return;
        }
        tracing::warn!("{} is passed over: {error}", directory.display());
        if self.warned.len() == MAX_WARNINGS {
            let group = self.directory.display();
            tracing::warn!("further directories of {group} that cannot be read are only counted");
        }
    }

    fn look_into(
        &mut self,
        directory: &Path,
        group: usize,
        cached: bool,
        look: &mut Look,
    ) -> io::Result<()> {
        let changed = fs::metadata(directory)?.modified()?;
        let fresh = self
            .cache
            .get(directory)
            .is_some_and(|(seen, _)| cached && *seen == changed);
        if !fresh {
            let paths = self.list(directory)?;
            let settled = changed.elapsed().is_ok_and(|age| age > TIME_GRAIN);
            let seen = if settled {
                changed
            } else {
                SystemTime::UNIX_EPOCH
            };
            self.cache.insert(directory.into(), (seen, paths));
        }
        let known = self.cache.get(directory);
        for path in known.iter().flat_map(|(_, paths)| paths) {
            let path = path.clone();
            match fs::metadata(&path) {
                Ok(metadata) if metadata.is_file() => {
                    let facts = FileFacts::of(&metadata);
                    look.files.push(FoundFile { path, group, facts });
                }
                Ok(_) => {}
                // What vanished meanwhile is no file.
                Err(error) if is_no_directory(&error) => {}
                Err(_) => drop(look.unread.insert(path)),
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

impl Look {
    /// Whether nobody knows if there is a file of this path.
    pub(super) fn is_blind_to(&self, path: &Path) -> bool {
        !self.unread.is_empty() && path.ancestors().any(|above| self.unread.contains(above))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// Between the walk and the look anybody may put something else in a directory's place.
    #[test]
    fn a_directory_that_changes_after_the_walk_stops_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("place");
        fs::create_dir(&place).unwrap();
        fs::write(place.join("x"), "").unwrap();
        fs::write(dir.path().join("x"), "").unwrap();
        let mut group = FileGroup::new(&format!("{}/**/x", dir.path().display())).unwrap();
        let files_and_unread = |group: &mut FileGroup| {
            let mut look = Look::default();
            group.find(0, true, &mut look).unwrap();
            (look.files.len(), look.is_blind_to(&place.join("x")))
        };
        assert_eq!(files_and_unread(&mut group), (2, false));
        group.walk_due = Some(Instant::now() + Duration::from_secs(3600));
        fs::remove_dir_all(&place).unwrap();
        assert_eq!(files_and_unread(&mut group), (1, false));
        fs::write(&place, "").unwrap();
        assert_eq!(files_and_unread(&mut group), (1, false));
        fs::remove_file(&place).unwrap();
        symlink(&place, &place).unwrap();
        assert_eq!(files_and_unread(&mut group), (1, true));
        group.walk_due = None;
        assert_eq!(files_and_unread(&mut group), (1, false));
        assert_eq!(
            group.cache.len(),
            1,
            "what is not found any more is forgotten"
        );
    }
}

//! Which directories a group has. Anybody may make directories below one with `**`, so none of them ends the source,
//! and there is a limit to them.

use std::{
    collections::{BTreeSet, VecDeque},
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

/// Most directories that a group with wildcards looks into.
const MAX_DIRECTORIES: usize = 100_000;

/// What a look for directories found.
#[derive(Clone, Debug, Default)]
pub(super) struct Walk {
    /// Sorted, each once.
    pub(super) directories: Vec<PathBuf>,
    /// Those of which nobody knows what is below, and why.
    pub(super) unread: Vec<(PathBuf, String)>,
    /// Whether there are more than the group looks into.
    pub(super) is_cut: bool,
}

/// Whether a path names several directories.
pub(super) fn has_wildcard(directory: &Path) -> bool {
    directory.to_string_lossy().contains(['*', '?']) && !directory.is_dir()
}

impl Walk {
    /// The directories that are there now.
    pub(super) fn find(wanted: &Path) -> Walk {
        Walk::find_at_most(wanted, MAX_DIRECTORIES)
    }

    fn find_at_most(wanted: &Path, limit: usize) -> Walk {
        let mut walk = Walk::default();
        let mut found = BTreeSet::from([PathBuf::from("/")]);
        for part in wanted.iter().skip(1) {
            let part = part.to_string_lossy();
            found = if part == "**" {
                walk.all_below(found, limit)
            } else if part.contains(['*', '?']) {
                walk.matching(&found, &part, limit)
            } else {
                found.into_iter().map(|path| path.join(&*part)).collect()
            };
        }
        // Not each directory that matches has the one behind the wildcard.
        walk.directories = found.into_iter().filter(|path| path.is_dir()).collect();
        walk
    }

    /// Directories and all below them. Links are not followed, so none comes twice.
    fn all_below(&mut self, roots: BTreeSet<PathBuf>, limit: usize) -> BTreeSet<PathBuf> {
        let mut all = BTreeSet::new();
        let mut queue = VecDeque::from_iter(roots);
        while let Some(directory) = queue.pop_front() {
            if all.contains(&directory) {
                continue;
            }
            for entry in self.entries(&directory) {
                if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    continue;
                }
                if all.len() + queue.len() + 1 >= limit {
                    self.is_cut = true;
                    break;
                }
                queue.push_back(entry.path());
            }
            all.insert(directory);
        }
        all
    }

    /// Those of their directories whose names match.
    fn matching(
        &mut self,
        parents: &BTreeSet<PathBuf>,
        pattern: &str,
        limit: usize,
    ) -> BTreeSet<PathBuf> {
        let mut matching = BTreeSet::new();
        for parent in parents {
            for entry in self.entries(parent) {
                let name = entry.file_name();
                if !glob_matches(pattern, &name.to_string_lossy()) || !entry.path().is_dir() {
                    continue;
                }
                if matching.len() >= limit {
                    self.is_cut = true;
                    return matching;
                }
                matching.insert(entry.path());
            }
        }
        matching
    }

    fn entries(&mut self, directory: &Path) -> Vec<fs::DirEntry> {
        let entries = fs::read_dir(directory).and_then(Iterator::collect::<io::Result<_>>);
        entries.unwrap_or_else(|error| {
            if !is_no_directory(&error) {
                self.unread.push((directory.into(), error.to_string()));
            }
            vec![]
        })
    }
}

/// Whether a directory has vanished, or was none.
pub(super) fn is_no_directory(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
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

    #[test]
    fn a_directory_comes_once_whatever_leads_to_it() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("a/b/c")).unwrap();
        let walk = Walk::find(&dir.path().join("**/**"));
        let expected = ["", "a", "a/b", "a/b/c"].map(|name| dir.path().join(name));
        assert_eq!(walk.directories, expected);
        assert!(!walk.is_cut && walk.unread.is_empty());
    }

    #[test]
    fn there_is_a_limit_and_what_is_near_comes_first() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a/b/c/d", "e"] {
            fs::create_dir_all(dir.path().join(name)).unwrap();
        }
        for (pattern, expected) in [("**", &["", "a", "e"][..]), ("*", &["a", "e"])] {
            let walk = Walk::find_at_most(&dir.path().join(pattern), 3);
            let expected: Vec<_> = expected.iter().map(|name| dir.path().join(name)).collect();
            assert_eq!(walk.directories, expected);
            assert_eq!(walk.is_cut, pattern == "**");
        }
    }
}

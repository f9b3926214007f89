//! Notices that files changed, by looking at them now and then: at time, size and identity. No event of the kernel is
//! needed, so it works on every file system.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::SystemTime,
};

/// Files, and how each was when it was last looked at.
#[derive(Clone, Debug)]
pub struct FileWatch {
    files: Vec<(PathBuf, Option<FileFacts>)>,
}

/// What changes when a file is written or replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileFacts {
    modified: Option<SystemTime>,
    length: u64,
    identity: (u64, u64),
    /// When the file was last changed in any way. Unlike the time of its content nobody can set it.
    changed: (i64, i64),
}

impl FileWatch {
    /// Files that nobody has looked at yet: each that is there counts as changed.
    pub fn new(paths: impl IntoIterator<Item = PathBuf>) -> FileWatch {
        FileWatch {
            files: paths.into_iter().map(|path| (path, None)).collect(),
        }
    }

    /// Watches these files, too, from now on.
    pub fn also(&mut self, paths: impl IntoIterator<Item = PathBuf>) {
        for path in paths {
            if !self.files.iter().any(|(known, _)| *known == path) {
                let facts = facts_of(&path);
                self.files.push((path, facts));
            }
        }
    }

    /// Whether a file is not as it was when [`FileWatch::look`] last saw it. A file that vanished counts as unchanged:
    /// whoever replaces it may be about to put the new one there.
    pub fn changed(&self) -> bool {
        let differs = |(path, seen): &(PathBuf, Option<FileFacts>)| {
            facts_of(path).is_some_and(|now| Some(now) != *seen)
        };
        self.files.iter().any(differs)
    }

    /// Remembers how the files are now. Call this before reading them, so that a change meanwhile is noticed.
    pub fn look(&mut self) {
        for (path, seen) in &mut self.files {
            *seen = facts_of(path).or(*seen);
        }
    }
}

fn facts_of(path: &Path) -> Option<FileFacts> {
    let found = fs::metadata(path).ok()?;
    Some(FileFacts {
        modified: found.modified().ok(),
        length: found.len(),
        identity: (found.dev(), found.ino()),
        changed: (found.ctime(), found.ctime_nsec()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writing_replacing_and_vanishing_are_told_apart() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("flume.conf");
        let mut watch = FileWatch::new([path.clone()]);
        assert!(!watch.changed(), "a file that is not there has not changed");
        fs::write(&path, "one").unwrap();
        assert!(watch.changed());
        watch.look();
        assert!(!watch.changed());
        fs::write(&path, "longer").unwrap();
        assert!(watch.changed());
        watch.look();
        let fresh = directory.path().join("fresh");
        fs::write(&fresh, "longer").unwrap();
        fs::rename(&fresh, &path).unwrap();
        assert!(watch.changed(), "same length, another file");
        watch.look();
        let time = fs::metadata(&path).unwrap().modified().unwrap();
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
        std::io::Write::write_all(&mut &file, b"LONGER").unwrap();
        file.set_modified(time).unwrap();
        assert!(watch.changed(), "same length, same time, other content");
        watch.look();
        fs::remove_file(&path).unwrap();
        assert!(!watch.changed());
    }
}

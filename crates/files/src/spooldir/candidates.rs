//! Which files of the directory come next.

use std::{
    cmp::Reverse,
    collections::VecDeque,
    fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use flume_core::config::Choice;
use flume_java::regex::NamePattern;

/// `consumeOrder`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConsumeOrder {
    Oldest,
    Youngest,
    Random,
}

impl Choice for ConsumeOrder {
    const CHOICES: &'static [(&'static str, Self)] = &[
        ("oldest", ConsumeOrder::Oldest),
        ("youngest", ConsumeOrder::Youngest),
        ("random", ConsumeOrder::Random),
    ];
}

/// What a file has to be to be read.
#[derive(Clone, Debug)]
pub(super) struct FileSelection {
    pub(super) directory: PathBuf,
    pub(super) recursive: bool,
    pub(super) include: NamePattern,
    pub(super) ignore: NamePattern,
    /// A name with one of these ends is that of a file that is done.
    pub(super) done_suffixes: Vec<String>,
    /// Where markers say which files are done, when that is how it is said.
    pub(super) markers: Option<PathBuf>,
    pub(super) tracker_directory: PathBuf,
    pub(super) order: ConsumeOrder,
}

/// A file that is to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CandidateFile {
    pub(super) path: PathBuf,
    modified: SystemTime,
}

impl FileSelection {
    /// The files that are to be read, in order. With the order `youngest` only the next one: later ones may come.
    pub(super) fn list(&self) -> io::Result<VecDeque<CandidateFile>> {
        let mut found = vec![];
        self.walk(&self.directory, &mut found)?;
        match self.order {
            ConsumeOrder::Oldest => {
                found.sort_by(|a, b| (a.modified, &a.path).cmp(&(b.modified, &b.path)))
            }
            ConsumeOrder::Youngest => {
                found.sort_by(|a, b| {
                    (Reverse(a.modified), &a.path).cmp(&(Reverse(b.modified), &b.path))
                });
            }
            ConsumeOrder::Random => fastrand::shuffle(&mut found),
        }
        Ok(found.into())
    }

    fn walk(&self, directory: &Path, found: &mut Vec<CandidateFile>) -> io::Result<()> {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let path = entry.path();
            // Patterns are for text; a name that is none cannot match what was meant.
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with('.') || self.ignore.matches(&name) || path == self.tracker_directory
            {
                continue;
            }
            let kind = entry.file_type()?;
            if kind.is_dir() {
                if self.recursive {
                    // A directory that cannot be listed holds up no other.
                    if let Err(error) = self.walk(&path, found) {
                        tracing::warn!("failed to list {}: {error}", path.display());
                    }
                }
                continue;
            }
            let done = self
                .done_suffixes
                .iter()
                .any(|suffix| name.ends_with(suffix.as_str()));
            if done || !self.include.matches(&name) || self.is_marked(&path) {
                continue;
            }
            // Through links, as Flume does. What vanished meanwhile, or is a pipe, is no file to read.
            let Ok(metadata) = fs::metadata(&path) else {
                continue;
            };
            if metadata.is_file() {
                let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                found.push(CandidateFile { path, modified });
            }
        }
        Ok(())
    }

    fn is_marked(&self, path: &Path) -> bool {
        self.done_suffixes.iter().any(|suffix| {
            self.marker(path, suffix)
                .is_some_and(|marker| marker.exists())
        })
    }

    /// The marker that says that a file is done, where markers say so.
    pub(super) fn marker(&self, path: &Path, suffix: &str) -> Option<PathBuf> {
        let relative = path.strip_prefix(&self.directory).ok()?;
        let mut marker = self.markers.as_ref()?.join(relative).into_os_string();
        marker.push(suffix);
        Some(marker.into())
    }
}

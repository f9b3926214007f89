//! Which files in the directories of a channel are Java Flume's.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::{JavaError, checkpoint};
use crate::{disk::Disk, pool::Layout};

/// A log with this number and no `.meta` keeps Java Flume from starting on directories that were taken over.
const BARRIER: u32 = i32::MAX as u32;

/// What lies in the directories of a channel.
#[derive(Debug, Default)]
pub(crate) struct JavaFiles {
    /// Logs by number, each with its directory's place in `dataDirs`.
    pub(super) logs: Vec<LogFile>,
    /// Everything that is Java's, with the directory it is in.
    pub(crate) all: Vec<(PathBuf, PathBuf)>,
    /// Whether the events are ours already.
    pub(crate) has_barrier: bool,
}

/// A log.
#[derive(Debug)]
pub(super) struct LogFile {
    pub(super) id: u32,
    pub(super) path: PathBuf,
    pub(super) directory: usize,
}

impl JavaFiles {
    /// Looks at the names in all directories; one that does not exist is empty.
    pub(crate) fn find(disk: &dyn Disk, layout: &Layout) -> Result<Self, JavaError> {
        let mut files = JavaFiles::default();
        for (place, directory) in layout.data_dirs.iter().enumerate() {
            for (path, name) in names(disk, directory)? {
                match kind(&name) {
                    Some(Kind::Barrier) => files.has_barrier |= name == barrier_name(),
                    Some(Kind::Log(id)) => {
                        files.all.push((directory.clone(), path.clone()));
                        let directory = place;
                        files.logs.push(LogFile {
                            id,
                            path,
                            directory,
                        });
                    }
                    Some(Kind::OfLog) => files.all.push((directory.clone(), path)),
                    None => {}
                }
            }
        }
        let directory = &layout.checkpoint_dir;
        for (path, name) in names(disk, directory)? {
            if is_checkpoint(&name) {
                files.all.push((directory.clone(), path));
            }
        }
        files.logs.sort_by_key(|log| log.id);
        match files.logs.windows(2).find(|pair| pair[0].id == pair[1].id) {
            Some(pair) => Err(JavaError::Twice {
                path: pair[0].path.clone(),
                other: pair[1].path.clone(),
            }),
            None => Ok(files),
        }
    }

    /// One of them, if there are any.
    pub(crate) fn any(&self) -> Option<&Path> {
        self.all.first().map(|(_, path)| path.as_path())
    }
}

/// The log that keeps Java Flume out of `directory`.
pub(crate) fn barrier(directory: &Path) -> PathBuf {
    directory.join(barrier_name())
}

fn barrier_name() -> String {
    format!("log-{BARRIER}")
}

fn names(disk: &dyn Disk, directory: &Path) -> Result<Vec<(PathBuf, String)>, JavaError> {
    let found = match disk.list(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => vec![],
        found => found.map_err(|cause| JavaError::Io {
            path: directory.into(),
            cause,
        })?,
    };
    let named = found.into_iter().filter_map(|(path, _)| {
        let name = path.file_name()?.to_str()?.to_string();
        Some((path, name))
    });
    Ok(named.collect())
}

enum Kind {
    Log(u32),
    /// `.meta`, what a crash left of one, and the copy that the integrity tool makes.
    OfLog,
    /// The log, or what it is before it is whole.
    Barrier,
}

fn kind(name: &str) -> Option<Kind> {
    let rest = name.strip_prefix("log-")?;
    let (number, suffix) = rest.split_once('.').unwrap_or((rest, ""));
    if !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let id = number.parse().ok().filter(|&id| id <= BARRIER)?;
    match suffix {
        _ if id == BARRIER => Some(Kind::Barrier),
        "" => Some(Kind::Log(id)),
        "meta" | "meta.tmp" | "meta.old" | "bak" => Some(Kind::OfLog),
        _ => None,
    }
}

fn is_checkpoint(name: &str) -> bool {
    [
        checkpoint::QUEUE,
        checkpoint::META,
        checkpoint::PUTS,
        checkpoint::TAKES,
    ]
    .contains(&name)
}

//! What becomes of a file that was read.

use std::{
    ffi::OsString,
    fs::{self, OpenOptions},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, RenameFlags, renameat_with},
    io::Errno,
};

use super::candidates::FileSelection;

/// Names of files that were set aside end with this.
pub(super) const SET_ASIDE_SUFFIX: &str = ".SET_ASIDE";
/// Files of one name that can be set aside.
const MAX_SAME_NAMES: usize = 10_000;

/// How a file is marked as done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Marking {
    Rename,
    Marker,
    Delete,
}

/// Marks a file as done. `AlreadyExists`: the new name is taken, and nothing was changed.
pub(super) fn complete(
    path: &Path,
    marking: Marking,
    suffix: &str,
    selection: &FileSelection,
) -> io::Result<()> {
    match marking {
        Marking::Delete => fs::remove_file(path),
        Marking::Rename => rename(path, &with_suffix(path, suffix)),
        Marking::Marker => match selection.marker(path, suffix) {
            Some(marker) => create_marker(&marker),
            None => Ok(()),
        },
    }
}

/// Puts a file out of the way, so that it is not read again; says under which name.
pub(super) fn set_aside(
    path: &Path,
    marking: Marking,
    selection: &FileSelection,
) -> io::Result<PathBuf> {
    if marking == Marking::Marker
        && let Some(marker) = selection.marker(path, SET_ASIDE_SUFFIX)
    {
        create_marker(&marker)?;
        return Ok(marker);
    }
    for number in 0..MAX_SAME_NAMES {
        let between = if number == 0 {
            String::new()
        } else {
            format!(".{number}")
        };
        let to = with_suffix(path, &format!("{between}{SET_ASIDE_SUFFIX}"));
        match rename(path, &to) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            renamed => return renamed.map(|()| to),
        }
    }
    Err(ErrorKind::AlreadyExists.into())
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// Renames, but over nothing.
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // A file system that cannot do both in one step.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
            if fs::symlink_metadata(to).is_ok() {
                return Err(ErrorKind::AlreadyExists.into());
            }
            fs::rename(from, to)
        }
        renamed => renamed.map_err(io::Error::from),
    }
}

fn create_marker(marker: &Path) -> io::Result<()> {
    if let Some(parent) = marker.parent() {
        fs::create_dir_all(parent)?;
    }
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(marker)
        .map(drop)
}

//! One process per directory. The lock is the one Java takes (`fcntl`, the whole of `in_use.lock`), so that both
//! exclude each other. **This module alone opens `in_use.lock`: closing any descriptor of it would drop the lock.**

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use parking_lot::Mutex;
use rustix::{
    fs::{FlockOperation, fcntl_lock},
    process::{Flock, FlockType, fcntl_getlk},
};

/// Directories locked by this process; `fcntl` would let it lock them again.
static HELD: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// A locked directory. Dropping it unlocks.
#[derive(Debug)]
pub struct DirectoryLock {
    directory: PathBuf,
    file: Option<File>,
}

/// Why a directory is not locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has it.
    #[error("{directory} is in use by {owner}; only one channel may use a directory")]
    InUse {
        /// Which.
        directory: PathBuf,
        /// The process that has it.
        owner: String,
    },
    /// It could not be tried.
    #[error("failed to lock {directory}")]
    Io {
        /// Which.
        directory: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
}

impl DirectoryLock {
    /// Creates the directory if need be, and locks it.
    pub fn acquire(directory: &Path) -> Result<Self, LockError> {
        let failed = |cause| LockError::Io {
            directory: directory.into(),
            cause,
        };
        create(directory).map_err(failed)?;
        let directory = fs::canonicalize(directory).map_err(failed)?;
        let owned = |owner: String| LockError::InUse {
            directory: directory.clone(),
            owner,
        };
        // Held while the lock is tried, so that nobody closes another descriptor of the file meanwhile.
        let mut held = HELD.lock();
        if held.contains(&directory) {
            return Err(owned("another channel of this agent".into()));
        }
        let path = directory.join("in_use.lock");
        loop {
            let options = File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path);
            let file = options.map_err(failed)?;
            match fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::ACCESS) => {
                    return Err(owned(owner(&file)));
                }
                Err(error) => return Err(failed(error.into())),
            }
            // Java removes its lock file when it ends: what is locked must be what the next one will find.
            if is_at(&file, &path).map_err(failed)? {
                held.insert(directory.clone());
                return Ok(DirectoryLock {
                    directory,
                    file: Some(file),
                });
            }
        }
    }
}

impl Drop for DirectoryLock {
    fn drop(&mut self) {
        // Closed before anybody may lock it anew: closing it later would drop that lock, too.
        let mut held = HELD.lock();
        self.file = None;
        held.remove(&self.directory);
    }
}

/// Makes a directory and what is missing above it, for good: each is synced into the one above.
fn create(directory: &Path) -> io::Result<()> {
    let directory = std::path::absolute(directory)?;
    let missing = directory.ancestors().take_while(|path| !path.exists());
    let missing: Vec<_> = missing.collect();
    fs::create_dir_all(&directory)?;
    let above = missing.iter().filter_map(|made| made.parent());
    // Who may not read a directory cannot sync it either.
    let mut readable = above.filter_map(|above| File::open(above).ok());
    readable.try_for_each(|above| above.sync_all())
}

fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let locked = file.metadata()?;
    match fs::metadata(path) {
        Ok(found) => Ok((found.dev(), found.ino()) == (locked.dev(), locked.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Who has the lock, in words.
fn owner(file: &File) -> String {
    match fcntl_getlk(file, &Flock::from(FlockType::WriteLock)) {
        Ok(Some(Flock { pid: Some(pid), .. })) => format!("process {}", pid.as_raw_nonzero()),
        _ => "another process".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_locked_once() {
        let directory = tempfile::tempdir().expect("a directory");
        let held = DirectoryLock::acquire(directory.path()).expect("a lock");
        let refused = DirectoryLock::acquire(directory.path())
            .expect_err("no second lock")
            .to_string();
        assert!(
            refused.contains("another channel of this agent"),
            "{refused}"
        );
        drop(held);
        DirectoryLock::acquire(directory.path()).expect("a lock after the first is gone");
    }

    #[test]
    fn a_directory_is_made_with_those_above_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a/b/c");
        DirectoryLock::acquire(&path).expect("a lock");
        assert!(path.join("in_use.lock").exists());
    }
}

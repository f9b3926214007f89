//! A directory for this user alone, for tickets and whatever else nobody may see or replace.
//!
//! `TMPDIR` may name a directory of another user. That user could replace what is made in it, and root would write
//! through a link. So the way to the directory is tested like every other one.

use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{FlockOperation, flock, fstat},
    io::Errno,
    process::geteuid,
};

use super::{Result, SafeDirectory};

/// Where root makes such directories: only root may write there, and nothing in it reaches a disk.
const RUN_DIR: &str = "/run";

/// A directory with a name of its own. It is removed, with everything in it, when this is dropped. It is locked until
/// then: a directory without a lock is that of a process that was killed.
#[derive(Debug)]
pub struct PrivateDirectory {
    parent: PathBuf,
    name: OsString,
    _locked: SafeDirectory,
}

impl PrivateDirectory {
    /// Makes one whose name begins so.
    ///
    /// # Errors
    /// It cannot be made, or others may have tampered with the way to it.
    pub fn make(prefix: &str) -> Result<PrivateDirectory> {
        PrivateDirectory::make_in(PrivateDirectory::parent(), prefix)
    }

    fn make_in(parent: PathBuf, prefix: &str) -> Result<PrivateDirectory> {
        loop {
            let made = SafeDirectory::make_private(&parent, prefix)?;
            // Whoever removes what was left behind may have found it before it had its lock. Where there are no locks,
            // nothing is removed.
            if made.lock_alone().unwrap_or(true) {
                return Ok(PrivateDirectory {
                    name: made.path().file_name().unwrap_or_default().into(),
                    parent,
                    _locked: made,
                });
            }
        }
    }

    /// Removes what killed processes of this user left of such directories. What cannot be removed harms nobody: a new
    /// directory has another name.
    pub fn remove_left_behind(prefix: &str) {
        remove_unlocked(&PrivateDirectory::parent(), prefix);
    }

    /// Where they are made.
    pub fn parent() -> PathBuf {
        let run = Path::new(RUN_DIR);
        if geteuid().is_root() && run.is_dir() {
            run.into()
        } else {
            std::env::temp_dir()
        }
    }

    /// Where it is.
    pub fn path(&self) -> PathBuf {
        self.parent.join(&self.name)
    }

    /// Opens it.
    ///
    /// # Errors
    /// It is not there any more.
    pub fn open(&self) -> Result<SafeDirectory> {
        SafeDirectory::open(&self.path())
    }
}

impl SafeDirectory {
    /// Whether this has the directory's lock now, and the directory is still there.
    fn lock_alone(&self) -> Result<bool> {
        let failed = |error: Errno| self.failed("lock", OsStr::new(""), error);
        match flock(&self.fd, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(fstat(&self.fd).map_err(failed)?.st_nlink > 0),
            Err(Errno::WOULDBLOCK) => Ok(false),
            Err(error) => Err(failed(error)),
        }
    }
}

fn remove_unlocked(parent: &Path, prefix: &str) {
    let Ok(parent) = SafeDirectory::open(parent) else {
        return;
    };
    for name in parent.names().unwrap_or_default() {
        if !name.to_string_lossy().starts_with(prefix) {
            continue;
        }
        let Ok(found) = parent.directory(&name) else {
            continue;
        };
        let is_own = found.ownership().user == geteuid().as_raw();
        if is_own && found.lock_alone().unwrap_or(false) {
            let _ = parent.remove_tree(&name);
        }
    }
}

impl Drop for PrivateDirectory {
    fn drop(&mut self) {
        // There is nobody to tell. The name is not used again.
        let _ = SafeDirectory::open(&self.parent).and_then(|parent| parent.remove_tree(&self.name));
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn what_killed_processes_left_behind_is_removed_and_nothing_else() {
        let run = tempfile::tempdir().unwrap();
        let at = |name: &str| run.path().join(name);
        fs::create_dir_all(at("flume-check-0123/state/check")).unwrap();
        fs::write(at("flume-check-0123/state/check/lock"), "").unwrap();
        fs::create_dir(at("flume")).unwrap();
        fs::write(at("flume/kept"), "").unwrap();
        fs::write(at("flume-check-file"), "").unwrap();
        symlink(at("flume"), at("flume-check-link")).unwrap();
        let used = PrivateDirectory::make_in(run.path().into(), "flume-check-").unwrap();
        remove_unlocked(run.path(), "flume-check-");
        assert!(!at("flume-check-0123").exists());
        assert!(at("flume/kept").exists());
        assert!(at("flume-check-file").exists(), "no check made this");
        assert!(used.path().exists(), "its process is still there");
        let left = used.path();
        drop(used);
        assert!(!left.exists());
        // It is harmless where there is nothing.
        remove_unlocked(&at("nowhere"), "flume-check-");
    }
}

//! A directory for this user alone, for tickets and whatever else nobody may see or replace.
//!
//! `TMPDIR` may name a directory of another user. That user could replace what is made in it, and root would write
//! through a link. So the way to the directory is tested like every other one.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use rustix::process::geteuid;

use super::{Result, SafeDirectory};

/// Where root makes such directories: only root may write there, and nothing in it reaches a disk.
const RUN_DIR: &str = "/run";

/// A directory with a name of its own. It is removed, with everything in it, when this is dropped.
#[derive(Debug)]
pub struct PrivateDirectory {
    parent: PathBuf,
    name: OsString,
}

impl PrivateDirectory {
    /// Makes one whose name begins so.
    ///
    /// # Errors
    /// It cannot be made, or others may have tampered with the way to it.
    pub fn make(prefix: &str) -> Result<PrivateDirectory> {
        let parent = PrivateDirectory::parent();
        let made = SafeDirectory::make_private(&parent, prefix)?;
        let name = made.path().file_name().unwrap_or_default().into();
        Ok(PrivateDirectory { parent, name })
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

impl Drop for PrivateDirectory {
    fn drop(&mut self) {
        // There is nobody to tell. The name is not used again.
        let _ = SafeDirectory::open(&self.parent).and_then(|parent| parent.remove_tree(&self.name));
    }
}

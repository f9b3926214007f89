//! Gives a directory another owner, with everything that an earlier owner has in it.
//!
//! The danger: that owner is still at work in it. So each thing is given away through a descriptor, and only after its
//! owner was read from the same descriptor. A directory on the way is given away before what is in it: from then on the
//! earlier owner cannot put anything there. The directory itself comes last, so that a run that was killed begins again.

use std::{ffi::OsStr, path::PathBuf};

use rustix::{
    fs::{AtFlags, FileType, Gid, Mode, OFlags, Stat, Uid, chownat, fstat, openat, statat},
    io::Errno,
};

use super::{Ownership, Result, SafeDirectory, give_descriptor, refused};

/// Directories below each other: each holds a descriptor.
const MAX_DEPTH: usize = 64;

impl SafeDirectory {
    /// The first thing in this directory, or anywhere below it, that belongs to one of these users.
    ///
    /// # Errors
    /// A directory cannot be listed, or is too deep.
    pub fn first_owned_by(&self, users: &[u32]) -> Result<Option<PathBuf>> {
        let mut found = None;
        if !users.is_empty() {
            self.each_below(MAX_DEPTH, &mut |directory, name, stat| {
                if found.is_none() && users.contains(&stat.st_uid) {
                    found = Some(directory.path.join(name));
                }
                Ok(())
            })?;
        }
        Ok(found)
    }

    /// Gives the directory another owner and mode, and everything in it that belongs to one of these users the same
    /// owner; its mode stays. What belongs to others stays theirs.
    ///
    /// # Errors
    /// A file has a second name, or this user may not.
    pub fn give_tree(self, users: &[u32], wanted: Ownership) -> Result<()> {
        if !users.is_empty() {
            self.each_below(MAX_DEPTH, &mut |directory, name, stat| {
                if users.contains(&stat.st_uid) {
                    directory.give_entry(name, users, wanted)?;
                }
                Ok(())
            })?;
        }
        give_descriptor(&self.fd, wanted)
            .map_err(|error| self.failed("change the owner of", OsStr::new(""), error))
    }

    /// Visits everything below, a directory before what is in it. What vanishes meanwhile is left out.
    fn each_below(
        &self,
        depth: usize,
        visit: &mut impl FnMut(&SafeDirectory, &OsStr, &Stat) -> Result<()>,
    ) -> Result<()> {
        if depth == 0 {
            let problem = format!("more than {MAX_DEPTH} directories deep");
            return Err(refused(&self.path, problem));
        }
        for name in self.names()? {
            let found = match statat(&self.fd, &name, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => continue,
                found => found.map_err(|error| self.failed("look at", &name, error))?,
            };
            visit(self, &name, &found)?;
            if FileType::from_raw_mode(found.st_mode) == FileType::Directory {
                self.directory(&name)?.each_below(depth - 1, visit)?;
            }
        }
        Ok(())
    }

    fn give_entry(&self, name: &OsStr, users: &[u32], wanted: Ownership) -> Result<()> {
        // A descriptor of the thing itself, a link or a FIFO included, without opening it.
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = openat(&self.fd, name, flags, Mode::empty())
            .map_err(|error| self.why_not(name, error))?;
        let failed = |error| self.failed("change the owner of", name, error);
        let found = fstat(&fd).map_err(failed)?;
        if FileType::from_raw_mode(found.st_mode) == FileType::RegularFile {
            self.must_be_plain(name, &found, Some(users))?;
        } else if !users.contains(&found.st_uid) {
            return Ok(());
        }
        let user = Some(Uid::from_raw(wanted.user));
        let group = Some(Gid::from_raw(wanted.group));
        chownat(&fd, "", user, group, AtFlags::EMPTY_PATH).map_err(failed)
    }
}

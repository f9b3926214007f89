//! Gives a directory another owner, with everything that an earlier owner has in it.
//!
//! The danger: that owner is still at work in it. So each thing is given away through a descriptor, and only after its
//! owner was read from the same descriptor. The directory itself is root's until everything in it is given away, and a
//! directory below it is given away before what is in it: from then on the earlier owner cannot put anything there,
//! neither by its mode nor by an access list. A link of the earlier owner's is refused. The content of a file is not
//! copied, as channels are large; whoever has it open can still write to it. So nothing is given away while a process of
//! the earlier owner runs, and it is not finished if there is one at the end. A run that was killed begins again.

use std::{ffi::OsStr, fs, os::fd::AsFd, path::PathBuf};

use rustix::{
    fs::{
        AtFlags, FileType, Gid, Mode, OFlags, Stat, Uid, chownat, fremovexattr, fstat, openat,
        statat,
    },
    io::Errno,
    process::{getegid, geteuid},
};

use super::{
    DirectoryError, Ownership, Result, SafeDirectory, give_descriptor, kind,
    ownership::WRITABLE_BY_OTHERS, refused,
};

/// Access lists, the second one for what is made in a directory.
const ACCESS_LISTS: [&str; 2] = ["system.posix_acl_access", "system.posix_acl_default"];
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
    /// owner. Nobody but the new owner can write to that. What belongs to others stays theirs.
    ///
    /// # Errors
    /// A process of these users runs, there is a link of theirs or a file with a second name, or this user may not.
    pub fn give_tree(self, users: &[u32], wanted: Ownership) -> Result<()> {
        let theirs = users.contains(&self.facts.user) || self.first_owned_by(users)?.is_some();
        if theirs {
            self.must_be_left(users)?;
            let taken = Ownership {
                user: geteuid().as_raw(),
                group: getegid().as_raw(),
                mode: wanted.mode,
            };
            self.give_open(&self.fd, OsStr::new(""), taken)?;
            self.each_below(MAX_DEPTH, &mut |directory, name, stat| {
                if users.contains(&stat.st_uid) {
                    directory.give_entry(name, users, wanted)?;
                }
                Ok(())
            })?;
            self.must_be_left(users)?;
        }
        give_descriptor(&self.fd, wanted)
            .map_err(|error| self.failed("change the owner of", OsStr::new(""), error))
    }

    /// A process of the earlier owner may have files open for writing, wherever it keeps their descriptors.
    fn must_be_left(&self, users: &[u32]) -> Result<()> {
        let running = process_of(users)
            .map_err(|error| self.failed("look in /proc for users of", OsStr::new(""), error))?;
        running.map_or(Ok(()), |process| {
            let path = self.path.clone();
            Err(DirectoryError::InReach { path, process })
        })
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
        let found = statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|error| self.failed("look at", name, error))?;
        match FileType::from_raw_mode(found.st_mode) {
            FileType::RegularFile => {
                let (file, found) = self.open_plain(name, Some(users))?;
                self.give_open(&file, name, within(found.mode, wanted))
            }
            FileType::Directory => {
                let directory = self.directory(name)?;
                if !users.contains(&directory.facts.user) {
                    return Ok(());
                }
                self.give_open(&directory.fd, name, within(directory.facts.mode, wanted))
            }
            FileType::Socket => self.give_socket(name, users, wanted),
            other => {
                let found = format!("{} of user {}", kind(other), found.st_uid);
                Err(refused(&self.path.join(name), found))
            }
        }
    }

    /// The owner first: the earlier one cannot take the rest back then.
    fn give_open(&self, fd: impl AsFd, name: &OsStr, wanted: Ownership) -> Result<()> {
        give_descriptor(&fd, wanted)
            .map_err(|error| self.failed("change the owner of", name, error))?;
        for list in ACCESS_LISTS {
            match fremovexattr(&fd, list) {
                Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP) => {}
                Err(error) => return Err(self.failed("remove the access list of", name, error)),
            }
        }
        Ok(())
    }

    /// What an agent that was killed left. It cannot be opened, and nobody listens to it any more.
    fn give_socket(&self, name: &OsStr, users: &[u32], wanted: Ownership) -> Result<()> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = openat(&self.fd, name, flags, Mode::empty())
            .map_err(|error| self.why_not(name, error))?;
        let failed = |error| self.failed("change the owner of", name, error);
        let found = fstat(&fd).map_err(failed)?;
        let is_socket = FileType::from_raw_mode(found.st_mode) == FileType::Socket;
        if !is_socket || !users.contains(&found.st_uid) {
            return Ok(());
        }
        let user = Some(Uid::from_raw(wanted.user));
        let group = Some(Gid::from_raw(wanted.group));
        chownat(&fd, "", user, group, AtFlags::EMPTY_PATH).map_err(failed)
    }
}

/// Another owner's, with as much of the mode as concerns nobody's writing and no program's rights.
fn within(mode: u32, wanted: Ownership) -> Ownership {
    Ownership {
        mode: mode & 0o777 & !WRITABLE_BY_OTHERS,
        ..wanted
    }
}

/// `process 4711 (java)`, if one runs with the rights of any of these users. A zombie has nothing open.
fn process_of(users: &[u32]) -> std::io::Result<Option<String>> {
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(pid) = name.to_str().filter(|name| name.parse::<u32>().is_ok()) else {
            continue;
        };
        // It may have ended meanwhile.
        let status = fs::read(entry.path().join("status")).unwrap_or_default();
        let status = String::from_utf8_lossy(&status);
        let value = |key: &str| status.lines().find_map(|line| line.strip_prefix(key));
        let mut ids = value("Uid:").unwrap_or_default().split_whitespace();
        let is_theirs = ids.any(|id| id.parse().is_ok_and(|id| users.contains(&id)));
        let is_zombie = value("State:").is_some_and(|state| state.trim().starts_with('Z'));
        if is_theirs && !is_zombie {
            let command = value("Name:").unwrap_or_default().trim();
            return Ok(Some(format!("process {pid} ({command})")));
        }
    }
    Ok(None)
}

//! Whom a file belongs to, and who may have changed it.

use std::{io, os::fd::AsFd};

use rustix::{
    fs::{Gid, Mode, Stat, Uid, fchmod, fchown, fstat},
    process::{getegid, geteuid},
};

pub(super) const WRITABLE_BY_OTHERS: u32 = 0o022;
const WRITABLE_BY_ALL: u32 = 0o002;
pub(super) const STICKY: u32 = 0o1000;

/// Owner, group and mode of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ownership {
    /// The owner's id.
    pub user: u32,
    /// The group's id.
    pub group: u32,
    /// Permissions, as in `0o640`.
    pub mode: u32,
}

impl Ownership {
    pub(super) fn of(found: &Stat) -> Ownership {
        Ownership {
            user: found.st_uid,
            group: found.st_gid,
            mode: found.st_mode & 0o7777,
        }
    }

    /// Whether anybody but root, who runs this and this user could open a file of this owner and mode for writing.
    pub(super) fn is_written_by_others_than(&self, user: u32) -> bool {
        let known = self.user == user || is_trusted_user(self.user);
        !known || self.mode & WRITABLE_BY_OTHERS != 0
    }

    /// Whether nobody but root may write to a file of this owner and mode.
    pub(crate) fn is_roots_alone(&self) -> bool {
        self.user == 0 && self.mode & WRITABLE_BY_OTHERS == 0
    }
}

/// The owner first, so that nobody else ever has the mode. The unit forbids an agent to change owners, also to its own
/// user, so what is right already is left alone.
pub(super) fn give_descriptor(fd: impl AsFd, wanted: Ownership) -> io::Result<()> {
    let found = fstat(&fd)?;
    if (found.st_uid, found.st_gid) != (wanted.user, wanted.group) {
        let user = Uid::from_raw(wanted.user);
        let group = Gid::from_raw(wanted.group);
        fchown(&fd, Some(user), Some(group))?;
    }
    Ok(fchmod(&fd, Mode::from_raw_mode(wanted.mode))?)
}

/// Whether an owner is root or who runs this.
pub(super) fn is_trusted_user(user: u32) -> bool {
    user == 0 || user == geteuid().as_raw()
}

/// Root trusts directories that root alone may write to. Another user may also share one with its own group: volumes of
/// containers are given to a group.
pub(super) fn is_trusted(facts: &Ownership) -> bool {
    let own_group = !geteuid().is_root() && facts.group == getegid().as_raw();
    let others = if own_group {
        WRITABLE_BY_ALL
    } else {
        WRITABLE_BY_OTHERS
    };
    let private = facts.mode & others == 0 || facts.mode & STICKY != 0;
    is_trusted_user(facts.user) && private
}

/// Why it is not trusted.
pub(super) fn distrust(facts: &Ownership) -> String {
    if is_trusted_user(facts.user) {
        format!("writable by others (mode {:04o})", facts.mode)
    } else {
        format!("owned by user {}, who may change what is in it", facts.user)
    }
}

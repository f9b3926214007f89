//! The way to a directory: one component at a time from the root, following only an administrator's links.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
    path::{Component, Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat, fchmod, fstat, openat, readlinkat, statat},
    io::Errno,
};

use super::{
    DirectoryError, Ownership, Result, SafeDirectory, distrust, is_trusted_user,
    ownership::{STICKY, WRITABLE_BY_OTHERS},
    refused,
};

/// Links followed on one path; the kernel's own limit.
const MAX_LINKS: usize = 40;
/// Of a directory that is made on the way, whatever the umask is.
const PARENT_MODE: u32 = 0o755;

/// On the way to a directory.
pub(crate) struct Walk {
    here: SafeDirectory,
    /// What is still to be walked, the next one last.
    rest: Vec<OsString>,
    links: usize,
    make: bool,
    /// Whether it may lead through the directories of strangers.
    anywhere: bool,
    /// Whether only root, or this user, can have changed the way so far.
    is_ours: bool,
}

/// A name in a directory, which may be anybody's.
pub(crate) struct Found {
    pub(crate) directory: SafeDirectory,
    pub(crate) name: OsString,
    /// Whether only root, or this user, can have changed the way to it; or can make what is not there.
    pub(crate) is_ours: bool,
}

impl Walk {
    pub(super) fn to(path: &Path, make: bool) -> Result<SafeDirectory> {
        let mut walk = Walk::begin(path)?;
        walk.make = make;
        while let Some(name) = walk.rest.pop() {
            walk.step(&name)?;
        }
        Ok(SafeDirectory {
            path: path.into(),
            ..walk.here
        })
    }

    /// The way to a file, wherever it is. Behind the first directory that a stranger may change no link is followed.
    pub(crate) fn to_file(path: &Path) -> Result<Found> {
        let mut walk = Walk::begin(path)?;
        walk.anywhere = true;
        while let Some(name) = walk.rest.pop() {
            let found = statat(&walk.here.fd, &name, AtFlags::SYMLINK_NOFOLLOW)
                .map_err(|error| walk.here.failed("open", &name, error))?;
            let is_link = FileType::from_raw_mode(found.st_mode) == FileType::Symlink;
            if walk.rest.is_empty() && !is_link {
                return Ok(Found {
                    is_ours: walk.is_ours && walk.here.is_ours(),
                    directory: walk.here,
                    name,
                });
            }
            walk.step(&name)?;
        }
        Err(refused(path, "a directory".into()))
    }

    /// The deepest directory on the way to a file that is not there; `None` if it is there.
    pub(crate) fn to_missing(path: &Path) -> Result<Option<Found>> {
        let mut walk = Walk::begin(path)?;
        walk.anywhere = true;
        while let Some(name) = walk.rest.pop() {
            let found = match statat(&walk.here.fd, &name, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => {
                    // In a directory like /tmp anybody may take the name.
                    return Ok(Some(Found {
                        is_ours: walk.is_ours && walk.here.facts.is_roots_alone(),
                        directory: walk.here,
                        name,
                    }));
                }
                found => found.map_err(|error| walk.here.failed("open", &name, error))?,
            };
            let is_link = FileType::from_raw_mode(found.st_mode) == FileType::Symlink;
            if walk.rest.is_empty() && !is_link {
                return Ok(None);
            }
            walk.step(&name)?;
        }
        Ok(None)
    }

    fn begin(path: &Path) -> Result<Walk> {
        if !path.is_absolute() {
            return Err(refused(path, "not an absolute path".into()));
        }
        let mut walk = Walk {
            here: root()?,
            rest: vec![],
            links: 0,
            make: false,
            anywhere: false,
            is_ours: true,
        };
        walk.push(path)?;
        Ok(walk)
    }

    /// Puts the components of a path before the rest.
    fn push(&mut self, path: &Path) -> Result<()> {
        for part in path.components().rev() {
            match part {
                Component::Normal(name) => self.rest.push(name.into()),
                Component::ParentDir => {
                    return Err(refused(path, "a path with `..` in it".into()));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn step(&mut self, name: &OsStr) -> Result<()> {
        self.is_ours &= self.here.is_ours();
        if !self.anywhere {
            self.here.must_be_ours()?;
        }
        let path = self.here.path.join(name);
        let found = match statat(&self.here.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) if self.make => {
                self.make_parent(name)?;
                return Ok(());
            }
            found => found.map_err(|error| self.here.failed("open", name, error))?,
        };
        if FileType::from_raw_mode(found.st_mode) == FileType::Symlink {
            return self.follow(name, &found);
        }
        let shared =
            self.here.facts.mode & STICKY != 0 && self.here.facts.mode & WRITABLE_BY_OTHERS != 0;
        let next = self.here.directory(name)?;
        // In a directory like /tmp anybody may have taken the name.
        if shared && !self.anywhere && !is_trusted_user(next.facts.user) {
            return Err(refused(&path, distrust(&next.facts)));
        }
        self.here = next;
        Ok(())
    }

    fn make_parent(&mut self, name: &OsStr) -> Result<()> {
        let made = self.here.make_directory(name)?;
        fchmod(&made.fd, Mode::from_raw_mode(PARENT_MODE))
            .map_err(|error| self.here.failed("change the mode of", name, error))?;
        let mode = PARENT_MODE;
        self.here = SafeDirectory {
            facts: Ownership { mode, ..made.facts },
            ..made
        };
        Ok(())
    }

    /// An administrator's link leads on; anybody else's is refused.
    fn follow(&mut self, name: &OsStr, found: &Stat) -> Result<()> {
        let path = self.here.path.join(name);
        if !self.is_ours {
            let found = "a symbolic link where other users may put one";
            return Err(refused(&path, found.into()));
        }
        if !is_trusted_user(found.st_uid) {
            return Err(refused(
                &path,
                format!("a symbolic link of user {}", found.st_uid),
            ));
        }
        self.links += 1;
        if self.links > MAX_LINKS {
            return Err(refused(
                &path,
                "a symbolic link that leads to itself".into(),
            ));
        }
        let target = readlinkat(&self.here.fd, name, vec![])
            .map_err(|error| self.here.failed("read", name, error))?;
        let target = PathBuf::from(OsStr::from_bytes(target.to_bytes()));
        // `../x` is resolved by its text: directories that are no links have one parent.
        let target = if target.is_absolute() {
            target
        } else {
            self.here.path.join(target)
        };
        self.here = root()?;
        self.push(&without_dots(&target))
    }
}

fn root() -> Result<SafeDirectory> {
    let path = PathBuf::from("/");
    let failed = |cause: Errno| DirectoryError::Io {
        doing: "open",
        path: "/".into(),
        cause: cause.into(),
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let fd = openat(CWD, "/", flags, Mode::empty()).map_err(failed)?;
    let facts = Ownership::of(&fstat(&fd).map_err(failed)?);
    Ok(SafeDirectory { fd, path, facts })
}

/// An absolute path for what may be a relative one, with `.` and `..` resolved by its text.
pub fn absolute(path: &Path) -> PathBuf {
    let whole = std::path::absolute(path);
    without_dots(&whole.unwrap_or_else(|_| path.into()))
}

/// Resolves `.` and `..` by the text of an absolute path.
fn without_dots(path: &Path) -> PathBuf {
    let mut plain = PathBuf::from("/");
    for part in path.components() {
        match part {
            Component::Normal(name) => plain.push(name),
            Component::ParentDir => drop(plain.pop()),
            _ => {}
        }
    }
    plain
}

//! Files that root may touch although other users live nearby. **Nothing else in this project changes the owner or
//! mode of a file, or renames one, on behalf of another user.**
//!
//! The danger: a process of user `flume` sees root at work in a directory that it may write to. Between root's look and
//! root's act it puts a symbolic link to `/etc/shadow` there, and root gives that away. A path means something else
//! each time it is resolved, so this module resolves it once, step by step, and holds a descriptor from then on:
//!
//! - A directory is reached from `/`, one component at a time, without following links (`openat`, `O_NOFOLLOW`). Each
//!   directory on the way must belong to root or to this process's user, and nobody else may write to it. A directory
//!   like `/tmp`, where a name can be taken by anybody but removed only by its owner, counts if the next component
//!   passes the same test.
//! - A link on the way is followed if it belongs to root and stands in such a directory: that is an administrator's
//!   decision. Nobody else could have put it there.
//! - A file is a regular one with a single name (a second one may be a trap: a hard link), of an owner that the caller
//!   expects. A link, a FIFO, a device or a stranger's file is refused by name.
//! - New files are created with `O_EXCL` for this user alone; they get owner and mode through their descriptor and are
//!   renamed when they are whole.
//! - A file that others could write to becomes a new file when it is given away: whoever holds the old one open writes
//!   into what no longer has a name.
//! - A directory is given away last, when nothing more is to be done in it. One that is given away with all that is in
//!   it stays as large as it is: it is not copied, so no process of its earlier owner may run.

mod handover;
mod ownership;
mod private;
mod removal;
mod walk;

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Read, Write},
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{
        AtFlags, Dir, FileType, Mode, OFlags, Stat, fstat, mkdirat, openat, renameat, statat,
        unlinkat,
    },
    io::Errno,
    process::geteuid,
};

const NAME_ATTEMPTS: usize = 100;
/// Configuration files and keytabs are given away; they are much smaller.
const MAX_GIVEN_BYTES: u64 = 64 << 20;

pub use ownership::Ownership;
use ownership::{distrust, give_descriptor, is_trusted, is_trusted_user};
pub use private::PrivateDirectory;
pub(crate) use walk::Walk;
pub use walk::absolute;

/// Why a path is not touched.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// What stands there is not what may stand there.
    #[error("{} is {found}", path.display())]
    Refused {
        /// Where.
        path: PathBuf,
        /// `a symbolic link`, `owned by user 1000`.
        found: String,
    },
    /// It is to get another owner while the earlier one may still write to it.
    #[error("{} is still in reach of its earlier user: {process} runs", path.display())]
    InReach {
        /// Where.
        path: PathBuf,
        /// `process 4711 (java)`.
        process: String,
    },
    /// The system says no.
    #[error("failed to {doing} {}: {cause}", path.display())]
    Io {
        /// `open`, `write`, …
        doing: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
}

impl DirectoryError {
    /// What the system said, if it said anything.
    pub fn io_kind(&self) -> Option<io::ErrorKind> {
        match self {
            DirectoryError::Refused { .. } | DirectoryError::InReach { .. } => None,
            DirectoryError::Io { cause, .. } => Some(cause.kind()),
        }
    }
}

type Result<T> = std::result::Result<T, DirectoryError>;

/// An open directory that was reached safely.
#[derive(Debug)]
pub struct SafeDirectory {
    fd: OwnedFd,
    /// As it was asked for, for messages.
    path: PathBuf,
    facts: Ownership,
}

impl SafeDirectory {
    /// Opens a directory by its absolute path.
    ///
    /// # Errors
    /// It is not there, is not a directory, or others may have tampered with the way to it.
    pub fn open(path: &Path) -> Result<SafeDirectory> {
        Walk::to(path, false)
    }

    /// Opens a directory, and makes what is missing of it and of the way to it, for everybody to enter (0755, whatever
    /// the umask is).
    ///
    /// # Errors
    /// As [`SafeDirectory::open`]; or it cannot be made.
    pub fn make(path: &Path) -> Result<SafeDirectory> {
        Walk::to(path, true)
    }

    /// Makes a directory of a new name, for this user alone, below a directory such as `/tmp`.
    ///
    /// # Errors
    /// It cannot be made there.
    pub fn make_private(parent: &Path, prefix: &str) -> Result<SafeDirectory> {
        let parent = SafeDirectory::open(parent)?;
        parent.must_be_ours()?;
        for _ in 0..NAME_ATTEMPTS {
            let name = format!("{prefix}{:016x}", fastrand::u64(..));
            match mkdirat(&parent.fd, &name, Mode::from_raw_mode(0o700)) {
                Ok(()) => return parent.directory(name.as_ref()),
                Err(Errno::EXIST) => {}
                Err(error) => return Err(parent.failed("make", name.as_ref(), error)),
            }
        }
        Err(parent.failed("make a directory in", OsStr::new(""), Errno::EXIST))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its owner, group and mode when it was opened.
    pub fn ownership(&self) -> Ownership {
        self.facts
    }

    /// Whether only root, or this user, can have changed what is in it.
    pub fn is_ours(&self) -> bool {
        is_trusted(&self.facts)
    }

    fn must_be_ours(&self) -> Result<()> {
        if self.is_ours() {
            return Ok(());
        }
        Err(refused(&self.path, distrust(&self.facts)))
    }

    /// A directory in this one. It may belong to anybody; its files may then not be written through it.
    ///
    /// # Errors
    /// It is not there, or is not a directory.
    pub fn directory(&self, name: &OsStr) -> Result<SafeDirectory> {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = |flags| openat(&self.fd, name, flags, Mode::empty());
        // Someone without the right to list it may still look at it.
        let fd = match open(flags | OFlags::RDONLY) {
            Err(Errno::ACCESS) => open(flags | OFlags::PATH),
            other => other,
        };
        let fd = fd.map_err(|error| self.why_not(name, error))?;
        let path = self.path.join(name);
        let facts = fstat(&fd).map_err(|error| self.failed("look at", name, error))?;
        Ok(SafeDirectory {
            fd,
            path,
            facts: Ownership::of(&facts),
        })
    }

    /// Makes a directory in this one, for this user alone.
    ///
    /// # Errors
    /// Something of that name is there, or this directory may be written by others.
    pub fn make_directory(&self, name: &OsStr) -> Result<SafeDirectory> {
        self.must_be_ours()?;
        mkdirat(&self.fd, name, Mode::from_raw_mode(0o700))
            .map_err(|error| self.failed("make", name, error))?;
        self.directory(name)
    }

    /// The names of everything in it, in order.
    ///
    /// # Errors
    /// It cannot be listed.
    pub fn names(&self) -> Result<Vec<OsString>> {
        let failed = |error: Errno| self.failed("list", OsStr::new(""), error);
        let mut names = vec![];
        for entry in Dir::read_from(&self.fd).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name != "." && name != ".." {
                names.push(name.to_os_string());
            }
        }
        names.sort();
        Ok(names)
    }

    /// Owner, group and mode of a file in this directory; `None` if nothing of that name is there.
    ///
    /// # Errors
    /// It is not a regular file with a single name, or of none of these owners.
    pub fn look(&self, name: &OsStr, owners: &[u32]) -> Result<Option<Ownership>> {
        let found = match statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => found,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(self.failed("look at", name, error)),
        };
        self.must_be_plain(name, &found, Some(owners))?;
        Ok(Some(Ownership::of(&found)))
    }

    /// Opens a file for reading; `None` if nothing of that name is there.
    ///
    /// # Errors
    /// It is not a regular file with a single name, or of none of these owners.
    pub fn open_file(&self, name: &OsStr, owners: &[u32]) -> Result<Option<File>> {
        match self.open_plain(name, Some(owners)) {
            Ok((file, _)) => Ok(Some(file)),
            Err(error) if error.io_kind() == Some(io::ErrorKind::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Opens a file for reading; `None` are all owners. It does not wait for the other end of a FIFO.
    pub(crate) fn open_plain(
        &self,
        name: &OsStr,
        owners: Option<&[u32]>,
    ) -> Result<(File, Ownership)> {
        // Looked at before it is opened, as opening a device may already do something; and again afterwards.
        let found = statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW);
        let found = found.map_err(|error| self.failed("look at", name, error))?;
        self.must_be_plain(name, &found, owners)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = openat(&self.fd, name, flags, Mode::empty())
            .map_err(|error| self.why_not(name, error))?;
        let found = fstat(&fd).map_err(|error| self.failed("look at", name, error))?;
        self.must_be_plain(name, &found, owners)?;
        Ok((File::from(fd), Ownership::of(&found)))
    }

    /// What is in a file; `None` if nothing of that name is there.
    ///
    /// # Errors
    /// As [`SafeDirectory::open_file`]; or it has more than `max_bytes`.
    pub fn read(&self, name: &OsStr, owners: &[u32], max_bytes: u64) -> Result<Option<Vec<u8>>> {
        let file = self.open_file(name, owners)?;
        file.map(|file| self.read_open(name, file, max_bytes))
            .transpose()
    }

    fn read_open(&self, name: &OsStr, file: File, max_bytes: u64) -> Result<Vec<u8>> {
        let mut bytes = vec![];
        file.take(max_bytes + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| self.failed("read", name, error))?;
        if bytes.len() as u64 > max_bytes {
            let found = format!("larger than {max_bytes} bytes");
            return Err(refused(&self.path.join(name), found));
        }
        Ok(bytes)
    }

    /// Creates a file that is not there yet, for this user alone, open for reading and writing.
    ///
    /// # Errors
    /// Something of that name is there, or others may write to this directory.
    pub fn create_file(&self, name: &OsStr) -> Result<File> {
        self.must_be_ours()?;
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = openat(&self.fd, name, flags, Mode::from_raw_mode(0o600))
            .map_err(|error| self.failed("create", name, error))?;
        Ok(File::from(fd))
    }

    /// Puts a file with this content, owner and mode in the place of the one of that name: whole or not at all.
    ///
    /// # Errors
    /// What stands there is not a regular file of one of these owners; others may write to this directory; the disk is
    /// full.
    pub fn replace(
        &self,
        name: &OsStr,
        content: &[u8],
        owners: &[u32],
        wanted: Ownership,
    ) -> Result<()> {
        self.must_be_ours()?;
        self.look(name, owners)?;
        let (draft, mut file) = self.create_draft(name)?;
        let written = file.write_all(content);
        let written = written.map_err(|error| self.failed("write", name, error));
        let placed = written.and_then(|()| self.place(&draft, &file, name, wanted));
        if placed.is_err() {
            let _ = unlinkat(&self.fd, &draft, AtFlags::empty());
        }
        placed
    }

    /// Moves a file of this user's into another directory, in the place of the one of that name there, with another
    /// owner and mode.
    ///
    /// # Errors
    /// As [`SafeDirectory::replace`].
    pub fn move_file(
        &self,
        name: &OsStr,
        to: (&SafeDirectory, &OsStr),
        owners: &[u32],
        wanted: Ownership,
    ) -> Result<()> {
        let (directory, target) = to;
        self.must_be_ours()?;
        directory.must_be_ours()?;
        directory.look(target, owners)?;
        let file = self.open_file(name, &[geteuid().as_raw()])?;
        let file = file.ok_or_else(|| self.failed("open", name, Errno::NOENT))?;
        give_descriptor(&file, wanted)
            .and_then(|()| file.sync_all())
            .map_err(|error| self.failed("change the owner of", name, error))?;
        renameat(&self.fd, name, &directory.fd, target)
            .map_err(|error| directory.failed("replace", target, error))?;
        directory.sync()
    }

    fn create_draft(&self, name: &OsStr) -> Result<(OsString, File)> {
        let mut draft = OsString::from(".");
        draft.push(name);
        draft.push(format!(".new-{:016x}", fastrand::u64(..)));
        let file = self.create_file(&draft)?;
        Ok((draft, file))
    }

    fn place(&self, draft: &OsStr, file: &File, name: &OsStr, wanted: Ownership) -> Result<()> {
        give_descriptor(file, wanted)
            .and_then(|()| file.sync_all())
            .map_err(|error| self.failed("change the owner of", name, error))?;
        renameat(&self.fd, draft, &self.fd, name)
            .map_err(|error| self.failed("replace", name, error))?;
        self.sync()
    }

    /// Gives a file that is there another owner and mode. If somebody could write to it who may not write to it from now
    /// on, a new file takes its place.
    ///
    /// # Errors
    /// It is not there, is not a regular file of one of these owners, or this user may not.
    pub fn give_file(&self, name: &OsStr, owners: &[u32], wanted: Ownership) -> Result<()> {
        let (file, found) = self.open_plain(name, Some(owners))?;
        if found.is_written_by_others_than(wanted.user) {
            let content = self.read_open(name, file, MAX_GIVEN_BYTES)?;
            return self.replace(name, &content, owners, wanted);
        }
        give_descriptor(&file, wanted)
            .map_err(|error| self.failed("change the owner of", name, error))
    }

    /// Gives the directory itself another owner and mode. It is the last thing to do with it.
    ///
    /// # Errors
    /// This user may not.
    pub fn give(self, wanted: Ownership) -> Result<()> {
        give_descriptor(&self.fd, wanted)
            .map_err(|error| self.failed("change the owner of", OsStr::new(""), error))
    }

    /// Removes a file; that it is not there is fine.
    ///
    /// # Errors
    /// It cannot be removed, or others may write to this directory.
    pub fn remove_file(&self, name: &OsStr) -> Result<()> {
        self.must_be_ours()?;
        match unlinkat(&self.fd, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => self.sync(),
            Err(error) => Err(self.failed("remove", name, error)),
        }
    }

    /// Removes an empty directory in this one.
    ///
    /// # Errors
    /// It is not empty, or others may write to this directory.
    pub fn remove_directory(&self, name: &OsStr) -> Result<()> {
        self.must_be_ours()?;
        unlinkat(&self.fd, name, AtFlags::REMOVEDIR)
            .map_err(|error| self.failed("remove", name, error))
    }

    fn sync(&self) -> Result<()> {
        rustix::fs::fsync(&self.fd).map_err(|error| self.failed("sync", OsStr::new(""), error))
    }

    fn must_be_plain(&self, name: &OsStr, found: &Stat, owners: Option<&[u32]>) -> Result<()> {
        let problem = match FileType::from_raw_mode(found.st_mode) {
            FileType::RegularFile if found.st_nlink > 1 => {
                format!("a file with {} names (hard links)", found.st_nlink)
            }
            FileType::RegularFile
                if owners.is_some_and(|owners| !owners.contains(&found.st_uid)) =>
            {
                format!("owned by user {}", found.st_uid)
            }
            FileType::RegularFile => return Ok(()),
            other => kind(other).into(),
        };
        Err(refused(&self.path.join(name), problem))
    }

    /// Why something cannot be opened: what stands there says more than the system's error.
    fn why_not(&self, name: &OsStr, error: Errno) -> DirectoryError {
        let found = statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW);
        match found.map(|found| FileType::from_raw_mode(found.st_mode)) {
            Ok(found) if matches!(error, Errno::LOOP | Errno::NOTDIR | Errno::MLINK) => {
                refused(&self.path.join(name), kind(found).into())
            }
            _ => self.failed("open", name, error),
        }
    }

    fn failed(
        &self,
        doing: &'static str,
        name: &OsStr,
        cause: impl Into<io::Error>,
    ) -> DirectoryError {
        let path = if name.is_empty() {
            self.path.clone()
        } else {
            self.path.join(name)
        };
        DirectoryError::Io {
            doing,
            path,
            cause: cause.into(),
        }
    }
}

fn refused(path: &Path, found: String) -> DirectoryError {
    DirectoryError::Refused {
        path: path.into(),
        found,
    }
}

fn kind(found: FileType) -> &'static str {
    match found {
        FileType::Symlink => "a symbolic link",
        FileType::Directory => "a directory",
        FileType::Fifo => "a FIFO",
        FileType::Socket => "a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        FileType::RegularFile => "a regular file",
        FileType::Unknown => "of no known kind",
    }
}

#[cfg(test)]
mod tests;

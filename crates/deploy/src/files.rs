//! Files and directories with their owners: how they are, and how they come to be so. Everything goes through
//! [`flume_host::directory`], because root works here where the service's user may write.

use std::{
    ffi::OsStr,
    io,
    path::{Path, PathBuf},
};

use flume_host::directory::{DirectoryError, Ownership, SafeDirectory};

use crate::{
    accounts::{group_id, user_id},
    fault::Fault,
    step::Found,
};

/// The program itself is the largest file.
const MAX_FILE_BYTES: u64 = 512 << 20;

/// Who has which rights to something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rights {
    pub(crate) user: String,
    pub(crate) group: String,
    pub(crate) mode: u32,
}

impl Rights {
    /// `root`'s, for everybody to read.
    pub(crate) fn root(mode: u32) -> Rights {
        Rights {
            user: "root".into(),
            group: "root".into(),
            mode,
        }
    }

    /// What is wrong with a file or directory that is there: `mode 0644, should be 0600`.
    pub(crate) fn faults(&self, found: Ownership) -> Result<Vec<String>, Fault> {
        let mut faults = vec![];
        if found.mode != self.mode {
            faults.push(format!(
                "mode {:04o}, should be {:04o}",
                found.mode, self.mode
            ));
        }
        if user_id(&self.user)? != Some(found.user) {
            faults.push(format!(
                "owned by user {}, should be {}",
                found.user, self.user
            ));
        }
        if group_id(&self.group)? != Some(found.group) {
            faults.push(format!(
                "of group {}, should be {}",
                found.group, self.group
            ));
        }
        Ok(faults)
    }

    /// The same by numbers.
    pub(crate) fn ownership(&self) -> Result<Ownership, Fault> {
        let absent = |kind: &str, name: &str| {
            let cause = format!("there is no {kind} {name}");
            Fault::new(cause, "flume-ng provision install")
        };
        let user = user_id(&self.user)?.ok_or_else(|| absent("user", &self.user))?;
        let group = group_id(&self.group)?.ok_or_else(|| absent("group", &self.group))?;
        Ok(Ownership {
            user,
            group,
            mode: self.mode,
        })
    }

    /// `give PATH to USER:GROUP, mode 0640`
    pub(crate) fn change(&self, path: &Path) -> String {
        let Rights { user, group, mode } = self;
        format!("give {} to {user}:{group}, mode {mode:04o}", path.display())
    }

    /// Whose a file may be before it is given to this user: root's, or theirs already.
    pub(crate) fn owners(&self) -> Result<Vec<u32>, Fault> {
        let mut owners = vec![0];
        owners.extend(user_id(&self.user)?);
        Ok(owners)
    }
}

/// A path as the directory that holds it and the name in it.
pub(crate) fn split(path: &Path) -> Result<(&Path, &OsStr), Fault> {
    let whole = path.parent().zip(path.file_name());
    whole.ok_or_else(|| Fault::new(format!("{} names no file", path.display()), "correct it"))
}

/// A directory; `None` if it is not there.
pub(crate) fn open_directory(path: &Path) -> Result<Option<SafeDirectory>, Fault> {
    absent_is_none(SafeDirectory::open(path))
}

fn absent_is_none<T>(found: Result<T, DirectoryError>) -> Result<Option<T>, Fault> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.io_kind() == Some(io::ErrorKind::NotFound) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Owner, group and mode of a file; `None` if it is not there. A file of a stranger is refused.
pub(crate) fn look(path: &Path, rights: &Rights) -> Result<Option<Ownership>, Fault> {
    let (parent, name) = split(path)?;
    match open_directory(parent)? {
        None => Ok(None),
        Some(directory) => Ok(directory.look(name, &rights.owners()?)?),
    }
}

/// What is in a file of one of these users; `None` if it is not there.
pub(crate) fn read_file(
    path: &Path,
    owners: &[u32],
    max_bytes: u64,
) -> Result<Option<Vec<u8>>, Fault> {
    let (parent, name) = split(path)?;
    match open_directory(parent)? {
        None => Ok(None),
        Some(directory) => Ok(directory.read(name, owners, max_bytes)?),
    }
}

/// What is in a file of root's, in a directory of root's; `None` if it is not there.
pub(crate) fn read_of_root(path: &Path, max_bytes: u64) -> Result<Option<Vec<u8>>, Fault> {
    let (parent, name) = split(path)?;
    let Some(directory) = open_directory(parent)? else {
        return Ok(None);
    };
    if !directory.is_ours() {
        let cause = format!("{} may be written by others than root", parent.display());
        return Err(Fault::new(
            cause,
            format!("chown root {}", parent.display()),
        ));
    }
    Ok(directory.read(name, &[0], max_bytes)?)
}

/// Whether a file is there with these rights, and with this content if one is given.
pub(crate) fn check_file(
    path: &Path,
    rights: &Rights,
    content: Option<&[u8]>,
) -> Result<Found, Fault> {
    let (parent, name) = split(path)?;
    let owners = rights.owners()?;
    let Some(directory) = open_directory(parent)? else {
        return Ok(Found::Otherwise(format!("write {}", path.display())));
    };
    let Some(found) = directory.look(name, &owners)? else {
        return Ok(Found::Otherwise(format!("write {}", path.display())));
    };
    if let Some(content) = content
        && directory.read(name, &owners, MAX_FILE_BYTES)?.as_deref() != Some(content)
    {
        return Ok(Found::Otherwise(format!("replace {}", path.display())));
    }
    if rights.faults(found)?.is_empty() {
        Ok(Found::PASS)
    } else {
        Ok(Found::Otherwise(rights.change(path)))
    }
}

/// Makes a directory with these rights, and what is missing of its parents for everybody to enter; or gives one that is
/// there these rights, with everything that one of the `earlier` users has in it.
pub(crate) fn give_directory(path: &Path, rights: &Rights, earlier: &[u32]) -> Result<(), Fault> {
    let ownership = rights.ownership()?;
    Ok(SafeDirectory::make(path)?.give_tree(earlier, ownership)?)
}

/// Gives a file of root's, or of this user, these rights.
pub(crate) fn give_file(path: &Path, rights: &Rights, user: &str) -> Result<(), Fault> {
    let (parent, name) = split(path)?;
    let ownership = rights.ownership()?;
    let mut owners = rights.owners()?;
    owners.extend(user_id(user)?);
    Ok(SafeDirectory::open(parent)?.give_file(name, &owners, ownership)?)
}

/// Writes a file: it is there as a whole, with its rights, or not at all.
pub(crate) fn put(path: &Path, rights: &Rights, content: &[u8]) -> Result<(), Fault> {
    let (parent, name) = split(path)?;
    let ownership = rights.ownership()?;
    let directory = SafeDirectory::make(parent)?;
    Ok(directory.replace(name, content, &rights.owners()?, ownership)?)
}

/// Removes a file.
pub(crate) fn remove(path: &Path) -> Result<(), Fault> {
    let (parent, name) = split(path)?;
    Ok(SafeDirectory::open(parent)?.remove_file(name)?)
}

/// The directories above a path, from the root down.
pub(crate) fn parents(path: &Path) -> Vec<PathBuf> {
    let mut parents: Vec<_> = path.ancestors().skip(1).map(PathBuf::from).collect();
    parents.reverse();
    parents
}

impl From<DirectoryError> for Fault {
    fn from(error: DirectoryError) -> Fault {
        match error {
            DirectoryError::Io { doing, path, cause } => Fault::io(doing, &path)(cause),
            DirectoryError::Refused { path, found } => {
                let cause = format!("{} is {found}", path.display());
                let remedy = format!(
                    "look at who put it there; nothing is done through it. ls -ld {}",
                    path.display()
                );
                Fault::new(cause, remedy)
            }
            in_reach @ DirectoryError::InReach { .. } => Fault::new(
                in_reach.to_string(),
                "what that user's processes have open they can still write to: stop the agents, and end every other \
                 process of that user",
            ),
        }
    }
}

//! Files and directories with their owners: how they are, and how they come to be so.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::Path,
};

use crate::{
    accounts::{group_id, user_id},
    fault::Fault,
    step::Found,
};

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

    /// What is wrong with something that is there: `mode 0644, should be 0600`.
    pub(crate) fn faults(&self, path: &Path) -> Result<Vec<String>, Fault> {
        let meta = fs::metadata(path).map_err(Fault::io("look at", path))?;
        let mut faults = vec![];
        let mode = meta.mode() & 0o7777;
        if mode != self.mode {
            faults.push(format!("mode {mode:04o}, should be {:04o}", self.mode));
        }
        if user_id(&self.user)? != Some(meta.uid()) {
            faults.push(format!(
                "owned by user {}, should be {}",
                meta.uid(),
                self.user
            ));
        }
        if group_id(&self.group)? != Some(meta.gid()) {
            faults.push(format!("of group {}, should be {}", meta.gid(), self.group));
        }
        Ok(faults)
    }

    /// Gives something these rights: the owner first, so that nobody else ever has the mode.
    pub(crate) fn give(&self, path: &Path) -> Result<(), Fault> {
        let (user, group) = self.ids()?;
        chown(path, Some(user), Some(group)).map_err(Fault::io("change the owner of", path))?;
        let mode = fs::Permissions::from_mode(self.mode);
        fs::set_permissions(path, mode).map_err(Fault::io("change the mode of", path))
    }

    /// The ids of both.
    pub(crate) fn ids(&self) -> Result<(u32, u32), Fault> {
        let absent = |kind: &str, name: &str| {
            Fault::new(
                format!("there is no {kind} {name}"),
                "flume-ng provision install",
            )
        };
        let user = user_id(&self.user)?.ok_or_else(|| absent("user", &self.user))?;
        let group = group_id(&self.group)?.ok_or_else(|| absent("group", &self.group))?;
        Ok((user, group))
    }
}

/// Whether a directory is there with these rights.
pub(crate) fn check_directory(path: &Path, rights: &Rights) -> Result<Found, Fault> {
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Ok(Found::Otherwise(format!("make {}", path.display())))
        }
        Err(error) => Err(Fault::io("look at", path)(error)),
        Ok(meta) if !meta.is_dir() => Err(Fault::new(
            format!("{} is not a directory", path.display()),
            "move it away",
        )),
        Ok(_) => rights_as_found(path, rights),
    }
}

/// Makes a directory, with parents for everybody.
pub(crate) fn make_directory(path: &Path, rights: &Rights) -> Result<(), Fault> {
    fs::create_dir_all(path).map_err(Fault::io("make", path))?;
    rights.give(path)
}

/// Whether a file is there with these rights, and with this content if one is given.
pub(crate) fn check_file(
    path: &Path,
    rights: &Rights,
    content: Option<&[u8]>,
) -> Result<Found, Fault> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Ok(Found::Otherwise(format!("write {}", path.display())))
        }
        Err(error) => Err(Fault::io("read", path)(error)),
        Ok(bytes) if content.is_some_and(|content| content != bytes) => {
            Ok(Found::Otherwise(format!("replace {}", path.display())))
        }
        Ok(_) => rights_as_found(path, rights),
    }
}

/// What is wrong with the rights, as a change.
fn rights_as_found(path: &Path, rights: &Rights) -> Result<Found, Fault> {
    let faults = rights.faults(path)?;
    if faults.is_empty() {
        return Ok(Found::PASS);
    }
    let Rights { user, group, mode } = rights;
    Ok(Found::Otherwise(format!(
        "give {} to {user}:{group}, mode {mode:04o}",
        path.display()
    )))
}

/// Writes a file beside its place and renames it: it is there as a whole, with its rights, or not at all.
pub(crate) fn put(path: &Path, rights: &Rights, content: &[u8]) -> Result<(), Fault> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(directory).map_err(Fault::io("make", directory))?;
    // Created for its owner alone.
    let mut file = tempfile::Builder::new()
        .prefix(".flume-")
        .tempfile_in(directory)
        .map_err(Fault::io("write into", directory))?;
    file.write_all(content)
        .and_then(|()| file.as_file().sync_all())
        .map_err(Fault::io("write", path))?;
    rights.give(file.path())?;
    file.persist(path)
        .map_err(|error| Fault::io("replace", path)(error.error))?;
    Ok(())
}

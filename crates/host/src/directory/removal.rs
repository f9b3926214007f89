//! Removes a directory in which another user may be at work.
//!
//! The danger: that user makes a file in it between the last `unlink` and the `rmdir`, and the directory stays. So each
//! directory on the way is taken from its owner before it is emptied: from then on nobody else can make anything in it.

use std::ffi::OsStr;

use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, fchmod, fchown, fstat, openat, statat, unlinkat},
    io::Errno,
    process::geteuid,
};

use super::{Ownership, Result, SafeDirectory, refused};

/// Directories below each other: each holds a descriptor.
const MAX_DEPTH: usize = 64;

impl SafeDirectory {
    /// Removes a directory of this one with everything in it. Links are removed, not followed. That it is not there is
    /// fine.
    ///
    /// # Errors
    /// It cannot be removed, or others may write to this directory.
    pub fn remove_tree(&self, name: &OsStr) -> Result<()> {
        self.must_be_ours()?;
        self.remove_below(name, MAX_DEPTH)
    }

    fn remove_below(&self, name: &OsStr, depth: usize) -> Result<()> {
        if depth == 0 {
            let problem = format!("more than {MAX_DEPTH} directories deep");
            return Err(refused(&self.path.join(name), problem));
        }
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY;
        let fd = match openat(&self.fd, name, flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return Ok(()),
            Err(error) => return Err(self.why_not(name, error)),
        };
        let failed = |doing| move |error| self.failed(doing, name, error);
        let found = fstat(&fd).map_err(failed("look at"))?;
        if found.st_uid != geteuid().as_raw() {
            fchown(&fd, Some(geteuid()), None).map_err(failed("change the owner of"))?;
        }
        fchmod(&fd, Mode::from_raw_mode(0o700)).map_err(failed("change the mode of"))?;
        let directory = SafeDirectory {
            path: self.path.join(name),
            facts: Ownership::of(&fstat(&fd).map_err(failed("look at"))?),
            fd,
        };
        for entry in directory.names()? {
            directory.remove_entry(&entry, depth - 1)?;
        }
        unlinkat(&self.fd, name, AtFlags::REMOVEDIR).map_err(failed("remove"))
    }

    fn remove_entry(&self, name: &OsStr, depth: usize) -> Result<()> {
        let found = match statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(()),
            other => other.map_err(|error| self.failed("look at", name, error))?,
        };
        if FileType::from_raw_mode(found.st_mode) == FileType::Directory {
            return self.remove_below(name, depth);
        }
        match unlinkat(&self.fd, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(self.failed("remove", name, error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn a_tree_goes_and_what_its_links_name_stays() {
        let home = tempfile::tempdir().unwrap();
        let kept = home.path().join("kept");
        fs::create_dir(&kept).unwrap();
        fs::write(kept.join("file"), "kept").unwrap();
        let tree = home.path().join("tree");
        fs::create_dir_all(tree.join("a/b")).unwrap();
        fs::write(tree.join("a/b/file"), "").unwrap();
        symlink(&kept, tree.join("a/link")).unwrap();
        symlink(&kept, home.path().join("link")).unwrap();
        let parent = SafeDirectory::open(home.path()).unwrap();
        parent.remove_tree(OsStr::new("tree")).unwrap();
        parent.remove_tree(OsStr::new("tree")).unwrap();
        parent.remove_tree(OsStr::new("link")).unwrap_err();
        assert!(!tree.exists());
        assert_eq!(fs::read_to_string(kept.join("file")).unwrap(), "kept");
    }

    #[test]
    fn a_directory_that_is_closed_or_too_deep_is_told() {
        let home = tempfile::tempdir().unwrap();
        let parent = SafeDirectory::open(home.path()).unwrap();
        let closed = home.path().join("closed/inner");
        fs::create_dir_all(&closed).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o500);
        fs::set_permissions(&closed, mode).unwrap();
        parent.remove_tree(OsStr::new("closed")).unwrap();
        assert!(!closed.exists());
        let deep = "deep/".repeat(MAX_DEPTH + 1);
        fs::create_dir_all(home.path().join(deep)).unwrap();
        let error = parent.remove_tree(OsStr::new("deep")).unwrap_err();
        assert!(error.to_string().contains("directories deep"), "{error}");
    }

    #[test]
    fn a_busy_neighbour_does_not_keep_it() {
        let home = tempfile::tempdir().unwrap();
        let root = geteuid().is_root();
        if !root {
            return;
        }
        let state = home.path().join("check/state");
        fs::create_dir_all(&state).unwrap();
        for path in [home.path(), &home.path().join("check")] {
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            fs::set_permissions(path, mode).unwrap();
        }
        std::os::unix::fs::chown(&state, Some(65534), Some(65534)).unwrap();
        let line = "cd \"$1\" && for n in $(seq 200000); do : >$n; done 2>/dev/null";
        let words = [
            "--reuid=65534",
            "--clear-groups",
            "/bin/sh",
            "-c",
            line,
            "sh",
        ];
        let mut words: Vec<_> = words.iter().map(Into::into).collect();
        words.push(state.clone().into_os_string());
        let output = tempfile::tempfile().unwrap();
        let setpriv = crate::child::find("setpriv").unwrap();
        let busy = crate::child::Program::new(setpriv, &words)
            .start(home.path(), &output)
            .unwrap();
        while fs::read_dir(&state).unwrap().next().is_none() {
            std::thread::yield_now();
        }
        let parent = SafeDirectory::open(home.path()).unwrap();
        parent.remove_tree(OsStr::new("check")).unwrap();
        drop(busy);
        assert!(!home.path().join("check").exists());
    }
}

//! Whether root may do what a file says.

use std::{os::unix::fs::MetadataExt, path::Path};

use rustix::process::geteuid;

/// Bits of a mode by which others may write.
const OTHERS_WRITE: u32 = 0o022;

/// Whether this process may follow the instructions in a file: it is not root, or nobody but root can change the file.
/// What another user writes must not be carried out with root's rights.
pub fn may_follow(path: &Path) -> bool {
    !geteuid().is_root() || belongs_to(path, 0)
}

/// Whether the file, and the directory that it is in, are the user's, and nobody else may write them.
fn belongs_to(path: &Path, user: u32) -> bool {
    let own = |path: &Path| {
        std::fs::metadata(path).is_ok_and(|found| {
            let shared = found.mode() & OTHERS_WRITE != 0;
            // In a directory such as /tmp nobody can replace the file of another.
            let sticky = found.is_dir() && found.mode() & 0o1000 != 0;
            found.uid() == user && (!shared || sticky)
        })
    };
    let Ok(path) = path.canonicalize() else {
        return false;
    };
    own(&path) && path.parent().is_none_or(own)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    #[test]
    fn what_others_may_change_is_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("flume.conf");
        fs::write(&file, "").unwrap();
        let me = geteuid().as_raw();
        let chmod = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        chmod(&file, 0o644);
        assert!(belongs_to(&file, me));
        assert!(!belongs_to(&file, me + 1));
        chmod(&file, 0o664);
        assert!(!belongs_to(&file, me));
        chmod(&file, 0o644);
        chmod(directory.path(), 0o777);
        assert!(!belongs_to(&file, me), "others can replace it");
        chmod(directory.path(), 0o1777);
        assert!(belongs_to(&file, me));
        assert!(!belongs_to(&directory.path().join("missing"), me));
    }
}

//! Files whose instructions are followed. What another user can change must not be carried out with root's rights.

use std::{fmt::Display, fs::File, io::Read, path::Path};

use rustix::process::geteuid;

use crate::directory::{DirectoryError, Walk, absolute};

/// A longer file is no configuration.
pub const MAX_CONFIGURATION_BYTES: u64 = 16 << 20;

/// What was read, and whether this process may do what it says.
#[derive(Debug)]
pub struct Contents {
    /// What the file has.
    pub bytes: Vec<u8>,
    /// Whether this process is not root, or nobody but root can have changed the file.
    pub may_follow: bool,
}

impl Contents {
    /// What another host sent. Root does not follow it.
    pub fn of_another_host(bytes: Vec<u8>) -> Contents {
        Contents {
            bytes,
            may_follow: !is_root(),
        }
    }
}

/// Whether this process has root's rights.
pub fn is_root() -> bool {
    geteuid().is_root()
}

/// Reads a file of at most `max_bytes`, to look at it. Root follows no link of another user's, reads regular files alone,
/// and judges by the descriptors that it has opened: what `bytes` are is what `may_follow` speaks of, whatever happens to
/// the name.
///
/// # Errors
/// Says which file cannot be read, why, and what would be right.
pub fn read(path: &Path, max_bytes: u64) -> Result<Contents, String> {
    if !is_root() {
        let bytes = read_as_told(path, max_bytes)?;
        let may_follow = true;
        return Ok(Contents { bytes, may_follow });
    }
    let shown = path.display();
    let (file, may_follow) = open_judged(path).map_err(|error| match error {
        DirectoryError::Io { cause, .. } => unreadable(path, cause),
        refused => format!(
            "{shown} is not read with root's rights: {refused}; name a regular file with a single name, or run this as \
             the user that the agent runs as"
        ),
    })?;
    let bytes = read_open(path, file, max_bytes)?;
    Ok(Contents { bytes, may_follow })
}

/// Whether a file is not there, and for root: nobody else can make it. Root's links are followed, also one that leads
/// nowhere.
///
/// # Errors
/// Says who could make it, or that the way to it is another user's.
pub fn stays_missing(path: &Path) -> Result<bool, String> {
    if !is_root() {
        return Ok(!path.exists());
    }
    let shown = path.display();
    let missing = Walk::to_missing(&absolute(path))
        .map_err(|error| format!("{shown} is not followed with root's rights: {error}"))?;
    match missing {
        None => Ok(false),
        Some(missing) if missing.is_ours => Ok(true),
        Some(missing) => Err(format!(
            "{shown} is not there, and another user can make it in {} at any time, so root does not do what it will \
             say; name a file in a directory of root's",
            missing.directory.path().display()
        )),
    }
}

/// Reads a file of at most `max_bytes` for an agent that runs with it. Whoever starts an agent as root has chosen that it
/// does what the file says, so links and pipes are followed wherever they lead.
///
/// # Errors
/// Says which file cannot be read, and why.
pub fn read_as_told(path: &Path, max_bytes: u64) -> Result<Vec<u8>, String> {
    let file = File::open(path).map_err(|cause| unreadable(path, cause))?;
    read_open(path, file, max_bytes)
}

fn open_judged(path: &Path) -> Result<(File, bool), DirectoryError> {
    let found = Walk::to_file(&absolute(path))?;
    let (file, facts) = found.directory.open_plain(&found.name, None)?;
    let may_follow = found.is_ours && facts.is_roots_alone();
    Ok((file, may_follow))
}

fn read_open(path: &Path, file: File, max_bytes: u64) -> Result<Vec<u8>, String> {
    let mut bytes = vec![];
    file.take(max_bytes + 1)
        .read_to_end(&mut bytes)
        .map_err(|cause| unreadable(path, cause))?;
    if bytes.len() as u64 > max_bytes {
        let limit = max_bytes >> 20;
        return Err(unreadable(path, format!("it has more than {limit} MiB")));
    }
    Ok(bytes)
}

fn unreadable(path: &Path, why: impl Display) -> String {
    format!("{} cannot be read: {why}", path.display())
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::{PermissionsExt, chown, symlink},
        path::PathBuf,
    };

    use rustix::fs::{CWD, Mode, mkfifoat};

    use super::*;

    const NOBODY: Option<u32> = Some(65534);

    /// A directory of root's, with one of another user's in it.
    struct Place(tempfile::TempDir);

    impl Place {
        /// `None` without root's rights: nobody else can give a file away.
        fn new() -> Option<Place> {
            is_root().then(|| {
                let place = Place(tempfile::tempdir().unwrap());
                fs::set_permissions(place.0.path(), fs::Permissions::from_mode(0o755)).unwrap();
                fs::create_dir(place.at("theirs")).unwrap();
                chown(place.at("theirs"), NOBODY, None).unwrap();
                place
            })
        }

        fn at(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn file(&self, name: &str, mode: u32) -> PathBuf {
            let path = self.at(name);
            fs::write(&path, name).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            path
        }

        fn check(&self, name: &str, may_follow: bool) {
            let contents = read(&self.at(name), 100).unwrap();
            assert_eq!(contents.may_follow, may_follow, "{name}");
        }

        fn refused(&self, name: &str, why: &str) {
            let path = self.at(name);
            let error = read(&path, 100).unwrap_err();
            assert!(error.starts_with(&path.display().to_string()), "{error}");
            assert!(error.contains(why), "{name}: {error}");
        }
    }

    #[test]
    fn what_others_may_change_is_read_and_not_followed() {
        let Some(place) = Place::new() else { return };
        place.file("own", 0o644);
        place.check("own", true);
        place.file("shared", 0o664);
        place.check("shared", false);
        let given = place.file("given", 0o644);
        chown(given, NOBODY, None).unwrap();
        place.check("given", false);
        place.file("theirs/file", 0o644);
        place.check("theirs/file", false);
        fs::create_dir(place.at("theirs/below")).unwrap();
        place.file("theirs/below/file", 0o644);
        place.check("theirs/below/file", false);
    }

    #[test]
    fn only_roots_links_are_followed() {
        let Some(place) = Place::new() else { return };
        place.file("own", 0o600);
        symlink("own", place.at("link")).unwrap();
        place.check("link", true);
        symlink(".", place.at("here")).unwrap();
        place.check("here/link", true);
        symlink("own", place.at("given")).unwrap();
        std::os::unix::fs::lchown(place.at("given"), NOBODY, None).unwrap();
        place.refused("given", "a symbolic link of user 65534");
        // Who made it does not count where its owner can be moved.
        symlink(place.at("own"), place.at("theirs/link")).unwrap();
        place.refused(
            "theirs/link",
            "a symbolic link where other users may put one",
        );
        symlink(place.0.path(), place.at("theirs/way")).unwrap();
        place.refused("theirs/way/own", "way is a symbolic link");
        fs::hard_link(place.at("own"), place.at("theirs/hard")).unwrap();
        place.refused("theirs/hard", "2 names (hard links)");
        // A volume of Kubernetes is a directory of links that everybody may write to.
        for name in ["given", "theirs/link", "theirs/way/own", "theirs/hard"] {
            assert_eq!(read_as_told(&place.at(name), 100).unwrap(), b"own");
        }
    }

    #[test]
    fn nothing_but_a_file_is_waited_for() {
        let Some(place) = Place::new() else { return };
        mkfifoat(CWD, place.at("theirs/fifo"), Mode::from_raw_mode(0o666)).unwrap();
        place.refused("theirs/fifo", "fifo is a FIFO");
        place.refused("theirs", "theirs is a directory");
        place.refused("missing", "cannot be read: No such file");
        fs::write(place.at("long"), [b'x'; 101]).unwrap();
        place.refused("long", "it has more than");
    }

    #[test]
    fn what_others_can_make_is_not_missing() {
        let Some(place) = Place::new() else { return };
        place.file("own", 0o600);
        fs::create_dir(place.at("shared")).unwrap();
        fs::set_permissions(place.at("shared"), fs::Permissions::from_mode(0o1777)).unwrap();
        fs::create_dir(place.at("shared/own")).unwrap();
        symlink("theirs/later", place.at("to-theirs")).unwrap();
        symlink("later", place.at("to-own")).unwrap();
        symlink("later", place.at("theirs/dangling")).unwrap();
        for (name, missing) in [
            ("own", false),
            ("theirs", false),
            ("later", true),
            ("none/at/all", true),
            ("shared/own/later", true),
            ("to-own", true),
        ] {
            assert_eq!(stays_missing(&place.at(name)), Ok(missing), "{name}");
        }
        for (name, why) in [
            ("theirs/later", "another user can make it in /"),
            ("theirs/none/at/all", "theirs at any time"),
            ("shared/later", "shared at any time"),
            ("to-theirs", "theirs at any time"),
            ("theirs/dangling", "dangling is a symbolic link"),
        ] {
            let error = stays_missing(&place.at(name)).unwrap_err();
            assert!(error.contains(why), "{name}: {error}");
        }
    }

    /// Another user swaps a file for a link and a FIFO as fast as it can: nothing is read of where the link leads, and
    /// nothing is followed.
    #[test]
    fn a_swap_wins_nothing() {
        let Some(place) = Place::new() else { return };
        let own = place.file("own", 0o600);
        let name = place.at("theirs/flume.conf");
        let stop = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    let _ = fs::write(&name, "theirs");
                    let _ = fs::remove_file(&name);
                    let _ = symlink(&own, &name);
                    let _ = fs::remove_file(&name);
                    let _ = mkfifoat(CWD, &name, Mode::from_raw_mode(0o666));
                    let _ = fs::remove_file(&name);
                }
            });
            let results: Vec<_> = (0..2000).map(|_| read(&name, 100)).collect();
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
            for contents in results.into_iter().flatten() {
                assert!(!contents.may_follow);
                assert_ne!(contents.bytes, b"own");
            }
        });
    }
}

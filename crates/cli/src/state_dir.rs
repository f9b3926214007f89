//! Where agents keep what they need between runs. What is in there is believed: a journal says which files to rename and
//! to remove, with the agent's rights and tickets. So an agent uses only a directory that nobody else can have changed.

use std::path::{Path, PathBuf};

use flume_host::directory::{DirectoryError, Ownership, SafeDirectory, absolute};
use rustix::{
    fs::{lstat, stat},
    process::{getegid, geteuid},
};

use crate::outcome::Failure;

const PACKAGED: &str = "/var/lib/flume";
/// What a running agent has in its directory.
const SOCKET: &str = "control.sock";
const MODE: u32 = 0o750;
const WRITABLE_BY_ALL: u32 = 0o002;

/// What an agent has got.
#[derive(Debug, Default)]
pub(crate) struct Claimed {
    /// The directory; empty if there is none.
    pub(crate) path: PathBuf,
    /// Why it is not in the usual place, to be logged.
    pub(crate) doubts: Vec<String>,
}

/// The directory of an agent that is about to run, made if need be: below `--state-dir`, else systemd's, else the
/// package's if it is this user's, else one in the user's home, else one in `/tmp` with the user's number. An agent for
/// which no directory was named runs without one if it has to, as under Flume: on a read-only disk, say.
///
/// # Errors
/// A directory was named, and it is not this user's, or somebody else may write to it or to the way to it.
pub(crate) fn claim(given: Option<&str>, agent: &str) -> Result<Claimed, Failure> {
    if let Some(base) = named(given) {
        let path = claim_in(&base, agent).map_err(|why| {
            Failure::Usage(format!(
                "the agent's state cannot be kept in {why}; run the agent as the user that owns it, as \
                 `systemctl start flume-agent@{agent}` does, or name another directory with --state-dir"
            ))
        })?;
        return Ok(Claimed {
            path,
            doubts: vec![],
        });
    }
    let usual = own_base(Path::new(PACKAGED));
    let mut bases = vec![usual.clone()];
    bases.extend([home(), Some(temporary())].into_iter().flatten());
    bases.dedup();
    Ok(claim_one_of(&bases, agent))
}

/// The first directory that can be had.
fn claim_one_of(bases: &[PathBuf], agent: &str) -> Claimed {
    let mut claimed = Claimed::default();
    for base in bases {
        match claim_in(base, agent) {
            Ok(path) => {
                claimed.path = path;
                break;
            }
            Err(why) => claimed
                .doubts
                .push(format!("the agent's state cannot be kept in {why}")),
        }
    }
    if let Some(last) = claimed.doubts.last_mut() {
        *last += &if claimed.path.as_os_str().is_empty() {
            "; `flume-ng status` and `flume-ng reload` will not work, and sinks keep no journal; name a directory with \
             --state-dir"
                .into()
        } else {
            format!("; it is kept in {}", claimed.path.display())
        };
    }
    claimed
}

fn claim_in(base: &Path, agent: &str) -> Result<PathBuf, String> {
    let path = absolute(&base.join(agent));
    let claimed = open_or_make(&path)
        .map_err(|error| error.to_string())
        .and_then(|directory| check(&directory));
    match claimed {
        Ok(()) => Ok(path),
        Err(why) => Err(format!("{}: {why}", path.display())),
    }
}

fn open_or_make(path: &Path) -> Result<SafeDirectory, DirectoryError> {
    match SafeDirectory::open(path) {
        Err(error) if error.io_kind() == Some(std::io::ErrorKind::NotFound) => {}
        opened => return opened,
    }
    SafeDirectory::make(path)?.give(Ownership {
        user: geteuid().as_raw(),
        group: getegid().as_raw(),
        mode: MODE,
    })?;
    SafeDirectory::open(path)
}

fn check(directory: &SafeDirectory) -> Result<(), String> {
    let Ownership { user, mode, .. } = directory.ownership();
    if user != geteuid().as_raw() {
        Err(format!("it belongs to user {user}"))
    } else if directory.is_ours() {
        Ok(())
    } else {
        Err(format!("others may write to it (mode {mode:04o})"))
    }
}

/// The directory of an agent that may be running, for those who ask it: of all the places where [`claim`] could have put
/// it, the first that has one. An empty name means any agent; then it is the directory of all agents.
///
/// # Errors
/// No place has one that may be believed.
pub(crate) fn of_running(given: Option<&str>, agent: &str) -> Result<PathBuf, String> {
    if let Some(base) = named(given) {
        return Ok(base.join(agent));
    }
    let places = [Some(PathBuf::from(PACKAGED)), home(), Some(temporary())];
    let places: Vec<_> = places.into_iter().flatten().collect();
    one_with_agent(&places, agent)
}

fn one_with_agent(places: &[PathBuf], agent: &str) -> Result<PathBuf, String> {
    if let Some(base) = places.iter().find(|base| has_agent(base, agent)) {
        return Ok(base.join(agent));
    }
    let places: Vec<_> = places
        .iter()
        .map(|base| base.display().to_string())
        .collect();
    Err(format!(
        "no agent {agent}{}runs in {}; name the directory of its state with --state-dir",
        if agent.is_empty() { "" } else { " " },
        places.join(" or ")
    ))
}

/// The directories of agents in this one.
pub(crate) fn agents_in(base: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(base).into_iter().flatten().flatten();
    let mut agents: Vec<_> = entries.map(|entry| entry.path()).collect();
    agents.retain(|path| path.join(SOCKET).exists());
    agents.sort();
    agents
}

fn has_agent(base: &Path, agent: &str) -> bool {
    let agents = if agent.is_empty() {
        agents_in(base)
    } else {
        vec![base.join(agent)]
    };
    let is_agent = |path: &PathBuf| is_trusted(path) && path.join(SOCKET).exists();
    is_trusted(base) && agents.iter().any(is_agent)
}

/// Whether a directory, and a link that leads to it, is root's, this user's or the service's, and not for everybody to
/// write. In `/tmp` a stranger may have made one first.
fn is_trusted(path: &Path) -> bool {
    let service = stat(PACKAGED).map(|found| found.st_uid);
    let known = |owner| owner == 0 || owner == geteuid().as_raw() || Ok(owner) == service;
    let (Ok(link), Ok(directory)) = (lstat(path), stat(path)) else {
        return false;
    };
    known(link.st_uid) && known(directory.st_uid) && directory.st_mode & WRITABLE_BY_ALL == 0
}

/// What was asked for: by the command line, or by systemd, which may name several directories, separated by colons.
fn named(given: Option<&str>) -> Option<PathBuf> {
    if let Some(given) = given {
        return Some(given.into());
    }
    let systemd = std::env::var_os("STATE_DIRECTORY").filter(|value| !value.is_empty())?;
    std::env::split_paths(&systemd).next()
}

/// Root does not use the service's directory: what it wrote there would keep the service from its own state.
fn own_base(packaged: &Path) -> PathBuf {
    let owner = stat(packaged).map(|found| found.st_uid);
    if owner == Ok(geteuid().as_raw()) {
        return packaged.into();
    }
    home().unwrap_or_else(temporary)
}

fn home() -> Option<PathBuf> {
    let home = flume_host::home::directory().filter(|home| !home.as_os_str().is_empty())?;
    Some(home.join(".flume/state"))
}

fn temporary() -> PathBuf {
    std::env::temp_dir().join(format!("flume-{}", geteuid().as_raw()))
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink},
    };

    use super::*;

    fn refusal(base: &Path) -> String {
        match claim(Some(&base.display().to_string()), "a1") {
            Err(Failure::Usage(text)) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_directory_is_made_for_its_owner_and_group() {
        let base = tempfile::tempdir().unwrap();
        let path = claim(
            Some(&base.path().join("x/../y").display().to_string()),
            "a1",
        )
        .unwrap()
        .path;
        assert_eq!(path, base.path().join("y/a1"));
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, MODE);
        assert_eq!(
            claim(Some(&base.path().join("y").display().to_string()), "a1")
                .unwrap()
                .path,
            path
        );
    }

    #[test]
    fn without_a_usual_place_an_agent_takes_another_one_or_none() {
        let base = tempfile::tempdir().unwrap();
        fs::write(base.path().join("file"), "").unwrap();
        let bad = base.path().join("file/home");
        let good = base.path().join("temporary");
        let claimed = claim_one_of(&[bad.clone(), good.clone()], "a1");
        assert_eq!(claimed.path, good.join("a1"));
        assert!(claimed.doubts[0].ends_with(&format!("it is kept in {}", claimed.path.display())));
        let claimed = claim_one_of(&[bad], "a1");
        assert_eq!(claimed.path, PathBuf::new());
        assert!(
            claimed.doubts[0].contains("--state-dir"),
            "{:?}",
            claimed.doubts
        );
    }

    #[test]
    fn a_directory_that_others_may_change_is_refused() {
        let base = tempfile::tempdir().unwrap();
        let open = base.path().join("open");
        fs::create_dir_all(open.join("a1")).unwrap();
        fs::set_permissions(open.join("a1"), fs::Permissions::from_mode(0o777)).unwrap();
        assert!(refusal(&open).contains("others may write to it (mode 0777)"));
        fs::set_permissions(open.join("a1"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
        let said = refusal(&open);
        assert!(said.contains("open is writable by others"), "{said}");
        assert!(said.contains("--state-dir"), "{said}");
    }

    #[test]
    fn a_strangers_agent_is_not_asked() {
        let base = tempfile::tempdir().unwrap();
        let agent = base.path().join("a1");
        fs::create_dir(&agent).unwrap();
        fs::write(agent.join("control.sock"), "").unwrap();
        assert!(has_agent(base.path(), "a1") && has_agent(base.path(), ""));
        fs::set_permissions(&agent, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(!has_agent(base.path(), "a1") && !has_agent(base.path(), ""));
        fs::set_permissions(&agent, fs::Permissions::from_mode(0o700)).unwrap();
        if !geteuid().is_root() {
            return;
        }
        let stranger = Some(65533);
        for path in [agent.as_path(), base.path()] {
            chown(path, stranger, stranger).unwrap();
            assert!(!has_agent(base.path(), "a1") && !has_agent(base.path(), ""));
            let said = one_with_agent(&[base.path().into()], "a1").unwrap_err();
            assert!(said.contains("no agent a1 runs in"), "{said}");
            chown(path, Some(0), Some(0)).unwrap();
        }
        let link = base.path().join("a2");
        symlink(&agent, &link).unwrap();
        std::os::unix::fs::lchown(&link, stranger, stranger).unwrap();
        assert!(!has_agent(base.path(), "a2"));
    }

    /// As root: what a stranger has made first in `/tmp`, and the service's own directory.
    #[test]
    fn a_strangers_directory_or_link_is_refused() {
        if !geteuid().is_root() {
            return;
        }
        let base = tempfile::tempdir().unwrap();
        let shared = base.path().join("shared");
        fs::create_dir_all(shared.join("flume-0/a1")).unwrap();
        fs::set_permissions(&shared, fs::Permissions::from_mode(0o1777)).unwrap();
        let stranger = Some(65534);
        chown(shared.join("flume-0/a1"), stranger, stranger).unwrap();
        assert!(refusal(&shared.join("flume-0")).contains("it belongs to user 65534"));
        chown(shared.join("flume-0"), stranger, stranger).unwrap();
        assert!(refusal(&shared.join("flume-0")).contains("flume-0 is owned by user 65534"));
        let link = shared.join("link");
        symlink("/root", &link).unwrap();
        std::os::unix::fs::lchown(&link, stranger, stranger).unwrap();
        assert!(refusal(&link).contains("a symbolic link of user 65534"));
        assert_ne!(own_base(&shared.join("flume-0")), shared.join("flume-0"));
    }
}

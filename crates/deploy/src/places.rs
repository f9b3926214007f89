//! The directories of a host: the configuration, the state, the logs, and the way to each. What a site has decided about
//! a directory stays when it does no harm; what is others' is not taken. When the service gets another user, that user gets
//! what the earlier one has in the state and the logs: channels with their events, journals, positions.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use flume_host::directory::{Ownership, SafeDirectory};

use crate::{
    Site,
    accounts::{group_id, groups_of, user_id},
    fault::Fault,
    files::{Rights, give_directory, open_directory, parents},
    install::provisioned_user,
    step::{Found, Task},
};

/// What agents keep between runs.
pub(crate) const STATE_DIR: &str = "/var/lib/flume";
/// Where they log.
pub(crate) const LOG_DIR: &str = "/var/log/flume";
/// The account that the unit, as it is packaged, names.
pub(crate) const PACKAGED_ACCOUNT: &str = "flume";
/// What belongs to this program as a whole, whoever made it.
const OWN_ROOT: &str = "/etc/flume";
const DIRECTORY_MODE: u32 = 0o750;
const WRITABLE_BY_OTHERS: u32 = 0o022;
/// Files that may be in a configuration directory that is taken over.
const OWN_FILES: &[&str] = &[
    "flume.conf",
    "flume-env.sh",
    "flume.service.keytab",
    ".keytab-new",
];

/// What a directory is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Root writes, the service reads.
    Configuration,
    /// The service writes.
    Data,
}

/// The service as directories see it.
struct ServiceIds {
    user: Option<u32>,
    groups: Vec<u32>,
}

impl ServiceIds {
    fn of(site: &Site) -> Result<ServiceIds, Fault> {
        let mut groups = groups_of(site.node.user())?;
        groups.extend(group_id(site.node.group())?);
        Ok(ServiceIds {
            user: user_id(site.node.user())?,
            groups,
        })
    }

    /// Whether the service has all these rights (`0o5`: read and enter).
    fn has(&self, found: &Ownership, wanted: u32) -> bool {
        let shift = if self.user == Some(found.user) {
            6
        } else if self.groups.contains(&found.group) {
            3
        } else {
            0
        };
        (found.mode >> shift) & wanted == wanted
    }
}

/// The directories that shall be there, what for, and with which rights when they are made.
pub(crate) fn directories_wanted(site: &Site) -> Vec<(PathBuf, Purpose, Rights)> {
    let of_root = Rights {
        user: "root".into(),
        group: site.node.group().into(),
        mode: DIRECTORY_MODE,
    };
    let of_service = Rights {
        user: site.node.user().into(),
        ..of_root.clone()
    };
    vec![
        (site.node.conf_dir().into(), Purpose::Configuration, of_root),
        (STATE_DIR.into(), Purpose::Data, of_service.clone()),
        (LOG_DIR.into(), Purpose::Data, of_service),
    ]
}

/// Each of them with the way to it.
pub(crate) fn tasks(site: &Site) -> Vec<Task<'_>> {
    let mut tasks = vec![];
    for (path, purpose, rights) in directories_wanted(site) {
        let way = path.clone();
        tasks.push(Task {
            title: format!("the way to {}", path.display()),
            check: Box::new(move || check_way(site, &way)),
            act: Box::new(|| give_directory(Path::new(OWN_ROOT), &Rights::root(0o755), &[])),
        });
        let title = format!("directory {}", path.display());
        let target = path.clone();
        let given = rights.clone();
        tasks.push(Task {
            title,
            check: Box::new(move || check(site, &path, purpose, &rights)),
            act: Box::new(move || give_directory(&target, &given, &earlier_users(site, purpose)?)),
        });
    }
    tasks
}

/// The service must be able to enter every directory above.
fn check_way(site: &Site, path: &Path) -> Result<Found, Fault> {
    let service = ServiceIds::of(site)?;
    for parent in parents(path) {
        let Some(directory) = open_directory(&parent)? else {
            // It will be made for everybody to enter.
            return Ok(Found::PASS);
        };
        let found = directory.ownership();
        if service.has(&found, 0o1) {
            continue;
        }
        if parent == Path::new(OWN_ROOT) {
            return Ok(Found::Otherwise(Rights::root(0o755).change(&parent)));
        }
        let cause = format!(
            "user {} cannot enter {} (mode {:04o})",
            site.node.user(),
            parent.display(),
            found.mode
        );
        return Err(Fault::new(cause, format!("chmod o+x {}", parent.display())));
    }
    Ok(Found::PASS)
}

/// Whether a directory is there and fit for its purpose.
pub(crate) fn check(
    site: &Site,
    path: &Path,
    purpose: Purpose,
    rights: &Rights,
) -> Result<Found, Fault> {
    let Some(directory) = open_directory(path)? else {
        return Ok(Found::Otherwise(format!("make {}", path.display())));
    };
    let found = directory.ownership();
    let service = ServiceIds::of(site)?;
    let private = found.mode & WRITABLE_BY_OTHERS == 0;
    let fit = match purpose {
        Purpose::Configuration => found.user == 0 && private && service.has(&found, 0o5),
        Purpose::Data => service.user == Some(found.user) && private && found.mode & 0o700 == 0o700,
    };
    let earlier = earlier_users(site, purpose)?;
    let left = directory.first_owned_by(&earlier)?;
    if fit && left.is_none() {
        return Ok(Found::PASS);
    }
    if fit || may_be_taken(path, &directory, &service, purpose, &earlier)? {
        let change = rights.change(path);
        return Ok(Found::Otherwise(match left {
            None => change,
            Some(_) => format!("{change}, with what the service's earlier user has in it"),
        }));
    }
    let Rights { user, group, mode } = rights;
    let cause = format!(
        "{} belongs to user {} (mode {:04o}), and others may need what is in it",
        path.display(),
        found.user,
        found.mode
    );
    let place = path.display();
    Err(Fault::new(
        cause,
        match purpose {
            Purpose::Configuration => format!(
                "name a directory of its own in hdp.flume_conf_dir, or: chown {user}:{group} {place} && chmod {mode:o} {place}"
            ),
            Purpose::Data => format!("if all of it is Flume's: chown -R {user}:{group} {place}"),
        },
    ))
}

/// Whether a directory may get another owner or mode: it holds nothing that is somebody else's.
fn may_be_taken(
    path: &Path,
    directory: &SafeDirectory,
    service: &ServiceIds,
    purpose: Purpose,
    earlier: &[u32],
) -> Result<bool, Fault> {
    let owner = directory.ownership().user;
    let known = owner == 0 || Some(owner) == service.user;
    Ok(match purpose {
        Purpose::Configuration => {
            path.starts_with(OWN_ROOT) || (known && only_ours(&directory.names()?))
        }
        Purpose::Data => known || earlier.contains(&owner),
    })
}

/// Users that the service had before it got the one that the settings name: the one that `provision` wrote into the unit,
/// and the packaged one. If nobody has named a user, nothing is taken from anybody: a package's script on a host that a
/// site has set up by hand knows only the default.
fn earlier_users(site: &Site, purpose: Purpose) -> Result<Vec<u32>, Fault> {
    if purpose == Purpose::Configuration || !site.node.names_user() {
        return Ok(vec![]);
    }
    let now = user_id(site.node.user())?;
    let mut earlier = vec![];
    for name in [provisioned_user()?.as_deref(), Some(PACKAGED_ACCOUNT)] {
        earlier.extend(name.map(user_id).transpose()?.flatten());
    }
    earlier.retain(|id| *id != 0 && Some(*id) != now);
    earlier.dedup();
    Ok(earlier)
}

fn only_ours(names: &[OsString]) -> bool {
    let ours = |name: &OsString| OWN_FILES.iter().any(|own| *own == name);
    names.iter().all(ours)
}

/// Whether the service may read a file of its configuration as it is, and nobody but root may write it.
pub(crate) fn may_read(site: &Site, found: &Ownership) -> Result<bool, Fault> {
    let readable = ServiceIds::of(site)?.has(found, 0o4);
    Ok(found.user == 0 && found.mode & WRITABLE_BY_OTHERS == 0 && readable)
}

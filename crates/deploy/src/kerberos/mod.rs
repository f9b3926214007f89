//! The step `kerberos`: the service's principal, and a keytab that is proved to work.

mod faults;
mod kadmin;
pub(crate) mod keytab;

use std::{
    cell::Cell,
    ffi::OsStr,
    fs,
    io::{ErrorKind, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    rc::Rc,
};

use flume_host::directory::{Ownership, SafeDirectory};
use kadmin::Kadmin;
use keytab::KeytabState;

use crate::{
    Site,
    accounts::user_id,
    clock,
    fault::Fault,
    files::{Rights, check_file, give_file, look, open_directory, split},
    step::{Found, Task},
};

/// Difference of clocks that Kerberos forgives, unless `krb5.conf` says otherwise.
const CLOCK_SKEW_SECONDS: u64 = 300;
const KEYTAB_MODE: u32 = 0o600;
const WRITABLE_BY_OTHERS: u32 = 0o022;
const MAX_KEYTAB_BYTES: u64 = 1 << 20;
/// Beside the keytab: root's directory with the new one, until that is in its place.
const STAGING: &str = ".keytab-new";
const STAGED: &str = "new";
/// How the names of directories for tickets begin.
pub(crate) const TICKETS_PREFIX: &str = "flume-tickets-";

/// A clock near the KDC's, a keytab that logs in, and nobody else may read it.
pub(crate) fn tasks(site: &Site) -> Result<Vec<Task<'_>>, Fault> {
    let Some(principal) = site.node.principal() else {
        let note = "Kerberos is not asked for: the configuration has no krb5_client".to_string();
        return Ok(vec![Task {
            title: "Kerberos".into(),
            check: Box::new(move || Ok(Found::AsWanted(Some(note.clone())))),
            act: Box::new(|| Ok(())),
        }]);
    };
    let keytab = site.node.keytab();
    let rights = rights(site);
    let path = keytab.clone();
    let given = rights.clone();
    Ok(vec![
        Task {
            title: "this host's clock".into(),
            check: Box::new(move || check_clock(site)),
            act: Box::new(|| Ok(())),
        },
        earlier_owner_task(keytab.clone(), rights.clone()),
        key_task(site, principal, keytab.clone()),
        Task {
            title: format!("file {}", keytab.display()),
            check: Box::new(move || match look(&keytab, &rights)? {
                Some(_) => check_file(&keytab, &rights, None),
                // A dry run comes here without one.
                None => Ok(Found::PASS),
            }),
            act: Box::new(move || give_file(&path, &given, site.node.user())),
        },
    ])
}

/// Who may read the keytab.
pub(crate) fn rights(site: &Site) -> Rights {
    Rights {
        user: site.node.user().into(),
        group: site.node.group().into(),
        mode: KEYTAB_MODE,
    }
}

/// Where the realm's KDCs are.
pub(crate) fn kdcs(site: &Site) -> &[String] {
    let realm = site
        .node
        .realm()
        .and_then(|realm| site.krb5.realms.get(realm));
    realm.map(|realm| realm.kdcs.as_slice()).unwrap_or_default()
}

/// Where they are, as a message says it.
pub(crate) fn kdcs_shown(site: &Site) -> String {
    faults::servers(kdcs(site))
}

/// Whether the clocks agree.
pub(crate) fn check_clock(site: &Site) -> Result<Found, Fault> {
    let kdcs = kdcs(site);
    let realm = site.node.realm().unwrap_or_default();
    let asked = clock::askable(kdcs);
    if asked.is_empty() {
        let why = if kdcs.is_empty() {
            "krb5.conf names none"
        } else {
            "it is reached through an HTTPS proxy"
        };
        let note = format!("the clock was not compared with the KDC's: {why}");
        return Ok(Found::AsWanted(Some(note)));
    }
    let ahead = clock::ahead_of(&asked, realm).map_err(|error| {
        let cause = format!("no KDC of {realm} answers ({error})");
        Fault::new(
            cause,
            "is krb5kdc running, and does a firewall let port 88 through?",
        )
    })?;
    let limit = site.krb5.clock_skew_seconds.unwrap_or(CLOCK_SKEW_SECONDS);
    if ahead.unsigned_abs() <= limit {
        return Ok(Found::PASS);
    }
    let seconds = ahead.unsigned_abs();
    let side = if ahead > 0 { "ahead of" } else { "behind" };
    let cause =
        format!("this host's clock is {seconds} s {side} the KDC's, {limit} s are forgiven");
    Err(Fault::new(cause, "set both by NTP: chronyc makestep"))
}

/// A service that gets another user keeps its keytab: it becomes root's, and then the new user's. Only root can have given
/// a file in a directory of root's to anybody.
fn earlier_owner_task(keytab: PathBuf, rights: Rights) -> Task<'static> {
    let path = keytab.clone();
    Task {
        title: format!("owner of {}", keytab.display()),
        check: Box::new(move || {
            Ok(match earlier_owner(&keytab, &rights)? {
                None => Found::PASS,
                Some(id) => Found::Otherwise(format!("take {} from user {id}", keytab.display())),
            })
        }),
        act: Box::new(move || {
            let found = fs::symlink_metadata(&path).map_err(Fault::io("look at", &path))?;
            let (parent, name) = split(&path)?;
            let root = Rights::root(KEYTAB_MODE).ownership()?;
            Ok(SafeDirectory::open(parent)?.give_file(name, &[found.uid()], root)?)
        }),
    }
}

/// Whose a keytab may be that is read.
fn owners(site: &Site, keytab: &Path) -> Result<Vec<u32>, Fault> {
    let rights = rights(site);
    let mut owners = rights.owners()?;
    owners.extend(earlier_owner(keytab, &rights)?);
    Ok(owners)
}

/// Whose the keytab is, if that is neither root nor the service's user of now.
fn earlier_owner(keytab: &Path, rights: &Rights) -> Result<Option<u32>, Fault> {
    let (parent, _) = split(keytab)?;
    let Some(directory) = open_directory(parent)? else {
        return Ok(None);
    };
    let Ownership { user, mode, .. } = directory.ownership();
    let of_root_alone = user == 0 && mode & WRITABLE_BY_OTHERS == 0;
    let Ok(found) = fs::symlink_metadata(keytab) else {
        return Ok(None);
    };
    let known = [Some(0), user_id(&rights.user)?];
    let is_earlier = of_root_alone && found.is_file() && !known.contains(&Some(found.uid()));
    Ok(is_earlier.then(|| found.uid()))
}

fn key_task(site: &Site, principal: String, keytab: PathBuf) -> Task<'_> {
    let name = principal.clone();
    let path = keytab.clone();
    let rotated = Rc::new(Cell::new(false));
    let done = rotated.clone();
    Task {
        title: format!("keytab {}", keytab.display()),
        check: Box::new(move || {
            if site.rotate && !rotated.get() {
                return Ok(Found::Otherwise(format!("change the key of {name}")));
            }
            let state = keytab::state(site, &path, &name)?;
            Ok(match (state.reason(&name), state) {
                (None, KeytabState::Works(login)) => Found::AsWanted(Some(login.text(&name))),
                (reason, _) => Found::Otherwise(format!(
                    "make {} ({})",
                    path.display(),
                    reason.unwrap_or_default()
                )),
            })
        }),
        act: Box::new(move || {
            make(site, &principal, &keytab)?;
            done.set(true);
            Ok(())
        }),
    }
}

/// Makes the principal where it is missing, and a keytab in the place of the one that does not work. A new key is in the
/// keytab's place as soon as the primary KDC has it; whether all KDCs have it is asked afterwards.
fn make(site: &Site, principal: &str, keytab: &Path) -> Result<(), Fault> {
    let (parent, name) = split(keytab)?;
    let directory = open_directory(parent)?.ok_or_else(|| {
        let cause = format!("{} is not there", parent.display());
        Fault::new(cause, "flume-ng provision install")
    })?;
    // What can fail without the realm fails before its key is changed.
    let rights = rights(site);
    let wanted = rights.ownership()?;
    let owners = [0, wanted.user];
    directory.look(name, &owners)?;
    let staging = staging(&directory)?;
    let staged = keytab::staged(parent);
    let place = || -> Result<(), Fault> {
        staging.move_file(OsStr::new(STAGED), (&directory, name), &owners, wanted)?;
        Ok(directory.remove_directory(OsStr::new(STAGING))?)
    };
    // What a run left behind that was killed after it had changed the key.
    if !site.rotate
        && keytab::state(site, &staged, principal)?
            .reason(principal)
            .is_none()
    {
        return place();
    }
    staging.remove_file(OsStr::new(STAGED))?;
    let kadmin = Kadmin::open(site)?;
    if !kadmin.has(principal)? {
        kadmin.add(principal)?;
    } else if !site.rotate {
        leave_current_key(site, &kadmin, principal, keytab)?;
    }
    let before = directory.read(name, &owners, MAX_KEYTAB_BYTES)?;
    if let Some(others) = before.and_then(|bytes| keytab::without(&bytes, principal)) {
        let mut file = staging.create_file(OsStr::new(STAGED))?;
        file.write_all(&others)
            .map_err(Fault::io("write", &staged))?;
    }
    kadmin.ktadd(principal, &staged)?;
    place()
}

/// The directory for a keytab that is not whole yet: root's alone.
fn staging(directory: &SafeDirectory) -> Result<SafeDirectory, Fault> {
    let name = OsStr::new(STAGING);
    let made = match directory.make_directory(name) {
        Err(error) if error.io_kind() == Some(ErrorKind::AlreadyExists) => {
            directory.directory(name)
        }
        made => made,
    }?;
    if made.is_ours() {
        return Ok(made);
    }
    let cause = format!("{} is not root's", made.path().display());
    Err(Fault::new(
        cause,
        format!("rm -r {}", made.path().display()),
    ))
}

/// A key that no KDC takes may all the same be the one that the primary has: then a replica is behind, and another key
/// would be as new to it.
fn leave_current_key(
    site: &Site,
    kadmin: &Kadmin<'_>,
    principal: &str,
    keytab: &Path,
) -> Result<(), Fault> {
    let KeytabState::Refused(kvno) = keytab::state(site, keytab, principal)? else {
        return Ok(());
    };
    if kadmin.key_version(principal)? != Some(kvno) {
        return Ok(());
    }
    Err(Fault::new(
        format!(
            "no KDC takes the key of {}, although kadmind says that its version {kvno} is the current one",
            keytab.display()
        ),
        "wait until the replicas have been updated; if the principal was made anew: flume-ng provision kerberos --rotate",
    ))
}

//! The step `kerberos`: the service's principal, and a keytab that is proved to work.

mod faults;
mod kadmin;
pub(crate) mod keytab;

use std::path::Path;

use kadmin::Kadmin;
use keytab::State;

use crate::{
    Site, clock,
    fault::Fault,
    files::{Rights, check_file},
    step::{Found, Task},
};

/// Difference of clocks that Kerberos forgives, unless `krb5.conf` says otherwise.
const CLOCK_SKEW_SECONDS: u64 = 300;
const KEYTAB_MODE: u32 = 0o600;

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
        key_task(site, principal, keytab.clone()),
        Task {
            title: format!("file {}", keytab.display()),
            check: Box::new(move || match keytab.exists() {
                true => check_file(&keytab, &rights, None),
                // A dry run comes here without one.
                false => Ok(Found::PASS),
            }),
            act: Box::new(move || given.give(&path)),
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
    if kdcs.is_empty() {
        let note = "the clock was not compared with the KDC's: krb5.conf names none";
        return Ok(Found::AsWanted(Some(note.into())));
    }
    let ahead = clock::ahead_of(kdcs, realm).map_err(|error| {
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

fn key_task(site: &Site, principal: String, keytab: std::path::PathBuf) -> Task<'_> {
    let name = principal.clone();
    let path = keytab.clone();
    Task {
        title: format!("keytab {}", keytab.display()),
        check: Box::new(move || {
            let state = keytab::state(&path, &name, &kdcs_shown(site))?;
            Ok(match (state.reason(&name), state) {
                (None, State::Works(login)) => Found::AsWanted(Some(format!(
                    "{name} logs in, key version {} as in the KDC",
                    login.kvno
                ))),
                (reason, _) => Found::Otherwise(format!(
                    "make {} ({})",
                    path.display(),
                    reason.unwrap_or_default()
                )),
            })
        }),
        act: Box::new(move || make(site, &principal, &keytab)),
    }
}

/// Makes the principal where it is missing, and a keytab in the place of the one that does not work.
fn make(site: &Site, principal: &str, keytab: &Path) -> Result<(), Fault> {
    let directory = keytab.parent().unwrap_or(Path::new("/"));
    if !directory.is_dir() {
        return Err(Fault::new(
            format!("{} is not there", directory.display()),
            "flume-ng provision install",
        ));
    }
    let rights = rights(site);
    // Beside its place, in a directory that nobody else may enter: renamed when it is whole. What can fail without
    // the realm fails before its key is changed.
    let beside = tempfile::Builder::new()
        .prefix(".keytab-")
        .tempdir_in(directory);
    let beside = beside.map_err(Fault::io("write into", directory))?;
    let new = beside.path().join("new");
    rights.ids()?;
    let kadmin = Kadmin::open(site)?;
    if !kadmin.has(principal)? {
        kadmin.add(principal)?;
    }
    kadmin.ktadd(principal, &new)?;
    rights.give(&new)?;
    match keytab::state(&new, principal, &kdcs_shown(site))? {
        State::Works(_) => {}
        state => {
            let why = state.reason(principal).unwrap_or_default();
            let cause = format!("the keytab just made does not log in: {why}");
            return Err(Fault::new(
                cause,
                "somebody else changes the key at the same time: run this again",
            ));
        }
    }
    std::fs::rename(&new, keytab).map_err(Fault::io("replace", keytab))
}

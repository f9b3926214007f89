//! Clock and keytab.

use super::{Finding, Patient};
use crate::{
    clock,
    fault::Fault,
    files::look,
    kerberos::{self, keytab, keytab::KeytabState},
};

const PROVISION: &str = "flume-ng provision kerberos";

/// This host's clock beside the KDC's.
pub(super) fn clock(patient: &Patient<'_>) -> Result<Vec<Finding>, Fault> {
    let site = patient.site;
    let Some(realm) = site.node.realm() else {
        return Ok(vec![]);
    };
    kerberos::check_clock(site)?;
    let ahead = clock::ahead_of(&clock::askable(kerberos::kdcs(site)), realm);
    let text = ahead.map_or("not compared: krb5.conf names no KDC".into(), |ahead| {
        format!(
            "{} s {} the KDC's",
            ahead.abs(),
            if ahead < 0 { "behind" } else { "ahead of" }
        )
    });
    Ok(vec![Finding::ok("clock", text)])
}

/// Who may read the keytab, what is in it, and whether it logs in.
pub(super) fn keytab(patient: &Patient<'_>) -> Result<Vec<Finding>, Fault> {
    let site = patient.site;
    let (keytab, Some(principal)) = (site.node.keytab(), site.node.principal()) else {
        return Ok(vec![Finding::ok("keytab", "Kerberos is not asked for")]);
    };
    let mut found = vec![];
    let topic = format!("keytab {}", keytab.display());
    let state = keytab::state(site, &keytab, &principal)?;
    if let Some(owner) = look(&keytab, &kerberos::rights(site))? {
        let faults = kerberos::rights(site).faults(owner)?;
        found.push(if faults.is_empty() {
            Finding::ok(&topic, format!("{}, mode 0600", site.node.user()))
        } else {
            Finding::to_do(&topic, faults.join(", "), PROVISION)
        });
    }
    match (state.reason(&principal), state) {
        (None, KeytabState::Works(login)) => {
            found.push(Finding::ok(&topic, login.text(&principal)));
            found.push(encryption(&topic, &login));
            found.push(Finding::ok(
                "ticket",
                format!("one got now ends at {}", login.expires),
            ));
        }
        (reason, _) => found.push(Finding::to_do(
            &topic,
            reason.unwrap_or_default(),
            PROVISION,
        )),
    }
    Ok(found)
}

/// The type of the key that the KDC encrypts with, and those that the keytab has.
fn encryption(topic: &str, login: &keytab::KeytabLogin) -> Finding {
    let theirs = &login.encryption;
    let ours = login.encryptions.join(", ");
    if theirs.is_empty() || login.encryptions.contains(theirs) {
        Finding::ok(
            topic,
            format!("the KDC encrypts with {theirs}, the keytab has {ours}"),
        )
    } else {
        let text = format!("the KDC encrypts with {theirs}, the keytab has only {ours}");
        Finding::to_do(topic, text, "flume-ng provision kerberos --rotate")
    }
}

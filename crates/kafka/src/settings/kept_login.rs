//! Logins by keytabs that are kept fresh as long as the process lives, without a program like `kinit`.
//!
//! Tickets go where librdkafka looks for them, into the default cache of the process (`KRB5CCNAME`). A cache that can
//! hold several principals (`DIR:`, `KCM:`) serves several; any other serves one.

use std::{collections::HashSet, sync::LazyLock, thread, time::Duration};

use flume_kerberos::{
    IdentityError, KerberosSession, LOGIN_TIMEOUT, Login, Stuck, gss::GssCredential, on_thread,
};
use parking_lot::Mutex;

/// How often a ticket is looked at; the Kerberos library fetches a new one after half of the old one's life.
const LOOK: Duration = Duration::from_secs(10);

/// Those that are kept.
static KEPT: LazyLock<Mutex<HashSet<Login>>> = LazyLock::new(Mutex::default);

/// Logs in, and goes on doing so.
///
/// # Errors
/// What stands in the way of the first time.
pub(super) async fn keep(login: &Login) -> Result<(), IdentityError> {
    if KEPT.lock().contains(login) {
        return Ok(());
    }
    // Says what is wrong with the keytab, and why the KDC will not have it.
    for warning in KerberosSession::of(login).open().await? {
        tracing::warn!("{}: {warning}", login.principal);
    }
    let once = login.clone();
    match on_thread(LOGIN_TIMEOUT, move || refresh(&once)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(
            "{}: the ticket cannot be put into the default cache: {error}",
            login.principal
        ),
        Err(Stuck::Late | Stuck::Full | Stuck::Failed) => {
            tracing::warn!("{}: the login did not end in time", login.principal);
        }
    }
    if KEPT.lock().insert(login.clone()) {
        let kept = login.clone();
        let spawned = thread::Builder::new()
            .name("kafka-login".into())
            .spawn(move || keep_fresh(&kept));
        if let Err(error) = spawned {
            tracing::error!(
                "{}: no thread to renew the ticket: {error}",
                login.principal
            );
        }
    }
    Ok(())
}

/// Logs the first failure of a row, and its end.
fn keep_fresh(login: &Login) {
    let mut failing = false;
    loop {
        thread::sleep(LOOK);
        match refresh(login) {
            Err(error) if !failing => {
                failing = true;
                tracing::warn!("{}: the ticket cannot be renewed: {error}", login.principal);
            }
            Ok(()) if failing => {
                failing = false;
                tracing::info!("{}: the ticket is renewed again", login.principal);
            }
            _ => {}
        }
    }
}

fn refresh(login: &Login) -> Result<(), flume_kerberos::gss::GssError> {
    let credential = GssCredential::from_keytab_for_process(&login.principal, &login.keytab)?;
    // Only this asks the KDC.
    credential.lifetime_seconds().map(drop)
}

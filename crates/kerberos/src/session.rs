//! A login that is kept fresh and visible. Clients fetch tickets by the keytab themselves when they connect; what this
//! is for is to know before they need to that they could not.

use std::{
    collections::HashMap,
    fs,
    os::unix::fs::MetadataExt,
    path::Path,
    sync::{Arc, LazyLock, Weak},
    time::{Duration, SystemTime},
};

use flume_core::metrics::{Metrics, Text};
use parking_lot::Mutex;

use crate::{IdentityError, Login, Ticket, login};

/// The pause after a renewal that failed.
const RENEWAL_PAUSE: Duration = Duration::from_secs(30);
/// A login takes longer only when something is wrong.
pub const LOGIN_TIMEOUT: Duration = Duration::from_secs(10);

/// A login, shared by all that have the same principal and keytab.
pub struct KerberosSession {
    login: Login,
    known: Mutex<SessionKnowledge>,
}

#[derive(Default)]
struct SessionKnowledge {
    ticket: Option<Ticket>,
    /// The keytab that the ticket was fetched by.
    keytab: Option<FileStamp>,
    warnings: Vec<String>,
    error: Option<String>,
    /// When to try again after a failure.
    not_before: Option<SystemTime>,
    renewing: bool,
}

/// Tells a file from the one that took its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileStamp {
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

/// Where an operator sees a session.
pub struct SessionTexts {
    principal: Text,
    expiry: Text,
    error: Text,
}

impl SessionTexts {
    /// The texts `KerberosPrincipal`, `KerberosTicketExpiry` and `KerberosLastError`.
    pub fn among(metrics: &Metrics) -> SessionTexts {
        SessionTexts {
            principal: metrics.text("KerberosPrincipal"),
            expiry: metrics.text("KerberosTicketExpiry"),
            error: metrics.text("KerberosLastError"),
        }
    }
}

impl KerberosSession {
    /// The session of a login whose `_HOST` is resolved. Nobody is asked yet.
    pub fn of(login: &Login) -> Arc<KerberosSession> {
        static SESSIONS: LazyLock<Mutex<HashMap<Login, Weak<KerberosSession>>>> =
            LazyLock::new(Mutex::default);
        let mut sessions = SESSIONS.lock();
        sessions.retain(|_, session| session.strong_count() > 0);
        if let Some(session) = sessions.get(login).and_then(Weak::upgrade) {
            return session;
        }
        let session = Arc::new(KerberosSession {
            login: login.clone(),
            known: Mutex::default(),
        });
        sessions.insert(login.clone(), Arc::downgrade(&session));
        session
    }

    /// Logs in, unless a fresh ticket is there. Returns what an administrator should know.
    ///
    /// # Errors
    /// What stands in the way; each call tries again.
    pub async fn open(&self) -> Result<Vec<String>, IdentityError> {
        {
            let known = self.known.lock();
            let fresh = known
                .ticket
                .as_ref()
                .is_some_and(|ticket| ticket.renew_at() > SystemTime::now());
            if fresh && known.keytab == stamp(&self.login.keytab) {
                return Ok(known.warnings.clone());
            }
        }
        self.renew().await
    }

    /// Looks whether a new ticket is due, and fetches it in the background: after four fifths of the old one's life, or
    /// when the keytab was replaced. Cheap otherwise; call it about every second, within a runtime.
    pub fn tick(self: &Arc<Self>) {
        if self.is_due(SystemTime::now()) {
            let session = self.clone();
            tokio::spawn(async move { session.renew_in_background().await });
        }
    }

    /// Logs the first failure of a row, and its end.
    async fn renew_in_background(&self) {
        let failing = self.known.lock().error.is_some();
        let principal = &self.login.principal;
        match self.renew().await {
            Err(error) if !failing => {
                tracing::warn!("{principal}: the ticket cannot be renewed: {error}")
            }
            Ok(_) if failing => tracing::info!("{principal}: the ticket is renewed again"),
            _ => {}
        }
    }

    /// Claims the renewal.
    fn is_due(&self, now: SystemTime) -> bool {
        let mut known = self.known.lock();
        let old = known
            .ticket
            .as_ref()
            .is_none_or(|ticket| ticket.renew_at() <= now);
        let late = known.not_before.is_none_or(|time| time <= now);
        let due = !known.renewing && late && (old || known.keytab != stamp(&self.login.keytab));
        known.renewing |= due;
        due
    }

    async fn renew(&self) -> Result<Vec<String>, IdentityError> {
        // Before the keytab is read: if it is replaced meanwhile, it is read again.
        let keytab = stamp(&self.login.keytab);
        let result = login::log_in(&self.login, LOGIN_TIMEOUT).await;
        let mut known = self.known.lock();
        known.renewing = false;
        match result {
            Ok((ticket, checked)) => {
                let warnings = checked.warnings.clone();
                *known = SessionKnowledge {
                    ticket: Some(ticket),
                    keytab,
                    warnings: checked.warnings,
                    ..SessionKnowledge::default()
                };
                Ok(warnings)
            }
            Err(error) => {
                known.error = Some(format!("{}: {error}", login::shown(SystemTime::now())));
                known.not_before = Some(SystemTime::now() + RENEWAL_PAUSE);
                Err(error)
            }
        }
    }

    /// Who is logged in, or is to be.
    pub fn principal(&self) -> &str {
        &self.login.principal
    }

    /// Who the KDC says it is: in full, with the realm. `None` before the first login.
    pub fn full_principal(&self) -> Option<String> {
        self.known
            .lock()
            .ticket
            .as_ref()
            .map(|ticket| ticket.principal.clone())
    }

    /// When the ticket expires; `None` before the first login.
    pub fn expires(&self) -> Option<SystemTime> {
        self.known
            .lock()
            .ticket
            .as_ref()
            .map(|ticket| ticket.expires)
    }

    /// Writes it where an operator looks.
    pub fn show(&self, shown: &SessionTexts) {
        let known = self.known.lock();
        shown.principal.set(self.principal());
        shown.expiry.set(
            known
                .ticket
                .as_ref()
                .map(|ticket| login::shown(ticket.expires))
                .unwrap_or_default(),
        );
        shown.error.set(known.error.clone().unwrap_or_default());
    }
}

fn stamp(path: &Path) -> Option<FileStamp> {
    let metadata = fs::metadata(path).ok()?;
    Some(FileStamp {
        inode: metadata.ino(),
        size: metadata.len(),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(dir: &tempfile::TempDir) -> Login {
        Login {
            principal: "flume/h@R".into(),
            keytab: dir.path().join("k"),
        }
    }

    #[test]
    fn equal_logins_share_a_session() {
        let dir = tempfile::tempdir().unwrap();
        let session = KerberosSession::of(&login(&dir));
        assert!(Arc::ptr_eq(&session, &KerberosSession::of(&login(&dir))));
        let other = Login {
            principal: "flume2@R".into(),
            ..login(&dir)
        };
        assert!(!Arc::ptr_eq(&session, &KerberosSession::of(&other)));
    }

    #[test]
    fn a_ticket_is_due_when_old_or_when_the_keytab_was_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let session = KerberosSession::of(&login(&dir));
        let since = SystemTime::now();
        let path = dir.path().join("k");
        let at = |seconds: u64| since + Duration::from_secs(seconds);
        fs::write(&path, "1").unwrap();
        let fetched = |session: &KerberosSession| {
            let ticket = Ticket {
                principal: String::new(),
                since,
                expires: at(100),
            };
            let keytab = stamp(&path);
            *session.known.lock() = SessionKnowledge {
                ticket: Some(ticket),
                keytab,
                ..SessionKnowledge::default()
            };
        };
        assert!(session.is_due(at(0)) && !session.is_due(at(0)));
        fetched(&session);
        assert!(!session.is_due(at(79)));
        assert!(session.is_due(at(81)));
        fetched(&session);
        fs::write(dir.path().join("new"), "2").unwrap();
        fs::rename(dir.path().join("new"), &path).unwrap();
        assert!(session.is_due(at(1)));
        fetched(&session);
        session.known.lock().not_before = Some(at(90));
        assert!(!session.is_due(at(85)) && session.is_due(at(91)));
    }

    #[tokio::test]
    async fn a_failure_is_shown() {
        let dir = tempfile::tempdir().unwrap();
        let session = KerberosSession::of(&login(&dir));
        let error = session.open().await.unwrap_err();
        let metrics = Metrics::default();
        let text = error.to_string();
        session.show(&SessionTexts::among(&metrics));
        assert!(metrics.text("KerberosLastError").get().ends_with(&text));
        assert_eq!(metrics.text("KerberosPrincipal").get(), "flume/h@R");
        assert_eq!(metrics.text("KerberosTicketExpiry").get(), "");
    }
}

//! A login at the KDC, and why it fails.

use std::{
    env,
    path::Path,
    time::{Duration, SystemTime},
};

use crate::gss::{GssCredential, GssError, code};

use crate::{
    IdentityError, IdentityProblem, Keytab, Login, Stuck,
    check::{CheckedKeytab, check},
    on_thread,
};

/// What a login brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// Who is logged in, as the KDC says it.
    pub principal: String,
    /// When it was fetched.
    pub since: SystemTime,
    /// When it expires.
    pub expires: SystemTime,
}

impl Ticket {
    /// When a new one should be fetched: after four fifths of its life, as Hadoop does.
    pub fn renew_at(&self) -> SystemTime {
        self.since + self.expires.duration_since(self.since).unwrap_or_default() * 4 / 5
    }
}

/// Looks at the keytab and logs in, within `limit`. The login's `_HOST` is resolved.
///
/// # Errors
/// The first thing that stands in the way.
pub async fn log_in(
    login: &Login,
    limit: Duration,
) -> Result<(Ticket, CheckedKeytab), IdentityError> {
    let on_it = login.clone();
    let done = on_thread(limit, move || {
        let checked = check(&on_it)?;
        let ticket = ask(&on_it, &checked.keytab)?;
        Ok((ticket, checked))
    });
    done.await
        .unwrap_or_else(|stuck| Err(late(login, limit, stuck)))
}

/// The login itself. Blocks for as long as `krb5.conf` lets the KDC think.
fn ask(login: &Login, keytab: &Keytab) -> Result<Ticket, IdentityError> {
    let explained = |error: GssError| explain(login, keytab, &error);
    let since = SystemTime::now();
    let credential =
        GssCredential::from_keytab(&login.principal, &login.keytab).map_err(explained)?;
    let seconds = credential.lifetime_seconds().map_err(explained)?;
    let principal = credential.principal().map_err(explained)?;
    Ok(Ticket {
        principal,
        since,
        expires: since + Duration::from_secs(seconds.into()),
    })
}

fn late(login: &Login, limit: Duration, stuck: Stuck) -> IdentityError {
    let principal = &login.principal;
    let seconds = limit.as_secs();
    let text = match stuck {
        Stuck::Late => format!("the login of {principal} did not end within {seconds} s"),
        Stuck::Full => {
            format!("the login of {principal} waits: too many before it have not ended")
        }
        Stuck::Failed => {
            format!("the login of {principal} failed within the Kerberos library")
        }
    };
    let hint = format!(
        "the KDC or the name service does not answer; KDCs are named in {}",
        krb5_conf()
    );
    IdentityError::new(IdentityProblem::TimedOut, text, hint)
}

/// What the library says, as a message and a hint.
fn explain(login: &Login, keytab: &Keytab, error: &GssError) -> IdentityError {
    let problem = problem(error);
    let (text, hint) = match problem {
        IdentityProblem::ClockSkew => of_clocks(login, error),
        IdentityProblem::WrongKey => of_keys(login, keytab, error),
        _ => of_realm(problem, login, error),
    };
    IdentityError::new(problem, format!("{text}: {}", error.text), hint)
}

fn problem(error: &GssError) -> IdentityProblem {
    match error.minor {
        _ if error.major == 0 => IdentityProblem::LibraryMissing,
        code::KDC_UNREACHABLE => IdentityProblem::KdcUnreachable,
        code::REALM_UNKNOWN => IdentityProblem::RealmUnknown,
        code::SKEW | code::REPLY_SKEW => IdentityProblem::ClockSkew,
        _ if error.is_expired() => IdentityProblem::ClockSkew,
        code::CLIENT_UNKNOWN => IdentityProblem::PrincipalUnknown,
        code::PREAUTH_FAILED
        | code::BAD_INTEGRITY
        | code::ENCTYPE_UNSUPPORTED
        | code::KEYTAB_NOT_FOUND => IdentityProblem::WrongKey,
        code::CLIENT_REVOKED | code::KEY_EXPIRED => IdentityProblem::PrincipalLocked,
        code::CONFIG_CANNOT_OPEN | code::CONFIG_BAD_FORMAT => IdentityProblem::Krb5Conf,
        _ => IdentityProblem::Other,
    }
}

fn of_clocks(login: &Login, error: &GssError) -> (String, String) {
    let realm = realm(login);
    let clocks = format!("the clocks of this host and of the KDC of {realm} differ");
    // The library follows the KDC's clock to get a ticket, and then finds it expired by its own.
    let text = if error.is_expired() {
        let principal = &login.principal;
        format!("the ticket of {principal} had expired when it came, so {clocks}")
    } else {
        format!("{clocks} too much")
    };
    let hint = format!(
        "this host has {}; set both by NTP",
        shown(SystemTime::now())
    );
    (text, hint)
}

fn of_keys(login: &Login, keytab: &Keytab, error: &GssError) -> (String, String) {
    let realm = realm(login);
    let keys = keys(login, keytab);
    let again = "write the keytab again with kadmin's `ktadd`";
    let types = format!("{again}, which takes the types of the KDC");
    match error.minor {
        code::ENCTYPE_UNSUPPORTED => (format!("the KDC of {realm} has no use for {keys}"), types),
        code::KEYTAB_NOT_FOUND => {
            let text = format!("the KDC of {realm} wants another key than those in {keys}");
            (text, types)
        }
        _ => {
            let principal = &login.principal;
            let text =
                format!("the KDC of {realm} does not accept the key of {principal} in {keys}");
            let hint = format!("the key was changed after the keytab was written: {again}");
            (text, hint)
        }
    }
}

fn of_realm(problem: IdentityProblem, login: &Login, error: &GssError) -> (String, String) {
    let principal = &login.principal;
    let realm = realm(login);
    let conf = krb5_conf();
    match problem {
        IdentityProblem::LibraryMissing => (
            "the Kerberos library cannot be used".into(),
            "install it: apt-get install libgssapi-krb5-2, or dnf install krb5-libs".into(),
        ),
        IdentityProblem::KdcUnreachable => (
            format!("no KDC of {realm} answers, so {principal} cannot log in"),
            format!(
                "KDCs are named in {conf}, section [realms]; is one of them up, and port 88 open?"
            ),
        ),
        IdentityProblem::RealmUnknown => (
            format!("the realm {realm} of {principal} has no KDC"),
            format!(
                "{conf} must name its KDCs in section [realms], or the principal another realm"
            ),
        ),
        IdentityProblem::PrincipalUnknown => (
            format!("the KDC of {realm} does not know {principal}"),
            "create it with kadmin's `addprinc -randkey`, and write its keytab again with `ktadd`"
                .into(),
        ),
        IdentityProblem::PrincipalLocked => (
            format!("the KDC of {realm} has locked {principal}"),
            "kadmin's `getprinc` shows its attributes and when it expires".into(),
        ),
        IdentityProblem::Krb5Conf => (
            format!("Kerberos cannot read {conf}"),
            "KRB5_CONFIG names another file".into(),
        ),
        _ => (
            format!(
                "{principal} cannot log in ({:#x}, {})",
                error.major, error.minor
            ),
            format!(
                "KRB5_TRACE=/dev/stderr makes the Kerberos library tell more; its configuration is {conf}"
            ),
        ),
    }
}

fn realm(login: &Login) -> &str {
    let parts = login.principal.rsplit_once('@');
    parts.map_or("the default realm", |(_, realm)| realm)
}

/// "/x/flume.keytab (version 2 of 2026-01-02T03:04:05Z, aes256-cts-hmac-sha1-96)"
fn keys(login: &Login, keytab: &Keytab) -> String {
    let newest = keytab.newest(&login.principal);
    let types: Vec<_> = newest
        .iter()
        .map(|key| key.encryption.to_string())
        .collect();
    let first = newest
        .first()
        .map(|key| format!("version {} of {}, ", key.kvno, shown(key.written)));
    format!(
        "{} ({}{})",
        login.keytab.display(),
        first.unwrap_or_default(),
        types.join(", ")
    )
}

/// Where the library looks.
fn krb5_conf() -> String {
    let path = env::var("KRB5_CONFIG").unwrap_or_else(|_| "/etc/krb5.conf".into());
    if path.contains(':') || Path::new(&path).exists() {
        path
    } else {
        format!("{path} (which does not exist)")
    }
}

/// A time to the second, in UTC.
pub fn shown(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time).map_or_else(
        |_| "a time beyond all calendars".into(),
        |time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keytab::tests::record;

    #[test]
    fn each_refusal_has_its_message() {
        let login = Login {
            principal: "flume/h@R".into(),
            keytab: "/k".into(),
        };
        let keytab = Keytab::parse(&[&[5, 2][..], &record("flume/h@R", 3, 18)].concat()).unwrap();
        let check = |major: u32, minor: i32, problem: IdentityProblem, expected: &str| {
            let explained = explain(
                &login,
                &keytab,
                &GssError {
                    major,
                    minor,
                    text: "SAID".into(),
                },
            );
            assert_eq!(explained.problem, problem);
            assert!(explained.text.contains(expected), "{explained}");
            assert!(explained.text.contains("SAID") && !explained.hint.is_empty());
        };
        let failure = 0xd_0000;
        check(0, 0, IdentityProblem::LibraryMissing, "");
        check(
            failure,
            code::KDC_UNREACHABLE,
            IdentityProblem::KdcUnreachable,
            "no KDC of R answers",
        );
        check(
            failure,
            code::REALM_UNKNOWN,
            IdentityProblem::RealmUnknown,
            "the realm R of flume/h@R has no KDC",
        );
        check(
            failure,
            code::SKEW,
            IdentityProblem::ClockSkew,
            "the clocks",
        );
        check(
            failure,
            code::CLIENT_UNKNOWN,
            IdentityProblem::PrincipalUnknown,
            "does not know flume/h@R",
        );
        let key = "the key of flume/h@R in /k (version 3 of 2023-11-14T22:13:20Z, aes256-cts-hmac-sha1-96)";
        check(
            failure,
            code::PREAUTH_FAILED,
            IdentityProblem::WrongKey,
            key,
        );
        check(
            failure,
            code::CLIENT_REVOKED,
            IdentityProblem::PrincipalLocked,
            "has locked flume/h@R",
        );
        check(
            failure,
            code::CONFIG_BAD_FORMAT,
            IdentityProblem::Krb5Conf,
            "cannot read",
        );
        check(
            11 << 16,
            100_001,
            IdentityProblem::ClockSkew,
            "had expired when it came",
        );
        check(failure, 12345, IdentityProblem::Other, "(0xd0000, 12345)");
    }

    #[test]
    fn a_ticket_is_renewed_after_four_fifths_of_its_life() {
        let since = SystemTime::UNIX_EPOCH;
        let ticket = Ticket {
            principal: String::new(),
            since,
            expires: since + Duration::from_secs(100),
        };
        assert_eq!(ticket.renew_at(), since + Duration::from_secs(80));
    }
}

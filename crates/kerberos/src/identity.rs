//! As whom a component speaks to a cluster: principal, keytab and the user it acts for.

use std::path::PathBuf;

use crate::resolve_host;

/// Who logs in, by which keys. Equal ones share a [`KerberosSession`](crate::KerberosSession).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Login {
    /// `flume/host.example.com@EXAMPLE.COM`; as it is configured, `_HOST` is in it.
    pub principal: String,
    /// Its keys.
    pub keytab: PathBuf,
}

/// As whom a file system is used. Equal ones share a client.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Who logs in; `None`: without Kerberos the user of this process, with it whoever has tickets in its cache.
    pub login: Option<Login>,
    /// The user that the agent acts for.
    pub proxy_user: Option<String>,
}

/// A property that does not fit the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityMisfit {
    /// Which one: `kerberosPrincipal`, `kerberosKeytab`.
    pub property: &'static str,
    /// What is wrong with it.
    pub text: &'static str,
}

impl Identity {
    /// From what is configured; empty is as good as unset. Asks nobody.
    ///
    /// # Errors
    /// A principal without a keytab, or the reverse, as in Flume.
    pub fn new(
        principal: Option<&str>,
        keytab: Option<&str>,
        proxy_user: Option<&str>,
    ) -> Result<Identity, IdentityMisfit> {
        let set = |text: Option<&str>| {
            text.map(str::trim)
                .filter(|text| !text.is_empty())
                .map(String::from)
        };
        let login = match (set(principal), set(keytab)) {
            (None, None) => None,
            (Some(principal), Some(keytab)) => Some(Login {
                principal,
                keytab: keytab.into(),
            }),
            (Some(_), None) => {
                let text =
                    "must be set together with the principal: there is no other way to log in";
                return Err(IdentityMisfit {
                    property: "kerberosKeytab",
                    text,
                });
            }
            (None, Some(_)) => {
                let text =
                    "must be set together with the keytab, which may hold the keys of several";
                return Err(IdentityMisfit {
                    property: "kerberosPrincipal",
                    text,
                });
            }
        };
        Ok(Identity {
            login,
            proxy_user: set(proxy_user),
        })
    }

    /// The same with `_HOST` replaced, and with `HADOOP_PROXY_USER` where it counts. Asks the system's name service,
    /// so it blocks.
    pub fn resolved(self) -> Identity {
        let Identity { login, proxy_user } =
            self.acting_for(std::env::var("HADOOP_PROXY_USER").ok());
        let login = login.map(|login| Login {
            principal: resolve_host(&login.principal),
            ..login
        });
        Identity { login, proxy_user }
    }

    /// As in Flume, the environment may name whom somebody acts for who does not log in by a keytab.
    fn acting_for(self, user: Option<String>) -> Identity {
        let user = user.filter(|user| self.login.is_none() && !user.is_empty());
        Identity {
            proxy_user: self.proxy_user.or(user),
            login: self.login,
        }
    }
}

/// What stands in the way of an identity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}; {hint}")]
pub struct IdentityError {
    /// Which of the known problems it is.
    pub problem: IdentityProblem,
    /// What is so, with what was found.
    pub text: String,
    /// What would help.
    pub hint: String,
}

impl IdentityError {
    pub(crate) fn new(
        problem: IdentityProblem,
        text: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        IdentityError {
            problem,
            text: text.into(),
            hint: hint.into(),
        }
    }
}

/// Problems that have a message of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IdentityProblem {
    /// There is no such file.
    KeytabMissing,
    /// This process may not read it, or it is no file.
    KeytabUnreadable,
    /// It is no keytab, or not a whole one.
    KeytabBroken,
    /// It has keys of others alone.
    PrincipalNotInKeytab,
    /// This host has no Kerberos library.
    LibraryMissing,
    /// `krb5.conf` is missing or broken.
    Krb5Conf,
    /// `krb5.conf` and DNS know no KDC of the realm.
    RealmUnknown,
    /// No KDC answers.
    KdcUnreachable,
    /// The clocks differ too much.
    ClockSkew,
    /// The KDC does not know the principal.
    PrincipalUnknown,
    /// The KDC does not accept the key: the keytab is out of date.
    WrongKey,
    /// The principal is locked, or expired.
    PrincipalLocked,
    /// The login did not end in time.
    TimedOut,
    /// Whatever else Kerberos says.
    Other,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn principal_and_keytab_are_set_together() {
        let property = |principal, keytab| {
            Identity::new(principal, keytab, None)
                .err()
                .map(|misfit| misfit.property)
        };
        assert_eq!(property(Some("flume@R"), None), Some("kerberosKeytab"));
        assert_eq!(property(Some("flume@R"), Some(" ")), Some("kerberosKeytab"));
        assert_eq!(property(None, Some("/k")), Some("kerberosPrincipal"));
        assert_eq!(property(Some(""), None), None);
        let identity = Identity::new(Some(" flume@R "), Some("/k"), Some("")).unwrap();
        let login = Login {
            principal: "flume@R".into(),
            keytab: "/k".into(),
        };
        assert_eq!(
            identity,
            Identity {
                login: Some(login),
                proxy_user: None
            }
        );
    }

    #[test]
    fn the_environment_names_a_user_only_for_who_does_not_log_in() {
        let acting = |principal, proxy_user, variable: &str| {
            let identity = Identity::new(principal, principal.map(|_| "/k"), proxy_user).unwrap();
            identity.acting_for(Some(variable.into())).proxy_user
        };
        assert_eq!(acting(None, None, "bob").as_deref(), Some("bob"));
        assert_eq!(acting(None, Some("alice"), "bob").as_deref(), Some("alice"));
        assert_eq!(acting(None, None, ""), None);
        assert_eq!(acting(Some("flume@R"), None, "bob"), None);
    }
}

//! The environment that a child gets. It is always built, never inherited as it is: a password in a variable of this
//! process must not be readable in `/proc/PID/environ` of every program that it starts.

use std::{
    collections::BTreeMap,
    env,
    ffi::{OsStr, OsString},
};

/// Where programs are found when nobody says otherwise.
pub const USUAL_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What systemd says to this process alone. A child that heard it would answer in its place.
const OURS_ALONE: &[&str] = &[
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "LISTEN_PID",
    "MAINPID",
    "INVOCATION_ID",
    "JOURNAL_STREAM",
];

/// The variables of a child.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    variables: BTreeMap<OsString, OsString>,
}

impl Environment {
    /// A path, English messages, and nothing else: for tools that this program runs for itself.
    pub fn minimal() -> Environment {
        let path = env::var_os("PATH").unwrap_or_else(|| USUAL_PATH.into());
        let mut built = Environment::default();
        built.set("PATH", path);
        built.set("LC_ALL", "C");
        built
    }

    /// The variables of this process without those whose names say that they are secret, and without those that systemd
    /// means for this process alone: for commands that the user's configuration names.
    pub fn without(is_secret: impl Fn(&str) -> bool) -> Environment {
        let wanted = |(name, _): &(OsString, OsString)| {
            !is_secret(&name.to_string_lossy()) && !OURS_ALONE.iter().any(|ours| *ours == name)
        };
        Environment {
            variables: env::vars_os().filter(wanted).collect(),
        }
    }

    /// What systemd says to this process alone: for this process when it begins anew.
    pub fn of_this_process_alone() -> Environment {
        Environment::default().keeping(OURS_ALONE)
    }

    /// Adds those of the named variables that this process has.
    #[must_use]
    pub fn keeping(mut self, names: &[&str]) -> Environment {
        for name in names {
            if let Some(value) = env::var_os(name) {
                self.set(name, value);
            }
        }
        self
    }

    /// Adds or replaces a variable.
    #[must_use]
    pub fn with(mut self, name: impl AsRef<OsStr>, value: impl Into<OsString>) -> Environment {
        self.set(name, value);
        self
    }

    fn set(&mut self, name: impl AsRef<OsStr>, value: impl Into<OsString>) {
        self.variables.insert(name.as_ref().into(), value.into());
    }

    /// The value of a variable.
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        self.variables
            .get(OsStr::new(name))
            .map(OsString::as_os_str)
    }

    /// All of it, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.variables
            .iter()
            .map(|(name, value)| (name.as_os_str(), value.as_os_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_has_what_was_put_into_it() {
        let minimal = Environment::minimal();
        assert_eq!(minimal.get("LC_ALL"), Some(OsStr::new("C")));
        assert_eq!(minimal.iter().count(), 2);
        let built = minimal.with("A", "1").keeping(&["NO_SUCH_VARIABLE"]);
        assert_eq!(built.get("A"), Some(OsStr::new("1")));
        assert_eq!(built.get("NO_SUCH_VARIABLE"), None);
        let all = Environment::without(|_| false);
        assert!(all.get("CARGO_MANIFEST_DIR").is_some());
        let some = Environment::without(|name| name.starts_with("CARGO"));
        assert_eq!(some.get("CARGO_MANIFEST_DIR"), None);
    }
}

//! Other programs: found wherever a host keeps them, run by [`flume_host::child`], and explained when they are missing.

use std::{ffi::OsStr, ffi::OsString, time::Duration};

pub(crate) use flume_host::child::{Ended, find};
use flume_host::{
    child::{self, ChildError},
    environment::Environment,
};

use crate::fault::Fault;

/// Variables of this process that its tools need, too. Everything else stays here.
const KEPT_VARIABLES: &[&str] = &[
    "KRB5_CONFIG",
    "KRB5_KDC_PROFILE",
    "http_proxy",
    "https_proxy",
    "no_proxy",
];

/// The package that has a program: Debian's name, and that of Fedora, RHEL and SUSE.
const PACKAGES: &[(&str, &str, &str)] = &[
    ("kinit", "krb5-user", "krb5-workstation"),
    ("kadmin", "krb5-user", "krb5-workstation"),
    ("kvno", "krb5-user", "krb5-workstation"),
    ("klist", "krb5-user", "krb5-workstation"),
    ("ktutil", "krb5-user", "krb5-workstation"),
    ("kadmin.local", "krb5-admin-server", "krb5-server"),
    ("useradd", "passwd", "shadow-utils"),
    ("groupadd", "passwd", "shadow-utils"),
    ("setpriv", "util-linux", "util-linux"),
];

/// A program about to be run.
pub(crate) struct Program {
    name: &'static str,
    arguments: Vec<OsString>,
    environment: Environment,
    input: String,
    limit: Duration,
}

impl Program {
    /// A program with its arguments; it may take half a minute.
    pub(crate) fn new<A: AsRef<OsStr>>(name: &'static str, arguments: &[A]) -> Program {
        Program {
            name,
            arguments: arguments.iter().map(|word| word.as_ref().into()).collect(),
            environment: Environment::minimal().keeping(KEPT_VARIABLES),
            input: String::new(),
            limit: child::DEFAULT_LIMIT,
        }
    }

    /// One more variable in its environment.
    pub(crate) fn env(mut self, name: &'static str, value: impl Into<OsString>) -> Program {
        self.environment = self.environment.with(name, value);
        self
    }

    /// What it reads from standard input.
    pub(crate) fn input(mut self, text: &str) -> Program {
        self.input = text.into();
        self
    }

    /// How long it may take.
    pub(crate) fn limit(mut self, limit: Duration) -> Program {
        self.limit = limit;
        self
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// It is not installed, cannot be started, takes too long, or was interrupted. A program that fails is not an error
    /// here.
    pub(crate) fn run(self) -> Result<Ended, Fault> {
        let path = find(self.name).ok_or_else(|| missing(self.name))?;
        let program = child::Program::new(&path, &self.arguments)
            .environment(self.environment)
            .input(self.input)
            .limit(self.limit)
            .until_interrupted();
        program.run().map_err(|error| match error {
            ChildError::Io { doing, path, cause } => Fault::io(doing, &path)(cause),
            ChildError::Late { limit, .. } => Fault::new(
                format!("{} did not end within {} s", self.name, limit.as_secs()),
                "is the server that it asks reachable?",
            ),
            ChildError::Interrupted { .. } => Fault::interrupted(),
        })
    }

    /// Runs it; a failure is a fault with its last line.
    pub(crate) fn succeed(self, remedy: &str) -> Result<Ended, Fault> {
        let name = self.name;
        let ended = self.run()?;
        if ended.ok() {
            Ok(ended)
        } else {
            Err(Fault::new(format!("{name}: {}", ended.last_line()), remedy))
        }
    }
}

fn missing(name: &str) -> Fault {
    let known = PACKAGES.iter().find(|(program, _, _)| *program == name);
    let remedy = match known {
        Some((_, debian, _)) if find("apt-get").is_some() => format!("apt-get install {debian}"),
        Some((_, _, rpm)) if find("zypper").is_some() => format!("zypper install {rpm}"),
        Some((_, _, rpm)) => format!("dnf install {rpm}"),
        None => "install it, or set PATH".into(),
    };
    Fault::new(format!("the program {name} is not there"), remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_late_or_missing_is_a_fault_with_a_remedy() {
        let late = Program::new("sleep", &["60"])
            .limit(Duration::from_millis(50))
            .run()
            .unwrap_err();
        assert!(late.cause.starts_with("sleep did not end"), "{late}");
        let absent = Program::new("no-such-program", &["x"]).run().unwrap_err();
        assert_eq!(absent.cause, "the program no-such-program is not there");
        let failed = Program::new("sh", &["-c", "echo no >&2; exit 3"]).succeed("do it");
        assert_eq!(failed.unwrap_err().cause, "sh: no");
    }
}

//! Other programs: found, run without a terminal, given what they must not be told on a command line, and stopped
//! when they take too long.

use std::{
    ffi::{OsStr, OsString},
    io::{Read, Write},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::fault::Fault;

/// Where administrators' programs are, whatever `PATH` says.
const DIRECTORIES: &[&str] = &[
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
];
const POLL: Duration = Duration::from_millis(10);

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
];

/// A program about to be run.
pub(crate) struct Program {
    name: &'static str,
    arguments: Vec<OsString>,
    environment: Vec<(&'static str, OsString)>,
    input: Vec<u8>,
    limit: Duration,
}

/// How it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) status: ExitStatus,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    /// Whether it succeeded.
    pub(crate) fn ok(&self) -> bool {
        self.status.success()
    }

    /// Its last word: what a message shows of a failure.
    pub(crate) fn last_line(&self) -> String {
        let line = |text: &str| {
            text.lines()
                .rev()
                .map(str::trim)
                .find(|line| !line.is_empty())
                .map(String::from)
        };
        line(&self.err)
            .or_else(|| line(&self.out))
            .unwrap_or_else(|| self.status.to_string())
    }
}

impl Program {
    /// A program with its arguments; it may take half a minute.
    pub(crate) fn new<A: AsRef<OsStr>>(name: &'static str, arguments: &[A]) -> Program {
        let arguments = arguments
            .iter()
            .map(|argument| argument.as_ref().into())
            .collect();
        Program {
            name,
            arguments,
            environment: vec![],
            input: vec![],
            limit: Duration::from_secs(30),
        }
    }

    /// One more variable in its environment.
    pub(crate) fn env(mut self, name: &'static str, value: impl Into<OsString>) -> Program {
        self.environment.push((name, value.into()));
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
    /// It is not installed, cannot be started, or takes too long. That it fails is for the caller to see.
    pub(crate) fn run(self) -> Result<Said, Fault> {
        let path = find(self.name).ok_or_else(|| missing(self.name))?;
        let mut command = Command::new(&path);
        command
            .args(&self.arguments)
            .env("LC_ALL", "C")
            .envs(self.environment.iter().map(|(k, v)| (k, v)));
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().map_err(Fault::io("start", &path))?;
        let input = self.input;
        let stdin = child.stdin.take();
        // A program that ends without reading is no failure of ours; its own words say why.
        let writer = thread::spawn(move || stdin.map(|mut stdin| stdin.write_all(&input)));
        let out = collect(child.stdout.take());
        let err = collect(child.stderr.take());
        let ended = wait(&mut child, self.limit).map_err(Fault::io("wait for", &path))?;
        let Some(status) = ended else {
            let cause = format!(
                "{} did not end within {} s",
                self.name,
                self.limit.as_secs()
            );
            return Err(Fault::new(
                cause,
                "is the server that it asks reachable, or its network black-holed?",
            ));
        };
        let _ = writer.join();
        Ok(Said {
            status,
            out: out.join().unwrap_or_default(),
            err: err.join().unwrap_or_default(),
        })
    }

    /// Runs it; a failure is a fault with its last word.
    pub(crate) fn succeed(self, remedy: &str) -> Result<Said, Fault> {
        let name = self.name;
        let said = self.run()?;
        if said.ok() {
            Ok(said)
        } else {
            Err(Fault::new(format!("{name}: {}", said.last_line()), remedy))
        }
    }
}

/// Reads a stream to its end beside everything else.
fn collect<R: Read + Send + 'static>(stream: Option<R>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = vec![];
        if let Some(mut stream) = stream {
            // What was read before an error is all there is.
            let _ = stream.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Its end; `None` if it had to be killed.
pub(crate) fn wait(child: &mut Child, limit: Duration) -> std::io::Result<Option<ExitStatus>> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() > deadline {
            let _ = child.kill();
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(POLL);
    }
}

/// The full path of a program.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = DIRECTORIES.iter().map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(usual)
        .map(|dir| dir.join(name))
        .find(|path| is_program(path))
}

fn is_program(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
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
    fn programs_are_run_given_input_and_stopped() {
        let said = Program::new("cat", &["-"]).input("words").run().unwrap();
        assert_eq!((said.out.as_str(), said.ok()), ("words", true));
        let said = Program::new("sh", &["-c", "echo no >&2; exit 3"])
            .run()
            .unwrap();
        assert_eq!(
            (said.last_line().as_str(), said.status.code()),
            ("no", Some(3))
        );
        let late = Program::new("sleep", &["60"])
            .limit(Duration::from_millis(50))
            .run()
            .unwrap_err();
        assert!(late.cause.starts_with("sleep did not end"), "{late}");
        let absent = Program::new("no-such-program", &["x"]).run().unwrap_err();
        assert_eq!(absent.cause, "the program no-such-program is not there");
    }
}

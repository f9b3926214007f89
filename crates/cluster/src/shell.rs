//! Hadoop's own client, to look at a cluster independently of what is tested.

use std::{
    io::{BufRead, BufReader, Read, Write},
    process::{Child, ChildStdin, ChildStdout, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::daemon::spawn;

/// Who runs a command.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct As<'a> {
    /// User, or principal.
    pub(crate) name: &'a str,
    /// Its keytab; none with simple authentication.
    pub(crate) keytab: &'a str,
    /// Whom it impersonates.
    pub(crate) proxied: &'a str,
}

/// What a command of Hadoop's answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Exit code.
    pub code: i32,
    /// Standard output.
    pub out: Vec<u8>,
    /// Standard error.
    pub err: String,
}

impl Answer {
    /// Standard output of a command that succeeded.
    pub fn ok(self) -> Result<String> {
        if self.code != 0 {
            bail!(
                "exit code {}: {}{}",
                self.code,
                String::from_utf8_lossy(&self.out),
                self.err
            );
        }
        Ok(String::from_utf8_lossy(&self.out).into_owned())
    }
}

/// A JVM that runs one command after the other.
pub(crate) struct Shell {
    child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Shell {
    /// Starts the JVM; it is ready with the first answer.
    pub(crate) fn start(
        command: Vec<String>,
        environment: &[(String, String)],
        log: &std::path::Path,
    ) -> Result<Shell> {
        let mut program = crate::packages::command("setpriv");
        program.args(["--pdeathsig", "KILL", "--"]).args(command);
        program.envs(environment.iter().map(|(name, value)| (name, value)));
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)?;
        program
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log);
        let mut child = spawn(program).context("failed to start Hadoop's shell")?;
        let commands = child.stdin.take().context("no standard input")?;
        let answers = BufReader::new(child.stdout.take().context("no standard output")?);
        Ok(Shell {
            child,
            commands,
            answers,
        })
    }

    /// Runs a command: `fs -ls /`.
    pub(crate) fn run(&mut self, user: As<'_>, words: &[&str]) -> Result<Answer> {
        let line = [&[user.name, user.keytab, user.proxied], words]
            .concat()
            .join("\t");
        writeln!(self.commands, "{line}").context("Hadoop's shell is gone")?;
        let mut head = String::new();
        self.answers.read_line(&mut head)?;
        let numbers: Vec<i64> = head.split_whitespace().flat_map(str::parse).collect();
        let [code, out, err] = numbers[..] else {
            bail!("Hadoop's shell answered `{head}`")
        };
        let mut read = |length: i64| -> Result<Vec<u8>> {
            let mut bytes = vec![0; usize::try_from(length)?];
            self.answers.read_exact(&mut bytes)?;
            Ok(bytes)
        };
        let out = read(out)?;
        let err = read(err)?;
        Ok(Answer {
            code: i32::try_from(code)?,
            out,
            err: String::from_utf8_lossy(&err).into_owned(),
        })
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

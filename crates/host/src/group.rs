//! A command that runs beside the agent. It is a process group of its own, so that nothing it started stays behind.

use std::{
    ffi::OsStr,
    io,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command},
    time::timeout,
};

use crate::environment::Environment;

/// How long a command may take to end after SIGTERM before it is killed.
pub const END_TIMEOUT: Duration = Duration::from_secs(1);

/// A running command with everything it started. Dropping it kills all of them.
pub struct CommandGroup {
    child: Child,
    group: Option<Pid>,
}

impl CommandGroup {
    /// Starts a command whose three streams are pipes. Needs a tokio runtime.
    ///
    /// # Errors
    /// The command could not be started.
    pub fn start<A: AsRef<OsStr>>(
        program: impl AsRef<OsStr>,
        arguments: &[A],
        environment: &Environment,
    ) -> io::Result<CommandGroup> {
        let child = Command::new(program)
            .args(arguments)
            .env_clear()
            .envs(environment.iter())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let raw = child.id().and_then(|id| i32::try_from(id).ok());
        Ok(CommandGroup {
            child,
            group: raw.and_then(Pid::from_raw),
        })
    }

    /// Its standard input, once. While nobody has taken it, it stays open and empty.
    pub fn stdin(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// Its standard output, once.
    pub fn stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Its standard error, once.
    pub fn stderr(&mut self) -> Option<ChildStderr> {
        self.child.stderr.take()
    }

    /// The process id of the command, while it runs.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Asks all of the group to end.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            // An error means that all of it has ended.
            let _ = kill_process_group(group, signal);
        }
    }

    /// Waits for the command to end by itself.
    ///
    /// # Errors
    /// The system cannot wait for it.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Ends the command if it still runs, and says how it ended. With `all`, what it left running in its group is killed,
    /// too; [`Leftovers`](crate::leftovers::Leftovers) finds the rest later.
    ///
    /// # Errors
    /// It does not even end when it is killed.
    pub async fn end(mut self, all: bool) -> io::Result<ExitStatus> {
        let mut ended = timeout(END_TIMEOUT, self.child.wait()).await;
        if ended.is_err() && !all {
            self.signal(Signal::TERM);
            ended = timeout(END_TIMEOUT, self.child.wait()).await;
        }
        if ended.is_err() || all {
            self.signal(Signal::KILL);
        }
        if ended.is_err() {
            ended = timeout(END_TIMEOUT, self.child.wait()).await;
        }
        // What the command has left in the background lives on: it is not ours to kill on drop.
        self.group = None;
        ended.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }
}

impl Drop for CommandGroup {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn shell(line: &str) -> CommandGroup {
        CommandGroup::start("/bin/sh", &["-c", line], &Environment::minimal()).unwrap()
    }

    #[tokio::test]
    async fn a_command_talks_through_pipes() {
        let mut command = shell("read word; echo got $word");
        let mut stdin = command.stdin().unwrap();
        stdin.write_all(b"it\n").await.unwrap();
        let mut said = String::new();
        command
            .stdout()
            .unwrap()
            .read_to_string(&mut said)
            .await
            .unwrap();
        assert_eq!(said, "got it\n");
        assert!(command.end(false).await.unwrap().success());
    }

    #[tokio::test]
    async fn a_stubborn_command_is_killed_with_its_children() {
        let mut command = shell("trap '' TERM; sleep 600 & echo started; wait; wait");
        let mut stdout = command.stdout().unwrap();
        let mut first = [0; 8];
        stdout.read_exact(&mut first).await.unwrap();
        let status = command.end(true).await.unwrap();
        assert!(!status.success());
        // The pipe closes only when the last of the group is gone.
        let mut rest = vec![];
        stdout.read_to_end(&mut rest).await.unwrap();
    }
}

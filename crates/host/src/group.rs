//! A command that runs beside the agent. It is a process group of its own, so that nothing it started stays behind.

use std::{
    ffi::OsStr,
    fs, io,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, getsid, kill_process_group, test_kill_process_group};
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

    /// Ends the command if it still runs, and says how it ended. With `all`, what it left running in the background is
    /// killed, too; otherwise it is returned.
    ///
    /// # Errors
    /// It does not even end when it is killed.
    pub async fn end(mut self, all: bool) -> io::Result<(ExitStatus, LeftGroup)> {
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
        // What the command has left in the background is the caller's now.
        let left = LeftGroup(self.group.take());
        let status = ended.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        Ok((status, left))
    }
}

/// What a command that has ended may have left running.
#[derive(Debug)]
pub struct LeftGroup(Option<Pid>);

impl LeftGroup {
    fn is_alive(&self) -> bool {
        // The number of a group is used again only after its last process has ended.
        self.0
            .is_some_and(|group| test_kill_process_group(group).is_ok())
    }
}

/// What commands have left running in the background. Dropping it kills all of it. A process that left the group of its
/// command (`setsid`) is a service of its own and lives on.
#[derive(Debug, Default)]
pub struct Leftovers(Vec<LeftGroup>);

impl Leftovers {
    /// Adds what a command has left. A group without processes is forgotten, because its number may come back as another
    /// group's: call this right after the command has ended.
    pub fn push(&mut self, left: LeftGroup) {
        self.0.push(left);
        self.0.retain(LeftGroup::is_alive);
    }
}

impl Drop for Leftovers {
    fn drop(&mut self) {
        for group in self.0.iter().filter_map(|left| left.0) {
            if is_of_our_session(group) {
                // An error means that all of it has ended.
                let _ = kill_process_group(group, Signal::KILL);
            }
        }
    }
}

/// Whether the processes of a group belong to the session of this process. The last process of a group may have ended
/// long ago, and its number may be that of a stranger's group by now.
fn is_of_our_session(group: Pid) -> bool {
    let Ok(ours) = getsid(None) else {
        return false;
    };
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok())
        .any(|stat| {
            // PID (NAME) STATE PPID GROUP SESSION …
            let mut fields = stat
                .rsplit(") ")
                .next()
                .unwrap_or_default()
                .split(' ')
                .skip(2);
            let mut is = |number: Pid| fields.next() == Some(&number.as_raw_nonzero().to_string());
            is(group) && is(ours)
        })
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
        assert!(command.end(false).await.unwrap().0.success());
    }

    #[tokio::test]
    async fn a_stubborn_command_is_killed_with_its_children() {
        let mut command = shell("trap '' TERM; sleep 600 & echo started; wait; wait");
        let mut stdout = command.stdout().unwrap();
        let mut first = [0; 8];
        stdout.read_exact(&mut first).await.unwrap();
        let (status, _) = command.end(true).await.unwrap();
        assert!(!status.success());
        // The pipe closes only when the last of the group is gone.
        let mut rest = vec![];
        stdout.read_to_end(&mut rest).await.unwrap();
    }

    #[tokio::test]
    async fn what_is_left_in_the_background_ends_with_the_leftovers() {
        let mut left = Leftovers::default();
        for _ in 0..3 {
            let mut command = shell("sleep 600 </dev/null >/dev/null 2>&1 & echo $!");
            let mut said = String::new();
            let mut stdout = command.stdout().unwrap();
            stdout.read_to_string(&mut said).await.unwrap();
            left.push(command.end(false).await.unwrap().1);
        }
        // A command that leaves nothing is not remembered.
        left.push(shell("exit 0").end(false).await.unwrap().1);
        assert_eq!(left.0.len(), 3);
        let groups: Vec<_> = left.0.iter().filter_map(|left| left.0).collect();
        drop(left);
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
        while groups
            .iter()
            .any(|group| is_of_our_session(*group) && !is_dead(*group))
        {
            assert!(std::time::Instant::now() < deadline, "it still runs");
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    /// Whether only zombies are left of a group: nobody may collect the orphans of a test.
    fn is_dead(group: Pid) -> bool {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let mut stats =
            entries.filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok());
        let number = group.as_raw_nonzero().to_string();
        stats.all(|stat| {
            let rest = stat.rsplit(") ").next().unwrap_or_default();
            rest.split(' ').nth(2) != Some(&number) || rest.starts_with('Z')
        })
    }
}

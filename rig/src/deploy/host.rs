//! A host to throw away: this machine's files with a layer above that takes all changes, and a name of its own. What is
//! installed there is installed really, and gone with it.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    path::Path,
    process::{Child, ChildStdin, Command, Output, Stdio},
};

use anyhow::{Context, Result, ensure};

use crate::agents::target;

/// The usual full name of one.
pub const NAME: &str = "node1.flume.test";

/// Mounts the layer, then says so and waits for the end of its input. `$1` is an empty directory, `$2` the host's name;
/// what follows is seen from within as from without.
const BEGIN: &str = r#"
set -e
base=$1; name=$2; shift 2
mount -t tmpfs host "$base"
mkdir "$base/upper" "$base/work" "$base/root"
mount -t overlay host -o "lowerdir=/,upperdir=$base/upper,workdir=$base/work" "$base/root"
hostname "${name%%.*}"
for seen in /proc /sys /dev "$@"; do mkdir -p "$base/root$seen"; mount --rbind "$seen" "$base/root$seen"; done
echo "127.0.0.1 $name ${name%%.*} localhost" >"$base/root/etc/hosts"
rm -rf "$base/root/etc/flume" "$base/root/var/lib/flume" "$base/root/var/log/flume"
echo ready
exec cat
"#;

/// A running one; it ends when dropped.
pub struct Host {
    holder: Child,
    /// Its end is the host's end.
    _input: ChildStdin,
    // Last: it can be removed only when nothing is mounted on it.
    base: tempfile::TempDir,
}

impl Host {
    /// Starts a host with this full name, on which these directories are the real ones.
    pub fn start(name: &str, shared: &[&Path]) -> Result<Host> {
        flume_cluster::need(&[
            ("unshare", "util-linux"),
            ("nsenter", "util-linux"),
            ("mount", "mount"),
        ])?;
        let base = tempfile::Builder::new().prefix("host-").tempdir()?;
        let mut command = Command::new("unshare");
        command.args([
            "--mount",
            "--uts",
            "--propagation",
            "private",
            "sh",
            "-c",
            BEGIN,
            "host",
        ]);
        command
            .arg(base.path())
            .arg(name)
            .arg(target().canonicalize()?)
            .args(shared);
        let mut holder = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = holder.stdin.take().context("no input")?;
        let mut first = String::new();
        BufReader::new(holder.stdout.take().context("no output")?).read_line(&mut first)?;
        ensure!(
            first == "ready\n",
            "this machine gives no host of its own (root and overlayfs are needed)"
        );
        Ok(Host {
            holder,
            _input: input,
            base,
        })
    }

    /// A command on it.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        let pid = self.holder.id().to_string();
        command.args(["--target", &pid, "--mount", "--uts", "chroot"]);
        command.arg(self.base.path().join("root")).arg(program);
        command
    }

    /// Runs a line of shell on it.
    pub fn shell(&self, line: &str) -> Result<Output> {
        let mut command = self.command("sh");
        let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        command
            .args(["-c", line])
            .env("PATH", path)
            .env("DEBIAN_FRONTEND", "noninteractive");
        Ok(command.stdin(Stdio::null()).output()?)
    }

    /// What a line of shell prints, when it succeeds.
    pub fn says(&self, line: &str) -> Result<String> {
        let output = self.shell(line)?;
        let said = said(&output);
        ensure!(output.status.success(), "{line}: {said}");
        Ok(said)
    }

    /// Writes a file on it.
    pub fn write(&self, path: &str, text: &str, mode: &str) -> Result<()> {
        let mut command = self.command("install");
        command
            .args(["-D", "-m", mode, "/dev/stdin", path])
            .stdin(Stdio::piped());
        let mut child = command.spawn()?;
        child
            .stdin
            .take()
            .context("no input")?
            .write_all(text.as_bytes())?;
        ensure!(child.wait()?.success(), "{path} could not be written");
        Ok(())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
        // With its last process the mounts are gone, and what was below them.
        let _ = fs::remove_dir(self.base.path());
    }
}

/// Everything that was printed.
pub fn said(output: &Output) -> String {
    let mut text = String::new();
    for stream in [&output.stdout, &output.stderr] {
        let _ = stream.as_slice().read_to_string(&mut text);
    }
    text
}

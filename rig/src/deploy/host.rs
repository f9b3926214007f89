//! A host to throw away: this machine's files with a layer above that takes all changes, and a name of its own. What is
//! installed there is installed really, and gone with it.

use std::{
    fs,
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Output, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use crate::agents::target;

/// As long as systemd may take to start nothing.
const BOOT_TIMEOUT: Duration = Duration::from_secs(60);

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

/// As [`BEGIN`], with a systemd as its first process that starts nothing by itself. `/sys` and `/run` are its own, and so
/// is what it sees of the control groups.
const BOOT: &str = r#"
set -e
base=$1; name=$2; shift 2
mount -t tmpfs host "$base"
mkdir "$base/upper" "$base/work" "$base/root"
mount -t overlay host -o "lowerdir=/,upperdir=$base/upper,workdir=$base/work" "$base/root"
root=$base/root
hostname "${name%%.*}"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero full random urandom tty; do touch "$root/dev/$device"; mount --bind "/dev/$device" "$root/dev/$device"; done
mkdir "$root/dev/shm" "$root/dev/pts"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
for seen in "$@"; do mkdir -p "$root$seen"; mount --rbind "$seen" "$root$seen"; done
echo "127.0.0.1 $name ${name%%.*} localhost" >"$root/etc/hosts"
echo 0123456789abcdef0123456789abcdef >"$root/etc/machine-id"
printf '[Unit]\nDescription=Only what is asked for\nAllowIsolate=yes\n' >"$root/etc/systemd/system/bare.target"
rm -rf "$root/etc/flume" "$root/var/lib/flume" "$root/var/log/flume"
mkdir "$root/without"
cd "$root"
pivot_root . without
umount -l /without
exec env -i container=rig PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --unit=bare.target --show-status=no </dev/null
"#;

/// What `unshare` takes from the machine.
const NAMESPACES: &[&str] = &["--mount", "--uts", "--propagation", "private"];
const NAMESPACES_OF_SYSTEMD: &[&str] = &["--ipc", "--cgroup", "--pid", "--fork", "--kill-child"];

/// A running one; it ends when dropped.
pub struct Host {
    holder: Child,
    /// Its end is the host's end.
    _input: ChildStdin,
    /// The words before a command that is to run on it.
    enter: Vec<String>,
    /// The control group of its systemd.
    group: Option<PathBuf>,
    // Last: it can be removed only when nothing is mounted on it.
    base: tempfile::TempDir,
}

impl Host {
    /// Starts a host with this full name, on which these directories are the real ones.
    pub fn start(name: &str, shared: &[&Path]) -> Result<Host> {
        let mut host = Host::hold(name, shared, NAMESPACES, BEGIN, None)?;
        let mut first = String::new();
        let output = host.holder.stdout.take().context("no output")?;
        BufReader::new(output).read_line(&mut first)?;
        ensure!(
            first == "ready\n",
            "this machine gives no host of its own (root and overlayfs are needed)"
        );
        let pid = host.holder.id().to_string();
        let root = host.base.path().join("root").display().to_string();
        host.enter = ["--target", &pid, "--mount", "--uts", "chroot", &root]
            .map(String::from)
            .into();
        Ok(host)
    }

    /// Starts a host that systemd runs.
    pub fn boot(name: &str, shared: &[&Path]) -> Result<Host> {
        flume_cluster::need(&[("systemctl", "systemd")])?;
        let namespaces = [NAMESPACES, NAMESPACES_OF_SYSTEMD].concat();
        let group = control_groups()?.join(format!("flume-rig-{}", std::process::id()));
        fs::create_dir(&group).or_else(|error| match error.kind() {
            ErrorKind::AlreadyExists => Ok(()),
            _ => Err(error),
        })?;
        let mut host = Host::hold(name, shared, &namespaces, BOOT, Some(group))?;
        let pid = host.holder.id();
        let process = format!("--pid=/proc/{pid}/ns/pid_for_children");
        host.enter = ["--mount", "--uts", "--ipc", "--cgroup", &process]
            .map(String::from)
            .into();
        host.enter
            .splice(0..0, ["--target".into(), pid.to_string()]);
        let deadline = Instant::now() + BOOT_TIMEOUT;
        while said(&host.shell("systemctl is-system-running")?).trim() != "running" {
            ensure!(
                Instant::now() < deadline && host.holder.try_wait()?.is_none(),
                "systemd does not run in a namespace here"
            );
            sleep(Duration::from_millis(200));
        }
        Ok(host)
    }

    /// Starts the process that holds the namespaces.
    fn hold(
        name: &str,
        shared: &[&Path],
        namespaces: &[&str],
        script: &str,
        group: Option<PathBuf>,
    ) -> Result<Host> {
        flume_cluster::need(&[
            ("unshare", "util-linux"),
            ("nsenter", "util-linux"),
            ("setpriv", "util-linux"),
            ("mount", "mount"),
        ])?;
        let base = tempfile::Builder::new().prefix("host-").tempdir()?;
        let mut command = Command::new("sh");
        // It ends when this process does, however that ends.
        let enter_group = "test -z \"$1\" || echo $$ >\"$1/cgroup.procs\"; shift; exec setpriv --pdeathsig KILL unshare \"$@\"";
        command.args(["-c", enter_group, "sh"]);
        command.arg(group.as_deref().unwrap_or(Path::new("")));
        command.args(namespaces).args(["sh", "-c", script, "host"]);
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
        Ok(Host {
            holder,
            _input: input,
            enter: vec![],
            group,
            base,
        })
    }

    /// A command on it.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        // What is killed there by its process group must not be this program.
        command.process_group(0).args(&self.enter).arg(program);
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

/// Where control groups of the second version are.
fn control_groups() -> Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/mounts")?;
    let words = |line: &str| {
        let mut words = line.split(' ').map(String::from);
        words.nth(1).zip(words.next())
    };
    let mut found = mounts.lines().filter_map(words);
    let place = found.find(|(_, kind)| kind == "cgroup2");
    Ok(place
        .context("this machine has no cgroup2 mounted")?
        .0
        .into())
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
        if let Some(group) = &self.group {
            remove_groups(group);
        }
        // With its last process the mounts are gone, and what was below them.
        let _ = fs::remove_dir(self.base.path());
    }
}

/// Removes a control group with all below it, as soon as what was in them has ended.
fn remove_groups(group: &Path) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            remove_groups(&entry.path());
        }
    }
    for _ in 0..50 {
        if fs::remove_dir(group).is_ok() {
            break;
        }
        sleep(Duration::from_millis(20));
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

//! What may befall a server that lives on: a disk that is full, a network that does not carry, too little time. Each
//! trouble ends with its value.

use std::{
    fs::{self, File},
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::packages::{command, need};

/// A slowed process runs so long, and then stands so long.
const RUNS: Duration = Duration::from_millis(50);
const STANDS: Duration = Duration::from_millis(450);

/// A file system of its own, in memory, for the data of one server.
pub(crate) struct Disk(PathBuf);

impl Disk {
    /// Mounts it; root may.
    pub(crate) fn mount(directory: &Path, mebibytes: usize) -> Result<Disk> {
        fs::create_dir_all(directory)?;
        let size = format!("size={mebibytes}m,mode=0700");
        let place = directory.display().to_string();
        succeed(command("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs", &place]))?;
        Ok(Disk(directory.into()))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // The server may not have let go of it.
        let _ = succeed(command("umount").arg("-l").arg(&self.0));
    }
}

/// No byte goes onto a server's disk any more, until this is dropped.
pub struct FullDisk(PathBuf);

impl FullDisk {
    pub(crate) fn fill(directory: &Path) -> Result<FullDisk> {
        let path = directory.join("ballast");
        let mut ballast = File::create(&path)?;
        let full = FullDisk(path);
        let page = [0; 4096];
        loop {
            match ballast.write_all(&page) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => return Ok(full),
                Err(error) => bail!("{}: {error}", full.0.display()),
            }
        }
    }
}

impl Drop for FullDisk {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Nothing goes to or comes from a port, as if its host had no power, until this is dropped.
pub struct CutOff(String);

impl CutOff {
    pub(crate) fn port(port: u16) -> Result<CutOff> {
        need(&[("nft", "nftables")])?;
        let table = format!("flume_cluster_{port}");
        let rules = format!(
            "add table inet {table} {{ chain input {{ type filter hook input priority 0; \
             tcp dport {port} drop; tcp sport {port} drop; }}; }}"
        );
        succeed(command("nft").arg(rules))?;
        Ok(CutOff(table))
    }
}

impl Drop for CutOff {
    fn drop(&mut self) {
        let _ = succeed(command("nft").args(["delete", "table", "inet", &self.0]));
    }
}

/// A process that has a tenth of its time, in pieces, until this is dropped.
pub struct SlowDown {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl SlowDown {
    pub(crate) fn start(pid: Pid) -> SlowDown {
        let over = Arc::new(AtomicBool::new(false));
        let seen = over.clone();
        let thread = thread::spawn(move || {
            while !seen.load(Relaxed) && kill_process(pid, Signal::STOP).is_ok() {
                thread::sleep(STANDS);
                let _ = kill_process(pid, Signal::CONT);
                thread::sleep(RUNS);
            }
        });
        SlowDown {
            over,
            thread: Some(thread),
        }
    }
}

impl Drop for SlowDown {
    fn drop(&mut self) {
        self.over.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn succeed(command: &mut Command) -> Result<()> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("failed to start {command:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {said}");
    Ok(())
}

//! Programs that tests need from Debian's packages.

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};

/// Where Debian puts programs; a test's PATH may lack the second half.
const PATH: &[&str] = &[
    "/usr/local/bin",
    "/usr/bin",
    "/bin",
    "/usr/local/sbin",
    "/usr/sbin",
    "/sbin",
];

/// Makes sure of programs, each given with the Debian package that has it. As root what is missing is installed.
///
/// # Errors
/// What to install, for another user than root; what apt-get said when it fails.
pub fn need(programs: &[(&str, &str)]) -> Result<()> {
    let _alone = installing()?;
    let missing: Vec<_> = programs
        .iter()
        .filter(|(program, _)| find(program).is_none())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<_> = missing.iter().map(|(_, package)| *package).collect();
    if !rustix::process::geteuid().is_root() {
        bail!("please run: sudo apt-get install -y {}", packages.join(" "));
    }
    apt_get(&["update", "-qq"])?;
    apt_get(
        &[
            &["install", "-y", "-qq", "--no-install-recommends"],
            &packages[..],
        ]
        .concat(),
    )?;
    for (program, package) in missing {
        ensure!(
            find(program).is_some(),
            "package {package} did not bring {program}"
        );
    }
    Ok(())
}

/// Held by whoever installs something. Neither apt-get nor Maven's local repository is made for two at a time, so the
/// threads and processes of this checkout take turns.
///
/// # Errors
/// The target directory cannot be written.
pub fn installing() -> Result<File> {
    let target = target();
    fs::create_dir_all(&target)?;
    let lock = File::create(target.join("install.lock"))?;
    lock.lock()?;
    Ok(lock)
}

/// Where things are built.
pub(crate) fn target() -> PathBuf {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
    env::var_os("CARGO_TARGET_DIR").map_or(default, PathBuf::from)
}

/// The full path of a program.
fn find(program: &str) -> Option<std::path::PathBuf> {
    PATH.iter()
        .map(|directory| Path::new(directory).join(program))
        .find(|path| path.exists())
}

/// A command for one of Debian's programs, wherever PATH points.
pub(crate) fn command(program: &str) -> Command {
    Command::new(find(program).unwrap_or_else(|| program.into()))
}

fn apt_get(arguments: &[&str]) -> Result<()> {
    let output = command("apt-get")
        .args(["-o", "DPkg::Lock::Timeout=300"])
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .output()
        .context("failed to start apt-get")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "apt-get {}: {said}",
        arguments.join(" ")
    );
    Ok(())
}

//! Programs that tests need from Debian's packages.

use std::{
    path::Path,
    process::{Command, Stdio},
    sync::Mutex,
};

use anyhow::{Context, Result, bail, ensure};

/// One installation at a time in this process; apt's own lock stands between processes.
static INSTALLING: Mutex<()> = Mutex::new(());

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
    let _alone = INSTALLING.lock();
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

//! The program as a .deb, made within seconds: the files and scripts of the real one, with the program that is beside this
//! one.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

use super::host::said;
use crate::agents::{program, root, target};

/// A package below target; it is removed when dropped.
pub(super) struct Deb {
    dir: tempfile::TempDir,
}

impl Deb {
    /// Builds it.
    pub(super) fn build() -> Result<Deb> {
        flume_cluster::need(&[("dpkg-deb", "dpkg")])?;
        let dir = tempfile::tempdir_in(target().canonicalize()?)?;
        let tree = dir.path().join("tree");
        fill(&tree)?;
        let deb = Deb { dir };
        run(Command::new("dpkg-deb")
            .args(["-Znone", "--build", "--root-owner-group"])
            .arg(&tree)
            .arg(deb.file()))?;
        Ok(deb)
    }

    /// Where it is.
    pub(super) fn file(&self) -> PathBuf {
        self.dir.path().join("flume-ng.deb")
    }
}

/// The files of the .deb, as its manifest lists them, with the program that is beside this one, built like it.
fn fill(tree: &Path) -> Result<()> {
    let manifest = fs::read_to_string(root().join("crates/cli/Cargo.toml"))?;
    let assets = manifest
        .split("[package.metadata.deb]")
        .nth(1)
        .and_then(|rest| rest.split("\n]").next())
        .context("crates/cli/Cargo.toml lists no assets")?;
    for line in assets.lines().filter(|line| line.starts_with("    [")) {
        let parts: Vec<_> = line.split('"').collect();
        let [_, source, _, place, _, mode, ..] = parts[..] else {
            continue;
        };
        let source = if source == "target/release/flume-ng" {
            program()
        } else {
            root().join("crates/cli").join(source)
        };
        install(&source, &tree.join(place), mode)?;
    }
    for script in ["postinst", "prerm", "postrm"] {
        let source = root().join("packaging/deb").join(script);
        install(&source, &tree.join("DEBIAN").join(script), "755")?;
    }
    let control = "Package: flume-ng\nVersion: 0.1.0\nArchitecture: amd64\nMaintainer: rig\nDescription: the program\n";
    fs::write(tree.join("DEBIAN/control"), control)?;
    let kept = "/etc/flume/conf/flume.conf\n/etc/flume/conf/flume-env.sh\n";
    Ok(fs::write(tree.join("DEBIAN/conffiles"), kept)?)
}

fn install(source: &Path, place: &Path, mode: &str) -> Result<()> {
    run(Command::new("install")
        .args(["-D", "-m", mode])
        .arg(source)
        .arg(place))
}

/// Runs a program that must succeed.
pub(super) fn run(command: &mut Command) -> Result<()> {
    let output = command.output()?;
    ensure!(output.status.success(), "{command:?}: {}", said(&output));
    Ok(())
}

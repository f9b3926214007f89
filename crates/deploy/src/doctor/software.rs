//! The program, its unit, its agents, and Hadoop's configuration.

use std::{fs, path::Path};

use flume_hadoop::conf::ClientSettings;

use super::{Finding, Patient};
use crate::{
    check,
    fault::Fault,
    manager,
    payload::PROGRAM,
    program::{Program, find},
    unit::UNIT_FILES,
};

const INSTALL: &str = "flume-ng provision install --package FILE, or --from-self";

/// The package, and whether the service runs the program that this is.
pub(super) fn program(patient: &Patient<'_>) -> Result<Vec<Finding>, Fault> {
    let installed = Path::new(PROGRAM);
    let version = env!("CARGO_PKG_VERSION");
    let package = manager::installed_version();
    let mut found = vec![match (&package, installed.exists()) {
        (Some(package), true) => Finding::ok("program", format!("package flume-ng {package}")),
        (None, true) => Finding::ok(
            "program",
            format!("{}, without a package", installed.display()),
        ),
        (_, false) => Finding::to_do(
            "program",
            format!("{} is not there", installed.display()),
            INSTALL,
        ),
    }];
    let same = || Some(fs::read(installed).ok()? == fs::read(&patient.site.program).ok()?);
    if installed.exists() && same() == Some(false) {
        let text = format!(
            "{} is another program than this one, {version}",
            installed.display()
        );
        found.push(Finding::to_do(
            "program",
            text,
            "run the installed one, or upgrade it",
        ));
    }
    Ok(found)
}

/// The unit's file.
pub(super) fn unit(_: &Patient<'_>) -> Result<Vec<Finding>, Fault> {
    Ok(vec![
        match UNIT_FILES.iter().find(|path| Path::new(path).exists()) {
            Some(path) => Finding::ok("unit", *path),
            None => Finding::to_do("unit", "there is no flume-agent@.service", INSTALL),
        },
    ])
}

/// The state of each instance.
pub(super) fn agents(_: &Patient<'_>) -> Result<Vec<Finding>, Fault> {
    if !Path::new("/run/systemd/system").is_dir() || find("systemctl").is_none() {
        return Ok(vec![Finding::ok(
            "agents",
            "systemd does not run here, so it runs none",
        )]);
    }
    let arguments = [
        "list-units",
        "--all",
        "--plain",
        "--no-legend",
        "flume-agent@*.service",
    ];
    let said = Program::new("systemctl", &arguments).succeed("is systemd well?")?;
    let found: Vec<_> = said.out.lines().filter_map(agent).collect();
    if found.is_empty() {
        let advice = "systemctl enable --now flume-agent@NAME";
        return Ok(vec![Finding::to_do(
            "agents",
            "systemd has no instance of flume-agent@",
            advice,
        )]);
    }
    Ok(found)
}

/// `flume-agent@a1.service loaded active running Flume agent a1`
fn agent(line: &str) -> Option<Finding> {
    let mut words = line.split_whitespace();
    let unit = words.next()?;
    let _ = words.next()?;
    let active = words.next()?;
    let sub = words.next()?;
    let text = format!("{active}, {sub}");
    Some(match active {
        "active" => Finding::ok(unit, text),
        _ => Finding::to_do(unit, text, format!("journalctl -u {unit}")),
    })
}

/// Hadoop's configuration: which files, what they are about, and whether they fit the settings.
pub(super) fn hadoop(patient: &Patient<'_>) -> Result<Vec<Finding>, Fault> {
    let node = &patient.site.node;
    let hadoop = check::hadoop(patient.site)?;
    if hadoop.files.is_empty() {
        let searched: Vec<_> = hadoop
            .searched
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        let text = format!(
            "no core-site.xml in {}: HDFS is not configured",
            searched.join(", ")
        );
        return Ok(vec![Finding::ok("hadoop", text)]);
    }
    let files: Vec<_> = hadoop
        .files
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    let default = hadoop
        .get("fs.defaultFS")
        .unwrap_or("no default file system");
    let mut found = vec![Finding::ok(
        "hadoop",
        format!("{default}, from {}", files.join(", ")),
    )];
    match ClientSettings::of(&hadoop) {
        Err(errors) => found.extend(
            errors
                .into_iter()
                .map(|error| Finding::to_do("hadoop", error.to_string(), "correct it there")),
        ),
        Ok(settings) if settings.kerberos && !node.wants_kerberos() => {
            let text = "it asks for Kerberos, the node configuration does not";
            found.push(Finding::to_do(
                "hadoop",
                text,
                "add krb5_client to it, and flume-ng provision",
            ));
        }
        Ok(_) => {}
    }
    Ok(found)
}

/// When `provision check` last succeeded.
pub(super) fn last_check(_: &Patient<'_>) -> Result<Vec<Finding>, Fault> {
    Ok(vec![match check::recorded()? {
        Some(text) => Finding::ok("last check", text),
        None => Finding::to_do("last check", "there was none", "flume-ng provision check"),
    }])
}

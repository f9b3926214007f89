//! The packages: built, installed, upgraded, removed and purged; the unit verified.

use std::{path::Path, process::Command};

use anyhow::{Context, Result, ensure};

use super::{
    Row,
    host::{Host, NAME},
};
use crate::agents::{root, target};

/// The command of the unit as systemd would give it to the kernel, as the service's user, stopped after a while.
const COMMAND_OF_UNIT: &str = r#"
cat >/etc/flume/conf/flume.conf <<'END'
a1.sources = r1
a1.channels = c1
a1.sinks = k1
a1.sources.r1.type = seq
a1.sources.r1.totalEvents = 10
a1.sources.r1.channels = c1
a1.channels.c1.type = memory
a1.sinks.k1.type = null
a1.sinks.k1.channel = c1
END
echo 'JAVA_OPTS="-Xmx20m -Dflume.root.logger=INFO,console"' >/etc/flume/conf/flume-env.sh
line=$(sed -n 's/^ExecStart=//p' /usr/lib/systemd/system/flume-agent@.service | sed 's/[$][$]/$/g; s/%i/a1/')
printf 'exec %s\n' "$line" >/root/command
FLUME_CONF_DIR=/etc/flume/conf timeout --signal TERM 3 setpriv --reuid flume --regid flume --init-groups sh 2>&1 </root/command |
    tee /root/said
grep -q 'Flume .* starts agent a1' /root/said && grep -q 'stopped, nothing remained in memory' /root/said
"#;

/// What `dpkg` finds when it looks for a running systemd: a directory, and a systemctl that notes what it is told.
const SYSTEMCTL: &str = r#"#!/bin/sh
echo "$*" >>/root/systemctl
if [ "$1" = list-units ]; then
    echo "flume-agent@a1.service loaded active running Flume agent a1"
    echo "flume-agent@a2.service loaded active running Flume agent a2"
fi
"#;

/// Builds both packages twice, and does with the .deb what an administrator does.
pub(super) fn show() -> Result<Vec<Row>> {
    flume_cluster::need(&[
        ("rpm", "rpm"),
        ("systemd-analyze", "systemd"),
        ("man", "man-db"),
    ])?;
    let out = tempfile::tempdir_in(target())?;
    for revision in ["1", "2"] {
        let script = root().join("scripts/packages.sh");
        let output = Command::new(script)
            .arg(target())
            .arg(revision)
            .arg(out.path())
            .current_dir(root())
            .output()?;
        ensure!(
            output.status.success(),
            "packages.sh: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let host = Host::start(NAME, &[])?;
    let mut rows = installed(&host, out.path())?;
    rows.extend(unit(&host)?);
    rows.extend(upgraded_and_removed(&host, out.path())?);
    rows.extend(rpm(out.path())?);
    rows.extend(rpm_installed_and_erased(out.path())?);
    rows.push(linted()?);
    Ok(rows)
}

/// The file of the program of a kind with this revision.
fn package(out: &Path, revision: &str, extension: &str) -> Result<String> {
    let version = env!("CARGO_PKG_VERSION");
    let mut names =
        std::fs::read_dir(out)?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let wanted = format!("{version}-{revision}");
    let name = names.find(|name| {
        name.starts_with("flume-ng") && name.contains(&wanted) && name.ends_with(extension)
    });
    Ok(out
        .canonicalize()?
        .join(name.context("a package is missing")?)
        .display()
        .to_string())
}

fn check(host: &Host, item: &str, line: &str, want: &'static str) -> Result<Row> {
    let output = host.shell(line)?;
    let text = super::said(&output);
    let value = if output.status.success() {
        "so"
    } else {
        "not so"
    };
    Ok(Row {
        transcript: format!("# {line}\n{text}"),
        ..Row::new(item, value, want, output.status.success())
    })
}

fn installed(host: &Host, out: &Path) -> Result<Vec<Row>> {
    host.says(&format!("dpkg -i {}", package(out, "1", "deb")?))?;
    let owners = "stat -c '%U:%G %a %n' /etc/flume/conf /etc/flume/conf/flume.conf /etc/flume/conf/flume-env.sh \
                  /var/lib/flume /var/log/flume /usr/bin/flume-ng | tr '\n' ' '";
    let wanted = "root:flume 750 /etc/flume/conf root:flume 640 /etc/flume/conf/flume.conf root:flume 640 \
                  /etc/flume/conf/flume-env.sh flume:flume 750 /var/lib/flume flume:flume 750 /var/log/flume root:root \
                  755 /usr/bin/flume-ng ";
    let seen = host.says(owners)?;
    let owned = seen == wanted;
    Ok(vec![
        Row {
            transcript: seen,
            ..Row::new(
                ".deb: owners and modes",
                if owned { "so" } else { "not so" },
                "as documented",
                owned,
            )
        },
        check(
            host,
            ".deb: user without a shell",
            "getent passwd flume | grep -q ':/var/lib/flume:/usr/sbin/nologin$'",
            "a system user",
        )?,
        check(
            host,
            ".deb: program, man page, completions",
            "flume-ng version && man -w flume-ng && bash -c '. /usr/share/bash-completion/completions/flume-ng; complete -p flume-ng'",
            "they work",
        )?,
        check(
            host,
            ".deb: configuration files",
            "test \"$(dpkg-query -W -f '${Conffiles}' flume-ng | grep -c /etc/flume/conf/)\" = 2",
            "2 conffiles",
        )?,
    ])
}

fn unit(host: &Host) -> Result<Vec<Row>> {
    let verified = check(
        host,
        "unit: systemd-analyze verify",
        "systemd-analyze verify --man=no flume-agent@a1.service",
        "no complaint",
    )?;
    let started = check(
        host,
        "unit: its command starts an agent",
        COMMAND_OF_UNIT,
        "starts, stops",
    )?;
    Ok(vec![verified, started])
}

fn upgraded_and_removed(host: &Host, out: &Path) -> Result<Vec<Row>> {
    host.write("/usr/local/bin/systemctl", SYSTEMCTL, "0755")?;
    host.says("mkdir -p /run/systemd/system; echo '# mine' >>/etc/flume/conf/flume.conf; echo data >/var/lib/flume/data")?;
    host.says(&format!("dpkg -i {}", package(out, "2", "deb")?))?;
    let mut rows = vec![
        check(
            host,
            "upgrade: an edited configuration stays",
            "grep -q '# mine' /etc/flume/conf/flume.conf",
            "it stays",
        )?,
        check(
            host,
            "upgrade: agents restart one after the other",
            "grep '^restart' /root/systemctl | tr '\n' ' ' | grep -x 'restart flume-agent@a1.service restart flume-agent@a2.service '",
            "in order",
        )?,
    ];
    host.says("dpkg -r flume-ng")?;
    rows.push(check(
        host,
        "removal: agents were stopped",
        "grep -q '^stop flume-agent@' /root/systemctl",
        "stopped",
    )?);
    rows.push(check(
        host,
        "removal: data and configuration stay",
        "test ! -e /usr/bin/flume-ng && grep -q '# mine' /etc/flume/conf/flume.conf && test -e /var/lib/flume/data",
        "they stay",
    )?);
    host.says("dpkg --purge flume-ng")?;
    rows.push(check(
        host,
        "purge: nothing is left",
        "test ! -e /etc/flume -a ! -e /var/lib/flume -a ! -e /var/log/flume && ! dpkg-query -W flume-ng",
        "nothing",
    )?);
    Ok(rows)
}

/// The .rpm in the hands of `rpm`, with a database of its own.
fn rpm_installed_and_erased(out: &Path) -> Result<Vec<Row>> {
    let host = Host::start(NAME, &[])?;
    host.write("/usr/local/bin/systemctl", SYSTEMCTL, "0755")?;
    host.says("mkdir -p /run/systemd/system; rm -rf /var/lib/rpm; rpm --initdb")?;
    let row = |item: &str, line: &str, want: &'static str| check(&host, item, line, want);
    let first = package(out, "1", "rpm")?;
    let second = package(out, "2", "rpm")?;
    let mut rows = vec![row(
        ".rpm: installed by rpm",
        &format!(
            "set -e; rpm -i --nodeps {first}; flume-ng version
test \"$(stat -c '%U:%G %a' /etc/flume/conf /var/lib/flume /etc/flume/conf/flume.conf | tr '\\n' ' ')\" = \
    'root:flume 750 flume:flume 750 root:flume 640 '"
        ),
        "as the .deb",
    )?];
    host.says("echo '# mine' >>/etc/flume/conf/flume.conf; mkdir -p /var/lib/flume/c1; echo event >/var/lib/flume/c1/segment-1")?;
    rows.push(row(
        ".rpm: upgrade keeps the configuration, restarts agents",
        &format!(
            "set -e; rpm -U --nodeps {second}; grep '# mine' /etc/flume/conf/flume.conf
grep '^restart' /root/systemctl | tr '\\n' ' ' | grep -x 'restart flume-agent@a1.service restart flume-agent@a2.service '"
        ),
        "in order",
    )?);
    rows.push(row(
        ".rpm: erased, events and the edited configuration stay",
        "set -e; rpm -e --nodeps flume-ng; test ! -e /usr/bin/flume-ng; grep event /var/lib/flume/c1/segment-1
grep '^stop flume-agent@' /root/systemctl; grep '# mine' /etc/flume/conf/flume.conf.rpmsave; id flume",
        "they stay",
    )?);
    Ok(rows)
}

/// Scripts, role, container file and Kubernetes example, each by its own linter.
fn linted() -> Result<Row> {
    let output = Command::new(root().join("scripts/lint-packaging.sh"))
        .arg(target())
        .current_dir(root())
        .output()?;
    let pass = output.status.success();
    let row = Row::new(
        "packaging/: linters",
        if pass { "silent" } else { "complain" },
        "silent",
        pass,
    );
    Ok(Row {
        transcript: super::said(&output),
        ..row
    })
}

/// What `rpm` reads in the other package.
fn rpm(out: &Path) -> Result<Vec<Row>> {
    let file = package(out, "1", "rpm")?;
    let query = |what: &[&str]| -> Result<String> {
        let output = Command::new("rpm")
            .args(["-qp", "--nosignature"])
            .args(what)
            .arg(&file)
            .output()?;
        ensure!(output.status.success(), "rpm: {}", super::said(&output));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let files = query(&[
        "--qf",
        "[%{FILEUSERNAME}:%{FILEGROUPNAME} %{FILEMODES:perms} %{FILENAMES}\n]",
    ])?;
    let wanted = [
        "root:flume -rw-r----- /etc/flume/conf/flume.conf",
        "root:flume -rw-r----- /etc/flume/conf/flume-env.sh",
        "root:root -rwxr-xr-x /usr/bin/flume-ng",
        "root:root -rw-r--r-- /usr/lib/systemd/system/flume-agent@.service",
        "root:root -rw-r--r-- /usr/share/man/man1/flume-ng.1",
    ];
    let there = wanted
        .iter()
        .all(|line| files.lines().any(|seen| seen == *line));
    let kept = query(&["-c"])?;
    let scripts = query(&["--scripts"])?;
    let removes = scripts.contains("rm -");
    let all = ["preinstall", "postinstall", "preuninstall", "postuninstall"];
    let scripted = all
        .iter()
        .all(|name| scripts.contains(&format!("{name} scriptlet")));
    Ok(vec![
        Row {
            transcript: files,
            ..Row::new(
                ".rpm: files, owners, modes",
                if there { "so" } else { "not so" },
                "as the .deb",
                there,
            )
        },
        Row::new(
            ".rpm: configuration files",
            kept.lines().count().to_string(),
            "2",
            kept.lines().count() == 2,
        ),
        Row::new(
            ".rpm: its removal leaves events and configuration",
            if removes { "removes" } else { "leaves" },
            "leaves",
            !removes,
        ),
        Row {
            transcript: scripts,
            ..Row::new(
                ".rpm: scriptlets",
                if scripted { "4" } else { "fewer" },
                "4",
                scripted,
            )
        },
    ])
}

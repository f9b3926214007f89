//! The packages on a host that a real systemd runs: it starts, reloads, restarts and confines agents.

use std::process::Command;

use anyhow::{Context, Result};

use super::{
    Row,
    deb::{Deb, run},
    host::{Host, NAME, said},
};
use crate::{
    agents::{install_java, java_dir, root, target},
    bridge,
};

/// Functions for the lines of [`ROWS`].
const FUNCTIONS: &str = r#"
settle() { for n in $(seq 600); do eval "$1" >/dev/null 2>&1 && return; sleep 0.1; done; echo "waited in vain for: $1"; }
lines() { cat /var/lib/flume/out/* 2>/dev/null | sort -u | wc -l; }
property() { systemctl show --value --property "$1" flume-agent@a1; }
as() { setpriv --reuid "$1" --regid "$1" --init-groups sh -c "$2"; }
port() { bash -c "exec 3<>/dev/tcp/127.0.0.1/$1"; }
send() { settle 'port 41999'; for n in $(seq "$1" "$2"); do echo "line $n"; done | timeout 60 bash -c 'exec 3<>/dev/tcp/127.0.0.1/41999; cat >&3; for n in $(seq '"$1 $2"'); do read -r answer <&3; echo $answer; done' | sort | uniq -c; }
log() { journalctl --unit flume-agent@a1 --output cat --no-pager; }
"#;

/// netcat → file channel → files, in the directory that the unit gives to agents.
const FLOW: &str = "\
a1.sources = r1
a1.channels = c1
a1.sinks = k1
a1.sources.r1.type = netcat
a1.sources.r1.bind = 127.0.0.1
a1.sources.r1.port = 41999
a1.sources.r1.channels = c1
a1.channels.c1.type = file
a1.channels.c1.minimumRequiredSpace = 0
a1.channels.c1.checkpointDir = /var/lib/flume/c1/checkpoint
a1.channels.c1.dataDirs = /var/lib/flume/c1/data
a1.sinks.k1.type = file_roll
a1.sinks.k1.channel = c1
a1.sinks.k1.sink.directory = /var/lib/flume/out
";

/// A sink of [`FLOW`] in Java.
const IN_JAVA: &str = "\
a1.sinks.k1.type = demo.LineSink
a1.sinks.k1.file = /var/lib/flume/out/java
";

/// Lines of shell, and what each must say.
const ROWS: &[(&str, &str, &[&str])] = &[
    (
        "systemd: an agent says when it is ready",
        "dpkg -i $FLUME_NG; as flume 'mkdir /var/lib/flume/out'; install -m 0640 -g flume /root/flow.conf /etc/flume/conf/flume.conf
systemctl start flume-agent@a1 && property ActiveState; property StatusText; send 1 10; settle 'test $(lines) = 10'; lines",
        &["active", "10 OK", "\n10\n"],
    ),
    (
        "systemd: exposure at most 1.5",
        "systemd-analyze security --threshold=15 --no-pager flume-agent@a1.service && echo within",
        &["Overall exposure level for flume-agent@a1.service", "within"],
    ),
    (
        "systemd: the agent may write into its directories alone, and has no rights",
        "grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/$(property MainPID)/status; grep 'Max core' /proc/$(property MainPID)/limits
nsenter --target $(property MainPID) --mount --user -- sh -c 'touch /etc/x /usr/x /var/lib/x; touch /var/lib/flume/x && echo own; rm /var/lib/flume/x'",
        &["CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2", "Max core file size        0 ", "'/etc/x': Read-only", "'/var/lib/x': Read-only", "own"],
    ),
    (
        "systemd: reload",
        "sed -i s/41999/41998/ /etc/flume/conf/flume.conf; systemctl reload flume-agent@a1; settle 'port 41998'
property ActiveState; property NRestarts; sed -i s/41998/41999/ /etc/flume/conf/flume.conf; systemctl reload flume-agent@a1; settle 'port 41999'; echo back",
        &["active\n0\n", "back"],
    ),
    (
        "systemd: an agent that is killed comes back, and nothing is lost",
        "before=$(property MainPID); send 11 20; systemctl kill --signal KILL --kill-whom main flume-agent@a1; settle 'test $(property MainPID) != '$before' -a $(property ActiveState) = active'; send 21 30
settle 'test $(lines) = 30'; lines; property NRestarts",
        &["\n30\n1\n"],
    ),
    (
        "systemd: a mistake in the configuration is not tried again and again",
        "systemctl start flume-agent@other; systemctl show --property NRestarts,ExecMainStatus,ActiveState flume-agent@other",
        &["NRestarts=0", "ExecMainStatus=2", "ActiveState=failed"],
    ),
    (
        "systemd: a JVM without the package flume-java",
        "cat /root/in-java.conf >>/etc/flume/conf/flume.conf; cp /root/flume-env.sh /etc/flume/conf/flume-env.sh
systemctl restart flume-agent@a1; property ActiveState; send 31 40; settle 'log | grep \"the JVM ended\"'; log | grep 'JVM' | tail -n 5",
        &["active", "10 OK", "flume-java"],
    ),
    (
        "systemd: a JVM with it",
        "dpkg -i $FLUME_JAVA; systemctl restart flume-agent@a1; settle 'test $(lines) = 40'; lines; send 41 50; settle 'test $(lines) = 50'; lines
systemd-analyze security --threshold=20 --no-pager flume-agent@a1.service && echo within",
        &["\n40\n", "10 OK", "\n50\n", "within"],
    ),
    (
        "systemd: another user gets what the earlier one had",
        "install -m 0640 -g flume /root/flow.conf /etc/flume/conf/flume.conf; sed -i 's/k1.type = .*/k1.type = nobody.Knows/' /etc/flume/conf/flume.conf
systemctl restart flume-agent@a1; send 51 60; install -m 0640 -g flume /root/flow.conf /etc/flume/conf/flume.conf
systemctl stop flume-agent@a1; echo '{hdp: {flume_user: \"svc\", flume_group: \"ops\"}}' >/root/node.json; flume-ng provision --config /root/node.json configure install 2>&1
find /var/lib/flume /var/log/flume ! -user svc | wc -l | sed 's/^/others: /'; systemctl start flume-agent@a1; ps -o user= -p $(property MainPID); settle 'test $(lines) = 60'; lines",
        &["10 OK", "with what the service's earlier user has in it", "others: 0", "svc", "\n60\n"],
    ),
    (
        "systemd: a configuration directory with blanks and percent signs",
        "echo '{hdp: {flume_user: \"svc\", flume_group: \"ops\", flume_conf_dir: \"/srv/flume conf/50%\"}}' >/root/node.json; flume-ng provision --config /root/node.json configure install check 2>&1
install -m 0640 -g ops /root/flow.conf '/srv/flume conf/50%/flume.conf'; systemctl restart flume-agent@a1; property ActiveState; send 61 70; settle 'test $(lines) = 70'; lines
tr '\\0' ' ' </proc/$(property MainPID)/cmdline",
        &["OK    check: ", "active", "\n70\n", "--conf /srv/flume conf/50% "],
    ),
    (
        "systemd: an upgrade restarts agents",
        "before=$(property MainPID); dpkg -i $FLUME_NG; property ActiveState; test $(property MainPID) != $before && echo another; ps -o user= -p $(property MainPID); send 71 80; settle 'test $(lines) = 80'; lines",
        &["active", "another", "svc", "\n80\n"],
    ),
    (
        "systemd: removal stops agents, and keeps what they had",
        "dpkg -r flume-java flume-ng; property ActiveState; lines; ls -d /var/lib/flume/c1/data",
        &["inactive", "\n80\n", "/var/lib/flume/c1/data"],
    ),
];

/// On one host, one after the other.
pub(super) fn show() -> Result<Vec<Row>> {
    flume_cluster::need(&[
        ("systemd-analyze", "systemd"),
        ("javac", "default-jdk-headless"),
    ])?;
    install_java()?;
    let deb = Deb::build()?;
    let out = tempfile::tempdir_in(target().canonicalize()?)?;
    let classes = bridge::compile(out.path())?;
    run(Command::new(root().join("scripts/java-package.sh"))
        .arg("1")
        .arg(out.path()))?;
    let mut made = std::fs::read_dir(out.path())?.filter_map(|entry| Some(entry.ok()?.path()));
    let java = made.find(|path| path.extension().is_some_and(|end| end == "deb"));
    let java = java.context("java-package.sh made no .deb")?;
    let host = Host::boot(NAME, &[])?;
    // The unit hides home directories, and this project may lie in one.
    let copied = format!(
        "mkdir -p /opt/java-flume /opt/classes; mount --bind {} /opt/java-flume; cp -r {}/. /opt/classes",
        java_dir().canonicalize()?.display(),
        classes.display()
    );
    host.says(&copied)?;
    host.write("/root/flow.conf", FLOW, "0600")?;
    host.write("/root/in-java.conf", IN_JAVA, "0600")?;
    let environment = "export FLUME_HOME=/opt/java-flume\nFLUME_CLASSPATH=/opt/classes\n";
    host.write("/root/flume-env.sh", environment, "0644")?;
    let packages = format!(
        "FLUME_NG={} FLUME_JAVA={}\n",
        deb.file().display(),
        java.display()
    );
    let row = |(name, line, says): &(&str, &str, &[&str])| -> Result<Row> {
        let output = host.shell(&format!("{packages}{FUNCTIONS}{line}"))?;
        Ok(Row::said(name, line, &said(&output), says))
    };
    ROWS.iter().map(row).collect()
}

//! What the packages' scripts say and do, and what their units let an agent do.

use std::process::Command;

use anyhow::{Context, Result};

use super::{
    Row,
    deb::{Deb, run},
    host::{Host, NAME, said},
};
use crate::agents::{root, target};

/// A Java that is easily told from any other.
const JAVA: &str = "#!/bin/sh\necho 'openjdk version \"17.0.99\"' >&2\n";
/// Lines of shell, with `$FLUME_NG` and `$FLUME_JAVA` for the packages, and what each must say.
const ROWS: &[(&str, &str, &[&str])] = &[
    (
        "unit: exposure at most 1.5",
        "dpkg -i $FLUME_NG; systemd-analyze security --offline=yes --threshold=15 --no-pager flume-agent@a1.service &&
echo within",
        &["Overall exposure level for flume-agent@a1.service", "within"],
    ),
    (
        "flume-java says which Java it found",
        "dpkg -i $FLUME_JAVA",
        &["flume-java: Java components run in /usr/local/bin/java, openjdk version \"17.0.99\""],
    ),
    (
        "flume-java: the unit, with what a JVM needs",
        "systemd-analyze verify --man=no flume-agent@a1.service && echo verified
systemd-analyze cat-config systemd/system/flume-agent@.service | grep '^MemoryDenyWriteExecute' | tail -n 1
systemd-analyze security --offline=yes --threshold=20 --no-pager flume-agent@a1.service && echo within",
        &["verified", "MemoryDenyWriteExecute=no", "within"],
    ),
    (
        "flume-java is removed",
        "dpkg -r flume-java; systemd-analyze cat-config systemd/system/flume-agent@.service |
grep '^MemoryDenyWriteExecute' | tail -n 1",
        &["MemoryDenyWriteExecute=yes"],
    ),
    (
        "flume-java finds no Java",
        "rm /usr/local/bin/java; mkdir /tmp/bin; ln -s /usr/bin/* /bin/* /usr/sbin/* /tmp/bin/ 2>/dev/null; rm -f /tmp/bin/java
PATH=/tmp/bin dpkg -i $FLUME_JAVA; dpkg -r flume-java",
        &["flume-java: no Java was found: install a Java runtime"],
    ),
    (
        "purge keeps events that were not delivered",
        "mkdir -p /var/lib/flume/a1/c1; echo event >/var/lib/flume/a1/c1/segment-0000000001
dpkg --purge flume-ng; cat /var/lib/flume/a1/c1/segment-*; test ! -e /etc/flume && echo no configuration",
        &[
            "flume-ng: /var/lib/flume stays: channels in it may hold events that were not delivered",
            "FLUME_PURGE_EVENTS=yes",
            "event",
            "no configuration",
        ],
    ),
    (
        "purge removes events when asked",
        "dpkg -i $FLUME_NG; FLUME_PURGE_EVENTS=yes dpkg --purge flume-ng
for path in /etc/flume /var/lib/flume /var/log/flume; do test -e $path && echo left $path; done; echo looked",
        &["looked"],
    ),
    (
        "nothing is left then",
        "ls -d /etc/flume /var/lib/flume /var/log/flume /etc/systemd/system/flume-agent@* 2>/dev/null | wc -l | sed 's/^/left: /'",
        &["left: 0"],
    ),
];

/// On a host with both packages.
pub(super) fn show() -> Result<Vec<Row>> {
    flume_cluster::need(&[("systemd-analyze", "systemd")])?;
    let deb = Deb::build()?;
    let out = tempfile::tempdir_in(target().canonicalize()?)?;
    run(Command::new(root().join("scripts/java-package.sh"))
        .arg("1")
        .arg(out.path()))?;
    let mut made = std::fs::read_dir(out.path())?.filter_map(|entry| Some(entry.ok()?.path()));
    let java = made.find(|path| path.extension().is_some_and(|end| end == "deb"));
    let java = java.context("java-package.sh made no .deb")?;
    let host = Host::start(NAME, &[])?;
    host.write("/usr/local/bin/java", JAVA, "0755")?;
    let packages = format!(
        "FLUME_NG={} FLUME_JAVA={}\n",
        deb.file().display(),
        java.display()
    );
    let row = |(name, line, says): &(&str, &str, &[&str])| -> Result<Row> {
        let output = host.shell(&format!("{packages}{line}"))?;
        Ok(Row::said(name, line, &said(&output), says))
    };
    ROWS.iter().map(row).collect()
}

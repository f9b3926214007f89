//! `provision` on a bare host beside a Kerberized HDFS: all of it twice, then what a cluster can have against it.

use anyhow::Result;
use flume_cluster::{Cluster, Layout, Protection};

use super::{
    Bench, Row,
    host::{Host, NAME},
};

const AGAIN: &str = "$PROVISION --proxy-user alice --proxy-user bob check";

/// From nothing to a checked service, and the troubles of a cluster.
pub(super) fn show() -> Result<Vec<Row>> {
    let mut cluster = Cluster::start(Layout::kerberos(1, Protection::Privacy, false))?;
    cluster.kdc()?.start_kadmind()?;
    let conf = cluster.client_conf();
    let shared = cluster.dir().to_path_buf();
    let mut rows = vec![];
    {
        let bench = Bench {
            host: Host::start(NAME, &[&shared])?,
            krb5_conf: cluster.kdc()?.krb5_conf(),
            hadoop: Some(conf),
        };
        rows.extend(bench.twice("--proxy-user alice --proxy-user bob")?);
        rows.push(nothing_left(&cluster)?);
        rows.push(bench.say(
            "a proxy user that is not allowed",
            "$PROVISION --proxy-user alice --proxy-user carol check",
            &["FAIL  check: ", "carol", "hadoop.proxyuser"],
        )?);
        rows.push(bench.say(
            "a key that the KDC has changed",
            &format!("$KADMIN ktadd -k /root/newer $PRINCIPAL; $PROVISION check; {AGAIN} kerberos"),
            &["FAIL  check: ", "OK    kerberos: make", "PASS  check: "],
        )?);
        cluster.admin(&["fs", "-chmod", "755", "/tmp"])?;
        rows.push(bench.say(
            "a directory that nobody may write to",
            AGAIN,
            &["FAIL  check: "],
        )?);
        cluster.admin(&["fs", "-chmod", "1777", "/tmp"])?;
        rows.push(nothing_left(&cluster)?);
        cluster.server("nn1")?.kill();
        rows.push(bench.say(
            "NameNode down",
            AGAIN,
            &[
                "FAIL  check: nobody listens at localhost:",
                "is the NameNode up",
            ],
        )?);
        cluster.server("nn1")?.up()?;
        // The first question still goes over the connection that the old one had.
        cluster
            .leave_safe_mode()
            .or_else(|_| cluster.leave_safe_mode())?;
        rows.push(bench.say("NameNode up again", AGAIN, &["PASS  check: "])?);
    }
    rows.push(nothing_left(&cluster)?);
    Ok(rows)
}

/// What a check wrote is gone.
fn nothing_left(cluster: &Cluster) -> Result<Row> {
    let listing = cluster.admin(&["fs", "-ls", "/tmp"])?;
    let left = listing
        .lines()
        .filter(|line| line.contains("flume-check"))
        .count();
    let row = Row::new("left behind in HDFS", left.to_string(), "0", left == 0);
    Ok(Row {
        transcript: listing,
        ..row
    })
}

//! `flume-rig cluster MODE`: servers for people to try things against, until standard input ends.

use std::io::Read;

use anyhow::{Result, bail};
use flume_cluster::{ADMIN, ADMIN_PASSWORD, Cluster, Kdc, Layout, Protection, USERS};

/// Starts what was asked for, prints its environment and waits.
pub fn run(words: &[&str]) -> Result<bool> {
    let kerberos = |protection, encrypt| hdfs(Layout::kerberos(3, protection, encrypt));
    match words {
        ["simple"] => hdfs(Layout::simple(3)),
        ["ha"] => hdfs(Layout::simple(3).with_ha()),
        ["authentication"] => kerberos(Protection::Authentication, false),
        ["integrity"] => kerberos(Protection::Integrity, false),
        ["privacy"] => kerberos(Protection::Privacy, true),
        ["kdc"] => {
            let dir = tempfile::tempdir()?;
            let kdc = Kdc::start_with_kadmind(dir.path())?;
            for (name, value) in kdc.environment() {
                println!("export {name}={value}");
            }
            println!("# kadmin -p {ADMIN} -w {ADMIN_PASSWORD}");
            wait()
        }
        _ => bail!(
            "usage: flume-rig cluster simple | ha | authentication | integrity | privacy | kdc"
        ),
    }
}

fn hdfs(layout: Layout) -> Result<bool> {
    let cluster = Cluster::start(layout)?;
    for (name, value) in cluster.environment() {
        println!("export {name}={value}");
    }
    println!("# {}", cluster.url()?);
    for user in USERS {
        if let Ok((principal, keytab)) = cluster.login(user) {
            println!("# {principal} {}", keytab.display());
        }
    }
    wait()
}

fn wait() -> Result<bool> {
    std::io::stdin().read_to_end(&mut vec![])?;
    Ok(true)
}

//! `flume-rig cluster MODE`: servers for people to try things against, until standard input ends.

use std::io::Read;

use anyhow::{Result, bail};
use flume_cluster::{ADMIN, ADMIN_PASSWORD, Kdc};

/// Starts what was asked for, prints its environment and waits.
pub fn run(words: &[&str]) -> Result<bool> {
    let dir = tempfile::tempdir()?;
    match words {
        ["kdc"] => {
            let kdc = Kdc::start_with_kadmind(dir.path())?;
            for (name, value) in kdc.environment() {
                println!("export {name}={value}");
            }
            println!("# kadmin -p {ADMIN} -w {ADMIN_PASSWORD}");
            wait()
        }
        _ => bail!("usage: flume-rig cluster kdc"),
    }
}

fn wait() -> Result<bool> {
    std::io::stdin().read_to_end(&mut vec![])?;
    Ok(true)
}

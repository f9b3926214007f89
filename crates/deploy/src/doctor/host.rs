//! The host: directories, space, limits, names.

use std::{
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
};

use flume_host::names::{own_name, qualified_name};

use super::{Finding, Patient};
use crate::{
    Site,
    fault::Fault,
    files::{Rights, open_directory},
    install,
    places::{self, Purpose},
    step::Found,
};

const INSTALL: &str = "flume-ng provision install";

/// Less free space than this, or than this share, is worth a word.
const FREE_BYTES_MIN: u64 = 2 << 30;
const FREE_PERCENT_MIN: u64 = 5;
/// Every connection and every open file of a sink takes one.
const OPEN_FILES_MIN: u64 = 4096;

/// Owners and modes, as `install` makes them.
pub(super) fn directories(patient: &Patient<'_>) -> Result<Vec<Finding>, Fault> {
    let wanted = places::directories_wanted(patient.site);
    let look = |(path, purpose, rights): &(PathBuf, Purpose, Rights)| {
        let topic = format!("directory {}", path.display());
        directory(patient.site, path, *purpose, rights)
            .unwrap_or_else(|fault| Finding::of(&topic, fault))
    };
    Ok(wanted.iter().map(look).collect())
}

fn directory(
    site: &Site,
    path: &Path,
    purpose: Purpose,
    rights: &Rights,
) -> Result<Finding, Fault> {
    let topic = format!("directory {}", path.display());
    let Some(directory) = open_directory(path)? else {
        return Ok(Finding::to_do(topic, "it is not there", INSTALL));
    };
    let found = directory.ownership();
    let faults = rights.faults(found)?;
    Ok(match places::check(site, path, purpose, rights)? {
        Found::Otherwise(change) if faults.is_empty() => {
            Finding::to_do(topic, format!("would {change}"), INSTALL)
        }
        Found::Otherwise(_) => Finding::to_do(topic, faults.join(", "), INSTALL),
        Found::AsWanted(_) if faults.is_empty() => {
            let text = format!("{}:{}, mode {:04o}", rights.user, rights.group, rights.mode);
            Finding::ok(topic, text)
        }
        Found::AsWanted(_) => {
            let text = format!(
                "user {}, group {}, mode {:04o}",
                found.user, found.group, found.mode
            );
            Finding::ok(topic, text + ": the service can work with it")
        }
    })
}

/// Free space where durable channels keep events, and where agents keep what they need.
pub(super) fn space(patient: &Patient<'_>) -> Result<Vec<Finding>, Fault> {
    let state = Path::new(install::STATE_DIR).to_path_buf();
    let mut all: Vec<PathBuf> = patient
        .channel_directories
        .iter()
        .cloned()
        .chain([state])
        .collect();
    all.sort();
    all.dedup();
    Ok(all.iter().map(|path| free_space(path)).collect())
}

fn free_space(path: &Path) -> Finding {
    let topic = format!("space of {}", path.display());
    // A directory that is not there yet will be made where its parent is.
    let there = path
        .ancestors()
        .find(|path| path.exists())
        .unwrap_or(Path::new("/"));
    let found = match rustix::fs::statvfs(there) {
        Ok(found) => found,
        Err(error) => return Finding::of(&topic, Fault::io("look at", there)(error.into())),
    };
    let free = found.f_bavail * found.f_frsize;
    let all = (found.f_blocks * found.f_frsize).max(1);
    let percent = free.saturating_mul(100) / all;
    let text = format!(
        "{:.1} GiB free, {percent} %",
        free as f64 / (1u64 << 30) as f64
    );
    if free < FREE_BYTES_MIN || percent < FREE_PERCENT_MIN {
        Finding::to_do(
            topic,
            text,
            "make room, or move the channel to a larger file system",
        )
    } else {
        Finding::ok(topic, text)
    }
}

/// The limit of each running agent, else the one it would have.
pub(super) fn open_files(_: &Patient<'_>) -> Result<Vec<Finding>, Fault> {
    let agents = running_agents();
    if agents.is_empty() {
        return Ok(vec![Finding::ok(
            "open files",
            "no agent runs; the unit lets one open 65536",
        )]);
    }
    let look = |(pid, name): &(u32, String)| {
        let topic = format!("open files of {name}");
        let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap_or_default();
        let line = limits
            .lines()
            .find_map(|line| line.strip_prefix("Max open files"));
        let soft = line
            .and_then(|line| line.split_whitespace().next())
            .unwrap_or("unknown")
            .to_string();
        match soft.parse::<u64>() {
            Ok(limit) if limit < OPEN_FILES_MIN => {
                let advice = "set LimitNOFILE=65536 by: systemctl edit flume-agent@";
                Finding::to_do(topic, format!("process {pid} may open {limit}"), advice)
            }
            _ => Finding::ok(topic, format!("process {pid} may open {soft}")),
        }
    };
    Ok(agents.iter().map(look).collect())
}

/// Agents that run on this host: process and name.
fn running_agents() -> Vec<(u32, String)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let agent = |entry: fs::DirEntry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        let words: Vec<_> = line
            .split(|byte| *byte == 0)
            .map(String::from_utf8_lossy)
            .collect();
        let ours =
            Path::new(&**words.first()?).file_name()? == "flume-ng" && words.get(1)? == "agent";
        let named = |word: &std::borrow::Cow<'_, str>| ["--name", "-n", "-name"].contains(&&**word);
        let name = words
            .iter()
            .position(named)
            .and_then(|at| words.get(at + 1));
        ours.then(|| (pid, name.map(|name| name.to_string()).unwrap_or_default()))
    };
    entries.filter_map(agent).collect()
}

/// The host's name, its addresses, and their names.
pub(super) fn names(patient: &Patient<'_>) -> Result<Vec<Finding>, Fault> {
    let host = patient.site.node.host();
    let mut found = vec![];
    match qualified_name().unwrap_or_else(own_name) {
        name if name.eq_ignore_ascii_case(host) => found.push(Finding::ok("name", host)),
        name => {
            let text = format!("the host calls itself {name}, the settings {host}");
            let advice = "set `host` in the node configuration, or correct /etc/hosts; `_HOST` means the host's own";
            found.push(Finding::to_do("name", text, advice));
        }
    }
    let addresses: Vec<IpAddr> = dns_lookup::lookup_host(host)
        .map(Iterator::collect)
        .unwrap_or_default();
    if addresses.is_empty() {
        let text = format!("{host} has no address");
        found.push(Finding::to_do(
            "name, forward",
            text,
            "enter it into DNS or /etc/hosts",
        ));
    }
    for address in addresses {
        let name = dns_lookup::lookup_addr(&address).unwrap_or_default();
        found.push(if name.eq_ignore_ascii_case(host) {
            Finding::ok("name, reverse", format!("{host} is {address} is {name}"))
        } else {
            Finding::to_do(
                "name, reverse",
                format!("{host} is {address}, which is called `{name}`"),
                "correct the reverse entry, or set rdns = false in krb5.conf",
            )
        });
    }
    Ok(found)
}

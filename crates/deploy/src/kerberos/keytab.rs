//! A keytab, and the proof that it works: its key is the KDC's, and logs in.

use std::{io, path::Path};

use super::faults;
use crate::{fault::Fault, program::Program};

/// What is the matter with a keytab.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It logs in, with this version of the key, which is the KDC's.
    Works(u32),
    /// There is no file.
    Absent,
    /// The file is no keytab, or a part of one.
    Unreadable(String),
    /// It is for others.
    Others(Vec<String>),
    /// Its key is not the one that the KDC has.
    Old(u32),
    /// The KDC does not know the principal.
    Unknown,
}

impl State {
    /// Why a keytab of `principal` must be made anew; `None` if it works.
    pub(crate) fn reason(&self, principal: &str) -> Option<String> {
        match self {
            State::Works(_) => None,
            State::Absent => Some("it is not there".into()),
            State::Unreadable(why) => Some(format!("it is not a whole keytab: {why}")),
            State::Others(names) => Some(format!("it is for {}", names.join(", "))),
            State::Old(kvno) => Some(format!("its key version {kvno} is not the KDC's")),
            State::Unknown => Some(format!("the KDC does not know {principal}")),
        }
    }
}

/// Looks at a keytab and tries it.
///
/// # Errors
/// What keeps it from being tried: no tools, no KDC, a locked principal.
pub(crate) fn state(keytab: &Path, principal: &str, at: &str) -> Result<State, Fault> {
    match std::fs::read(keytab) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(State::Absent),
        Err(error) => return Err(Fault::io("read", keytab)(error)),
        Ok(bytes) if bytes.is_empty() => return Ok(State::Unreadable("it is empty".into())),
        Ok(_) => {}
    }
    let file = keytab.as_os_str();
    let listed = Program::new("klist", &["-k".as_ref(), file]).run()?;
    let entries = entries(&listed.out);
    let ours = entries.iter().filter(|(_, name)| name == principal).map(|(kvno, _)| *kvno).max();
    let Some(kvno) = ours else {
        let mut names: Vec<_> = entries.into_iter().map(|(_, name)| name).collect();
        names.dedup();
        return Ok(match names.is_empty() {
            true if listed.ok() => State::Unreadable("it ends within its first entry".into()),
            true => State::Unreadable(listed.last_line()),
            false => State::Others(names),
        });
    };
    try_login(keytab, principal, kvno, at)
}

/// Version and principal of each entry, from `klist -k`.
fn entries(listing: &str) -> Vec<(u32, String)> {
    let entry = |line: &str| {
        let (kvno, name) = line.trim().split_once(' ')?;
        Some((kvno.parse().ok()?, name.split_whitespace().next()?.to_string()))
    };
    listing.lines().filter_map(entry).collect()
}

fn try_login(keytab: &Path, principal: &str, kvno: u32, at: &str) -> Result<State, Fault> {
    // A cache of its own: whoever runs this keeps what they have.
    let dir = tempfile::tempdir().map_err(Fault::io("make", &std::env::temp_dir()))?;
    let cache = format!("FILE:{}", dir.path().join("cache").display());
    let login = ["-k".as_ref(), "-t".as_ref(), keytab.as_os_str(), "-c".as_ref(), cache.as_ref()];
    let login = [&login[..], &[principal.as_ref()]].concat();
    let said = Program::new("kinit", &login).run()?;
    if !said.ok() {
        let says = |word: &str| said.err.contains(word);
        if says("not found in Kerberos database") {
            return Ok(State::Unknown);
        }
        if ["Password incorrect", "Preauthentication failed", "no suitable keys", "Decrypt integrity"]
            .into_iter()
            .any(says)
        {
            return Ok(State::Old(kvno));
        }
        return Err(faults::fault(&said, "kinit", principal, at));
    }
    // The KDC encrypts a ticket for the principal itself with the key that it has now.
    let said = Program::new("kvno", &["-c", &cache, principal]).run()?;
    let theirs = said.out.rsplit_once("kvno = ").and_then(|(_, text)| text.trim().parse::<u32>().ok());
    match theirs {
        Some(theirs) if theirs == kvno => Ok(State::Works(kvno)),
        Some(_) => Ok(State::Old(kvno)),
        None => Err(faults::fault(&said, "kvno", principal, at)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_listing_of_klist_is_read() {
        let listing = "Keytab name: FILE:f.keytab\nKVNO Principal\n---- ------\n   2 flume/n1.flume.test@FLUME.TEST\n   \
                       3 other@FLUME.TEST (aes256-cts-hmac-sha1-96) \n";
        let expected =
            [(2, "flume/n1.flume.test@FLUME.TEST".to_string()), (3, "other@FLUME.TEST".to_string())];
        assert_eq!(entries(listing), expected);
        assert_eq!(entries(""), []);
    }
}

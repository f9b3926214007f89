//! A keytab, and the proof that it works: its key is the KDC's, and logs in.

use std::{io, path::Path};

use flume_kerberos::Keytab;

use super::faults;
use crate::{fault::Fault, program::Program};

/// What is the matter with a keytab.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It logs in, and its key is the KDC's.
    Works(Works),
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

/// A keytab that logs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Works {
    /// Version of its key.
    pub(crate) kvno: u32,
    /// Types of its keys.
    pub(crate) encryptions: Vec<String>,
    /// Type of the key that the KDC encrypts with.
    pub(crate) encryption: String,
    /// When a ticket got now ends, as klist says it.
    pub(crate) expires: String,
}

impl State {
    /// Why a keytab of `principal` must be made anew; `None` if it works.
    pub(crate) fn reason(&self, principal: &str) -> Option<String> {
        match self {
            State::Works(_) => None,
            State::Absent => Some("it is not there".into()),
            State::Unreadable(why) => Some(format!("it {why}")),
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
    let bytes = match std::fs::read(keytab) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(State::Absent),
        Err(error) => return Err(Fault::io("read", keytab)(error)),
    };
    let parsed = match Keytab::parse(&bytes) {
        Ok(parsed) => parsed,
        Err(error) => return Ok(State::Unreadable(error.to_string())),
    };
    let newest = parsed.newest(principal);
    let Some(kvno) = newest.first().map(|entry| entry.kvno) else {
        let names: Vec<_> = parsed.principals().into_iter().map(String::from).collect();
        let nobody = || State::Unreadable("has no keys at all".into());
        return Ok(if names.is_empty() {
            nobody()
        } else {
            State::Others(names)
        });
    };
    let encryptions = newest
        .iter()
        .map(|entry| entry.encryption.to_string())
        .collect();
    try_login(keytab, principal, kvno, encryptions, at)
}

fn try_login(
    keytab: &Path,
    principal: &str,
    kvno: u32,
    encryptions: Vec<String>,
    at: &str,
) -> Result<State, Fault> {
    // A cache of its own: whoever runs this keeps what they have.
    let dir = tempfile::tempdir().map_err(Fault::io("make", &std::env::temp_dir()))?;
    let cache = format!("FILE:{}", dir.path().join("cache").display());
    let login = [
        "-k".as_ref(),
        "-t".as_ref(),
        keytab.as_os_str(),
        "-c".as_ref(),
        cache.as_ref(),
    ];
    let login = [&login[..], &[principal.as_ref()]].concat();
    let said = Program::new("kinit", &login).run()?;
    if !said.ok() {
        let says = |word: &str| said.err.contains(word);
        if says("not found in Kerberos database") {
            return Ok(State::Unknown);
        }
        if [
            "Password incorrect",
            "Preauthentication failed",
            "no suitable keys",
            "Decrypt integrity",
        ]
        .into_iter()
        .any(says)
        {
            return Ok(State::Old(kvno));
        }
        return Err(faults::fault(&said, "kinit", principal, at));
    }
    // The KDC encrypts a ticket for the principal itself with the key that it has now.
    let said = Program::new("kvno", &["-c", &cache, principal]).run()?;
    let theirs = said
        .out
        .rsplit_once("kvno = ")
        .and_then(|(_, text)| text.trim().parse::<u32>().ok());
    match theirs {
        Some(theirs) if theirs != kvno => return Ok(State::Old(kvno)),
        Some(_) => {}
        None => return Err(faults::fault(&said, "kvno", principal, at)),
    }
    let listed = Program::new("klist", &["-e", "-c", &cache]).run()?;
    let (encryption, expires) = ticket(&listed.out, principal).unwrap_or_default();
    Ok(State::Works(Works {
        kvno,
        encryptions,
        encryption,
        expires,
    }))
}

/// Of the service ticket that a listing of `klist -e -c` ends with: the type of the service's key, and its end.
fn ticket(listing: &str, principal: &str) -> Option<(String, String)> {
    let lines: Vec<_> = listing.lines().collect();
    let at = lines
        .iter()
        .rposition(|line| line.ends_with(principal) && !line.contains("principal:"))?;
    let words: Vec<_> = lines.get(at)?.split_whitespace().collect();
    let expires = format!("{} {}", words.get(2)?, words.get(3)?);
    let types = lines.get(at + 1)?.split_once("(skey, tkt):")?.1;
    Some((types.split_once(',')?.1.trim().to_string(), expires))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ticket_of_a_cache_is_read() {
        let listing = "Ticket cache: FILE:/tmp/cc\nDefault principal: f/h@R\n\nValid starting     Expires            \
                       Service principal\n11/24/26 18:32:45  11/24/26 18:42:45  krbtgt/R@R\n\tEtype (skey, tkt): a, b \n\
                       11/24/26 18:32:46  11/24/26 18:42:45  f/h@R\n\tEtype (skey, tkt): aes256-x, aes128-y \n";
        assert_eq!(
            ticket(listing, "f/h@R"),
            Some(("aes128-y".into(), "11/24/26 18:42:45".into()))
        );
        assert_eq!(ticket("", "f/h@R"), None);
    }
}

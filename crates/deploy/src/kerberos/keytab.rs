//! A keytab, and the proof that it works: a login. The version of its key is a remark only, because Active Directory
//! and principals that several hosts share count in their own way.

use std::{
    ffi::OsStr,
    io::Write,
    path::{Path, PathBuf},
};

use flume_host::directory::PrivateDirectory;
use flume_kerberos::Keytab;

use super::{MAX_KEYTAB_BYTES, TICKETS_PREFIX, faults};
use crate::{
    Site,
    fault::Fault,
    files::read_file,
    krb5_conf,
    program::{Ended, Program},
};

/// How a keytab begins.
const VERSION: [u8; 2] = [5, 2];
const KDC_PORT: u16 = 88;
const KRB5_CONF: &str = "krb5.conf";
/// What `kinit` says when the KDC does not take the key.
const WRONG_KEY: &[&str] = &[
    "Password incorrect",
    "Preauthentication failed",
    "no suitable keys",
    "Decrypt integrity",
];

/// What it says when the KDC has no such principal.
const UNKNOWN: &str = "not found in Kerberos database";

fn is_wrong_key(said: &Ended) -> bool {
    WRONG_KEY.iter().any(|word| said.err.contains(word))
}

/// What is the matter with a keytab.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeytabState {
    /// It logs in.
    Works(KeytabLogin),
    /// There is no file.
    Absent,
    /// The file is no keytab, or a part of one.
    Unreadable(String),
    /// It is for others.
    Others(Vec<String>),
    /// No KDC takes its key, which has this version.
    Refused(u32),
    /// The KDC does not know the principal.
    Unknown,
}

/// A keytab that logs in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KeytabLogin {
    /// Version of its key.
    pub(crate) kvno: u32,
    /// Version of the key that the KDC encrypts with, if it says so.
    pub(crate) kdc_kvno: Option<u32>,
    /// Types of its keys.
    pub(crate) encryptions: Vec<String>,
    /// Type of the key that the KDC encrypts with; empty if it does not say so.
    pub(crate) encryption: String,
    /// When a ticket got now ends, as klist says it.
    pub(crate) expires: String,
    /// A KDC that does not have the key, and one that has.
    pub(crate) behind: Option<(String, String)>,
}

impl KeytabState {
    /// Why a keytab of `principal` must be made anew; `None` if it works.
    pub(crate) fn reason(&self, principal: &str) -> Option<String> {
        match self {
            KeytabState::Works(_) => None,
            KeytabState::Absent => Some("it is not there".into()),
            KeytabState::Unreadable(why) => Some(format!("it {why}")),
            KeytabState::Others(names) => Some(format!("it is for {}", names.join(", "))),
            KeytabState::Refused(kvno) => Some(format!("its key version {kvno} is not the KDC's")),
            KeytabState::Unknown => Some(format!("the KDC does not know {principal}")),
        }
    }
}

impl KeytabLogin {
    /// `flume/h@R logs in, key version 2 as in the KDC`
    pub(crate) fn text(&self, principal: &str) -> String {
        let kvno = self.kvno;
        let version = match self.kdc_kvno {
            Some(theirs) if theirs == kvno => format!(", key version {kvno} as in the KDC"),
            Some(theirs) => format!(
                " with key version {kvno}; the KDC says {theirs}, as Active Directory does, or a key that was changed \
                 elsewhere"
            ),
            None => format!(" with key version {kvno}; the KDC gives no tickets for it"),
        };
        let behind = self.behind.as_ref().map(|(behind, has)| {
            format!("; {behind} does not have this key yet, {has} does: the first is a replica that is behind")
        });
        format!("{principal} logs in{version}{}", behind.unwrap_or_default())
    }
}

/// Looks at a keytab and tries it.
///
/// # Errors
/// What keeps it from being tried: no tools, no KDC, a locked principal.
pub(crate) fn state(site: &Site, keytab: &Path, principal: &str) -> Result<KeytabState, Fault> {
    let Some(bytes) = read_file(keytab, &super::owners(site, keytab)?, MAX_KEYTAB_BYTES)? else {
        return Ok(KeytabState::Absent);
    };
    let parsed = match Keytab::parse(&bytes) {
        Ok(parsed) => parsed,
        Err(error) => return Ok(KeytabState::Unreadable(error.to_string())),
    };
    let newest = parsed.newest(principal);
    let Some(kvno) = newest.first().map(|entry| entry.kvno) else {
        let names: Vec<_> = parsed.principals().into_iter().map(String::from).collect();
        return Ok(if names.is_empty() {
            KeytabState::Unreadable("has no keys at all".into())
        } else {
            KeytabState::Others(names)
        });
    };
    let encryptions = newest
        .iter()
        .map(|entry| entry.encryption.to_string())
        .collect();
    let attempt = Attempt {
        keytab,
        principal,
        // A cache of its own: whoever runs this keeps what they have.
        scratch: PrivateDirectory::make(TICKETS_PREFIX)?,
        krb5_config: None,
    };
    attempt.state(site, kvno, encryptions)
}

/// Logins with a keytab.
struct Attempt<'a> {
    keytab: &'a Path,
    principal: &'a str,
    scratch: PrivateDirectory,
    /// `KRB5_CONFIG`, when another KDC shall be asked first.
    krb5_config: Option<String>,
}

impl Attempt<'_> {
    fn state(
        mut self,
        site: &Site,
        kvno: u32,
        encryptions: Vec<String>,
    ) -> Result<KeytabState, Fault> {
        let said = self.login()?;
        let login = KeytabLogin {
            kvno,
            encryptions,
            ..KeytabLogin::default()
        };
        if said.ok() {
            return Ok(KeytabState::Works(self.describe(login)?));
        }
        let mut unknown = said.err.contains(UNKNOWN);
        if !unknown && !is_wrong_key(&said) {
            let at = super::kdcs_shown(site);
            return Err(faults::fault(&said, "kinit", self.principal, &at));
        }
        // A replica may be behind, and a client asks the KDC that it finds first. One KDC that takes the key is proof.
        let servers = servers_alone(site);
        for server in &servers {
            self.ask_first(site, server)?;
            let said = self.login()?;
            unknown &= !is_wrong_key(&said);
            if said.ok() {
                let behind = servers.first().filter(|first| *first != server);
                let behind = behind
                    .cloned()
                    .unwrap_or_else(|| "the KDC found first".into());
                let login = KeytabLogin {
                    behind: Some((behind, server.clone())),
                    ..login
                };
                return Ok(KeytabState::Works(self.describe(login)?));
            }
        }
        Ok(if unknown {
            KeytabState::Unknown
        } else {
            KeytabState::Refused(kvno)
        })
    }

    fn cache(&self) -> String {
        format!("FILE:{}", self.scratch.path().join("cache").display())
    }

    fn tool(&self, name: &'static str, arguments: &[&str]) -> Program {
        let program = Program::new(name, arguments);
        match &self.krb5_config {
            None => program,
            Some(files) => program.env("KRB5_CONFIG", files),
        }
    }

    fn login(&self) -> Result<Ended, Fault> {
        let keytab = self.keytab.display().to_string();
        let cache = self.cache();
        let arguments = ["-k", "-t", &keytab, "-c", &cache, self.principal];
        self.tool("kinit", &arguments).run()
    }

    /// The KDC encrypts a ticket for the principal itself with the key that it has now, if it gives one at all.
    fn describe(&self, login: KeytabLogin) -> Result<KeytabLogin, Fault> {
        let cache = self.cache();
        let said = self.tool("kvno", &["-c", &cache, self.principal]).run()?;
        let theirs = said.out.rsplit_once("kvno = ");
        let kdc_kvno = theirs.and_then(|(_, text)| text.trim().parse().ok());
        let listed = self.tool("klist", &["-e", "-c", &cache]).run()?;
        let (encryption, expires) = ticket(&listed.out, self.principal).unwrap_or_default();
        Ok(KeytabLogin {
            kdc_kvno,
            encryption,
            expires,
            ..login
        })
    }

    /// From now on this KDC is asked, and nobody else unless it is away.
    fn ask_first(&mut self, site: &Site, server: &str) -> Result<(), Fault> {
        let realm = site.node.realm().unwrap_or_default();
        let file = self.scratch.path().join(KRB5_CONF);
        let text = format!(
            "[realms]\n{realm} = {{\n  kdc = {server}\n  primary_kdc = {server}\n  master_kdc = {server}\n}}\n"
        );
        let directory = self.scratch.open()?;
        directory.remove_file(OsStr::new(KRB5_CONF))?;
        let mut written = directory.create_file(OsStr::new(KRB5_CONF))?;
        written
            .write_all(text.as_bytes())
            .map_err(Fault::io("write", &file))?;
        let usual = std::env::var("KRB5_CONFIG").unwrap_or_else(|_| krb5_conf::DEFAULT.into());
        self.krb5_config = Some(format!("{}:{usual}", file.display()));
        Ok(())
    }
}

/// Every KDC of the realm that can be asked alone: those of `krb5.conf`, and the host of kadmind, which is the primary.
fn servers_alone(site: &Site) -> Vec<String> {
    let mut servers = super::kdcs(site).to_vec();
    let realm = site.node.realm().unwrap_or_default();
    let named = site.krb5.realms.get(realm).into_iter();
    let admin = site.node.admin_server().map(String::from);
    for admin in admin
        .into_iter()
        .chain(named.flat_map(|realm| realm.admin_servers.clone()))
    {
        let host = match admin.rsplit_once(':') {
            Some((host, port)) if port.parse::<u16>().is_ok() => host,
            _ => &admin,
        };
        servers.push(format!("{host}:{KDC_PORT}"));
    }
    servers
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

/// The keytab without the keys of one principal; `None` if nothing is left, or it is no keytab.
pub(super) fn without(bytes: &[u8], principal: &str) -> Option<Vec<u8>> {
    let mut rest = bytes.strip_prefix(&VERSION)?;
    let mut kept = VERSION.to_vec();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let length = i32::from_be_bytes(*length);
        let size = usize::try_from(length.unsigned_abs()).ok()?;
        let (entry, next) = after.split_at_checked(size)?;
        rest = next;
        // A negative length is a hole that a removed key has left.
        let alone = [&VERSION[..], &length.to_be_bytes(), entry].concat();
        let theirs = length > 0
            && Keytab::parse(&alone)
                .is_ok_and(|one| !one.principals().is_empty() && one.newest(principal).is_empty());
        if theirs {
            kept.extend_from_slice(&alone[VERSION.len()..]);
        }
    }
    (kept.len() > VERSION.len()).then_some(kept)
}

/// Where a new keytab is until it is in its place.
pub(super) fn staged(directory: &Path) -> PathBuf {
    directory.join(super::STAGING).join(super::STAGED)
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

    fn counted(text: &str) -> Vec<u8> {
        let length = u16::try_from(text.len()).unwrap();
        [&length.to_be_bytes()[..], text.as_bytes()].concat()
    }

    /// An entry for `NAME@R` with a key of type 18, as MIT Kerberos writes it.
    fn entry(name: &str) -> Vec<u8> {
        let mut entry = [0, 1].to_vec();
        entry.extend(counted("R"));
        entry.extend(counted(name));
        entry.extend([0, 0, 0, 1, 0x60, 0, 0, 0, 2, 0, 18]);
        entry.extend(counted("0123456789abcdef0123456789abcdef"));
        let length = i32::try_from(entry.len()).unwrap();
        [&length.to_be_bytes()[..], &entry].concat()
    }

    #[test]
    fn the_keys_of_others_are_kept() {
        let both = [
            &VERSION[..],
            &entry("flume"),
            &entry("other"),
            &entry("flume"),
        ]
        .concat();
        let kept = without(&both, "flume@R").unwrap();
        assert_eq!(kept, [&VERSION[..], &entry("other")].concat());
        assert_eq!(Keytab::parse(&kept).unwrap().newest("other@R").len(), 1);
        assert_eq!(
            without(&[&VERSION[..], &entry("flume")].concat(), "flume@R"),
            None
        );
        for end in 0..both.len() {
            let _ = without(&both[..end], "flume@R");
        }
        assert_eq!(without(b"nonsense", "flume@R"), None);
    }

    #[test]
    fn a_version_that_differs_is_a_remark() {
        let login = KeytabLogin {
            kvno: 3,
            kdc_kvno: Some(3),
            ..KeytabLogin::default()
        };
        assert_eq!(
            login.text("f@R"),
            "f@R logs in, key version 3 as in the KDC"
        );
        let other = KeytabLogin {
            kdc_kvno: Some(4),
            ..login.clone()
        };
        assert!(
            other
                .text("f@R")
                .starts_with("f@R logs in with key version 3; the KDC says 4")
        );
        let silent = KeytabLogin {
            kdc_kvno: None,
            behind: Some(("k2".into(), "k1".into())),
            ..login
        };
        assert!(
            silent
                .text("f@R")
                .contains("gives no tickets for it; k2 does not have this key yet")
        );
    }
}

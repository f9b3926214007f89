//! The realm's administration: `kadmin` with a ticket got by a password on standard input, or `kadmin.local`.

use std::path::Path;

use flume_host::directory::PrivateDirectory;

use super::{
    TICKETS_PREFIX,
    faults::{self, servers},
};
use crate::{
    Site,
    fault::Fault,
    program::{Ended, Program},
};

/// Who may administrate, and how.
pub(crate) struct Kadmin<'a> {
    site: &'a Site,
    /// Where the administrator's ticket is; nothing for kadmin.local.
    tickets: Option<PrivateDirectory>,
    who: String,
    at: String,
}

impl<'a> Kadmin<'a> {
    /// Logs in.
    ///
    /// # Errors
    /// A setting that is missing; why the KDC refuses.
    pub(crate) fn open(site: &'a Site) -> Result<Kadmin<'a>, Fault> {
        let realm = site.node.realm().unwrap_or_default();
        let kdcs = site
            .krb5
            .realms
            .get(realm)
            .map(|realm| realm.kdcs.as_slice())
            .unwrap_or_default();
        let at = servers(kdcs);
        if site.local {
            return Ok(Kadmin {
                site,
                tickets: None,
                who: "kadmin.local".into(),
                at,
            });
        }
        let who = site.node.admin_principal().ok_or_else(|| {
            let remedy = format!(
                "set krb5_client.kadmin_principal, or use --local on the KDC itself; {}",
                elsewhere(site)
            );
            Fault::new("nobody is named who may administrate the realm", remedy)
        })?;
        let who = if who.contains('@') {
            who.to_string()
        } else {
            format!("{who}@{realm}")
        };
        let password = site.node.admin_password().ok_or_else(|| {
            let remedy =
                "set krb5_client.kadmin_password_file, or give it with --kadmin-password-stdin";
            Fault::new(format!("there is no password for {who}"), remedy)
        })?;
        let tickets = PrivateDirectory::make(TICKETS_PREFIX)?;
        let cache = cache(&tickets.path());
        // A ticket for kadmind alone, which must come from the password; the password goes through a pipe.
        let login = Program::new(
            "kinit",
            &["-S", &format!("kadmin/admin@{realm}"), "-c", &cache, &who],
        );
        let said = login.input(&format!("{}\n", password.0)).run()?;
        if !said.ok() {
            return Err(faults::fault(&said, "kinit", &who, &at));
        }
        Ok(Kadmin {
            site,
            tickets: Some(tickets),
            who,
            at,
        })
    }

    /// Runs a query; that it fails is for the caller to see.
    fn query(&self, words: &[&str]) -> Result<Ended, Fault> {
        let realm = self.site.node.realm().unwrap_or_default();
        let mut arguments = vec!["-r".to_string(), realm.into()];
        let program = match &self.tickets {
            None => "kadmin.local",
            Some(tickets) => {
                arguments.extend([
                    "-c".into(),
                    cache(&tickets.path()),
                    "-p".into(),
                    self.who.clone(),
                ]);
                if let Some(server) = self.site.node.admin_server() {
                    arguments.extend(["-s".into(), server.into()]);
                }
                "kadmin"
            }
        };
        arguments.extend(words.iter().map(ToString::to_string));
        Program::new(program, &arguments).run()
    }

    fn fault(&self, said: &Ended) -> Fault {
        faults::fault(said, "kadmin", &self.who, &self.at)
    }

    /// Whether the realm has a principal.
    pub(crate) fn has(&self, principal: &str) -> Result<bool, Fault> {
        let said = self.query(&["getprinc", "-terse", principal])?;
        if said.ok() && !said.err.contains("get_principal:") {
            Ok(true)
        } else if said.err.contains("Principal does not exist") {
            Ok(false)
        } else {
            Err(self.fault(&said))
        }
    }

    /// Makes a principal with a random key. Another one who made it first is welcome.
    pub(crate) fn add(&self, principal: &str) -> Result<(), Fault> {
        let policy = self.site.node.policy();
        if let Some(policy) = policy {
            let said = self.query(&["getpol", "-terse", policy])?;
            if said.err.contains("Policy does not exist") {
                let remedy =
                    format!("kadmin: addpol {policy}; or remove krb5_client.kadmin_policy");
                return Err(Fault::new(
                    format!("the realm has no policy `{policy}`"),
                    remedy,
                ));
            }
            if !said.ok() {
                return Err(self.fault(&said));
            }
        }
        let mut words = vec!["addprinc", "-randkey"];
        match policy {
            Some(policy) => words.extend(["-policy", policy]),
            None => words.push("-clearpolicy"),
        }
        words.push(principal);
        let said = self.query(&words)?;
        let failed = said.err.contains("add_principal:") || !said.ok();
        if failed && !said.err.contains("already exists") {
            return Err(self.fault(&said));
        }
        Ok(())
    }

    /// The version of the key that the primary has; `None` if it does not say.
    pub(crate) fn key_version(&self, principal: &str) -> Result<Option<u32>, Fault> {
        let said = self.query(&["getprinc", principal])?;
        let versions = said.out.lines().filter_map(|line| {
            let rest = line.trim().strip_prefix("Key: vno ")?;
            rest.split(',').next()?.trim().parse().ok()
        });
        Ok(versions.max())
    }

    /// Adds a new key of a principal to a keytab, which may be there already.
    pub(crate) fn ktadd(&self, principal: &str, file: &Path) -> Result<(), Fault> {
        let said = self.query(&["ktadd", "-k", &file.display().to_string(), principal])?;
        if !said.out.contains("added to keytab") {
            // It was there a moment ago: somebody else is at work.
            if said.err.contains("does not exist") {
                let cause = format!("{principal} vanished while its keytab was being made");
                return Err(Fault::new(
                    cause,
                    "somebody else changes it: run this again",
                ));
            }
            return Err(self.fault(&said));
        }
        Ok(())
    }
}

/// What makes a keytab in realms that have no kadmind.
fn elsewhere(site: &Site) -> String {
    let host = site.node.host();
    let realm = site.node.realm().unwrap_or_default();
    let keytab = site.node.keytab();
    let keytab = keytab.display();
    format!(
        "without kadmind, put a keytab to {keytab} and run this again. FreeIPA: ipa-getkeytab -p flume/{host} -k {keytab}. \
         Active Directory, on this host: adcli update --add-service-principal=flume/{host}, or msktutil --service flume \
         --keytab {keytab}; on a domain controller: ktpass -princ flume/{host}@{realm} -ptype KRB5_NT_PRINCIPAL -crypto \
         AES256-SHA1 +rndpass -mapuser ACCOUNT -out flume.service.keytab"
    )
}

fn cache(dir: &Path) -> String {
    format!("FILE:{}", dir.join("admin").display())
}

//! An MIT Kerberos KDC of its own realm, with or without its administration server.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Output, Stdio},
};

use anyhow::{Context, Result, ensure};

use crate::{
    daemon::{Daemon, Ready, free_port},
    packages::{command, need},
};

/// The realm.
pub const REALM: &str = "FLUME.TEST";
/// A principal that may do everything through kadmind.
pub const ADMIN: &str = "root/admin";
/// Its password.
pub const ADMIN_PASSWORD: &str = "secret";

/// A running KDC. Its database, configuration, keytabs and logs are below one directory.
pub struct Kdc {
    dir: PathBuf,
    /// The KDC itself: kill it, pause it, start it again.
    pub server: Daemon,
    /// The administration server, when it was asked for.
    pub admin_server: Option<Daemon>,
    kdc_port: u16,
    kadmin_port: u16,
}

impl Kdc {
    /// Starts a KDC with an empty database below `dir`.
    ///
    /// # Errors
    /// Packages that could not be installed; what the programs said.
    pub fn start(dir: &Path) -> Result<Kdc> {
        Kdc::start_with(dir, false)
    }

    /// Starts a KDC and kadmind, which [`ADMIN`] may administrate with [`ADMIN_PASSWORD`].
    pub fn start_with_kadmind(dir: &Path) -> Result<Kdc> {
        Kdc::start_with(dir, true)
    }

    fn start_with(dir: &Path, kadmind: bool) -> Result<Kdc> {
        need(&[
            ("krb5kdc", "krb5-kdc"),
            ("kadmin.local", "krb5-admin-server"),
            ("kinit", "krb5-user"),
            ("setpriv", "util-linux"),
        ])?;
        fs::create_dir_all(dir)?;
        let dir = dir.canonicalize()?;
        let ports = Ports {
            kdc: free_port(),
            kadmin: free_port(),
            kpasswd: free_port(),
        };
        fs::write(dir.join("krb5.conf"), krb5_conf(&dir, &ports))?;
        fs::write(dir.join("kdc.conf"), kdc_conf(&dir, &ports))?;
        fs::write(dir.join("kadm5.acl"), "*/admin@* *\n")?;
        let mut kdc = Kdc {
            server: daemon(&dir, "krb5kdc", "-n", ports.kdc),
            admin_server: None,
            kdc_port: ports.kdc,
            kadmin_port: ports.kadmin,
            dir,
        };
        kdc.run("kdb5_util", &["create", "-r", REALM, "-s", "-P", "master"])?;
        kdc.server.up()?;
        if kadmind {
            kdc.start_kadmind()?;
        }
        Ok(kdc)
    }

    /// Starts kadmind, which [`ADMIN`] may administrate with [`ADMIN_PASSWORD`], beside a KDC that has none.
    pub fn start_kadmind(&mut self) -> Result<()> {
        self.admin(&format!("addprinc -pw {ADMIN_PASSWORD} {ADMIN}"))?;
        let port = self.kadmin_port;
        let mut server = daemon(&self.dir, "kadmind", "-nofork", port);
        server.up()?;
        self.admin_server = Some(server);
        Ok(())
    }

    /// Where the KDC listens: `127.0.0.1:8888`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.kdc_port)
    }

    /// Where kadmind listens.
    pub fn admin_address(&self) -> String {
        format!("127.0.0.1:{}", self.kadmin_port)
    }

    /// The configuration of clients: `KRB5_CONFIG`, or Java's `-Djava.security.krb5.conf`.
    pub fn krb5_conf(&self) -> PathBuf {
        self.dir.join("krb5.conf")
    }

    /// The environment of clients that log in by keytab. Java ignores the first, and takes any ticket that it finds in
    /// the user's default cache, which is why the second is there.
    pub fn environment(&self) -> Vec<(String, String)> {
        let default_cache = format!("FILE:{}", self.dir.join("cc_default").display());
        vec![
            ("KRB5_CONFIG".into(), self.krb5_conf().display().to_string()),
            ("KRB5CCNAME".into(), default_cache),
        ]
    }

    /// Where [`Kdc::add`] puts a keytab.
    pub fn keytab(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.keytab"))
    }

    /// Adds principals with random keys, all into the keytab of this name, and returns its path.
    pub fn add(&self, keytab: &str, principals: &[&str]) -> Result<PathBuf> {
        let path = self.keytab(keytab);
        for principal in principals {
            self.admin(&format!("addprinc -randkey {principal}"))?;
        }
        self.admin(&format!(
            "ktadd -k {} {}",
            path.display(),
            principals.join(" ")
        ))?;
        ensure!(path.exists(), "kadmin.local wrote no {}", path.display());
        Ok(path)
    }

    /// Runs a query of kadmin.local, which needs no server: `modprinc -maxlife "20 seconds" short`.
    pub fn admin(&self, query: &str) -> Result<String> {
        let output = self.run("kadmin.local", &["-r", REALM, "-q", query])?;
        // It exits with 0 all the same: "add_principal: … already exists while creating …".
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(!said.contains(" while "), "kadmin.local {query}: {said}");
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Starts a replica: it knows what the primary knows now, and learns nothing more. Its address has a number of its own,
    /// because clients tell a primary from a replica by that, and not by the port.
    ///
    /// # Errors
    /// The database could not be copied; what the programs said.
    pub fn start_replica(&self) -> Result<(Daemon, String)> {
        let dir = self.dir.join("replica");
        fs::create_dir_all(&dir)?;
        let ports = Ports {
            kdc: free_port(),
            kadmin: free_port(),
            kpasswd: free_port(),
        };
        let dump = dir.join("dump").display().to_string();
        self.run("kdb5_util", &["dump", &dump])?;
        fs::copy(self.dir.join("stash"), dir.join("stash"))?;
        fs::write(dir.join("krb5.conf"), krb5_conf(&dir, &ports))?;
        let beside = format!("127.0.0.1:{0}, 127.0.0.2:{0}", ports.kdc);
        let conf = kdc_conf(&dir, &ports).replace(&format!("127.0.0.1:{}", ports.kdc), &beside);
        fs::write(dir.join("kdc.conf"), conf)?;
        run_in(&dir, "kdb5_util", &["-r", REALM, "load", &dump])?;
        let mut replica = daemon(&dir, "krb5kdc", "-n", ports.kdc);
        replica.up()?;
        Ok((replica, format!("127.0.0.2:{}", ports.kdc)))
    }

    /// Fetches a ticket by keytab into a cache of its own: the value of `KRB5CCNAME`.
    pub fn kinit(&self, keytab: &str, principal: &str) -> Result<String> {
        let cache = format!("FILE:{}", self.dir.join(format!("cc_{keytab}")).display());
        let path = self.keytab(keytab).display().to_string();
        self.run("kinit", &["-c", &cache, "-k", "-t", &path, principal])?;
        Ok(cache)
    }

    /// What the KDC wrote about each request: `AS_REQ … flume/localhost@FLUME.TEST for …`.
    pub fn requests(&self) -> String {
        fs::read_to_string(self.dir.join("requests.log")).unwrap_or_default()
    }

    /// Runs one of Kerberos' programs against this KDC.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Result<Output> {
        run_in(&self.dir, program, arguments)
    }
}

fn run_in(dir: &Path, program: &str, arguments: &[&str]) -> Result<Output> {
    let output = command(program)
        .args(arguments)
        .env("KRB5_CONFIG", dir.join("krb5.conf"))
        .env("KRB5_KDC_PROFILE", dir.join("kdc.conf"))
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("failed to start {program}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{program} {}: {said}",
        arguments.join(" ")
    );
    Ok(output)
}

struct Ports {
    kdc: u16,
    kadmin: u16,
    kpasswd: u16,
}

fn daemon(dir: &Path, program: &str, foreground: &str, port: u16) -> Daemon {
    let path = |name: &str| dir.join(name).display().to_string();
    let arguments = [foreground, "-P", &path(&format!("{program}.pid"))].map(String::from);
    let program_path = command(program)
        .get_program()
        .to_string_lossy()
        .into_owned();
    let command = [vec![program_path], arguments.to_vec()].concat();
    Daemon::new(
        program,
        &dir.join(format!("{program}.log")),
        command,
        Ready::Port(port),
    )
    .with_env("KRB5_CONFIG", &path("krb5.conf"))
    .with_env("KRB5_KDC_PROFILE", &path("kdc.conf"))
}

fn krb5_conf(dir: &Path, ports: &Ports) -> String {
    let (
        dir,
        Ports {
            kdc,
            kadmin,
            kpasswd,
        },
    ) = (dir.display(), ports);
    format!(
        "[libdefaults]
  default_realm = {REALM}
  dns_lookup_kdc = false
  dns_lookup_realm = false
  dns_canonicalize_hostname = false
  rdns = false
  udp_preference_limit = 1
  ticket_lifetime = 10m
  renew_lifetime = 1h
  forwardable = true
  default_ccache_name = FILE:{dir}/cc_default
[realms]
  {REALM} = {{
    kdc = 127.0.0.1:{kdc}
    admin_server = 127.0.0.1:{kadmin}
    kpasswd_server = 127.0.0.1:{kpasswd}
  }}
[domain_realm]
  localhost = {REALM}
"
    )
}

fn kdc_conf(dir: &Path, ports: &Ports) -> String {
    let (
        dir,
        Ports {
            kdc,
            kadmin,
            kpasswd,
        },
    ) = (dir.display(), ports);
    format!(
        "[kdcdefaults]
  kdc_listen = 127.0.0.1:{kdc}
  kdc_tcp_listen = 127.0.0.1:{kdc}
[realms]
  {REALM} = {{
    database_name = {dir}/principal
    key_stash_file = {dir}/stash
    acl_file = {dir}/kadm5.acl
    kadmind_listen = 127.0.0.1:{kadmin}
    kpasswd_listen = 127.0.0.1:{kpasswd}
    max_life = 10h
    max_renewable_life = 7d
    supported_enctypes = aes256-cts-hmac-sha1-96:normal aes128-cts-hmac-sha1-96:normal
  }}
[logging]
  kdc = FILE:{dir}/requests.log
  admin_server = FILE:{dir}/kadmind.log
"
    )
}

//! A running HDFS.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use parking_lot::Mutex;

use crate::{
    daemon::{Daemon, Ready},
    hadoop::Hadoop,
    kdc::{Kdc, REALM},
    layout::{Layout, Ports, Site, ports},
    shell::{Answer, As, Shell},
    trouble::{CutOff, Disk, FullDisk},
};

/// Users with a keytab and a home directory. `flume` may impersonate `alice` and `bob`, and not `carol`; tickets of
/// `short` live for 20 seconds.
pub const USERS: &[&str] = &["flume", "flume2", "short", "alice", "bob", "carol"];

/// The size of a small disk.
const SMALL_DISK_MIB: usize = 64;

/// A running HDFS. Every server is a process of its own, to be killed, paused and started again one by one.
pub struct Cluster {
    shell: Mutex<Shell>,
    servers: BTreeMap<String, Daemon>,
    kdc: Option<Kdc>,
    layout: Layout,
    ports: BTreeMap<String, Ports>,
    hadoop: Hadoop,
    // After the servers, which use them.
    _disks: Vec<Disk>,
    // Last: servers that still run write into it.
    dir: tempfile::TempDir,
}

impl Cluster {
    /// Starts a fresh cluster with the home directories of [`USERS`].
    ///
    /// # Errors
    /// What could not be installed; the log of a server that did not come up.
    pub fn start(layout: Layout) -> Result<Cluster> {
        let hadoop = Hadoop::install()?;
        let dir = tempfile::Builder::new().prefix("cluster-").tempdir()?;
        fs::create_dir_all(dir.path().join("log"))?;
        let kdc = layout
            .is_secure()
            .then(|| start_kdc(&dir.path().join("kdc")))
            .transpose()?;
        let ports = ports(&layout);
        let site = Site {
            layout: &layout,
            ports: &ports,
            dir: dir.path(),
            hadoop: &hadoop,
            kdc: kdc.as_ref(),
        };
        for name in ports.keys().map(String::as_str).chain(["client"]) {
            site.write(&dir.path().join("conf").join(name), name)?;
        }
        let small = if layout.small_disks {
            layout.data_nodes()
        } else {
            vec![]
        };
        let disk = |name: &String| Disk::mount(&data_dir(dir.path(), name), SMALL_DISK_MIB);
        let disks = small.iter().map(disk).collect::<Result<Vec<_>>>()?;
        let java = Java {
            hadoop: &hadoop,
            kdc: kdc.as_ref(),
            dir: dir.path(),
        };
        let shell = Mutex::new(java.shell()?);
        let servers = ports
            .iter()
            .map(|(name, ports)| (name.clone(), java.server(name, *ports)))
            .collect();
        let mut cluster = Cluster {
            shell,
            servers,
            kdc,
            layout,
            ports,
            hadoop,
            _disks: disks,
            dir,
        };
        cluster.bring_up()?;
        cluster.make_homes()?;
        Ok(cluster)
    }

    fn bring_up(&mut self) -> Result<()> {
        let namenodes = self.layout.namenodes();
        for name in self.layout.journalnodes() {
            self.server(&name)?.up()?;
        }
        self.once("nn1", &["-format", "-force", "-nonInteractive"])?;
        self.server("nn1")?.up()?;
        for name in self.layout.data_nodes() {
            self.server(&name)?.start()?;
        }
        if self.layout.ha {
            self.once("nn2", &["-bootstrapStandby", "-force", "-nonInteractive"])?;
            self.server("nn2")?.up()?;
            self.activate("nn1")?;
        }
        for name in self.layout.data_nodes() {
            self.server(&name)?
                .wait_for_log("Successfully sent block report", namenodes.len())?;
        }
        Ok(())
    }

    fn make_homes(&self) -> Result<()> {
        self.admin(&["fs", "-mkdir", "-p", "/tmp", "/user"])?;
        self.admin(&["fs", "-chmod", "1777", "/tmp"])?;
        for user in USERS {
            let home = format!("/user/{user}");
            self.admin(&["fs", "-mkdir", &home])?;
            self.admin(&["fs", "-chown", &format!("{user}:{user}"), &home])?;
        }
        Ok(())
    }

    /// Its layout.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Its directory: `log/nn1.log` and the like.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The KDC of a secured cluster.
    pub fn kdc(&mut self) -> Result<&mut Kdc> {
        self.kdc.as_mut().context("this cluster has no KDC")
    }

    /// A server: `nn1`, `nn2`, `jn1`, `dn1`, …
    pub fn server(&mut self, name: &str) -> Result<&mut Daemon> {
        self.servers
            .get_mut(name)
            .with_context(|| format!("there is no {name}"))
    }

    /// `fs.defaultFS`.
    pub fn url(&self) -> Result<String> {
        self.site().url()
    }

    /// The directory with `core-site.xml` and `hdfs-site.xml` of clients.
    pub fn client_conf(&self) -> PathBuf {
        self.dir.path().join("conf/client")
    }

    /// What these files say.
    pub fn client_settings(&self) -> Result<Vec<(String, String)>> {
        self.site().client()
    }

    /// The environment of clients.
    pub fn environment(&self) -> Vec<(String, String)> {
        let mut all = self.kdc.as_ref().map(Kdc::environment).unwrap_or_default();
        all.push((
            "HADOOP_CONF_DIR".into(),
            self.client_conf().display().to_string(),
        ));
        all
    }

    /// The principal of a user of [`USERS`], and its keytab.
    pub fn login(&self, user: &str) -> Result<(String, PathBuf)> {
        let kdc = self.kdc.as_ref().context("this cluster has no KDC")?;
        let instance = if ["hdfs", "flume"].contains(&user) {
            "/localhost"
        } else {
            ""
        };
        Ok((format!("{user}{instance}@{REALM}"), kdc.keytab(user)))
    }

    /// Makes a NameNode the active one while no other is. It is asked twice: the first question may go to the
    /// connection of a process that was killed.
    pub fn activate(&self, name: &str) -> Result<()> {
        let ask = || {
            self.admin(&["haadmin", "-transitionToActive", name])
                .map(drop)
        };
        ask().or_else(|_| ask())
    }

    /// Makes a standby NameNode the active one; the other may be dead.
    pub fn fail_over(&self, from: &str, to: &str) -> Result<()> {
        self.admin(&["haadmin", "-failover", "--forcefence", from, to])
            .map(drop)
    }

    /// Tells a DataNode to end for an upgrade: it warns its clients, which may wait for it.
    pub fn shut_down_for_upgrade(&mut self, name: &str) -> Result<()> {
        let address = format!("127.0.0.1:{}", self.site().port(name)?.ipc);
        self.admin(&["dfsadmin", "-shutdownDatanode", &address, "upgrade"])?;
        self.server(name)?.wait_for_end()
    }

    /// Fills the small disk of a DataNode.
    pub fn fill_disk(&self, name: &str) -> Result<FullDisk> {
        ensure!(self.layout.small_disks, "{name} has no small disk");
        FullDisk::fill(&data_dir(self.dir(), name))
    }

    /// Lets nothing through to the data of a DataNode; its NameNode still hears of it.
    pub fn cut_off(&self, name: &str) -> Result<CutOff> {
        CutOff::port(self.site().port(name)?.main)
    }

    /// Waits until the NameNode takes writes.
    pub fn leave_safe_mode(&self) -> Result<()> {
        self.admin(&["dfsadmin", "-safemode", "wait"]).map(drop)
    }

    /// Runs Hadoop's tools as the superuser: `fs -ls /`, `dfsadmin -report`. Its output, if it succeeded.
    pub fn admin(&self, words: &[&str]) -> Result<String> {
        self.run("hdfs", words)?
            .ok()
            .with_context(|| words.join(" "))
    }

    /// Runs Hadoop's tools as a user.
    pub fn run(&self, user: &str, words: &[&str]) -> Result<Answer> {
        self.run_as(user, "", words)
    }

    /// Runs Hadoop's tools as a user who impersonates another.
    pub fn run_as(&self, user: &str, proxied: &str, words: &[&str]) -> Result<Answer> {
        let (name, keytab) = if self.layout.is_secure() {
            let (principal, keytab) = self.login(user)?;
            (principal, keytab.display().to_string())
        } else {
            (user.to_string(), String::new())
        };
        self.shell.lock().run(
            As {
                name: &name,
                keytab: &keytab,
                proxied,
            },
            words,
        )
    }

    /// The DataNodes that the last block of a file was given to, in the order of its pipeline.
    pub fn pipeline(&mut self, path: &str) -> Result<Vec<String>> {
        let mut allocations = vec![];
        for name in self.layout.namenodes() {
            let log = fs::read_to_string(self.log(&name))?;
            let of_path = format!(" for {path}");
            allocations.extend(
                log.lines()
                    .filter(|line| line.ends_with(&of_path))
                    .map(String::from),
            );
        }
        let allocation = allocations
            .last()
            .with_context(|| format!("no block of {path}"))?;
        let replicas = allocation
            .split("replicas=")
            .nth(1)
            .context("no replicas")?;
        let ports = replicas
            .split([',', ' '])
            .filter_map(|word| word.strip_prefix("127.0.0.1:")?.parse::<u16>().ok());
        let named = |port: u16| {
            self.ports
                .iter()
                .find(|(_, ports)| ports.main == port)
                .map(|(name, _)| name.clone())
        };
        Ok(ports.filter_map(named).collect())
    }

    fn log(&self, name: &str) -> PathBuf {
        self.dir.path().join("log").join(format!("{name}.log"))
    }

    fn site(&self) -> Site<'_> {
        Site {
            layout: &self.layout,
            ports: &self.ports,
            dir: self.dir.path(),
            hadoop: &self.hadoop,
            kdc: self.kdc.as_ref(),
        }
    }

    /// Runs a server's program with a command that ends by itself.
    fn once(&self, server: &str, arguments: &[&str]) -> Result<()> {
        let java = Java {
            hadoop: &self.hadoop,
            kdc: self.kdc.as_ref(),
            dir: self.dir.path(),
        };
        let words = java.command(server, &["-XX:TieredStopAtLevel=1".into()], arguments);
        let (program, rest) = words.split_first().context("no command")?;
        let output = Command::new(program)
            .args(rest)
            .env("HADOOP_USER_NAME", "hdfs")
            .stdin(Stdio::null())
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "{server} {}: {said}",
            arguments.join(" ")
        );
        Ok(())
    }
}

/// Where a server keeps its data.
pub(crate) fn data_dir(dir: &Path, server: &str) -> PathBuf {
    dir.join("data").join(server)
}

/// Command lines of the JVMs of a cluster.
struct Java<'a> {
    hadoop: &'a Hadoop,
    kdc: Option<&'a Kdc>,
    dir: &'a Path,
}

impl Java<'_> {
    fn command(&self, name: &str, options: &[String], arguments: &[&str]) -> Vec<String> {
        let class = match name.get(..2) {
            Some("nn") => "org.apache.hadoop.hdfs.server.namenode.NameNode",
            Some("dn") => "org.apache.hadoop.hdfs.server.datanode.DataNode",
            Some("jn") => "org.apache.hadoop.hdfs.qjournal.server.JournalNode",
            _ => "Shell",
        };
        let mut all = vec![format!("-Dhadoop.home.dir={}", self.dir.display())];
        all.extend(
            self.kdc
                .map(|kdc| format!("-Djava.security.krb5.conf={}", kdc.krb5_conf().display())),
        );
        all.extend(options.iter().cloned());
        self.hadoop
            .java(&self.dir.join("conf").join(name), &all, class, arguments)
    }

    fn server(&self, name: &str, ports: Ports) -> Daemon {
        let ready = match name.get(..2) {
            Some("dn") => Ready::Logged("Successfully sent block report", 1),
            _ => Ready::Port(ports.main),
        };
        let log = self.dir.join("log").join(format!("{name}.log"));
        Daemon::new(name, &log, self.command(name, &[], &[]), ready)
            .with_env("HADOOP_USER_NAME", "hdfs")
    }

    fn shell(&self) -> Result<Shell> {
        let options = ["-XX:TieredStopAtLevel=1", "-Drig.log=ERROR"].map(String::from);
        let environment = self.kdc.map(Kdc::environment).unwrap_or_default();
        Shell::start(
            self.command("client", &options, &[]),
            &environment,
            &self.dir.join("log/shell.log"),
        )
    }
}

/// A KDC with the keytabs of the servers and of [`USERS`].
fn start_kdc(dir: &Path) -> Result<Kdc> {
    let kdc = Kdc::start(dir)?;
    kdc.add("hdfs", &["hdfs/localhost", "HTTP/localhost"])?;
    let host = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .to_lowercase();
    for user in USERS {
        match *user {
            "flume" if host != "localhost" => {
                kdc.add(user, &["flume/localhost", &format!("flume/{host}")])?
            }
            "flume" => kdc.add(user, &["flume/localhost"])?,
            user => kdc.add(user, &[user])?,
        };
    }
    kdc.admin("modprinc -maxlife \"20 seconds\" short")?;
    Ok(kdc)
}

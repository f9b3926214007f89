//! What a cluster is like, and the configuration files that say so to its servers and clients.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result};

use crate::{
    cluster::data_dir,
    daemon::{free_port, privileged_port},
    hadoop::{Hadoop, STORE_PASSWORD},
    kdc::{Kdc, REALM},
};

/// What a cluster is like.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Who is believed.
    pub security: Security,
    /// Two NameNodes, `nn1` active and `nn2` standby, over one JournalNode; the nameservice is `rig`.
    pub ha: bool,
    /// `dn1`, `dn2`, …
    pub datanodes: usize,
    /// `dfs.replication`.
    pub replication: usize,
    /// Whether each DataNode has a small disk of its own, which can be filled; only root can have that.
    pub small_disks: bool,
    /// Whether DataNodes listen below 1024, where SASL is not spoken; only root can have that.
    pub privileged_ports: bool,
    /// More settings, of servers and clients.
    pub settings: Vec<(String, String)>,
}

/// Who is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// Everybody is who they say.
    Simple,
    /// Kerberos.
    Kerberos {
        /// `hadoop.rpc.protection` and `dfs.data.transfer.protection`.
        protection: Protection,
        /// `dfs.encrypt.data.transfer`.
        encrypt: bool,
    },
}

/// Quality of protection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// Who it is, and nothing more.
    Authentication,
    /// Nothing is altered on its way.
    Integrity,
    /// Nothing is read on its way.
    Privacy,
}

impl Protection {
    /// Hadoop's word.
    pub fn word(self) -> &'static str {
        match self {
            Protection::Authentication => "authentication",
            Protection::Integrity => "integrity",
            Protection::Privacy => "privacy",
        }
    }
}

impl Layout {
    /// Simple authentication, this many DataNodes, as many replicas, three at most.
    pub fn simple(datanodes: usize) -> Layout {
        let replication = datanodes.min(3);
        Layout {
            security: Security::Simple,
            ha: false,
            datanodes,
            replication,
            small_disks: false,
            privileged_ports: false,
            settings: vec![],
        }
    }

    /// Kerberos.
    pub fn kerberos(datanodes: usize, protection: Protection, encrypt: bool) -> Layout {
        Layout {
            security: Security::Kerberos {
                protection,
                encrypt,
            },
            ..Layout::simple(datanodes)
        }
    }

    /// The same with two NameNodes.
    pub fn with_ha(self) -> Layout {
        Layout { ha: true, ..self }
    }

    /// The same with another `dfs.replication`.
    pub fn with_replication(self, replication: usize) -> Layout {
        Layout {
            replication,
            ..self
        }
    }

    /// The same with a small disk for each DataNode.
    pub fn with_small_disks(self) -> Layout {
        Layout {
            small_disks: true,
            ..self
        }
    }

    /// The same with DataNodes below port 1024.
    pub fn with_privileged_ports(self) -> Layout {
        Layout {
            privileged_ports: true,
            ..self
        }
    }

    /// The same with another setting, of servers and clients.
    pub fn with(mut self, key: &str, value: &str) -> Layout {
        self.settings.push((key.into(), value.into()));
        self
    }

    pub(crate) fn is_secure(&self) -> bool {
        self.security != Security::Simple
    }

    pub(crate) fn namenodes(&self) -> Vec<String> {
        (1..=if self.ha { 2 } else { 1 })
            .map(|number| format!("nn{number}"))
            .collect()
    }

    pub(crate) fn journalnodes(&self) -> Vec<String> {
        self.ha.then(|| "jn1".to_string()).into_iter().collect()
    }

    pub(crate) fn data_nodes(&self) -> Vec<String> {
        (1..=self.datanodes)
            .map(|number| format!("dn{number}"))
            .collect()
    }
}

/// The ports of a server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    /// Of clients: RPC of a NameNode, data of a DataNode.
    pub(crate) main: u16,
    pub(crate) ipc: u16,
    http: u16,
    https: u16,
}

/// A cluster's layout with everything that its files name.
pub(crate) struct Site<'a> {
    pub(crate) layout: &'a Layout,
    pub(crate) ports: &'a BTreeMap<String, Ports>,
    pub(crate) dir: &'a Path,
    pub(crate) hadoop: &'a Hadoop,
    pub(crate) kdc: Option<&'a Kdc>,
}

type Settings = Vec<(String, String)>;

/// Free ports for every server of a layout.
pub(crate) fn ports(layout: &Layout) -> BTreeMap<String, Ports> {
    let names = [
        layout.namenodes(),
        layout.journalnodes(),
        layout.data_nodes(),
    ]
    .concat();
    let main = |name: &str| {
        if layout.privileged_ports && name.starts_with("dn") {
            privileged_port()
        } else {
            free_port()
        }
    };
    let of = |name: String| {
        let ports = Ports {
            main: main(&name),
            ipc: free_port(),
            http: free_port(),
            https: free_port(),
        };
        (name, ports)
    };
    names.into_iter().map(of).collect()
}

impl Site<'_> {
    /// Writes the files of a server, or those of clients when there is no server of that name.
    pub(crate) fn write(&self, directory: &Path, server: &str) -> Result<()> {
        fs::create_dir_all(directory)?;
        let file = |name: &str, settings: Settings| {
            let path = directory.join(name);
            fs::write(&path, xml(&settings))
                .with_context(|| format!("failed to write {}", path.display()))
        };
        let more = &self.layout.settings;
        file("core-site.xml", [self.core()?, more.clone()].concat())?;
        let hdfs = if self.ports.contains_key(server) {
            self.server(server)?
        } else {
            vec![]
        };
        file("hdfs-site.xml", [self.hdfs()?, hdfs, more.clone()].concat())?;
        file("ssl-server.xml", self.ssl("server"))?;
        file("ssl-client.xml", self.ssl("client"))
    }

    /// All settings of clients.
    pub(crate) fn client(&self) -> Result<Settings> {
        Ok([self.core()?, self.hdfs()?, self.layout.settings.clone()].concat())
    }

    pub(crate) fn port(&self, server: &str) -> Result<Ports> {
        self.ports
            .get(server)
            .copied()
            .with_context(|| format!("there is no {server}"))
    }

    /// `fs.defaultFS`.
    pub(crate) fn url(&self) -> Result<String> {
        let port = self.port("nn1")?.main;
        Ok(if self.layout.ha {
            "hdfs://rig".into()
        } else {
            format!("hdfs://localhost:{port}")
        })
    }

    fn core(&self) -> Result<Settings> {
        let mut all = vec![
            setting("fs.defaultFS", self.url()?),
            setting("hadoop.tmp.dir", self.dir.join("tmp").display()),
        ];
        // With simple authentication a client is whom its process runs as.
        for user in ["flume", "root"] {
            all.push(setting(
                &format!("hadoop.proxyuser.{user}.hosts"),
                "127.0.0.1,localhost",
            ));
            all.push(setting(
                &format!("hadoop.proxyuser.{user}.users"),
                "alice,bob",
            ));
        }
        if let Security::Kerberos { protection, .. } = self.layout.security {
            all.push(setting("hadoop.security.authentication", "kerberos"));
            all.push(setting("hadoop.security.authorization", true));
            all.push(setting("hadoop.rpc.protection", protection.word()));
        }
        Ok(all)
    }

    fn hdfs(&self) -> Result<Settings> {
        let mut all = vec![
            setting("dfs.replication", self.layout.replication),
            setting("dfs.namenode.fs-limits.min-block-size", 1024),
            // Hadoop's half a minute would be most of a test's time.
            setting("dfs.namenode.safemode.extension", 0),
            // By default a disk must have a gigabyte more than a block takes.
            setting(
                "dfs.datanode.round-robin-volume-choosing-policy.additional-available-space",
                0,
            ),
            // On three nodes one that has just been written to would be left out as too busy.
            setting("dfs.namenode.redundancy.considerLoad", false),
        ];
        for name in self.layout.namenodes() {
            let port = self.port(&name)?;
            let suffix = if self.layout.ha {
                format!(".rig.{name}")
            } else {
                String::new()
            };
            for (kind, port) in [
                ("rpc", port.main),
                ("http", port.http),
                ("https", port.https),
            ] {
                all.push(setting(
                    &format!("dfs.namenode.{kind}-address{suffix}"),
                    format!("localhost:{port}"),
                ));
            }
        }
        if self.layout.ha {
            all.extend(self.ha()?);
        }
        if let Security::Kerberos {
            protection,
            encrypt,
        } = self.layout.security
        {
            for kind in ["namenode", "datanode", "journalnode"] {
                all.push(setting(
                    &format!("dfs.{kind}.kerberos.principal"),
                    format!("hdfs/localhost@{REALM}"),
                ));
            }
            all.push(setting("dfs.data.transfer.protection", protection.word()));
            all.push(setting("dfs.encrypt.data.transfer", encrypt));
            all.push(setting(
                "dfs.encrypt.data.transfer.cipher.suites",
                "AES/CTR/NoPadding",
            ));
            all.push(setting("dfs.http.policy", "HTTPS_ONLY"));
        }
        Ok(all)
    }

    fn ha(&self) -> Result<Settings> {
        let journal = self.port("jn1")?;
        let provider = "org.apache.hadoop.hdfs.server.namenode.ha.ConfiguredFailoverProxyProvider";
        Ok(vec![
            setting("dfs.nameservices", "rig"),
            setting("dfs.ha.namenodes.rig", "nn1,nn2"),
            setting("dfs.client.failover.proxy.provider.rig", provider),
            setting("dfs.ha.fencing.methods", "shell(/bin/true)"),
            setting("dfs.ha.automatic-failover.enabled", false),
            setting("dfs.ha.tail-edits.period", "1s"),
            setting(
                "dfs.namenode.shared.edits.dir",
                format!("qjournal://localhost:{}/rig", journal.main),
            ),
            setting(
                "dfs.journalnode.edits.dir",
                data_dir(self.dir, "jn1").display(),
            ),
            setting(
                "dfs.journalnode.rpc-address",
                format!("127.0.0.1:{}", journal.main),
            ),
            setting(
                "dfs.journalnode.http-address",
                format!("127.0.0.1:{}", journal.http),
            ),
            setting(
                "dfs.journalnode.https-address",
                format!("127.0.0.1:{}", journal.https),
            ),
        ])
    }

    fn server(&self, name: &str) -> Result<Settings> {
        let data = data_dir(self.dir, name);
        let mut all = vec![
            setting(
                "dfs.namenode.name.dir",
                format!("file://{}", data.display()),
            ),
            setting("dfs.namenode.rpc-bind-host", "127.0.0.1"),
        ];
        if self.layout.ha && name.starts_with("nn") {
            all.push(setting("dfs.ha.namenode.id", name));
        }
        if let Some(kdc) = self.kdc {
            let keytab = kdc.keytab("hdfs");
            all.push(setting("dfs.block.access.token.enable", true));
            for kind in ["namenode", "datanode", "journalnode"] {
                all.push(setting(
                    &format!("dfs.{kind}.keytab.file"),
                    keytab.display(),
                ));
            }
            let http = format!("HTTP/localhost@{REALM}");
            all.push(setting(
                "dfs.journalnode.kerberos.internal.spnego.principal",
                &http,
            ));
            all.push(setting("dfs.web.authentication.kerberos.principal", &http));
            all.push(setting(
                "dfs.web.authentication.kerberos.keytab",
                keytab.display(),
            ));
        }
        if name.starts_with("dn") {
            let Ports {
                main,
                ipc,
                http,
                https,
            } = self.port(name)?;
            all.push(setting("dfs.datanode.hostname", "localhost"));
            all.push(setting(
                "dfs.datanode.data.dir",
                format!("file://{}", data.display()),
            ));
            for (kind, port) in [
                ("", main),
                ("ipc.", ipc),
                ("http.", http),
                ("https.", https),
            ] {
                all.push(setting(
                    &format!("dfs.datanode.{kind}address"),
                    format!("127.0.0.1:{port}"),
                ));
            }
        }
        Ok(all)
    }

    fn ssl(&self, side: &str) -> Settings {
        let (keys, trusted) = self.hadoop.stores();
        let mut all = vec![];
        let mut store = |kind: &str, path: &Path| {
            all.push(setting(
                &format!("ssl.{side}.{kind}.location"),
                path.display(),
            ));
            all.push(setting(
                &format!("ssl.{side}.{kind}.password"),
                STORE_PASSWORD,
            ));
            all.push(setting(&format!("ssl.{side}.{kind}.type"), "pkcs12"));
        };
        store("truststore", &trusted);
        if side == "server" {
            store("keystore", &keys);
            all.push(setting("ssl.server.keystore.keypassword", STORE_PASSWORD));
        }
        all
    }
}

fn setting(key: &str, value: impl ToString) -> (String, String) {
    (key.into(), value.to_string())
}

fn xml(settings: &Settings) -> String {
    let escape = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;");
    let property = |(key, value): &(String, String)| {
        format!(
            "<property><name>{}</name><value>{}</value></property>\n",
            escape(key),
            escape(value)
        )
    };
    format!(
        "<configuration>\n{}</configuration>\n",
        settings.iter().map(property).collect::<String>()
    )
}

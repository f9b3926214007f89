//! Ordinary hosts of strange sites: each is provisioned twice, asked by `doctor`, and its unit's own command writes into
//! HDFS as its user. The shell below reads unit and drop-in by itself, so that it does not believe what `check` does.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use flume_cluster::{
    ADMIN, ADMIN_PASSWORD, Cluster, Daemon, Layout, Protection, Ready, free_port, need,
};

use super::{Row, host::Host, said, verdicts};
use crate::agents::{program, root, target};

/// A kind of host.
struct HostKind {
    name: &'static str,
    /// Makes it so, before anything is installed: lines of shell.
    make: &'static str,
    /// Inside the braces of `hdp` and of `krb5_client`, and beside them.
    hdp: &'static str,
    krb5_client: Option<&'static str>,
    beside: &'static str,
    /// The words before the program: a umask.
    before: &'static str,
    /// Its configuration directory, and the user that the unit must name.
    conf_dir: &'static str,
    user: &'static str,
}

const PLAIN: HostKind = HostKind {
    name: "plain",
    make: "",
    hdp: "",
    krb5_client: Some(""),
    beside: "",
    before: "",
    conf_dir: "/etc/flume/conf",
    user: "flume",
};

/// Every kind but those that need a KDC of their own.
const KINDS: &[HostKind] = &[
    PLAIN,
    HostKind {
        name: "umask 027",
        before: "umask 027;",
        ..PLAIN
    },
    HostKind {
        name: "upper case",
        make: "hostname NODE1; printf '127.0.0.1 node1.flume.test NODE1 localhost\\n' >/etc/hosts",
        beside: "host: \"NODE1.Flume.Test\"",
        ..PLAIN
    },
    HostKind {
        name: "no domain",
        make: "printf '127.0.0.1 node1 localhost\\n' >/etc/hosts; rm -r /etc/hadoop/conf",
        krb5_client: None,
        ..PLAIN
    },
    HostKind {
        name: "other user and group",
        make: "groupadd --system pipeline",
        hdp: "flume_user: \"svc\", flume_group: \"pipeline\"",
        user: "svc",
        ..PLAIN
    },
    HostKind {
        name: "other conf dir",
        hdp: "flume_conf_dir: \"/srv/flume conf/100%\"",
        conf_dir: "/srv/flume conf/100%",
        ..PLAIN
    },
    HostKind {
        name: "conf dir of others",
        make: "chmod 0755 /etc/hadoop/conf",
        hdp: "flume_conf_dir: \"/etc/hadoop/conf\"",
        conf_dir: "/etc/hadoop/conf",
        ..PLAIN
    },
    HostKind {
        name: "hadoop_conf_dir elsewhere",
        make: "mkdir -p '/srv/hadoop 50%'; mv /etc/hadoop/conf/* '/srv/hadoop 50%'; rmdir /etc/hadoop/conf",
        hdp: "hadoop_conf_dir: \"/srv/hadoop 50%\"",
        ..PLAIN
    },
    HostKind {
        name: "krb5.conf elsewhere",
        make: "mv /etc/krb5.conf /srv/krb5.conf",
        krb5_client: Some("krb5_config: \"/srv/krb5.conf\""),
        ..PLAIN
    },
];

/// Of which the slice tries these.
const SLICE: &[&str] = &[
    "umask 027",
    "other user and group",
    "hadoop_conf_dir elsewhere",
];

/// Runs the command of the unit as systemd would: `$1` is the configuration directory, `$2` the time it gets.
const UNIT: &str = r#"
unit=/usr/lib/systemd/system/flume-agent@.service
dropin=/etc/systemd/system/flume-agent@.service.d/10-provision.conf
cat $unit $dropin 2>/dev/null >/root/unit
last() { sed -n "s/^$1=//p" /root/unit | tail -n 1; }
sed -n 's/^Environment=//p' /root/unit | sed 's/%%/%/g; s/^"\(.*\)"$/\1/; s/\\\(.\)/\1/g' >/root/environment
line=$(last ExecStart | sed 's/[$][$]/$/g; s/%i/a1/')
{
    echo "umask $(last UMask)"
    echo 'export STATE_DIRECTORY=/var/lib/flume HOME=/var/lib/flume PATH=/usr/bin:/bin'
    while IFS= read -r pair; do printf "export '%s'\n" "$pair"; done </root/environment
    printf 'cd /var/lib/flume; exec %s\n' "$line"
} >/root/command
echo "user $(last User)"
timeout --signal TERM --kill-after 60 "$2" env -i setpriv --reuid "$(last User)" --regid "$(last Group)" --init-groups sh 2>&1 </root/command
"#;

/// The agent that the unit runs: ten events into a file below `/tmp/hosts`, found by Hadoop's configuration alone.
fn flume_conf(kind: &HostKind, directory: &str) -> String {
    let mut text = "a1.sources = r1\na1.channels = c1\na1.sinks = k1\na1.sources.r1.type = seq\n\
         a1.sources.r1.totalEvents = 10\na1.sources.r1.channels = c1\na1.channels.c1.type = memory\n\
         a1.sinks.k1.channel = c1\n"
        .to_string();
    if kind.krb5_client.is_none() {
        return text
            + "a1.sinks.k1.type = file_roll\na1.sinks.k1.sink.directory = /var/lib/flume\n";
    }
    text += &format!(
        "a1.sinks.k1.type = hdfs\na1.sinks.k1.hdfs.path = {directory}\na1.sinks.k1.hdfs.fileType = DataStream\n\
         a1.sinks.k1.hdfs.kerberosPrincipal = flume/_HOST@FLUME.TEST\n\
         a1.sinks.k1.hdfs.kerberosKeytab = {}/flume.service.keytab\n",
        kind.conf_dir
    );
    text
}

fn node_json(kind: &HostKind) -> String {
    let client = kind.krb5_client.map_or(String::new(), |more| {
        format!("krb5_client: {{ kadmin_principal: \"{ADMIN}\" {more} }}")
    });
    format!("{{ hdp: {{ {} }} {client} {} }}\n", kind.hdp, kind.beside)
}

/// All kinds, or those of the slice.
pub(super) fn show(slice: bool) -> Result<Vec<Row>> {
    let mut cluster = Cluster::start(Layout::kerberos(1, Protection::Privacy, false))?;
    cluster.kdc()?.start_kadmind()?;
    let krb5 = cluster.kdc()?.krb5_conf();
    let site = Site { cluster, krb5 };
    site.cluster
        .admin(&["fs", "-mkdir", "-m", "1777", "/tmp/hosts"])?;
    let mut rows = vec![];
    for kind in KINDS {
        if !slice || SLICE.contains(&kind.name) {
            rows.extend(one(&site, kind)?);
        }
    }
    if slice {
        return Ok(rows);
    }
    rows.extend(replica(&site)?);
    rows.extend(by_dns(&site)?);
    rows.extend(ansible(&site)?);
    Ok(rows)
}

/// A cluster with its realm.
struct Site {
    cluster: Cluster,
    /// `krb5.conf` of its clients; the KDC's files are beside it.
    krb5: PathBuf,
}

impl Site {
    fn krb5_conf(&self) -> Result<String> {
        std::fs::read_to_string(&self.krb5).with_context(|| self.krb5.display().to_string())
    }
}

/// A host with Hadoop's and Kerberos' configuration in their usual places.
fn start(site: &Site, kind: &HostKind, krb5_conf: &str) -> Result<Host> {
    let host = Host::start(&[site.cluster.dir()])?;
    host.says(&format!(
        "rm -rf /etc/hadoop /etc/systemd/system/flume-agent@.service.d; mkdir -p /etc/hadoop/conf; cp {}/*.xml /etc/hadoop/conf",
        site.cluster.client_conf().display()
    ))?;
    host.write("/etc/krb5.conf", krb5_conf, "0644")?;
    host.write("/root/node.json", &node_json(kind), "0600")?;
    host.write("/root/password", ADMIN_PASSWORD, "0600")?;
    if !kind.make.is_empty() {
        host.says(kind.make)?;
    }
    Ok(host)
}

fn one(site: &Site, kind: &HostKind) -> Result<Vec<Row>> {
    let host = start(site, kind, &site.krb5_conf()?)?;
    let mut rows = twice(&host, kind, "")?;
    rows.extend(proved(site, &host, kind)?);
    Ok(rows)
}

fn row(kind: &str, item: &str, pass: bool, transcript: String) -> Row {
    let value = if pass { "so" } else { "not so" };
    Row {
        transcript,
        ..Row::new(format!("host, {kind}: {item}"), value, "so", pass)
    }
}

/// Provisions twice; the second run changes nothing.
fn twice(host: &Host, kind: &HostKind, steps: &str) -> Result<Vec<Row>> {
    let built = program().canonicalize()?;
    let line = format!(
        "{} {} provision --config /root/node.json --from-self --kadmin-password-stdin {steps} </root/password",
        kind.before,
        built.display()
    );
    let mut rows = vec![];
    for (item, wanted) in [("provisioned", "OK"), ("again", "PASS")] {
        let output = host.shell(&line)?;
        let text = said(&output);
        let words = verdicts(&text);
        let pass =
            output.status.success() && !words.is_empty() && words.iter().all(|word| word == wanted);
        rows.push(row(kind.name, item, pass, format!("# {line}\n{text}")));
    }
    Ok(rows)
}

/// What `doctor` says, and what the unit's command does.
fn proved(site: &Site, host: &Host, kind: &HostKind) -> Result<Vec<Row>> {
    let directory = format!("/tmp/hosts/{}", kind.name.replace(' ', "-"));
    host.write(
        &format!("{}/flume.conf", kind.conf_dir),
        &flume_conf(kind, &directory),
        "0644",
    )?;
    let doctor = said(&host.shell("/usr/bin/flume-ng doctor")?);
    // This machine's disk is not the host's fault.
    let sick = doctor
        .lines()
        .any(|line| line.starts_with("DO ") && !line.contains("space of"));
    let mut rows = vec![row(
        kind.name,
        "doctor",
        !sick && doctor.contains("OK "),
        doctor,
    )];
    let text = said(&host.shell(&format!("set -- '{}' 20\n{UNIT}", kind.conf_dir))?);
    let as_user = text.contains(&format!("user {}\n", kind.user));
    let written = if kind.krb5_client.is_some() {
        site.cluster
            .admin(&["fs", "-cat", &format!("{directory}/*")])
            .unwrap_or_default()
    } else {
        said(&host.shell("cat /var/lib/flume/*-*")?)
    };
    let numbers: Vec<_> = written
        .lines()
        .map(str::trim)
        .filter(|line| line.parse::<u32>().is_ok())
        .collect();
    let all = numbers.len() == 10;
    rows.push(row(
        kind.name,
        "the unit's command writes",
        as_user && all,
        text + &written,
    ));
    Ok(rows)
}

/// The first KDC that clients find is a replica that gets what the primary has now and then.
fn replica(site: &Site) -> Result<Vec<Row>> {
    let kind = HostKind {
        name: "primary and replica",
        make: "printf '127.0.0.1 node2.flume.test node2 localhost\\n' >/etc/hosts; hostname node2",
        ..PLAIN
    };
    let original = site.krb5_conf()?;
    let copy = tempfile::tempdir()?;
    let replica = Replica::prepare(site, copy.path())?;
    replica.propagate()?;
    let mut server = replica.server();
    server.up()?;
    let first = format!("    kdc = 127.0.0.1:{}\n    kdc = ", replica.port);
    let host = start(site, &kind, &original.replacen("    kdc = ", &first, 1))?;
    let mut rows = twice(&host, &kind, "configure install kerberos")?;
    server.kill();
    replica.propagate()?;
    server.up()?;
    rows.extend(twice(&host, &kind, "")?.split_off(1));
    rows.extend(proved(site, &host, &kind)?);
    Ok(rows)
}

/// A KDC beside the primary one, with a copy of its database.
struct Replica<'a> {
    primary: &'a Path,
    dir: &'a Path,
    port: u16,
    kdc_conf: String,
}

impl<'a> Replica<'a> {
    fn prepare(site: &'a Site, dir: &'a Path) -> Result<Replica<'a>> {
        let primary = site.krb5.parent().context("no directory")?;
        let port = free_port();
        let text = std::fs::read_to_string(primary.join("kdc.conf"))?;
        let here = dir.display().to_string();
        let there = primary.display().to_string();
        let mut lines = vec![];
        for line in text.replace(&there, &here).lines() {
            if line.contains("_listen = ") {
                let (key, _) = line.split_once('=').context("no key")?;
                if key.contains("kdc_") {
                    lines.push(format!("{key}= 127.0.0.1:{port}"));
                }
            } else {
                lines.push(line.to_string());
            }
        }
        Ok(Replica {
            primary,
            dir,
            port,
            kdc_conf: lines.join("\n") + "\n",
        })
    }

    /// Copies the database, as `kprop` does.
    fn propagate(&self) -> Result<()> {
        std::fs::write(self.dir.join("kdc.conf"), &self.kdc_conf)?;
        std::fs::copy(self.primary.join("stash"), self.dir.join("stash"))?;
        let dump = self.dir.join("dump");
        for (home, words) in [(self.primary, "dump"), (self.dir, "load")] {
            let output = Command::new("kdb5_util")
                .args(["-r", "FLUME.TEST", words])
                .arg(&dump)
                .env("KRB5_CONFIG", self.primary.join("krb5.conf"))
                .env("KRB5_KDC_PROFILE", home.join("kdc.conf"))
                .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
                .output()?;
            ensure!(
                output.status.success(),
                "kdb5_util {words}: {}",
                said(&output)
            );
        }
        Ok(())
    }

    fn server(&self) -> Daemon {
        let command = ["/usr/sbin/krb5kdc", "-n", "-P"].map(String::from).to_vec();
        let pid = self.dir.join("pid").display().to_string();
        let log = self.dir.join("replica.log");
        Daemon::new(
            "replica",
            &log,
            [command, vec![pid]].concat(),
            Ready::Port(self.port),
        )
        .with_env(
            "KRB5_CONFIG",
            &self.primary.join("krb5.conf").display().to_string(),
        )
        .with_env(
            "KRB5_KDC_PROFILE",
            &self.dir.join("kdc.conf").display().to_string(),
        )
    }
}

/// `krb5.conf` names no realm: a name server does.
fn by_dns(site: &Site) -> Result<Vec<Row>> {
    need(&[("dnsmasq", "dnsmasq-base")])?;
    let kind = HostKind {
        name: "realm by DNS",
        make: "printf '127.0.0.1 node3.flume.test node3 localhost\\n' >/etc/hosts; hostname node3; rm -f /etc/resolv.conf; \
               printf 'nameserver 127.0.5.3\\n' >/etc/resolv.conf",
        krb5_client: Some("realm: \"FLUME.TEST\""),
        ..PLAIN
    };
    let text = site.krb5_conf()?;
    let port = |key: &str| -> Result<String> {
        let line = text.lines().find(|line| line.trim().starts_with(key));
        let port = line
            .and_then(|line| line.rsplit_once(':'))
            .context("no port")?
            .1;
        Ok(port.trim().to_string())
    };
    let log = tempfile::NamedTempFile::new()?;
    let mut command: Vec<String> = [
        "/usr/sbin/dnsmasq",
        "--keep-in-foreground",
        "--no-resolv",
        "--no-hosts",
        "--bind-interfaces",
        "--listen-address=127.0.5.3",
        "--port=53",
        "--pid-file=",
        "--user=root",
        "--address=/localhost.flume.test/127.0.0.1",
    ]
    .map(String::from)
    .to_vec();
    for (service, key) in [("kerberos", "kdc ="), ("kerberos-adm", "admin_server =")] {
        for protocol in ["tcp", "udp"] {
            let port = port(key)?;
            command.push(format!(
                "--srv-host=_{service}._{protocol}.FLUME.TEST,localhost.flume.test,{port}"
            ));
        }
    }
    let mut server = Daemon::new("dnsmasq", log.path(), command, Ready::Logged("started", 1));
    server.up()?;
    let without: Vec<_> = text
        .lines()
        .filter(|line| {
            let line = line.trim();
            !["dns_lookup_kdc", "kdc =", "admin_server", "kpasswd_server"]
                .iter()
                .any(|word| line.starts_with(word))
        })
        .collect();
    let without = without.join("\n").replace("FLUME.TEST = {\n  }\n", "");
    let host = start(site, &kind, &(without + "\n"))?;
    let mut rows = twice(&host, &kind, "")?;
    rows.extend(proved(site, &host, &kind)?);
    Ok(rows)
}

/// The role as a site runs it, with its defaults and with everything set.
fn ansible(site: &Site) -> Result<Vec<Row>> {
    let tools = target().join("ansible-core");
    if !tools.join("bin/ansible-playbook").exists() {
        need(&[("python3", "python3")])?;
        let install = format!(
            "python3 -m venv {0} && {0}/bin/pip install --quiet ansible-core",
            tools.display()
        );
        let output = Command::new("sh").args(["-c", &install]).output()?;
        ensure!(output.status.success(), "{}", said(&output));
    }
    let mut rows = vec![];
    for (name, variables, user, conf_dir) in [
        (
            "Ansible, defaults",
            String::new(),
            "flume",
            "/etc/flume/conf",
        ),
        (
            "Ansible, all set",
            format!(
                "flume_user: svc\nflume_group: pipeline\nflume_conf_dir: /etc/flume/site\nflume_realm: FLUME.TEST\n\
                 flume_kadmin_principal: {ADMIN}\nflume_kadmin_password: {ADMIN_PASSWORD}\n\
                 flume_hadoop_conf_dir: /etc/hadoop/conf\nflume_proxy_users: [alice]\n"
            ),
            "svc",
            "/etc/flume/site",
        ),
    ] {
        let kind = HostKind {
            name,
            krb5_client: (!variables.is_empty()).then_some(""),
            user,
            conf_dir,
            make: "printf '127.0.0.1 node4.flume.test node4 localhost\\n' >/etc/hosts; hostname node4",
            ..PLAIN
        };
        let host = start(site, &kind, &site.krb5_conf()?)?;
        if variables.is_empty() {
            host.says("rm -r /etc/hadoop")?;
        }
        // The package of a repository, as far as this host can tell: its files, and nothing more.
        host.says(&package(&program().canonicalize()?))?;
        host.write(
            "/root/variables.yml",
            &format!("dummy: 1\n{variables}"),
            "0600",
        )?;
        let play = "- hosts: all\n  roles: [flume]\n";
        host.write("/root/site.yml", play, "0644")?;
        let line = format!(
            "cp -r {}/packaging/ansible/roles /root/; cd /root; export HOME=/root ANSIBLE_HOME=/root/.ansible; \
             {}/bin/ansible-playbook -i localhost, -c local -e @/root/variables.yml site.yml",
            root().canonicalize()?.display(),
            tools.canonicalize()?.display()
        );
        for (item, wanted) in [("the role", "failed=0"), ("the role again", "changed=0")] {
            let output = host.shell(&line)?;
            let text = said(&output);
            let pass =
                output.status.success() && text.contains(wanted) && !text.contains(ADMIN_PASSWORD);
            rows.push(row(name, item, pass, text));
        }
        rows.extend(proved(site, &host, &kind)?);
    }
    Ok(rows)
}

/// Shell that builds a .deb of the program's files and installs it, without the tools that make the real packages.
fn package(program: &Path) -> String {
    let root = root().canonicalize().unwrap_or_else(|_| root());
    format!(
        "set -e; p=/root/package; mkdir -p $p/DEBIAN $p/usr/bin $p/etc/flume/conf $p/usr/lib/systemd/system; \
         cp {program} $p/usr/bin/flume-ng; cp {root}/packaging/conf/* $p/etc/flume/conf/; \
         cp '{root}/packaging/systemd/flume-agent@.service' $p/usr/lib/systemd/system/; \
         cp {root}/packaging/deb/* $p/DEBIAN/; chmod 755 $p/DEBIAN/*; chmod 755 $p/etc $p/etc/flume $p/etc/flume/conf; \
         printf 'Package: flume-ng\\nVersion: 0.1.0-1\\nArchitecture: all\\nMaintainer: x <x@flume.test>\\nDescription: x\\n' >$p/DEBIAN/control; \
         dpkg-deb --root-owner-group -b $p /root/p.deb >/dev/null; dpkg -i /root/p.deb",
        program = program.display(),
        root = root.display(),
    )
}

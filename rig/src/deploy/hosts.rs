//! Hosts as sites have them. Each is provisioned twice and examined. Then the unit's own command, as the unit's user,
//! writes into HDFS.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use flume_cluster::{
    ADMIN, ADMIN_PASSWORD, Cluster, Daemon, Layout, Protection, REALM, Ready, Security, need,
};

use super::{
    Row,
    host::{Host, said},
    role, verdicts,
};
use crate::agents::{program, root};

/// A kind of host.
struct Kind {
    /// What is unusual about it.
    name: &'static str,
    /// The full name that the machine has.
    host: &'static str,
    /// The node configuration besides Kerberos.
    node: &'static str,
    /// Makes it so: a line of shell, with `$KDC` and `$REPLICA`.
    make: &'static str,
    /// How it is provisioned.
    means: Means,
    /// What `doctor` still finds to do, if that is right.
    to_do: &'static str,
}

/// How a host is provisioned.
#[derive(Clone, Copy)]
enum Means {
    /// By hand, after this line of shell.
    Command(&'static str),
    /// By the Ansible role, with these variables.
    Role(&'static str),
}

const USUAL: Kind = Kind {
    name: "as packaged",
    host: "plain.flume.test",
    node: "",
    make: "",
    means: Means::Command(""),
    to_do: "",
};

/// A realm whose KDCs are found by DNS alone. `kadmin` asks DNS for no server, so that one is named.
const REALM_BY_DNS: &str =
    "sed -i \"s/krb5_client: {/&kadmin_server: \\\"$KADMIND\\\", /\" /root/node.json
sed -i -e 's/dns_lookup_kdc = .*/dns_lookup_kdc = true/' -e '/^\\[realms\\]/,/^  }/d' /etc/krb5.conf
rm -f /etc/resolv.conf; echo 'nameserver 127.0.0.153' >/etc/resolv.conf";
const REPLICA_FIRST: &str =
    "sed -i \"s/kdc = .*/kdc = $REPLICA\\n    kdc = $KDC\\n    primary_kdc = $KDC/\" /etc/krb5.conf
sed -i 's/dns_lookup_.*//' /etc/krb5.conf";

/// Those of a realm.
#[rustfmt::skip]
const KERBERIZED: &[Kind] = &[
    USUAL,
    Kind { name: "primary and replica KDC", host: "replica.flume.test", make: REPLICA_FIRST, ..USUAL },
    Kind { name: "realm by DNS", host: "dns.flume.test", make: REALM_BY_DNS, ..USUAL },
    Kind { name: "umask 027", host: "umask.flume.test", means: Means::Command("umask 027"), ..USUAL },
    Kind { name: "upper case", host: "UPPER.Flume.Test", ..USUAL },
    Kind { name: "no domain, host is set", host: "short", node: "host: \"short.flume.test\",",
        to_do: "DO  name", ..USUAL },
    Kind { name: "other user and group", host: "user.flume.test", node: "hdp: {flume_user: \"svc\", flume_group: \"ops\"},", ..USUAL },
    Kind { name: "other configuration directory", host: "conf.flume.test", node: "hdp: {flume_conf_dir: \"/srv/flume conf/50%\"},", ..USUAL },
    Kind { name: "hadoop_conf_dir elsewhere", host: "hadoop.flume.test", node: "hdp: {hadoop_conf_dir: \"/srv/hadoop\"},",
        make: "mv /etc/hadoop/conf /srv/hadoop", ..USUAL },
    Kind { name: "Ansible, defaults", host: "role.flume.test", means: Means::Role(""), ..USUAL },
    Kind { name: "Ansible, all settings", host: "site.flume.test", make: "mv /etc/hadoop/conf /srv/hadoop; $KADMIN addpol service",
        means: Means::Role("flume_user: svc\nflume_group: ops\nflume_conf_dir: /srv/flume/conf\nflume_hadoop_conf_dir: /srv/hadoop\n\
            flume_kadmin_policy: service\n"), ..USUAL },
];

/// Those without Kerberos.
const SIMPLE: &[Kind] = &[Kind {
    name: "no domain, no Kerberos",
    host: "bare",
    ..USUAL
}];

/// Where the name server of [`REALM_BY_DNS`] listens: one may only name port 53.
const NAME_SERVER: &str = "127.0.0.153";

/// The unit and its drop-ins, as systemd would start it, until ten events are in HDFS.
const RUN_UNIT: &str = r#"
unit() { cat /usr/lib/systemd/system/flume-agent@.service /etc/systemd/system/flume-agent@.service.d/*.conf 2>/dev/null; }
setting() { unit | sed -n "s/^$1=//p" | tail -n 1; }
user=$(setting User); group=$(setting Group)
set -- PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/var/lib/flume USER="$user" LOGNAME="$user" \
    STATE_DIRECTORY=/var/lib/flume LOGS_DIRECTORY=/var/log/flume
unit | sed -n 's/^Environment=//p' | sed 's/%%/%/g' >/root/environment
while IFS= read -r line; do eval "set -- \"\$@\" $line"; done </root/environment
conf=$(env -i "$@" printenv FLUME_CONF_DIR)
login=
if test -e "$conf/flume.service.keytab"; then
    principal=$(klist -k "$conf/flume.service.keytab" | tail -n 1 | sed 's/.* //')
    login="a1.sinks.k1.hdfs.kerberosPrincipal = $principal
a1.sinks.k1.hdfs.kerberosKeytab = $conf/flume.service.keytab"
fi
cat >"$conf/flume.conf" <<END
a1.sources = r1
a1.channels = c1
a1.sinks = k1
a1.sources.r1.type = seq
a1.sources.r1.totalEvents = 10
a1.sources.r1.channels = c1
a1.channels.c1.type = memory
a1.sinks.k1.type = hdfs
a1.sinks.k1.channel = c1
a1.sinks.k1.hdfs.path = $OUT
a1.sinks.k1.hdfs.fileType = DataStream
$login
END
# No blank may be in a word of the service's command but where it is quoted, as for systemd.
printf 'exec %s\n' "$(setting ExecStart | sed 's/[$][$]/$/g; s/%i/a1/g')" >/root/command
as_service() { exec env -i "$@" setpriv --reuid "$user" --regid "$group" --init-groups sh -c "umask $(setting UMask); cd /var/lib/flume; exec sh"; }
as_service "$@" </root/command >/root/said 2>&1 & agent=$!
for n in $(seq 240); do
    kill -0 $agent 2>/dev/null || break
    echo '/usr/bin/flume-ng status --name a1 --format json' | as_service "$@" 2>/dev/null |
        grep -Eq '"EventDrainSuccessCount": ?10\b' && break
    sleep 0.5
done
kill -TERM $agent; wait $agent; echo "agent ended with $?"; cat /root/said
"#;

/// What the hosts of one table have in common.
struct Surroundings {
    cluster: Cluster,
    /// Lines of shell with `$KDC`, `$REPLICA` and `$KADMIN`.
    variables: String,
    /// For hosts that Ansible provisions.
    role: Option<role::Role>,
    /// They live as long as the hosts.
    _servers: Vec<Daemon>,
}

/// All of them.
pub(super) fn show() -> Result<Vec<Row>> {
    let kerberized = Surroundings::with_realm()?;
    let mut rows = kerberized.rows(KERBERIZED)?;
    drop(kerberized);
    let simple = Surroundings {
        cluster: Cluster::start(Layout::simple(1))?,
        variables: String::new(),
        role: None,
        _servers: vec![],
    };
    rows.extend(simple.rows(SIMPLE)?);
    Ok(rows)
}

impl Surroundings {
    fn with_realm() -> Result<Surroundings> {
        let mut cluster = Cluster::start(Layout::kerberos(1, Protection::Privacy, false))?;
        let kdc = cluster.kdc()?;
        kdc.start_kadmind()?;
        let administrator = format!("addprinc -pw {} {}", role::PASSWORD, role::ADMINISTRATOR);
        kdc.admin(&administrator)?;
        let (replica, address) = kdc.start_replica()?;
        let log = kdc.krb5_conf().with_file_name("names.log");
        let names = name_server(&kdc.address(), &kdc.admin_address(), &log)?;
        let profile = kdc.krb5_conf().with_file_name("kdc.conf");
        let variables = format!(
            "KDC={} REPLICA={address} KADMIND={}\nexport KRB5_KDC_PROFILE={}\nKADMIN='kadmin.local -r {REALM}'\n",
            kdc.address(),
            kdc.admin_address(),
            profile.display()
        );
        Ok(Surroundings {
            cluster,
            variables,
            role: Some(role::Role::make()?),
            _servers: vec![replica, names],
        })
    }

    fn rows(&self, kinds: &[Kind]) -> Result<Vec<Row>> {
        let row = |kind: &Kind| {
            self.show(kind)
                .with_context(|| format!("host `{}`", kind.name))
        };
        kinds.iter().map(row).collect()
    }

    /// One host, from bare to events in HDFS.
    fn show(&self, kind: &Kind) -> Result<Row> {
        let packaging = root().join("packaging");
        let host = Host::start(kind.host, &[self.cluster.dir(), &packaging])?;
        self.furnish(&host, kind)?;
        let mut seen = Seen::default();
        match kind.means {
            Means::Command(before) => {
                let built = program().canonicalize()?;
                let provision = format!(
                    "{before}\n{} provision --from-self --config /root/node.json",
                    built.display()
                );
                let kerberos = if self.has_realm() { "OK" } else { "PASS" };
                for (what, want) in [
                    ("first", ["OK", "OK", kerberos, "OK"]),
                    ("again", ["PASS"; 4]),
                ] {
                    let output = host.shell(&provision)?;
                    let fine = verdicts(&said(&output)) == want;
                    seen.note(what, output.status.success() && fine, &said(&output));
                }
            }
            Means::Role(variables) => {
                let role = self.role.as_ref().context("no Ansible")?;
                for (what, fine, text) in role.play(&host, variables)? {
                    seen.note(what, fine, &text);
                }
            }
        }
        let directory = format!("/tmp/{}", kind.host);
        let output = host.shell(&format!("OUT={directory}\n{RUN_UNIT}"))?;
        let written = self
            .written(&directory)
            .unwrap_or_else(|error| format!("{error:#}"));
        let text = said(&output) + &written;
        seen.note("unit", written.lines().count() == 10, &text);
        let text = said(&host.shell("/usr/bin/flume-ng doctor")?);
        seen.note("doctor", is_well(&text, kind.to_do), &text);
        Ok(seen.row(kind.name))
    }

    fn has_realm(&self) -> bool {
        self.cluster.layout().security != Security::Simple
    }

    /// What a host has before it is provisioned: Kerberos' and Hadoop's configuration, a node configuration.
    fn furnish(&self, host: &Host, kind: &Kind) -> Result<()> {
        for entry in fs::read_dir(self.cluster.client_conf())? {
            let path = entry?.path();
            if path.extension().is_none_or(|end| end != "xml") {
                continue;
            }
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let text = fs::read_to_string(&path)?;
            host.write(&format!("/etc/hadoop/conf/{name}"), &text, "0644")?;
        }
        let mut node = kind.node.to_string();
        if self.has_realm() {
            let conf = fs::read_to_string(self.cluster.dir().join("kdc/krb5.conf"))?;
            let lines = conf.lines().filter(|line| !line.contains("ccache_name"));
            let lines: Vec<_> = lines.collect();
            host.write("/etc/krb5.conf", &(lines.join("\n") + "\n"), "0644")?;
            host.write("/root/password", &format!("{ADMIN_PASSWORD}\n"), "0600")?;
            node += &format!(
                "krb5_client: {{kadmin_principal: \"{ADMIN}\", kadmin_password_file: \"password\"}}"
            );
        }
        host.write("/root/node.json", &format!("{{{node}}}\n"), "0600")?;
        host.says(&format!("{}{}", self.variables, kind.make))?;
        Ok(())
    }

    /// The lines of all files in a directory of HDFS.
    fn written(&self, directory: &str) -> Result<String> {
        self.cluster
            .admin(&["fs", "-cat", &format!("{directory}/*")])
    }
}

/// Whether `doctor` found nothing to do besides `known`. It sees the agents of the whole machine, not those of the host.
fn is_well(said: &str, known: &str) -> bool {
    let ours = |line: &&str| line.starts_with("DO ") && !line.starts_with("DO  open files of");
    let mut to_do = said.lines().filter(ours);
    said.contains("OK  ") && to_do.all(|line| !known.is_empty() && line.starts_with(known))
}

/// What was seen of a host, part by part.
#[derive(Default)]
struct Seen {
    parts: Vec<String>,
    failed: bool,
    transcript: String,
}

impl Seen {
    fn note(&mut self, part: &str, fine: bool, said: &str) {
        let verdict = if fine { "" } else { " FAILED" };
        self.parts.push(format!("{part}{verdict}"));
        self.failed |= !fine;
        self.transcript += &format!("# {part}\n{said}\n");
    }

    fn row(self, name: &str) -> Row {
        let item = format!("host: {name}");
        Row {
            transcript: self.transcript,
            ..Row::new(item, self.parts.join(", "), "all of it works", !self.failed)
        }
    }
}

/// A name server that knows where the realm's servers are, and nothing else.
fn name_server(kdc: &str, kadmind: &str, log: &Path) -> Result<Daemon> {
    need(&[("dnsmasq", "dnsmasq-base")])?;
    let port = |address: &str| address.rsplit(':').next().unwrap_or_default().to_string();
    let mut command: Vec<String> = [
        "dnsmasq",
        "--keep-in-foreground",
        "--no-resolv",
        "--no-hosts",
    ]
    .map(String::from)
    .into();
    command.extend(["--conf-file=/dev/null", "--pid-file", "--bind-interfaces"].map(String::from));
    command.push(format!("--listen-address={NAME_SERVER}"));
    command.push("--address=/flume.test/127.0.0.1".into());
    let services = [
        ("_kerberos._udp", port(kdc)),
        ("_kerberos._tcp", port(kdc)),
        ("_kerberos-adm._tcp", port(kadmind)),
    ];
    for (service, port) in services {
        command.push(format!(
            "--srv-host={service}.{REALM},kdc.flume.test,{port}"
        ));
    }
    command.push("--log-facility=-".into());
    let mut server = Daemon::new("dnsmasq", log, command, Ready::Logged("started", 1));
    server.up()?;
    Ok(server)
}

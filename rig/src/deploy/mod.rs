//! From a bare host to a checked service: `provision` twice, on every kind of host; everything that can be wrong; the
//! packages.

mod adversary;
mod cluster;
mod deb;
mod faults;
mod host;
mod hosts;
mod packages;
mod role;
mod scripts;
mod systemd;

use std::path::PathBuf;

pub use adversary::watcher;
use anyhow::{Context, Result};
use faults::{TROUBLES, Trouble};
use flume_cluster::{ADMIN, ADMIN_PASSWORD, Kdc, need};
use host::{Host, said};

use crate::{agents::program, report::Report};

/// Something that was shown.
struct Row {
    /// What.
    item: String,
    /// What was seen.
    value: String,
    /// What was wanted.
    want: &'static str,
    /// Whether it was so.
    pass: bool,
    /// Everything that was said.
    transcript: String,
}

impl Row {
    fn new(
        item: impl Into<String>,
        value: impl Into<String>,
        want: &'static str,
        pass: bool,
    ) -> Row {
        Row {
            item: item.into(),
            value: value.into(),
            want,
            pass,
            transcript: String::new(),
        }
    }

    /// What a line of shell printed, and what it had to say.
    fn said(name: &str, line: &str, text: &str, says: &[&str]) -> Row {
        let missing: Vec<_> = says
            .iter()
            .filter(|words| !text.contains(**words))
            .collect();
        let value = if missing.is_empty() {
            "as wanted".to_string()
        } else {
            format!("not said: {missing:?}")
        };
        Row {
            transcript: format!("# {line}\n{text}"),
            ..Row::new(name, value, "its message", missing.is_empty())
        }
    }
}

/// As sites write it: bare keys, no commas.
const NODE: &str = r#"{
    "hdp": {
        flume_user: "flume"
        flume_group: "flume"
        flume_conf_dir: "/etc/flume/conf"
    }
    krb5_client: { kadmin_principal: "@ADMIN@" kadmin_password_file: "password" }
}
"#;

/// Something that is shown.
type Part = (&'static str, fn() -> Result<Vec<Row>>);

const PARTS: &[Part] = &[
    ("host", host_and_troubles),
    ("hdfs", cluster::show),
    ("hosts", hosts::show),
    ("scripts", scripts::show),
    ("packages", packages::show),
    ("systemd", systemd::show),
];

/// Everything, or some parts by name, with what was said.
pub fn show(report: &mut Report, names: &[&str]) -> Result<()> {
    for (name, part) in PARTS
        .iter()
        .filter(|(name, _)| names.is_empty() || names.contains(name))
    {
        println!("--- deployment: {name}");
        rows(report, part()?, true);
    }
    Ok(())
}

/// Without the packages, which take two tools that are long in the making; what was said only of what went wrong.
pub fn slice(report: &mut Report) -> Result<()> {
    rows(report, host_and_troubles()?, false);
    rows(report, cluster::show()?, false);
    Ok(())
}

fn rows(report: &mut Report, rows: Vec<Row>, transcripts: bool) {
    for row in rows {
        if transcripts || !row.pass {
            println!("--- {}\n{}", row.item, row.transcript.trim_end());
        }
        report.row(&row.item, &row.value, row.want, row.pass);
    }
}

fn host_and_troubles() -> Result<Vec<Row>> {
    need(&[("faketime", "faketime")])?;
    let dir = tempfile::tempdir()?;
    let kdc = Kdc::start_with_kadmind(dir.path())?;
    let bench = Bench {
        host: Host::start(host::NAME, &[dir.path()])?,
        krb5_conf: kdc.krb5_conf(),
        hadoop: None,
    };
    let mut rows = bench.twice("")?;
    for trouble in TROUBLES {
        rows.push(bench.try_out(trouble)?);
    }
    rows.extend(adversary::show(&bench)?);
    Ok(rows)
}

/// A bare host beside a KDC.
struct Bench {
    host: Host,
    /// That of the realm's clients; the KDC's own configuration is beside it.
    krb5_conf: PathBuf,
    /// The directory of `core-site.xml`.
    hadoop: Option<PathBuf>,
}

impl Bench {
    /// Runs a line of shell with everything that is needed in its environment.
    fn run(&self, line: &str) -> Result<(bool, String)> {
        let database = self.krb5_conf.with_file_name("kdc.conf");
        let hadoop = self
            .hadoop
            .as_ref()
            .map(|path| format!("export HADOOP_CONF_DIR={}\n", path.display()));
        let built = program()
            .canonicalize()
            .context("the program is not built")?;
        let prelude = format!(
            "export KRB5_CONFIG={} KRB5_KDC_PROFILE={}\nKADMIN='kadmin.local -r FLUME.TEST'\n\
             KEYTAB=/etc/flume/conf/flume.service.keytab\nPRINCIPAL=flume/{}@FLUME.TEST\n\
             PROVISION='/usr/bin/flume-ng provision --config /root/node.json'\n\
             PROVISION_BUILT='{} provision --config /root/node.json'\n",
            self.krb5_conf.display(),
            database.display(),
            host::NAME,
            built.display(),
        );
        let prelude = prelude + &hadoop.unwrap_or_else(|| "unset HADOOP_CONF_DIR\n".into());
        let output = self.host.shell(&(prelude + line))?;
        Ok((output.status.success(), said(&output)))
    }

    /// Says what it would do, does it, finds it done.
    fn twice(&self, arguments: &str) -> Result<Vec<Row>> {
        self.host
            .write("/root/node.json", &NODE.replace("@ADMIN@", ADMIN), "0600")?;
        self.host
            .write("/root/password", &format!("{ADMIN_PASSWORD}\n"), "0600")?;
        self.host.write("/tmp/plain.json", "{}", "0644")?;
        let mut rows = vec![];
        let (fine, text) = self.run(
            "$PROVISION_BUILT --from-self --dry-run; test ! -e /etc/flume && echo untouched",
        )?;
        let pass = fine
            && text.contains("untouched")
            && verdicts(&text).iter().all(|word| word == "WOULD");
        rows.push(Row {
            transcript: text.clone(),
            ..Row::new("provision, dry", verdicts(&text).join(" "), "WOULD", pass)
        });
        rows.push(Row::new(
            "node configuration as sites write it",
            text.matches("warning[").count().to_string(),
            "1 warning",
            text.matches("warning[").count() == 1,
        ));
        for (item, want) in [("provision, first", "OK"), ("provision, again", "PASS")] {
            let (fine, text) = self.run(&format!("$PROVISION_BUILT --from-self {arguments}"))?;
            let words = verdicts(&text);
            let pass =
                fine && words.iter().all(|word| word == want) && !text.contains(ADMIN_PASSWORD);
            rows.push(Row {
                transcript: text,
                ..Row::new(item, words.join(" "), want, pass)
            });
        }
        Ok(rows)
    }

    /// A run, and what it must say.
    fn say(&self, name: &str, run: &str, says: &[&str]) -> Result<Row> {
        let (_, text) = self.run(run)?;
        Ok(Row::said(name, run, &text, says))
    }

    fn try_out(&self, trouble: &Trouble) -> Result<Row> {
        let Trouble {
            name,
            make,
            run,
            says,
            mend,
        } = trouble;
        let (_, made) = self.run(make)?;
        let row = self.say(name, run, says)?;
        let (_, mended) = self.run(mend)?;
        let transcript = format!("# {make}\n{made}{}# {mend}\n{mended}", row.transcript);
        Ok(Row { transcript, ..row })
    }
}

/// The first word of each step's line.
fn verdicts(text: &str) -> Vec<String> {
    let verdict = |line: &str| {
        let (word, rest) = line.split_once(' ')?;
        let step = rest.trim_start().split(':').next()?;
        let known = ["configure", "install", "kerberos", "check"].contains(&step);
        known.then(|| word.to_string())
    };
    text.lines().filter_map(verdict).collect()
}

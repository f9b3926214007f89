//! From a bare host to a checked service: `provision` twice, everything that can be wrong, both packages.

mod faults;
mod host;
mod packages;

use anyhow::{Context, Result};
use faults::{TROUBLES, Trouble};
use flume_cluster::{ADMIN, ADMIN_PASSWORD, Kdc, need};
use host::{Host, said};

use crate::{agents::program, show::Report};

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
    fn new(item: impl Into<String>, value: impl Into<String>, want: &'static str, pass: bool) -> Row {
        Row { item: item.into(), value: value.into(), want, pass, transcript: String::new() }
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

/// Everything, with what was said.
pub fn show(report: &mut Report) -> Result<()> {
    rows(report, host_and_troubles()?, true);
    rows(report, packages::show()?, true);
    Ok(())
}

/// Without the packages, which take two tools that are long in the making; what was said only of what went wrong.
pub fn slice(report: &mut Report) -> Result<()> {
    rows(report, host_and_troubles()?, false);
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
    let bench = Bench { host: Host::start(&[dir.path()])?, kdc: &kdc };
    let mut rows = bench.twice()?;
    for trouble in TROUBLES {
        rows.push(bench.try_out(trouble)?);
    }
    Ok(rows)
}

/// A bare host beside a KDC.
struct Bench<'a> {
    host: Host,
    kdc: &'a Kdc,
}

impl Bench<'_> {
    /// Runs a line of shell with everything that is needed in its environment.
    fn run(&self, line: &str) -> Result<(bool, String)> {
        let database = self.kdc.krb5_conf().with_file_name("kdc.conf");
        let built = program().canonicalize().context("the program is not built")?;
        let prelude = format!(
            "export KRB5_CONFIG={} KRB5_KDC_PROFILE={}\nKADMIN='kadmin.local -r FLUME.TEST'\n\
             KEYTAB=/etc/flume/conf/flume.service.keytab\nPRINCIPAL=flume/{}@FLUME.TEST\n\
             PROVISION='/usr/bin/flume-ng provision --config /root/node.json'\n\
             PROVISION_BUILT='{} provision --config /root/node.json'\n",
            self.kdc.krb5_conf().display(),
            database.display(),
            host::NAME,
            built.display(),
        );
        let output = self.host.shell(&(prelude + line))?;
        Ok((output.status.success(), said(&output)))
    }

    /// Says what it would do, does it, finds it done.
    fn twice(&self) -> Result<Vec<Row>> {
        self.host.write("/root/node.json", &NODE.replace("@ADMIN@", ADMIN), "0600")?;
        self.host.write("/root/password", &format!("{ADMIN_PASSWORD}\n"), "0600")?;
        self.host.write("/tmp/plain.json", "{}", "0644")?;
        let mut rows = vec![];
        let (fine, text) =
            self.run("$PROVISION_BUILT --from-self --dry-run; test ! -e /etc/flume && echo untouched")?;
        let pass = fine && text.contains("untouched") && verdicts(&text).iter().all(|word| word == "WOULD");
        rows.push(Row {
            transcript: text.clone(),
            ..Row::new("provision, dry", verdicts(&text).join(" "), "WOULD", pass)
        });
        rows.push(Row::new(
            "node configuration as sites write it",
            text.matches("warning:").count().to_string(),
            "1 warning",
            text.matches("warning:").count() == 1,
        ));
        for (item, want) in [("provision, first", "OK"), ("provision, again", "PASS")] {
            let (fine, text) = self.run("$PROVISION_BUILT --from-self")?;
            let words = verdicts(&text);
            let pass = fine && words.iter().all(|word| word == want) && !text.contains(ADMIN_PASSWORD);
            rows.push(Row { transcript: text, ..Row::new(item, words.join(" "), want, pass) });
        }
        Ok(rows)
    }

    fn try_out(&self, trouble: &Trouble) -> Result<Row> {
        let Trouble { name, make, run, says, mend } = trouble;
        let (_, made) = self.run(make)?;
        let (_, text) = self.run(run)?;
        let missing: Vec<_> = says.iter().filter(|words| !text.contains(**words)).collect();
        let value =
            if missing.is_empty() { "as wanted".to_string() } else { format!("not said: {missing:?}") };
        let mended = self.run(mend)?.1;
        let transcript = format!("# {make}\n{made}# {run}\n{text}# {mend}\n{mended}");
        Ok(Row { transcript, ..Row::new(*name, value, "its message", missing.is_empty()) })
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

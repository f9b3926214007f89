//! `flume-ng provision`: from a bare host to a checked service.

use std::{
    io::{self, IsTerminal},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow};
use flume_conf::Document;
use flume_core::secrets::masked;
use flume_deploy::{Node, Outcome, STEPS, Site, Step, Surroundings, Taken, alone, recorded, take};
use flume_host::{
    interrupt,
    trust::{self, MAX_CONFIGURATION_BYTES},
};
use rustix::fs::Mode;
use serde_json::{Value, json};

use crate::{
    args::Args,
    outcome::{ExitCode, Failure, print},
    process::{self, PASSWORD_STDIN, guard_memory, read_password},
    report,
};

const UMASK: u32 = 0o022;

/// Runs the command: exit code 0 unless a step failed.
pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let json = args.wants_json()?;
    let steps = steps(&args.rest)?;
    guard_memory();
    let (around, node) = node(args.get("config"), args.has(PASSWORD_STDIN))?;
    let site = Site {
        node,
        krb5: around.krb5,
        dry_run: args.has("dry-run"),
        package: args.get("package").map(PathBuf::from),
        from_self: args.has("from-self"),
        packaged: args.has("packaged"),
        rotate: args.has("rotate"),
        local: args.has("local"),
        proxy_users: args.all("proxy-user").to_vec(),
        program: std::env::current_exe().context("failed to find this program's own file")?,
    };
    if site.package.is_some() && site.from_self {
        return Err(Failure::Usage(
            "--package and --from-self exclude each other".into(),
        ));
    }
    let _alone = if site.dry_run {
        None
    } else {
        // A signal ends a step on its usual way out, which removes what the step has made.
        interrupt::listen().context("failed to listen to signals")?;
        // What is made for everybody to read must not depend on who runs this.
        rustix::process::umask(Mode::from_raw_mode(UMASK));
        alone().map_err(|fault| anyhow!("{fault}"))?
    };
    let mut all: Vec<Taken> = vec![];
    for step in steps {
        let failed = all
            .iter()
            .find(|taken| taken.outcome == Outcome::Fail)
            .map(|taken| taken.step);
        let taken = match failed {
            Some(failed) => Taken::not_tried(step, failed),
            None => {
                announce(&format!("{} ...", step.name));
                let taken = take(step, &site);
                announce("");
                taken
            }
        };
        if !json {
            print(&masked(&text(&taken)))?;
        }
        all.push(taken);
    }
    if json {
        let steps = masked_texts(json!({ "steps": all }));
        print(&(serde_json::to_string(&steps)? + "\n"))?;
    }
    let failed = all.iter().any(|taken| taken.outcome == Outcome::Fail);
    Ok(if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// The same with every text masked.
pub(crate) fn masked_texts(value: Value) -> Value {
    match value {
        Value::String(text) => masked(&text).into(),
        Value::Array(values) => values.into_iter().map(masked_texts).collect(),
        Value::Object(members) => members
            .into_iter()
            .map(|(name, value)| (name, masked_texts(value)))
            .collect(),
        other => other,
    }
}

/// The host as it shall be: as the file says, else as it was recorded, else by default. What is doubtful about the file
/// is shown on standard error. The administrator's password may come on standard input.
pub(crate) fn node(
    file: Option<&str>,
    password_on_stdin: bool,
) -> Result<(Surroundings, Node), Failure> {
    let path = file.map(PathBuf::from).or_else(recorded);
    let around = Surroundings::of_this_host(None);
    let Some(path) = path else {
        let around = with_password(around, password_on_stdin)?;
        let node = Node::defaults(&around);
        return Ok((around, node));
    };
    let name = path.display().to_string();
    let text = String::from_utf8(read_to_follow(&path)?)
        .map_err(|_| Failure::Usage(format!("{name} is not UTF-8")))?;
    // Kerberos' library and tools take their configuration from the environment. The process begins anew with it before
    // it reads anything from standard input.
    if let Some(files) = Node::read(&name, &text, &around).krb5_config() {
        check_krb5_config(files)?;
        process::have("KRB5_CONFIG", files).context("failed to use krb5_client.krb5_config")?;
    }
    let around = with_password(around, password_on_stdin)?;
    let node = Node::read(&name, &text, &around);
    let mut document = Document::default();
    document.files.push((name.into(), text));
    eprint!("{}", report::human(&document, &node.diagnostics, false));
    Ok((around, node))
}

/// Kerberos' tools read those of the files that are there when they start.
fn check_krb5_config(files: &str) -> Result<(), Failure> {
    for file in std::env::split_paths(files).filter(|file| !file.as_os_str().is_empty()) {
        if !file.is_absolute() {
            return Err(Failure::Usage(format!(
                "krb5_client.krb5_config: `{}` is not an absolute path; write /etc/krb5.conf, for example, and colons \
                 between several",
                file.display()
            )));
        }
        if !trust::stays_missing(&file).map_err(Failure::Usage)? {
            read_to_follow(&file)?;
        }
    }
    Ok(())
}

/// Reads a file that root does what it says: a node configuration names packages' files and `krb5.conf`, and that one names
/// libraries, which Kerberos' tools load.
fn read_to_follow(path: &Path) -> Result<Vec<u8>, Failure> {
    let contents = trust::read(path, MAX_CONFIGURATION_BYTES).map_err(Failure::Usage)?;
    if contents.may_follow {
        return Ok(contents.bytes);
    }
    let name = path.display();
    Err(Failure::Usage(format!(
        "{name}: another user can change this file or a directory on the way to it, so root does not do what it says; \
         copy it to a directory of root's: install -m 0600 {name} /root/"
    )))
}

fn with_password(around: Surroundings, on_stdin: bool) -> Result<Surroundings, Failure> {
    if !on_stdin {
        return Ok(around);
    }
    let password = read_password(std::io::stdin())
        .context("failed to read the password from standard input")?;
    Ok(Surroundings {
        password: Some(password).filter(|password| !password.0.is_empty()),
        ..around
    })
}

/// What is going on, on a terminal: a step may take minutes. Nothing: it is over.
fn announce(doing: &str) {
    if io::stderr().is_terminal() {
        eprint!("\r\x1b[K{doing}");
    }
}

fn steps(names: &[String]) -> Result<Vec<&'static Step>, Failure> {
    let known: Vec<_> = STEPS.iter().map(|step| step.name).collect();
    if let Some(unknown) = names.iter().find(|name| !known.contains(&name.as_str())) {
        return Err(Failure::Usage(format!(
            "there is no step `{unknown}`: {}",
            known.join(", ")
        )));
    }
    // Always in the order of the table, which is the only one that works.
    let wanted = |step: &&Step| names.is_empty() || names.iter().any(|name| name == step.name);
    Ok(STEPS.iter().filter(wanted).collect())
}

/// `OK    install: …`, and what there is to say below it.
fn text(taken: &Taken) -> String {
    let verdict = match taken.outcome {
        Outcome::Ok => "OK",
        Outcome::Pass => "PASS",
        Outcome::Would => "WOULD",
        Outcome::Fail => "FAIL",
    };
    let head = match (&taken.cause, &taken.remedy) {
        (Some(cause), Some(remedy)) => format!("{cause}; {remedy}"),
        _ if taken.changes.is_empty() => "nothing to do".into(),
        _ => taken.changes.join(", "),
    };
    let mut text = format!("{verdict:5} {}: {head}\n", taken.step);
    if taken.outcome == Outcome::Fail && !taken.changes.is_empty() {
        text += &format!("      before that: {}\n", taken.changes.join(", "));
    }
    for note in &taken.notes {
        text += &format!("      {note}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_of_the_outcome_is_masked() {
        let secret = "s3a://KEY:SECRET@bucket/x";
        let steps = json!({ "steps": [{ "name": "check", "tasks": [{ "text": secret }] }] });
        let shown = masked_texts(steps).to_string();
        assert!(!shown.contains("SECRET"), "{shown}");
        assert!(shown.contains("check"), "{shown}");
    }
}

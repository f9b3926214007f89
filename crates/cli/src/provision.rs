//! `flume-ng provision`: from a bare host to a checked service.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, anyhow};
use flume_conf::Document;
use flume_deploy::{Node, Outcome, STEPS, Site, Step, Surroundings, Taken, alone, recorded, take};
use serde_json::json;

use crate::{
    args::Args,
    outcome::{ExitCode, Failure, print},
    report,
};

/// Runs the command: exit code 0 unless a step failed.
pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let json = args.wants_json()?;
    let steps = steps(&args.rest)?;
    let (around, node) = node(args.get("config"))?;
    let site = Site {
        node,
        krb5: around.krb5,
        dry_run: args.has("dry-run"),
        package: args.get("package").map(PathBuf::from),
        from_self: args.has("from-self"),
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
            None => take(step, &site),
        };
        if !json {
            print(&text(&taken))?;
        }
        all.push(taken);
    }
    if json {
        print(&(serde_json::to_string(&json!({ "steps": all }))? + "\n"))?;
    }
    let failed = all.iter().any(|taken| taken.outcome == Outcome::Fail);
    Ok(if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// The host as it shall be: as the file says, else as it was recorded, else by default. What is doubtful about the file
/// is shown on standard error.
pub(crate) fn node(file: Option<&str>) -> Result<(Surroundings, Node), Failure> {
    let around = Surroundings::of_this_host();
    let file = file.map(PathBuf::from).or_else(recorded);
    let Some(path) = file else {
        let node = Node::defaults(&around);
        return Ok((around, node));
    };
    let name = path.display().to_string();
    let bytes = fs::read(&path)
        .map_err(|error| Failure::Usage(format!("{name} cannot be read: {error}")))?;
    let text =
        String::from_utf8(bytes).map_err(|_| Failure::Usage(format!("{name} is not UTF-8")))?;
    let node = Node::read(&name, &text, &around);
    let mut document = Document::default();
    document.files.push((name.into(), text));
    eprint!("{}", report::human(&document, &node.diagnostics, false));
    Ok((around, node))
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

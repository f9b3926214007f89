//! `flume-ng test`: runs the pipeline tests of files, and reports like a test runner.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use flume_conf::Plan;
use flume_core::AgentInfo;
use flume_host::trust::{self, MAX_CONFIGURATION_BYTES};
use flume_pipeline::{Rehearsal, TestFile, rehearse};
use flume_runtime::{Flows, check};
use serde_json::json;

use crate::{
    args::Args,
    configuration::look_at_files,
    graph::escaped_xml,
    outcome::{ExitCode, Failure, print},
    registry::REGISTRY,
    system_properties,
};

#[derive(Clone, Copy)]
enum ReportFormat {
    Text,
    Json,
    Junit,
}

/// Runs the command: exit code 0 if every test passes, 1 if one fails, 2 if a file cannot be used.
pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let format = match args.get("format") {
        None | Some("text") => ReportFormat::Text,
        Some("json") => ReportFormat::Json,
        Some("junit") => ReportFormat::Junit,
        Some(other) => {
            let text = format!("--format takes text, json or junit, not `{other}`");
            return Err(Failure::Usage(text));
        }
    };
    if args.rest.is_empty() {
        return Err(Failure::Usage("which file? flume-ng test FILE...".into()));
    }
    let files = args
        .rest
        .iter()
        .map(|file| run_file(file, args).map(|run| (file.as_str(), run)));
    let files = files
        .collect::<Result<Vec<_>, _>>()
        .map_err(Failure::Usage)?;
    print(&match format {
        ReportFormat::Text => text(&files, args.has("coverage")),
        ReportFormat::Json => json(&files),
        ReportFormat::Junit => junit(&files),
    })?;
    let outcomes = files.iter().flat_map(|(_, run)| &run.outcomes);
    let all_passed = outcomes
        .into_iter()
        .all(|outcome| outcome.differences.is_empty());
    Ok(if all_passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn run_file(name: &str, args: &Args) -> Result<Rehearsal, String> {
    let contents = trust::read(Path::new(name), MAX_CONFIGURATION_BYTES)?;
    let text = String::from_utf8(contents.bytes).map_err(|_| format!("{name} is not UTF-8"))?;
    let file = TestFile::parse(name, &text)?;
    let directory = Path::new(name).parent().unwrap_or(Path::new(""));
    let paths: Vec<PathBuf> = file
        .config
        .names()
        .iter()
        .map(|path| directory.join(path))
        .collect();
    let properties = system_properties::of_agent(&args.properties);
    let conf_dir = args.get("conf").map(PathBuf::from);
    let document = look_at_files(paths, &properties, conf_dir.as_deref())
        .map_err(|error| format!("{name}: config: {error}"))?;
    let agents = document.agents();
    let agent = match (&file.agent, &agents[..]) {
        (Some(agent), _) if agents.contains(agent) => agent.clone(),
        (None, [one]) => one.clone(),
        _ => {
            return Err(format!(
                "{name}: agent: the configuration has: {}",
                agents.join(", ")
            ));
        }
    };
    let info = Arc::new(AgentInfo {
        name: agent.clone(),
        conf_dir,
        system_properties: properties,
        ..AgentInfo::default()
    });
    // What cannot run here, a class of somebody else for one, still has its place in the flow.
    let plan: Plan = check(document.plan(&agent, &REGISTRY), &info, Flows::Halves);
    Ok(rehearse(&file, &plan, &REGISTRY, &info))
}

fn text(files: &[(&str, Rehearsal)], coverage: bool) -> String {
    let mut out = String::new();
    let mut failed = 0;
    let mut passed = 0;
    for (file, run) in files {
        for outcome in &run.outcomes {
            if outcome.differences.is_empty() {
                passed += 1;
                let _ = writeln!(out, "ok    {file}: {}", outcome.name);
                continue;
            }
            failed += 1;
            let _ = writeln!(out, "FAIL  {file}: {}", outcome.name);
            for difference in &outcome.differences {
                let _ = writeln!(out, "  {difference}");
            }
        }
        if coverage {
            let _ = writeln!(
                out,
                "{file}: tests take {} of {} routes",
                run.routes - run.untaken.len(),
                run.routes
            );
            for route in &run.untaken {
                let _ = writeln!(out, "  not taken: {}: {}", route.source, route.text);
            }
        }
    }
    let _ = writeln!(out, "{passed} passed, {failed} failed");
    out
}

fn json(files: &[(&str, Rehearsal)]) -> String {
    let files: Vec<_> = files
        .iter()
        .map(|(file, run)| {
            let tests = run.outcomes.iter().map(|outcome| {
                json!({
                    "name": outcome.name,
                    "passed": outcome.differences.is_empty(),
                    "differences": outcome.differences,
                    "seconds": outcome.took.as_secs_f64(),
                })
            });
            let untaken = run
                .untaken
                .iter()
                .map(|route| json!({"source": route.source, "route": route.text}));
            json!({
                "file": file,
                "tests": tests.collect::<Vec<_>>(),
                "routes": run.routes,
                "untaken": untaken.collect::<Vec<_>>(),
            })
        })
        .collect();
    json!({ "files": files }).to_string() + "\n"
}

fn junit(files: &[(&str, Rehearsal)]) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    for (file, run) in files {
        let failed = run
            .outcomes
            .iter()
            .filter(|outcome| !outcome.differences.is_empty());
        let _ = writeln!(
            out,
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\">",
            escaped_xml(file),
            run.outcomes.len(),
            failed.count()
        );
        for outcome in &run.outcomes {
            let _ = write!(
                out,
                "    <testcase classname=\"{}\" name=\"{}\" time=\"{:.3}\"",
                escaped_xml(file),
                escaped_xml(&outcome.name),
                outcome.took.as_secs_f64()
            );
            if outcome.differences.is_empty() {
                out += "/>\n";
                continue;
            }
            let lines = outcome
                .differences
                .iter()
                .flat_map(|difference| difference.lines());
            let lines: Vec<_> = lines.map(escaped_xml).collect();
            let _ = writeln!(
                out,
                "><failure message=\"{}\">{}</failure></testcase>",
                lines.first().map_or("", String::as_str),
                lines.join("\n")
            );
        }
        out += "  </testsuite>\n";
    }
    out + "</testsuites>\n"
}

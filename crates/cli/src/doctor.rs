//! `flume-ng doctor`: what is well on this host, and what to do about the rest.

use std::{path::PathBuf, sync::Arc};

use anyhow::Context as _;
use flume_conf::Document;
use flume_core::{AgentInfo, Severity, secrets::masked};
use flume_deploy::{Finding, Node, Patient, Site, examine};
use flume_runtime::{Flows, check};
use serde_json::json;

use crate::{
    args::Args,
    configuration::look_at_files,
    outcome::{ExitCode, Failure, print},
    process::guard_memory,
    provision::{masked_texts, node},
    registry::REGISTRY,
    system_properties, validate,
};

/// Where a file channel keeps events when nothing else is said, below the home of its user.
const CHANNEL_DEFAULT: &str = "/var/lib/flume/.flume/file-channel";

/// Runs the command: exit code 0 when nothing is to be done.
pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let json = args.wants_json()?;
    guard_memory();
    let (around, node) = node(args.get("config"), false)?;
    let document = read(&node, args);
    let (configuration, channel_directories) = match &document {
        Ok(document) => (
            configuration(document, &node, args),
            channel_directories(document),
        ),
        Err(error) => (
            vec![Finding::to_do(
                "configuration",
                error,
                "flume-ng provision install",
            )],
            vec![],
        ),
    };
    let site = Site {
        node,
        krb5: around.krb5,
        dry_run: true,
        package: None,
        from_self: false,
        packaged: false,
        rotate: false,
        local: false,
        proxy_users: vec![],
        program: std::env::current_exe().context("failed to find this program's own file")?,
    };
    let found = examine(&Patient {
        site: &site,
        configuration,
        channel_directories,
    });
    print(&if json {
        serde_json::to_string(&masked_texts(json!({ "findings": found })))? + "\n"
    } else {
        masked(&text(&found)).into_owned()
    })?;
    let well = found.iter().all(|finding| finding.ok);
    Ok(if well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The configuration of this host, as `validate` reads it.
fn read(node: &Node, args: &Args) -> Result<Document, String> {
    let conf_dir = node.conf_dir();
    let properties = system_properties::of_agent(&args.properties);
    look_at_files([conf_dir.join("flume.conf")], &properties, Some(conf_dir))
}

fn text(found: &[Finding]) -> String {
    let line = |finding: &Finding| {
        let verdict = if finding.ok { "OK" } else { "DO" };
        let advice = finding
            .advice
            .as_deref()
            .map(|advice| format!("; {advice}"))
            .unwrap_or_default();
        format!("{verdict:3} {}: {}{advice}\n", finding.topic, finding.text)
    };
    found.iter().map(line).collect()
}

/// What `validate` says of each agent.
fn configuration(document: &Document, node: &Node, args: &Args) -> Vec<Finding> {
    let path = node.conf_dir().join("flume.conf").display().to_string();
    let agents = document.agents();
    if agents.is_empty() {
        return vec![Finding::to_do(
            "configuration",
            format!("{path} has no agent"),
            "describe one in it",
        )];
    }
    let found = validate::judge(document, &agents, args).diagnostics;
    let count = |severity| {
        found
            .iter()
            .filter(|found| found.severity() == severity)
            .count()
    };
    let errors = count(Severity::Error);
    let warnings = count(Severity::Warning);
    let text = format!(
        "{path}: agent {}, {errors} errors, {warnings} warnings",
        agents.join(", ")
    );
    vec![match errors {
        0 => Finding::ok("configuration", text),
        _ => Finding::to_do(
            "configuration",
            text,
            format!("flume-ng validate -f {path}"),
        ),
    }]
}

/// Where durable channels of any agent keep events.
fn channel_directories(document: &Document) -> Vec<PathBuf> {
    let mut all = vec![];
    for agent in document.agents() {
        let info = Arc::new(AgentInfo {
            name: agent.clone(),
            ..AgentInfo::default()
        });
        let plan = check(document.plan(&agent, &REGISTRY), &info, Flows::Whole);
        for channel in &plan.channels {
            let setting = |key: &str| {
                channel
                    .section
                    .settings
                    .get(key)
                    .map(|setting| setting.text.as_str())
            };
            let named: Vec<_> = ["checkpointDir", "dataDirs"]
                .into_iter()
                .filter_map(setting)
                .collect();
            let durable = setting("type").is_some_and(|name| {
                let name = name.to_ascii_lowercase();
                name == "file" || name.ends_with(".filechannel")
            });
            if named.is_empty() && durable {
                all.push(CHANNEL_DEFAULT.into());
            }
            let paths = named
                .into_iter()
                .flat_map(|list| list.split(','))
                .map(str::trim);
            all.extend(
                paths
                    .filter(|path| path.starts_with('/'))
                    .map(PathBuf::from),
            );
        }
    }
    all
}

//! `flume-ng validate`: every mistake in one pass, nothing started.

use std::{path::PathBuf, sync::Arc};

use flume_conf::{Document, Verdict};
use flume_core::{AgentInfo, Diagnostic, Severity, secrets::masked};
use flume_runtime::{Flows, check};

use crate::{
    args::Args,
    configuration::Places,
    java_trial::judge_with_java,
    outcome::{ExitCode, Failure, print},
    registry::REGISTRY,
    report, report_page, sarif, system_properties,
};

/// Runs the command: exit code 0 if every flow runs, else 2.
pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let format = args.get("format").unwrap_or("text");
    if !["text", "json", "html", "sarif"].contains(&format) {
        let text = format!("--format takes text, json, html or sarif, not `{format}`");
        return Err(Failure::Usage(text));
    }
    let (document, agents) = read(args)?;
    let judged = if args.has("java") {
        judge_with_java(&document, &agents, args)?
    } else {
        judge(&document, &agents, args)
    };
    if args.has("effective") {
        return print(&effective(&document, &judged));
    }
    print(&match format {
        "html" => report_page::html(&document, &judged),
        "json" => {
            report::json(&judged)
                + "
"
        }
        "sarif" => {
            sarif::log(&judged.diagnostics)
                + "
"
        }
        _ => text(&document, &judged),
    })?;
    Ok(if judged.runs_whole() {
        ExitCode::SUCCESS
    } else {
        ExitCode::WRONG
    })
}

/// The files that the command line names, and the agents in them that are meant.
pub(crate) fn read(args: &Args) -> Result<(Document, Vec<String>), Failure> {
    let mut places = Places::of(args)?;
    places.add_files(&args.rest);
    if places.is_empty() {
        return Err(Failure::Usage("which file? -f FILE".into()));
    }
    let info = Arc::new(info_of("", args));
    let document = places.read_once(&info).map_err(Failure::Usage)?;
    let all = document.agents();
    let agents = match args.get("name") {
        None if all.is_empty() => {
            return Err(Failure::Usage("the configuration has no agent".into()));
        }
        None => all,
        Some(name) if all.iter().any(|agent| agent == name) => vec![name.to_string()],
        Some(name) => {
            let text = format!(
                "there is no agent `{name}`, the configuration has: {}",
                all.join(", ")
            );
            return Err(Failure::Usage(text));
        }
    };
    Ok((document, agents))
}

/// What is to be said about some agents of a configuration.
#[derive(Default)]
pub(crate) struct Judged {
    /// In the order of the files, each thing once.
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// What each component of each agent would do.
    pub(crate) agents: Vec<(String, Vec<Verdict>)>,
}

impl Judged {
    /// Whether nothing is wrong, there is a flow, and every component runs.
    pub(crate) fn runs_whole(&self) -> bool {
        let has_components = self.agents.iter().any(|(_, verdicts)| !verdicts.is_empty());
        let is_error = |found: &Diagnostic| found.is_error();
        let stands_still = |verdict: &Verdict| verdict.reason.is_some();
        has_components
            && !self.diagnostics.iter().any(is_error)
            && !self
                .agents
                .iter()
                .any(|(_, verdicts)| verdicts.iter().any(stands_still))
    }
}

/// What is wrong with these agents, and what each of their components would do.
pub(crate) fn judge(document: &Document, agents: &[String], args: &Args) -> Judged {
    let mut judged = Judged::default();
    let found = &mut judged.diagnostics;
    for agent in agents {
        let info = Arc::new(info_of(agent, args));
        let plan = check(document.plan(agent, &REGISTRY), &info, Flows::Whole);
        judged.agents.push((agent.clone(), plan.verdicts()));
        found.extend(plan.diagnostics);
    }
    // A misspelt name is no agent. Its diagnostic tells so.
    let has_components = |(_, verdicts): &(String, Vec<Verdict>)| !verdicts.is_empty();
    if judged.agents.iter().any(has_components) {
        judged.agents.retain(has_components);
    }
    let file = |found: &Diagnostic| {
        let mut files = document.files.iter();
        files.position(|(name, _)| *name == found.place.file)
    };
    found.sort_by(|a, b| {
        (file(a), &a.place, a.severity(), &a.key).cmp(&(file(b), &b.place, b.severity(), &b.key))
    });
    found.dedup();
    document.leave_out_explained(found);
    judged
}

fn info_of(agent: &str, args: &Args) -> AgentInfo {
    AgentInfo {
        name: agent.into(),
        conf_dir: args.get("conf").map(PathBuf::from),
        system_properties: system_properties::of_agent(&args.properties),
        ..AgentInfo::default()
    }
}

fn text(document: &Document, judged: &Judged) -> String {
    let found = &judged.diagnostics;
    let count = |severity| {
        found
            .iter()
            .filter(|found| found.severity() == severity)
            .count()
    };
    let mut shown = report::human(document, found, report::may_colour());
    for (agent, verdicts) in &judged.agents {
        shown += &format!("agent {agent} here:\n");
        if verdicts.is_empty() {
            shown += "  nothing is set up\n";
        }
        for verdict in verdicts {
            shown += &line(agent, verdict);
        }
    }
    let agents: Vec<_> = judged
        .agents
        .iter()
        .map(|(agent, _)| agent.as_str())
        .collect();
    format!(
        "{shown}{}: {} {}, {}, {}\n",
        if judged.runs_whole() {
            "accepted"
        } else {
            "refused"
        },
        if agents.len() == 1 { "agent" } else { "agents" },
        agents.join(", "),
        several(count(Severity::Error), "error"),
        several(count(Severity::Warning), "warning")
    )
}

/// What Java Flume would keep, a component a line: `a1.sources.r1 netcat keeps`, `a1.sinks.k1 hdfs drops: reason`.
fn effective(document: &Document, judged: &Judged) -> String {
    let agents = judged.agents.iter().map(|(agent, _)| agent);
    let verdicts = agents.flat_map(|agent| document.effective(agent, &judged.diagnostics));
    verdicts
        .map(|verdict| {
            let outcome = match &verdict.reason {
                None => "keeps".into(),
                Some(reason) => format!("drops: {}", masked(reason)),
            };
            format!("{} {} {outcome}\n", verdict.name, verdict.type_name)
        })
        .collect()
}

/// One component: its name without the agent's, its type, and whether it runs.
fn line(agent: &str, verdict: &Verdict) -> String {
    let name = verdict.name.strip_prefix(agent).unwrap_or(&verdict.name);
    let name = name.trim_start_matches('.');
    let outcome = match &verdict.reason {
        None => "runs".into(),
        Some(reason) => format!("cannot run: {}", masked(reason)),
    };
    format!("  {name:24} {:20} {outcome}\n", verdict.type_name)
}

fn several(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_diagnostic(text: &str, expected: &[&str]) {
        let mut document = Document::default();
        document.add("flume.conf", text.as_bytes());
        let seen: Vec<_> = judge(&document, &document.agents(), &Args::default())
            .diagnostics
            .iter()
            .map(|found| format!("{} {}: {}", found.severity(), found.key, found.text))
            .collect();
        assert_eq!(seen, expected, "{text}");
    }

    #[test]
    fn exec_that_tails_names_its_taildir() {
        let text = "a1.sources = r1\na1.channels = c1\na1.sinks = k1\na1.sources.r1.type = exec\na1.sources.r1.channels = c1\n\
                    a1.sources.r1.command = tail -F /a/b.log\n\
                    a1.channels.c1.type = memory\na1.sinks.k1.type = null\na1.sinks.k1.channel = c1\n";
        check_diagnostic(
            text,
            &[
                "warning a1.sources.r1.command: `tail` forgets its place: lines are lost when the agent or the command ends, and may come twice. A source with type = TAILDIR keeps it; `flume-ng convert exec-to-taildir -f FILE` writes one",
            ],
        );
        check_diagnostic(&text.replace("tail -F", "cat"), &[]);
    }

    /// Nothing is wrong, and not what was meant.
    #[test]
    fn what_a_configuration_leads_to_is_remarked() {
        let base = "a1.sources = r1\na1.channels = c1\na1.sinks = k1\na1.sources.r1.type = seq\na1.sources.r1.channels = c1\n\
                    a1.channels.c1.type = memory\na1.sinks.k1.type = hdfs\na1.sinks.k1.channel = c1\n\
                    a1.sinks.k1.hdfs.path = /logs/%Y\na1.sinks.k1.hdfs.rollCount = 0\n";
        let malformed = "warning a1.sinks.k1.hdfs.path: its escapes of time need a header `timestamp`, which no source of the channel sets: every event is malformed; add a timestamp interceptor, or set hdfs.useLocalTimeStamp";
        check_diagnostic(base, &[malformed]);
        check_diagnostic(
            &format!("{base}a1.sinks.k1.hdfs.useLocalTimeStamp = true\n"),
            &[],
        );
        let interceptor = |kind: &str, more: &str| {
            let of = "a1.sources.r1.interceptors";
            format!("{base}{of} = i1\n{of}.i1.type = {kind}\n{more}")
        };
        check_diagnostic(&interceptor("timestamp", ""), &[]);
        check_diagnostic(&interceptor("host", ""), &[malformed]);
        check_diagnostic(
            &interceptor("static", "a1.sources.r1.interceptors.i1.key = timestamp\n"),
            &[],
        );
        // What is already in the channel may have it.
        let alone = base
            .replace("r1.channels = c1", "r1.channels = c2")
            .replace("channels = c1\n", "channels = c1 c2\n");
        let undrained = "error a1.channels.c2: no sink drains it, so it would fill up";
        check_diagnostic(
            &format!("{alone}a1.channels.c2.type = memory\n"),
            &[undrained],
        );
        check_diagnostic(
            &base
                .replace("%Y", "x")
                .replace("rollCount = 0", "rollCount = 10"),
            &[
                "warning a1.sinks.k1: files are complete at 30 s, 1024 bytes or 10 events, Flume's defaults, which make many small files; hdfs.rollInterval, hdfs.rollSize and hdfs.rollCount are the limits",
            ],
        );
        check_diagnostic(
            &base.replace("/logs/%Y", "%{dir}/x"),
            &[
                "warning a1.sinks.k1.hdfs.path: a path that begins with a header is below the home directory, also when the header's value begins with `/`; as in Flume it is absolute then with hdfs.headerValues = ANY",
                "warning a1.sinks.k1.hdfs.path: no source and no interceptor of the channel sets the header `dir`, so nothing stands in its place",
            ],
        );
    }

    /// Each line of these is right by itself, and Flume says nothing of them.
    #[test]
    fn what_flume_takes_in_silence_is_told() {
        let base = "a1.sources = r1\na1.channels = c1\na1.sinks = k1\na1.sources.r1.channels = c1\n\
                    a1.sources.r1.interceptors = i1\na1.sinks.k1.type = hdfs\n\
                    a1.sinks.k1.hdfs.useLocalTimeStamp = true\n";
        // Unless a case says otherwise.
        let usual = [
            "sources.r1.type = seq",
            "channels.c1.type = file",
            "sinks.k1.channel = c1",
            "sources.r1.interceptors.i1.type = timestamp",
            "sinks.k1.hdfs.path = /x",
            "sinks.k1.hdfs.rollCount = 1000",
        ];
        let quoted = |key: &str, text: &str| {
            format!(
                "warning a1.{key}: `{text}` has quotation marks, which are a part of the value; leave them out"
            )
        };
        let sink = |key: &str, text: &str| format!("warning a1.sinks.k1.hdfs.{key}: {text}");
        let no_escape = |key: &str, escapes: &str| {
            let text = "a letter behind `%` vanishes, other text stays as it is";
            sink(key, &format!("there is no such escape: {escapes}; {text}"))
        };
        let stays = |key: &str, value: &str| {
            let text = "stays as it is in the names of files: only hdfs.path and hdfs.filePrefix have escapes";
            sink(key, &format!("`{value}` {text}"))
        };
        let no_header = |key: &str, header: &str| {
            let text = format!("sets the header `{header}`, so nothing stands in its place");
            sink(
                key,
                &format!("no source and no interceptor of the channel {text}"),
            )
        };
        let blanks = |value: &str| {
            format!(
                "warning a1.channels.c1.dataDirs: `{value}` is separated by blanks, which are a part of a directory's name; use commas"
            )
        };
        let never = "all roll limits are 0 and hdfs.idleTimeout is not set, so a file whose time has passed keeps its name of a file being written until the sink stops; set hdfs.idleTimeout";
        let no_limits = [
            "sinks.k1.hdfs.rollCount = 0",
            "sinks.k1.hdfs.rollSize = 0",
            "sinks.k1.hdfs.rollInterval = 0",
        ];
        let [count, size, interval] = no_limits;
        let cases: &[(&[&str], &[String])] = &[
            (
                &["sinks.k1.hdfs.path = /x/%Y-%m-%d/%h%i"],
                &[no_escape("path", "`%h`, `%i`")],
            ),
            (
                &["sinks.k1.hdfs.filePrefix = ev-%N"],
                &[no_escape("filePrefix", "`%N`")],
            ),
            (
                &["sinks.k1.hdfs.path = /x/%{host name}"],
                &[no_escape("path", "`%{`")],
            ),
            (&["sinks.k1.hdfs.path = /x/%t-%%-100%/%H%M"], &[]),
            (
                &["sinks.k1.hdfs.fileSuffix = .%Y%m"],
                &[stays("fileSuffix", ".%Y%m")],
            ),
            (
                &["sinks.k1.hdfs.inUsePrefix = %{host}_"],
                &[stays("inUsePrefix", "%{host}_")],
            ),
            (
                &["sinks.k1.hdfs.inUseSuffix = .%[host]"],
                &[stays("inUseSuffix", ".%[host]")],
            ),
            (&["sinks.k1.hdfs.fileSuffix = .100%"], &[]),
            (
                &["sinks.k1.hdfs.path = /x/%{host}"],
                &[no_header("path", "host")],
            ),
            (
                &[
                    "sinks.k1.hdfs.path = /x/%{host}",
                    "sources.r1.interceptors.i1.type = host",
                ],
                &[],
            ),
            (
                &[
                    "sinks.k1.hdfs.path = /x/%{host}",
                    "sources.r1.interceptors.i1.type = host",
                    "sources.r1.interceptors.i1.hostHeader = hostname",
                ],
                &[no_header("path", "host")],
            ),
            // Whoever sends to this source may set any header.
            (
                &[
                    "sinks.k1.hdfs.path = /x/%{host}",
                    "sources.r1.type = http",
                    "sources.r1.port = 5140",
                ],
                &[],
            ),
            (
                &["sinks.k1.hdfs.filePrefix = \"ev\""],
                &[quoted("sinks.k1.hdfs.filePrefix", "\"ev\"")],
            ),
            (
                &["sinks.k1.hdfs.inUsePrefix = ''"],
                &[quoted("sinks.k1.hdfs.inUsePrefix", "''")],
            ),
            (
                &["channels.c1.checkpointDir = \"/a/b\""],
                &[quoted("channels.c1.checkpointDir", "\"/a/b\"")],
            ),
            (
                &["channels.c1.dataDirs = \"/a\",\"/b\""],
                &[quoted("channels.c1.dataDirs", "\"/a\",\"/b\"")],
            ),
            (
                &[
                    "sources.r1.interceptors.i1.type = static",
                    "sources.r1.interceptors.i1.value = \"x\"",
                ],
                &[],
            ),
            (&["channels.c1.dataDirs = /a /b"], &[blanks("/a /b")]),
            (
                &["sinks.k1.channel = \"c1\"", "channels.c1.type = \"file\""],
                &[
                    "error a1.sinks.k1.channel: there is no channel `\"c1\"`".into(),
                    "error a1.channels.c1.type: there is no channel type `\"file\"`".into(),
                ],
            ),
            (
                &["channels.c1.dataDirs = /a, ~/b /c"],
                &[blanks("/a, ~/b /c")],
            ),
            (&["channels.c1.dataDirs = /my data, /b"], &[]),
            (
                &["sinks.k1.hdfs.path = /x/%Y", count, size, interval],
                &[sink("rollInterval", never)],
            ),
            (
                &[
                    "sinks.k1.hdfs.path = /x/%Y",
                    count,
                    size,
                    interval,
                    "sinks.k1.hdfs.idleTimeout = 60",
                ],
                &[],
            ),
            (&["sinks.k1.hdfs.path = /x/y", count, size, interval], &[]),
        ];
        for (lines, expected) in cases {
            let mut text = base.to_string();
            for line in lines.iter().chain(&usual) {
                let key = line.split_inclusive(" = ").next().unwrap();
                if !text.contains(key) {
                    text += &format!("a1.{line}\n");
                }
            }
            let expected: Vec<_> = expected.iter().map(String::as_str).collect();
            check_diagnostic(&text, &expected);
        }
    }
}

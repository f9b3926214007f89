//! `flume-ng status` and `flume-ng reload`: ask a running agent.

use std::{io::Write as _, path::PathBuf, time::Duration};

use anyhow::{Context as _, anyhow};
use flume_monitor::{ComponentStatus, ControlAnswer, ControlRequest, Status, ago, ask, printable};
use jiff::Timestamp;

use crate::{
    args::Args,
    outcome::{ExitCode, Failure, print},
    state_dir,
};

/// From print to print of `--watch`.
const WATCH_EVERY: Duration = Duration::from_secs(2);

/// Prints the state of every component.
pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let json = args.wants_json()?;
    if args.has("watch") {
        return watch(args, json);
    }
    print(&report(args, json)?)
}

/// Prints it again and again, until nobody reads. An agent that is starting anew is waited for.
fn watch(args: &Args, json: bool) -> Result<ExitCode, Failure> {
    let mut out = std::io::stdout();
    let clears = !json && std::io::IsTerminal::is_terminal(&out);
    loop {
        let text = match report(args, json) {
            Ok(text) => text,
            Err(Failure::Runtime(error)) => format!("flume-ng: {error:#}\n"),
            Err(usage) => return Err(usage),
        };
        // Home, and clear what follows.
        let clear = if clears { "\u{1b}[H\u{1b}[2J" } else { "" };
        let written = out.write_all(format!("{clear}{text}").as_bytes());
        if written.and_then(|()| out.flush()).is_err() {
            return Ok(ExitCode::SUCCESS);
        }
        std::thread::sleep(WATCH_EVERY);
    }
}

fn report(args: &Args, json: bool) -> Result<String, Failure> {
    match request(args, &ControlRequest::Status)? {
        ControlAnswer::Status(status) if json => Ok(serde_json::to_string(&status)? + "\n"),
        ControlAnswer::Status(status) => Ok(render(&status, Timestamp::now())),
        answer => Err(anyhow!("unexpected answer: {answer:?}").into()),
    }
}

/// Makes the agent read its configuration.
pub(crate) fn reload(args: &Args) -> Result<ExitCode, Failure> {
    match request(
        args,
        &ControlRequest::Reload {
            dry_run: args.has("dry-run"),
        },
    )? {
        ControlAnswer::Changed(changes) => print(&(lines(&changes) + "\n")),
        ControlAnswer::Partly(why) | ControlAnswer::Failed(why) => Err(anyhow!(lines(&why)).into()),
        answer => Err(anyhow!("unexpected answer: {answer:?}").into()),
    }
}

/// Several lines for a terminal.
fn lines(text: &str) -> String {
    let lines: Vec<_> = text.split('\n').map(printable).collect();
    lines.join("\n")
}

/// Asks the agent that the command line means.
pub(crate) fn request(args: &Args, request: &ControlRequest) -> Result<ControlAnswer, Failure> {
    let directory = directory(args)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let answer = runtime.block_on(ask(&directory, request));
    Ok(answer.with_context(|| format!("no agent answers in {}", directory.display()))?)
}

/// The named agent's, or that of the only one there is.
pub(crate) fn directory(args: &Args) -> Result<PathBuf, Failure> {
    let name = args.get("name").unwrap_or_default();
    let base = state_dir::of_running(args.get("state-dir"), name).map_err(|why| anyhow!(why))?;
    if !name.is_empty() {
        return Ok(base);
    }
    let agents = state_dir::agents_in(&base);
    match &agents[..] {
        [one] => Ok(one.clone()),
        [] => Err(anyhow!("no agent runs in {}", base.display()).into()),
        several => {
            let names: Vec<_> = several
                .iter()
                .filter_map(|path| path.file_name()?.to_str())
                .collect();
            Err(Failure::Usage(format!(
                "which one? --name {}",
                names.join(" | --name ")
            )))
        }
    }
}

fn render(status: &Status, now: Timestamp) -> String {
    let Status {
        agent,
        pid,
        version,
        started,
        ..
    } = status;
    let mut text = format!(
        "agent {agent}, process {pid}, Flume {version}, up {}\n",
        ago(*started, now)
    );
    if let Some(reload) = &status.last_reload {
        let outcome = reload.error.as_deref().map_or("succeeded".into(), |error| {
            format!("changed nothing: {error}")
        });
        text += &format!(
            "last reload {} ago {}\n",
            ago(reload.at, now),
            printable(&outcome)
        );
    }
    for problem in &status.problems {
        text += &format!(
            "{}: {}, for {}\n        why: {}\n        do: {}\n",
            problem.severity,
            printable(&problem.what),
            ago(problem.since, now),
            printable(&problem.why),
            printable(&problem.remedy)
        );
    }
    if let Some(unreadable) = &status.unreadable {
        let since = ago(unreadable.since, now);
        text += &format!(
            "no look at the configuration for {since}: {}\n",
            unreadable.error
        );
    }
    for component in &status.components {
        text += &line(component, now);
    }
    text
}

fn line(component: &ComponentStatus, now: Timestamp) -> String {
    let ComponentStatus {
        kind,
        name,
        type_name,
        state,
        since,
        events_per_second,
        ..
    } = component;
    let mut text = format!(
        "{kind:8}{name:12}{type_name:14}{state:10}for {:8}{events_per_second:>10.1} ev/s",
        ago(*since, now)
    );
    if let Some(address) = &component.address {
        text += &format!("  at {address}");
    }
    if let Some(channel) = &component.channel {
        text += &format!(
            "  {}/{} events, {} in flight",
            channel.events, channel.capacity, channel.in_flight
        );
        if let Some(oldest) = channel.oldest {
            text += &format!(", oldest {}", ago(oldest, now));
        }
    }
    if let Some(reason) = &component.reason {
        text += &format!("\n        {}", printable(reason));
    }
    if let (Some(attempts), Some(next)) = (component.attempts, component.next_try) {
        text += &format!(" (attempt {attempts}, next in {})", ago(now, next));
    }
    for (name, fact) in &component.facts {
        text += &format!("\n        {name}: {}", printable(fact));
    }
    text + "\n"
}

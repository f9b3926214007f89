//! `flume-ng top`: the running flow in a terminal.

mod screen;
mod view;

use anyhow::{Context as _, anyhow};
use flume_monitor::{ComponentReport, FlowShape, Observer, Status};
use jiff::Timestamp;

use crate::{
    args::Args,
    outcome::{ExitCode, Failure, print},
    status::directory,
};

/// What is known of the agent.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) status: Option<Status>,
    pub(super) flow: FlowShape,
    pub(super) report: Option<ComponentReport>,
    /// Why there is no news, and since when.
    pub(super) lost: Option<(Timestamp, String)>,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let observer = observer(args)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    if args.has("once") {
        return once(&runtime.block_on(look(&observer))?);
    }
    if !std::io::IsTerminal::is_terminal(&std::io::stdout()) {
        let text = "top needs a terminal; --once prints plain text";
        return Err(Failure::Usage(text.into()));
    }
    runtime.block_on(screen::run(&observer))?;
    Ok(ExitCode::SUCCESS)
}

fn observer(args: &Args) -> Result<Observer, Failure> {
    match args.get("url") {
        Some(url) => Observer::of_url(url).map_err(Failure::Usage),
        None => Ok(Observer::Socket(directory(args)?)),
    }
}

async fn look(observer: &Observer) -> anyhow::Result<Seen> {
    let status = observer
        .status()
        .await
        .context("the agent does not answer")?;
    let flow = observer.flow().await.context("the agent does not answer")?;
    Ok(Seen {
        status: Some(status),
        flow,
        ..Seen::default()
    })
}

fn once(seen: &Seen) -> Result<ExitCode, Failure> {
    let status = seen
        .status
        .as_ref()
        .ok_or_else(|| anyhow!("there is no status"))?;
    let now = Timestamp::now();
    let rows = view::rows(status, &seen.flow, view::Order::Flow, "", now);
    print(&view::plain(status, &rows, now))
}

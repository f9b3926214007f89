//! The agent's loop: signals, changes of the configuration, control requests, the stop.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use flume_conf::Plan;
use flume_core::{AgentInfo, Severity};
use flume_monitor::{
    ControlAnswer, Monitoring,
    control::{self, ReloadRequest},
    ganglia::{self, GangliaSettings},
    otlp::{OtlpSettings, SpanExport},
    serve as serve_monitoring,
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};

use crate::{
    agent::{Agent, Applied},
    changes::ReloadError,
    check::{Flows, check},
    dump, notify,
    remained::Remained,
};

/// Reload requests that may wait for their turn.
const RELOAD_QUEUE: usize = 16;
/// How often retired components are looked after.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

/// Where the configuration comes from.
pub trait Configuration: Send {
    /// Whether it may have changed since it was last read.
    fn changed(&mut self) -> bool;
    /// Why it cannot be looked at now; what runs is not touched by that.
    fn problem(&self) -> Option<String> {
        None
    }
    /// Whether a failure to read it may pass by itself: it comes over a network.
    fn may_come_back(&self) -> bool {
        false
    }
    /// Reads and parses it; an error when that is not possible at all.
    fn read(&mut self) -> Result<Plan, String>;
    /// The same for a comparison: what has changed still counts as changed.
    fn peek(&mut self) -> Result<Plan, String>;
}

/// How an agent is run.
pub struct Options {
    /// How long sinks may go on delivering after a stop was requested.
    pub drain_timeout: Duration,
    /// How often the configuration is looked at; never, if unset.
    pub poll_interval: Option<Duration>,
    /// How it is monitored.
    pub monitoring: Option<Monitoring>,
    /// Where its numbers are sent.
    pub ganglia: Option<GangliaSettings>,
    /// Where the spans of batches are sent.
    pub otlp: Option<OtlpSettings>,
    /// A configuration with any error does not start.
    pub strict: bool,
    /// Whether flows start that cannot run as a whole.
    pub flows: Flows,
}

/// Why an agent did not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The configuration is wrong.
    #[error("{0}")]
    Configuration(String),
    /// The configuration cannot be had now.
    #[error("{0}")]
    Unreachable(String),
    /// The system refused something.
    #[error("failed to {doing}")]
    System {
        /// What was tried.
        doing: String,
        /// What it said.
        source: io::Error,
    },
}

/// Runs the agent until SIGTERM or SIGINT; the answer is what it could not deliver.
pub async fn run(
    info: Arc<AgentInfo>,
    configuration: Box<dyn Configuration>,
    options: &Options,
) -> Result<Remained, RunError> {
    let mut signals = Signals::new().map_err(system("listen for signals"))?;
    let mut agent = Agent::new(info.clone());
    dump::on_request(agent.board()).map_err(system("listen for signals"))?;
    let configuration = Origin(Arc::new(Mutex::new(configuration)));
    let Some(read) = configuration.ask(&mut signals, |it| it.read()).await else {
        tracing::info!("asked to stop before the configuration was read");
        return Ok(Remained::new());
    };
    let read = read.map_err(|text| {
        if configuration.lock().may_come_back() {
            RunError::Unreachable(text)
        } else {
            RunError::Configuration(text)
        }
    })?;
    let plan = check(read, &info, options.flows);
    report(&plan);
    startable(&plan, options.strict)?;
    let _monitoring = match &options.monitoring {
        Some(monitoring) => Some(serve_monitoring(monitoring.clone(), agent.board()).await),
        None => None,
    };
    if let Some(settings) = &options.ganglia {
        tokio::spawn(ganglia::report(settings.clone(), agent.board()));
    }
    let export = options.otlp.clone();
    let export = export.map(|settings| SpanExport::start(settings, info.clone()));
    let started = agent
        .apply(plan)
        .await
        .map_err(|error| RunError::Configuration(error.to_string()))?;
    if !started.failed.is_empty() {
        return Err(RunError::Configuration(started.failed.join(", ")));
    }
    tokio::spawn(agent.board().sample());
    let (reloads, requests) = mpsc::channel(RELOAD_QUEUE);
    let _control = control::listen(&info.state_dir, agent.board(), reloads).await;
    notify::ready();
    notify::feed_watchdog();
    serve(&mut agent, &configuration, options, &mut signals, requests).await;
    notify::stopping();
    tracing::info!(
        "stopping; sinks may take {:?} to deliver what channels in memory hold",
        options.drain_timeout
    );
    let remained = agent.stop(options.drain_timeout, signals.stop()).await;
    if let Some(export) = export {
        export.finish().await;
    }
    Ok(remained)
}

async fn serve(
    agent: &mut Agent,
    configuration: &Origin,
    options: &Options,
    signals: &mut Signals,
    mut requests: mpsc::Receiver<ReloadRequest>,
) {
    // An interval of zero is not allowed; without polling it is never looked at.
    let mut poll = interval(options.poll_interval.unwrap_or(Duration::from_secs(3600)));
    let mut housekeeping = interval(HOUSEKEEPING);
    for timer in [&mut poll, &mut housekeeping] {
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    }
    let flows = options.flows;
    loop {
        let is_stopping = tokio::select! {
            asked = signals.next() => match asked {
                Asked::Stop => true,
                Asked::Reload => is_stopping(&reload(agent, configuration, flows, signals).await),
            },
            _ = poll.tick(), if options.poll_interval.is_some() => {
                watch_problem(agent, configuration.lock().problem());
                let has_changed = configuration.lock().changed();
                has_changed && is_stopping(&reload(agent, configuration, flows, signals).await)
            }
            _ = housekeeping.tick() => {
                agent.settle_retired().await;
                false
            }
            Some(request) = requests.recv() => {
                let outcome = if request.dry_run {
                    dry_run(agent, configuration, flows, signals).await
                } else {
                    reload(agent, configuration, flows, signals).await
                };
                let is_stopping = is_stopping(&outcome);
                let _ = request.answer.send(answer(outcome));
                is_stopping
            }
        };
        if is_stopping {
            return;
        }
    }
}

fn is_stopping(outcome: &Result<Applied, ReloadError>) -> bool {
    matches!(outcome, Err(ReloadError::Stopping))
}

fn answer(outcome: Result<Applied, ReloadError>) -> ControlAnswer {
    match outcome {
        Ok(changes) if changes.failed.is_empty() => ControlAnswer::Changed(changes.to_string()),
        Ok(changes) => ControlAnswer::Partly(changes.to_string()),
        Err(error) => ControlAnswer::Failed(error.to_string()),
    }
}

/// The configuration, which a thread beside reads: a server or a program that hangs does not hold up a stop.
struct Origin(Arc<Mutex<Box<dyn Configuration>>>);

/// Reads it to run it, or to compare it.
type Reading = fn(&mut dyn Configuration) -> Result<Plan, String>;

impl Origin {
    /// What was read; `None` when a stop was requested meanwhile. Then the thread is left to itself.
    async fn ask(&self, signals: &mut Signals, read: Reading) -> Option<Result<Plan, String>> {
        let shared = self.0.clone();
        let reading = spawn_blocking(move || read(&mut **locked(&shared)));
        tokio::select! {
            read = reading => {
                Some(read.unwrap_or_else(|error| Err(format!("failed to read it: {error}"))))
            }
            () = signals.stop() => None,
        }
    }

    async fn reread(&self, signals: &mut Signals, read: Reading) -> Result<Plan, ReloadError> {
        let read = self.ask(signals, read).await;
        read.ok_or(ReloadError::Stopping)?
            .map_err(ReloadError::Unreadable)
    }

    /// Nobody reads meanwhile: who reads waits for it, or stops the agent.
    fn lock(&self) -> MutexGuard<'_, Box<dyn Configuration>> {
        locked(&self.0)
    }
}

fn locked(configuration: &Mutex<Box<dyn Configuration>>) -> MutexGuard<'_, Box<dyn Configuration>> {
    let lock = configuration.lock();
    lock.unwrap_or_else(PoisonError::into_inner)
}

/// Shows why the configuration cannot be looked at, and logs it once.
fn watch_problem(agent: &Agent, problem: Option<String>) {
    let before = agent.board().set_unreadable(problem.clone());
    match problem {
        Some(problem) if before.as_ref() != Some(&problem) => {
            tracing::error!("failed to look for a new configuration: {problem}; the agent runs on");
        }
        None if before.is_some() => tracing::info!("the configuration can be read again"),
        _ => {}
    }
}

/// Puts the configuration as it is now in the place of the running one, or leaves everything as it is.
async fn reload(
    agent: &mut Agent,
    configuration: &Origin,
    flows: Flows,
    signals: &mut Signals,
) -> Result<Applied, ReloadError> {
    notify::reloading();
    let outcome = match configuration.reread(signals, |it| it.read()).await {
        Ok(plan) => {
            let plan = check(plan, &agent.info, flows);
            report(&plan);
            agent.apply(plan).await
        }
        Err(ReloadError::Stopping) => return Err(ReloadError::Stopping),
        Err(error) => Err(error),
    };
    notify::ready();
    match &outcome {
        Ok(changes) => tracing::info!("reloaded the configuration: {changes}"),
        Err(error) => tracing::error!("kept the running configuration: {error}"),
    }
    agent.board().reloaded(match &outcome {
        Ok(changes) if changes.failed.is_empty() => None,
        Ok(changes) => Some(changes.failed.join(", ")),
        Err(error) => Some(error.to_string()),
    });
    outcome
}

async fn dry_run(
    agent: &Agent,
    configuration: &Origin,
    flows: Flows,
    signals: &mut Signals,
) -> Result<Applied, ReloadError> {
    let plan = configuration.reread(signals, |it| it.peek()).await?;
    agent.compare(check(plan, &agent.info, flows))
}

fn report(plan: &Plan) {
    for found in &plan.diagnostics {
        match found.severity() {
            Severity::Error => tracing::error!("{found}"),
            Severity::Warning => tracing::warn!("{found}"),
            Severity::Note => tracing::info!("{found}"),
        }
    }
}

/// As Flume, an agent leaves out what it cannot run; unlike Flume, it does not run when nothing is left.
fn startable(plan: &Plan, strict: bool) -> Result<(), RunError> {
    let refused: Vec<_> = plan
        .refused
        .iter()
        .map(|refused| refused.name.as_str())
        .collect();
    let errors = plan
        .diagnostics
        .iter()
        .filter(|found| found.is_error())
        .count();
    if strict && (errors > 0 || !refused.is_empty()) {
        let text = format!(
            "errors in the configuration, which --strict refuses: {errors}; left out would be: {}",
            refused.join(" ")
        );
        return Err(RunError::Configuration(text));
    }
    if plan.sources.is_empty() && plan.groups.is_empty() {
        let text = format!(
            "agent {} has no source and no sink that can run",
            plan.agent
        );
        return Err(RunError::Configuration(text));
    }
    Ok(())
}

fn system(doing: &str) -> impl FnOnce(io::Error) -> RunError {
    let doing = doing.to_string();
    move |source| RunError::System { doing, source }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// The next of them.
    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.hangup.recv() => Asked::Reload,
        }
    }

    /// The next request to stop: the second ends the draining. A request to reload waits for its turn.
    async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

enum Asked {
    Stop,
    Reload,
}

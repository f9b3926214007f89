//! `flume-ng agent`: reads the command line, runs an agent, says what remained.

use std::{path::PathBuf, sync::Arc, time::Duration};

use flume_bridge::JavaOptions;
use flume_core::{AgentInfo, spans::Spans};
use flume_monitor::{
    Monitoring, MonitoringAddress, TapMasks, ganglia::GangliaSettings, otlp::OtlpSettings,
};
use flume_runtime::{Flows, Options, Remained, RunError};

use crate::{
    args::Args,
    configuration::{AgentConfiguration, Places},
    jvm_properties, logging,
    outcome::{ExitCode, Failure, print},
    process::{guard_memory, raise_open_files},
    state_dir, system_properties,
};

/// As Flume's.
const MONITORING_PORT: u16 = 41414;
/// Threads for sources, timers and monitoring; every sink has one of its own.
const RUNTIME_THREADS_MIN: usize = 2;

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let name = args
        .get("name")
        .ok_or_else(|| Failure::Usage("an agent needs --name".into()))?;
    if args.has("dryrun") {
        let program = std::env::current_exe()?;
        let options = args.shown_without("dryrun");
        return print(&format!("{} agent {options}\n", program.display()));
    }
    let places = Places::of(args)?;
    if places.is_empty() {
        let text = "an agent needs --conf-file, --conf-uri or --zkConnString";
        return Err(Failure::Usage(text.into()));
    }
    let options = options(args, &places)?;
    let no_monitoring = unsupported_monitoring(args);
    if let (true, Some(text)) = (options.strict, &no_monitoring) {
        return Err(Failure::Usage(text.clone()));
    }
    let doubts = jvm_properties::apply(&args.properties)?;
    guard_memory();
    raise_open_files();
    let claimed = state_dir::claim(args.get("state-dir"), name)?;
    let info = Arc::new(AgentInfo {
        name: name.into(),
        conf_dir: args.get("conf").map(Into::into),
        state_dir: claimed.path,
        system_properties: system_properties::of_agent(&args.properties),
        spans: options
            .otlp
            .as_ref()
            .map_or(Spans::default(), |otlp| Spans::recording(otlp.ratio)),
    });
    logging::start(&info);
    if !is_off(args, "flume.tap") {
        // A mask that cannot be read must not be found out by the first who taps.
        TapMasks::of(&info).map_err(Failure::Usage)?;
    }
    flume_bridge::set_java_options(java_options(args, info.state_dir.clone()));
    if let Some(text) = no_monitoring {
        tracing::error!("{text}");
    }
    let doubts = doubts.iter().chain(&claimed.doubts);
    doubts.for_each(|text| tracing::warn!("{text}"));
    log_start(args, name);
    let runtime = runtime()?;
    let backup = args.get("backup-directory");
    let configuration =
        AgentConfiguration::new(places, info.clone(), options.poll_interval, backup);
    let configuration = Box::new(configuration.map_err(Failure::Usage)?);
    let outcome = runtime.block_on(flume_runtime::run(info, configuration, &options));
    // A sink that does not come back must not keep the process.
    runtime.shutdown_background();
    Ok(log_end(outcome))
}

fn is_off(args: &Args, property: &str) -> bool {
    args.properties
        .get(property)
        .is_some_and(|value| value == "false")
}

fn log_start(args: &Args, name: &str) {
    if !args.jvm.is_empty() {
        tracing::info!(
            "options for a JVM, which only Java components need: {}",
            args.jvm.join(" ")
        );
    }
    for key in jvm_properties::unread(&args.properties) {
        tracing::debug!("-D{key} has no effect but on Java components");
    }
    tracing::info!(
        "Flume {} starts agent {name}, process {}",
        env!("CARGO_PKG_VERSION"),
        std::process::id()
    );
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads.max(RUNTIME_THREADS_MIN))
        .thread_name("flume")
        .enable_all()
        .build()
}

/// Says what remained or why the agent ended, and how the process ends.
fn log_end(outcome: Result<Remained, RunError>) -> ExitCode {
    match outcome {
        Ok(remained) if remained.is_empty() => {
            tracing::info!("stopped, nothing remained in memory");
            ExitCode::SUCCESS
        }
        Ok(remained) => {
            let counts: Vec<_> = remained
                .events
                .iter()
                .map(|(channel, events)| format!("{channel} {events}"))
                .collect();
            tracing::error!(
                "stopped, {} events remained in memory and are lost: {}",
                remained.count(),
                counts.join(", ")
            );
            if remained.unsaved > 0 {
                ExitCode::FAILURE
            } else {
                ExitCode::SUCCESS
            }
        }
        Err(error @ RunError::Configuration(_)) => {
            tracing::error!("{error}");
            ExitCode::WRONG
        }
        Err(error) => {
            tracing::error!("{}", flume_core::with_causes(&error));
            ExitCode::FAILURE
        }
    }
}

/// How a JVM for Java components is started, from the command line.
pub(crate) fn java_options(args: &Args, state_dir: PathBuf) -> JavaOptions {
    let mut options = JavaOptions {
        conf: args.get("conf").map(Into::into),
        properties: args.properties.clone(),
        class_path: std::env::var_os("FLUME_CLASSPATH").filter(|path| !path.is_empty()),
        state_dir,
        ..JavaOptions::default()
    };
    let mut words = args.jvm.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "-C" | "--classpath" | "-cp" | "-classpath" | "--class-path" => {
                options.class_path = words.next().map(Into::into)
            }
            "--plugins-path" => options.plugins = words.next().map(Into::into),
            _ => options.options.push(word.clone()),
        }
    }
    options
}

fn options(args: &Args, places: &Places) -> Result<Options, Failure> {
    let seconds = |option: &str, default: u64| match args.get(option) {
        None => Ok(Duration::from_secs(default)),
        Some(text) => text.parse().map(Duration::from_secs).map_err(|_| {
            Failure::Usage(format!(
                "--{option} takes a number of seconds, not `{text}`"
            ))
        }),
    };
    // As in Flume: zero means the default, a negative number no polling.
    let never = args.has("no-reload-conf")
        || args
            .get("poll-interval")
            .is_some_and(|text| text.starts_with('-'));
    let poll_interval = if never {
        None
    } else {
        Some(seconds("poll-interval", 0)?)
    };
    Ok(Options {
        drain_timeout: seconds("drain-timeout", 10)?,
        poll_interval: poll_interval.map(|every| {
            if every.is_zero() {
                places.default_interval()
            } else {
                every
            }
        }),
        monitoring: monitoring(args)?,
        ganglia: ganglia(args)?,
        otlp: otlp(args)?,
        strict: args.has("strict"),
        flows: if args.has("lenient") {
            Flows::Halves
        } else {
            Flows::Whole
        },
    })
}

fn monitoring(args: &Args) -> Result<Option<Monitoring>, Failure> {
    if !monitoring_type(args).is_some_and(is_http) {
        return Ok(None);
    }
    let port = args
        .properties
        .get("flume.monitoring.port")
        .map_or(Ok(MONITORING_PORT), |text| text.parse());
    let port =
        port.map_err(|_| Failure::Usage("flume.monitoring.port takes a port number".into()))?;
    let host = args.properties.get("flume.monitoring.host");
    let address = MonitoringAddress {
        host: host.map_or("0.0.0.0", String::as_str).into(),
        port,
    };
    let origins = args.properties.get("flume.monitoring.origins");
    let origins = origins.map_or("", String::as_str).split_whitespace();
    let more = args.properties.get("flume.monitoring.hostNames");
    let more = more.map_or("", String::as_str).split_whitespace();
    let own_name = flume_host::names::own_name();
    let canonical_name = flume_host::names::canonical_host_name();
    let host_names = more.map(str::to_string).chain([own_name, canonical_name]);
    Ok(Some(Monitoring {
        address,
        host_names: host_names.map(|name| name.to_ascii_lowercase()).collect(),
        origins: origins.map(origin).collect::<Result<_, _>>()?,
        settings: switch(args, "flume.monitoring.settings", true)?,
        event_texts: switch(args, "flume.monitoring.eventTexts", false)?,
    }))
}

/// An origin as a browser names it: scheme, host and port, nothing after it.
fn origin(text: &str) -> Result<String, Failure> {
    let rest = ["http://", "https://"]
        .iter()
        .find_map(|scheme| text.strip_prefix(scheme));
    let is_origin = |rest: &str| !rest.is_empty() && !rest.contains(['/', '*', ',', '@', '?']);
    if rest.is_some_and(is_origin) {
        return Ok(text.to_ascii_lowercase());
    }
    Err(Failure::Usage(format!(
        "flume.monitoring.origins takes origins such as http://host:41414, separated by blanks, not `{text}`"
    )))
}

fn switch(args: &Args, key: &str, default: bool) -> Result<bool, Failure> {
    match args.properties.get(key).map(String::as_str) {
        None => Ok(default),
        Some("true") => Ok(true),
        Some("false") => Ok(false),
        Some(other) => Err(Failure::Usage(format!(
            "{key} takes true or false, not `{other}`"
        ))),
    }
}

fn ganglia(args: &Args) -> Result<Option<GangliaSettings>, Failure> {
    if !monitoring_type(args).is_some_and(is_ganglia) {
        return Ok(None);
    }
    let own_name = flume_host::names::own_name();
    let settings = GangliaSettings::of(&args.properties, &own_name);
    settings.map(Some).map_err(Failure::Usage)
}

fn otlp(args: &Args) -> Result<Option<OtlpSettings>, Failure> {
    let own_name = flume_host::names::own_name();
    OtlpSettings::of(&args.properties, &own_name).map_err(Failure::Usage)
}

fn is_ganglia(kind: &str) -> bool {
    kind.eq_ignore_ascii_case("ganglia") || kind == "org.apache.flume.instrumentation.GangliaServer"
}

fn monitoring_type(args: &Args) -> Option<&str> {
    args.properties
        .get("flume.monitoring.type")
        .map(String::as_str)
}

fn is_http(kind: &str) -> bool {
    kind.eq_ignore_ascii_case("http")
        || kind == "org.apache.flume.instrumentation.http.HTTPMetricsServer"
}

/// What is to be said of a kind of monitoring that this build does not have: as in Flume, the agent runs without it.
fn unsupported_monitoring(args: &Args) -> Option<String> {
    let kind = monitoring_type(args).filter(|kind| !is_http(kind) && !is_ganglia(kind))?;
    Some(format!(
        "there is no monitoring: this build has `http` and `ganglia`, not flume.monitoring.type={kind}"
    ))
}

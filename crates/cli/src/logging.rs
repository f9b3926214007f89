//! Starts the log as the command line and the directory given with `--conf` say.

use std::io::Write;

use flume_core::AgentInfo;
use flume_logging::LogSettings;
use flume_monitor::control::{LogLevels, offer_log_levels};

use crate::console;

/// Starts logging. Nothing that is wrong with a log file or with its configuration keeps an agent from running.
pub(crate) fn start(info: &AgentInfo) {
    let settings = LogSettings {
        properties: info.system_properties.clone(),
        conf_dir: info.conf_dir.clone(),
    };
    let plan = settings.plan();
    if let Some(file) = &plan.file {
        // Nothing else would show on a console that the log does not go to.
        eprintln!("flume-ng: the log is as {} says", file.display());
    }
    let levels = flume_logging::start(&plan, flume_java::defaults::time_zone(), console);
    std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
    let name = plan.file.map(|file| format!("{}: ", file.display()));
    for note in &plan.notes {
        tracing::warn!("{}{note}", name.as_deref().unwrap_or_default());
    }
    offer_log_levels(Box::new(AgentLevels(levels)));
}

fn console(error: bool) -> Box<dyn Write> {
    if error {
        Box::new(console::writer())
    } else {
        Box::new(console::output_writer())
    }
}

struct AgentLevels(flume_logging::Levels);

impl LogLevels for AgentLevels {
    fn shown(&self) -> std::collections::BTreeMap<String, String> {
        self.0.shown()
    }

    fn set(&self, logger: &str, level: Option<&str>) -> Result<(), String> {
        self.0.set(logger, level)
    }
}

//! `flume-ng loglevel`: shows and sets the levels of a running agent's loggers.

use anyhow::anyhow;
use flume_monitor::{ControlAnswer, ControlRequest};

use crate::{
    args::Args,
    outcome::{ExitCode, Failure, print},
    status::request,
};

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let json = args.wants_json()?;
    let (logger, level) = match &args.rest[..] {
        [] => (None, None),
        [logger, level] if level.eq_ignore_ascii_case("default") => (Some(logger.clone()), None),
        [logger, level] => (Some(logger.clone()), Some(level.clone())),
        _ => {
            let text = "write LOGGER LEVEL, or nothing to see the levels; LEVEL is OFF, ERROR, WARN, INFO, DEBUG, \
                        TRACE, or `default` for what is configured";
            return Err(Failure::Usage(text.into()));
        }
    };
    match request(args, &ControlRequest::LogLevel { logger, level })? {
        ControlAnswer::LogLevels(levels) if json => {
            print(&(serde_json::to_string(&levels)? + "\n"))
        }
        ControlAnswer::LogLevels(levels) => {
            let lines = levels
                .iter()
                .map(|(logger, level)| format!("{level:6}{logger}\n"));
            print(&lines.collect::<String>())
        }
        ControlAnswer::Failed(why) => Err(anyhow!(why).into()),
        answer => Err(anyhow!("unexpected answer: {answer:?}").into()),
    }
}

//! Levels of loggers that can be asked for and set while the agent runs.

use std::{collections::BTreeMap, sync::OnceLock};

use rustix::process::geteuid;
use tokio::net::unix::UCred;

use crate::control::ControlAnswer;

/// What the log can do.
pub trait LogLevels: Send + Sync {
    /// Each logger with its level.
    fn shown(&self) -> BTreeMap<String, String>;

    /// Sets the level of a logger; `None` goes back to what is configured.
    ///
    /// # Errors
    /// There is no such logger, or no such level.
    fn set(&self, logger: &str, level: Option<&str>) -> Result<(), String>;
}

static LEVELS: OnceLock<Box<dyn LogLevels>> = OnceLock::new();

/// Makes the levels of this process known, once.
pub fn offer_log_levels(levels: Box<dyn LogLevels>) {
    // The log is started once; a second one would not be in force.
    let _ = LEVELS.set(levels);
}

/// Shows the levels; sets one first, if a logger is named and the peer may do that.
pub(crate) fn answer(
    logger: Option<&str>,
    level: Option<&str>,
    peer: Option<UCred>,
) -> ControlAnswer {
    let Some(levels) = LEVELS.get() else {
        return ControlAnswer::Failed("this agent has no log of its own".into());
    };
    if let Some(logger) = logger {
        let owner = geteuid().as_raw();
        if !peer.is_some_and(|peer| peer.uid() == owner || peer.uid() == 0) {
            let text = format!("only user {owner} and root may set a level");
            return ControlAnswer::Failed(text);
        }
        if let Err(why) = levels.set(logger, level) {
            return ControlAnswer::Failed(why);
        }
        let level = level.unwrap_or("what is configured");
        tracing::warn!("set the level of logger {logger} to {level}");
    }
    ControlAnswer::LogLevels(levels.shown())
}

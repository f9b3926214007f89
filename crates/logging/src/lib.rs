//! The agent's log, as Flume's users configure it: `log4j2.xml`, `log4j.properties`, and `-Dflume.root.logger`.
//!
//! A [`LogPlan`] says which appenders there are and which loggers write to them. [`start`] puts it into force. Nothing
//! that is wrong with a log file ends an agent: what cannot be written goes to the console, with the reason.
//!
//! | module | what it is for |
//! |---|---|
//! | [`plan`] | appenders and loggers as data |
//! | [`find`] | which configuration counts |
//! | [`log4j2`], [`log4j1`] | the two formats |
//! | [`pattern`] | the layout of a line |
//! | [`rolling`] | files that roll by size and time |
//! | [`levels`] | the level of each logger, which can be changed while the agent runs |

pub mod appender;
pub mod cron;
pub mod find;
pub mod levels;
pub mod log4j1;
pub mod log4j2;
mod output;
pub mod pattern;
pub mod plan;
pub mod rolling;
mod substitute;

pub use find::LogSettings;
pub use levels::Levels;
pub use output::start;
pub use plan::LogPlan;

//! From plan to running agent: assemble, supervise, reload, monitor.

mod agent;
mod board;
mod changes;
mod channels;
mod check;
mod control;
mod http;
mod metrics;
mod notify;
mod run;
mod sinks;
mod sources;
mod status;

pub use agent::{Agent, ReloadError, Remained};
pub use board::{Board, Entry, Kind, Live, Reload};
pub use changes::{Changes, Names};
pub use check::check;
pub use control::{Answer, Request, ask};
pub use metrics::{json, prometheus};
pub use run::{Configuration, Options, RunError, run};
pub use status::{ChannelStatus, ComponentStatus, ReloadStatus, Status, status};

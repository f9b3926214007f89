//! What an agent shows of itself, and what it can be asked while it runs.
//!
//! The [`Board`] holds one entry per component; everything else reads it: [`status()`], the numbers as [`json`] and
//! [`prometheus`], the port ([`serve`]) and the control socket ([`control`]). Whoever runs the components publishes the
//! entries. How an agent is started, reloaded and stopped does not belong here: a request to reload is only handed on.

mod board;
pub mod control;
mod http;
mod log_levels;
mod metrics;
mod status;
mod tap;

pub use board::{
    Board, ComponentEntry, ConfigurationHealth, EntryDetails, MonitoredKind, ReloadOutcome,
};
pub use control::{ControlAnswer, ControlRequest, ask};
pub use http::{MonitoringAddress, serve};
pub use metrics::{json, prometheus};
pub use status::{ChannelStatus, ComponentStatus, ReloadStatus, Status, UnreadableStatus, status};
pub use tap::{TapEvent, TapLine, TapMasks, TapRequest, TapStream};

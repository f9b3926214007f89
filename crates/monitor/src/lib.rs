//! What an agent shows of itself, and what it can be asked while it runs.
//!
//! The [`Board`] holds one entry per component; everything else reads it: [`status()`] with its problems, the numbers as
//! [`json`] and [`prometheus`], the port ([`serve`]) with its page, and the control socket ([`control`]). An
//! [`Observer`] asks from outside. Whoever runs the components publishes the entries. How an agent is started, reloaded
//! and stopped does not belong here: a request to reload is only handed on.

mod board;
pub mod control;
mod flow;
pub mod ganglia;
mod history;
mod http;
mod live;
mod log_levels;
mod metrics;
mod observer;
pub mod otlp;
mod problems;
mod remedies;
mod status;
mod tap;
mod text;

pub use board::{
    Board, ComponentEntry, ConfigurationHealth, EntryDetails, MonitoredKind, Rates, ReloadOutcome,
};
pub use control::{ControlAnswer, ControlRequest, ask};
pub use flow::{FlowShape, GroupShape, PartShape, RefusedShape, SinkShape, SourceShape};
pub use history::{HISTORY_BYTES, History, Sample, Series};
pub use http::{Monitoring, MonitoringAddress, serve};
pub use metrics::{json, prometheus};
pub use observer::Observer;
pub use problems::Problem;
pub use status::{
    ChangeStatus, ChannelStatus, ComponentReport, ComponentStatus, Detail, ReloadStatus, Status,
    UnreadableStatus, report, status, status_in,
};
pub use tap::{TapEvent, TapLine, TapMasks, TapRequest, TapStream};
pub use text::{ago, printable};

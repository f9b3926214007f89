//! From plan to running agent: assemble, supervise, reload, stop.

mod agent;
mod changes;
mod channels;
mod check;
mod notify;
mod run;
mod shape;
mod sinks;
mod sources;

pub use agent::{Agent, ReloadError, Remained};
pub use changes::{Changes, Names};
pub use check::{Flows, check};
pub use run::{Configuration, Options, RunError, run};

//! From plan to running agent: assemble, supervise, reload, stop.

mod agent;
mod changes;
mod channels;
mod check;
mod dump;
mod notify;
mod remained;
mod run;
mod shape;
mod sinks;
mod sources;

pub use agent::{Agent, Applied};
pub use changes::ReloadError;
pub use check::{Flows, check};
pub use remained::Remained;
pub use run::{Configuration, Options, RunError, run};

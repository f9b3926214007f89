//! Pipeline tests: events go in at a source's outlet, and what reaches each sink is compared with what a file expects.
//!
//! Interceptors, selectors and serializers run as in an agent. Sources, channels and sinks do not: channels are lists in
//! memory, and nothing outside is touched. The clock that interceptors ask stands still.

mod coverage;
mod expect;
mod file;
mod run;
mod stage;

pub use coverage::Route;
pub use file::{PipelineTest, TestFile};
pub use run::{Outcome, Rehearsal, rehearse};

//! From text to plan: the properties dialect, the `a1.sources…` graph, and everything that is wrong with it.
//!
//! Pure but for [`Document::read`], which opens the files.

mod document;
mod doubts;
mod effective;
mod graph;
mod lookup;
mod plan;
mod planner;
pub mod properties;
mod verdict;

pub use document::Document;
pub use effective::FlumeVerdict;
pub use lookup::{ConfigFilter, LookedUp, Lookups, NotFound};
pub use plan::{
    ChannelPlan, FRAMES, Frame, GroupPlan, Plan, Refused, SinkPlan, SourceFrame, SourcePlan, Wires,
};
pub use verdict::Verdict;

//! For tests only: contract suites, fault injection, and a harness that runs a real agent.

pub mod agent;
pub mod source;

//! For tests only: contract suites, fault injection, and a harness that runs a real agent.

pub mod agent;
pub mod channel_contract;
pub mod diagnostics;
pub mod faulty;
pub mod parts;
pub mod rotation;
pub mod sink_contract;
pub mod source;

/// What `docs/adding-a-component.md` says is compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/adding-a-component.md")]
struct AddingAComponent;

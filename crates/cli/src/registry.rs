//! Everything this build has, in one place. A heavy crate is one `#[cfg(feature)]` line here and nowhere else.

use flume_core::Registry;

/// All components.
pub(crate) const REGISTRY: Registry = Registry { known: &[], ..flume_components::REGISTRY };

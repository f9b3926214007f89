//! Everything this build has, in one place. A heavy crate is one `#[cfg(feature)]` line here and nowhere else.

use flume_core::Registry;

use crate::known::KNOWN;

/// All components.
pub(crate) const REGISTRY: Registry = Registry { known: KNOWN, ..flume_components::REGISTRY };

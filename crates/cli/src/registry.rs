//! Everything this build has, in one place. A heavy crate is one `#[cfg(feature)]` line here and nowhere else.

use flume_core::Registry;

use crate::known::KNOWN;

/// All components.
pub(crate) const REGISTRY: Registry = Registry {
    channels: &[
        flume_components::channels::CHANNELS,
        flume_file_channel::CHANNELS,
    ],
    sinks: &[flume_components::sinks::SINKS, flume_hdfs::SINKS],
    known: KNOWN,
    ..flume_components::REGISTRY
};

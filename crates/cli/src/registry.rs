//! Everything this build has, in one place. A heavy crate is one `#[cfg(feature)]` line here and nowhere else.

use flume_core::Registry;

use crate::known::KNOWN;

/// All components.
pub(crate) const REGISTRY: Registry = Registry {
    channels: &[
        flume_components::channels::CHANNELS,
        flume_file_channel::CHANNELS,
        #[cfg(feature = "kafka")]
        flume_kafka::CHANNELS,
    ],
    sources: &[
        flume_components::sources::SOURCES,
        #[cfg(feature = "kafka")]
        flume_kafka::SOURCES,
    ],
    sinks: &[
        flume_components::sinks::SINKS,
        flume_hdfs::SINKS,
        #[cfg(feature = "kafka")]
        flume_kafka::SINKS,
    ],
    known: KNOWN,
    ..flume_components::REGISTRY
};

//! Everything this build has, in one place. A crate with components is one line.

use flume_core::Registry;

use crate::known::KNOWN;

/// All components.
pub(crate) static REGISTRY: Registry = Registry {
    includes: &[
        &flume_components::REGISTRY,
        &flume_bridge::REGISTRY,
        &flume_file_channel::REGISTRY,
        &flume_files::REGISTRY,
        &flume_hdfs::REGISTRY,
        #[cfg(feature = "kafka")]
        &flume_kafka::REGISTRY,
        &flume_rpc::REGISTRY,
    ],
    known: KNOWN,
    ..Registry::EMPTY
};

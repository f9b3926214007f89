//! The components that need nothing beyond the standard library and tokio.

mod channels;
mod interceptors;
mod processors;
mod selectors;
mod serializers;
mod sinks;
mod sources;

use flume_core::Registry;
use flume_java::charset;

/// Every component in this crate.
pub static REGISTRY: Registry = Registry {
    sources: sources::SOURCES,
    channels: channels::CHANNELS,
    sinks: sinks::SINKS,
    interceptors: interceptors::INTERCEPTORS,
    selectors: selectors::SELECTORS,
    serializers: serializers::SERIALIZERS,
    processors: processors::PROCESSORS,
    ..Registry::EMPTY
};

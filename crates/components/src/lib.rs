//! The components that need nothing beyond the standard library and tokio.

pub mod channels;
pub mod interceptors;
pub mod processors;
pub mod selectors;
pub mod serializers;
pub mod sinks;
pub mod sources;

use flume_core::Registry;
use flume_java::charset;

/// Every component in this crate; the binary adds those of the other crates.
pub const REGISTRY: Registry = Registry {
    sources: &[sources::SOURCES],
    channels: &[channels::CHANNELS],
    sinks: &[sinks::SINKS],
    interceptors: &[interceptors::INTERCEPTORS],
    selectors: &[selectors::SELECTORS],
    serializers: &[serializers::SERIALIZERS],
    processors: &[processors::PROCESSORS],
    known: &[],
};

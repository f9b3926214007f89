//! The components that need nothing beyond the standard library and tokio.

mod channels;
mod http_handlers;
mod interceptors;
mod processors;
mod selectors;
mod serializers;
mod sinks;
mod sources;
pub mod tail_command;

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
    http_handlers: http_handlers::HTTP_HANDLERS,
    processors: processors::PROCESSORS,
    ..Registry::EMPTY
};

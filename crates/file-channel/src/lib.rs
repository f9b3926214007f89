//! The durable channel: a storage engine, and the channels on it.

pub mod encryption;

use flume_core::{Channel, Registration};

/// Every channel in this crate.
#[rustfmt::skip]
pub const CHANNELS: &[Registration<dyn Channel>] = &[
];

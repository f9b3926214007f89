//! Channels. To add one: write its file, then add its two lines here.

mod memory;

use flume_core::{Channel, Registration};

/// Every channel in this crate. Order is the order of the reference manual.
#[rustfmt::skip]
pub(crate) const CHANNELS: &[Registration<dyn Channel>] = &[
    Registration::channel::<memory::MemoryChannel>("memory", "org.apache.flume.channel.MemoryChannel"),
];

//! Selectors. To add one: write its file, then add its two lines here.

mod replicating;

use flume_core::{ChannelSelector, Registration};

/// Every selector in this crate. Order is the order of the reference manual.
#[rustfmt::skip]
pub const SELECTORS: &[Registration<dyn ChannelSelector>] = &[
    Registration::selector::<replicating::ReplicatingSelector>("replicating", "org.apache.flume.channel.ReplicatingChannelSelector"),
];

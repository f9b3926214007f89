//! Selectors. To add one: write its file, then add its two lines here.

mod load_balancing;
mod multiplexing;
mod replicating;

use flume_core::{BuildError, ChannelSelector, Context, Registration};

/// Every selector in this crate. Order is the order of the reference manual.
#[rustfmt::skip]
pub(crate) const SELECTORS: &[Registration<dyn ChannelSelector>] = &[
    Registration::selector::<replicating::ReplicatingSelector>("replicating", "org.apache.flume.channel.ReplicatingChannelSelector"),
    Registration::selector::<multiplexing::MultiplexingSelector>("multiplexing", "org.apache.flume.channel.MultiplexingChannelSelector"),
    Registration::selector::<load_balancing::LoadBalancingSelector>("load_balancing", "org.apache.flume.channel.LoadBalancingChannelSelector"),
];

/// The places of the channels that `names`, separated by spaces, stands for.
fn indices(key: &str, names: &str, cx: &Context) -> Result<Vec<usize>, BuildError> {
    let index = |name: &str| {
        let stranger = || BuildError::at(key, format!("`{name}` is not a channel of this source"));
        cx.peers
            .iter()
            .position(|peer| peer == name)
            .ok_or_else(stranger)
    };
    names.split_whitespace().map(index).collect()
}

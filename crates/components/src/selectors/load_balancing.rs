//! `load_balancing`: each event to one of the channels.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use flume_core::{
    BuildError, ChannelSelector, Component, Config, Context, Event, Route, config::Choice,
};

/// Spreads events over the channels of the source: each goes into exactly one.
#[derive(Clone, Config)]
pub(super) struct LoadBalancingConfig {
    /// How the channel is chosen: `round_robin` or `random`.
    #[prop("policy", default = "round_robin")]
    policy: Policy,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Policy {
    RoundRobin,
    Random,
}

impl Choice for Policy {
    const CHOICES: &'static [(&'static str, Self)] = &[
        ("round_robin", Policy::RoundRobin),
        ("random", Policy::Random),
    ];
}

pub(super) struct LoadBalancingSelector {
    policy: Policy,
    channels: Vec<usize>,
    next: AtomicUsize,
}

impl Component for LoadBalancingSelector {
    type Config = LoadBalancingConfig;
    fn build(config: LoadBalancingConfig, cx: &Context) -> Result<Self, BuildError> {
        Ok(LoadBalancingSelector {
            policy: config.policy,
            channels: (0..cx.peers.len()).collect(),
            next: AtomicUsize::new(0),
        })
    }
}

impl ChannelSelector for LoadBalancingSelector {
    fn route(&self, _: &Event) -> Route<'_> {
        let channel = match self.policy {
            Policy::RoundRobin => self.next.fetch_add(1, Relaxed) % self.channels.len(),
            Policy::Random => fastrand::usize(..self.channels.len()),
        };
        Route {
            required: &self.channels[channel..=channel],
            optional: &[],
        }
    }
}

//! `replicating`: every event to every channel.

use flume_core::{BuildError, ChannelSelector, Component, Config, Context, Event, Route};

/// Puts every event into every channel of the source.
#[derive(Clone, Config)]
pub(super) struct ReplicatingConfig {
    /// Channels, separated by spaces, whose failure does not fail the batch.
    #[prop("optional")]
    optional: Option<String>,
}

pub(super) struct ReplicatingSelector {
    required: Vec<usize>,
    optional: Vec<usize>,
}

impl Component for ReplicatingSelector {
    type Config = ReplicatingConfig;
    fn build(config: ReplicatingConfig, cx: &Context) -> Result<Self, BuildError> {
        let names: Vec<&str> = config.optional.iter().flat_map(|names| names.split_whitespace()).collect();
        if let Some(stranger) = names.iter().find(|name| !cx.peers.iter().any(|channel| channel == *name)) {
            return Err(BuildError::at("optional", format!("`{stranger}` is not a channel of this source")));
        }
        let (optional, required) =
            (0..cx.peers.len()).partition(|&channel| names.contains(&cx.peers[channel].as_str()));
        Ok(ReplicatingSelector { required, optional })
    }
}

impl ChannelSelector for ReplicatingSelector {
    fn route(&self, _: &Event) -> Route<'_> {
        Route { required: &self.required, optional: &self.optional }
    }

    fn constant(&self) -> Option<Route<'_>> {
        Some(Route { required: &self.required, optional: &self.optional })
    }
}

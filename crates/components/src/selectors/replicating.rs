//! `replicating`: every event to every channel.

use flume_core::{ChannelSelector, Component, Config, Context, Event, Route};

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
    fn build(config: ReplicatingConfig, cx: &Context) -> Result<Self, String> {
        let names: Vec<&str> =
            config.optional.iter().flat_map(|names| names.split_whitespace()).collect();
        if let Some(stranger) =
            names.iter().find(|name| !cx.channels.iter().any(|channel| channel == *name))
        {
            return Err(format!("optional: `{stranger}` is not a channel of this source"));
        }
        let (optional, required) = (0..cx.channels.len())
            .partition(|&channel| names.contains(&cx.channels[channel].as_str()));
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

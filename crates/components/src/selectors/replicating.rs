//! `replicating`: every event to every channel.

use flume_core::{BuildError, ChannelSelector, Component, Config, Context, Event, Route};

/// Puts every event into every channel of the source.
#[derive(Clone, Config)]
pub(super) struct ReplicatingConfig {
    /// Channels, separated by spaces, whose failure does not fail the batch.
    #[prop("optional", default = "")]
    optional: String,
}

pub(super) struct ReplicatingSelector {
    required: Vec<usize>,
    optional: Vec<usize>,
}

impl Component for ReplicatingSelector {
    type Config = ReplicatingConfig;
    fn build(config: ReplicatingConfig, cx: &Context) -> Result<Self, BuildError> {
        let optional = super::indices("optional", &config.optional, cx)?;
        let required = (0..cx.peers.len())
            .filter(|channel| !optional.contains(channel))
            .collect();
        Ok(ReplicatingSelector { required, optional })
    }
}

impl ChannelSelector for ReplicatingSelector {
    fn route(&self, _: &Event) -> Route<'_> {
        Route {
            required: &self.required,
            optional: &self.optional,
        }
    }

    fn constant(&self) -> Option<Route<'_>> {
        Some(Route {
            required: &self.required,
            optional: &self.optional,
        })
    }
}

//! `multiplexing`: the channels of an event by the value of one of its headers.

use std::collections::HashMap;

use flume_core::{
    BuildError, ChannelSelector, Code, Component, Config, Context, Event, Route, config::Prefix,
};

/// Chooses the channels of an event by a header. An event whose value leads nowhere is dropped, and counted.
#[derive(Clone, Config)]
pub(super) struct MultiplexingConfig {
    /// Name of the header that is looked at.
    #[prop("header", default = "flume.selector.header")]
    header: String,
    /// `mapping.VALUE`: channels, separated by spaces, for that value of the header.
    #[prop("mapping")]
    mapping: Prefix<String>,
    /// Channels for events without the header, or with a value that has no mapping.
    #[prop("default")]
    default: Option<String>,
    /// `optional.VALUE`: channels for that value whose failure does not fail the batch.
    #[prop("optional")]
    optional: Prefix<String>,
}

pub(super) struct MultiplexingSelector {
    header: String,
    routes: HashMap<String, Channels>,
    default: Channels,
}

#[derive(Clone, Default)]
struct Channels {
    required: Vec<usize>,
    optional: Vec<usize>,
}

impl Component for MultiplexingSelector {
    type Config = MultiplexingConfig;
    fn build(config: MultiplexingConfig, cx: &Context) -> Result<Self, BuildError> {
        let required =
            super::indices("default", config.default.as_deref().unwrap_or_default(), cx)?;
        let default = Channels {
            required,
            optional: vec![],
        };
        let mut routes: HashMap<String, Channels> = HashMap::new();
        for (value, names) in &config.mapping.0 {
            let required = super::indices(&format!("mapping.{value}"), names, cx)?;
            routes.insert(
                value.clone(),
                Channels {
                    required,
                    optional: vec![],
                },
            );
        }
        for (value, names) in &config.optional.0 {
            let optional = super::indices(&format!("optional.{value}"), names, cx)?;
            let route = routes
                .entry(value.clone())
                .or_insert_with(|| default.clone());
            route.optional = optional
                .into_iter()
                .filter(|channel| !route.required.contains(channel))
                .collect();
        }
        Ok(MultiplexingSelector {
            header: config.header,
            routes,
            default,
        })
    }
}

impl ChannelSelector for MultiplexingSelector {
    fn remarks(&self) -> Vec<BuildError> {
        if !self.default.required.is_empty() {
            return vec![];
        }
        let text = format!(
            "there is no `selector.default`: an event whose header `{}` has no mapping is dropped",
            self.header
        );
        vec![BuildError::of(Code::NoSelectorDefault, "type", text)]
    }

    fn route(&self, event: &Event) -> Route<'_> {
        let value = event
            .headers
            .get(&self.header)
            .filter(|value| !value.trim().is_empty());
        let channels = value
            .and_then(|value| self.routes.get(&value[..]))
            .unwrap_or(&self.default);
        Route {
            required: &channels.required,
            optional: &channels.optional,
        }
    }
}

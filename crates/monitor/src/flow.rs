//! The shape of what runs: sources, what leads from them, channels, groups, sinks, with their settings.

use std::collections::BTreeMap;

use flume_core::secrets::{MASK, is_secret_name, masked};
use serde::{Deserialize, Serialize};

/// An agent's flows, as they are configured.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct FlowShape {
    /// Its sources.
    pub sources: Vec<SourceShape>,
    /// Its channels.
    pub channels: Vec<PartShape>,
    /// Its sink groups; a sink without a group is one.
    pub groups: Vec<GroupShape>,
    /// What is configured and does not run.
    pub refused: Vec<RefusedShape>,
}

/// A component, or a part of one, with its settings.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct PartShape {
    /// Its short name.
    pub name: String,
    /// Its type as the user wrote it.
    #[serde(rename = "type")]
    pub type_name: String,
    /// Its settings; secrets are masked.
    pub settings: BTreeMap<String, String>,
}

/// A source and what leads from it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SourceShape {
    /// The source itself.
    #[serde(flatten)]
    pub part: PartShape,
    /// In their order.
    pub interceptors: Vec<PartShape>,
    /// Decides the channels of an event.
    pub selector: PartShape,
    /// Short names of its channels.
    pub channels: Vec<String>,
}

/// Sinks that share a processor.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct GroupShape {
    /// The group; of a sink without a group: the sink's name and no type.
    #[serde(flatten)]
    pub part: PartShape,
    /// Its sinks.
    pub sinks: Vec<SinkShape>,
}

/// A sink and its channels.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SinkShape {
    /// The sink itself.
    #[serde(flatten)]
    pub part: PartShape,
    /// What it drains.
    pub channel: String,
    /// Where malformed events go.
    pub dead_letters: Option<String>,
}

/// What is configured and does not run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct RefusedShape {
    /// `source`, `channel` or `sink`.
    pub kind: String,
    /// Its short name.
    pub name: String,
    /// The channel that it would drain.
    pub channel: Option<String>,
}

impl PartShape {
    /// A part with the settings that may be shown of `values`.
    pub fn new<'a>(
        name: &str,
        type_name: &str,
        values: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let shown = values.into_iter().map(|(key, value)| {
            let value = if is_secret_name(key) {
                MASK.into()
            } else {
                masked(value).into_owned()
            };
            (key.to_string(), value)
        });
        PartShape {
            name: name.into(),
            type_name: type_name.into(),
            settings: shown.collect(),
        }
    }
}

impl FlowShape {
    /// The same without any settings.
    pub fn without_settings(&self) -> FlowShape {
        let mut shape = self.clone();
        let sources = shape.sources.iter_mut().flat_map(|source| {
            let parts = [&mut source.part, &mut source.selector];
            parts.into_iter().chain(&mut source.interceptors)
        });
        let groups = shape.groups.iter_mut().flat_map(|group| {
            let sinks = group.sinks.iter_mut().map(|sink| &mut sink.part);
            std::iter::once(&mut group.part).chain(sinks)
        });
        let parts = sources.chain(&mut shape.channels).chain(groups);
        parts.for_each(|part| part.settings.clear());
        shape
    }

    /// Every sink with its group.
    pub fn sinks(&self) -> impl Iterator<Item = (&GroupShape, &SinkShape)> {
        let groups = self.groups.iter();
        groups.flat_map(|group| group.sinks.iter().map(move |sink| (group, sink)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_show_no_secrets() {
        let values = [
            ("keystore-password", "hunter2"),
            ("bind", "0.0.0.0"),
            ("kafka.sasl.jaas.config", "x required password=\"hunter2\";"),
            ("url", "http://u:hunter2@h/"),
        ];
        let part = PartShape::new("r1", "avro", values);
        assert!(!format!("{part:?}").contains("hunter2"), "{part:?}");
        assert_eq!(part.settings["bind"], "0.0.0.0");
    }
}

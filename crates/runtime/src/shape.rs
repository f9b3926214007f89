//! The shape of a plan, for monitoring.

use flume_conf::{GroupPlan, Plan, SinkPlan, SourcePlan};
use flume_core::{component::short_name, props::Section};
use flume_monitor::{FlowShape, GroupShape, PartShape, RefusedShape, SinkShape, SourceShape};

/// What is planned, with the settings that may be shown.
pub(crate) fn shape(plan: &Plan) -> FlowShape {
    let refused = plan.refused.iter().map(|refused| {
        let kind = refused.name.split('.').nth(1).unwrap_or_default();
        RefusedShape {
            kind: kind.trim_end_matches('s').into(),
            name: short_name(&refused.name).into(),
            channel: refused.channel.clone(),
        }
    });
    FlowShape {
        sources: plan.sources.iter().map(source).collect(),
        channels: plan
            .channels
            .iter()
            .map(|channel| part(&channel.section))
            .collect(),
        groups: plan.groups.iter().map(group).collect(),
        refused: refused.collect(),
    }
}

fn part(section: &Section) -> PartShape {
    let name = short_name(&section.name);
    PartShape::new(name, section.type_name(), section.values())
}

fn source(plan: &SourcePlan) -> SourceShape {
    let frame = plan.frame_section.values();
    let of = |name: &str, prefix: &str| {
        let below = frame.iter();
        let below = below.filter_map(|(key, value)| Some((key.strip_prefix(prefix)?, *value)));
        let kind = frame.get(format!("{prefix}type").as_str()).copied();
        PartShape::new(name, kind.unwrap_or_default(), below)
    };
    let chain = frame.get("interceptors").copied().unwrap_or_default();
    let interceptors = chain.split_whitespace();
    let interceptors = interceptors.map(|name| of(name, &format!("interceptors.{name}.")));
    let mut selector = of("selector", "selector.");
    if selector.type_name.is_empty() {
        selector.type_name = "replicating".into();
    }
    SourceShape {
        part: part(&plan.section),
        interceptors: interceptors.collect(),
        selector,
        channels: plan.frame.channels.texts().map(String::from).collect(),
    }
}

fn group(plan: &GroupPlan) -> GroupShape {
    let mut group = part(&plan.section);
    if let Some(kind) = plan.section.settings.get("processor.type") {
        group.type_name = kind.text.clone();
    } else {
        group.type_name.clear();
    }
    let sinks = plan.sinks.iter().map(sink).collect();
    GroupShape { part: group, sinks }
}

fn sink(plan: &SinkPlan) -> SinkShape {
    SinkShape {
        part: part(&plan.section),
        channel: plan.channel.clone(),
        dead_letters: plan.runner.dead_letter_channel.clone(),
    }
}

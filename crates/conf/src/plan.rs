//! What an agent is to run: every component parsed, with the recipe that builds it.

use std::sync::Arc;

use flume_core::{
    AgentInfo, BuildError, Channel, ChannelSelector, Config, Context, Diagnostic, Interceptor,
    Recipe, RunnerConfig, Sink, SinkProcessor, Source, Span,
    component::short_name,
    config::{Chain, Ignored, Names, Nested, Property},
    props::Section,
};

/// An agent's configuration, checked and parsed.
#[derive(Default)]
pub struct Plan {
    /// The agent's name.
    pub agent: String,
    /// Channels, in the order of the file.
    pub channels: Vec<ChannelPlan>,
    /// Sources, in the order of the file.
    pub sources: Vec<SourcePlan>,
    /// Sink groups; a sink without a group is a group of its own.
    pub groups: Vec<GroupPlan>,
    /// What was configured and cannot run.
    pub refused: Vec<Refused>,
    /// Everything that was found, in the order of the file.
    pub diagnostics: Vec<Diagnostic>,
}

/// A channel to build.
pub struct ChannelPlan {
    /// Its settings, named in full.
    pub section: Section,
    /// Builds it.
    pub recipe: Recipe<dyn Channel>,
}

impl ChannelPlan {
    /// What it is given when it is built.
    pub fn context(&self, agent: &Arc<AgentInfo>) -> Context {
        Context::of_agent(&self.section.name, vec![], agent.clone())
    }
}

/// A source to build.
pub struct SourcePlan {
    /// Its own settings, without those of the frame.
    pub section: Section,
    /// Builds it.
    pub recipe: Recipe<dyn Source>,
    /// What leads from it to its channels.
    pub frame: SourceFrame,
    /// The settings behind `frame`.
    pub frame_section: Section,
    /// What `frame` builds, once it was tried out with the source.
    pub wires: Option<Wires>,
}

impl SourcePlan {
    /// What it is given when it is built.
    pub fn context(&self, agent: &Arc<AgentInfo>) -> Context {
        let peers = self.frame.channels.texts().map(String::from).collect();
        Context::of_agent(&self.section.name, peers, agent.clone())
    }
}

/// What the events of a source pass through on their way to its channels.
pub struct Wires {
    /// In this order.
    pub interceptors: Vec<Box<dyn Interceptor>>,
    /// Decides the channels of an event.
    pub selector: Box<dyn ChannelSelector>,
}

/// What every source understands besides its own properties.
#[derive(Clone, Config)]
pub struct SourceFrame {
    /// Channels the source feeds, separated by spaces.
    #[prop("channels")]
    pub channels: Names,
    /// Interceptors, separated by spaces, applied in this order.
    #[prop("interceptors")]
    pub interceptors: Chain<dyn Interceptor>,
    /// Decides the channels of an event.
    #[prop("selector.type", default = "replicating")]
    pub selector: Nested<dyn ChannelSelector>,
}

impl SourceFrame {
    /// Builds interceptors and selector.
    pub fn wire(&self, cx: &Context) -> Result<Wires, BuildError> {
        let interceptors = self.interceptors.create("interceptors", cx)?;
        let selector = self.selector.create(&cx.inside("selector"));
        Ok(Wires {
            interceptors,
            selector: selector.map_err(|error| error.inside("selector"))?,
        })
    }
}

/// Properties that the agent reads from the sections of a kind, besides those of the component itself.
pub struct Frame {
    /// The kind in whose chapter of the manual they stand, as in [`Registry::KINDS`](flume_core::Registry::KINDS).
    pub kind: &'static str,
    /// What has them: `source`, `sink group`.
    pub owner: &'static str,
    /// What they are for.
    pub doc: &'static str,
    /// Their rows.
    pub properties: fn() -> Vec<Property>,
}

/// Every frame.
pub const FRAMES: &[Frame] = &[
    Frame {
        kind: "source",
        owner: "source",
        doc: SourceFrame::DOC,
        properties: source_properties,
    },
    Frame {
        kind: "channel",
        owner: "channel",
        doc: TypeFrame::DOC,
        properties: TypeFrame::properties,
    },
    Frame {
        kind: "sink",
        owner: "sink",
        doc: RunnerConfig::DOC,
        properties: sink_properties,
    },
    Frame {
        kind: "sink processor",
        owner: "sink group",
        doc: GroupFrame::DOC,
        properties: GroupFrame::properties,
    },
];

pub(crate) fn source_properties() -> Vec<Property> {
    [TypeFrame::properties(), SourceFrame::properties()].concat()
}

pub(crate) fn sink_properties() -> Vec<Property> {
    [
        TypeFrame::properties(),
        SinkFrame::properties(),
        RunnerConfig::properties(),
    ]
    .concat()
}

/// What every channel understands besides its own properties.
#[derive(Clone, Config)]
pub(crate) struct TypeFrame {
    /// Which component it is: a short name in any case, or the class name of Flume's.
    #[prop("type")]
    pub(crate) type_name: String,
    /// Names a Java class that reads the configuration, which only Java could load.
    #[prop("config")]
    pub(crate) _config: Ignored,
}

/// What every sink understands besides its own properties and the runner's.
#[derive(Clone, Config)]
pub(crate) struct SinkFrame {
    /// Channel the sink drains.
    #[prop("channel")]
    pub(crate) channel: String,
}

/// What every sink group understands, besides the properties of its processor below `processor`.
#[derive(Clone, Config)]
pub(crate) struct GroupFrame {
    /// Sinks of the group, separated by spaces.
    #[prop("sinks")]
    pub(crate) sinks: Names,
    /// Chooses the sink of each step.
    #[prop("processor.type")]
    pub(crate) processor: Nested<dyn SinkProcessor>,
}

/// Sinks that share a thread and a processor.
pub struct GroupPlan {
    /// Settings of the group, named in full; of a sink without a group, the sink's name and no settings.
    pub section: Section,
    /// Builds the processor.
    pub processor: Recipe<dyn SinkProcessor>,
    /// Its sinks, in the order of the group.
    pub sinks: Vec<SinkPlan>,
}

impl GroupPlan {
    /// What its processor is given when it is built.
    pub fn context(&self, agent: &Arc<AgentInfo>) -> Context {
        let sinks = self.sinks.iter();
        let names = sinks.map(|sink| short_name(&sink.section.name).into());
        Context::of_agent(&self.section.name, names.collect(), agent.clone())
    }
}

/// A sink to build.
pub struct SinkPlan {
    /// All its settings, named in full.
    pub section: Section,
    /// Builds it.
    pub recipe: Recipe<dyn Sink>,
    /// Its channel: `c1`.
    pub channel: String,
    /// How it is run.
    pub runner: RunnerConfig,
}

impl SinkPlan {
    /// What it is given when it is built.
    pub fn context(&self, agent: &Arc<AgentInfo>) -> Context {
        let channel = vec![self.channel.clone()];
        Context::of_agent(&self.section.name, channel, agent.clone())
    }
}

/// A component that was configured and cannot run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The full name: `a1.sinks.k1`.
    pub name: String,
    /// Its type as the user wrote it; empty if there is none.
    pub type_name: String,
    /// Its first line.
    pub place: Span,
    /// The channel that it would drain, if it is a sink.
    pub channel: Option<String>,
    /// Why.
    pub reason: String,
}

impl Refused {
    /// The component of `section`.
    pub fn new(section: &Section, reason: &str) -> Self {
        let type_name = section.type_name().into();
        let name = section.name.clone();
        let place = section.home.clone();
        let channel = section.settings.get("channel");
        Refused {
            name,
            type_name,
            place,
            channel: channel.map(|setting| setting.text.clone()),
            reason: reason.into(),
        }
    }
}

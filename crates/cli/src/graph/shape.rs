//! What is drawn: the components of an agent as its files name them, and the ways between them. Also what cannot run
//! is drawn, as far as the files say where it belongs.

use flume_conf::{Document, Verdict};
use flume_core::{Diagnostic, Severity, secrets::masked};

/// The flows of an agent.
pub(crate) struct Shape {
    /// Its name.
    pub(crate) agent: String,
    /// Sources, channels, sinks.
    pub(crate) nodes: Vec<Node>,
    /// The ways of events.
    pub(crate) edges: Vec<Edge>,
    /// What belongs to no component.
    pub(crate) findings: Vec<(Severity, String)>,
}

/// A component.
pub(crate) struct Node {
    pub(crate) kind: NodeKind,
    pub(crate) name: String,
    pub(crate) type_name: String,
    /// Interceptors and selector of a source, the group of a sink.
    pub(crate) parts: Vec<String>,
    pub(crate) refused: bool,
    pub(crate) findings: Vec<(Severity, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum NodeKind {
    Source,
    Channel,
    Sink,
}

impl NodeKind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            NodeKind::Source => "source",
            NodeKind::Channel => "channel",
            NodeKind::Sink => "sink",
        }
    }
}

/// How a component stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Runs,
    Remarked,
    Refused,
}

impl Standing {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Standing::Runs => "runs",
            Standing::Remarked => "remarked",
            Standing::Refused => "refused",
        }
    }
}

/// A way from one node to another, by their indices.
pub(crate) struct Edge {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) label: String,
    /// Not every event has to go there.
    pub(crate) dashed: bool,
}

/// On one line, without what a terminal or a parser would obey.
pub(crate) fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

impl Shape {
    /// The agent's flows; `verdicts` are those of its components, `diagnostics` those of the files.
    pub(crate) fn of(
        document: &Document,
        agent: &str,
        verdicts: &[Verdict],
        diagnostics: &[Diagnostic],
    ) -> Shape {
        let mut shape = Shape {
            agent: agent.into(),
            nodes: vec![],
            edges: vec![],
            findings: vec![],
        };
        let kinds = [
            ("sources", NodeKind::Source),
            ("channels", NodeKind::Channel),
            ("sinks", NodeKind::Sink),
        ];
        for (word, kind) in kinds {
            let prefix = format!("{agent}.{word}.");
            for verdict in verdicts {
                let Some(name) = verdict.name.strip_prefix(&prefix) else {
                    continue;
                };
                if shape.node(kind, name).is_none() {
                    shape.nodes.push(node(document, agent, kind, name, verdict));
                }
            }
        }
        for found in diagnostics {
            shape.place(agent, found);
        }
        for node in 0..shape.nodes.len() {
            match shape.nodes[node].kind {
                NodeKind::Source => shape.leave_source(document, node),
                NodeKind::Channel => {}
                NodeKind::Sink => shape.reach_sink(document, node),
            }
        }
        // In the order of the flow.
        let kind_of = |at: usize| shape.nodes[at].kind;
        let mut edges = std::mem::take(&mut shape.edges);
        edges.sort_by_key(|edge| kind_of(edge.from) != NodeKind::Source);
        shape.edges = edges;
        shape
    }

    fn node(&self, kind: NodeKind, name: &str) -> Option<usize> {
        self.nodes
            .iter()
            .position(|node| node.kind == kind && node.name == name)
    }

    fn place(&mut self, agent: &str, found: &Diagnostic) {
        let text = masked(&found.text).into_owned();
        let belongs = |node: &&mut Node| {
            let full = format!("{agent}.{}s.{}", node.kind.name(), node.name);
            let rest = found.key.strip_prefix(&full);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        if let Some(node) = self.nodes.iter_mut().find(belongs) {
            let full = format!("{agent}.{}s.{}", node.kind.name(), node.name);
            let key = found
                .key
                .strip_prefix(&full)
                .unwrap_or_default()
                .trim_start_matches('.');
            let text = if key.is_empty() {
                text
            } else {
                format!("{key}: {text}")
            };
            return node.findings.push((found.severity(), text));
        }
        let is_ours = found
            .key
            .strip_prefix(agent)
            .is_some_and(|rest| rest.starts_with('.'));
        if is_ours || !found.key.contains('.') {
            let text = format!(
                "{}: {}: {}: {text}",
                found.place,
                found.severity(),
                found.key
            );
            self.findings.push((found.severity(), text));
        }
    }

    fn edge(&mut self, from: usize, channel: &str, label: &str, dashed: bool) {
        let Some(to) = self.node(NodeKind::Channel, channel) else {
            return;
        };
        let known = self
            .edges
            .iter_mut()
            .find(|edge| edge.from == from && edge.to == to && edge.dashed == dashed);
        match known {
            Some(edge) if edge.label.is_empty() || label.is_empty() => {}
            Some(edge) => edge.label = format!("{}, {label}", edge.label),
            None => self.edges.push(Edge {
                from,
                to,
                label: label.into(),
                dashed,
            }),
        }
    }

    /// To its channels, with the values of the header that lead there.
    fn leave_source(&mut self, document: &Document, source: usize) {
        let prefix = format!("{}.sources.{}.", self.agent, self.nodes[source].name);
        let settings: Vec<_> = document.below(&prefix).collect();
        let value = |key: &str| {
            settings
                .iter()
                .find(|(known, _)| *known == key)
                .map(|(_, setting)| setting.text.as_str())
        };
        let channels = value("channels").unwrap_or_default();
        let mapped = settings
            .iter()
            .any(|(key, _)| key.starts_with("selector.mapping.") || *key == "selector.default");
        if !mapped {
            let optional: Vec<_> = value("selector.optional")
                .unwrap_or_default()
                .split_whitespace()
                .collect();
            for channel in channels.split_whitespace() {
                let is_optional = optional.contains(&channel);
                self.edge(
                    source,
                    channel,
                    if is_optional { "optional" } else { "" },
                    is_optional,
                );
            }
            return;
        }
        let header = value("selector.header").unwrap_or("flume.selector.header");
        for (key, setting) in &settings {
            let (label, dashed) = if let Some(wanted) = key.strip_prefix("selector.mapping.") {
                (format!("{header}={wanted}"), false)
            } else if let Some(wanted) = key.strip_prefix("selector.optional.") {
                (format!("{header}={wanted}, optional"), true)
            } else {
                continue;
            };
            for channel in setting.text.split_whitespace() {
                self.edge(source, channel, &label, dashed);
            }
        }
        for channel in value("selector.default")
            .unwrap_or_default()
            .split_whitespace()
        {
            self.edge(source, channel, "otherwise", false);
        }
    }

    fn reach_sink(&mut self, document: &Document, sink: usize) {
        let prefix = format!("{}.sinks.{}.", self.agent, self.nodes[sink].name);
        let value = |key: &str| {
            let mut settings = document.below(&prefix);
            settings
                .find(|(known, _)| *known == key)
                .map(|(_, setting)| setting.text.clone())
        };
        if let Some(from) = value("channel").and_then(|name| self.node(NodeKind::Channel, &name)) {
            self.edges.push(Edge {
                from,
                to: sink,
                label: String::new(),
                dashed: false,
            });
        }
        if let Some(dead) = value("deadLetterChannel") {
            self.edge(sink, &dead, "dead letters", true);
        }
    }
}

fn node(document: &Document, agent: &str, kind: NodeKind, name: &str, verdict: &Verdict) -> Node {
    let prefix = format!("{agent}.{}s.{name}.", kind.name());
    let value = |key: &str| {
        let mut settings = document.below(&prefix);
        settings
            .find(|(known, _)| *known == key)
            .map(|(_, setting)| setting.text.clone())
    };
    let mut parts = vec![];
    if let Some(reason) = &verdict.reason {
        parts.push(format!("cannot run: {}", masked(reason)));
    }
    for interceptor in value("interceptors").unwrap_or_default().split_whitespace() {
        let type_name = value(&format!("interceptors.{interceptor}.type")).unwrap_or_default();
        parts.push(format!("interceptor {interceptor} {type_name}"));
    }
    parts.extend(value("selector.type").map(|selector| format!("selector {selector}")));
    if kind == NodeKind::Sink {
        parts.extend(group_of(document, agent, name));
    }
    Node {
        kind,
        name: name.into(),
        type_name: verdict.type_name.clone(),
        parts,
        refused: verdict.reason.is_some(),
        findings: vec![],
    }
}

fn group_of(document: &Document, agent: &str, sink: &str) -> Option<String> {
    let prefix = format!("{agent}.sinkgroups.");
    let mut settings = document.below(&prefix);
    let group = settings.find_map(|(key, setting)| {
        let group = key.strip_suffix(".sinks")?;
        setting
            .text
            .split_whitespace()
            .any(|name| name == sink)
            .then_some(group)
    })?;
    let processor = document
        .below(&prefix)
        .find(|(key, _)| key.strip_prefix(group) == Some(".processor.type"));
    let processor = processor.map_or("default", |(_, setting)| setting.text.as_str());
    Some(format!("group {group} {processor}"))
}

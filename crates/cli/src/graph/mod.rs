//! `flume-ng graph`: the flows of a configuration as a drawing, in the language of Mermaid or Graphviz, or as SVG.

mod shape;
mod svg;

pub(crate) use shape::Shape;
pub(crate) use svg::{drawing, escaped as escaped_xml};

use flume_core::Severity;

use crate::{
    args::Args,
    graph::shape::{Edge, Node, NodeKind, Standing, one_line},
    outcome::{ExitCode, Failure, print},
    validate::{judge, read},
};

/// Runs the command. A configuration with mistakes is drawn, too: exit code 0.
pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let render: fn(&[Shape]) -> String = match args.get("format") {
        None | Some("mermaid") => mermaid,
        Some("dot") => dot,
        Some("svg") => svg::page,
        Some(other) => {
            let text = format!("--format takes mermaid, dot or svg, not `{other}`");
            return Err(Failure::Usage(text));
        }
    };
    let (document, agents) = read(args)?;
    let judged = judge(&document, &agents, args);
    let shapes = judged.agents.iter();
    let shapes: Vec<_> = shapes
        .map(|(agent, verdicts)| Shape::of(&document, agent, verdicts, &judged.diagnostics))
        .collect();
    print(&render(&shapes))
}

/// Names of nodes that are unique over all agents.
fn id(agent: usize, node: usize) -> String {
    format!("n{agent}_{node}")
}

fn mermaid(shapes: &[Shape]) -> String {
    let mut text = String::from("flowchart LR\n");
    for (at, shape) in shapes.iter().enumerate() {
        for (_, finding) in &shape.findings {
            text += &format!("  %% {}\n", one_line(finding));
        }
        text += &format!(
            "  subgraph agent{at}[\"{}\"]\n",
            mermaid_text(&format!("agent {}", shape.agent))
        );
        for (number, node) in shape.nodes.iter().enumerate() {
            let lines = node.lines();
            let label: Vec<_> = lines.iter().map(|line| mermaid_text(line)).collect();
            let label = label.join("<br/>");
            let (open, close) = if node.kind == NodeKind::Channel {
                ("[(", ")]")
            } else {
                ("[", "]")
            };
            text += &format!(
                "    {}{open}\"{label}\"{close}:::{}\n",
                id(at, number),
                node.standing().name()
            );
        }
        text += "  end\n";
        for Edge {
            from,
            to,
            label,
            dashed,
        } in &shape.edges
        {
            let arrow = if *dashed { "-.->" } else { "-->" };
            let label = if label.is_empty() {
                String::new()
            } else {
                format!("|\"{}\"|", mermaid_text(label))
            };
            text += &format!("  {} {arrow}{label} {}\n", id(at, *from), id(at, *to));
        }
    }
    text += "  classDef runs stroke:#2a7d3f\n  classDef remarked stroke:#b36b00,stroke-width:2px\n  classDef refused stroke:#c0262d,stroke-width:3px\n";
    text
}

/// Mermaid reads `#code;` in a label, and some HTML.
fn mermaid_text(text: &str) -> String {
    let mut out = String::new();
    for c in one_line(text).chars() {
        if c.is_alphanumeric() || " ._-:,/=()".contains(c) {
            out.push(c);
        } else {
            out += &format!("#{};", u32::from(c));
        }
    }
    out
}

fn dot(shapes: &[Shape]) -> String {
    let mut text =
        String::from("digraph flume {\n  rankdir=LR;\n  node [shape=box, style=rounded];\n");
    for (at, shape) in shapes.iter().enumerate() {
        for (_, finding) in &shape.findings {
            text += &format!("  // {}\n", one_line(finding));
        }
        text += &format!(
            "  subgraph cluster_{at} {{\n    label={};\n",
            dot_text(&[format!("agent {}", shape.agent)])
        );
        for (number, node) in shape.nodes.iter().enumerate() {
            let shape = if node.kind == NodeKind::Channel {
                ", shape=cylinder"
            } else {
                ""
            };
            let colour = match node.standing() {
                Standing::Runs => "darkgreen",
                Standing::Remarked => "darkorange",
                Standing::Refused => "red",
            };
            text += &format!(
                "    {} [label={}, color={colour}{shape}];\n",
                id(at, number),
                dot_text(&node.lines())
            );
        }
        text += "  }\n";
        for Edge {
            from,
            to,
            label,
            dashed,
        } in &shape.edges
        {
            let style = if *dashed { ", style=dashed" } else { "" };
            text += &format!(
                "  {} -> {} [label={}{style}];\n",
                id(at, *from),
                id(at, *to),
                dot_text(std::slice::from_ref(label))
            );
        }
    }
    text + "}\n"
}

/// A string of DOT: a backslash begins an escape there, also before a letter.
fn dot_text(lines: &[String]) -> String {
    let lines = lines
        .iter()
        .map(|line| one_line(line).replace('\\', "\\\\").replace('"', "\\\""));
    format!("\"{}\"", lines.collect::<Vec<_>>().join("\\n"))
}

impl Node {
    /// The worst that is to be said of it.
    fn standing(&self) -> Standing {
        let worst = self.findings.iter().map(|(severity, _)| *severity).min();
        match worst {
            _ if self.refused => Standing::Refused,
            Some(Severity::Error) => Standing::Refused,
            Some(Severity::Warning) => Standing::Remarked,
            Some(Severity::Note) | None => Standing::Runs,
        }
    }

    /// Its label: name, type, parts, findings.
    fn lines(&self) -> Vec<String> {
        let mut lines = vec![
            format!("{} {}", self.kind.name(), self.name),
            self.type_name.clone(),
        ];
        lines.extend(self.parts.iter().cloned());
        lines.extend(
            self.findings
                .iter()
                .map(|(severity, text)| format!("{severity}: {text}")),
        );
        lines.retain(|line| !line.is_empty());
        lines
    }
}

#[cfg(test)]
mod tests {
    use flume_conf::Document;

    use super::*;

    const FLOW: &str = "a1.sources = r1\na1.channels = c1 c2\na1.sinks = k1 k2\na1.sources.r1.type = netcat\n\
        a1.sources.r1.bind = 127.0.0.1\na1.sources.r1.port = 4\na1.sources.r1.channels = c1 c2\n\
        a1.sources.r1.interceptors = i1\na1.sources.r1.interceptors.i1.type = timestamp\n\
        a1.sources.r1.selector.type = multiplexing\na1.sources.r1.selector.header = state\n\
        a1.sources.r1.selector.mapping.\"><b>\\\\x = c1\na1.sources.r1.selector.default = c2\n\
        a1.channels.c1.type = memory\na1.channels.c2.type = memry\n\
        a1.sinks.k1.type = null\na1.sinks.k1.channel = c1\na1.sinks.k1.deadLetterChannel = c2\n\
        a1.sinks.k2.type = null\na1.sinks.k2.channel = c2\na1.sinkgroups = g\na1.sinkgroups.g.sinks = k1 k2\n\
        a1.sinkgroups.g.processor.type = failover\n";

    fn shapes(text: &str) -> Vec<Shape> {
        let mut document = Document::default();
        document.add("flume.conf", text.as_bytes());
        let judged = judge(&document, &document.agents(), &Args::default());
        let agents = judged.agents.iter();
        agents
            .map(|(agent, verdicts)| Shape::of(&document, agent, verdicts, &judged.diagnostics))
            .collect()
    }

    #[test]
    fn a_drawing_has_every_component_and_edge_with_what_is_wrong() {
        let shapes = shapes(FLOW);
        let edges: Vec<_> = shapes[0]
            .edges
            .iter()
            .map(|edge| {
                let name = |at: usize| shapes[0].nodes[at].name.as_str();
                format!(
                    "{}{}{}:{}",
                    name(edge.from),
                    if edge.dashed { "~" } else { ">" },
                    name(edge.to),
                    edge.label
                )
            })
            .collect();
        assert_eq!(
            edges,
            [
                "r1>c1:state=\"><b>\\x",
                "r1>c2:otherwise",
                "c1>k1:",
                "k1~c2:dead letters",
                "c2>k2:"
            ]
        );
        for text in [mermaid(&shapes), dot(&shapes), svg::page(&shapes)] {
            for part in [
                "r1",
                "i1 timestamp",
                "multiplexing",
                "c2",
                "k2",
                "group g failover",
                "cannot run",
            ] {
                assert!(text.contains(part), "{part}: {text}");
            }
            // A string of DOT may hold it, because Graphviz reads HTML only between angle brackets.
            assert!(
                text.starts_with("digraph") || !text.contains("<b>"),
                "{text}"
            );
        }
    }

    #[test]
    fn the_drawing_of_a_text_is_always_the_same() {
        let [first, second] = [shapes(FLOW), shapes(FLOW)];
        assert_eq!(svg::page(&first), svg::page(&second));
        assert_eq!(mermaid(&first), mermaid(&second));
    }

    #[test]
    fn labels_cannot_leave_their_place() {
        assert_eq!(mermaid_text("a\"]<br>#"), "a#34;#93;#60;br#62;#35;");
        assert_eq!(
            dot_text(&["a\"\\".into(), "b\nc".into()]),
            "\"a\\\"\\\\\\nb c\""
        );
        assert_eq!(
            escaped_xml("<a b=\"c\">&\u{1}'"),
            "&lt;a b=&quot;c&quot;&gt;&amp; &#39;"
        );
    }

    /// What the files say may be anything at all.
    #[test]
    fn nothing_panics_and_xml_stays_well_formed() {
        let words = [
            "a1",
            ".",
            "sources",
            "channels",
            "sinks",
            "sinkgroups",
            "=",
            " ",
            "\n",
            "r",
            "c",
            "k",
            "channel",
            "type",
            "memory",
            "selector.mapping.",
            "<",
            "é",
            "\\u0000",
        ];
        let mut random = fastrand::Rng::with_seed(3);
        for _ in 0..300 {
            let mut text = String::from(FLOW);
            for _ in 0..40 {
                text += random.choice(words).expect("there are words");
            }
            let shapes = shapes(&text);
            let svg = svg::page(&shapes);
            assert_eq!(svg.matches("<svg").count(), 1);
            assert_eq!(svg.matches("<text").count(), svg.matches("</text>").count());
            mermaid(&shapes);
            dot(&shapes);
        }
    }
}
